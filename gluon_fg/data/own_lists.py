"""A user's own videos split, whole films at a time; the split is kept as lists.

A run that is interrupted, and every command that comes after, reads the very same lists.
"""

from __future__ import annotations

import collections
import csv
import json
import os
import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Pattern, Sequence

import numpy as np

from .. import safe_json
from ..errors import UserError
from ..files import atomic_write, sha256
from . import class_groups
from .catalog.entry import SPLITS
from .datasets import VideoRecord
from .label_lists import SEPARATOR
from .labels import LabelSet
from .own_videos import OwnVideos
from .splitting import folds_by_source, sources_of, split_by_source

CLASSES = 'classes.txt'  # beside lists of several labels
VIDEOS = 'videos'  # a link in the folder of the lists to that of the videos


class Parting(NamedTuple):
    """How videos are split: into `folds` parts of which number `fold` (from 1) validates, or by a share (folds 0)."""

    share: float = 0.2
    seed: int = 0
    pattern: str = ''
    folds: int = 0
    fold: int = 0

    def film_pattern(self) -> Optional[Pattern[str]]:
        """The compiled pattern, or None where names are read by the rules; raises UserError where it is none."""
        try:
            return re.compile(self.pattern) if self.pattern else None
        except re.error as error:
            raise UserError(f'--source-pattern {self.pattern}: {error}') from None


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
    pattern = parting.film_pattern()
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

    Beside them: left_out.csv, the `groups.csv` that lies with the videos, and split.json with how the split was made,
    which is written last.
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
    groups = class_groups.with_groups_beside(LabelSet(own.classes), own.root).groups
    if groups is not None:
        class_groups.write_groups(folder / class_groups.FILE, own.classes, groups)
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
        return Parting(**safe_json.load(path, 'choose another --out'))
    except (ValueError, TypeError):
        raise UserError(f'{path} is damaged; choose another --out') from None


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with atomic_write(path) as stream:
        writer = csv.writer(stream, lineterminator='\n')
        writer.writerow(header)
        writer.writerows(rows)
