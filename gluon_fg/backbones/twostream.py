"""Two networks side by side: one on the colors of a view, one on its optical flow (Simonyan and Zisserman 2014)."""

from __future__ import annotations

from typing import Any, Callable, List

from mxnet.gluon import HybridBlock, nn
from mxnet.gluon.contrib.nn import HybridConcurrent

from ..errors import UserError
from .base import Backbone

STREAMS = ('rgb', 'flow')


class StreamPair(HybridConcurrent):
    """Two blocks, one on the first channels of the input and one on the rest; their outputs' channels side by side.

    Parameters
    ----------
    rgb, flow
        the blocks
    channels
        of the input that go to `rgb`

    Inputs:
        - **x**: (N, C, ...)

    Outputs:
        - **y**: (N, C_rgb + C_flow, ...)
    """

    def __init__(self, rgb: HybridBlock, flow: HybridBlock, channels: int):
        super().__init__(axis=1, prefix='')
        self.add(rgb, flow)
        self._split = channels

    def hybrid_forward(self, F, x):
        rgb, flow = self._children.values()
        return F.concat(rgb(first(F, x, self._split)), flow(rest(F, x, self._split)), dim=1)


def first(F: Any, x: Any, channels: int) -> Any:
    """The first channels of (N, C, ...)."""
    return F.slice_axis(x, axis=1, begin=0, end=channels)


def rest(F: Any, x: Any, channels: int) -> Any:
    """The channels of (N, C, ...) behind the first ones."""
    return F.slice_axis(x, axis=1, begin=channels, end=None)


class TwoStreamBackbone(Backbone):
    """Two backbones of one kind, on views with the three colors first and the flow fields behind them.

    Each keeps its parameters, named as in a network of its own behind 'rgb.' or 'flow.' (`rgb.res3.0.conv1.weight`).
    F2 to F5 are both networks' features, those of `rgb` first.

    Parameters
    ----------
    rgb, flow
        make the two; they have the same strides

    Raises
    ------
    UserError
        backbones that cannot stand side by side
    """

    def __init__(self, rgb: Callable[..., Backbone], flow: Callable[..., Backbone], **kwargs: Any):
        super().__init__(3, {}, **kwargs)  # what it has in truth is known below
        with self.name_scope():
            self.rgb, self.flow = rgb(), flow()
        self.ndim, self.imagenet, self.family = self.rgb.ndim, self.rgb.imagenet, self.rgb.family
        self.in_channels = self.rgb.in_channels + self.flow.in_channels
        self.channels = {stage: width + self.flow.channels[stage] for stage, width in self.rgb.channels.items()}
        self.head_pool = self.rgb.head_pool  # without parameters, on the channels of both
        if self.rgb.ndim != self.flow.ndim or self.rgb.geometry(5) != self.flow.geometry(5):
            raise UserError('two streams need backbones whose features lie on the same grid')

    @property
    def parts(self) -> List[Backbone]:
        return [self.rgb, self.flow]

    @property
    def stem_weight(self) -> str:
        return f'rgb.{self.rgb.stem_weight}'

    def split(self, stage: int) -> int:
        """Channels of `rgb` among those of a stage's features; of the input where `stage` is 0."""
        return self.rgb.channels[stage] if stage else self.rgb.in_channels

    def make_stage(self, stage: int) -> HybridBlock:
        return StreamPair(self.rgb.make_stage(stage), self.flow.make_stage(stage), self.split(stage - 1))

    def hybrid_forward(self, F, x):
        self.rgb.given = self.flow.given = self.given
        channels = self.split(self.given)
        both = zip(self.rgb(first(F, x, channels)), self.flow(rest(F, x, channels)))
        return tuple(None if rgb is None else F.concat(rgb, flow, dim=1) for rgb, flow in both)

    def _blocks_of(self, stage: int) -> List[HybridBlock]:
        """One block a stage: what is between two stages' features is between no two channels that are known."""
        sides = []
        for part in self.parts:
            side = nn.HybridSequential(prefix='')
            side.add(*part._blocks_of(stage))
            sides.append(side)
        return [StreamPair(sides[0], sides[1], self.split(stage - 1 if stage > 2 else 0))]
