"""The datasets known by name, a file each: classes, groups, mirror rules, and how their lists and folders are opened.

A new file in this folder is all that a new dataset takes. One of your own, outside the package, is added with
`register_dataset`.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from typing import Mapping, Optional, Union

from ...errors import UserError
from ..class_groups import with_groups_beside
from ..datasets import VideoDataset
from ..manifest import open_manifest
from .entry import DatasetInfo, Request, dataset_info, label_set, list_datasets, register_dataset
from .openers import open_folders, open_lists

__all__ = [
    'DatasetInfo',
    'Request',
    'build_dataset',
    'dataset_info',
    'label_set',
    'list_datasets',
    'open_folders',
    'open_lists',
    'register_dataset',
]

for _file in pkgutil.iter_modules(__path__):  # each registers its dataset
    importlib.import_module(f'{__name__}.{_file.name}')


def build_dataset(
    name: str,
    split: str,
    root: Optional[Union[str, os.PathLike]] = None,
    cache: str = 'none',
    sizes: Optional[Mapping[str, int]] = None,
) -> VideoDataset:
    """Open a split of a dataset by the dataset's name (`list_datasets`; each has a file in `gluon_fg/data/catalog`).

    - 'synthfg', 'synthfg_images', 'synthfg_motion', 'synthfg_order': rendered here, under `root` on first use
    - 'folder', 'image_folder': your own, root/<split>/<class>/<video or image> (`open_folders`)
    - 'csv': your own, root/<split>.csv or .txt (`open_lists`)
    - 'kinetics400', 'kinetics600', 'kinetics700', 'minikinetics', 'sthsthv1', 'sthsthv2', 'ucf101', 'hmdb51',
      'diving48', 'gym99', 'gym288': as they are published, or such lists; each one's file says what is looked for
    - 'stanfordcars', 'stanforddogs': images, as their archives unpack; 'imagenet1k': images, a folder for each class

    Classes that have no groups get those of a `groups.csv` in the folder (`gluon_fg.data.class_groups`).

    Parameters
    ----------
    split
        'train', 'val' or 'test'; for lists also the path of one
    root
        folder of the dataset, or the manifest that `gluon-fg data prepare` wrote for it (a file `.parquet`); None is
        MXNet's dataset folder for those rendered here. A manifest in the folder is taken where it is fresh: the
        dataset is the same, and nothing is walked or scanned (`gluon_fg.data.manifest`)
    cache
        'none', or 'memory': see `VideoDataset`
    sizes
        those rendered here only: clips (images) for each split, {'train': 2400, ...}; None accepts what is there

    Raises
    ------
    UserError
        an unknown name or split, no root, and everything that reading the list can find
    """
    info = dataset_info(name)
    if sizes and not info.rendered:
        raise UserError(f'sizes are for the dataset synthfg, which is rendered; {name!r} is what it is')
    if info.rendered:
        return info.open(info, Request(split, root, cache, sizes or {}))
    videos, root = open_manifest(name, split, root, cache)
    if videos is None:
        videos = info.open(info, Request(split, root, cache))
    videos.labels = with_groups_beside(videos.labels, root, videos.root)
    return videos
