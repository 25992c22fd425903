"""ResNet-50 with temporal shift (Lin et al., TSM, ICCV 2019, arXiv:1811.08383), as Zhao et al. use it in sec. IV."""

from __future__ import annotations

from typing import Any

from mxnet.gluon import HybridBlock, nn

from ..nn.norm import batch_norm
from ..nn.temporal_shift import TemporalShift
from .base import Backbone
from .residual import ResidualBlock, convolution

_BLOCKS = {2: 3, 3: 4, 4: 6, 5: 3}


class TSMResNet50(Backbone):
    """ResNet-50 v1b on frames, each residual branch reading through a temporal shift ("residual shift", sec. 3.2).

    Shortcuts keep every frame's own features. Parameters are `resnet50_v1b`'s, so that its weights and a TSN's fit.
    Frames of one video lie together in the batch; how many is set with `gluon_fg.nn.set_segments`, which a
    recognizer does for its `num_segments`.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(2, {stage: 256 * 2 ** (stage - 2) for stage in _BLOCKS}, 'resnet50_v1b', **kwargs)
        with self.name_scope():
            self.stem = nn.HybridSequential()
            with self.stem.name_scope():
                self.stem.add(
                    convolution(3, 64, (7, 7), (2, 2)),
                    batch_norm(2, 64),
                    nn.Activation('relu'),
                    nn.MaxPool2D(3, 2, 1),
                )
            for stage in _BLOCKS:
                setattr(self, f'res{stage}', self.make_stage(stage))

    def make_stage(self, stage: int) -> HybridBlock:
        out, in_channels = self.channels[stage], self.channels.get(stage - 1, 64)
        blocks = nn.HybridSequential()
        with blocks.name_scope():
            for i in range(_BLOCKS[stage]):
                block = ResidualBlock(
                    in_channels,
                    (out // 4, out // 4, out),
                    [(1, 1), (3, 3), (1, 1)],
                    stride_at=1,
                    stride=2 if i == 0 and stage > 2 else 1,
                    shift=TemporalShift(segments=8),
                )
                blocks.add(block)
                in_channels = out
        return blocks
