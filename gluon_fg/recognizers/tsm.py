"""TSM (Lin et al., ICCV 2019, arXiv:1811.08383): the TSN baseline on a ResNet-50 whose features shift in time.

Zhao et al. build on it, too (sec. IV-C). 8 or 16 frames, one from each equal part of the video, as many in
testing as in training: with another number the shift reaches over other stretches of time. The test protocols are our
choice (see `inputs`).
"""

from __future__ import annotations

from ..registry import register
from .baseline import Baseline

# name, method, dataset (None: the user's own), input, backbone
register('tsm8f_resnet50_v1b_kinetics400', Baseline, 'kinetics400', 'frames8', 'tsm_resnet50_v1b')
register('tsm16f_resnet50_v1b_kinetics400', Baseline, 'kinetics400', 'frames16', 'tsm_resnet50_v1b')
register('tsm8f_resnet50_v1b_sthsthv2', Baseline, 'sthsthv2', 'frames8', 'tsm_resnet50_v1b')
register('tsm16f_resnet50_v1b_sthsthv2', Baseline, 'sthsthv2', 'frames16', 'tsm_resnet50_v1b')
register('tsm8f_resnet50_v1b_custom', Baseline, None, 'frames8', 'tsm_resnet50_v1b')
register('tsm16f_resnet50_v1b_custom', Baseline, None, 'frames16', 'tsm_resnet50_v1b')
