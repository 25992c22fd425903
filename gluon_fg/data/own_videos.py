"""A user's own videos: found in folders or a list, each file tried once."""

from __future__ import annotations

import collections
import functools
import os
import unicodedata
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from tqdm import tqdm

from ..errors import UserError, VideoError
from .datasets import VIDEO_SUFFIXES, VideoRecord, existing_folder, some_suffixes
from .folders import check_level, class_folders, class_name, files_below, folder_classes, is_hidden, split_folders
from .label_lists import from_label_list
from .loader import ordered_map
from .readers import from_csv
from .tables import read_table
from .text_files import read_text
from .video import IMAGE_SUFFIXES, open_video


class OwnVideos(NamedTuple):
    """What a user has.

    root
        folder that all paths start from
    classes
        names, sorted
    clips
        split -> its videos; the one split '' where nothing is split yet
    frames
        file -> how many frames it has
    left_out
        file -> why it cannot be used
    other
        suffix -> how many files of it are no videos, by their names; and folders without a video
    listed
        whether a list named the videos, and not the folders of their classes
    several
        video (its record, label -1) -> its classes, where a list gives each any number of them; else None
    """

    root: Path
    classes: Tuple[str, ...]
    clips: Dict[str, List[VideoRecord]]
    frames: Dict[str, int]
    left_out: Dict[str, str]
    other: Dict[str, int]
    listed: bool = False
    several: Optional[Dict[VideoRecord, Tuple[int, ...]]] = None

    def classes_of(self, record: VideoRecord) -> Tuple[int, ...]:
        """Tell the classes of a video, in numbers: one, or any where a list gives several."""
        return (record.label,) if self.several is None else self.several[record._replace(label=-1)]


def find_videos(
    place: Union[str, os.PathLike],
    workers: int = 4,
    progress: bool = False,
    out: Optional[Union[str, os.PathLike]] = None,
) -> OwnVideos:
    """Look for a user's videos, and open each once.

    Parameters
    ----------
    place
        a folder with a folder for each class, or with train, val and test (one of them at least) that have these; or a
        list as `from_csv` reads it, which may name times in longer films
    workers
        files that are opened at the same time
    progress
        whether to draw a progress bar
    out
        a folder that is none of the user's classes, nor what it lies in: that of the run

    Raises
    ------
    UserError
        nothing there, no class folder, videos beside the class folders, a class that is not in train, or fewer than two
        classes with a video that can be read
    """
    if Path(place).is_file():
        if _has_several(Path(place)):
            return _of_labels(Path(place), workers, progress)
        root, named, other = _of_list(Path(place))
    else:
        root, named, other = _of_folders(existing_folder(place), out)
    files = list(dict.fromkeys(record.path for clips in named.values() for _, record in clips))
    frames, left_out = _try(root, files, workers, progress)
    usable = {
        split: [(name, record) for name, record in clips if record.path in frames] for split, clips in named.items()
    }
    first = usable.get('train', usable.get('', []))
    classes = tuple(sorted({name for name, _ in first}))
    if len(classes) < 2:
        reason = next((f'; {path}: {text}' for path, text in left_out.items()), '')
        raise UserError(
            f'{place}: videos that can be read of {len(classes)} classes ({", ".join(classes) or "none"}); two at '
            f'least are needed, each a folder of its own: {place}/<class>/<video>{reason}'
        )
    for split, clips in usable.items():
        strange = sorted({name for name, _ in clips} - set(classes))
        if strange:
            raise UserError(f'{place}: class {strange[0]!r} is in {split}, but has no video in train')
    numbers = {name: number for number, name in enumerate(classes)}
    numbered = {
        split: [record._replace(label=numbers[name]) for name, record in clips]
        for split, clips in usable.items()
        if clips
    }
    return OwnVideos(root, classes, numbered, frames, left_out, other, Path(place).is_file())


Named = Dict[str, List[Tuple[str, VideoRecord]]]  # split -> (class, video)


def _of_list(path: Path) -> Tuple[Path, Named, Dict[str, int]]:
    videos = from_csv(path)
    clips = [(videos.labels.classes[record.label], record) for record in videos.records if record.label >= 0]
    other = {'videos without a label': len(videos) - len(clips)}
    return path.resolve().parent, {'': clips}, {name: count for name, count in other.items() if count}


def _has_several(path: Path) -> bool:
    """Tell whether a list has the column `labels`, of any number of labels."""
    table = read_table(path, read_text(path, keep_bytes=True))
    return table is not None and table.columns.labels is not None


def _of_labels(path: Path, workers: int, progress: bool) -> OwnVideos:
    """The videos of a list with several labels each."""
    videos, root = from_label_list(path), path.resolve().parent
    assert videos.targets is not None
    frames, left_out = _try(root, list(dict.fromkeys(r.path for r in videos.records)), workers, progress)
    several = {
        record._replace(label=-1): tuple(int(label) for label in np.flatnonzero(target))
        for record, target in zip(videos.records, videos.targets)
        if record.path in frames
    }
    if len({label for labels in several.values() for label in labels}) < 2:
        raise UserError(f'{path}: videos that can be read of fewer than two classes; two at least are needed')
    clips = {'': list(several)}
    return OwnVideos(root, videos.labels.classes, clips, frames, left_out, {}, True, several)


def _splits_of(root: Path, folders: Sequence[str]) -> Dict[str, str]:
    """Split -> its folder, of the folders in one; {'': ''} where these are classes, though one be called train."""
    splits = {split: name for split, name in split_folders(root).items() if name in folders}
    as_class = [name for name in splits.values() if not class_folders(root / name) and any((root / name).iterdir())]
    if not splits or as_class and len(splits) < len(folders):
        return {'': ''}
    if 'train' not in splits:
        raise UserError(f'{root}: has a folder {next(iter(splits.values()))}, but none named train')
    return splits


def _of_folders(root: Path, out: Optional[Union[str, os.PathLike]]) -> Tuple[Path, Named, Dict[str, int]]:
    run = None if out is None else Path(out).resolve()
    folders = [
        name
        for name in class_folders(root)
        if run is None or run != (root / name).resolve() and (root / name).resolve() not in run.parents
    ]
    splits = _splits_of(root, folders)
    if '' in splits:
        check_level(root, folders)
    other: Dict[str, int] = collections.Counter()
    named: Named = {}
    for split, folder in splits.items():
        beside = sorted(path.name for path in (root / folder).iterdir() if _is_video(path.name) and path.is_file())
        if beside:
            raise UserError(
                f'{root / folder / beside[0]}: a video beside the class folders; put it into the folder of its class'
            )
        named[split] = []
        classes = class_folders(root / folder) if folder else folders
        folder_classes(root / folder, classes)  # raises where two are one
        for name in classes:
            before = len(named[split])
            for place, files in files_below(root / folder / name):
                for file in files:
                    if _is_video(file):
                        path = Path(place, file).relative_to(root).as_posix()
                        named[split].append((class_name(name), VideoRecord(path)))
                    else:
                        other[os.path.splitext(file)[1].lower() or 'no suffix'] += 1
            if len(named[split]) == before:
                other[f'folder without a video: {os.path.join(folder, name)}'] += 1
    for name in sorted(set(folders) - set(splits.values())) if '' not in splits else ():
        other[f'folder beside {" and ".join(splits)}: {name}'] += 1
    if not any(named.values()):
        pictures = sum(other.get(suffix, 0) for suffix in IMAGE_SUFFIXES)
        raise UserError(
            f'{root}: no video in class folders; expected {root}/<class>/<video>, with files that end in '
            f'{some_suffixes(VIDEO_SUFFIXES)}'
            + (
                f'. Its {pictures} pictures are trained by gluon-fg train --config custom/mobilenetv2_custom_images, '
                'or, as folders of frames, listed in a CSV'
                if pictures
                else ''
            )
        )
    return root.resolve(), named, dict(other)


def _is_video(name: str) -> bool:
    return name.lower().endswith(VIDEO_SUFFIXES) and not is_hidden(name)


def _try(root: Path, files: Sequence[str], workers: int, progress: bool) -> Tuple[Dict[str, int], Dict[str, str]]:
    """Frames of each file that can be opened, and why the others cannot."""
    frames: Dict[str, int] = {}
    left_out: Dict[str, str] = {}
    tried = ordered_map(functools.partial(_opened, root), files, workers)
    for path, result in zip(files, tqdm(tried, 'checking', len(files), unit='video', disable=not progress)):
        if isinstance(result, int):
            frames[path] = result
        else:
            left_out[path] = result
    return frames, left_out


def _opened(root: Path, path: str) -> Union[int, str]:
    """How many frames a file has, or why it cannot be used."""
    if any(unicodedata.category(letter) in ('Cc', 'Cs') for letter in path):
        return 'its name has characters that are no text, or end a line; rename it'
    file = root / path
    if file.is_file() and not file.stat().st_size:
        return 'is empty'
    try:
        with open_video(str(file)) as reader:
            reader.get_batch(np.array([0]))
            return len(reader)
    except VideoError as error:
        return error.reason
