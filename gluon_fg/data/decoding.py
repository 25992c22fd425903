"""Reading frames by number from video files, with decord or PyAV: the same pixels from both."""

from __future__ import annotations

import itertools
import logging
import os
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple, Union

import av
import numpy as np

from .. import _runtime
from ..errors import UserError, VideoError
from .flow.place import FlowPlace
from .packets import READ_ERRORS, Scan, open_container, short_reason
from .transforms import resize, resize_frame

logger = logging.getLogger(__name__)


class VideoReader:
    """Gives frames of a video by number. A context manager: nothing stays open after the block.

    `len(reader)` frames; `fps` frames per second; `size` (W, H) pixels; `path`; `backend`, what decodes; `times`
    (len,) seconds of the frames after the first, None where only `fps` tells them; `flow`, where its optical flow is
    looked for, None: wherever it may be (`flow.sources`).
    """

    backend = ''
    times: Optional[np.ndarray] = None
    flow: Optional[FlowPlace] = None

    def __init__(self, path: str, length: int, fps: float, size: Tuple[int, int]):
        self.path, self.fps, self.size, self._length = str(path), fps, size, length

    def __len__(self) -> int:
        return self._length

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; harmless when done twice."""

    def source_frames(self, indices: Union[Sequence[int], np.ndarray]) -> np.ndarray:
        """Numbers that these frames have in the video as it was opened: others where this shows it at another rate."""
        return np.asarray(indices)

    @property
    def film(self) -> VideoReader:
        """The video whose `flow` it is, which this may show a stretch of, or at another rate."""
        return self

    def film_frames(self, indices: np.ndarray) -> np.ndarray:
        """Numbers that these frames have in `film`."""
        return indices

    def get_batch(
        self, indices: Union[Sequence[int], np.ndarray], size: Optional[Tuple[int, int]] = None
    ) -> np.ndarray:
        """Decode frames by number, repeated and in any order: uint8 (T, H, W, 3), RGB.

        `size` (H, W): each frame is resized to it (`transforms.resize`) as soon as it is decoded, so that frames of
        large films are never all in memory at once.

        Raises
        ------
        UserError
            no index, or one outside 0..len - 1
        VideoError
            a frame that cannot be decoded
        """
        wanted = np.asarray(indices)
        if wanted.ndim != 1 or wanted.size == 0 or wanted.dtype.kind not in 'iu':
            raise UserError(f'{self.path}: frames are asked for by a list of integers, got {indices!r}')
        if wanted.min() < 0 or wanted.max() >= len(self):
            wrong = wanted[(wanted < 0) | (wanted >= len(self))][0]
            raise UserError(f'{self.path}: frame {wrong} is outside 0..{len(self) - 1}')
        once, where = np.unique(wanted, return_inverse=True)
        frames = self._decode(once.tolist(), size or self.size[::-1])
        return frames if np.array_equal(where, np.arange(len(once))) else frames[where]

    def _decode(self, numbers: List[int], size: Tuple[int, int]) -> np.ndarray:
        """Frames `numbers` (increasing, each once), resized to `size` (H, W): uint8 (T, H, W, 3)."""
        raise NotImplementedError


# FFmpeg's numbers, as a frame has them and as PyAV takes them
_BT601 = 5
_LIKE_BT601 = (2, 5, 6)  # not said, and the two names of BT.601: what a conversion takes without being told
_LIMITED, _FULL = 1, 2


def color_conversion(frame: av.VideoFrame) -> Dict[str, int]:
    """Arguments of a conversion to RGB that make it read the frame's own colors: its matrix and range.

    PyAV takes every frame for BT.601 in limited range unless told, as most films of 720 lines and more are not; and it
    tells FFmpeg only where source and target differ, in their matrix or range, though RGB has neither.
    """
    full = int(frame.color_range) == _FULL
    if int(frame.colorspace) in _LIKE_BT601 and (not full or frame.format.name.startswith('yuvj')):
        return {}
    source, target = (_FULL, _LIMITED) if full else (_LIMITED, _FULL)
    return {'dst_colorspace': _BT601, 'src_color_range': source, 'dst_color_range': target}


# Codecs whose decoders leave out a frame that no other one refers to, if told so before its packet
_CAN_SKIP = ('h264', 'hevc', 'mpeg4', 'mpeg2video')


class PyAVReader(VideoReader):
    """Decodes from the nearest key frame before, and never further than asked; goes on from where it stopped.

    Frames in between that are not asked for, and that no other frame refers to (B-frames, mostly), are not decoded.
    """

    backend = 'pyav'

    def __init__(self, path: str, info: Scan):
        super().__init__(path, info.length, info.fps, info.size)
        self._info, self.times = info, info.times
        self._container: Optional[av.container.InputContainer] = None
        self._frames: Iterator[Tuple[Optional[int], av.VideoFrame]] = iter(())
        self._next = 0  # number of the next frame that `_frames` gives; valid while it is open
        self._seeks, self._can_skip = info.pts is not None, False
        self._wanted: Set[int] = set()  # numbers of frames to decode; of others only those that these refer to
        self._skipped: Set[int] = set()  # those passed since `_start` that were perhaps not decoded
        self._convert = av.video.reformatter.VideoReformatter()

    def close(self) -> None:
        if self._container is not None:
            self._frames = iter(())
            self._container.close()
            self._container = None

    def _decode(self, numbers: List[int], size: Tuple[int, int]) -> np.ndarray:
        out = np.empty((len(numbers), *size, 3), np.uint8)
        self._wanted = set(numbers)
        if not self._wanted.isdisjoint(self._skipped):
            self.close()
        try:
            for picture, number in zip(out, numbers):
                resize_frame(self._pixels(self._frame(number)), picture)
        except READ_ERRORS as error:
            self.close()
            if isinstance(error, UserError):
                raise
            reason = f'frame {number} of {len(self)} cannot be decoded ({short_reason(error)})'
            raise VideoError(self.path, reason) from error
        return out

    def _pixels(self, frame: av.VideoFrame) -> np.ndarray:
        shown = self._info.orientation
        width, height = shown.size(*self.size)  # as it is coded
        plane = self._convert.reformat(frame, width, height, 'rgb24', **color_conversion(frame)).planes[0]
        picture: np.ndarray = np.ndarray((height, width, 3), np.uint8, plane, strides=(plane.line_size, 3, 1))
        return shown.apply(picture)

    def _frame(self, number: int) -> av.VideoFrame:
        key = self._key_before(number)
        if self._container is None or number < self._next or key > self._next:
            self._start(key)
        for shown, frame in self._frames:
            if shown is None:  # a time that no packet announced: count from the start instead
                self._seeks = False
                return self._frame(number)
            self._next = shown + 1
            if shown == number:
                return frame
            if shown > number:  # skipped by the decoder
                break
        if self._seeks:
            self._seeks = False
            self._start(0)
            return self._frame(number)
        raise VideoError(self.path, f'only {self._next} of its {len(self)} frames can be decoded (truncated?)')

    def _key_before(self, number: int) -> int:
        """Return the frame to start decoding at to reach `number`: 0 where the file cannot be entered elsewhere."""
        if not self._seeks:
            return 0
        keys = self._info.keys[self._info.keys <= number]
        return int(keys[-1]) if len(keys) else 0

    def _start(self, key: int) -> None:
        """Make `_frames` begin at frame `key` or, if the seek does not land there or before, at the first frame."""
        if self._container is None or key == 0:  # opening takes longer than a seek, but leaves nothing to chance
            self.close()
            self._container = open_container(self.path)
            context = self._container.streams.video[0].codec_context
            context.thread_count, self._can_skip = 1, context.name in _CAN_SKIP
        stream = self._container.streams.video[0]
        self._next, self._skipped = 0, set()
        pts = self._info.pts
        if not self._seeks or pts is None:
            self._frames = ((i, frame) for i, frame in enumerate(self._container.decode(stream)))
            return
        packets = self._container.demux(stream)
        if key > 0:
            self._container.seek(int(pts[key]), stream=stream, backward=True, any_frame=False)
            at = None
            for packet in packets:  # a seek may land on another packet than asked for
                if packet.pts is not None and packet.size:
                    at = int(np.searchsorted(pts, packet.pts))
                    if at in self._info.keys and pts[at] == packet.pts:
                        break
            if at is None or at > key or at not in self._info.keys:
                self._seeks = False
                self._start(0)
                return
            self._next = at
            self._frames = self._numbered(packet, packets, pts, at)
        else:
            self._frames = self._numbered(None, packets, pts, 0)

    def _numbered(
        self, first: Optional[av.Packet], packets: Iterator[av.Packet], pts: np.ndarray, start: int
    ) -> Iterator[Tuple[Optional[int], av.VideoFrame]]:
        """(number, frame) from a key frame on, numbered by presentation time; None for an unknown time."""
        numbers = {int(time): i for i, time in enumerate(pts)}
        every = packets if first is None else itertools.chain([first], packets)

        def frames() -> Iterator[av.VideoFrame]:
            context, skipping = None, None
            for packet in every:
                context = context or packet.stream.codec_context
                number = numbers.get(packet.pts, -1)
                skips = number >= 0 and number not in self._wanted and self._can_skip
                if skips:
                    self._skipped.add(number)
                if skips != skipping:  # setting it takes its time
                    context.skip_frame, skipping = 'NONREF' if skips else 'DEFAULT', skips
                yield from packet.decode()

        for frame in frames():
            number = numbers.get(frame.pts)
            if number is None or number >= start:  # those before the key frame refer to frames not decoded
                yield number, frame


class DecordReader(VideoReader):
    """Reads with decord, in one thread, files where it is exact; PyAV takes over a file on which it fails."""

    backend = 'decord'

    def __init__(self, path: str, info: Scan):
        super().__init__(path, info.length, info.fps, info.size)
        self._info, self.times = info, info.times
        self._fallback: Optional[PyAVReader] = None
        decord = load_decord()
        self._error = decord.DECORDError
        try:
            self._reader = decord.VideoReader(os.path.abspath(path), ctx=decord.cpu(0), num_threads=1)
        except (RuntimeError, AssertionError, decord.DECORDError) as error:
            raise VideoError(path, f'decord cannot open it ({short_reason(error)})') from error
        if len(self._reader) != info.length:
            raise VideoError(path, f'decord counts {len(self._reader)} frames, its packets are {info.length}')

    def close(self) -> None:
        self._reader = None
        if self._fallback is not None:
            self._fallback.close()

    def _decode(self, numbers: List[int], size: Tuple[int, int]) -> np.ndarray:
        if self._fallback is None:
            try:
                if self._reader is None:
                    raise RuntimeError('the reader is closed')
                frames = self._reader.get_batch(numbers).asnumpy()
                if frames.shape == (len(numbers), self.size[1], self.size[0], 3):
                    return resize(frames, *size)
                reason = f'frames of shape {frames.shape}'
            except (RuntimeError, IndexError, self._error) as error:
                reason = short_reason(error)
            logger.debug('%s: decord failed (%s), trying PyAV', self.path, reason)
            self._reader = None
            self._fallback = PyAVReader(self.path, self._info)
        return self._fallback._decode(numbers, size)


def load_decord() -> Any:
    """Return the decord module, or None where it is not installed or would crash (horovod was imported before it)."""
    if not _runtime.DECORD_SAFE:
        return None
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    return decord
