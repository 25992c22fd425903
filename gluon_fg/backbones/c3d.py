"""C3D (Tran et al., ICCV 2015, arXiv:1412.0767) with batch norm, as Quo Vadis trains it (architecture b).

    stem: conv 64 - pool     res2: conv 128    res3: pool - conv 256 x 2    res4: pool - conv 512 x 2
    res5: pool - conv 512 x 2                  head_pool: pool, in front of the fully connected layers

Eight 3x3x3 convolutions, each with batch norm and ReLU, and five max poolings of 2x2x2 or 1x2x2 that halve what they
span, sizes rounded up. The pooling of the stem halves time as well ("a temporal stride of 2 instead of 1", Carreira and
Zisserman 2017, sec. 2.2), so that 16 frames are one behind the fourth; the fifth leaves time alone. 112x112 pixels come
to 7x7 in F5 and 4x4 behind the fifth pooling, as in the original network.

Our choices: the epsilon of batch norm, 0.001 as in the other networks of the paper; rounding up, which is what the
original's padding of the last pooling comes to.
"""

from __future__ import annotations

from typing import Any, Dict, Tuple

from mxnet.gluon import HybridBlock, nn

from ..errors import UserError
from .base import Backbone
from .inception import conv_norm

_LAYERS = {2: 1, 3: 2, 4: 2, 5: 2}  # convolutions of a stage
_WIDTHS = {1: 64, 2: 128, 3: 256, 4: 512, 5: 512}
_TINY_WIDTHS = {1: 16, 2: 32, 3: 32, 4: 64, 5: 64}


class C3D(Backbone):
    """The convolutions of C3D; F2 to F5 have 128, 256, 512 and 512 channels.

    Parameters
    ----------
    in_channels
        3, or 2 for optical flow
    widths
        channels of the stem (1) and of stages 2 to 5
    grid
        positions along height and width, behind `head_pool`, of the views that it is made for: what a fully connected
        layer spans
    time_pools
        how many of the five poolings, the first ones, halve time

    Raises
    ------
    UserError
        fewer than one channel
    """

    def __init__(
        self,
        in_channels: int = 3,
        widths: Dict[int, int] = _WIDTHS,
        grid: Tuple[int, int] = (4, 4),
        time_pools: int = 4,
        **kwargs: Any,
    ):
        if in_channels < 1:
            raise UserError(f'in_channels must be at least 1, got {in_channels!r}')
        super().__init__(3, {stage: widths[stage] for stage in _LAYERS}, in_channels=in_channels, **kwargs)
        self._stem_width, self._time_pools, self.grid = widths[1], time_pools, grid
        with self.name_scope():
            self.stem = nn.HybridSequential()
            with self.stem.name_scope():
                self.stem.add(conv_norm(in_channels, widths[1], (3, 3, 3)), self._pool(1))
            for stage in _LAYERS:
                setattr(self, f'res{stage}', self.make_stage(stage))
            self.head_pool = self._pool(5)

    def make_stage(self, stage: int) -> HybridBlock:
        blocks, width = nn.HybridSequential(), self.channels.get(stage - 1, self._stem_width)
        with blocks.name_scope():
            if stage > 2:
                blocks.add(self._pool(stage - 1))
            for _ in range(_LAYERS[stage]):
                blocks.add(conv_norm(width, self.channels[stage], (3, 3, 3)))
                width = self.channels[stage]
        return blocks

    def _pool(self, number: int) -> HybridBlock:
        sizes = (2 if number <= self._time_pools else 1, 2, 2)
        return nn.MaxPool3D(sizes, sizes, ceil_mode=True)


class C3DTiny(C3D):
    """C3D narrowed, for SynthFG, demos and tests; of no paper. 48 pixels come to 3x3, and 2x2 behind the fifth pooling.

    Of its poolings the first three halve time: 8 frames are one behind them.

    Parameters
    ----------
    in_channels
        3, or 2 for optical flow
    """

    def __init__(self, in_channels: int = 3, **kwargs: Any):
        super().__init__(in_channels, _TINY_WIDTHS, (2, 2), 3, **kwargs)
