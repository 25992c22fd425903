"""Self-attention block (Vaswani et al., NeurIPS 2017, arXiv:1706.03762, sec. 3.2) over the positions of a clip."""

from __future__ import annotations

from typing import Any

import mxnet as mx
from mxnet.gluon import HybridBlock, nn

from ..errors import UserError


class SelfAttention(HybridBlock):
    """Every position gathers, weighted, what it finds at all positions, in space and time.

        x -+-> query --.
           +-> key ----+-> softmax over positions of query . key / sqrt(C / heads) --.
           +-> value -------------------------------------------------------- weighted sum -> out -> + -> norm -> y
           '-----------------------------------------------------------------------------------------'

    The attention half of the Transformer's layer as published: heads side by side, C channels wide together, no biases
    (a key's would change nothing), layer normalization over the channels behind the sum. The projections are
    convolutions of one position (CIDC sec. 4.3). Our choice, where that section is silent: no feed-forward half, no
    dropout, and no encoding of positions, so that the block knows neither order nor place. Time and memory grow with
    the square of the positions.

    It differs from `NonLocal` in its heads, its full width, and in the norm behind the sum: it never is the identity.

    Parameters
    ----------
    channels
        C
    heads
        a divisor of C

    Inputs:
        - **x**: (N, C, T, H, W)

    Outputs:
        - **y**: (N, C, T, H, W), mean 0 and variance 1 over the channels of a position before scale and shift

    Raises
    ------
    UserError
        C is no multiple of the heads
    """

    def __init__(self, channels: int, heads: int = 8, **kwargs: Any):
        super().__init__(**kwargs)
        if heads < 1 or channels % heads:
            raise UserError(f'heads must divide the {channels} channels, got {heads!r}')
        self._heads, self._width = heads, channels // heads
        with self.name_scope():
            for name in ('query', 'key', 'value', 'out'):
                projection = nn.Conv3D(
                    channels, 1, in_channels=channels, use_bias=False, weight_initializer=mx.init.Xavier()
                )
                setattr(self, name, projection)
            self.norm = nn.LayerNorm(in_channels=channels)

    def hybrid_forward(self, F, x):
        # One reshape of what a convolution gives, and products of 4-D arrays: oneDNN cannot follow two in a row.
        query, key, value = (
            F.reshape(f(x), shape=(0, self._heads, self._width, -1)) for f in (self.query, self.key, self.value)
        )  # (N, heads, C / heads, P), P = T * H * W positions
        scores = F.linalg_gemm2(query, key, transpose_a=True) * self._width**-0.5
        attention = F.softmax(scores, axis=3)  # (N, heads, P, P), rows sum to 1
        attended = F.linalg_gemm2(value, attention, transpose_b=True)  # (N, heads, C / heads, P)
        y = x + self.out(F.reshape_like(attended, x))
        # A norm of the last axis is the fastest.
        return F.transpose(self.norm(F.transpose(y, axes=(0, 2, 3, 4, 1))), axes=(0, 4, 1, 2, 3))
