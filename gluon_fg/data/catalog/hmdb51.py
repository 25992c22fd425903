"""HMDB51 (Kuehne et al., ICCV 2011): 51 human actions, from films for the most part."""

from __future__ import annotations

from .entry import DatasetInfo, register_dataset
from .gluoncv_classes import gluoncv_classes
from .openers import open_lists

register_dataset(DatasetInfo('hmdb51', 51, open_lists, gluoncv_classes('HMDB51Attr')))
