"""Networks for images that see the frames of clips one by one."""

from __future__ import annotations

from typing import Any

from mxnet.gluon import HybridBlock

from .inceptionv1 import InceptionV1
from .topheavy import PerFrame


class FrameInceptionV1(InceptionV1):
    """The 2-D Inception-V1, padded as GluonCV's googlenet, on every frame of clips; time is kept.

    Its parameters are those of the network for images, under the same names, so that weights of that one fit as they
    are.

    Parameters
    ----------
    in_channels
        3, or 2 * L for L fields of optical flow at each frame
    """

    def __init__(self, in_channels: int = 3, **kwargs: Any):
        super().__init__(2, 'ceil', in_channels, **kwargs)
        self.ndim = 3  # of what it is given; its layers span two

    def sequence(self) -> HybridBlock:
        return PerFrame()
