"""Non-local block (Wang et al., CVPR 2018, arXiv:1711.07971, sec. 3.3), embedded Gaussian, as GluonCV has it.

With the paper's subsampling trick as an option, which GluonCV's weights are trained without.
"""

from __future__ import annotations

from typing import Any

from mxnet.gluon import HybridBlock, nn

from .norm import BatchNorm3D


class NonLocal(HybridBlock):
    """Every position adds what it finds at all others, in space and time (eqs. 1, 4 and 6).

        x -+-> theta --.
           +-> phi ----+-> softmax over positions of theta . phi / sqrt(E) --.       (phi, g: -> pool, if subsampled)
           +-> g -------------------------------------------------------- weighted sum -> W -> batch norm -> + -> z
           '---------------------------------------------------------------------------------------------------'

    The batch norm starts with gamma 0, so that the block starts as the identity (sec. 4.1) and fits into a pretrained
    network. The scale 1 / sqrt(E) is not in the paper; GluonCV's weights are trained with it. Time and memory grow with
    the square of the positions.

    Parameters
    ----------
    in_channels
        channels of the input, C; E = C / 2 in between
    subsample
        max-pool phi and g by 2 in height and width, so that a quarter of the positions is looked at, by all positions;
        windows at an odd border are smaller

    Inputs:
        - **x**: (N, C, T, H, W); H and W at least 2 with `subsample`

    Outputs:
        - **z**: (N, C, T, H, W)
    """

    def __init__(self, in_channels: int, subsample: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        embedded = in_channels // 2
        self._scale, self._subsample = embedded**-0.5, subsample
        with self.name_scope():
            self.theta = nn.Conv3D(embedded, 1, in_channels=in_channels)
            self.phi = nn.Conv3D(embedded, 1, in_channels=in_channels)
            self.g = nn.Conv3D(embedded, 1, in_channels=in_channels)
            self.W = nn.Conv3D(in_channels, 1, in_channels=embedded)
            self.bn = BatchNorm3D(in_channels=in_channels, gamma_initializer='zeros')

    def hybrid_forward(self, F, x):
        theta, phi, g = self.theta(x), self.phi(x), self.g(x)
        if self._subsample:
            phi, g = (
                F.Pooling(f, kernel=(1, 2, 2), stride=(1, 2, 2), pool_type='max', pooling_convention='full')
                for f in (phi, g)
            )
        query, key, value = (F.reshape(f, shape=(0, 0, -1)) for f in (theta, phi, g))  # (N, E, P), (N, E, P') twice
        # Scaled before the product, which float16 could not hold where features are large
        product = F.batch_dot(query * self._scale, key, transpose_a=True)
        attention = F.softmax(product, axis=2)  # (N, P, P'), rows sum to 1
        attended = F.batch_dot(value, attention, transpose_b=True)  # (N, E, P)
        return x + self.bn(self.W(F.reshape_like(attended, theta)))
