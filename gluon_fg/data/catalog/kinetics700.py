"""Kinetics-700 (Carreira et al. 2019, arXiv:1907.06987): 700 human actions, clips of 10 seconds."""

from __future__ import annotations

from .entry import DatasetInfo, register_dataset
from .gluoncv_classes import gluoncv_classes
from .kinetics import open_kinetics

register_dataset(DatasetInfo('kinetics700', 700, open_kinetics, gluoncv_classes('Kinetics700Attr')))
