"""Something-Something-V2 (Goyal et al. 2017, arXiv:1706.04261): 174 things done to things, left told from right."""

from __future__ import annotations

from .entry import DatasetInfo, register_dataset
from .gluoncv_classes import gluoncv_classes
from .openers import open_lists

register_dataset(DatasetInfo('sthsthv2', 174, open_lists, gluoncv_classes('SomethingSomethingV2Attr')))
