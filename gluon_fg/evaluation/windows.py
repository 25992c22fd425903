"""Long films as windows of time, each frame decoded once, and kept no longer than a window needs it."""

from __future__ import annotations

import functools
import math
import threading
import weakref
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from ..data.segments import SegmentReader, frame_range
from ..data.video import VideoReader
from ..errors import UserError, VideoError
from ..input_spec import InputSpec
from .clips import Clip
from .protocol import Protocol

_AT_ONCE = 2**25  # bytes of frames that are decoded in one go, unless a single one is larger


class Windows(NamedTuple):
    """How long films are cut: `seconds` each, from one start to the next `stride` (None: as long as the window)."""

    seconds: float
    stride: Optional[float] = None

    def check(self) -> None:
        """Refuse lengths that are no numbers above 0; raises UserError."""
        window_times(1.0, *self)


def window_times(length: float, seconds: float, stride: Optional[float] = None) -> List[Tuple[float, float]]:
    """Cut a time into windows: (start, end) of each, in seconds.

    The last one ends with the film; it is left out where it would be shorter than half a window, unless it is the only
    one.

    Parameters
    ----------
    length
        how long the film is
    seconds, stride
        length of a window, and from the start of one to that of the next; None: each begins where the one before ends

    Raises
    ------
    UserError
        a length that is no number above 0
    """
    stride = seconds if stride is None else stride
    for name, value in (('windows', seconds), ('stride', stride)):
        if not 0 < value < math.inf:
            raise UserError(f'{name} must be a number of seconds above 0, got {value:g}')
    count = max(1, math.ceil(round(length / stride, 6)))
    starts = [stride * number for number in range(count)]
    times = [(start, min(start + seconds, length)) for start in starts]
    kept = [(start, end) for start, end in times if end - start >= seconds / 2 - 1e-6]
    return kept or [(0.0, length)]


def length_of(reader: VideoReader) -> float:
    """How long a film is, in seconds: by its frames' own times where it has them."""
    if reader.times is not None and len(reader) > 1:
        last = float(reader.times[-1])
        return last + last / (len(reader) - 1)
    return len(reader) / reader.fps


def windows_of(clip: Clip, windows: Windows, protocol: Protocol, spec: InputSpec) -> Iterator[Clip]:
    """Cut a film into clips, in order, which share its frames (`OnePass`).

    A film that cannot be opened stays whole, and whoever reads it learns why. Of optical flow each window is read by
    itself.
    """
    try:
        film = clip.open()
    except VideoError:
        yield clip
        return
    times = window_times(length_of(film), *windows)
    if spec.fields:
        film.close()
        for start, end in times:
            yield clip._replace(start=start, end=end)
        return
    one_pass = OnePass(film, times, functools.partial(protocol.frame_numbers, spec=spec))
    for number, (start, end) in enumerate(times):
        yield Clip(clip.path, functools.partial(one_pass.open, number), start, end)


class OnePass:
    """A film whose windows are read in their order while it is decoded once, as far as any of them needs it.

    Windows may overlap, be read by several threads, and wait for each other: whoever needs a frame first has all
    decoded up to it that others will need. A frame goes with the last window that shows it, so that memory depends on
    the length of a window alone. Frames that cannot be decoded are left to the windows that show them, which seek them
    again and say why.

    Parameters
    ----------
    film
        the open film; closed with the last of its windows
    times
        (start, end) of the windows in seconds, in the order of their starts
    shown
        takes the reader of a window and returns the numbers of the frames that it shows
    """

    def __init__(self, film: VideoReader, times: List[Tuple[float, float]], shown: Callable[[VideoReader], np.ndarray]):
        self.film, self._times, self._shown = film, times, shown
        self._lock = threading.Lock()
        self._plans: List[Optional[np.ndarray]] = []  # frames of each window, until it is closed
        self._uses: Dict[int, int] = {}  # frame -> windows that still need it
        self._kept: Dict[int, np.ndarray] = {}
        self._next = 0  # the first frame that was not passed
        self._left = len(times)
        weakref.finalize(self, film.close).atexit = False  # where not all windows were wanted

    def open(self, number: int) -> VideoReader:
        """A reader of the film for one of its windows, which is to be closed."""
        with self._lock:
            while len(self._plans) <= number:
                self._plan()
        return _Window(self, number)

    def take(self, numbers: List[int], size: Tuple[int, int]) -> np.ndarray:
        """Frames of a window, resized to `size` (H, W), which is the same for all; raises VideoError."""
        with self._lock:
            self._pass(numbers[-1], size)
            lost = [number for number in numbers if number not in self._kept]
            again = iter(self.film.get_batch(lost, size) if lost else ())
            return np.stack([self._kept[number] if number in self._kept else next(again) for number in numbers])

    def release(self, number: int) -> None:
        """Let go of what no window behind this one needs."""
        with self._lock:
            frames = self._plans[number]
            assert frames is not None
            self._plans[number] = None
            for frame in frames.tolist():
                self._uses[frame] -= 1
                if not self._uses[frame]:
                    del self._uses[frame]
                    self._kept.pop(frame, None)
            self._left -= 1
            if not self._left:
                self.film.close()

    def _plan(self) -> None:
        """Find out what the next window shows."""
        start, end = self._times[len(self._plans)]
        first = frame_range(self.film, start, end)[0]
        try:
            frames = first + self._shown(SegmentReader(self.film, start, end))
        except VideoError:  # which the window itself will tell
            frames = np.zeros(0, np.int64)
        for frame in frames.tolist():
            self._uses[frame] = self._uses.get(frame, 0) + 1
        self._plans.append(frames)

    def _pass(self, last: int, size: Tuple[int, int]) -> None:
        """Decode on up to frame `last` what any window shows."""
        while len(self._plans) < len(self._times) and frame_range(self.film, *self._times[len(self._plans)])[0] <= last:
            self._plan()
        ahead = sorted(frame for frame in self._uses if self._next <= frame <= last)
        step = max(1, _AT_ONCE // (3 * size[0] * size[1]))
        for part in (ahead[at : at + step] for at in range(0, len(ahead), step)):
            try:
                self._kept.update(zip(part, self.film.get_batch(part, size)))
            except VideoError:
                continue
        self._next = max(self._next, last + 1)


class _Window(VideoReader):
    """A film as it is open for one of its windows."""

    def __init__(self, one_pass: OnePass, number: int):
        film = one_pass.film
        super().__init__(film.path, len(film), film.fps, film.size)
        self.times, self.backend = film.times, film.backend
        self._one_pass, self._number, self._open = one_pass, number, True

    def close(self) -> None:
        if self._open:
            self._open = False
            self._one_pass.release(self._number)

    def _decode(self, numbers: List[int], size: Tuple[int, int]) -> np.ndarray:
        return self._one_pass.take(numbers, size)
