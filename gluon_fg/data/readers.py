"""Reading the videos or images that a user has: a folder for each class, a CSV file, or GluonCV's list format."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

from ..errors import UserError, printable, unknown
from .datasets import VIDEO_SUFFIXES, VideoDataset, VideoRecord, existing_folder, outside, some_suffixes
from .folders import class_folders, class_name, files_below, folder_classes, is_hidden
from .labels import LabelSet
from .list_labels import check_known, check_order, from_one, tell_alike, tell_contradictions
from .listed_paths import ListedPaths
from .lists import Row, label_of, labels_of, read_rows
from .plain_lists import has_label, integer
from .tables import read_table
from .text_files import read_names, read_text, said_lines

logger = logging.getLogger(__name__)

_HMDB51 = re.compile(r'_test_split[1-3]\.txt$')  # the names of its lists, one for each class
_CLASS_FILES = ('classes.txt', 'category.txt')  # ours, and that of lists made for TSM


def videos_in(
    root: Path,
    folder: Path,
    suffixes: Tuple[str, ...] = VIDEO_SUFFIXES,
    left_out: Optional[Dict[str, int]] = None,
) -> Iterator[str]:
    """Give the paths from `root` of all videos in a folder and below (`files_below`), in order.

    Files of other suffixes are counted by these in `left_out`.
    """
    for directory, files in files_below(folder):
        above = os.path.relpath(directory, root)
        for file in files:
            if file.lower().endswith(suffixes):
                yield os.path.normpath(os.path.join(above, file))
            elif left_out is not None:
                suffix = os.path.splitext(file)[1].lower()
                left_out[suffix] = left_out.get(suffix, 0) + 1


def from_folder(
    root: Union[str, os.PathLike],
    classes: Optional[Union[Sequence[str], LabelSet]] = None,
    name: Optional[str] = None,
    cache: str = 'none',
    suffixes: Tuple[str, ...] = VIDEO_SUFFIXES,
) -> VideoDataset:
    """Read a folder for each class, the class named like its folder; videos may lie deeper in it.

    Classes are in alphabetical order unless `classes` gives them (names, or a whole `LabelSet`). Files that do not end
    like a video (or with one of `suffixes`: `video.IMAGE_SUFFIXES` for images), and hidden ones, are left out. Folders
    of frames are not looked for: list them in a CSV file.

    Raises
    ------
    UserError
        no such folder, no class folder or video in it, or a folder that is not among `classes`
    """
    root = existing_folder(root)
    folders = class_folders(root)
    if not folders:
        raise UserError(f'{root}: no class folder in it; expected {root}/<class>/<video>')
    named = folder_classes(root) if classes is None else classes
    labels = named if isinstance(named, LabelSet) else LabelSet(tuple(named))
    records = []
    left_out: Dict[str, int] = {}
    for folder in folders:
        label = labels.find(class_name(folder))
        if label is None:
            raise unknown(f'class folder in {root}:', folder, labels.classes)
        records += [VideoRecord(path, label) for path in videos_in(root, root / folder, suffixes, left_out)]
    if not records:
        kind = 'video' if suffixes == VIDEO_SUFFIXES else 'image'
        raise UserError(f'{root}: no {kind} in its class folders (looked for {some_suffixes(suffixes)})')
    beside = sorted(entry.name for entry in root.iterdir() if entry.is_file() and _ends(entry.name, suffixes))
    if beside:
        example = printable(str(root / beside[0]))
        logger.warning('%d files beside the class folders are left out, such as %s', len(beside), example)
    tell_alike(name or str(root), labels.classes)
    dataset = VideoDataset(records, labels, root, name or str(root), cache)
    dataset.left_out = left_out
    return dataset


def _ends(name: str, suffixes: Tuple[str, ...]) -> bool:
    return name.lower().endswith(suffixes) and not is_hidden(name)


def from_csv(
    path: Union[str, os.PathLike],
    root: Optional[Union[str, os.PathLike]] = None,
    classes: Optional[Union[Sequence[str], LabelSet]] = None,
    name: Optional[str] = None,
    cache: str = 'none',
    known: bool = False,
) -> VideoDataset:
    """Read a list of videos: CSV with a header, or a list as GluonCV, MMAction2 and TSM have them.

    CSV: columns `path` and `label`, and `class`, `group`, `start` and `end` if wanted, in any order; a path with commas
    stands in quotes. `start` and `end` are the seconds between which the clip lies in the file, empty for its beginning
    or end; a file may be listed several times. The label is a number from 0, -1 for unknown, or a class name (where
    nothing else names the classes, the list's names, sorted, are the classes). Others: 'path frames label' or 'path
    label' on each line (`plain_lists`); paths keep their spaces. A path is a video, or a folder of frames.

    Class names come from `classes`; else from the file `classes.txt` (or TSM's `category.txt`) beside the list, one a
    line, in order; else from the column `class`; else they are the numbers up to the largest label. Where the classes
    are known and that file has them in another order, the list's numbers count in the file's.

    Parameters
    ----------
    root
        folder that relative paths start from; the list's own by default
    classes
        class names in order, or a whole `LabelSet`
    known
        whether these are a published dataset's: numbers that do not fit the folders, or run from 1, are refused

    Raises
    ------
    UserError
        no such file, no row, or a row that is wrong, named by its line
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'{path}: ' + ('is a folder, not a list' if path.is_dir() else 'no such list of videos'))
    if _HMDB51.search(path.name):
        raise UserError(
            f'{path}: is an official list of HMDB51, with 1 for training and 2 for testing; set data.dataset=hmdb51 '
            'and data.root to the folder that has its lists and videos'
        )
    rows = read_rows(path, read_text(path, keep_bytes=True))
    if not rows:
        raise UserError(f'{path}: lists no video')
    beside = next((file for file in (path.parent / name for name in _CLASS_FILES) if file.is_file()), None)
    names = None if beside is None else read_names(beside)
    if beside is not None and names is not None:
        check_order(beside, names)
    labels = labels_of(path, rows, names if classes is None else classes)
    if classes is None:
        tell_alike(path.name, labels.classes)
    meant = _meant(beside, names, labels) if isinstance(classes, LabelSet) else None
    places, listed = ListedPaths(Path(path.parent if root is None else root)), path.name
    records = []
    for row in rows:
        where = f'{listed} line {row.line}'
        label = _label(where, row, labels, rows, meant)
        place = places.find(where, row.path)
        records.append(VideoRecord(place, label, row.start, row.end))
    dataset = VideoDataset(records, labels, path.parent if root is None else root, name or str(path), cache)
    tell_contradictions(path.name, dataset, [row.line for row in rows])
    if known and all(integer(row.label) is not None and not row.class_name for row in rows):
        check_known(dataset)
    return dataset


def _label(where: str, row: Row, labels: LabelSet, rows: List[Row], meant: Optional[List[int]]) -> int:
    """The label of a row, checked; `meant`: what numbers mean in lists whose classes have another order."""
    if row.others:
        raise UserError(
            f'{where}: several labels, {", ".join((row.label, *row.others))}; set data.dataset=multilabel where videos '
            'have several (or, where the path ends in a number, write a CSV list with the header path,label)'
        )
    label = label_of(row, labels)
    if label is None:
        raise UserError(f'{where}: {unknown("class", row.label, labels.classes)}')
    if not -1 <= label < len(labels):
        numbers = {integer(each.label) for each in rows}
        hint = '; labels are counted from 0, these run from 1' if from_one(n for n in numbers if n is not None) else ''
        raise UserError(f'{where}: {outside(label, len(labels))}{hint}')
    if row.class_name and label >= 0 and labels.find(row.class_name) != label:
        raise UserError(f'{where}: label {label} is class {labels.classes[label]!r}, not {row.class_name!r}')
    return meant[label] if meant and label >= 0 and integer(row.label) is not None else label


def _meant(path: Optional[Path], names: Optional[List[str]], labels: LabelSet) -> Optional[List[int]]:
    """What a list's numbers mean where a file of class names beside it has them in another order than is known."""
    if path is None or names is None or tuple(names) == labels.classes:
        return None
    places = [labels.find(name) for name in names]
    if len(names) != len(labels) or None in places or len(set(places)) != len(labels):
        logger.warning('%s: names other classes than are known; it is not used', printable(str(path)))
        return None
    return [place for place in places if place is not None]


def plain_list(path: Union[str, os.PathLike]) -> Optional[List[str]]:
    """Read a file that has a path on each line and nothing else; None for a list as `from_csv` takes it.

    Paths start from the list's folder.

    Raises
    ------
    UserError
        it is no text, or empty
    """
    path = Path(path)
    text = read_text(path, keep_bytes=True)
    table = read_table(path, text)
    lines = [line for _, line in said_lines(text)]
    if not lines:
        raise UserError(f'{path}: lists no video')
    if table is not None and len(table.header) > 1 or table is None and any(map(has_label, lines)):
        return None
    places = ListedPaths(path.parent)
    paths = [(number, cells[0]) for number, cells in table.rows()] if table else list(enumerate(lines, 1))
    return [os.path.join(path.parent, places.find(f'{path.name} line {number}', place)) for number, place in paths]


def from_paths(paths: Sequence[str], labels: Optional[LabelSet] = None, name: str = 'videos') -> VideoDataset:
    """Make a dataset of videos whose classes are not known: labels are -1.

    Parameters
    ----------
    paths
        the videos
    labels
        classes that they may have, which say whether they may be mirrored; None: one class 'unknown'
    name
        how messages call them
    """
    root = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths]) if paths else ''
    records = [VideoRecord(os.path.relpath(os.path.abspath(path), root), -1) for path in paths]
    return VideoDataset(records, labels or LabelSet(('unknown',)), root, name)
