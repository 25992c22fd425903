"""ReLU6, the activation of networks for phones."""

from __future__ import annotations

from mxnet.gluon import HybridBlock


class ReLU6(HybridBlock):
    """Cuts off what is below 0 or above 6: min(max(x, 0), 6) (Sandler et al. 2018, arXiv:1801.04381, sec. 4).

    Inputs:
        - **x**: any shape

    Outputs:
        - **y**: the same shape
    """

    def hybrid_forward(self, F, x):
        return F.clip(x, 0, 6)
