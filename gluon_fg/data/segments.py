"""A stretch of a film as a video of its own: clips that are listed by their times, not cut into files."""

from __future__ import annotations

import math
from typing import List, Optional, Tuple

import numpy as np

from ..errors import VideoError
from .video import VideoReader

_ROUNDING = 1e-6  # seconds: lists round times to fewer digits than this


class SegmentReader(VideoReader):
    """The frames of another reader that are shown from `start` on and before `end`, numbered from 0.

    Frame 0 is the first frame at or after `start`; `end` is not in it, so that the stretches 0 to 10 and 10 to 20 share
    no frame. A stretch that runs past the end of the film ends with the film.

    Parameters
    ----------
    reader
        the whole film; closed with this one
    start, end
        seconds after the film's first frame; None: its beginning, its end

    Raises
    ------
    VideoError
        the film has no frame in that time
    """

    def __init__(self, reader: VideoReader, start: Optional[float], end: Optional[float]):
        first, stop = frame_range(reader, start, end)
        if first >= stop:
            lasts = len(reader) / reader.fps
            raise VideoError(reader.path, f'has no frame in its clip {times(start, end)}: it lasts {lasts:.2f} s')
        super().__init__(reader.path, stop - first, reader.fps, reader.size)
        self._reader, self._first, self.backend = reader, first, reader.backend
        if reader.times is not None:
            self.times = reader.times[first:stop] - reader.times[first]

    def close(self) -> None:
        self._reader.close()

    @property
    def film(self) -> VideoReader:
        return self._reader.film if self.flow is None else self

    def film_frames(self, indices: np.ndarray) -> np.ndarray:
        return self._reader.film_frames(self._first + indices) if self.flow is None else indices

    def _decode(self, numbers: List[int], size: Tuple[int, int]) -> np.ndarray:
        return self._reader._decode([self._first + number for number in numbers], size)


def frame_range(reader: VideoReader, start: Optional[float], end: Optional[float]) -> Tuple[int, int]:
    """Tell which frames are shown from `start` on and before `end` (seconds): the first, and the one behind the last.

    By the frames' own times where the file has them, else by its frames per second.
    """
    places = []
    for at, otherwise in ((start, 0), (end, len(reader))):
        if at is None:
            places.append(otherwise)
        elif reader.times is not None:
            places.append(int(np.searchsorted(reader.times, at - _ROUNDING)))
        else:
            places.append(min(max(math.ceil((at - _ROUNDING) * reader.fps), 0), len(reader)))
    return places[0], places[1]


def times(start: Optional[float], end: Optional[float]) -> str:
    """Write a stretch as messages and names of clips do: '10-20 s', '10 s-' to the end, '-20 s' from the beginning."""
    if end is None:
        return f'{start:.10g} s-'
    return f'{"" if start is None else format(start, ".10g")}-{end:.10g} s'


def cut(reader: VideoReader, start: Optional[float], end: Optional[float]) -> VideoReader:
    """Restrict a reader to a stretch of time; itself where no time is given. It is closed where that fails."""
    if start is None and end is None:
        return reader
    try:
        return SegmentReader(reader, start, end)
    except VideoError:
        reader.close()
        raise
