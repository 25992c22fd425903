"""What a video file's packets tell before anything is decoded: how many frames, and where decoding may start."""

from __future__ import annotations

import json
import math
import os
import re
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

import av
import numpy as np

from ..errors import UserError, VideoError
from .orientation import Orientation, orientation_of

UNKNOWN_FPS = 25.0  # stands in where a file, or a folder of images, does not say
READ_ERRORS = (av.error.FFmpegError, OSError, ValueError, RuntimeError)

# Where decord 0.6.0 was found frame-identical to PyAV; its own, older FFmpeg converts other pixel formats differently.
_DECORD_CONTAINERS = ('mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm', 'avi', 'flv')
_DECORD_PIXELS = ('yuv420p', 'yuvj420p', 'yuv422p', 'yuvj422p', 'yuv444p', 'yuvj444p', 'gray')


class Scan(NamedTuple):
    """What a file's packets tell: frames, frames per second, (W, H) upright, and how it may be entered.

    `pts` (length,) presentation times in order, or None where the container has none that can be trusted; `keys`
    numbers of the frames at which decoding may start; `turns` quarter turns counterclockwise that set a frame upright,
    after mirroring it left to right where `mirrored`; `not_decord` why decord would not be exact here, '' where it is;
    `unit` seconds of one step of `pts`.
    """

    length: int
    fps: float
    size: Tuple[int, int]
    pts: Optional[np.ndarray]
    keys: np.ndarray
    turns: int
    not_decord: str
    unit: float = 0.0
    mirrored: bool = False

    @property
    def orientation(self) -> Orientation:
        """How a frame as it is coded is set upright."""
        return Orientation(self.turns, self.mirrored)

    @property
    def times(self) -> Optional[np.ndarray]:
        """(length,) seconds from the first frame to each, or None where the file does not tell."""
        return None if self.pts is None or not self.unit else (self.pts - self.pts[0]) * self.unit

    def dump(self) -> str:
        """A line of text that `load_scan` reads back; short where frames come at a steady rate."""
        pts = None if self.pts is None else [int(self.pts[0]), *_runs(np.diff(self.pts))]
        values = {**self._asdict(), 'pts': pts, 'keys': self.keys.tolist()}
        return json.dumps(values, separators=(',', ':'))


class _Packet(NamedTuple):
    pts: Optional[int]
    key: bool  # decoding may start here
    marked: bool  # the container says that it may


def scan(path: str) -> Scan:
    """Read a file's packets, and decode its first frame.

    Raises
    ------
    VideoError
        missing, a folder, empty, not a video, no video stream, or not one frame that can be decoded
    """
    try:
        with open_container(path) as container:
            return _scan_container(path, container)
    except READ_ERRORS as error:
        if isinstance(error, UserError):
            raise
        reason = f'cannot be read as a video; truncated, damaged or of another kind ({short_reason(error)})'
        raise VideoError(path, reason) from error


def load_scan(text: str) -> Scan:
    """Read what `Scan.dump` wrote; raises ValueError for anything else."""
    try:
        values = json.loads(text)
        pts = values.pop('pts')
        if pts is not None:
            steps = np.repeat([step for step, _ in pts[1:]], [count for _, count in pts[1:]])
            pts = np.cumsum(np.concatenate([pts[:1], steps]), dtype=np.int64)
        width, height = values.pop('size')
        loaded = Scan(pts=pts, size=(width, height), keys=np.array(values.pop('keys'), np.int64), **values)
        if pts is not None and len(pts) != loaded.length:
            raise ValueError('as many times as frames are needed')
        return loaded
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f'not what a scan of a video was written as: {text[:80]!r}') from error


def _runs(steps: np.ndarray) -> List[Tuple[int, int]]:
    """(value, how often) of each stretch of equal values."""
    begins = np.flatnonzero(np.diff(steps, prepend=steps[0] - 1)) if len(steps) else np.zeros(0, int)
    return [(int(steps[at]), int(count)) for at, count in zip(begins, np.diff(begins, append=len(steps)))]


def open_container(path: str) -> av.container.InputContainer:
    """Open a file with PyAV; the caller closes the container. Raises VideoError where there is no such file."""
    if not os.path.exists(path):
        raise VideoError(path, 'no such file')
    if not os.path.isfile(path):
        raise VideoError(path, 'is not a file')
    if os.path.getsize(path) == 0:
        raise VideoError(path, 'is an empty file')
    # absolute, or FFmpeg takes what stands before a colon for a protocol
    return av.open(os.path.abspath(path), metadata_errors='replace')


def short_reason(error: BaseException) -> str:
    """Shorten an error's text to one line, without the path and the C++ stack that decord and PyAV put into it."""
    text = getattr(error, 'strerror', None) or str(error)
    lines = [line for line in text.splitlines() if line.strip()]
    return re.sub(r'^\[[^]]*\]\s*\S*:\d+:\s*', '', lines[0])[:200] if lines else type(error).__name__


def _scan_container(path: str, container: av.container.InputContainer) -> Scan:
    if not container.streams.video or container.format.name == 'tty':  # FFmpeg shows text files as films
        raise VideoError(path, 'is not a video (no video stream)')
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    first, packets, hidden, cut = None, [], 0, 0
    for packet in container.demux(stream):
        if first is None:
            first = next(iter(packet.decode()), None)
        if not packet.size or (packet.size == 1 and stream.codec_context.name == 'mpeg4'):
            continue  # flush packet, an AVI "same as before", or XviD's byte in place of a frame that comes later
        if packet.is_corrupt:
            cut += 1  # the file ends in it
        elif packet.is_discard:
            hidden += 1  # cut away by an edit list
        else:
            key = packet.is_keyframe and _starts_clean(stream.codec_context, packet)
            packets.append(_Packet(packet.pts, key, packet.is_keyframe))
    if first is None or not packets:
        raise VideoError(path, 'has no frame that can be decoded (truncated?)')

    # The AVI demuxer invents times, and they do not always match the decoded frames'
    times = [packet.pts for packet in packets if packet.pts is not None]
    stamped = len(set(times)) == len(packets)
    order = np.argsort(times, kind='stable') if stamped else np.arange(len(packets))
    keys = np.array([i for i, at in enumerate(order) if packets[at].key], np.int64)
    trusted = stamped and container.format.name != 'avi'
    shown = orientation_of(first)

    in_order = stamped and bool((np.diff(times) > 0).all())
    cut_clean = stamped and _closed(packets) and (trusted or in_order)
    pixels = first.format.name
    checks = (
        (container.format.name in _DECORD_CONTAINERS, f'its container is {container.format.name}'),
        (len(container.streams.video) == 1, 'it has several video streams'),
        (pixels in _DECORD_PIXELS, f'its pixel format is {pixels}'),
        ('444' in pixels or pixels == 'gray' or first.height % 2 == 0, 'its frames have an odd height'),
        (shown == Orientation(), 'its frames are rotated'),
        (not hidden, 'an edit list hides some of its frames'),
        (not cut, 'it ends inside a frame'),
        (cut_clean, 'its key frames do not cut it cleanly'),
    )
    rate = stream.average_rate or stream.guessed_rate
    return Scan(
        length=len(packets),
        fps=float(rate) if rate else UNKNOWN_FPS,
        size=shown.size(first.width, first.height),
        pts=np.array(times, np.int64)[order] if trusted else None,
        keys=keys,
        turns=shown.turns,
        not_decord=next((reason for fine, reason in checks if not fine), ''),
        unit=float(stream.time_base or 0),
        mirrored=shown.mirrored,
    )


def _closed(packets: Sequence[_Packet]) -> bool:
    """Tell whether decoding can start at every packet marked as key, and nothing after it is shown before it."""
    if not packets[0].key:
        return False
    earliest = math.inf  # presentation time still to come, going backwards
    for packet in reversed(packets):
        shown = math.inf if packet.pts is None else packet.pts  # all have one where this is asked
        if packet.marked and (not packet.key or earliest < shown):
            return False
        earliest = min(earliest, shown)
    return True


def _starts_clean(codec_context: av.CodecContext, packet: av.Packet) -> bool:
    """Tell whether the picture is right from a packet marked as key on.

    In H.264 the mark may only mean a recovery point, some frames before the picture is right; an IDR picture is what
    does. In HEVC all random access pictures will do. Other codecs' key frames are complete.
    """
    if codec_context.name == 'h264':
        return any(kind & 0x1F == 5 for kind in _unit_kinds(codec_context, bytes(packet)))
    if codec_context.name == 'hevc':
        return any(16 <= (kind >> 1) & 0x3F <= 21 for kind in _unit_kinds(codec_context, bytes(packet)))
    return True


def _unit_kinds(codec_context: av.CodecContext, data: bytes) -> Iterator[int]:
    """First byte, which holds the type, of each unit (NAL) of an H.264 or HEVC packet."""
    header = bytes(codec_context.extradata or b'')
    if header[:1] == b'\1':  # mp4, mkv: each unit after its length
        at, width = 0, (header[4 if codec_context.name == 'h264' else 21] & 3) + 1
        while at + width < len(data):
            yield data[at + width]
            at += width + int.from_bytes(data[at : at + width], 'big')
    else:  # each unit after a start code
        for match in re.finditer(b'\0\0\1', data):
            if match.end() < len(data):
                yield data[match.end()]
