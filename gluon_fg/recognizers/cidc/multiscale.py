"""The stacks of CIDC units on several stages, each joined into the next, and the attention between stages (sec. 3.2).

The file `network.py` draws where it stands.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

import numpy as np
from mxnet.gluon import HybridBlock, nn

from ...errors import UserError
from ...nn.cidc import CIDC, DIRECTIONS
from ...nn.upsample import BilinearUpsample


class SpatialAttention(HybridBlock):
    """Weights an earlier stage by where a later one responds (eq. 3): Bilinear(att(F)) F_x + F_x.

    Both the mean over channels and the spreading of its map over channels are 1x1x1 convolutions with constant weights:
    MXNet's reductions over an inner axis, which broadcasting has in its backward pass, take four times as long.

    Parameters
    ----------
    channels, late_channels
        of F_x and of F
    space, time
        how many times finer F_x is; powers of two in space. In time a map is repeated

    Inputs:
        - **early**: F_x (N, channels, T, H, W)
        - **late**: F (N, late_channels, T / time, H / space, W / space), sizes rounded up

    Outputs:
        - **weighted**: (N, channels, T, H, W)
    """

    def __init__(self, channels: int, late_channels: int, space: int, time: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self._channels, self._time = channels, time
        with self.name_scope():
            self.mean = self.params.get_constant('mean', np.full((1, late_channels, 1, 1, 1), 1 / late_channels))
            self.spread = self.params.get_constant('spread', np.ones((channels, 1, 1, 1, 1)))
            self.upsample = nn.HybridSequential()
            for _ in range(space.bit_length() - 1):
                self.upsample.add(BilinearUpsample(1))

    def hybrid_forward(self, F, early, late, mean, spread):
        attention = F.sigmoid(F.Convolution(late, mean, kernel=(1, 1, 1), num_filter=1, no_bias=True))
        weight = self.upsample(attention)
        if self._time > 1:
            weight = F.repeat(weight, self._time, axis=2)
        weight = F.slice_like(weight, early, axes=(2, 3, 4))  # an odd size comes back one longer
        return early * F.Convolution(1 + weight, spread, kernel=(1, 1, 1), num_filter=self._channels, no_bias=True)


class MultiScale(HybridBlock):
    """Stacks of CIDC units on several stages, each joined into the next (sec. 3.2, Fig. 3).

    The last unit of a stage gives as many frames as the next stage has, or a multiple, which that stage's features are
    repeated for: as many as there are directions, where each gives all frames.

    Parameters
    ----------
    channels, strides, frames
        stage -> C, spatial stride and T of its features; the last stage is where F_CIDC comes from
    units
        stage -> CIDC units in a row on it
    attention
        weight earlier stages by later ones first (eq. 3)
    direction, normalize, out_frames
        as for `CIDCNetwork`

    Inputs:
        - **features**: F_x (N, C, T, H, W) of each stage, in order

    Outputs:
        - **y**: F_CIDC (N, C, T', H, W) of the last stage's C, H and W; T' is `out_frames` of this block
    """

    def __init__(
        self,
        channels: Dict[int, int],
        strides: Dict[int, int],
        frames: Dict[int, int],
        units: Dict[int, int],
        attention: bool,
        direction: str,
        normalize: bool,
        out_frames: Optional[int],
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self._stages, self._attention = sorted(units), attention
        self._repeats: Dict[int, int] = {}
        width = 0  # frames of what is handed on
        former: Optional[int] = None  # the stage that hands it on
        with self.name_scope():
            for stage in self._stages:
                if former is not None:
                    space = strides[stage] // strides[former]
                    if attention:
                        time = frames[former] // frames[stage]
                        attend = SpatialAttention(channels[former], channels[stage], space, time)
                        setattr(self, f'attend{former}', attend)
                    setattr(self, f'join{stage}', _join(channels[former], channels[stage], space))
                    if width % frames[stage]:
                        raise UserError(
                            f'out_frames {out_frames} gives {width} frames in all, no multiple of the {frames[stage]} '
                            f'of stage {stage}; leave it out'
                        )
                    self._repeats[stage] = width // frames[stage]
                else:
                    width = frames[stage]
                later = [s for s in self._stages if s > stage]
                stack = nn.HybridSequential()
                with stack.name_scope():
                    for unit in range(units[stage]):
                        last = bool(later) and unit == units[stage] - 1
                        wanted = out_frames
                        if wanted is None:
                            wanted = _each_way(frames[later[0] if last else stage], direction)
                        stack.add(CIDC(channels[stage], width, wanted, direction, normalize))
                        width = stack[-1].out_frames
                setattr(self, f'units{stage}', stack)
                former = stage
        self.out_frames = width

    def hybrid_forward(self, F, *features):
        inputs = dict(zip(self._stages, features))
        if self._attention:
            for early, late in reversed(list(zip(self._stages, self._stages[1:]))):
                inputs[early] = getattr(self, f'attend{early}')(inputs[early], inputs[late])
        y = None
        for stage in self._stages:
            x = inputs[stage]
            if y is not None:
                if self._repeats[stage] > 1:
                    x = F.tile(x, reps=(1, 1, self._repeats[stage], 1, 1))
                x = x + getattr(self, f'join{stage}')(y)
            y = getattr(self, f'units{stage}')(x)
        return y


def _join(in_channels: int, channels: int, space: int) -> HybridBlock:
    """Brings an earlier stage's features to a later one's size: average pooling, then a 1x1x1 convolution."""
    join = nn.HybridSequential()
    with join.name_scope():
        if space > 1:
            window = (1, space, space)
            join.add(nn.AvgPool3D(window, window, ceil_mode=True, count_include_pad=False))
        join.add(nn.Conv3D(channels, 1, in_channels=in_channels, use_bias=False))
    return join


def _each_way(frames: int, direction: str) -> int:
    """Output frames of one direction where all of them together give `frames`."""
    ways = len(DIRECTIONS[direction])
    if frames % ways:
        raise UserError(
            f'direction {direction!r} gives each direction the same share of the {frames} frames of the features; '
            f'choose longer or shorter clips, out_frames, or direction forward'
        )
    return frames // ways
