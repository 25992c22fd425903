"""HMDB51 (Kuehne et al., ICCV 2011): 51 human actions, from films for the most part, three splits.

Read as its archives unpack, under one root:

    videos/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi ...       (or hmdb51_org/, or right under the root)
    testTrainMulti_7030_splits/brush_hair_test_split1.txt ... wave_test_split3.txt

Each of the 3 x 51 lists has a line for every video of its class: name and code, 1 for training, 2 for testing, 0 for
neither; 70 and 30 of each class. Split 1 is `train1` and `test1`, and so on; `train`, `val` and `test` are those of
split 1. Lists of your own, root/train.csv or .txt, come first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, Tuple

from ...errors import UserError, unknown
from ..datasets import VideoDataset
from .entry import SPLITS, DatasetInfo, Request, register_dataset
from .gluoncv_classes import gluoncv_classes
from .layouts import Files, folder_with, numbered_split, read_lines, video_folder
from .openers import has_lists, open_lists

_LISTS = ('testTrainMulti_7030_splits', 'test_train_splits', 'splits', 'annotations', 'metafile', '.')
_VIDEOS = ('videos', 'hmdb51_org', 'hmdb51', 'HMDB51', '.', 'rawframes')
_CODES = {'0': '', '1': 'train', '2': 'test'}


def open_hmdb51(info: DatasetInfo, asked: Request) -> VideoDataset:
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
    classes = gluoncv_classes('HMDB51Attr')()
    files = [f'{name}_test_split{split[1]}.txt' for name in classes]
    folder = next(filter(None, (folder_with(root, _LISTS, file) for file in files)), None)
    if folder is None:
        raise UserError(
            f'{root}: no list for split {asked.split!r} of {info.name}; expected {_LISTS[0]}/{files[0]} and so on as '
            f'its archive unpacks, or {asked.split}.csv or {asked.split}.txt'
        )
    absent = [file for file in files if not (folder / file).is_file()]
    if absent:
        raise UserError(f'{folder}: {len(absent)} of {len(files)} lists are missing, such as {absent[0]}')
    name = f'{info.name} {split[0]}{split[1]}'
    listed = [
        (f'{action}/{video}', label)
        for label, (action, file) in enumerate(zip(classes, files))
        for video in _videos(folder / file, split[0])
    ]
    videos = Files(root, video_folder(root, _VIDEOS, classes, name))
    return VideoDataset(videos.records(listed, name), info.labels_of(classes), root, name, asked.cache)


def _videos(path: Path, part: str) -> Iterator[str]:
    """The videos of a class that are for training, or for testing."""
    for line, text in read_lines(path):
        cells: Tuple[str, ...] = tuple(text.rsplit(maxsplit=1))
        if len(cells) != 2 or cells[1] not in _CODES:
            raise UserError(f'{path.name} line {line}: {text[:60]!r} is not a video and its code, 0, 1 or 2')
        if _CODES[cells[1]] == part:
            yield cells[0]


register_dataset(
    DatasetInfo(
        'hmdb51',
        51,
        open_hmdb51,
        gluoncv_classes('HMDB51Attr'),
        splits=(*SPLITS, 'train2', 'test2', 'train3', 'test3'),
    )
)
