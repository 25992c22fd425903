"""Bilinear up-sampling by two in height and width (DFB sec. 3.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from mxnet.gluon import HybridBlock


class BilinearUpsample(HybridBlock):
    """Twice the height and width, time unchanged; exact bilinear interpolation (half-pixel centers), borders included.

    An edge pad and a depthwise transposed convolution with a constant kernel: on clips faster than resizing frame by
    frame, and it survives conversion, unlike MXNet's BilinearResize2D, whose ONNX form computes another function.

    Parameters
    ----------
    channels
        channels of the input, C
    ndim
        3 for clips, 2 for images

    Inputs:
        - **x**: (N, C, T, H, W), or (N, C, H, W) when `ndim` is 2

    Outputs:
        - **y**: (N, C, T, 2H, 2W), or (N, C, 2H, 2W)
    """

    def __init__(self, channels: int, ndim: int = 3, **kwargs: Any):
        super().__init__(**kwargs)
        time = ndim - 2  # leading axes that stay as they are
        self._pad = (0, 0) * (2 + time) + (1, 1, 1, 1)
        self._deconvolution = dict(
            kernel=(1,) * time + (4, 4),
            stride=(1,) * time + (2, 2),
            pad=(0,) * time + (3, 3),
            num_filter=channels,
            num_group=channels,
            no_bias=True,
        )
        taps = np.array([0.25, 0.75, 0.75, 0.25], 'float32')
        kernel = np.outer(taps, taps).reshape((1, 1) + (1,) * time + (4, 4))
        with self.name_scope():
            self.kernel = self.params.get_constant('kernel', np.tile(kernel, (channels, 1) + (1,) * ndim))

    def hybrid_forward(self, F, x, kernel):
        x = F.pad(x, mode='edge', pad_width=self._pad)
        return F.Deconvolution(x, kernel, **self._deconvolution)
