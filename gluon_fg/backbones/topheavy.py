"""The "top-heavy" ResNet (Zhao et al., sec. III-A and IV-B; after Xie et al., ECCV 2018): images, then clips.

Stem, res2 and res3 (the paper's groups 0 and 1) are a 2-D network that sees frames one by one, res4 and res5 (groups
2 and 3) a 3-D one. The paper gives neither kernels nor strides of the 3-D part; ours:

- a bottleneck's first convolution is 3x1x1 and its second 1x3x3, as in the slow-only network's last two stages, so that
  2-D weights are inflated by name;
- the first convolutions of res4 and res5 stride time by 2 (18 frames leave 9, then 5). A view of 18 frames of 224x224
  then takes 58 G multiply-adds, close to the 60.77 of the paper's table III; kept whole, time would take 94 G;
- no pooling in time.

The pre-activated form, which the paper uses, is GluonCV's `resnet50_v2` in its 2-D part; the plain one is its
`resnet50_v1b`.
"""

from __future__ import annotations

from typing import Any, Iterator, List

from mxnet.gluon import HybridBlock, nn

from ..errors import UserError
from ..nn.norm import batch_norm
from .base import Backbone
from .residual import PreActivationBlock, ResidualBlock, Size, convolution

_BLOCKS = {2: 3, 3: 4, 4: 6, 5: 3}
_TINY_WIDTHS = {2: 16, 3: 32, 4: 32, 5: 64}
_TINY_STRIDES = {2: 1, 3: 2, 4: 1, 5: 2}


class PerFrame(nn.HybridSequential):
    """2-D layers, one after another, on every frame of clips.

    Truly 2-D: convolutions of one frame in 3-D layers give the same and take a third more time on a CPU (measured).

    Inputs:
        - **x**: (N, C, T, H, W)

    Outputs:
        - **y**: (N, C', T, H', W'), what the layers make of (N * T, C, H, W)
    """

    def hybrid_forward(self, F, x):
        frames = F.transpose(x, axes=(0, 2, 1, 3, 4))  # (N, T, C, H, W)
        y = F.reshape(frames, shape=(-1, 0, 0, 0), reverse=True)  # (N * T, C, H, W); a form that ONNX has, too
        y = super().hybrid_forward(F, y)
        y = F.reshape_like(y, frames, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2)
        return F.transpose(y, axes=(0, 2, 1, 3, 4))


class _TopHeavy(Backbone):
    """Children in order; what differs is the stem's layers and those of a stage."""

    def _build(self, *stem: HybridBlock) -> None:
        self.stem = PerFrame()
        with self.stem.name_scope():
            self.stem.add(*stem)
        for stage in self.channels:
            setattr(self, f'res{stage}', self.make_stage(stage))

    def make_stage(self, stage: int) -> HybridBlock:
        blocks = PerFrame() if stage < 4 else nn.HybridSequential()
        with blocks.name_scope():
            blocks.add(*self._layers(stage))
        return blocks


class TopHeavyResNet50(_TopHeavy):
    """ResNet-50, 2-D up to res3 and 3-D from res4: see this file's first lines.

    Parameters
    ----------
    temporal_downsample
        4: time is halved in res4 and in res5; 1: it is kept
    preactivation
        batch norm and ReLU before each convolution (ResNet v2), and behind res5; F2, F3 and F4 are then sums that the
        next stage normalizes. Its input goes through a batch norm first, as GluonCV's
    in_channels
        3, or 2 * L for a stack of L frames of optical flow

    Raises
    ------
    UserError
        another temporal_downsample
    """

    def __init__(self, temporal_downsample: int = 4, preactivation: bool = False, in_channels: int = 3, **kwargs: Any):
        if temporal_downsample not in (1, 4):
            raise UserError(
                f'temporal_downsample of a top-heavy network must be 1 (time is kept) or 4, got {temporal_downsample!r}'
            )
        self._time_stride, self._preactivation = 2 if temporal_downsample == 4 else 1, preactivation
        super().__init__(
            3,
            {stage: 256 * 2 ** (stage - 2) for stage in _BLOCKS},
            'resnet50_v2' if preactivation else 'resnet50_v1b',
            in_channels,
            **kwargs,
        )
        self.family = 'resnet_v2' if preactivation else 'resnet'
        data_norm = []
        if preactivation:  # its gamma is 1 and its beta 0, for ever
            data_norm.append(nn.BatchNorm(in_channels=in_channels, scale=False, center=False))
        with self.name_scope():
            self._build(
                *data_norm,
                convolution(in_channels, 64, (7, 7), (2, 2)),
                batch_norm(2, 64),
                nn.Activation('relu'),
                nn.MaxPool2D(3, 2, 1),
            )

    @property
    def stem_weight(self) -> str:
        return 'stem.1.weight' if self._preactivation else 'stem.0.weight'

    def _layers(self, stage: int) -> Iterator[HybridBlock]:
        out, in_channels, spans = self.channels[stage], self.channels.get(stage - 1, 64), stage >= 4
        kernels: List[Size] = [(3, 1, 1), (1, 3, 3), (1, 1, 1)] if spans else [(1, 1), (3, 3), (1, 1)]
        block = PreActivationBlock if self._preactivation else ResidualBlock
        for i in range(_BLOCKS[stage]):
            first = i == 0
            yield block(
                in_channels,
                (out // 4, out // 4, out),
                kernels,
                stride_at=1,
                stride=2 if first and stage > 2 else 1,
                time_stride=self._time_stride if first and spans else 1,
            )
            in_channels = out
        if stage == 5 and self._preactivation:
            yield batch_norm(3, out)
            yield nn.Activation('relu')


class TopHeavyTiny(_TopHeavy):
    """The tiny network (`tiny.py`) made top-heavy, for SynthFG, demos and tests: 2-D up to res3, 3-D from res4.

    Its 2-D part is that of `tiny`; a block of the 3-D part is a 3x3x3 and a 1x3x3 convolution. Space is reduced by 16,
    time kept.

    Parameters
    ----------
    in_channels
        3, or 2 * L for a stack of L frames of optical flow
    """

    def __init__(self, in_channels: int = 3, **kwargs: Any):
        super().__init__(3, _TINY_WIDTHS, in_channels=in_channels, **kwargs)
        with self.name_scope():
            self._build(
                convolution(in_channels, 16, (5, 5), (2, 2)),
                nn.MaxPool2D(3, 2, 1),
                batch_norm(2, 16),
                nn.Activation('relu'),
            )

    def _layers(self, stage: int) -> Iterator[HybridBlock]:
        width = _TINY_WIDTHS[stage]
        kernels: List[Size] = [(3, 3, 3), (1, 3, 3)] if stage >= 4 else [(3, 3), (3, 3)]
        yield ResidualBlock(_TINY_WIDTHS.get(stage - 1, 16), (width, width), kernels, stride=_TINY_STRIDES[stage])
