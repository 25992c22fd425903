"""Residual blocks for clips and images, with the parameter names of GluonCV's ResNets v1b and v2."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

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


def _strides(ndim: int, depth: int, stride_at: int, stride: int, time_stride: int) -> Tuple[List[Size], Size]:
    """Strides of a block's convolutions, and of the block as a whole."""
    strides = []
    for i in range(depth):
        time = (time_stride if i == 0 else 1,) * (ndim - 2)
        strides.append(time + ((stride, stride) if i == stride_at else (1, 1)))
    return strides, (time_stride,) * (ndim - 2) + (stride, stride)


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
        which convolution (0-based) is strided, and by how much in height and width
    time_stride
        stride of the first convolution in time
    shift
        a block without parameters that the first convolution reads through, or None
    non_local
        a block of the same shape in and out that the result goes through, or None

    Inputs:
        - **x**: (N, in_channels, T, H, W), or (N, in_channels, H, W)

    Outputs:
        - **y**: (N, channels[-1], T / time_stride, H / stride, W / stride), sizes rounded up
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
        time_stride: int = 1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.shift = shift
        ndim = len(kernels[0])
        self._depth = len(channels)
        strides, total = _strides(ndim, self._depth, stride_at, stride, time_stride)
        with self.name_scope():
            width = in_channels
            for i, (out, kernel) in enumerate(zip(channels, kernels)):
                setattr(self, f'conv{i + 1}', convolution(width, out, kernel, strides[i]))
                setattr(self, f'bn{i + 1}', batch_norm(ndim, out))
                width = out
            self.downsample = None
            if max(total) > 1 or in_channels != width:
                self.downsample = nn.HybridSequential(prefix='down_')
                with self.downsample.name_scope():
                    self.downsample.add(convolution(in_channels, width, (1,) * ndim, total), batch_norm(ndim, width))
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


class PreActivationBlock(HybridBlock):
    """A residual block whose batch norms and ReLUs stand before the convolutions (He et al., ECCV 2016: ResNet v2).

        x -> bn1 - ReLU -> conv1 -> bn2 - ReLU -> conv2 (-> bn3 - ReLU -> conv3) -> +
        |         '------- downsample, where the shape changes -------------------'
        '----------------- as it is, elsewhere -----------------------------------'

    What comes out is a sum, neither normalized nor rectified: the next block does that, or a batch norm and ReLU
    behind the last one. The downsampling convolution has no batch norm of its own.

    Parameters
    ----------
    in_channels, channels, kernels, stride_at, stride, time_stride
        as of `ResidualBlock`

    Inputs:
        - **x**: (N, in_channels, T, H, W), or (N, in_channels, H, W)

    Outputs:
        - **y**: (N, channels[-1], T / time_stride, H / stride, W / stride), sizes rounded up
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        kernels: Sequence[Size],
        stride_at: int = 0,
        stride: int = 1,
        time_stride: int = 1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        ndim = len(kernels[0])
        self._depth = len(channels)
        strides, total = _strides(ndim, self._depth, stride_at, stride, time_stride)
        with self.name_scope():
            width = in_channels
            for i, (out, kernel) in enumerate(zip(channels, kernels)):
                setattr(self, f'bn{i + 1}', batch_norm(ndim, width))
                setattr(self, f'conv{i + 1}', convolution(width, out, kernel, strides[i]))
                width = out
            self.downsample = None
            if max(total) > 1 or in_channels != width:
                self.downsample = convolution(in_channels, width, (1,) * ndim, total)

    def hybrid_forward(self, F, x):
        y = F.Activation(self.bn1(x), act_type='relu')
        shortcut = x if self.downsample is None else self.downsample(y)
        y = self.conv1(y)
        for i in range(2, self._depth + 1):
            y = F.Activation(getattr(self, f'bn{i}')(y), act_type='relu')
            y = getattr(self, f'conv{i}')(y)
        return y + shortcut
