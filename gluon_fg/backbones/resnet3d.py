"""I3D ResNets: residual networks inflated in time (Carreira and Zisserman 2017; Wang et al. 2018), as in DFB sec. 4.

Parameters and outputs are those of GluonCV's `i3d_resnet50_v1_*` (a test compares them), which has no working
basic block, no 18 and 152 layers, and batch norms that neither train on a CPU nor can be frozen; hence one of our own.
"""

from __future__ import annotations

from mxnet.gluon import HybridBlock, nn

from ..errors import UserError, unknown
from ..nn.norm import BatchNorm3D
from .base import Backbone
from .residual import ResidualBlock, convolution

_BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def _inflated(stage: int, block: int) -> bool:
    """Which bottlenecks span time: all of res2, every other one later, beginning with the first (res5: the second)."""
    return stage == 2 or block % 2 == (1 if stage == 5 else 0)


class ResNet3D(Backbone):
    """I3D ResNet v1: stride in the 3x3 convolution of a bottleneck; time reduced by 4 in the stem and then kept.

    Bottlenecks are inflated as 3x1x1 then 1x3x3, in the pattern of GluonCV (Wang et al.'s); basic blocks, for which
    nothing is published, have 3x3x3 convolutions, as DFB sec. 4.1 words it (ours for what it leaves open).

    Parameters
    ----------
    depth
        18, 50, 101 or 152 layers
    temporal_downsample
        4 as in the paper, or 8: time is halved once more behind res2, as in GluonCV's Kinetics weights

    Raises
    ------
    UserError
        another depth or temporal_downsample
    """

    def __init__(self, depth: int, temporal_downsample: int = 4, **kwargs):
        if depth not in _BLOCKS:
            raise unknown('depth', depth, map(str, _BLOCKS))
        if temporal_downsample not in (4, 8):
            raise UserError(
                f"temporal_downsample must be 4 (the paper) or 8 (GluonCV's weights), got {temporal_downsample!r}"
            )
        self._bottleneck, self._blocks = depth >= 50, _BLOCKS[depth]
        expansion = 4 if self._bottleneck else 1
        super().__init__(
            3, {stage: 64 * 2 ** (stage - 2) * expansion for stage in (2, 3, 4, 5)}, f'resnet{depth}_v1b', **kwargs
        )
        with self.name_scope():
            self.stem = nn.HybridSequential()
            with self.stem.name_scope():
                self.stem.add(
                    convolution(3, 64, (5, 7, 7), (2, 2, 2)),
                    BatchNorm3D(in_channels=64),
                    nn.Activation('relu'),
                    nn.MaxPool3D((1, 3, 3), (2, 2, 2), (0, 1, 1)),
                )
            if temporal_downsample == 8:
                self.pool2 = nn.MaxPool3D((2, 1, 1), (2, 1, 1))
            for stage in self.channels:
                setattr(self, f'res{stage}', self.make_stage(stage))

    def make_stage(self, stage: int) -> HybridBlock:
        width, out = 64 * 2 ** (stage - 2), self.channels[stage]
        in_channels = self.channels.get(stage - 1, 64)
        blocks = nn.HybridSequential()
        with blocks.name_scope():
            for i in range(self._blocks[stage - 2]):
                stride = 2 if i == 0 and stage > 2 else 1
                if self._bottleneck:
                    first = (3, 1, 1) if _inflated(stage, i) else (1, 1, 1)
                    block = ResidualBlock(
                        in_channels, (width, width, out), [first, (1, 3, 3), (1, 1, 1)], stride_at=1, stride=stride
                    )
                else:
                    block = ResidualBlock(in_channels, (width, width), [(3, 3, 3), (3, 3, 3)], stride=stride)
                blocks.add(block)
                in_channels = out
        return blocks
