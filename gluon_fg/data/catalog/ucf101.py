"""UCF101 (Soomro et al. 2012, arXiv:1212.0402): 101 human actions."""

from __future__ import annotations

from .entry import DatasetInfo, register_dataset
from .gluoncv_classes import gluoncv_classes
from .openers import open_lists

register_dataset(DatasetInfo('ucf101', 101, open_lists, gluoncv_classes('UCF101Attr')))
