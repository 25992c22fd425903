"""FineGym (Shao et al., CVPR 2020, arXiv:2004.06704): elements of gymnastics; Gym99 and, with rare ones, Gym288.

Read from its published files, in one root (the lists may lie in annotations/ or categories/, too):

    gym99_train_element_v1.1.txt   gym99_val_element.txt   finegym_annotation_info_v1.1.json   gym288_categories.txt

v1.0 is read where v1.1 is not there, and the same files as mmaction2 calls them: gym99_train_org.txt, annotation.json.
A line of a list is an element of an event of a video, and its label: '0LtLS9wROrk_E_002407_002435_A_0003_0005 3'. It is

- subactions/0LtLS9wROrk_E_002407_002435_A_0003_0005.mp4, or a folder of frames in subaction_frames/, as it is; else
- events/0LtLS9wROrk_E_002407_002435.mp4, cut by the element's times, which the JSON counts from the event's begin; else
- videos/0LtLS9wROrk.mp4, cut by both times

Elements that are not on disk are left out, and counted in a warning: some videos are gone from the web. There is no
list for testing: `test` is `val`. Gym288 has the names of gym288_categories.txt; without it its classes are numbers.
A name that stands for two classes (three do in Gym288, one in Gym99) gets its label behind it the second time. Groups
are the four events. Lists of your own, root/train.csv or .txt, come first.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Match, Optional, Sequence, Tuple

from ...errors import UserError, unknown
from ..datasets import VideoDataset, VideoRecord
from .entry import SPLITS, DatasetInfo, Request, register_dataset
from .gym99_names import NAMES
from .layouts import Files, folder_with, read_json, read_lines, those_there
from .openers import has_lists, open_lists

_PLACES = ('.', 'annotations', 'categories')
_INFO = ('finegym_annotation_info_v1.1.json', 'finegym_annotation_info_v1.0.json', 'annotation.json')
_LISTS = (
    '{name}_{part}_element_v1.1.txt',
    '{name}_{part}_element_v1.0.txt',
    '{name}_{part}_element.txt',
    '{name}_{part}_org.txt',
)
_VIDEOS = ('subactions', 'subaction_frames', 'events', 'videos')
_ELEMENT = re.compile(r'(.+)_(E_\d+_\d+)_(A_\d+_\d+)$')
_CATEGORY = re.compile(r'Clabel:\s*(\d+);.*?(\(\w+\).*)$')
_EVENTS = {'(VT)': 'vault', '(FX)': 'floor exercise', '(BB)': 'balance beam', '(UB)': 'uneven bars'}


def distinct(names: Sequence[str]) -> Tuple[str, ...]:
    """Put its label behind a name that stood there before."""
    return tuple(f'{name} [{label}]' if name in names[:label] else name for label, name in enumerate(names))


def events(classes: Sequence[str]) -> Optional[Tuple[str, ...]]:
    """Give each class its event, by the beginning of its name; None where names do not tell it."""
    groups = tuple(_EVENTS.get(name[:4], '') for name in classes)
    return groups if all(groups) else None


def open_finegym(info: DatasetInfo, asked: Request) -> VideoDataset:
    """Open a split by the official lists, or by lists of one's own where the root has them.

    Raises
    ------
    UserError
        no root, an unknown split, lists or videos that are not there, or a line or time that is wrong
    """
    if has_lists(info, asked):
        return open_lists(info, asked)
    root = info.folder(asked.root)
    if asked.split not in SPLITS:
        raise unknown(f'split of {info.name}', asked.split, SPLITS)
    part = 'train' if asked.split == 'train' else 'val'
    files = [file.format(name=info.name, part=part) for file in _LISTS]
    path = _first(root, files)
    if path is None:
        raise UserError(f'{root}: no list for split {asked.split!r} of {info.name}; expected {files[0]}')
    labels = info.label_set() or info.labels_of(_names(root, info))
    times, videos = _Times(_first(root, _INFO)), {place: Files(root, root / place) for place in _VIDEOS}
    listed = []
    for line, text in read_lines(path):
        element, label = _element(f'{path.name} line {line}', text, len(labels))
        file = f'{element.group()}.mp4 in subactions, or {element.group(1)}.mp4 in videos'
        listed.append((file, _record(videos, times, element, label)))
    name = f'{info.name} {part}'
    records, gone = those_there(name, str(path), str(root), listed)
    elements = VideoDataset(records, labels, root, name, asked.cache)
    elements.gone = gone
    return elements


def _first(root: Path, files: Sequence[str]) -> Optional[Path]:
    pairs = ((folder_with(root, _PLACES, file), file) for file in files)
    return next((folder / file for folder, file in pairs if folder is not None), None)


def _element(where: str, text: str, classes: int) -> Tuple[Match[str], int]:
    """The parts of an element's name, and its label, from a line."""
    cells = text.split()
    element = _ELEMENT.match(cells[0])
    if len(cells) != 2 or element is None or not cells[1].isdecimal():
        raise UserError(
            f'{where}: {text[:80]!r} is not an element and its label, such as X_E_002407_002435_A_0003_0005 3'
        )
    if int(cells[1]) >= classes:
        raise UserError(f'{where}: label {cells[1]} is outside 0..{classes - 1}')
    return element, int(cells[1])


def _record(videos: Dict[str, Files], times: _Times, element: Match[str], label: int) -> Optional[VideoRecord]:
    video, event, action = element.groups()
    for place in ('subactions', 'subaction_frames'):
        path = videos[place].find(f'{element.group()}.mp4')
        if path is not None:
            return VideoRecord(path, label)
    for place, file in (('events', f'{video}_{event}.mp4'), ('videos', f'{video}.mp4')):
        path = videos[place].find(file)
        if path is not None:
            return VideoRecord(path, label, *times.of(video, event, action, place == 'videos'))
    return None


class _Times:
    """The times of events and elements, from the JSON file, which is read when the first is asked for."""

    def __init__(self, path: Optional[Path]):
        self._path = path
        self._info: Optional[Dict[str, Any]] = None

    def of(self, video: str, event: str, action: str, whole: bool) -> Tuple[float, float]:
        """Tell begin and end of an element in seconds, in the event or in the whole video."""
        if self._path is None:
            raise UserError(f'{video}: cutting it takes {_INFO[0]}, which does not lie beside the lists')
        if self._info is None:
            self._info = read_json(self._path, dict)
        try:
            entry = self._info[video][event]
            stages = entry['segments'][action]['timestamps']  # several, where an element has stages
            before = float(entry['timestamps'][0][0]) if whole else 0.0
            return before + float(stages[0][0]), before + float(stages[-1][1])
        except (KeyError, IndexError, TypeError, ValueError):
            raise UserError(f'{self._path.name}: has no times of {video}_{event}_{action}') from None


def _names(root: Path, info: DatasetInfo) -> Tuple[str, ...]:
    """The names of the classes from the file of categories; numbers where it is not there."""
    path = _first(root, [f'{info.name}_categories.txt'])
    assert info.nclass is not None
    if path is None:
        return tuple(str(label) for label in range(info.nclass))
    names: List[str] = []
    for line, text in read_lines(path):
        category = _CATEGORY.match(text)
        if category is None or int(category.group(1)) != len(names):
            raise UserError(f'{path.name} line {line}: {text[:60]!r} is not the category with Clabel {len(names)}')
        names.append(category.group(2).strip())
    if len(names) != info.nclass:
        raise UserError(f'{path}: has {len(names)} categories, {info.name} has {info.nclass}')
    return distinct(names)


register_dataset(DatasetInfo('gym99', 99, open_finegym, distinct(NAMES), groups=events, splits=('train', 'val')))
register_dataset(DatasetInfo('gym288', 288, open_finegym, groups=events, splits=('train', 'val')))
