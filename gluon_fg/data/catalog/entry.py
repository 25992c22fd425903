"""What the catalog knows of a dataset, and the datasets that it has."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ...errors import UserError, unknown
from ..datasets import VideoDataset, existing_folder
from ..folders import SPLITS
from ..labels import LabelSet


class Request(NamedTuple):
    """A request holds what was asked of `build_dataset` beside the dataset's name.

    Parameters
    ----------
    split
        'train', 'val', 'test', or another that the dataset takes
    root
        folder of the dataset, or None
    cache
        'none' or 'memory', for `VideoDataset`
    sizes
        clips or images of each split; empty unless the dataset is rendered
    """

    split: str
    root: Optional[Union[str, os.PathLike]] = None
    cache: str = 'none'
    sizes: Mapping[str, int] = {}


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """A record of all that is known of a dataset before its files are read.

    Parameters
    ----------
    name
        as users type it
    nclass
        number of classes, M; None: as many as its lists or folders name
    open
        called with this record and a `Request`, gives the `VideoDataset` of a split; `open_lists` and `open_folders`
        serve most
    classes
        (M,) class names in the order of their labels, or a function that gives them, called when they are first needed;
        None: only the files tell
    groups
        (M,) name of each class's group (meta-category), or a function that tells them from the class names, or None
    symmetric
        True: in a mirror every clip is one of the same class. False: class names that say left, right or clockwise
        decide (`flip_map_from_names`)
    splits
        names of its splits
    rendered
        True: made here on first use, in sizes that may be asked for

    Raises
    ------
    UserError
        a name, class list or group list that cannot be
    """

    name: str
    nclass: Optional[int]
    open: Callable[[DatasetInfo, Request], VideoDataset]
    classes: Union[Sequence[str], Callable[[], Sequence[str]], None] = None
    groups: Union[Sequence[str], Callable[[Sequence[str]], Optional[Sequence[str]]], None] = None
    symmetric: bool = False
    splits: Tuple[str, ...] = SPLITS
    rendered: bool = False

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise UserError(f'a dataset needs a name, got {self.name!r}')
        if not (self.classes is None or callable(self.classes)) and len(self.classes) != self.nclass:
            raise UserError(f'dataset {self.name!r}: {len(self.classes)} class names for nclass {self.nclass}')

    def label_set(self) -> Optional[LabelSet]:
        """Return labels, groups and mirror rules of its classes; None where only its files tell the classes."""
        classes = self.classes() if callable(self.classes) else self.classes
        return None if classes is None else self.labels_of(classes)

    def labels_of(self, classes: Sequence[str]) -> LabelSet:
        """Return labels, groups and mirror rules of classes that were read from its files."""
        told = self.groups(classes) if callable(self.groups) else self.groups
        groups = None if told is None else tuple(told)
        if self.symmetric:
            return LabelSet(tuple(classes), groups, np.arange(len(classes)))
        return LabelSet(tuple(classes), groups)

    def folder(self, root: Optional[Union[str, os.PathLike]]) -> Path:
        """Check the root folder that the dataset cannot do without; raises UserError where there is none."""
        if root is None:
            raise UserError(f'dataset {self.name!r} needs a root folder; set data.root')
        return existing_folder(root)


_datasets: Dict[str, DatasetInfo] = {}


def register_dataset(info: DatasetInfo) -> None:
    """Add a dataset to the catalog, so that `build_dataset`, configs and models know it by name.

    Raises
    ------
    UserError
        the name is taken
    """
    if info.name in _datasets:
        raise UserError(f'dataset {info.name!r} is registered already; choose another name')
    _datasets[info.name] = info


def dataset_info(name: str) -> DatasetInfo:
    """Return the catalog's record of a dataset; raises UserError with the closest names where there is none."""
    if name not in _datasets:
        raise unknown('dataset', name, _datasets)
    return _datasets[name]


def list_datasets() -> List[str]:
    """List the names of all datasets in the catalog, sorted."""
    return sorted(_datasets)


def label_set(name: Optional[str]) -> Optional[LabelSet]:
    """Return the labels of a dataset whose classes the catalog knows, in their order; None for any other name."""
    return _datasets[name].label_set() if name in _datasets else None
