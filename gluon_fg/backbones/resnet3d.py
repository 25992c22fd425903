"""Inflated ResNets: I3D (Carreira and Zisserman 2017; Wang et al. 2018, with and without non-local blocks), slow-only,
and R2D, whose convolutions see one frame each.

Parameters and outputs are those of GluonCV's `i3d_resnet50_v1_*`, `i3d_nl5_*`, `i3d_nl10_*` and `i3d_slow_*` (tests
compare them), which have no working basic block, no 18 and 152 layers, and batch norms that neither train on a CPU nor
can be frozen; hence ones of our own. GluonCV has no R2D.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

from mxnet.gluon import HybridBlock, nn

from ..errors import UserError, unknown
from ..nn.non_local import NonLocal
from ..nn.norm import BatchNorm3D
from .base import Backbone
from .residual import ResidualBlock, convolution

_BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}

# (non-local blocks, depth) -> stage -> the residual blocks that one follows: every other one, or each; at depth 101
# every seventh or fourth of res4 (GluonCV's).
_NON_LOCAL = {
    (5, 50): {3: (1, 3), 4: (1, 3, 5)},
    (10, 50): {3: (0, 1, 2, 3), 4: (0, 1, 2, 3, 4, 5)},
    (5, 101): {3: (1, 3), 4: (6, 13, 20)},
    (10, 101): {3: (0, 1, 2, 3), 4: (2, 6, 10, 14, 18, 22)},
}


class _Inflated(Backbone):
    """Stages of residual blocks; what differs is the stem, which blocks span time, and non-local blocks among them."""

    def __init__(self, depth: int, non_local: int = 0, subsample: bool = False, **kwargs: Any):
        if depth not in _BLOCKS:
            raise unknown('depth', depth, map(str, _BLOCKS))
        if non_local and (non_local, depth) not in _NON_LOCAL:
            choices = ' or '.join(f'{count} at depth {deep}' for count, deep in _NON_LOCAL)
            raise UserError(f'non_local {non_local!r} at depth {depth}: choose {choices}, or 0')
        self._bottleneck, self._blocks = depth >= 50, _BLOCKS[depth]
        self._non_local, self._subsample = _NON_LOCAL.get((non_local, depth), {}), subsample
        expansion = 4 if self._bottleneck else 1
        super().__init__(
            3, {stage: 64 * 2 ** (stage - 2) * expansion for stage in (2, 3, 4, 5)}, f'resnet{depth}_v1b', **kwargs
        )

    def _build(
        self,
        stem: Tuple[int, int, int],
        strides: Tuple[int, int],
        pool2: Optional[HybridBlock] = None,
        pool_frames: int = 1,
    ) -> None:
        """Fill in the children: the stem's kernel, its strides in time (convolution, pooling), what follows res2.

        `pool_frames`: what the stem's pooling sees of time.
        """
        with self.name_scope():
            self.stem = nn.HybridSequential()
            with self.stem.name_scope():
                self.stem.add(
                    convolution(3, 64, stem, (strides[0], 2, 2)),
                    BatchNorm3D(in_channels=64),
                    nn.Activation('relu'),
                    nn.MaxPool3D((pool_frames, 3, 3), (strides[1], 2, 2), (pool_frames // 2, 1, 1)),
                )
            self.pool2 = pool2
            for stage in self.channels:
                setattr(self, f'res{stage}', self.make_stage(stage))

    def _spans_time(self, stage: int, block: int) -> bool:
        """Whether a bottleneck's first convolution has three frames."""
        raise NotImplementedError

    def make_stage(self, stage: int) -> HybridBlock:
        width, out = 64 * 2 ** (stage - 2), self.channels[stage]
        in_channels = self.channels.get(stage - 1, 64)
        blocks = nn.HybridSequential()
        with blocks.name_scope():
            for i in range(self._blocks[stage - 2]):
                stride = 2 if i == 0 and stage > 2 else 1
                non_local = NonLocal(out, self._subsample) if i in self._non_local.get(stage, ()) else None
                if self._bottleneck:
                    first = (3, 1, 1) if self._spans_time(stage, i) else (1, 1, 1)
                    channels, kernels, at = [width, width, out], [first, (1, 3, 3), (1, 1, 1)], 1
                else:
                    channels, kernels, at = [width, width], [(3, 3, 3), (3, 3, 3)], 0
                blocks.add(
                    ResidualBlock(in_channels, channels, kernels, stride_at=at, stride=stride, non_local=non_local)
                )
                in_channels = out
        return blocks


class ResNet3D(_Inflated):
    """I3D ResNet v1: stride in the 3x3 convolution of a bottleneck; time reduced by 4 in the stem and then kept.

    Bottlenecks are inflated as 3x1x1 then 1x3x3, in the pattern of GluonCV (Wang et al.'s); basic blocks, for which
    nothing is published, have 3x3x3 convolutions, which is how DFB sec. 4.2 words inflation (bottlenecks included). The
    stem halves time by a strided convolution and by a pooling that takes every other position, GluonCV's, where DFB
    says "strided convolutions".

    Parameters
    ----------
    depth
        18, 50, 101 or 152 layers
    temporal_downsample
        4 as in the paper, or 8: time is halved once more behind res2, as in GluonCV's Kinetics weights
    non_local
        non-local blocks in res3 and res4: 0, or 5 or 10 at depth 50 or 101

    Raises
    ------
    UserError
        another depth, temporal_downsample or non_local
    """

    def __init__(self, depth: int, temporal_downsample: int = 4, non_local: int = 0, **kwargs: Any):
        if temporal_downsample not in (4, 8):
            raise UserError(
                f"temporal_downsample must be 4 (the paper) or 8 (GluonCV's weights), got {temporal_downsample!r}"
            )
        super().__init__(depth, non_local, **kwargs)
        self._build((5, 7, 7), (2, 2), nn.MaxPool3D((2, 1, 1), (2, 1, 1)) if temporal_downsample == 8 else None)

    def _spans_time(self, stage: int, block: int) -> bool:
        """All of res2, every other one later, beginning with the first (res5: the second)."""
        return stage == 2 or block % 2 == (1 if stage == 5 else 0)


class R2D(_Inflated):
    """The 2-D ResNet on clips of Wang et al. 2018 (C2D, table 1; CIDC calls it R2D): time is seen by poolings alone.

    Convolutions have one frame; of time the stem's takes every other one, and max pooling in the stem and behind res2
    halves the rest twice: 32 frames leave 4 behind res2. Weights are those of the 2-D network, and a clip of one
    repeated frame has its features everywhere.

    Parameters
    ----------
    depth
        50, 101 or 152 layers
    non_local
        non-local blocks in res3 and res4: 0, or 5 or 10 at depth 50 or 101, with the paper's subsampling (sec. 3.3)

    Raises
    ------
    UserError
        another depth or non_local
    """

    def __init__(self, depth: int, non_local: int = 0, **kwargs: Any):
        if depth == 18:
            raise unknown('depth of an R2D network', depth, ('50', '101', '152'))
        super().__init__(depth, non_local, subsample=True, **kwargs)
        self._build((1, 7, 7), (2, 2), nn.MaxPool3D((3, 1, 1), (2, 1, 1), (1, 0, 0)), pool_frames=3)

    def _spans_time(self, stage: int, block: int) -> bool:
        return False

    @property
    def min_size(self) -> Tuple[int, int]:
        frames, pixels = super().min_size
        # Non-local blocks pool by 2 where they stand: two positions at least, the second behind a whole stride.
        return frames, max([pixels] + [int(self.geometry(stage).stride[1]) + 1 for stage in self._non_local])


class SlowOnly(_Inflated):
    """The slow pathway of SlowFast alone (Feichtenhofer et al. 2019, table 1): no stride in time, nor time before res4.

    SlowFast itself, two pathways of different frame rates, is no backbone by this interface.

    Parameters
    ----------
    depth
        50, 101 or 152 layers

    Raises
    ------
    UserError
        another depth
    """

    def __init__(self, depth: int, **kwargs: Any):
        if depth == 18:
            raise unknown('depth of a slow-only network', depth, ('50', '101', '152'))
        super().__init__(depth, **kwargs)
        self._build((1, 7, 7), (1, 1))

    def _spans_time(self, stage: int, block: int) -> bool:
        return stage >= 4
