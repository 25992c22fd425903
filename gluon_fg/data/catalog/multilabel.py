"""Videos of your own with several labels each, root/<split>.csv or .txt: see `label_lists`."""

from __future__ import annotations

import os

from ...errors import UserError
from ..datasets import VideoDataset
from ..label_lists import from_label_list
from .entry import DatasetInfo, Request, register_dataset
from .openers import list_file


def open_label_lists(info: DatasetInfo, asked: Request) -> VideoDataset:
    """Open root/<split>.csv, else root/<split>.txt; the split may itself be the path of a list.

    The classes of every split are the training split's, where there is one, so that a label means the same everywhere.
    """
    split, name = asked.split, f'{info.name} {asked.split}'
    if os.path.isfile(split):
        return from_label_list(split, asked.root, None, name, asked.cache)
    root = info.folder(asked.root)
    path, train = list_file(root, split), list_file(root, 'train')
    if path is None:
        raise UserError(f'{root}: no list for split {split!r}; expected {split}.csv or {split}.txt')
    classes = from_label_list(train, root).labels if train and train != path else None
    return from_label_list(path, root, classes, name, asked.cache)


register_dataset(DatasetInfo('multilabel', None, open_label_lists))
