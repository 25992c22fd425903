"""Discriminative filter bank (Martinez et al., ICCV 2019, arXiv:1908.07625, sec. 3.2)."""

from __future__ import annotations

import math
from typing import Any

import mxnet as mx
from mxnet.gluon import HybridBlock, nn

from ..errors import UserError
from .norm import deploying
from .pooling import GlobalMaxPool

_LANES = 16  # channels that oneDNN keeps together on processors with AVX-512


class _Filters(HybridBlock):
    """A convolution that computes as many outputs as fill whole groups of channels, and drops those beyond its own.

    For other numbers oneDNN chooses a layout of its own for the gradient of the input, on which the backward pass of a
    batch norm before it falls to a reference kernel: a quarter of the time that a small network trains. In the form
    for inference it is a plain convolution.
    """

    def hybrid_forward(self, F, x, weight, bias):
        filters, *shape = self.weight.shape
        more = -filters % _LANES
        if deploying() or not more:
            return super().hybrid_forward(F, x, weight, bias)
        weight = F.reshape(_with_zeros(F, F.reshape(weight, (1, 1, filters, -1)), more), (-1, *shape))
        bias = F.reshape(_with_zeros(F, F.reshape(bias, (1, 1, filters, 1)), more), (-1,))
        y = F.Convolution(x, weight, bias, name='fwd', **{**self._kwargs, 'num_filter': filters + more})
        return F.slice_axis(y, axis=1, begin=0, end=filters)


def _with_zeros(F, rows, more):
    """(1, 1, R, S) -> (1, 1, R + more, S). Operators without inputs, such as zeros, fail in mixed precision."""
    return F.pad(rows, mode='constant', constant_value=0, pad_width=(0, 0, 0, 0, 0, more, 0, 0))


class _Filters2D(_Filters, nn.Conv2D):
    pass


class _Filters3D(_Filters, nn.Conv3D):
    pass


class DiscriminativeFilterBank(HybridBlock):
    """K local classifiers for each of M classes, read where they fire most (sec. 3.2, figure 2).

        features -> filters (1x1x1) -> responses -> max over T, H, W = r (N, M*K)
                                                      |- mean of each class's K -> z_xchannel
                                                      '- dense over all M*K ----> z_max

    Initial scale (our choice; the paper gives none): filters have standard deviation 1/sqrt(C), so that responses to
    features of unit variance have unit variance. Of some hundred the maximum lies about 3 above the mean, so the dense
    layer starts at 1 / (3 sqrt(M*K)) for a z_max of unit variance; the usual scales, for inputs of mean zero, start the
    summed loss far above chance. Biases start at 0.

    Parameters
    ----------
    classes, in_channels
        number of classes, M; channels of the features, C
    filters_per_class
        filters for each class, K (5 in the paper); those of class m are channels m*K to m*K+K-1
    ndim
        3 for clips, 2 for images

    Inputs:
        - **x**: features (N, C, T, H, W), or (N, C, H, W) when `ndim` is 2; any T, H, W >= 1

    Outputs:
        - **z_max**: logits (N, M) of a dense layer over all M*K responses, unbounded (not probabilities)
        - **z_xchannel**: logits (N, M), mean of each class's own K responses (cross-channel pooling)

    Raises
    ------
    UserError
        `ndim` is neither 2 nor 3, or there is no filter
    """

    def __init__(self, classes: int, in_channels: int, filters_per_class: int = 5, ndim: int = 3, **kwargs: Any):
        super().__init__(**kwargs)
        if ndim not in (2, 3):
            raise UserError(f'ndim must be 2 (images) or 3 (clips), got {ndim!r}')
        if filters_per_class < 1:
            raise UserError(f'filters_per_class must be at least 1, got {filters_per_class!r}')
        self._classes, filters = classes, classes * filters_per_class
        convolution = _Filters3D if ndim == 3 else _Filters2D
        with self.name_scope():
            self.filters = convolution(
                filters,
                kernel_size=1,
                in_channels=in_channels,
                weight_initializer=mx.init.Normal(1 / math.sqrt(in_channels)),
            )
            self.pool = GlobalMaxPool(ndim)
            self.classifier = nn.Dense(
                classes, in_units=filters, weight_initializer=mx.init.Normal(1 / (3 * math.sqrt(filters)))
            )

    def responses(self, x):
        """(N, M*K, T, H, W): each filter's response everywhere, before pooling; x as for the block itself."""
        return self.filters(x)

    def hybrid_forward(self, F, x):
        r = self.pool(self.responses(x))  # (N, M*K)
        z_max = self.classifier(r)  # (N, M)
        z_xchannel = F.mean(F.reshape(r, (0, self._classes, -1)), axis=2)  # (N, M, K) -> (N, M)
        return z_max, z_xchannel
