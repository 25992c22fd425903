"""Reading the videos or images that a user has: a folder for each class, a CSV file, or GluonCV's list format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

from ..errors import UserError, unknown
from . import video
from .datasets import VIDEO_SUFFIXES, VideoDataset, VideoRecord, existing_folder, outside
from .labels import LabelSet
from .lists import label_of, labels_of, read_rows


def class_folders(root: Path) -> List[str]:
    """List the names of the folders in a folder, sorted, hidden ones left out."""
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith('.'))


def videos_in(
    root: Path,
    folder: Path,
    suffixes: Tuple[str, ...] = VIDEO_SUFFIXES,
    left_out: Optional[Dict[str, int]] = None,
) -> Iterator[str]:
    """Give the paths from `root` of all videos in a folder and below, in order, hidden ones left out.

    Files of other suffixes are counted by these in `left_out`.
    """
    for directory, below, files in os.walk(folder):
        below[:] = sorted(entry for entry in below if not entry.startswith('.'))
        above = os.path.relpath(directory, root)
        for file in sorted(files, key=video.natural):
            if file.startswith('.'):
                continue
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
    labels = classes if isinstance(classes, LabelSet) else LabelSet(tuple(folders if classes is None else classes))
    records = []
    left_out: Dict[str, int] = {}
    for folder in folders:
        label = labels.find(folder)
        if label is None:
            raise unknown(f'class folder in {root}:', folder, labels.classes)
        records += [VideoRecord(path, label) for path in videos_in(root, root / folder, suffixes, left_out)]
    if not records:
        kind = 'video' if suffixes == VIDEO_SUFFIXES else 'image'
        raise UserError(f'{root}: no {kind} in its class folders (looked for {", ".join(suffixes)})')
    dataset = VideoDataset(records, labels, root, name or str(root), cache)
    dataset.left_out = left_out
    return dataset


def from_csv(
    path: Union[str, os.PathLike],
    root: Optional[Union[str, os.PathLike]] = None,
    classes: Optional[Union[Sequence[str], LabelSet]] = None,
    name: Optional[str] = None,
    cache: str = 'none',
) -> VideoDataset:
    """Read a list of videos: CSV with a header, or GluonCV's list.

    CSV: columns `path` and `label`, and `class`, `group`, `start` and `end` if wanted, in any order; a path with commas
    stands in quotes. `start` and `end` are the seconds between which the clip lies in the file, empty for its beginning
    or end; a file may be listed several times. The label is a number from 0, -1 for unknown, or a class name (where
    nothing else names the classes, the list's names, sorted, are the classes). GluonCV: 'path frames label' or 'path
    label' on each line, split from the right, so that paths keep their spaces. A path is a video, or a folder of
    frames.

    Class names come from `classes`; else from the file `classes.txt` beside the list (one a line, in order); else from
    the column `class`; else they are the numbers up to the largest label.

    Parameters
    ----------
    root
        folder that relative paths start from; the list's own by default
    classes
        class names in order, or a whole `LabelSet`

    Raises
    ------
    UserError
        no such file, no row, or a row that is wrong, named by its line
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'{path}: ' + ('is a folder, not a list' if path.is_dir() else 'no such list of videos'))
    try:
        text = path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError:
        raise UserError(f'{path}: is not a text file in UTF-8') from None
    rows = read_rows(path, text)
    if not rows:
        raise UserError(f'{path}: lists no video')
    if classes is None and (path.parent / 'classes.txt').is_file():
        lines = (path.parent / 'classes.txt').read_text(encoding='utf-8-sig').splitlines()
        classes = [line.strip() for line in lines if line.strip()]
    labels = labels_of(path, rows, classes)
    records = []
    for row in rows:
        label = label_of(row, labels)
        if label is None:
            raise UserError(f'{path.name} line {row.line}: {unknown("class", row.label, labels.classes)}')
        if not -1 <= label < len(labels):
            raise UserError(f'{path.name} line {row.line}: {outside(label, len(labels))}')
        if row.class_name and label >= 0 and labels.find(row.class_name) != label:
            raise UserError(
                f'{path.name} line {row.line}: label {label} is class {labels.classes[label]!r}, not {row.class_name!r}'
            )
        records.append(VideoRecord(row.path, label, row.start, row.end))
    return VideoDataset(records, labels, path.parent if root is None else root, name or str(path), cache)


def plain_list(path: Union[str, os.PathLike]) -> Optional[List[str]]:
    """Read a file that has a path on each line and nothing else; None for a list as `from_csv` takes it.

    Paths start from the list's folder.

    Raises
    ------
    UserError
        it is no text, or empty
    """
    path = Path(path)
    try:
        lines = [line.strip() for line in path.read_text(encoding='utf-8-sig').splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise UserError(f'{path}: is not a text file in UTF-8') from None
    if not lines:
        raise UserError(f'{path}: lists no video')
    header = [cell.strip().lower() for cell in lines[0].split(',')]
    if 'path' in header and header != ['path'] or any(line.split()[-1].lstrip('-').isdigit() for line in lines):
        return None
    return [os.path.join(path.parent, line) for line in lines[header == ['path'] :]]


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
