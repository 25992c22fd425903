"""Streams and cameras: frames that come in their order, once, from where nothing can be looked up or read again.

They are decoded in a process of their own, as files are (`isolated`): what a stream does to its decoder ends the
stream alone, and one that falls silent is given up.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Tuple

import numpy as np

from ..errors import UserError, VideoError, unknown
from ..interrupts import kept_from_children
from .messages import Ended, Hearing, Hung
from .stream_process import PROTOCOLS

PATIENCE = 30.0  # seconds without a frame after which a stream or a camera is given up; a pipe may be silent for ever
_START = "import sys; sys.path[:] = sys.argv[2].split('\\n'); from gluon_fg.data.stream_process import main; main()"
_ADDRESS = re.compile(r'([A-Za-z][A-Za-z0-9+.-]+)://')
_CAMERA = re.compile(r'(?:/dev/video)?(\d{1,3})')


class Moment(NamedTuple):
    """A frame of a stream: seconds after the first, and the picture, uint8 (H, W, 3), RGB."""

    time: float
    picture: np.ndarray


def is_stream(path: str) -> bool:
    """Tell whether something is an address, a camera's number, standard input ('-') or a pipe, and no file.

    Raises
    ------
    UserError
        an address of a kind that is not read
    """
    address = _ADDRESS.match(path)
    if address and address.group(1).lower() not in PROTOCOLS:
        raise unknown(f'kind of address in {path}:', address.group(1), PROTOCOLS)
    if address or path == '-':
        return True
    try:
        kind = os.stat(path).st_mode
    except OSError:
        return _CAMERA.fullmatch(path) is not None
    return stat.S_ISFIFO(kind) or stat.S_ISCHR(kind) or stat.S_ISSOCK(kind)


class FrameStream:
    """The frames of a stream or a camera, as they come; a context manager.

    Parameters
    ----------
    source
        as `is_stream` takes it
    short_side
        pixels of the shorter side that frames are brought to; None: as they are
    patience
        seconds without a frame after which it is given up; None: `PATIENCE`, for a pipe none

    Attributes
    ----------
    fps, size
        frames per second, as far as the stream tells, else 25; (W, H) pixels of a frame
    live
        whether what is not taken in time is lost: a pipe, and a file on a server, wait

    Raises
    ------
    VideoError
        nothing can be read there; while iterating: it broke off
    """

    def __init__(self, source: str, short_side: Optional[int] = None, patience: Optional[float] = None):
        camera = _CAMERA.fullmatch(source) if _ADDRESS.match(source) is None else None
        self.path = f'camera {camera.group(1)}' if camera else 'standard input' if source == '-' else source
        address = _ADDRESS.match(source)
        waits = camera is None and address is None
        self._patience = patience or (1e6 if waits else PATIENCE)
        if address:
            source = address.group(0).lower() + source[address.end() :]
        place = camera.group(1) if camera else source if address or source == '-' else os.path.abspath(source)
        command = [sys.executable, '-c', _START, 'gluon_fg.data.stream_process', '\n'.join(sys.path), place]
        try:
            with kept_from_children():
                self._popen = subprocess.Popen(
                    [*command, str(short_side or 0)],
                    stdin=None if source == '-' else subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    bufsize=0,
                    env={**os.environ, 'OPENCV_LOG_LEVEL': 'SILENT'},
                )
        except OSError as error:
            raise UserError(f'no process can be started to decode {self.path} in ({error})') from error
        assert self._popen.stdout is not None
        self._heard = Hearing(self._popen.stdout.fileno())
        try:
            facts = self._message()
            if 'ended' in facts:
                raise VideoError(self.path, 'has no frame that can be decoded')
        except BaseException:
            self.close()
            raise
        self.fps, self.live = float(facts['fps']), bool(facts['live'])
        self.size: Tuple[int, int] = (int(facts['size'][0]), int(facts['size'][1]))

    def __enter__(self) -> FrameStream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Moment]:
        while True:
            message = self._message()
            if 'ended' in message:
                return
            picture = np.empty((self.size[1], self.size[0], 3), np.uint8)
            self._told(self._heard.fill, picture.data.cast('B'))
            yield Moment(float(message['time']), picture)

    def stop(self) -> None:
        """Let nothing more come; who is waiting for a frame learns it by a VideoError."""
        self._popen.kill()

    def close(self) -> None:
        """End it; harmless when done twice."""
        self._popen.kill()
        self._popen.wait()
        assert self._popen.stdout is not None
        self._popen.stdout.close()

    def _message(self) -> Dict[str, Any]:
        message: Dict[str, Any] = self._told(self._heard.message)
        if 'error' in message:
            raise VideoError(self.path, f'cannot be read, or breaks off ({message["error"]})')
        return message

    def _told(self, hear: Callable, *target: memoryview) -> Any:
        """What is heard; raises VideoError where the process ended or fell silent."""
        try:
            return hear(*target, self._patience)
        except Hung as error:
            raise VideoError(self.path, f'nothing comes from there ({error})') from error
        except Ended as error:
            code = self._popen.wait()
            how = f'by {signal.Signals(-code).name}' if code < 0 else f'with exit code {code}'
            raise VideoError(self.path, f'decoding it ends the process that does it ({how})') from error
