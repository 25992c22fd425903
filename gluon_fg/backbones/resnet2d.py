"""GluonCV's ImageNet ResNet v1b as a backbone: its own layers under our names."""

from __future__ import annotations

from typing import Any

import mxnet as mx
from mxnet.gluon import HybridBlock, nn

from ..errors import unknown
from ..nn.norm import clear_cached_graphs
from .base import Backbone

_BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class ResNet2D(Backbone):
    """ResNet v1b (stride in the 3x3 convolution of a bottleneck), built by GluonCV, without its head.

    Parameters
    ----------
    depth
        18, 50, 101 or 152 layers

    Raises
    ------
    UserError
        another depth
    """

    def __init__(self, depth: int, **kwargs: Any):
        if depth not in _BLOCKS:
            raise unknown('depth', depth, map(str, _BLOCKS))
        self._blocks, expansion = _BLOCKS[depth], 4 if depth >= 50 else 1
        super().__init__(
            2, {stage: 64 * 2 ** (stage - 2) * expansion for stage in (2, 3, 4, 5)}, f'resnet{depth}_v1b', **kwargs
        )
        self._branches = 0
        with self.name_scope():
            trunk = self._trunk('trunk_')
            self.stem = nn.HybridSequential()
            self.stem.add(trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool)
            for stage in self.channels:
                setattr(self, f'res{stage}', getattr(trunk, f'layer{stage - 1}'))
        _infer_channels(self, 3)

    def _trunk(self, prefix: str) -> HybridBlock:
        from gluoncv.model_zoo.resnetv1b import BasicBlockV1b, BottleneckV1b, ResNetV1b

        block = BottleneckV1b if self.channels[5] == 2048 else BasicBlockV1b
        return ResNetV1b(block, list(self._blocks), name_prefix=prefix)

    def make_stage(self, stage: int) -> HybridBlock:
        self._branches += 1
        layers = getattr(self._trunk(f'branch{self._branches}_'), f'layer{stage - 1}')  # its other stages stay unused
        _infer_channels(layers, self.channels[stage - 1])
        return layers


def _infer_channels(block: HybridBlock, in_channels: int) -> None:
    """Fill in the input channels that GluonCV leaves open; nothing is computed."""
    block.infer_shape(mx.nd.empty((1, in_channels, 32, 32)))
    clear_cached_graphs(block)
