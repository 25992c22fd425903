"""Inception-V1 for images (GoogLeNet, Szegedy et al. 2015) and inflated for clips (I3D, Carreira and Zisserman 2017).

    stem: conv 7 /2 - pool 3 /2     res2: conv 1 - conv 3       res3: pool 3 /2 - mixed x 2
                                    res4: pool 3 /2 - mixed x 5    res5: pool 2 /2 - mixed x 2
    mixed: x -+-> conv 1 -----------+-> concatenation       every convolution with batch norm (epsilon 0.001) and ReLU
              +-> conv 1 - conv 3 --+
              +-> conv 1 - conv 3 --+
              '-> pool 3 - conv 1 --'

On clips every size also holds for time, but that the stem's pool and res3's leave time alone: it is halved by the stem,
res4 and res5, 8 in all. Structural parameter names, with the reference network's names behind them; `X` stands for
`0.weight` (O, I, t, h, w), `1.gamma`, `1.beta`, `1.running_mean` and `1.running_var` of a convolution and its norm:

    stem.0.X    Conv3d_1a_7x7           res3.1, res3.2        Mixed_3b, 3c
    res2.0.X    Conv3d_2b_1x1           res4.1 ... res4.5     Mixed_4b ... 4f
    res2.1.X    Conv3d_2c_3x3           res5.1, res5.2        Mixed_5b, 5c

and within a mixed block, say res3.1:

    res3.1.0.0.X    Branch_0 (b0)       res3.1.1.0.X, res3.1.1.1.X    Branch_1 (b1a, b1b)
    res3.1.3.1.X    Branch_3 (b3b)      res3.1.2.0.X, res3.1.2.1.X    Branch_2 (b2a, b2b)
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

from mxnet.gluon import HybridBlock, nn

from ..errors import UserError, unknown
from ..nn.same_padding import SameMaxPool2D, SameMaxPool3D
from .base import Backbone
from .inception import conv_norm, parallel

PADDINGS = ('symmetric', 'ceil', 'same')

_CHANNELS = {2: 192, 3: 480, 4: 832, 5: 1024}

# Channels of a mixed block: 1x1; two pairs of 1x1 and 3x3; 1x1 behind the pool.
_MIXED = {
    3: ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    4: (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    5: ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
}


class InceptionV1(Backbone):
    """Inception-V1 with batch norm, on images or inflated; F2 to F5 have 192, 480, 832 and 1024 channels.

    Parameters
    ----------
    ndim
        3 for clips, 2 for images
    padding
        'symmetric': half the kernel on both sides, as GluonCV's `i3d_inceptionv1_*`; 'ceil': poolings without padding
        whose last window may be cut, as its `googlenet` and torchvision's; 'same': TensorFlow's, as the reference
        network of I3D and its ports, whose head also averages over pairs of frames before it averages over time
        (`head_pool`)
    in_channels
        3, or 2 for optical flow

    Raises
    ------
    UserError
        unknown padding, or fewer than one channel
    """

    family = 'inceptionv1'

    def __init__(self, ndim: int = 3, padding: str = 'symmetric', in_channels: int = 3, **kwargs: Any):
        if padding not in PADDINGS:
            raise unknown('padding', padding, PADDINGS)
        if in_channels < 1:
            raise UserError(f'in_channels must be at least 1, got {in_channels!r}')
        super().__init__(ndim, _CHANNELS, 'googlenet', in_channels, **kwargs)
        self._padding, self._spans = padding, ndim  # what its layers span: images, or clips
        with self.name_scope():
            self.stem = self.sequence()
            with self.stem.name_scope():
                self.stem.add(
                    conv_norm(in_channels, 64, (7,) * ndim, (2,) * ndim, same=padding == 'same'), self._pool(3, time=1)
                )
            for stage in _CHANNELS:
                setattr(self, f'res{stage}', self.make_stage(stage))
            if padding == 'same' and ndim == 3:
                self.head_pool = nn.AvgPool3D((2, 1, 1), (1, 1, 1))

    def sequence(self) -> HybridBlock:
        """What holds the layers of a stage, which are applied one after another."""
        return nn.HybridSequential()

    def make_stage(self, stage: int) -> HybridBlock:
        blocks, point, cube = self.sequence(), (1,) * self._spans, (3,) * self._spans
        with blocks.name_scope():
            if stage == 2:
                blocks.add(conv_norm(64, 64, point), conv_norm(64, 192, cube))
                return blocks
            blocks.add(self._pool(2 if stage == 5 else 3, time=1 if stage == 3 else None))
            in_channels = _CHANNELS[stage - 1]
            for channels in _MIXED[stage]:
                blocks.add(self._mixed(in_channels, channels))
                in_channels = sum(channels[i] for i in (0, 2, 4, 5))
        return blocks

    def _mixed(self, in_channels: int, channels: Tuple[int, ...]) -> HybridBlock:
        point, cube = (1,) * self._spans, (3,) * self._spans
        alone, reduced, wide, reduced_less, narrow, pooled = channels
        pool = (nn.MaxPool3D if self._spans == 3 else nn.MaxPool2D)(cube, 1, 1)
        return parallel(
            [conv_norm(in_channels, alone, point)],
            [conv_norm(in_channels, reduced, point), conv_norm(reduced, wide, cube)],
            [conv_norm(in_channels, reduced_less, point), conv_norm(reduced_less, narrow, cube)],
            [pool, conv_norm(in_channels, pooled, point)],
        )

    def _pool(self, window: int, time: Optional[int] = None) -> HybridBlock:
        """Maxima in windows, halving height and width, and time unless `time` is 1."""
        clips = self._spans == 3
        sizes, strides = (window,) * self._spans, (2,) * self._spans
        if clips and time == 1:
            sizes, strides = (1, window, window), (1, 2, 2)
        if self._padding == 'same':
            return (SameMaxPool3D if clips else SameMaxPool2D)(sizes, strides)
        pad = tuple(s // 2 if s % 2 and self._padding == 'symmetric' else 0 for s in sizes)
        return (nn.MaxPool3D if clips else nn.MaxPool2D)(
            sizes, strides, pad, ceil_mode=self._padding == 'ceil' and window == 3
        )
