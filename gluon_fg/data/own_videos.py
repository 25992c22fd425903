"""A user's own videos: found in folders or a list, each file tried once, and split; the split is kept as lists.

A run that is interrupted, and every command that comes after, reads the very same lists.
"""

from __future__ import annotations

import collections
import csv
import functools
import json
import os
import re
import unicodedata
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from tqdm import tqdm

from ..errors import UserError, VideoError
from ..files import atomic_write, sha256
from .catalog.entry import SPLITS
from .datasets import VIDEO_SUFFIXES, VideoRecord, existing_folder
from .label_lists import SEPARATOR, from_label_list
from .loader import ordered_map
from .readers import class_folders, from_csv
from .splitting import folds_by_source, sources_of, split_by_source
from .video import natural, open_video

CLASSES = 'classes.txt'  # beside lists of several labels
VIDEOS = 'videos'  # a link in the folder of the lists to that of the videos
_SYNONYMS = {'training': 'train', 'validation': 'val', 'valid': 'val', 'testing': 'test'}


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
        suffix -> how many files of it are no videos, by their names
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


def find_videos(place: Union[str, os.PathLike], workers: int = 4, progress: bool = False) -> OwnVideos:
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
        root, named, other = _of_folders(existing_folder(place))
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
    with open(path, encoding='utf-8-sig', errors='replace', newline='') as stream:
        return 'labels' in [cell.strip().lower() for cell in next(csv.reader(stream), [])]


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


def _of_folders(root: Path) -> Tuple[Path, Named, Dict[str, int]]:
    splits = {_SYNONYMS.get(name.lower(), name.lower()): name for name in class_folders(root)}
    splits = {split: splits[split] for split in SPLITS if split in splits} or {'': ''}
    if '' not in splits and 'train' not in splits:
        raise UserError(f'{root}: has a folder {next(iter(splits.values()))}, but none named train')
    other: Dict[str, int] = collections.Counter()
    named: Named = {}
    for split, folder in splits.items():
        beside = sorted(path.name for path in (root / folder).iterdir() if _is_video(path.name) and path.is_file())
        if beside:
            raise UserError(
                f'{root / folder / beside[0]}: a video beside the class folders; put it into the folder of its class'
            )
        named[split] = []
        for name in class_folders(root / folder):
            for path in _files_below(root / folder / name):
                if _is_video(path.name):
                    named[split].append((name.strip(), VideoRecord(path.relative_to(root).as_posix())))
                else:
                    other[path.suffix.lower() or 'no suffix'] += 1
    if not any(named.values()):
        raise UserError(
            f'{root}: no video in class folders; expected {root}/<class>/<video>, with files that end in '
            f'{", ".join(VIDEO_SUFFIXES)}'
        )
    return root.resolve(), named, dict(other)


def _is_video(name: str) -> bool:
    return name.lower().endswith(VIDEO_SUFFIXES) and not name.startswith('.')


def _files_below(folder: Path) -> Iterable[Path]:
    """All files of a folder and the folders in it, but hidden ones, in natural order."""
    for directory, below, files in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith('.'))
        yield from (Path(directory, name) for name in sorted(files, key=natural) if not name.startswith('.'))


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


class Parting(NamedTuple):
    """How videos are split: into `folds` parts of which number `fold` (from 1) validates, or by a share (folds 0)."""

    share: float = 0.2
    seed: int = 0
    pattern: str = ''
    folds: int = 0
    fold: int = 0


class Parts(NamedTuple):
    """Videos split: split -> its videos; the film of each; and what is to be told of the split, in lines."""

    clips: Dict[str, List[VideoRecord]]
    sources: Dict[str, List[str]]
    notes: List[str]


def part_videos(own: OwnVideos, parting: Parting) -> Parts:
    """Split what is not split yet, whole films at a time (`splitting`); a split that a user made stays as it is.

    Raises
    ------
    UserError
        a pattern that is none, or no such split can be made
    """
    try:
        pattern = re.compile(parting.pattern) if parting.pattern else None
    except re.error as error:
        raise UserError(f'--source-pattern {parting.pattern}: {error}') from None
    clips, notes = dict(own.clips), []
    if 'val' not in clips:
        everything = clips.pop('train', None) or clips.pop('')
        paths, labels = [_in_class(own, record) for record in everything], _strata(own, everything)
        sources = _with_copies(own.root, [record.path for record in everything], sources_of(paths, labels, pattern))
        if parting.folds:
            chosen = folds_by_source(np.array(labels), sources, parting.folds, parting.seed)[parting.fold - 1]
        else:
            chosen = split_by_source(np.array(labels), sources, parting.share, parting.seed)
        clips['train'] = [record for record, held in zip(everything, chosen) if not held]
        clips['val'] = [record for record, held in zip(everything, chosen) if held]
    elif parting.folds:
        raise UserError(f'{own.root} is split into train and val already; for folds give the class folders alone')
    clips = {split: clips[split] for split in SPLITS if split in clips}
    every = [record for records in clips.values() for record in records]
    films = iter(sources_of([_in_class(own, record) for record in every], [record.label for record in every], pattern))
    by_split = {split: [next(films) for _ in records] for split, records in clips.items()}
    for split in [name for name in clips if name != 'train']:
        shared = set(by_split[split]) & set(by_split['train'])
        count = sum(film in shared for film in by_split[split])
        if count:
            notes.append(
                f'{count} of {len(clips[split])} videos of {split} look like cuts of films that are trained on '
                f'(for example {sorted(shared)[0]}): their accuracy will look better than it is'
            )
        shown = {label for record in clips[split] for label in own.classes_of(record)}
        lacking = sorted(set(range(len(own.classes))) - shown)
        if lacking:
            names = ', '.join(own.classes[label] for label in lacking)
            notes.append(f'no video of {names} in {split}: all of a class that is cut from one film is trained on')
    return Parts(clips, by_split, notes)


def _strata(own: OwnVideos, records: Sequence[VideoRecord]) -> List[int]:
    """What a split is to be even in: the class, of several the rarest; a number of its own where there is none."""
    counts = collections.Counter(label for record in records for label in own.classes_of(record))
    return [
        min(own.classes_of(record), key=lambda label: (counts[label], label), default=len(own.classes))
        for record in records
    ]


def _with_copies(root: Path, files: Sequence[str], sources: List[str]) -> List[str]:
    """Sources of clips, those with files of the same bytes made one."""
    by_size: Dict[int, List[int]] = collections.defaultdict(list)
    for i, file in enumerate(files):
        by_size[(root / file).stat().st_size].append(i)
    first: Dict[str, int] = {}
    for alike in by_size.values():
        for i in alike if len({files[i] for i in alike}) > 1 else ():
            other = first.setdefault(sha256(root / files[i]), i)
            if sources[i] != sources[other]:
                sources = [sources[other] if source == sources[i] else source for source in sources]
    return sources


def _in_class(own: OwnVideos, record: VideoRecord) -> str:
    """<class>/<name> of a video, as `source_of` takes it: the folder of a split is none of a class.

    A list may name several clips of one file, and of several classes: there it is the file.
    """
    return record.path if own.listed else f'{own.classes[record.label]}/{Path(record.path).name}'


def write_lists(folder: Path, own: OwnVideos, parts: Parts, parting: Parting) -> None:
    """Write a list of each split, as `data.dataset=csv` reads it, with the link `videos` to where the videos are.

    Beside them: left_out.csv, and split.json with how the split was made, which is written last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    link(folder, own.root)
    header = ['path', 'label' if own.several is None else 'labels', 'class', 'source', 'start', 'end']
    for split, records in parts.clips.items():
        rows: List[List[Any]] = []
        for record, film in zip(records, parts.sources[split]):
            labels = own.classes_of(record)
            texts = (SEPARATOR.join(map(str, labels)), SEPARATOR.join(own.classes[label] for label in labels))
            times = ('' if time is None else time for time in (record.start, record.end))
            rows.append([os.path.join(VIDEOS, record.path), *texts, film, *times])
        _write_csv(folder / f'{split}.csv', header, rows)
    if own.several is not None:  # their numbers mean nothing without
        with atomic_write(folder / CLASSES) as stream:
            stream.writelines(f'{name}\n' for name in own.classes)
    _write_csv(folder / 'left_out.csv', ['path', 'reason'], [[repr(p)[1:-1], r] for p, r in own.left_out.items()])
    with atomic_write(folder / 'split.json') as stream:
        json.dump(parting._asdict(), stream, indent=1)


def link(folder: Path, root: Path) -> None:
    """Let the lists of a folder mean the videos below `root`.

    Raises
    ------
    UserError
        they mean other videos, which are still there, or links are not possible
    """
    place = folder / VIDEOS
    if place.is_symlink() and place.exists():
        if os.path.realpath(place) != os.path.realpath(root):
            raise UserError(f'{folder} splits the videos of {os.path.realpath(place)}; choose another --out')
        return
    try:
        if place.is_symlink():  # the videos were moved
            place.unlink()
        place.symlink_to(root.resolve(), target_is_directory=True)
    except OSError as error:
        raise UserError(f'{place}: no link to {root} can be made ({error.strerror}); choose another --out') from None


def dataset_name(folder: Path) -> str:
    """The catalog's name for lists that `write_lists` wrote."""
    return 'multilabel' if (folder / CLASSES).is_file() else 'csv'


def read_parting(folder: Path) -> Optional[Parting]:
    """How the lists of a folder were made; None where they are not complete."""
    path = folder / 'split.json'
    if not path.is_file():
        return None
    try:
        return Parting(**json.loads(path.read_text()))
    except (ValueError, TypeError):
        raise UserError(f'{path} is damaged; choose another --out') from None


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with atomic_write(path) as stream:
        writer = csv.writer(stream, lineterminator='\n')
        writer.writerow(header)
        writer.writerows(rows)
