"""What an entry of the zoo is for: dataset, number of classes, test protocol and input."""

from __future__ import annotations

import dataclasses
from typing import Optional

from ..input_spec import InputSpec


@dataclasses.dataclass(frozen=True)
class Task:
    """Facts of a setting.

    Parameters
    ----------
    dataset
        its name, or None for a user's own
    nclass
        number of classes; None: given by the user
    protocol
        name of the test protocol
    input_spec
        frames, sizes and scale of a view
    """

    dataset: Optional[str]
    nclass: Optional[int]
    protocol: str
    input_spec: InputSpec


# DFB sec. 4.2: 16 (or 64) frames, 224 of 256 pixels. The stride is ours: 16 x 4 is two seconds at 30 frames a second;
# Something-Something's videos are short and have 12 a second.
_CLIPS = InputSpec(frames=16, frame_stride=4, short_side=256, crop_size=224)
_FRAMES = InputSpec(frames=1, frame_stride=1, segments=3, short_side=256, crop_size=224, layout='NCHW')
# GluonCV's own I3D networks: 32 frames, every other one; Inception-V3 sees 299 of 340 pixels.
_LONG_CLIPS = _CLIPS.replace(frames=32, frame_stride=2)
# CIDC sec. 3.3, too. Slow-only without a stride in time: as long a stretch in as few frames as SlowFast's 8 x 8 (ours).
_SPARSE_CLIPS = _CLIPS.replace(frames=8, frame_stride=8)
_LARGE_CLIPS = _LONG_CLIPS.replace(short_side=340, crop_size=299)
# Quo Vadis sec. 3: 64 frames of 25 a second; values from -1 to 1, of flow too (20 pixels and more being 1).
_QUO_VADIS = InputSpec(frames=64, frame_stride=1, mean=(0.5,) * 3, std=(0.5,) * 3)
_QUO_VADIS_FLOW = _QUO_VADIS.replace(mean=(0.5,) * 2, std=(0.5,) * 2)
# U2S sec. IV-B: 18 frames spread over the whole video, a crop of 224 of 240 pixels.
_SPREAD_CLIPS = InputSpec(frames=18, frame_stride=1, short_side=240, crop_size=224, sampling='spread')
# Its second stream (table VI): at each of them a stack of L = 5 frames of flow, x and y. L and the scale, -1 to 1 for
# 20 pixels either way, are ours: the paper has neither.
_SPREAD_FLOW = _SPREAD_CLIPS.replace(mean=(0.5,) * 10, std=(0.5,) * 10)
# Images, U2S sec. IV-E, which has no sizes of their own for them.
_IMAGES = InputSpec(frames=1, frame_stride=1, short_side=240, crop_size=224, layout='NCHW')
# SynthFG: 54 pixels high, 8 frames.
_TINY_CLIPS = InputSpec(frames=8, frame_stride=1, short_side=54, crop_size=48)
_TINY_FRAMES = InputSpec(frames=1, frame_stride=1, segments=8, short_side=54, crop_size=48, layout='NCHW')

KINETICS400_3D = Task('kinetics400', 400, 'dfb_3d', _CLIPS)
KINETICS400_2D = Task('kinetics400', 400, 'dfb_2d', _FRAMES)
# The same, but for the networks that are CIDC's (sec. 3.3), Quo Vadis' and GluonCV's own.
KINETICS400_LONG = Task('kinetics400', 400, '30view', _LONG_CLIPS)
KINETICS400_LARGE = Task('kinetics400', 400, '30view', _LARGE_CLIPS)
KINETICS400_SLOW = Task('kinetics400', 400, '30view', _CLIPS)
KINETICS700_SLOW = Task('kinetics700', 700, '30view', _CLIPS)
KINETICS400_QUO_VADIS = Task('kinetics400', 400, 'train_time', _QUO_VADIS)
KINETICS400_QUO_VADIS_FLOW = Task('kinetics400', 400, 'train_time', _QUO_VADIS_FLOW)
CUSTOM_LONG = Task(None, None, '30view', _LONG_CLIPS)
CUSTOM_LARGE = Task(None, None, '30view', _LARGE_CLIPS)
CUSTOM_SLOW = Task(None, None, '30view', _CLIPS)
CUSTOM_QUO_VADIS = Task(None, None, 'train_time', _QUO_VADIS)
CUSTOM_QUO_VADIS_FLOW = Task(None, None, 'train_time', _QUO_VADIS_FLOW)
STHSTHV1_3D = Task('sthsthv1', 174, 'ssv1', _CLIPS.replace(frame_stride=2))
STHSTHV1_2D = Task('sthsthv1', 174, 'ssv1', _FRAMES)
# DFB has nothing on these three: clips by CIDC's protocol (sec. 3.3), frames by U2S's (sec. IV-B), and on
# Something-Something as many frames as GluonCV's weights were trained with.
STHSTHV2_3D = Task('sthsthv2', 174, '30view', _CLIPS.replace(frame_stride=2))
STHSTHV2_2D = Task('sthsthv2', 174, '10crop', _FRAMES.replace(segments=8))
# CIDC (sec. 3.3) takes the same clips of every dataset. Slow-only on Something-Something, which is not in the paper:
# 2.7 of the 4 seconds that its videos last.
STHSTHV2_LONG = Task('sthsthv2', 174, '30view', _LONG_CLIPS)
UCF101_LONG = Task('ucf101', 101, '30view', _LONG_CLIPS)
HMDB51_LONG = Task('hmdb51', 51, '30view', _LONG_CLIPS)
KINETICS400_SPARSE = Task('kinetics400', 400, '30view', _SPARSE_CLIPS)
STHSTHV2_SPARSE = Task('sthsthv2', 174, '30view', _SPARSE_CLIPS.replace(frame_stride=4))
UCF101_SPARSE = Task('ucf101', 101, '30view', _SPARSE_CLIPS)
HMDB51_SPARSE = Task('hmdb51', 51, '30view', _SPARSE_CLIPS)
CUSTOM_SPARSE = Task(None, None, '30view', _SPARSE_CLIPS)
STHSTHV2_SPREAD = Task('sthsthv2', 174, '10crop', _SPREAD_CLIPS)
UCF101_SPREAD = Task('ucf101', 101, '10crop', _SPREAD_CLIPS)
HMDB51_SPREAD = Task('hmdb51', 51, '10crop', _SPREAD_CLIPS)
CUSTOM_SPREAD = Task(None, None, '10crop', _SPREAD_CLIPS)
STHSTHV2_SPREAD_FLOW = Task('sthsthv2', 174, '10crop', _SPREAD_FLOW)
UCF101_SPREAD_FLOW = Task('ucf101', 101, '10crop', _SPREAD_FLOW)
HMDB51_SPREAD_FLOW = Task('hmdb51', 51, '10crop', _SPREAD_FLOW)
CUSTOM_SPREAD_FLOW = Task(None, None, '10crop', _SPREAD_FLOW)
UCF101_3D = Task('ucf101', 101, '30view', _CLIPS)
HMDB51_3D = Task('hmdb51', 51, '30view', _CLIPS)
HMDB51_2D = Task('hmdb51', 51, '10crop', _FRAMES)
CUSTOM_3D = Task(None, None, 'dfb_3d', _CLIPS)
CUSTOM_2D = Task(None, None, 'dfb_2d', _FRAMES)
SYNTHFG_3D = Task('synthfg', 24, 'train_time', _TINY_CLIPS)
TINY_CUSTOM_FLOW = Task(None, None, 'train_time', _TINY_CLIPS.replace(mean=(0.5,) * 10, std=(0.5,) * 10))
SYNTHFG_2D = Task('synthfg', 24, 'train_time', _TINY_FRAMES)
STANFORDCARS = Task('stanfordcars', 196, '10crop', _IMAGES)
STANFORDDOGS = Task('stanforddogs', 120, '10crop', _IMAGES)
CUSTOM_IMAGES = Task(None, None, '10crop', _IMAGES)
SYNTHFG_IMAGES = Task('synthfg_images', 8, 'train_time', _TINY_FRAMES.replace(segments=1))
TINY_CUSTOM_IMAGES = Task(None, None, 'train_time', _TINY_FRAMES.replace(segments=1))
TINY_CUSTOM_3D = Task(None, None, 'train_time', _TINY_CLIPS)
TINY_CUSTOM_2D = Task(None, None, 'train_time', _TINY_FRAMES)
