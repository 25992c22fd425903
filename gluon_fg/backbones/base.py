"""What every backbone offers: the features of stages 2 to 5, a fresh last stage, and where features come from."""

from __future__ import annotations

import itertools
from typing import Any, Dict, List, Optional, Tuple

import mxnet as mx
from mxnet.gluon import HybridBlock
from mxnet.gluon.nn import HybridSequential

from ..errors import UserError
from ..nn.tracing import TracedOnce
from .geometry import Geometry, geometry, gradient_is_right, min_size, positions
from .steps import Step, steps


class Backbone(TracedOnce):
    """A network without its head. Children: `stem`, `res2` ... `res5`, `pool2` behind res2 or None.

    Images and clips share the structural parameter names (`res3.0.conv1.weight`), so 2-D weights are inflated by name.

    Parameters
    ----------
    ndim
        3 for clips, 2 for images
    channels
        stage -> channels, for stages 2 to 5
    imagenet
        name that ImageNet weights for the same parameters (inflated for clips) are published under: GluonCV's, or a
        model of this zoo that ends in _imagenet1k; None where there are none
    in_channels
        channels of the input, C: 3, or 2 for optical flow, where a network takes that

    Attributes
    ----------
    family
        which of GluonCV's ways to name parameters fits: a key of `gluon_fg.weights.gluoncv_names.FAMILIES`
    head_pool
        a pooling layer that belongs between F5 and the global average of a classifier, or None
    given
        the stage whose features it is called with in place of x, which begins behind it then; 0 for x

    Inputs:
        - **x**: (N, C, T, H, W), or (N, C, H, W) when `ndim` is 2

    Outputs:
        - **F2, F3, F4, F5**: features (N, C, T', H', W') of the four stages, C from `channels`; of stages before
          `given` None, or in a graph a variable 'F<stage>', which it cannot be computed with
    """

    family = 'resnet'

    def __init__(
        self, ndim: int, channels: Dict[int, int], imagenet: Optional[str] = None, in_channels: int = 3, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.ndim, self.channels, self.imagenet, self.in_channels = ndim, dict(channels), imagenet, in_channels
        self.pool2: Optional[HybridBlock] = None
        self.head_pool: Optional[HybridBlock] = None
        self.given = 0

    def make_stage(self, stage: int) -> HybridBlock:
        """A new block with the layers of one stage (2 to 5), input channels known; called in its name scope."""
        raise NotImplementedError

    def new_stage(self, stage: int = 5) -> HybridBlock:
        """A second, independent copy of a stage's layers (DFB sec. 3.3), not initialized."""
        if stage not in (3, 4, 5):
            raise UserError(f'no stage {stage!r} to branch off; choose 3, 4 or 5')
        with self.name_scope():
            return self.make_stage(stage)

    def hybrid_forward(self, F, x):
        features = {stage: None if F is mx.nd else F.var(f'F{stage}') for stage in range(2, self.given)}
        for stage in range(self.given or 2, 6):
            for block in self._blocks_of(stage) if stage != self.given else ():
                x = block(x)
            features[stage] = x
        return features[2], features[3], features[4], features[5]

    def geometry(self, stage: int) -> Geometry:
        """Stride and receptive field of a stage's features in the input."""
        return geometry(self.path(stage))

    def steps(self, frames: int, pixels: int) -> List[Step]:
        """Its layers in order: strides, receptive fields, sizes for such clips, parameters. See `Step`."""
        return list(steps([part._named_blocks() for part in self.parts], frames, pixels))

    def frames_at(self, stage: int, frames: int) -> int:
        """T of a stage's features of clips of this length; 0 where they are too short."""
        return positions(self.path(stage), 0, frames)

    @property
    def min_size(self) -> Tuple[int, int]:
        """The fewest frames and pixels it can take."""
        return min_size(self.path(5) + ([] if self.head_pool is None else [self.head_pool]))

    def trainable_frames(self, frames: int) -> int:
        """The fewest frames of its input, at least `frames`, on which gradients are right: see `geometry`."""
        blocks = self.path(5)[len(self.path(self.given)) :] if self.given else self.path(5)
        return next(size for size in itertools.count(frames) if gradient_is_right(blocks, size))

    @property
    def parts(self) -> List[Backbone]:
        """The networks that it consists of, each with a stem and stages: itself, or those of several streams."""
        return [self]

    @property
    def stem_weight(self) -> str:
        """Structural name of the weight that reads the input."""
        return next(name for name in self._collect_params_with_prefix() if name.startswith('stem.'))

    def path(self, stage: int) -> List[HybridBlock]:
        """The blocks from the input to a stage's features, to be applied one after another."""
        return [block for number in range(2, stage + 1) for block in self._blocks_of(number)]

    def _named_blocks(self) -> List[Tuple[str, HybridBlock]]:
        """Its layers by their structural names, from the input to the pooling behind F5."""
        names = {id(child): name for name, child in self._children.items()}
        named: List[Tuple[str, HybridBlock]] = []
        for block in self.path(5) + ([] if self.head_pool is None else [self.head_pool]):
            name = names[id(block)]
            if isinstance(block, HybridSequential):
                named += [(f'{name}.{number}', child) for number, child in block._children.items()]
            else:
                named.append((name, block))
        return named

    def _blocks_of(self, stage: int) -> List[HybridBlock]:
        """The blocks from the stage before to a stage's features."""
        before = self.stem if stage == 2 else self.pool2 if stage == 3 else None
        return [*([] if before is None else [before]), getattr(self, f'res{stage}')]
