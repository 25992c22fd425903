"""Small residual networks that train in minutes on a CPU, for SynthFG, demos and tests; of no paper."""

from __future__ import annotations

from typing import Any

from mxnet.gluon import HybridBlock, nn

from ..nn.norm import batch_norm
from .base import Backbone
from .residual import ResidualBlock, convolution

_WIDTHS = {2: 16, 3: 32, 4: 32, 5: 64}
_STRIDES = {2: 1, 3: 2, 4: 1, 5: 2}


class Tiny(Backbone):
    """One residual block a stage; space reduced by 16 in all (a 48 pixel crop gives maps of 12, 6, 6, 3), time kept.

    On clips a block is a 3x3x3 and a 1x3x3 convolution; on images 3x3 throughout. The stem pools before batch norm and
    ReLU, at half the cost.

    Parameters
    ----------
    ndim
        3 for clips, 2 for images
    spans_time
        False: on clips 1x3x3 convolutions alone, the 2-D network on each frame (R2D), blind to their order
    in_channels
        3, or 2 * L for L fields of optical flow at each frame
    """

    def __init__(self, ndim: int = 3, spans_time: bool = True, in_channels: int = 3, **kwargs: Any):
        super().__init__(ndim, _WIDTHS, in_channels=in_channels, **kwargs)
        self._span = 3 if spans_time else 1
        time = (1,) * (ndim - 2)
        pool = {2: nn.MaxPool2D, 3: nn.MaxPool3D}[ndim]
        with self.name_scope():
            self.stem = nn.HybridSequential()
            with self.stem.name_scope():
                self.stem.add(
                    convolution(in_channels, 16, time + (5, 5), time + (2, 2)),
                    pool(time + (3, 3), time + (2, 2), (0,) * (ndim - 2) + (1, 1)),
                    batch_norm(ndim, 16),
                    nn.Activation('relu'),
                )
            for stage in _WIDTHS:
                setattr(self, f'res{stage}', self.make_stage(stage))

    def make_stage(self, stage: int) -> HybridBlock:
        time, width = self.ndim - 2, _WIDTHS[stage]
        kernels = [(self._span,) * time + (3, 3), (1,) * time + (3, 3)]
        blocks = nn.HybridSequential()
        with blocks.name_scope():
            blocks.add(ResidualBlock(_WIDTHS.get(stage - 1, 16), (width, width), kernels, stride=_STRIDES[stage]))
        return blocks
