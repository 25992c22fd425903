"""A process that decodes a stream for another one, frame by frame as they come: `streams` starts and ends it.

It says (`messages`) what the stream is, then the time of each frame, with its pixels behind it, and at last that it
ended, or why it broke off.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
import time
from typing import IO, Any, Dict, Iterator, Optional, Tuple

import av
import cv2
import numpy as np

from ..errors import UserError, VideoError
from .counting import DECODE_ERRORS, packets_of
from .limits import check_frame
from .messages import say
from .orientation import orientation_of
from .packets import READ_ERRORS, UNKNOWN_FPS, short_reason
from .pixels import Pixels
from .transforms import resize_frame, short_side_size

# Scheme of an address -> FFmpeg's protocols that it needs; nothing that comes from there may name a file of ours
PROTOCOLS = {
    'http': 'http,https,httpproxy,tls,tcp,crypto',
    'https': 'http,https,httpproxy,tls,tcp,crypto',
    'rtsp': 'rtsp,rtp,srtp,udp,tcp,tls',
    'rtsps': 'rtsp,rtp,srtp,udp,tcp,tls',
    'rtmp': 'rtmp,tcp',
    'rtmps': 'rtmps,tls,tcp',
    'rtp': 'rtp,udp',
    'srt': 'srt',
    'tcp': 'tcp',
    'udp': 'udp',
}
_WAITING = ('http', 'https', 'tcp')  # whoever sends may wait for us; that of all others is gone if we are late
_JUMP = 10.0  # seconds from a frame to the next that are no gap but a clock that was set anew


def main() -> None:
    """Send the frames of the stream that the command line names until it ends, or nobody listens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the one that asks
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with contextlib.suppress(OSError), open('/proc/self/oom_score_adj', 'w') as stream:
        stream.write('1000')  # where memory ends, this process ends, not the one that asks
    out = os.fdopen(os.dup(1), 'wb')
    os.dup2(2, 1)  # what a library prints is no answer
    cv2.setNumThreads(0)
    source, side = sys.argv[3], int(sys.argv[4])
    with contextlib.suppress(BrokenPipeError):
        try:
            _send(out, camera_frames(int(source)) if source.isdigit() else film_frames(source), side)
            say(out, {'ended': True})
        except READ_ERRORS as error:
            reason = error.reason if isinstance(error, VideoError) else short_reason(error)
            say(out, {'error': reason})
    os._exit(0)  # without the time that libraries take to clean up


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _send(out: IO[bytes], frames: Iterator[Tuple[Dict[str, Any], float, np.ndarray]], side: int) -> None:
    small: Optional[np.ndarray] = None
    for facts, seconds, picture in frames:
        if small is None:
            height, width = picture.shape[:2]
            small = np.empty((*(short_side_size(height, width, side) if side else (height, width)), 3), np.uint8)
            say(out, {**facts, 'size': small.shape[1::-1]})
        resize_frame(picture, small)
        say(out, {'time': seconds})
        out.write(small.data)
        out.flush()


def film_frames(source: str) -> Iterator[Tuple[Dict[str, Any], float, np.ndarray]]:
    """Decode an address, a pipe by its path, or standard input ('-'): (facts of the stream, seconds, picture) of each.

    Packets that cannot be decoded are left out: one may come in the middle of a group of pictures.
    """
    scheme = source.split('://')[0] if '://' in source else ''
    place, allowed = ('pipe:0', 'pipe') if source == '-' else (source, PROTOCOLS.get(scheme, 'file'))
    options = {'protocol_whitelist': allowed, **({'rtsp_transport': 'tcp'} if scheme.startswith('rtsp') else {})}
    with av.open(place, metadata_errors='replace', container_options=options) as container:
        streams = [s for s in container.streams.video if s.codec_context is not None]
        if not streams:
            raise VideoError(source, 'there is no video in it that can be decoded')
        stream = max(streams, key=lambda s: s.codec_context.width * s.codec_context.height)
        stream.codec_context.thread_count = 1
        known = container.size > 0 or (container.duration or 0) > 0
        live = bool(scheme) and not (scheme in _WAITING and known)
        facts = {'fps': float(stream.average_rate or stream.guessed_rate or UNKNOWN_FPS), 'live': live}
        pixels: Optional[Pixels] = None
        clock = _Clock(facts['fps'])
        endless = scheme.startswith('http') and container.size <= 0
        for packet in _until_the_end(packets_of(container, stream), endless):
            try:
                frames = packet.decode()
            except DECODE_ERRORS:
                continue
            for frame in frames:
                if pixels is None:
                    check_frame(source, frame.width, frame.height)
                    shown = orientation_of(frame)
                    pixels = Pixels(source, shown, shown.size(frame.width, frame.height))
                yield facts, clock.at(frame.time), pixels.of(frame)


def _until_the_end(packets: Iterator[av.Packet], endless: bool) -> Iterator[av.Packet]:
    """The packets of a stream; of one by HTTP whose length nobody told (`endless`) FFmpeg calls the end an error."""
    try:
        yield from packets
    except OSError as error:
        if not endless or error.errno != errno.EIO:
            raise


class _Clock:
    """Seconds of frames after the first, by their own times as far as these go on."""

    def __init__(self, fps: float):
        self._step, self._shift, self._last = 1 / fps, 0.0, -1.0

    def at(self, seconds: Optional[float]) -> float:
        """The time of the next frame, later than the one before."""
        if self._last < 0:
            self._shift, self._last = -(seconds or 0.0), 0.0
            return 0.0
        after = self._last + self._step
        now = after if seconds is None else seconds + self._shift
        if not self._last < now < self._last + _JUMP:  # it was set anew
            self._shift += after - now
            now = after
        self._last = now
        return now


def camera_frames(number: int) -> Iterator[Tuple[Dict[str, Any], float, np.ndarray]]:
    """Take pictures of a camera by its number: as `film_frames`, by this computer's clock."""
    camera = cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            raise VideoError(str(number), 'there is no camera of this number, or another program has it')
        fps = camera.get(cv2.CAP_PROP_FPS)
        facts = {'fps': fps if 0 < fps < 1000 else UNKNOWN_FPS, 'live': True}
        begin = None
        while True:
            taken, picture = camera.read()
            if not taken:
                raise VideoError(str(number), 'the camera gives no more pictures')
            now = time.monotonic()
            begin = now if begin is None else begin
            check_frame(str(number), picture.shape[1], picture.shape[0])
            yield facts, now - begin, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    except cv2.error as error:
        raise UserError(f'the camera fails ({short_reason(error)})') from error
    finally:
        camera.release()
