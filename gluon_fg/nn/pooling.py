"""Pooling over all positions, in the forms that MXNet differentiates fast and right on a CPU."""

from __future__ import annotations

from typing import Any

from mxnet.gluon import HybridBlock


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
    the filter's bias, would count as many times as it has positions. `topk` is also the faster of the two.

    Inputs:
        - **x**: (N, C, T, H, W) or (N, C, H, W)

    Outputs:
        - **y**: (N, C)
    """

    def hybrid_forward(self, F, x):
        x = F.reshape(x, shape=(0, 0, -1))  # (N, C, positions)
        return F.reshape(F.topk(x, axis=2, k=1, ret_typ='value'), shape=(0, -1))
