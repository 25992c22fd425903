"""Windows of frames that come one after another: of a stream, a camera, or an iterator of a program."""

from __future__ import annotations

import collections
import functools
import itertools
import logging
import math
import os
import threading
import time
from typing import Any, Deque, Generator, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Union

import numpy as np

from ..data.limits import MAX_BATCH_BYTES
from ..data.packets import UNKNOWN_FPS
from ..data.streams import FrameStream, Moment, is_stream
from ..data.transforms import resize_frame
from ..data.video import VideoReader
from ..errors import UserError
from .clips import Clip
from .frames import frames_of, is_picture
from .windows import Windows, window_times

logger = logging.getLogger(__name__)

_SAID_EVERY = 10.0  # seconds


class ListReader(VideoReader):
    """Holds pictures of one size that lie apart from each other in memory, with their times."""

    backend = 'memory'

    def __init__(self, path: str, moments: List[Moment], fps: float):
        height, width = moments[0].picture.shape[:2]
        super().__init__(path, len(moments), fps, (width, height))
        self.times = np.array([moment.time for moment in moments]) - moments[0].time
        self._pictures = [moment.picture for moment in moments]

    def _decode(self, numbers: List[int], size: Tuple[int, int]) -> np.ndarray:
        out = np.empty((len(numbers), *size, 3), np.uint8)
        for target, number in zip(out, numbers):
            resize_frame(self._pictures[number], target)
        return out


class Window(NamedTuple):
    """Frames from `start` on and before `end`, in seconds after the first frame of all."""

    start: float
    end: float
    reader: ListReader

    def clip(self) -> Clip:
        """The same as a clip that is predicted."""
        return Clip(self.reader.path, functools.partial(_same, self.reader), self.start, self.end)


def _same(reader: VideoReader) -> VideoReader:
    return reader


def cut(path: str, moments: Iterable[Moment], fps: float, windows: Windows) -> Iterator[Window]:
    """Cut frames into windows as they come, the same as of a film that is there (`windows.window_times`).

    A window without a frame is left out. Frames are held as long as a window needs them.

    Raises
    ------
    UserError
        a window of more frames than memory should hold
    """
    seconds, stride = windows.seconds, windows.stride or windows.seconds
    held: Deque[Moment] = collections.deque()
    number, count, last = 0, 0, 0.0  # of the window that is filled; frames, and the time of the last one
    for moment in moments:
        while moment.time >= number * stride + seconds - 1e-6:
            yield from _window(path, held, fps, number * stride, number * stride + seconds)
            number += 1
            while held and held[0].time < number * stride - 1e-6:
                held.popleft()
        if moment.time >= number * stride - 1e-6:
            held.append(moment)
        if len(held) * moment.picture.nbytes > MAX_BATCH_BYTES:
            raise UserError(
                f'{path}: windows of {seconds:g} s take more memory than there should be; choose shorter ones'
            )
        count, last = count + 1, moment.time
    if count:
        length = last + last / (count - 1) if count > 1 else 1 / fps
        for start, end in window_times(length, seconds, stride)[number:]:
            yield from _window(path, held, fps, start, end)


def _window(path: str, held: Iterable[Moment], fps: float, start: float, end: float) -> Iterator[Window]:
    inside = [moment for moment in held if start - 1e-6 <= moment.time < end - 1e-6]
    if inside:
        yield Window(start, end, ListReader(path, inside, fps))


def moments_of(frames: Iterable[Any], fps: float) -> Iterator[Moment]:
    """The frames that a program gives one after another, with times by their number.

    Raises
    ------
    UserError
        a frame of another type or shape (`frames_of`), or of another size than the first
    """
    shape = None
    for number, frame in enumerate(frames):
        picture = frames_of(frame)
        shape = shape or picture.shape
        if picture.shape != shape or len(picture) != 1:
            wanted = ' x '.join(map(str, shape[1:]))
            raise UserError(f'frame {number} has the shape {picture.shape[1:]}, the first one {wanted}')
        yield Moment(number / fps, picture[0])


def windows_of_frames(frames: Iterable[Any], windows: Windows, fps: Optional[float] = None) -> Iterator[Window]:
    """Cut frames that a program gives one after another (`moments_of`); without a rate they have 25 a second."""
    fps = UNKNOWN_FPS if fps is None else fps
    return cut('frames', moments_of(frames, fps), fps, windows)


class Watching:
    """Windows of a stream, cut in a thread while the ones before are computed; a context manager.

    Where the stream waits for nobody (`FrameStream.live`) and this falls behind, the oldest windows that wait are left
    out, which the log says; else the stream waits.

    Parameters
    ----------
    stream
        the open stream, which is closed at the end
    windows
        how it is cut
    """

    _WAITING = 2  # windows

    def __init__(self, stream: FrameStream, windows: Windows):
        self.stream, self.left_out = stream, 0
        self._windows = windows
        self._queue: Deque[Union[Window, BaseException, None]] = collections.deque()
        self._change = threading.Condition()
        self._stopped, self._said = False, -math.inf
        self._thread = threading.Thread(target=self._cut, name='gluon_fg-stream', daemon=True)
        self._thread.start()

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *exc: object) -> None:
        with self._change:
            self._stopped = True
            self._change.notify_all()
        self.stream.stop()
        self._thread.join()
        self.stream.close()
        if self.left_out:
            logger.warning(
                '%s: %d windows were left out, as this computer fell behind', self.stream.path, self.left_out
            )

    def __iter__(self) -> Generator[Window, None, None]:
        while True:
            with self._change:
                while not self._queue:
                    self._change.wait()
                window = self._queue.popleft()
                self._change.notify_all()
            if window is None:
                return
            if isinstance(window, BaseException):
                raise window
            yield window

    def _cut(self) -> None:
        end: Optional[BaseException] = None
        try:
            for window in cut(self.stream.path, self.stream, self.stream.fps, self._windows):
                if not self._put(window):
                    return
        except UserError as error:
            end = error
        with self._change:
            self._queue.append(end)
            self._change.notify_all()

    def _put(self, window: Window) -> bool:
        """Hand over a window; returns whether more are wanted."""
        with self._change:
            while len(self._queue) >= self._WAITING and not self._stopped:
                if self.stream.live:
                    self._leave_out()
                else:
                    self._change.wait()
            self._queue.append(window)
            self._change.notify_all()
            return not self._stopped

    def _leave_out(self) -> None:
        late = self._queue.popleft()
        assert isinstance(late, Window)
        self.left_out += 1
        if time.monotonic() - self._said > _SAID_EVERY:
            self._said = time.monotonic()
            logger.warning(
                '%s: this computer falls behind; the window from %.2f to %.2f s is left out, %d so far',
                self.stream.path, late.start, late.end, self.left_out,
            )  # fmt: skip


def as_live(video: Any) -> Tuple[bool, Any]:
    """Tell whether something comes in its order, once: a stream, a camera's number, an iterator of frames.

    Returns
    -------
    bool
        whether it does
    Any
        what to read in its place: of a camera the number as a text, of an iterator one that gives all that it gave
    """
    if isinstance(video, int) and not isinstance(video, bool):
        return True, str(video)
    if isinstance(video, (str, os.PathLike)):
        path = os.fspath(video)
        live = isinstance(path, str) and is_stream(path)
        return live, path if live else video
    if not hasattr(video, '__next__'):
        return False, video
    first = list(itertools.islice(video, 1))
    return bool(first) and is_picture(first[0]), itertools.chain(first, video)
