"""The labels of datasets that are known by name."""

from __future__ import annotations

from typing import Optional

from ..errors import unknown
from . import synthfg
from .labels import LabelSet

_OURS = {
    'synthfg': synthfg.label_set,
    'synthfg_order': synthfg.order_label_set,
    'synthfg_images': synthfg.image_label_set,
}
_GLUONCV = {
    'kinetics400': 'Kinetics400Attr',
    'kinetics700': 'Kinetics700Attr',
    'sthsthv2': 'SomethingSomethingV2Attr',
    'ucf101': 'UCF101Attr',
    'hmdb51': 'HMDB51Attr',
}


def label_set(dataset: str) -> Optional[LabelSet]:
    """The labels of a dataset known by name, or None for any other name.

    'synthfg', its subset 'synthfg_order' and 'synthfg_images' are our own; 'kinetics400', 'kinetics700', 'sthsthv2',
    'ucf101' and 'hmdb51' are read from GluonCV, in its order (that of its published weights).
    """
    if dataset in _OURS:
        return _OURS[dataset]()
    if dataset not in _GLUONCV:
        return None
    import gluoncv.data  # slow: only for those who ask

    return LabelSet(tuple(getattr(gluoncv.data, _GLUONCV[dataset])().classes))


CLASS_COUNTS = {
    'kinetics400': 400, 'kinetics700': 700, 'sthsthv1': 174, 'sthsthv2': 174, 'ucf101': 101, 'hmdb51': 51,
    'synthfg': 24, 'synthfg_images': 8, 'synthfg_order': 16, 'stanfordcars': 196, 'stanforddogs': 120,
}  # fmt: skip


def class_count(dataset: str) -> int:
    """Number of classes of a dataset known by name."""
    if dataset not in CLASS_COUNTS:
        raise unknown('dataset', dataset, CLASS_COUNTS)
    return CLASS_COUNTS[dataset]
