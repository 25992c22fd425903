"""A video at another frame rate: the same moments in time, whatever the file's own rate.

Strides in frames mean other times at 25 and at 60 frames per second; `InputSpec.fps` makes them mean the same.
"""

from __future__ import annotations

from fractions import Fraction
from typing import List, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import UserError
from .video import VideoReader

_FINEST = 10**6  # denominators of rates: 30000/1001 is exact


def frame_count(total: int, fps: float, target: float) -> int:
    """Frames of a video of `total` at `fps` once it is shown at `target` frames per second; 1 at least."""
    steps = total * _ratio(target, fps)
    return max(-((1 - 2 * steps) // 2), 1)  # the nearest; halves down, so that the last one's middle is in the video


def source_frames(indices: np.ndarray, total: int, fps: float, target: float) -> np.ndarray:
    """Numbers of the frames of a video at `fps` that are seen in the middle of frames `indices` of it at `target`.

    The middles of the two are at most half a frame of the video apart in time.
    """
    ratio = _ratio(fps, target)
    steps = (2 * np.asarray(indices, np.int64) + 1) * ratio.numerator // (2 * ratio.denominator)
    return np.minimum(steps, total - 1)


def _ratio(fps: float, other: float) -> Fraction:
    return Fraction(fps).limit_denominator(_FINEST) / Fraction(other).limit_denominator(_FINEST)


def _unsteady(reader: VideoReader) -> Optional[np.ndarray]:
    """Seconds of each frame of a video; None where they come at a steady rate, to half a frame."""
    if reader.times is None:
        return None
    late = np.abs(reader.times - np.arange(len(reader)) / reader.fps)
    return None if late.max() <= 0.5 / reader.fps else reader.times


class RatedReader(VideoReader):
    """Shows a video at another frame rate: frame j is the one that is seen at (j + 1/2) / fps seconds.

    Where the frames do not come at a steady rate their own times decide. Closing it closes the video.
    """

    def __init__(self, reader: VideoReader, fps: float):
        self._reader, self._times = reader, _unsteady(reader)
        if self._times is None:
            length = frame_count(len(reader), reader.fps, fps)
        else:
            length = max(int(np.ceil((self._times[-1] + 1 / reader.fps) * fps - 0.5)), 1)
        super().__init__(reader.path, length, fps, reader.size)
        self.backend = reader.backend

    def close(self) -> None:
        self._reader.close()

    @property
    def film(self) -> VideoReader:
        return self._reader.film

    def film_frames(self, indices: np.ndarray) -> np.ndarray:
        return self._reader.film_frames(self._shown(indices))

    def source_frames(self, indices: Union[Sequence[int], np.ndarray]) -> np.ndarray:
        return self._reader.source_frames(self._shown(np.asarray(indices, np.int64)))

    def _shown(self, indices: np.ndarray) -> np.ndarray:
        if self._times is None:
            return source_frames(indices, len(self._reader), self._reader.fps, self.fps)
        return np.searchsorted(self._times, (indices + 0.5) / self.fps, side='right') - 1

    def _decode(self, numbers: List[int], size: Tuple[int, int]) -> np.ndarray:
        return self._reader.get_batch(self._shown(np.array(numbers)), size)


def at_rate(reader: VideoReader, fps: Optional[float]) -> VideoReader:
    """Show a video at `fps` frames per second; None, or its own rate: the reader itself."""
    if fps is None or (fps == reader.fps and _unsteady(reader) is None):
        return reader
    if fps <= 0:
        raise UserError(f'fps must be above 0, got {fps}')
    return RatedReader(reader, fps)
