"""Residual blocks for clips and images, with the parameter names of GluonCV's ResNet v1b."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

from mxnet.gluon import HybridBlock, nn

from ..nn.norm import batch_norm

Size = Tuple[int, ...]


def convolution(in_channels: int, channels: int, kernel: Size, strides: Optional[Size] = None) -> HybridBlock:
    """A 2-D or 3-D convolution (by the length of `kernel`) without bias, padded so that stride 1 keeps the size."""
    return {2: nn.Conv2D, 3: nn.Conv3D}[len(kernel)](
        channels,
        kernel,
        strides or (1,) * len(kernel),
        padding=tuple(k // 2 for k in kernel),
        use_bias=False,
        in_channels=in_channels,
    )


class ResidualBlock(HybridBlock):
    """Convolutions with batch norm each, and a shortcut: a basic block (two) or a bottleneck (three), by its arguments.

        x (-> shift) -> conv1 - bn1 - ReLU -> conv2 - bn2 (- ReLU -> conv3 - bn3) -> + -> ReLU (-> non-local)
        '-------------------- downsample, where the shape changes -----------------'

    Parameters
    ----------
    in_channels
        channels of the input
    channels
        output channels of each convolution
    kernels
        kernel size of each convolution; two numbers each for images, three for clips
    stride_at, stride
        which convolution (0-based) is strided, and by how much in height and width; time is never strided
    shift
        a block without parameters that the first convolution reads through, or None
    non_local
        a block of the same shape in and out that the result goes through, or None

    Inputs:
        - **x**: (N, in_channels, T, H, W), or (N, in_channels, H, W)

    Outputs:
        - **y**: (N, channels[-1], T, H / stride, W / stride), sizes rounded up
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        kernels: Sequence[Size],
        stride_at: int = 0,
        stride: int = 1,
        shift: Optional[HybridBlock] = None,
        non_local: Optional[HybridBlock] = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.shift = shift
        ndim = len(kernels[0])
        strides = (1,) * (ndim - 2) + (stride, stride)
        self._depth = len(channels)
        with self.name_scope():
            width = in_channels
            for i, (out, kernel) in enumerate(zip(channels, kernels)):
                setattr(self, f'conv{i + 1}', convolution(width, out, kernel, strides if i == stride_at else None))
                setattr(self, f'bn{i + 1}', batch_norm(ndim, out))
                width = out
            self.downsample = None
            if stride != 1 or in_channels != width:
                self.downsample = nn.HybridSequential(prefix='down_')
                with self.downsample.name_scope():
                    self.downsample.add(convolution(in_channels, width, (1,) * ndim, strides), batch_norm(ndim, width))
        self.non_local = non_local

    def hybrid_forward(self, F, x):
        y = x if self.shift is None else self.shift(x)
        for i in range(1, self._depth + 1):
            if i > 1:
                y = F.Activation(y, act_type='relu')
            y = getattr(self, f'bn{i}')(getattr(self, f'conv{i}')(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.Activation(y + shortcut, act_type='relu')
        return y if self.non_local is None else self.non_local(y)
