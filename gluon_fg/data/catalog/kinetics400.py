"""Kinetics-400 (Kay et al. 2017, arXiv:1705.06950): 400 human actions, clips of 10 seconds."""

from __future__ import annotations

from .entry import DatasetInfo, register_dataset
from .gluoncv_classes import gluoncv_classes
from .kinetics import open_kinetics
from .kinetics_parents import parent_groups

register_dataset(
    DatasetInfo('kinetics400', 400, open_kinetics, gluoncv_classes('Kinetics400Attr'), groups=parent_groups)
)
