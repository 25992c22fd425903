"""Whether one video, folder of frames or image can be used, and what is to be known of it: `check_file`."""

from __future__ import annotations

import errno
import hashlib
import os
from typing import List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from ..errors import VideoError, printable
from ..files import sha256
from . import packets, video
from .tracks import PICTURES

MISSING, BROKEN, SOUND = 'missing', 'broken', 'no video'  # how a problem begins
_BLANK = 4.0  # standard deviation, of 255 gray levels, below which a frame shows nothing to compare


class FileHealth(NamedTuple):
    """What a check saw of one file, in plain values.

    Parameters
    ----------
    kind
        'video', 'frames' (a folder of images) or 'image'
    frames, fps, width, height
        as decoded, upright
    turns
        quarter turns counterclockwise that set its frames upright
    problem
        why it cannot be used: 'missing', 'no video: ...' or 'broken: ...'; '' where its first, middle and last frames
        were decoded
    bytes, mtime_ns
        size and time of the last change; of a folder of frames the sum of their sizes
    sha256
        of its bytes; of a folder of frames of all its images in their order
    looks
        `look` of the first, middle and last frame
    scan
        `Scan.dump` of a video file
    """

    kind: str = 'video'
    frames: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    turns: int = 0
    problem: str = ''
    bytes: int = 0
    mtime_ns: int = 0
    sha256: str = ''
    looks: Tuple[int, ...] = ()
    scan: str = ''


def check_file(path: str) -> FileHealth:
    """Look at a video, a folder of frames or an image: its bytes, and its first, middle and last frame.

    Whatever is wrong with it becomes its `problem`; nothing is raised.
    """
    kind = 'image' if path.lower().endswith(video.IMAGE_SUFFIXES) else 'video'
    try:
        seen = bytes_of(path)
    except FileNotFoundError:
        return FileHealth(kind, problem=MISSING)
    except OSError as error:
        return FileHealth(kind, problem=f'{BROKEN}: {packets.short_reason(error)}')
    try:
        return _decoded(path, seen)
    except Exception as error:  # decoders fail in many ways on damaged files, and none may end the check of the others
        sound = _sound_alone(path) if seen.kind == 'video' else ''
        if sound:
            return seen._replace(problem=f'{SOUND}: it has {sound}')
        reason = error.reason if isinstance(error, VideoError) else packets.short_reason(error)
        if not isinstance(error, packets.READ_ERRORS):
            reason = f'nothing here can decode it ({reason})'
        return seen._replace(problem=f'{BROKEN}: {printable(" ".join(reason.split()))}')


def look(frame: np.ndarray) -> int:
    """A number of 63 bits that says how a picture looks: in two copies of one picture few bits differ.

    It is the common DCT hash: gray, 32x32, the 63 lowest frequencies but the mean, each above their median or not.

    Parameters
    ----------
    frame
        uint8 (H, W, 3), RGB

    Returns
    -------
    int
        0 for a picture of one color, which says nothing
    """
    gray = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    gray = gray.astype(np.float32)
    if gray.std() < _BLANK:
        return 0
    low = cv2.dct(gray)[:8, :8].ravel()[1:]
    return int(''.join('01'[bit] for bit in (low > np.median(low)).astype(int)), 2)


def bytes_of(path: str) -> FileHealth:
    """Say of a file what there is to know without decoding it; raises OSError where it cannot be read."""
    status = os.stat(path)
    if not os.path.isdir(path):
        if not os.path.isfile(path):  # a pipe or device, whose bytes may never end
            raise OSError(errno.EINVAL, 'is not a file')
        kind = 'image' if path.lower().endswith(video.IMAGE_SUFFIXES) else 'video'
        return FileHealth(kind, bytes=status.st_size, mtime_ns=status.st_mtime_ns, sha256=sha256(path))
    total, digest = 0, hashlib.sha256()
    for name in sorted(os.listdir(path), key=video.natural):
        file = os.path.join(path, name)
        if name.lower().endswith(video.IMAGE_SUFFIXES) and not name.startswith('.') and os.path.isfile(file):
            total += os.path.getsize(file)
            digest.update(bytes.fromhex(sha256(file)))
    return FileHealth('frames', bytes=total, mtime_ns=status.st_mtime_ns, sha256=digest.hexdigest())


def _decoded(path: str, seen: FileHealth) -> FileHealth:
    scan: Optional[packets.Scan] = None
    if seen.kind == 'video':
        scan = packets.scan(path)
        reader: video.VideoReader = video.PyAVReader(path, scan)  # decord may end the process on a damaged file
    else:
        reader = video.open_video(path)
    with reader:
        looks: List[int] = [look(reader.get_batch([number])[0]) for number in places(len(reader))]
        width, height = map(int, reader.size)
        rate = 0.0 if seen.kind == 'image' else float(reader.fps)
        return seen._replace(
            frames=len(reader),
            fps=rate,
            width=width,
            height=height,
            turns=0 if scan is None else int(scan.turns),
            looks=tuple(looks),
            scan='' if scan is None else scan.dump(),
        )


def places(length: int) -> Sequence[int]:
    """Numbers of the first, middle and last frame of a video of that many."""
    return sorted({0, length // 2, length - 1})


def _sound_alone(path: str) -> str:
    """What a file holds that has sound but no moving picture; '' where it is another kind."""
    try:
        with packets.open_container(path) as container:
            codecs = [getattr(stream.codec_context, 'name', '') for stream in container.streams.video]
            if not container.streams.audio or not all(name in PICTURES for name in codecs):
                return ''
            return 'sound and a cover picture' if codecs else 'sound alone'
    except Exception:  # it cannot be opened: broken, and the first error says how
        return ''
