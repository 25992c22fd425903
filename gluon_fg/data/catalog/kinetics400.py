"""Kinetics-400 (Kay et al. 2017, arXiv:1705.06950): 400 human actions, clips of 10 seconds."""

from __future__ import annotations

from .entry import DatasetInfo, register_dataset
from .gluoncv_classes import gluoncv_classes
from .openers import open_lists

register_dataset(DatasetInfo('kinetics400', 400, open_lists, gluoncv_classes('Kinetics400Attr')))
