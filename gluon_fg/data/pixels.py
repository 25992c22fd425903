"""Decoded frames as pictures: RGB in the film's own colors, upright, all of one size."""

from __future__ import annotations

from typing import Dict, Tuple

import av
import numpy as np

from .limits import check_frame
from .orientation import Orientation

# FFmpeg's numbers, as a frame has them and as PyAV takes them
_BT601 = 5
_LIKE_BT601 = (2, 5, 6)  # not said, and the two names of BT.601: what a conversion takes without being told
_LIMITED, _FULL = 1, 2
_CHROMA = 'BICUBIC'  # how FFmpeg brings colors of more than 8 bits to the size of the picture, where it is not told


def color_conversion(frame: av.VideoFrame) -> Dict[str, int]:
    """Arguments of a conversion to RGB that make it read the frame's own colors: its matrix and range.

    PyAV takes every frame for BT.601 in limited range unless told, as most films of 720 lines and more are not; and it
    tells FFmpeg only where source and target differ, in their matrix or range, though RGB has neither.
    """
    full = int(frame.color_range) == _FULL
    if int(frame.colorspace) in _LIKE_BT601 and (not full or frame.format.name.startswith('yuvj')):
        return {}
    source, target = (_FULL, _LIMITED) if full else (_LIMITED, _FULL)
    return {'dst_colorspace': _BT601, 'src_color_range': source, 'dst_color_range': target}


class Pixels:
    """Turns the frames of a film into pictures.

    Parameters
    ----------
    path
        the film, for messages
    orientation
        how its frames are set upright
    size
        (W, H) of its pictures when they are upright; frames of another size are brought to it
    """

    def __init__(self, path: str, orientation: Orientation, size: Tuple[int, int]):
        self._path, self._orientation, self._size = path, orientation, size
        self._sizes = {(0, 0)}  # of frames that were seen to be of a size that films have
        self._convert = av.video.reformatter.VideoReformatter()

    def of(self, frame: av.VideoFrame) -> np.ndarray:
        """The picture of a frame, uint8 (H, W, 3); raises VideoError for a size that no film has."""
        if (frame.width, frame.height) not in self._sizes:
            check_frame(self._path, frame.width, frame.height)
            self._sizes.add((frame.width, frame.height))
        width, height = self._orientation.size(*self._size)  # as it is coded
        colors = color_conversion(frame)
        plane = self._convert.reformat(frame, width, height, 'rgb24', interpolation=_CHROMA, **colors).planes[0]
        picture: np.ndarray = np.ndarray((height, width, 3), np.uint8, plane, strides=(plane.line_size, 3, 1))
        return self._orientation.apply(picture)
