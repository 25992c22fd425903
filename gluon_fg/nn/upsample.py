"""Linear up-sampling by two in height and width, and in time where asked (DFB sec. 3.3)."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from mxnet.gluon import HybridBlock

TAPS = np.array([0.25, 0.75, 0.75, 0.25], 'float32')  # of what lies around a new position, along one axis


class BilinearUpsample(HybridBlock):
    """Twice the height and width; exact bilinear interpolation (half-pixel centers), borders included.

    With `time` the clip's length doubles in the same way: trilinear. An edge pad and a depthwise transposed convolution
    with a constant kernel: on clips faster than resizing frame by frame, and it survives conversion, unlike MXNet's
    BilinearResize2D, whose ONNX form computes another function.

    Parameters
    ----------
    channels
        channels of the input, C
    ndim
        3 for clips, 2 for images
    time
        True: time as well, which images do not have

    Inputs:
        - **x**: (N, C, T, H, W), or (N, C, H, W) when `ndim` is 2

    Outputs:
        - **y**: (N, C, T, 2H, 2W), with `time` (N, C, 2T, 2H, 2W); or (N, C, 2H, 2W)
    """

    def __init__(self, channels: int, ndim: int = 3, time: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        kept = 0 if time else ndim - 2  # leading axes that stay as they are
        doubled = ndim - kept
        self._pad = (0, 0) * (2 + kept) + (1, 1) * doubled
        self._deconvolution = dict(
            kernel=(1,) * kept + (4,) * doubled,
            stride=(1,) * kept + (2,) * doubled,
            pad=(0,) * kept + (3,) * doubled,
            num_filter=channels,
            num_group=channels,
            no_bias=True,
        )
        kernel = functools.reduce(np.multiply.outer, [TAPS] * doubled).reshape((1, 1) + (1,) * kept + (4,) * doubled)
        with self.name_scope():
            self.kernel = self.params.get_constant('kernel', np.tile(kernel, (channels, 1) + (1,) * ndim))

    def hybrid_forward(self, F, x, kernel):
        x = F.pad(x, mode='edge', pad_width=self._pad)
        return F.Deconvolution(x, kernel, **self._deconvolution)
