"""Films as long as a video: the one writer of mp4 files, and pages of pictures over a background that is drawn once."""

from __future__ import annotations

from fractions import Fraction
from typing import Callable, Sequence

import av
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.offsetbox import OffsetBox, OffsetImage, VPacker

from ..data.video import VideoReader
from ..files import atomic_path
from .figures import GAP, FilePath, below, image, lay_out, place_of, shorten, text, to_array

NIGHT, LIGHT = '#121216', '#e1e1e1'  # background and text
_CHUNK = 16  # frames decoded at a time


def write_film(path: FilePath, reader: VideoReader, page: Callable[[int, np.ndarray], np.ndarray]) -> int:
    """Write an mp4 of as many frames as the video has and at its rate, atomically; H.264 where PyAV has it.

    Parameters
    ----------
    path
        the file
    reader
        the open video
    page
        (number, frame (H, W, 3)) of the video -> picture: uint8 RGB, all of one size, even in height and width

    Returns
    -------
    int
        frames written
    """
    codec = 'libx264' if 'libx264' in av.codecs_available else 'mpeg4'
    with atomic_path(path) as temporary, av.open(temporary, 'w', format='mp4') as target:
        stream = target.add_stream(codec, rate=Fraction(reader.fps).limit_denominator(60000))
        stream.pix_fmt = 'yuv420p'
        if codec == 'libx264':
            stream.options = {'crf': '16', 'preset': 'veryfast'}
        else:
            stream.bit_rate = 8_000_000
        for start in range(0, len(reader), _CHUNK):
            numbers = range(start, min(start + _CHUNK, len(reader)))
            for number, frame in zip(numbers, reader.get_batch(list(numbers))):
                picture = page(number, frame)
                if number == 0:
                    stream.height, stream.width = picture.shape[:2]
                target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        target.mux(stream.encode())
    return len(reader)


class Curve:
    """Values over the time of a video as a filled curve with a caption, for the foot of a film.

    Parameters
    ----------
    caption, color
        text above the curve; the color of both
    frames, values
        numbers of frames, increasing, and the value at each
    total
        frames of the video: the axis of time
    width, height
        pixels of the curve
    """

    def __init__(
        self,
        caption: str,
        color: str,
        frames: np.ndarray,
        values: np.ndarray,
        total: int,
        width: int,
        height: int = 26,
    ):
        moments = np.interp(np.linspace(0, total - 1, width), frames, values)
        span = values.max() - values.min()
        tall = (moments - values.min()) / (span if span > 0 else 1) * (height - 3) + 2
        ground = np.full((height, width, 3), (34, 34, 40), np.uint8)
        ground[np.arange(height)[::-1, None] < tall[None]] = [round(255 * c) for c in to_rgb(color)]
        self.total, self.ground, self.image = total, ground, image(ground)
        self.box: VPacker = below([text(shorten(caption, width), 12, color), self.image], 3)

    def at(self, number: int) -> np.ndarray:
        """The curve with a mark at a frame of the video."""
        drawn = self.ground.copy()
        x = round((drawn.shape[1] - 2) * number / max(self.total - 1, 1))
        drawn[:, x : x + 2] = 250
        return drawn


class Background:
    """A dark page, drawn once, on which pictures change from frame to frame.

    Parameters
    ----------
    box
        the packed page
    slots
        its pictures that change
    curves
        its curves
    """

    def __init__(self, box: OffsetBox, slots: Sequence[OffsetImage], curves: Sequence[Curve]):
        figure = lay_out(box, NIGHT, GAP, even=True)
        self.page, self.curves = to_array(figure), curves
        self.places = [place_of(picture, figure) for picture in (*slots, *(curve.image for curve in curves))]

    def with_pictures(self, number: int, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """The page at a frame of the video: a picture in each slot, and a mark on each curve."""
        drawn = self.page.copy()
        for (x, y), picture in zip(self.places, [*pictures, *(curve.at(number) for curve in self.curves)]):
            drawn[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
        return drawn
