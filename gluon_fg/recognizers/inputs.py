"""What the networks of the zoo are shown: named inputs, each with the protocol that tests it.

An entry of the zoo names a dataset and one of `INPUTS`. Where a paper (or this zoo) shows a dataset otherwise than the
rest, the input says so itself, in `on`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Mapping, Optional

from ..errors import unknown
from ..input_spec import InputSpec


@dataclasses.dataclass(frozen=True)
class Input:
    """An input says what a network is shown: frames, sizes and scale of a view, and the test protocol.

    Parameters
    ----------
    spec
        the view
    protocol
        name of the test protocol
    on
        what is different on single datasets, by their name: 'protocol', and fields of `spec`
    """

    spec: InputSpec
    protocol: str
    on: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def for_dataset(self, dataset: Optional[str]) -> Input:
        """Return the input as it is for a dataset; None stands for the user's own."""
        changes = dict(self.on.get(dataset or '', {}))
        protocol = changes.pop('protocol', self.protocol)
        return Input(self.spec.replace(**changes), protocol)


def named_input(name: str) -> Input:
    """Return the input of a name in `INPUTS`; raises UserError with the closest name where there is none."""
    if name not in INPUTS:
        raise unknown('input', name, INPUTS)
    return INPUTS[name]


# DFB sec. 4.2: 16 (or 64) frames, 224 of 256 pixels. The stride is our choice: 16 x 4 is two seconds at 30 frames a
# second; Something-Something's videos are short and have 12 a second.
_CLIPS = InputSpec(frames=16, frame_stride=4, short_side=256, crop_size=224)
_FRAMES = InputSpec(frames=1, frame_stride=1, segments=3, short_side=256, crop_size=224, layout='NCHW')
# GluonCV's own I3D networks: 32 frames, every other one. CIDC (sec. 3.3) takes the same clips of every dataset.
_LONG_CLIPS = _CLIPS.replace(frames=32, frame_stride=2)
# Quo Vadis sec. 3: 64 frames of 25 a second; values from -1 to 1, of flow too (20 pixels and more being 1).
_QUO_VADIS = InputSpec(frames=64, frame_stride=1, mean=(0.5,) * 3, std=(0.5,) * 3)
# Its sec. 2.1: every fifth frame, 25 of them; ImageNet's scale, as the weights have it that the network starts from.
# Its sec. 2.2: 16 frames of 112 pixels, of 128 as in the original (Tran et al. 2015, sec. 3.1). Its sec. 2.5: a video
# that is too short starts again.
_EVERY_FIFTH = InputSpec(frames=25, frame_stride=5, short='loop')
_C3D = _QUO_VADIS.replace(frames=16, short_side=128, crop_size=112, short='loop')
# Its secs. 2.3 and 2.4: a single frame, and the 10 fields that follow it; 5 frames, 10 apart, with 10 fields each.
# Colors on ImageNet's scale, as the weights have it that these start from.
_SNAPSHOT = _FRAMES.replace(segments=1)
_FUSED = _CLIPS.replace(frames=5, frame_stride=10)
# Zhao et al., sec. IV-B: 18 frames spread over the whole video, a crop of 224 of 240 pixels.
_SPREAD = InputSpec(frames=18, frame_stride=1, short_side=240, crop_size=224, sampling='spread')
# SynthFG: 54 pixels high, 8 frames.
_TINY_CLIPS = InputSpec(frames=8, frame_stride=1, short_side=54, crop_size=48)
_TINY_FRAMES = InputSpec(frames=1, frame_stride=1, segments=8, short_side=54, crop_size=48, layout='NCHW')
_TINY_SNAPSHOT = _TINY_FRAMES.replace(segments=1)
# As (d) of Quo Vadis, whose fields reach from each frame to the next one: 3 frames, 2 apart, with 2 fields each.
_TINY_FUSED = _TINY_CLIPS.replace(frames=3, frame_stride=2)
# A stack of L = 5 frames of flow, x and y, at each frame (Zhao et al., table VI). L and the scale, -1 to 1 for 20
# pixels either way, are our choice: the paper has neither.
_FLOW_STACK: Dict[str, Any] = dict(mean=(0.5,) * 10, std=(0.5,) * 10)
# Images: Zhao et al., sec. IV-E, who have no sizes of their own for them. ImageNet's networks are tested as they all
# are, by the middle 224 of 256 pixels.
_IMAGES = _FRAMES.replace(segments=1, short_side=240)
_IMAGENET = {'imagenet1k': dict(protocol='train_time', short_side=256)}
# EfficientNet-Lite was trained on (x - 127) / 128 (its authors' code, efficientnet_lite_builder.py).
_LITE: Dict[str, Any] = dict(mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
# TSM: as many frames seen together in testing as in training. One center crop of them is its paper's efficient setting;
# Something-Something-V2 is tested by the ten crops of Zhao et al.
_TOGETHER = {'sthsthv2': dict(protocol='10crop')}


def _flow(fields: int) -> Dict[str, Any]:
    """Scale of a view of flow alone: x and y of so many fields at each frame."""
    return dict(mean=(0.5,) * 2 * fields, std=(0.5,) * 2 * fields)


def _both(spec: InputSpec, fields: int) -> InputSpec:
    """A view of both streams: the colors of a spec, and so many fields behind them at each frame."""
    flow = _flow(fields)
    return spec.replace(mean=spec.mean + flow['mean'], std=spec.std + flow['std'])


INPUTS: Dict[str, Input] = {
    # DFB has nothing on the last three: clips by CIDC's protocol (sec. 3.3), frames by that of Zhao et al.
    # (sec. IV-B), and on Something-Something as many frames as GluonCV's weights were trained with.
    'clips': Input(
        _CLIPS,
        'dfb_3d',
        {
            'sthsthv1': dict(protocol='ssv1', frame_stride=2),
            'sthsthv2': dict(protocol='30view', frame_stride=2),
            'ucf101': dict(protocol='30view'),
            'hmdb51': dict(protocol='30view'),
        },
    ),
    'frames': Input(
        _FRAMES,
        'dfb_2d',
        {
            'sthsthv1': dict(protocol='ssv1'),
            'sthsthv2': dict(protocol='10crop', segments=8),
            'ucf101': dict(protocol='10crop'),
            'hmdb51': dict(protocol='10crop'),
        },
    ),
    'frames8': Input(_FRAMES.replace(segments=8), 'train_time', _TOGETHER),
    'frames16': Input(_FRAMES.replace(segments=16), 'train_time', _TOGETHER),
    'long': Input(_LONG_CLIPS, '30view'),
    # Inception-V3 sees 299 of 340 pixels.
    'large': Input(_LONG_CLIPS.replace(short_side=340, crop_size=299), '30view'),
    'slow': Input(_CLIPS, '30view'),
    # Slow-only without a stride in time: as long a stretch in as few frames as SlowFast's 8 x 8 (our choice).
    # On Something-Something, which is not in CIDC's paper: 2.7 of the 4 seconds that its videos last.
    'sparse': Input(
        _CLIPS.replace(frames=8, frame_stride=8),
        '30view',
        {'sthsthv2': dict(frame_stride=4)},
    ),
    'quo_vadis': Input(_QUO_VADIS, 'train_time'),
    'quo_vadis_flow': Input(_QUO_VADIS.replace(mean=(0.5,) * 2, std=(0.5,) * 2), 'train_time'),
    'quo_vadis_both': Input(_both(_QUO_VADIS, 1), 'whole_video'),
    # Tested on 25 frames and the 250 fields behind them: single ones of (c), 5 clips of (d).
    'snapshot': Input(_SNAPSHOT, '25x1'),
    'snapshot_flow': Input(_SNAPSHOT.replace(**_flow(10)), '25x1'),
    'snapshot_both': Input(_both(_SNAPSHOT, 10), '25x1'),
    'fused': Input(_FUSED, '5x1'),
    'fused_flow': Input(_FUSED.replace(**_flow(10)), '5x1'),
    'fused_both': Input(_both(_FUSED, 10), '5x1'),
    # Tested on 50 frames; and on 240, 15 clips.
    'every_fifth': Input(_EVERY_FIFTH, '1x1@50'),
    'every_fifth_flow': Input(_EVERY_FIFTH.replace(**_flow(5)), '1x1@50'),
    'c3d': Input(_C3D, '15x1'),
    'c3d_flow': Input(_C3D.replace(**_flow(1)), '15x1'),
    'spread': Input(_SPREAD, '10crop'),
    'spread_flow': Input(_SPREAD.replace(**_FLOW_STACK), '10crop'),
    'images': Input(_IMAGES, '10crop', _IMAGENET),
    'lite_frames': Input(_FRAMES.replace(**_LITE), 'dfb_2d'),
    'lite_images': Input(_IMAGES.replace(**_LITE), '10crop', _IMAGENET),
    'tiny_clips': Input(_TINY_CLIPS, 'train_time'),
    'tiny_flow': Input(_TINY_CLIPS.replace(**_FLOW_STACK), 'train_time'),
    'tiny_fields': Input(_TINY_CLIPS.replace(**_flow(1)), 'train_time'),
    'tiny_both': Input(_both(_TINY_CLIPS, 1), 'train_time'),
    'tiny_snapshot': Input(_TINY_SNAPSHOT, '3x1'),
    'tiny_snapshot_flow': Input(_TINY_SNAPSHOT.replace(**_flow(5)), '3x1'),
    'tiny_snapshot_both': Input(_both(_TINY_SNAPSHOT, 5), '3x1'),
    'tiny_fused': Input(_TINY_FUSED, 'train_time'),
    'tiny_fused_flow': Input(_TINY_FUSED.replace(**_flow(2)), 'train_time'),
    'tiny_fused_both': Input(_both(_TINY_FUSED, 2), 'train_time'),
    'tiny_frames': Input(_TINY_FRAMES, 'train_time'),
    'tiny_images': Input(_TINY_SNAPSHOT, 'train_time'),
}
