"""Video files decoded in processes of their own: a decoder that crashes, or never ends, costs the file at fault alone.

A process starts in a third of a second, without MXNet, and holds several readers. There are as many of them as files
are open at once, within limits, and they stay for the next files. One that ends is replaced by a new one.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ..errors import VideoError
from ..interrupts import kept_from_children
from .images import IMAGE_SUFFIXES
from .messages import Ended, Hearing, Hung, say
from .packets import load_scan
from .scans import ScanCache, Stamp
from .shared import KEPT, Shared
from .video import VideoReader, open_video

logger = logging.getLogger(__name__)

PATIENCE = 120.0  # seconds without a byte of an answer after which a decoder is taken for hung; more for large files
_PER_SECOND = 10**6  # bytes of a file that are waited for a second longer
# The parent's path, so that a folder it works in cannot put another module in place of ours
_START = "import sys; sys.path[:] = sys.argv[2].split('\\n'); from gluon_fg.data.decoder_process import main; main()"


class _Gone(Ended):
    """A process had ended already, by what another reader asked of it."""


class _NotStarted(Exception):
    """Processes cannot be started here; the text says why."""


class _Waited(threading.local):
    """Seconds that each thread has waited for processes to start."""

    seconds = 0.0


_waited = _Waited()


def start_seconds() -> float:
    """How long this thread has waited for processes to start, so far: no part of how long a file takes."""
    return _waited.seconds


class _Process:
    """One process and the pipes to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.readers, self._numbers, self._close = 0, 0, []  # type: int, int, List[int]
        self._ready, self.alive = False, True
        try:
            self._shared = Shared.new()
            command = [sys.executable, '-c', _START, 'gluon_fg.data.decoder_process', '\n'.join(sys.path)]
            with kept_from_children():
                self._popen = subprocess.Popen(
                    [*command, str(self._shared.file)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    bufsize=0,
                    pass_fds=[self._shared.file],
                )
        except OSError as error:
            raise _NotStarted(str(error)) from error
        assert self._popen.stdin is not None and self._popen.stdout is not None
        self._requests, self._answers = self._popen.stdin, Hearing(self._popen.stdout.fileno())

    def number(self) -> int:
        """A new reader's."""
        with self._lock:
            self._numbers += 1
            return self._numbers

    def close(self, number: int) -> None:
        """Let go of a reader, with the next request: this one may be waited for."""
        self.readers -= 1
        self._close.append(number)

    def ask(self, request: Dict[str, Any], patience: float, frames: Optional[np.ndarray] = None) -> Dict[str, Any]:
        """Wait for the answer, which fills `frames` where they are asked for; raises `Ended`, VideoError."""
        with self._lock:
            if not self.alive:
                raise _Gone('it ended')
            try:
                if not self._ready:
                    began = time.perf_counter()
                    self._answers.message(max(patience, PATIENCE))
                    self._ready = True
                    _waited.seconds += time.perf_counter() - began
                if frames is not None:
                    self._shared.grow(frames.nbytes)
                close, self._close = self._close, []
                say(self._requests, {**request, 'close': close})
                answer = self._answers.message(patience)
                if 'error' in answer:
                    raise VideoError(*answer['error'])
                if frames is not None:
                    frames[...] = self._shared.frames(frames.shape)
                    self._shared.shrink(KEPT)
                return answer
            except Hung:
                self.end()
                raise
            except (BrokenPipeError, Ended):
                raise self._ended() from None
            except VideoError:
                raise
            except BaseException:  # an interrupt: the rest of the answer would be taken for that to the next request
                self.end()
                raise

    def end(self) -> None:
        """End it at once; harmless when done twice."""
        self.alive = False
        self._popen.kill()
        self._popen.wait()
        self._requests.close()
        assert self._popen.stdout is not None
        self._popen.stdout.close()
        self._shared.close()

    def _ended(self) -> Exception:
        """How it ended."""
        try:
            code = self._popen.wait(5)
        except subprocess.TimeoutExpired:
            code = 0  # it only closed its pipe
        self.end()
        if not self._ready:
            return _NotStarted(f'a process to decode in ends at its start (exit code {code})')
        return Ended(f'by {signal.Signals(-code).name}' if code < 0 else f'with exit code {code}')


class _Pool:
    """The processes of this one."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._lock, self._processes = threading.Lock(), []  # type: threading.Lock, List[_Process]
        self._most = max(2, min(16, len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 4))

    def take(self) -> _Process:
        """The one with the fewest readers, or a new one; raises `_NotStarted`."""
        with self._lock:
            self._processes = [process for process in self._processes if process.alive]
            least = min(self._processes, key=lambda process: process.readers, default=None)
            if least is None or (least.readers and len(self._processes) < self._most):
                least = _Process()
                self._processes.append(least)
            least.readers += 1
            return least

    def end(self) -> None:
        """End all of them."""
        with self._lock:
            for process in self._processes:
                process.end()


_pool, _pool_lock, _told = _Pool(), threading.Lock(), []  # type: _Pool, threading.Lock, List[str]


def _processes() -> _Pool:
    """The pool of this process: a fork has pipes that are its parent's."""
    global _pool
    with _pool_lock:
        if _pool.owner != os.getpid():
            _pool = _Pool()
        return _pool


def process_numbers() -> List[int]:
    """The system's numbers of the processes that decode for this one."""
    return [process._popen.pid for process in _processes()._processes if process.alive]


@atexit.register
def _end() -> None:
    if _pool.owner == os.getpid():
        _pool.end()


class IsolatedReader(VideoReader):
    """Reads a video file in a process of its own; a process that ends is tried once more, then the file is given up.

    Raises
    ------
    VideoError
        as `open_video` and `get_batch` do; and where decoding ends the process, or never ends
    """

    def __init__(self, path: str, scans: Optional[ScanCache] = None):
        self._scans = ScanCache() if scans is None else scans
        self._process: Optional[_Process] = None
        self.path, self._place = path, os.path.abspath(path)  # the process has a working folder of its own
        try:
            self._stamp = Stamp.of(path)
        except OSError:
            self._stamp = Stamp(0, 0)
        self._patience = PATIENCE + self._stamp.size / _PER_SECOND
        opened = self._again(self._open)
        super().__init__(path, opened['length'], opened['fps'], tuple(opened['size']))
        self.backend, self.times = opened['backend'], load_scan(opened['scan']).times

    def close(self) -> None:
        if self._process is not None:
            self._process.close(self._number)
            self._process = None

    def _open(self) -> Dict[str, Any]:
        self._process = _processes().take()
        self._number = self._process.number()
        text = self._scans.known(self.path, self._stamp)
        request = {'reader': self._number, 'open': self._place, 'scan': text}
        try:
            opened = self._process.ask(request, self._patience)
        except BaseException:
            self.close()
            raise
        if not text:
            self._scans.put(self.path, self._stamp, opened['scan'])
        return opened

    def _decode(self, numbers: List[int], size: Tuple[int, int]) -> np.ndarray:
        out = np.empty((len(numbers), *size, 3), np.uint8)

        def get() -> None:
            if self._process is None or not self._process.alive:
                self.close()
                self._open()
            assert self._process is not None
            request = {'reader': self._number, 'numbers': numbers, 'size': list(size)}
            self._process.ask(request, self._patience, out)

        self._again(get)
        return out

    def _again(self, ask: Any) -> Any:
        """Ask; once more where the process ended, which may have had other reasons than this file.

        One that another file has ended meanwhile says nothing of this one, however often that happens.
        """
        once_more = True
        while True:
            try:
                return ask()
            except _Gone:
                continue
            except VideoError as error:
                raise VideoError(self.path, error.reason) from error
            except Hung as error:
                raise VideoError(self.path, f'decoding it does not end ({error})') from error
            except Ended as error:
                if not once_more:
                    raise VideoError(self.path, f'decoding it ends the process that does it ({error})') from error
                once_more = False


def open_isolated(path: str, scans: Optional[ScanCache] = None) -> VideoReader:
    """Open a video as `open_video` does, decoded in another process where it is a video file.

    Images and folders of them are read in this one: what could crash OpenCV is looked for before (`images`). Where no
    process can be started, which the log says once, all are.

    Raises
    ------
    VideoError
        as `open_video`
    """
    if not os.path.isdir(path) and not path.lower().endswith(IMAGE_SUFFIXES):
        try:
            return IsolatedReader(path, scans)
        except _NotStarted as error:
            if not _told:
                _told.append(str(error))
                logger.warning('videos are decoded in this process, which a damaged one could end: %s', error)
    return open_video(path, scans=scans)
