"""UCF101 (Soomro et al. 2012, arXiv:1212.0402): 101 human actions, 13320 videos, three splits.

Read as its archives unpack, side by side under one root:

    UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi ...
    ucfTrainTestlist/classInd.txt   trainlist01.txt ... trainlist03.txt   testlist01.txt ... testlist03.txt

Split 1 is `train1` and `test1`, and so on; `train`, `val` and `test` are those of split 1. In the lists labels count
from 1, here from 0; test lists have none: a video's class is its folder. Lists of your own, root/train.csv or .txt,
come first.

The lists have 9537, 9586 and 9624 videos for training, 3783, 3734 and 3696 for testing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from ...errors import UserError, unknown
from ..datasets import VideoDataset
from ..labels import LabelSet
from .entry import SPLITS, DatasetInfo, Request, register_dataset
from .gluoncv_classes import gluoncv_classes
from .layouts import Files, folder_with, numbered_split, read_lines, video_folder
from .openers import has_lists, open_lists

_LISTS = ('ucfTrainTestlist', '.', 'annotations', 'splits', 'labels', 'metafile')
_VIDEOS = ('UCF-101', 'videos', 'UCF101', '.', 'rawframes')


def _classes() -> Tuple[str, ...]:
    """The order of classInd.txt, which does not tell capitals from small letters: that of lists and GluonCV's weights.

    GluonCV's own list of the names does, so that it swaps Hammering and HammerThrow, JumpingJack and JumpRope.
    """
    return tuple(sorted(gluoncv_classes('UCF101Attr')(), key=str.lower))


def open_ucf101(info: DatasetInfo, asked: Request) -> VideoDataset:
    """Open a split by the official lists, or by lists of one's own where the root has them.

    Raises
    ------
    UserError
        no root, an unknown split, lists or videos that are not there, or a line that is wrong
    """
    if has_lists(info, asked):
        return open_lists(info, asked)
    root, split = info.folder(asked.root), numbered_split(asked.split)
    if split is None:
        raise unknown(f'split of {info.name}', asked.split, info.splits)
    file = f'{split[0]}list{split[1]:02d}.txt'
    folder = folder_with(root, _LISTS, file)
    if folder is None:
        raise UserError(
            f'{root}: no list for split {asked.split!r} of {info.name}; expected {_LISTS[0]}/{file} as its archive '
            f'unpacks, or {asked.split}.csv or {asked.split}.txt'
        )
    classes = _classes()
    labels = info.labels_of(classes)
    numbers = {name: number for number, name in enumerate(classes)}
    if (folder / 'classInd.txt').is_file():
        _check_index(folder / 'classInd.txt', numbers)
    name = f'{info.name} {split[0]}{split[1]}'
    listed = [_entry(folder / file, line, text, labels) for line, text in read_lines(folder / file)]
    videos = Files(root, video_folder(root, _VIDEOS, classes, name))
    return VideoDataset(videos.records(listed, name), labels, root, name, asked.cache)


def _check_index(path: Path, numbers: Dict[str, int]) -> None:
    """Refuse a classInd.txt that numbers the classes otherwise: its lists would mean others."""
    for line, text in read_lines(path):
        number, _, name = text.partition(' ')
        if name.strip() not in numbers or number != str(numbers[name.strip()] + 1):
            right = numbers.get(name.strip())
            expected = f'its number is {right + 1}' if right is not None else str(unknown('class', name, numbers))
            raise UserError(f'{path.name} line {line}: {text[:60]!r} is not of UCF101: {expected}')


def _entry(path: Path, line: int, text: str, labels: LabelSet) -> Tuple[str, int]:
    """(file, label) of a line, 'YoYo/v_YoYo_g01_c01.avi' with the number of its class behind it or not.

    Folders may be written with other capitals: many have HandStandPushups, as its videos are called.
    """
    cells: List[str] = text.rsplit(maxsplit=1)
    file = cells[0] if len(cells) == 2 and cells[1].isdecimal() else text
    given: Sequence[str] = cells[1:] if file != text else ()
    file = file.replace('\\', '/')
    name = file.rpartition('/')[0].rpartition('/')[2]
    label = labels.find(name)
    if label is None:
        raise UserError(f'{path.name} line {line}: {text[:60]!r} begins with no folder of a class; such as YoYo/x.avi')
    if given and int(given[0]) != label + 1:
        raise UserError(f'{path.name} line {line}: {name} has label {given[0]} here, but its number is {label + 1}')
    return f'{labels.classes[label]}/{file.rpartition("/")[2]}', label


register_dataset(
    DatasetInfo('ucf101', 101, open_ucf101, _classes, splits=(*SPLITS, 'train2', 'test2', 'train3', 'test3'))
)
