"""What is to be known of a video file before frames are read: how many there are, and where decoding may start.

Its packets tell, but for the first frame nothing is decoded. Where a packet may not be a frame (`tracks.Track.doubt`),
the whole file is decoded once, and the frames that come are counted.
"""

from __future__ import annotations

import json
import os
import re
from fractions import Fraction
from typing import List, NamedTuple, Optional, Tuple

import av
import numpy as np

from .. import safe_json
from ..errors import UserError, VideoError
from .counting import count
from .limits import MAX_FRAMES, check_frame
from .orientation import Orientation, orientation_of
from .tracks import Track, film_of

UNKNOWN_FPS = 25.0  # stands in where a file, or a folder of images, does not say
READ_ERRORS = (av.error.FFmpegError, OSError, ValueError, RuntimeError, MemoryError, OverflowError)
# Formats of FFmpeg that show what is no film: texts, and lists of other files, which are not opened
_NO_FILMS = {name: 'a text' for name in ('tty', 'bintext', 'xbin', 'idf', 'adf')}
_NO_FILMS.update({name: 'a playlist' for name in ('hls', 'concat', 'dash', 'sdp', 'rtsp', 'imf', 'mpjpeg')})

# Container -> codecs where decord 0.6.0 was found frame-identical to PyAV with groups of pictures of any length
# (tests/data/test_containers.py). Its own, older FFmpeg seeks to other frames elsewhere, as in H.264 in AVI and FLV.
DECORD_CODECS = {
    'mov,mp4,m4a,3gp,3g2,mj2': ('h264', 'hevc', 'mpeg4', 'mjpeg', 'vp9'),
    'matroska,webm': ('h264', 'hevc', 'mpeg4', 'mjpeg', 'ffv1', 'vp8', 'vp9'),
    'avi': (
        'mpeg4',
        'mjpeg',
        'msmpeg4',
        'msmpeg4v2',
        'wmv1',
        'wmv2',
        'flv',
        'ffv1',
        'huffyuv',
        'utvideo',
        'vp8',
        'vp9',
    ),
    'flv': ('flv',),
}
# It converts other pixel formats differently, too.
_DECORD_PIXELS = ('yuv420p', 'yuvj420p', 'yuv422p', 'yuvj422p', 'yuv444p', 'yuvj444p', 'gray')

# What a file names is not fetched from elsewhere. As `options` it would crash PyAV on files whose streams come late.
_LOCAL = {'protocol_whitelist': 'file'}

_VERSION = 2  # of the text of a scan: those before may number other frames


class Scan(NamedTuple):
    """What a file's packets tell: frames, frames per second, (W, H) upright, and how it may be entered.

    `pts` (length,) presentation times in order, or None where the container has none that can be trusted; `keys`
    numbers of the frames at which decoding may start; `turns` quarter turns counterclockwise that set a frame upright,
    after mirroring it left to right where `mirrored`; `not_decord` why decord would not be exact here, '' where it is;
    `unit` seconds of one step of `pts`; `stream` its number in the file; `counted` whether the frames were counted by
    decoding, as packets did not tell; `places` where the packets of `keys` stand in the file,
    in bytes, where their times alone might not tell them from others after a seek.
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
    stream: int = 0
    counted: bool = False
    places: Optional[List[int]] = None

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
        values = {**self._asdict(), 'pts': pts, 'keys': self.keys.tolist(), 'version': _VERSION}
        return json.dumps(values, separators=(',', ':'))


def scan(path: str) -> Scan:
    """Read a file's packets, and decode its first frame.

    Raises
    ------
    VideoError
        missing, a folder, empty, not a video, no video stream, no decoder, or not one frame that can be decoded
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
    """Read what `Scan.dump` wrote; raises ValueError for anything else, and for what other versions wrote."""
    try:
        values = safe_json.parse(text)
        if values.pop('version') != _VERSION:
            raise ValueError('a scan of another version')
        pts = values.pop('pts')
        if pts is not None:
            if sum(count for _, count in pts[1:]) >= MAX_FRAMES:
                raise ValueError('times of more frames than there can be')
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
    return av.open(os.path.abspath(path), metadata_errors='replace', container_options=_LOCAL)


def short_reason(error: BaseException) -> str:
    """Shorten an error's text to one line, without the path and the C++ stack that decord and PyAV put into it."""
    text = getattr(error, 'strerror', None) or str(error)
    lines = [line for line in text.splitlines() if line.strip()]
    return re.sub(r'^\[[^]]*\]\s*\S*:\d+:\s*', '', lines[0])[:200] if lines else type(error).__name__


def _scan_container(path: str, container: av.container.InputContainer) -> Scan:
    if container.format.name in _NO_FILMS:
        raise VideoError(path, f'is not a video ({_NO_FILMS[container.format.name]})')
    film = film_of(path, container)
    packets, first = film.packets, film.first
    if first is None or not packets:
        raise VideoError(path, 'has no frame that can be decoded (truncated?)')
    check_frame(path, first.width, first.height)
    frames = None if film.doubt else _as_packed(film)
    if frames is None or (film.in_stream and not _ends_whole(path, film, frames)):
        frames = _counted(path, film)
    counted = frames.counted
    shown, stream = orientation_of(first), film.stream
    pts, unit = frames.pts, 0.0 if film.in_avi else float(stream.time_base or 0)  # AVI's are numbers, not times
    rate = float(stream.average_rate or stream.guessed_rate or UNKNOWN_FPS)
    if counted and pts is not None and len(pts) > 1 and unit:  # that rate is of packets
        rate = float((len(pts) - 1) / (int(pts[-1] - pts[0]) * Fraction(stream.time_base)))
    return Scan(
        length=frames.length,
        fps=rate,
        size=shown.size(first.width, first.height),
        pts=pts,
        keys=frames.keys,
        turns=shown.turns,
        not_decord=_not_decord(film, container.format.name, first, shown),
        unit=unit,
        mirrored=shown.mirrored,
        stream=stream.index,
        counted=counted,
        places=frames.places,
    )


class _Frames(NamedTuple):
    length: int
    pts: Optional[np.ndarray]
    keys: np.ndarray
    places: Optional[List[int]] = None
    counted: bool = False


def _as_packed(film: Track) -> _Frames:
    """The frames of a film each of whose packets is one."""
    packets, times = film.packets, [packet.pts for packet in film.packets if packet.pts is not None]
    stamped = len(times) == len(packets)
    order = np.argsort(times, kind='stable') if stamped else np.arange(len(packets))
    keys = np.array([i for i, at in enumerate(order) if packets[at].key], np.int64)
    places: Optional[List[int]] = None
    if film.in_avi:  # FFmpeg invents times there; they match the frames' where none is shown later than others
        stamped = stamped and bool((np.diff(times) > 0).all()) and not film.stream.codec_context.has_b_frames
        places = [packets[at].place or 0 for at in keys] if stamped else None
    else:
        keys, places = _entries(film, keys, [packets[order[i]].place for i in keys])
    return _Frames(len(packets), np.array(times, np.int64)[order] if stamped else None, keys, places)


def _counted(path: str, film: Track) -> _Frames:
    """The frames that decoding gives."""
    with open_container(path) as container:
        counted = count(container, film.stream.index)
    if not counted.times:
        raise VideoError(path, 'has no frame that can be decoded (truncated?)')
    if film.in_avi or not counted.increasing:
        return _Frames(len(counted.times), None, np.zeros(1, np.int64), counted=True)
    pts = np.array(counted.times, np.int64)
    marked = {packet.pts: packet.place for packet in film.packets if packet.key and packet.pts is not None}
    keys = np.flatnonzero(np.isin(pts, np.array(list(marked), np.int64)))
    keys, places = _entries(film, keys, [marked[int(pts[at])] for at in keys])
    return _Frames(len(pts), pts, keys, places, True)


def _entries(film: Track, keys: np.ndarray, places: List[Optional[int]]) -> Tuple[np.ndarray, Optional[List[int]]]:
    """The key frames at which a film may be entered, and their places where those have to be checked.

    Of frames that share a packet of a stream the first alone has a time and a place of its own, and behind a seek what
    is left of the one before takes it.
    """
    if not film.in_stream:
        return keys, None
    kept = [(key, place) for key, place in zip(keys, places) if place is not None]
    return np.array([key for key, _ in kept], np.int64), [place for _, place in kept]


def _ends_whole(path: str, film: Track, frames: _Frames) -> bool:
    """Tell whether each packet of the last group of pictures gives a frame: the last may be cut off unseen."""
    if frames.pts is None or len(frames.keys) < 3:
        return False
    last = frames.pts[frames.keys[-1] :]
    with open_container(path) as container:
        before = int(frames.pts[frames.keys[-2]])  # as a seek may land late
        container.seek(before, stream=container.streams[film.stream.index], backward=True, any_frame=False)
        times = count(container, film.stream.index).times
    return [time for time in times if time is not None and time >= last[0]] == last.tolist()


def _not_decord(film: Track, kind: str, first: av.VideoFrame, shown: Orientation) -> str:
    """Say why decord would not give the same frames; '' where it does."""
    pixels, codec = first.format.name, film.stream.codec_context.name
    times = [packet.pts for packet in film.packets if packet.pts is not None]
    stamped = len(set(times)) == len(film.packets)
    in_order = stamped and bool((np.diff(times) > 0).all())
    checks = (
        (kind in DECORD_CODECS, f'its container is {kind}'),
        (codec in DECORD_CODECS.get(kind, ()), f'its codec is {codec} in {kind}'),
        (len(film.stream.container.streams.video) == 1, 'it has several video streams'),
        (pixels in _DECORD_PIXELS, f'its pixel format is {pixels}'),
        ('444' in pixels or pixels == 'gray' or first.height % 2 == 0, 'its frames have an odd height'),
        (shown == Orientation(), 'its frames are rotated'),
        (not film.cut_away, 'an edit list hides some of its frames'),
        (not film.doubt, film.doubt),
        (not film.header_differs, 'its header counts other packets than there are'),
        (stamped and film.closed and (in_order or not film.in_avi), 'its key frames do not cut it cleanly'),
    )
    return next((reason for fine, reason in checks if not fine), '')
