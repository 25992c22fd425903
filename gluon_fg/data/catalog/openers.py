"""How most datasets are opened: by lists, or by a folder for each class. `DatasetInfo.open` takes either."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import List, Optional, Tuple, Union

from ...errors import UserError, printable, unknown
from ..datasets import VIDEO_SUFFIXES, VideoDataset
from ..folders import check_level, class_folders, folder_classes, split_folders
from ..labels import LabelSet
from ..readers import from_csv, from_folder
from .entry import SPLITS, DatasetInfo, Request

logger = logging.getLogger(__name__)

_LISTS = ('.csv', '.txt', '.json', '.tsv')


def has_lists(info: DatasetInfo, asked: Request) -> bool:
    """Whether lists or folders of one's own stand for a dataset's official ones: what `open_lists` takes."""
    if os.path.isfile(asked.split):
        return True
    root = info.folder(asked.root)
    return list_file(root, asked.split) is not None


def open_lists(info: DatasetInfo, asked: Request) -> VideoDataset:
    """Open root/<split>.csv, else root/<split>.txt; the split may itself be the path of a list (see `from_csv`).

    Where the catalog does not know the classes, those of every split are the training split's, where there is one, so
    that the same label means the same class.
    """
    split, classes, name = asked.split, info.label_set(), f'{info.name} {asked.split}'
    if os.path.isfile(split):
        return from_csv(split, asked.root, classes, name, asked.cache, classes is not None)
    root = info.folder(asked.root)
    path, train = list_file(root, split), list_file(root, 'train')
    if path is None:
        there = sorted(entry.name for entry in root.iterdir() if entry.suffix.lower() in _LISTS)
        raise UserError(
            f'{root}: no list for split {split!r}; expected {split}.csv or {split}.txt'
            + (f', there is {printable(", ".join(there[:4]))}; a list may also be named by its path' if there else '')
        )
    known = classes is not None
    if classes is None and train and train != path:
        classes = from_csv(train, root).labels  # a list that lacks a class could else mean other classes
    return from_csv(path, root, classes, name, asked.cache, known)


def open_folders(info: DatasetInfo, asked: Request, suffixes: Tuple[str, ...] = VIDEO_SUFFIXES) -> VideoDataset:
    """Open root/<split>/<class>/<video>; without a folder for any split root/<class>/<video>, with a warning.

    Classes are the catalog's, else those of the training split, where there is one, so that the same label means the
    same class.
    """
    split, name = asked.split, f'{info.name} {asked.split}'
    root, classes = info.folder(asked.root), info.label_set()
    splits = split_folders(root)
    if split in splits:
        named: Union[LabelSet, List[str], None] = classes
        if classes is None and 'train' in splits:
            named = folder_classes(root / splits['train'])
        return from_folder(root / splits[split], named, name, asked.cache, suffixes)
    if splits and split == 'val':
        raise UserError(
            f'{root}: no folder val beside {" and ".join(splits.values())}; make one, or let gluon-fg finetune '
            'split the videos by the films that they are cut from'
        )
    if splits or split not in SPLITS:
        raise unknown(f'split of {root}:', split, splits or SPLITS)
    check_level(root, class_folders(root))
    logger.warning('%s: no folder for a split (train, val, test); %s is all of it', printable(str(root)), split)
    return from_folder(root, classes, name, asked.cache, suffixes)


def list_file(root: Path, split: str) -> Optional[Path]:
    """Return the path of a split's list in a folder, <split>.csv before <split>.txt; None where there is neither."""
    paths = (root / f'{split}{suffix}' for suffix in ('.csv', '.txt'))
    return next((path for path in paths if path.is_file()), None)
