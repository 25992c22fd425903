"""TSM (Lin et al., ICCV 2019, arXiv:1811.08383): the TSN baseline on a ResNet-50 whose features shift in time.

One of the networks U2S is built on (sec. IV-C). 8 or 16 frames, one from each equal part of the video, as many in
testing as in training: with another number the shift reaches over other stretches of time. Ours for what is left
open: Kinetics-400 is tested on one centre crop of them (the paper's efficient setting), Something-Something-V2 by U2S's
ten crops.
"""

from __future__ import annotations

import dataclasses

from ..registry import register
from .baseline import Baseline
from .tasks import CUSTOM_2D, KINETICS400_2D, STHSTHV2_2D, Task


def _together(task: Task, segments: int, protocol: str) -> Task:
    """The task with so many frames of a video seen together, under a protocol that shows them so."""
    return dataclasses.replace(task, protocol=protocol, input_spec=task.input_spec.replace(segments=segments))


KINETICS400_8F = _together(KINETICS400_2D, 8, 'train_time')
KINETICS400_16F = _together(KINETICS400_2D, 16, 'train_time')
STHSTHV2_8F = _together(STHSTHV2_2D, 8, '10crop')
STHSTHV2_16F = _together(STHSTHV2_2D, 16, '10crop')
CUSTOM_8F = _together(CUSTOM_2D, 8, 'train_time')
CUSTOM_16F = _together(CUSTOM_2D, 16, 'train_time')

register('tsm8f_resnet50_v1b_kinetics400', Baseline, KINETICS400_8F, backbone='tsm_resnet50_v1b')
register('tsm16f_resnet50_v1b_kinetics400', Baseline, KINETICS400_16F, backbone='tsm_resnet50_v1b')
register('tsm8f_resnet50_v1b_sthsthv2', Baseline, STHSTHV2_8F, backbone='tsm_resnet50_v1b')
register('tsm16f_resnet50_v1b_sthsthv2', Baseline, STHSTHV2_16F, backbone='tsm_resnet50_v1b')
register('tsm8f_resnet50_v1b_custom', Baseline, CUSTOM_8F, backbone='tsm_resnet50_v1b')
register('tsm16f_resnet50_v1b_custom', Baseline, CUSTOM_16F, backbone='tsm_resnet50_v1b')
