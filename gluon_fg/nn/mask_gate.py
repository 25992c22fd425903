"""Gate of a mask over features: how far they are let through at each position, and their average behind it."""

from __future__ import annotations

from typing import Any

import mxnet as mx
from mxnet.gluon import HybridBlock

from ..errors import unknown

FORMS = ('normalized', 'sigmoid')
MODES = ('gate', 'residual')
_EPSILON = 1e-5  # added to a mask's variance, as in batch norm


class MaskGate(HybridBlock):
    """From a mask to what features are multiplied with at each position of a clip or image.

    'normalized': sigmoid(scale * (mask - mean) / deviation), with the mean and the standard deviation over the mask's
    own positions. Whatever the mask's height and spread, the gate is open at some positions and closed at others.
    'sigmoid': sigmoid(mask). The average of a class's map is that class's logit: where the class wins, the whole map
    lies far above 0 and the gate is open everywhere (0.93 on average, 0.07 deviation within a clip, in a network
    trained so).

    Computed in float32 whatever the mask's type.

    Parameters
    ----------
    form
        'normalized' or 'sigmoid'
    mode
        'gate': the features go through the gate; 'residual': they are added to themselves behind it
    scale
        that `scale` starts from

    Attributes
    ----------
    scale
        (1,) parameter of the normalized form, learned without weight decay, which would flatten the gate
    flat
        True: each mask's mean over its positions in place of the opening, to see what the gate is good for. Graphs that
        exist already keep theirs

    Inputs:
        - **mask**: (N, 1, T, H, W), or (N, 1, H, W), unbounded

    Outputs:
        - **opening**: as mask, float32, between 0 and 1; residual: between 1 and 2

    Raises
    ------
    UserError
        unknown form or mode
    """

    def __init__(self, form: str = 'normalized', mode: str = 'gate', scale: float = 2.0, **kwargs: Any):
        super().__init__(**kwargs)
        if form not in FORMS:
            raise unknown('form of the gate', form, FORMS)
        if mode not in MODES:
            raise unknown('mask gate', mode, MODES)
        self._residual, self.flat = mode == 'residual', False
        if form == 'normalized':
            with self.name_scope():
                self.scale = self.params.get('scale', shape=(1,), init=mx.init.Constant(scale), wd_mult=0.0)

    def hybrid_forward(self, F, mask, scale=None):
        m = F.reshape(F.cast(mask, dtype='float32'), shape=(0, -1))  # (N, positions)
        if scale is not None:
            m = F.broadcast_sub(m, F.mean(m, axis=1, keepdims=True))
            deviation = F.sqrt(F.mean(F.square(m), axis=1, keepdims=True) + _EPSILON)  # of a single position: 0
            m = F.broadcast_mul(F.broadcast_div(m, deviation), F.expand_dims(scale, axis=0))
        opening = F.sigmoid(m) + 1 if self._residual else F.sigmoid(m)
        if self.flat:
            opening = F.broadcast_like(F.mean(opening, axis=1, keepdims=True), opening)
        return F.reshape_like(opening, mask)


class MaskedAvgPool(HybridBlock):
    """The average over all positions of features times a gate's opening, as one matrix product.

    Where nothing else reads the gated features: on a CPU, forward and backward, the two steps took about seven times as
    long (2048x9x7x7 features).

    Inputs:
        - **x**: (N, C, T, H, W), or (N, C, H, W)
        - **opening**: as x with one channel, as `MaskGate` gives it

    Outputs:
        - **y**: (N, C)
    """

    def hybrid_forward(self, F, x, opening):
        share = F.reshape(opening, shape=(0, -1, 1))  # (N, positions, 1)
        share = F.broadcast_div(share, F.sum(F.ones_like(share), axis=1, keepdims=True))
        return F.reshape(F.batch_dot(F.reshape(x, shape=(0, 0, -1)), share), shape=(0, -1))
