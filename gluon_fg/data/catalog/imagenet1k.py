"""ImageNet's 1000 classes (Russakovsky et al. 2015, arXiv:1409.0575): what frame networks start from.

Read with a folder for each class, as the training archive unpacks and as the validation images are usually sorted:

    train/n01440764/n01440764_18.JPEG ...     val/n01440764/ILSVRC2012_val_00000293.JPEG ...

Labels follow the folders' names, sorted, as in all published weights.
"""

from __future__ import annotations

from typing import Dict, Tuple

from ...errors import UserError, unknown
from ..datasets import VideoDataset
from ..folders import class_folders
from ..labels import LabelSet
from ..readers import from_folder
from ..video import IMAGE_SUFFIXES
from .entry import DatasetInfo, Request, register_dataset
from .gluoncv_classes import gluoncv_classes, imagenet_folders

# GluonCV's short names, where two classes share one or differ by a capital letter alone.
_CLEARER: Dict[str, str] = {
    'n02012849': 'crane (bird)',
    'n03126707': 'crane (machine)',
    'n02113186': 'Cardigan Welsh corgi',
    'n03710721': 'tank suit',
}


def _classes() -> Tuple[str, ...]:
    names = gluoncv_classes('ImageNet1kAttr')()
    return tuple(_CLEARER.get(folder, name) for folder, name in zip(imagenet_folders(), names))


def open_imagenet(info: DatasetInfo, asked: Request) -> VideoDataset:
    """Open root/<split>/<n01440764 ...>/<image>; a folder of a few of the classes keeps their labels.

    Raises
    ------
    UserError
        no root, an unknown split, no folders in it, or one that is not of the 1000
    """
    root = info.folder(asked.root)
    if asked.split not in info.splits:
        raise unknown(f'split of {info.name}', asked.split, info.splits)
    folder = root / asked.split
    if folder.is_dir() and not class_folders(folder):
        raise UserError(
            f'{folder}: no class folders; images lie in {folder}/n01440764/ and so on: sort those of the validation '
            f'archive by their class'
        )
    listed = from_folder(folder, LabelSet(imagenet_folders()), suffixes=IMAGE_SUFFIXES)
    return VideoDataset(listed.records, info.labels_of(_classes()), folder, f'{info.name} {asked.split}', asked.cache)


# What is seen in a mirror is of the same kind.
register_dataset(DatasetInfo('imagenet1k', 1000, open_imagenet, _classes, symmetric=True, splits=('train', 'val')))
