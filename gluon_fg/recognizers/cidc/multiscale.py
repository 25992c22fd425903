"""The stacks of CIDC units on several stages, each joined into the next, and the attention between stages (sec. 3.2).

The file `network.py` draws where it stands.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from mxnet.gluon import HybridBlock, nn

from ...errors import UserError
from ...nn.cidc import CIDC
from ...nn.norm import deploying
from ...nn.upsample import BilinearUpsample

# What the last unit's batch norm scale starts with: F_CIDC is small beside the features of a trained backbone then.
_START = 0.1


class Scales(NamedTuple):
    """The stages that units stand on: each stage's channels, spatial stride, frames T, and number of units in a row."""

    channels: Dict[int, int]
    strides: Dict[int, int]
    frames: Dict[int, int]
    units: Dict[int, int]


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
        if deploying():
            return F.broadcast_mul(early, 1 + weight)
        return early * F.Convolution(1 + weight, spread, kernel=(1, 1, 1), num_filter=self._channels, no_bias=True)


class _Attending(HybridBlock):
    """Blocks over several stages, of which later ones weight earlier ones first (eq. 3) where that is wanted."""

    def __init__(self, scales: Scales, attention: bool, **kwargs: Any):
        super().__init__(**kwargs)
        self._stages = sorted(scales.units)
        self._attention = list(zip(self._stages, self._stages[1:])) if attention else []
        with self.name_scope():
            for early, late in self._attention:
                space = scales.strides[late] // scales.strides[early]
                time = scales.frames[early] // scales.frames[late]
                attend = SpatialAttention(scales.channels[early], scales.channels[late], space, time)
                setattr(self, f'attend{early}', attend)

    def attended(self, features: Sequence[Any]) -> List[Any]:
        """The features of each stage, weighted."""
        inputs = dict(zip(self._stages, features))
        for early, late in reversed(self._attention):
            inputs[early] = getattr(self, f'attend{early}')(inputs[early], inputs[late])
        return [inputs[stage] for stage in self._stages]


class MultiScale(_Attending):
    """A stack of CIDC units on several stages, each joined into the next (sec. 3.2, Fig. 3).

    The last unit of a stage gives as many frames as the next stage has, or a multiple, which that stage's features are
    repeated for. The last unit of all has a batch norm whose scale starts at 0.1.

    Parameters
    ----------
    scales
        the stages; the last one is where F_CIDC comes from
    attention
        weight earlier stages by later ones first (eq. 3)
    direction
        of every unit; 'chained': bidirectional units, whose outputs [forward | backward] are the next one's time axis,
        half of its frames each unless `out_frames` says otherwise
    normalize, out_frames
        as for `CIDCNetwork`

    Inputs:
        - **features**: F_x (N, C, T, H, W) of each stage, in order

    Outputs:
        - **y**: F_CIDC (N, C, T', H, W) of the last stage's C, H and W; T' is `out_frames` of this block
    """

    def __init__(
        self,
        scales: Scales,
        attention: bool,
        direction: str,
        normalize: Union[str, bool],
        out_frames: Optional[int],
        **kwargs: Any,
    ):
        super().__init__(scales, attention, **kwargs)
        self._chained = direction == 'chained'
        self._repeats: Dict[int, int] = {}
        width = scales.frames[self._stages[0]]  # frames of what is handed on
        with self.name_scope():
            for former, stage in zip([None, *self._stages], self._stages):
                if former is not None:
                    space = scales.strides[stage] // scales.strides[former]
                    setattr(self, f'join{stage}', _join(scales.channels[former], scales.channels[stage], space))
                    self._repeats[stage] = _whole(width, scales.frames[stage], stage, out_frames)
                later = [s for s in self._stages if s > stage]
                stack = nn.HybridSequential()
                with stack.name_scope():
                    for unit in range(scales.units[stage]):
                        last = unit == scales.units[stage] - 1
                        wanted = out_frames
                        if wanted is None:
                            wanted = scales.frames[later[0] if later and last else stage]
                            wanted = _half(wanted) if self._chained else wanted
                        way = 'both' if self._chained else direction
                        gamma = 1.0 if later or not last else _START
                        stack.add(CIDC(scales.channels[stage], width, wanted, way, normalize, gamma=gamma))
                        width = stack[-1].out_frames
                setattr(self, f'units{stage}', stack)
        self.out_frames = width

    def each_unit(self) -> Iterator[Tuple[int, int, CIDC]]:
        """(stage, number in the stage, unit), from the input on."""
        for stage in self._stages:
            for number, unit in enumerate(getattr(self, f'units{stage}'), 1):
                yield stage, number, unit

    def hybrid_forward(self, F, *features):
        y = None
        for stage, x in zip(self._stages, self.attended(features)):
            if y is not None:
                times = self._repeats[stage]
                if times > 1:  # in their place, or one series for each direction
                    x = F.tile(x, reps=(1, 1, times, 1, 1)) if self._chained else F.repeat(x, times, axis=2)
                x = x + getattr(self, f'join{stage}')(y)
            y = getattr(self, f'units{stage}')(x)
        return y


class BothWays(_Attending):
    """Two stacks of CIDC units, forward and backward: "flipping the input data along temporal dimension" (sec. 3.3).

    The backward one is the forward one on the reversed clip, turned back, with weights of its own: units, and what
    joins them from stage to stage. Each keeps its own time axis to the end, where they stand one behind the other; the
    attention between stages, which has nothing to learn, is computed once.

    Parameters
    ----------
    scales, attention, normalize, out_frames
        as for `MultiScale`; `out_frames` are those of each stack's units

    Inputs:
        - **features**: F_x (N, C, T, H, W) of each stage, in order

    Outputs:
        - **y**: F_CIDC (N, C, 2 T', H, W), the forward part first
    """

    def __init__(
        self,
        scales: Scales,
        attention: bool,
        normalize: Union[str, bool],
        out_frames: Optional[int],
        **kwargs: Any,
    ):
        super().__init__(scales, attention, **kwargs)
        with self.name_scope():
            self.forward_stack = MultiScale(scales, False, 'forward', normalize, out_frames)
            self.backward_stack = MultiScale(scales, False, 'backward', normalize, out_frames)
        self.out_frames = self.forward_stack.out_frames + self.backward_stack.out_frames

    def each_unit(self) -> Iterator[Tuple[int, int, CIDC]]:
        """(stage, number in the stage, unit), the forward ones first."""
        yield from self.forward_stack.each_unit()
        yield from self.backward_stack.each_unit()

    def hybrid_forward(self, F, *features):
        inputs = self.attended(features)
        return F.concat(self.forward_stack(*inputs), self.backward_stack(*inputs), dim=2)


def _join(in_channels: int, channels: int, space: int) -> HybridBlock:
    """Brings an earlier stage's features to a later one's size: average pooling, then a 1x1x1 convolution."""
    join = nn.HybridSequential()
    with join.name_scope():
        if space > 1:
            window = (1, space, space)
            join.add(nn.AvgPool3D(window, window, ceil_mode=True, count_include_pad=False))
        join.add(nn.Conv3D(channels, 1, in_channels=in_channels, use_bias=False))
    return join


def _whole(width: int, frames: int, stage: int, out_frames: Optional[int]) -> int:
    """How many times the frames of a stage go into those that are handed on to it."""
    if width % frames:
        raise UserError(
            f'out_frames {out_frames} gives {width} frames in all, no multiple of the {frames} of stage {stage}; '
            f'leave it out'
        )
    return width // frames


def _half(frames: int) -> int:
    """Output frames of each direction of a bidirectional unit, where both together give `frames`."""
    if frames % 2:
        raise UserError(
            f"direction 'chained' gives each direction half of the {frames} frames of the features; choose longer or "
            f'shorter clips, out_frames, or direction both'
        )
    return frames // 2
