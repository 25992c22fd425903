"""Pooling over all positions, in the forms that MXNet differentiates fast and right on a CPU."""

from __future__ import annotations

from typing import Any

from mxnet.gluon import HybridBlock

from .norm import deploying


class GlobalAvgPool(HybridBlock):
    """Mean over time and space.

    `F.mean` and not the global Pooling operator, whose 5-D backward pass takes several times as long on a CPU.

    Parameters
    ----------
    ndim
        3 for clips, 2 for images

    Inputs:
        - **x**: (N, C, T, H, W), or (N, C, H, W) when `ndim` is 2

    Outputs:
        - **y**: (N, C)
    """

    def __init__(self, ndim: int = 3, **kwargs: Any):
        super().__init__(**kwargs)
        self._axes = tuple(range(2, 2 + ndim))

    def hybrid_forward(self, F, x):
        return F.mean(x, axis=self._axes)


class GlobalMaxPool(HybridBlock):
    """Maximum over all positions; of equal maxima one alone receives the gradient.

    `F.max` would send the whole gradient to each of them, so that a letterboxed or dead region, where every response is
    the filter's bias, would count as many times as it has positions. `topk` is also the faster of the two. A network
    that only predicts has the Pooling operator, which is faster still and leaves features in oneDNN's own layout.

    Parameters
    ----------
    ndim
        3 for clips, 2 for images

    Inputs:
        - **x**: (N, C, T, H, W) or (N, C, H, W)

    Outputs:
        - **y**: (N, C)
    """

    def __init__(self, ndim: int = 3, **kwargs: Any):
        super().__init__(**kwargs)
        self._kernel, self._axes = (1,) * ndim, tuple(range(2, 2 + ndim))

    def hybrid_forward(self, F, x):
        if deploying():
            y = F.Pooling(x, kernel=self._kernel, global_pool=True, pool_type='max')
            return F.squeeze(y, axis=self._axes)  # a copy: what reads a reshaped one fails on its layout
        x = F.reshape(x, shape=(0, 0, -1))  # (N, C, positions)
        return F.reshape(F.topk(x, axis=2, k=1, ret_typ='value'), shape=(0, -1))
