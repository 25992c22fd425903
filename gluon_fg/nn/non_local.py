"""Non-local block (Wang et al., CVPR 2018, arXiv:1711.07971, sec. 3.3), embedded Gaussian, as GluonCV has it."""

from __future__ import annotations

from mxnet.gluon import HybridBlock, nn

from .norm import BatchNorm3D


class NonLocal(HybridBlock):
    """Every position adds what it finds at all others, in space and time (eqs. 1, 4 and 6).

        x -+-> theta --.
           +-> phi ----+-> softmax over positions of theta . phi / sqrt(E) --.
           +-> g -------------------------------------------------------- weighted sum -> W -> batch norm -> + -> z
           '---------------------------------------------------------------------------------------------------'

    The batch norm starts with gamma 0, so that the block starts as the identity (sec. 4.1) and fits into a pretrained
    network. The scale 1 / sqrt(E) is not in the paper; GluonCV's weights are trained with it. Time and memory grow with
    the square of the positions.

    Parameters
    ----------
    in_channels
        channels of the input, C; E = C / 2 in between

    Inputs:
        - **x**: (N, C, T, H, W)

    Outputs:
        - **z**: (N, C, T, H, W)
    """

    def __init__(self, in_channels: int, **kwargs):
        super().__init__(**kwargs)
        embedded = in_channels // 2
        self._scale = embedded**-0.5
        with self.name_scope():
            self.theta = nn.Conv3D(embedded, 1, in_channels=in_channels)
            self.phi = nn.Conv3D(embedded, 1, in_channels=in_channels)
            self.g = nn.Conv3D(embedded, 1, in_channels=in_channels)
            self.W = nn.Conv3D(in_channels, 1, in_channels=embedded)
            self.bn = BatchNorm3D(in_channels=in_channels, gamma_initializer='zeros')

    def hybrid_forward(self, F, x):
        theta = self.theta(x)
        query, key, value = (F.reshape(f, shape=(0, 0, -1)) for f in (theta, self.phi(x), self.g(x)))  # (N, E, P)
        attention = F.softmax(
            F.batch_dot(query, key, transpose_a=True) * self._scale, axis=2
        )  # (N, P, P), rows sum to 1
        found = F.batch_dot(value, attention, transpose_b=True)  # (N, E, P)
        return x + self.bn(self.W(F.reshape_like(found, theta)))
