"""Something-Something-V1 (Goyal et al. 2017, arXiv:1706.04261): 174 classes, each video a folder of frames.

GluonCV has no list of its classes: they are those of the lists.
"""

from __future__ import annotations

from .entry import DatasetInfo, register_dataset
from .openers import open_lists

register_dataset(DatasetInfo('sthsthv1', 174, open_lists))
