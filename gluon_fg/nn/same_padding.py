"""TensorFlow's SAME padding for layers of stride 2, at any size; layers of stride 1 have it with half the kernel.

SAME gives ceil(size / stride) positions and pads as much as they need, the odd zero at the end. For stride 2 and an
odd kernel k > 1 that is k // 2 at the end, always, and at the start k // 2 of an odd size but one less of an even
one. A traced graph does not know the size. Read from the end it need not: with k // 2 on both sides, the position too
many at the start is never reached. So input and kernel are turned around, and the result back; no size anywhere.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from mxnet.gluon import HybridBlock, nn

from ..errors import UserError

Size = Tuple[int, ...]


class SamePadding(HybridBlock):
    """Mixed into a convolution or pooling layer, which is built with half the kernel as padding."""

    def _prepare(self) -> None:
        size = self._kwargs
        kernel, stride = size['kernel'], size['stride']
        if any(s not in (1, 2) or (s == 2 and k % 2 == 0 and k != 2) for k, s in zip(kernel, stride)):
            raise UserError(f'SAME padding here takes strides 1 and 2 and odd kernels (or 2), got {kernel}, {stride}')
        turned = [s == 2 and k > 2 for k, s in zip(kernel, stride)]
        self._turn: Optional[Dict[str, Tuple[Optional[int], ...]]] = None
        if any(turned):
            self._turn = {
                'begin': (None, None, *(-1 if t else None for t in turned)),
                'end': (None,) * (2 + len(turned)),
                'step': (1, 1, *(-1 if t else 1 for t in turned)),
            }
        # A kernel of 2 needs one more at the end of an odd size: a copy of the last, which changes no maximum.
        more = [s == 2 and k == 2 for k, s in zip(kernel, stride)]
        self._more = (0,) * 4 + tuple(n for m in more for n in (0, int(m))) if any(more) else None

    def hybrid_forward(self, F, x, *weight):
        if self._more is not None:
            x = F.pad(x, mode='edge', pad_width=self._more)
        if self._turn is None:
            return super().hybrid_forward(F, x, *weight)
        turned = [F.slice(array, **self._turn) for array in (x, *weight)]
        return F.slice(super().hybrid_forward(F, *turned), **self._turn)


class _SameConv(SamePadding):
    def __init__(self, channels: int, kernel_size: Size, strides: Size, in_channels: int, **kwargs: Any):
        padding = tuple(k // 2 for k in kernel_size)
        super().__init__(channels, kernel_size, strides, padding, in_channels=in_channels, use_bias=False, **kwargs)
        if any(k % 2 == 0 for k in kernel_size):
            raise UserError(f'SAME padding here takes convolutions with odd kernels, got {kernel_size}')
        self._prepare()

    def hybrid_forward(self, F, x, weight):  # type: ignore[override]  # Gluon finds parameters by the names of these arguments
        return super().hybrid_forward(F, x, weight)


class SameConv2D(_SameConv, nn.Conv2D):
    """Gluon's `Conv2D` without bias, padded as TensorFlow's SAME.

    Parameters
    ----------
    channels, in_channels
        channels of output and input
    kernel_size, strides
        (height, width); kernels odd, strides 1 or 2

    Inputs:
        - **x**: (N, in_channels, H, W)

    Outputs:
        - **y**: (N, channels, H / stride, W / stride), sizes rounded up

    Raises
    ------
    UserError
        another stride, or an even kernel
    """


class SameConv3D(_SameConv, nn.Conv3D):
    """As `SameConv2D`, over (N, in_channels, T, H, W); sizes are (time, height, width)."""


class _SameMaxPool(SamePadding):
    def __init__(self, pool_size: Size, strides: Size, **kwargs: Any):
        super().__init__(pool_size, strides, tuple(k // 2 if k % 2 else 0 for k in pool_size), **kwargs)
        self._prepare()


class SameMaxPool2D(_SameMaxPool, nn.MaxPool2D):
    """Gluon's `MaxPool2D`, padded as TensorFlow's SAME; padding is never the maximum.

    Parameters
    ----------
    pool_size, strides
        (height, width); windows odd or 2, strides 1 or 2

    Inputs:
        - **x**: (N, C, H, W)

    Outputs:
        - **y**: (N, C, H / stride, W / stride), sizes rounded up

    Raises
    ------
    UserError
        another stride or window
    """


class SameMaxPool3D(_SameMaxPool, nn.MaxPool3D):
    """As `SameMaxPool2D`, over (N, C, T, H, W); sizes are (time, height, width)."""
