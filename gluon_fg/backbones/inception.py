"""What the Inception networks are made of: convolutions with batch norm, and blocks of parallel branches.

Children are numbered as in GluonCV's networks, so that its parameters fit by a change of the stage's name alone.
"""

from __future__ import annotations

from typing import Optional, Sequence

from mxnet.gluon import HybridBlock, nn
from mxnet.gluon.contrib.nn import HybridConcurrent

from ..nn.norm import batch_norm
from ..nn.same_padding import SameConv2D, SameConv3D
from .residual import Size

EPSILON = 0.001  # of all batch norms


def conv_norm(
    in_channels: int,
    channels: int,
    kernel: Size,
    strides: Optional[Size] = None,
    padding: Optional[Size] = None,
    same: bool = False,
) -> HybridBlock:
    """Convolution without bias (child 0), batch norm (1), ReLU (2); 2-D or 3-D by the length of `kernel`.

    `padding` is half the kernel unless given; `same`: TensorFlow's, which differs where there is a stride.
    """
    ndim = len(kernel)
    if same and strides is not None:
        convolution = (SameConv3D if ndim == 3 else SameConv2D)(channels, kernel, strides, in_channels)
    else:
        convolution = (nn.Conv3D if ndim == 3 else nn.Conv2D)(
            channels,
            kernel,
            strides or (1,) * ndim,
            tuple(k // 2 for k in kernel) if padding is None else padding,
            use_bias=False,
            in_channels=in_channels,
        )
    block = nn.HybridSequential(prefix='')
    block.add(convolution, batch_norm(ndim, channels, EPSILON), nn.Activation('relu'))
    return block


def sequence(*layers: HybridBlock) -> HybridBlock:
    """Layers one after another."""
    block = nn.HybridSequential(prefix='')
    block.add(*layers)
    return block


def parallel(*branches: Sequence[HybridBlock]) -> HybridBlock:
    """Branches side by side, each a sequence of layers, their channels concatenated."""
    block = HybridConcurrent(axis=1, prefix='')
    for branch in branches:
        block.add(sequence(*branch))
    return block
