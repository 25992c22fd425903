"""The trunk of every recognizer: a backbone, its global classifier, and the checks of what goes in."""

from __future__ import annotations

import functools
import operator
from typing import Any, Dict, Optional, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock, nn

from ..backbones import Backbone
from ..errors import UserError
from ..nn.consensus import average_consensus
from ..nn.dropout import Dropout
from ..nn.norm import clear_cached_graphs
from ..nn.pooling import GlobalAvgPool
from ..nn.tracing import TracedOnce
from .contract import Trunk


class Branches(TracedOnce):
    """Backbone and heads; a subclass returns the logits of all its branches, the fused prediction first.

    Behind the logits it may return auxiliary outputs: see `Recognizer.auxiliary_names`. Every recognizer has the
    backbone and the classifier of the global branch under the same parameter names, so that a baseline's weights fit
    into any of them.

    Parameters
    ----------
    backbone
        gives features by stage
    trunk
        what it was described by
    features
        numbers that the classifier reads, along the last axis; None: the channels of F5, pooled

    Inputs:
        - **x**: (N, C, T, H, W), or (N * num_segments, C, H, W) for images, C the backbone's `in_channels`; float32 (or
          float16), normalized; where the backbone is `given` a stage, the features of that stage

    Outputs: a tuple of logits (N, M), and of auxiliary outputs
    """

    class_blocks: Tuple[str, ...] = ('classifier',)  # children whose parameters belong to single classes

    def __init__(self, backbone: Backbone, trunk: Trunk, features: Optional[int] = None, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0 <= trunk.dropout < 1:
            raise UserError(f'dropout must be a share in [0, 1), got {trunk.dropout!r}')
        check_segments(trunk.num_segments, backbone.ndim)
        self._classes, self._segments, self._min_size = trunk.nclass, trunk.num_segments, backbone.min_size
        self._trainable_frames: Dict[int, int] = {}  # frames asked for -> the fewest, not fewer, it can be trained on
        self._trained: Optional[Tuple[str, ...]] = None  # all: see `Recognizer.trained_branches`
        with self.name_scope():
            self.backbone = backbone
            self.pool = GlobalAvgPool(backbone.ndim)
            self.dropout = Dropout(trunk.dropout)
            self.classifier = self.make_classifier(backbone, trunk, features)

    def make_classifier(self, backbone: Backbone, trunk: Trunk, features: Optional[int] = None) -> HybridBlock:
        """The classifier of the global branch, of so many features; called in this block's name scope."""
        return new_classifier(backbone, trunk, features=features)

    def global_logits(self, f5):
        """z_avg of stage-5 features, one row a clip or frame."""
        if self.backbone.head_pool is not None:
            f5 = self.backbone.head_pool(f5)
        return self.classifier(self.dropout(self.pool(f5)))

    def sum_of_trained(self, F, **logits):
        """The sum of those of the given branches' logits, by name, that count: see `Recognizer.trained_branches`."""
        counted = [z for name, z in logits.items() if self._trained is None or name in self._trained]
        # A copy of a single one: a graph's outputs must differ.
        return functools.reduce(operator.add, counted) if len(counted) > 1 else F.identity(counted[0])

    def consensus(self, F, z):
        """Logits of frames -> logits of videos; clips are left alone."""
        return average_consensus(F, z, self._segments, self._classes)

    def __call__(self, x):
        self.check_input(x)
        out = super().__call__(x)
        return tuple(out) if isinstance(out, list) else out  # a cached graph gives a list

    def check_input(self, x: Any) -> None:
        """Refuse an array that the network cannot take, in one line; symbols pass."""
        if not isinstance(x, mx.nd.NDArray):
            return
        clips, given = self.backbone.ndim == 3, self.backbone.given
        channels = self.backbone.channels[given] if given else self.backbone.in_channels
        layout = f'(N, {channels}, T, H, W)' if clips else f'(N * segments, {channels}, H, W)'
        if x.ndim != (5 if clips else 4) or x.shape[1] != channels:
            source = f'features of stage {given}, ' if given else ''
            raise UserError(f'input has shape {x.shape}; this network takes {source}{layout}')
        dtype = np.dtype(x.dtype)
        if dtype.kind in 'iub' or dtype == np.float64:
            raise UserError(f'input is {dtype}; this network takes normalized float32: see gluon_fg.data.to_input')
        if not clips and x.shape[0] % self._segments:
            raise UserError(f'input has {x.shape[0]} frames, no multiple of net.num_segments {self._segments}')
        if clips and mx.autograd.is_recording():
            self.check_training_frames(x.shape[2])
        if given:  # of views that were large enough
            return
        if clips and x.shape[2] < self._min_size[0]:
            raise UserError(f'input has clips of {x.shape[2]} frames; this network takes at least {self._min_size[0]}')
        if min(x.shape[-2:]) < self._min_size[1]:
            raise UserError(
                f'input has {x.shape[-2]}x{x.shape[-1]} pixels; this network takes at least {self._min_size[1]}'
            )

    def take_features(self, stage: int) -> None:
        """Let the network be called with features of that stage of the backbone in place of x; 0: with x again."""
        if stage != self.backbone.given:
            self.backbone.given = stage
            self._trainable_frames.clear()
            clear_cached_graphs(self)

    def check_training_frames(self, frames: int) -> None:
        """Refuse clips of a length on which MXNet gets gradients wrong; raises UserError naming one that is right."""
        if frames not in self._trainable_frames:
            self._trainable_frames[frames] = self.backbone.trainable_frames(frames)
        if self._trainable_frames[frames] != frames:
            raise UserError(
                f'input has clips of {frames} frames, on which this network predicts but cannot be trained (MXNet gets '
                f'gradients of its weights wrong there); train on {self._trainable_frames[frames]}'
            )


def new_classifier(backbone: Backbone, trunk: Trunk, use_bias: bool = True, features: Optional[int] = None) -> nn.Dense:
    """A dense layer from a backbone's pooled features, or so many, to the classes, with the trunk's initial weights."""
    return nn.Dense(
        trunk.nclass,
        use_bias=use_bias,
        flatten=features is None,  # whatever is given so many may be given at every step
        in_units=features or backbone.channels[5],
        weight_initializer=mx.init.Normal(trunk.head_std),
    )


class View(TracedOnce):
    """A further output over layers that are children of another block already: see `Recognizer.add_view`."""


def check_segments(segments: int, ndim: int) -> None:
    """Refuse a number of segments that the input's layout cannot have."""
    if segments < 1:
        raise UserError(f'num_segments must be at least 1, got {segments!r}')
    if segments > 1 and ndim == 3:
        raise UserError(f'num_segments {segments}: networks on clips take 1; segments are for images (TSN)')
