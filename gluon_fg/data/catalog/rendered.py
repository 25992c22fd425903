"""How a rendered dataset is opened: made under its root first, where it is not there yet."""

from __future__ import annotations

from ...errors import unknown
from .. import synthfg
from ..datasets import VideoDataset
from ..readers import from_csv
from .entry import SPLITS, DatasetInfo, Request


def open_rendered(info: DatasetInfo, asked: Request) -> VideoDataset:
    """Open a split of a set that `gluon_fg.data.synthfg` renders; a root of None is MXNet's dataset folder."""
    for split in (asked.split, *asked.sizes):
        if split not in info.splits:
            raise unknown('split', split, info.splits)
    train, val, test = (asked.sizes.get(split) for split in SPLITS)
    folder = synthfg.ensure(asked.root, train, val, test, dataset=info.name)
    name = f'{info.name} {asked.split}'
    return from_csv(folder / f'{asked.split}.csv', folder, info.label_set(), name, asked.cache)
