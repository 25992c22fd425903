"""A process that decodes videos for another one, and may crash or hang: `isolated` starts it, asks it, and ends it.

The first message (`messages`) is sent by this process: it is ready. Then each request is answered by one message;
frames that were asked for then lie in the memory that the two share.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from typing import IO, Any, Dict, Optional

import cv2

from ..errors import VideoError
from .messages import say
from .scans import ScanCache, Stamp
from .shared import KEPT, Shared
from .video import VideoReader, open_video


def main() -> None:
    """Answer requests until there are no more, or the process that asks is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the one that asks
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with contextlib.suppress(OSError), open('/proc/self/oom_score_adj', 'w') as stream:
        stream.write('1000')  # where memory ends, this process ends, not the one that asks
    answers = os.fdopen(os.dup(1), 'wb')
    os.dup2(2, 1)  # what a library prints is no answer
    cv2.setNumThreads(0)
    say(answers, {})
    readers: Dict[int, VideoReader] = {}
    shared = Shared(int(sys.argv[3]))
    while True:
        request = _heard(sys.stdin.buffer)
        if request is None:
            os._exit(0)  # without the time that libraries take to clean up
        for number in request['close']:
            reader = readers.pop(number, None)
            if reader is not None:
                reader.close()
        answer: Dict[str, Any] = {}
        try:
            if 'open' in request:
                answer, readers[request['reader']] = _opened(request['open'], request['scan'])
            else:
                frames = readers[request['reader']].get_batch(request['numbers'], tuple(request['size']))
                shared.grow(frames.nbytes)
                shared.frames(frames.shape)[...] = frames
                if frames.nbytes > KEPT:  # the one that asked gives it back
                    shared.unmap()
                del frames
        except VideoError as error:
            answer = {'error': [error.path, error.reason]}
        say(answers, answer)


def _opened(path: str, text: str) -> Any:
    """What is to be known of a video file, and its reader; `text`: its scan, where that is known already."""
    scans = ScanCache()
    try:
        stamp = Stamp.of(path)
    except OSError:
        stamp = Stamp(0, 0)
    if text:
        scans.put(path, stamp, text)
    reader = open_video(path, scans=scans)
    shape = {'length': len(reader), 'fps': reader.fps, 'size': reader.size, 'backend': reader.backend}
    return {**shape, 'scan': scans.known(path, stamp)}, reader


def _heard(stream: IO[bytes]) -> Optional[Dict[str, Any]]:
    """The next request; None where there are no more."""
    length = int.from_bytes(stream.read(8), 'little')
    return json.loads(stream.read(length)) if length else None


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
