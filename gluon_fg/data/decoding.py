"""Reading frames by number from video files, with decord or PyAV: the same pixels from both."""

from __future__ import annotations

import itertools
import logging
import os
from typing import Any, Collection, Iterator, List, Optional, Set, Tuple

import av
import numpy as np

from .. import _runtime
from ..errors import UserError, VideoError
from .counting import DECODE_ERRORS, WITHOUT_FRAMES, count, packets_of
from .packets import READ_ERRORS, Scan, open_container, short_reason
from .pixels import Pixels
from .transforms import resize, resize_frame
from .video_reader import VideoReader

logger = logging.getLogger(__name__)


# Codecs whose decoders leave out a frame that no other one refers to, if told so before its packet
_CAN_SKIP = ('h264', 'hevc', 'mpeg4', 'mpeg2video')


class PyAVReader(VideoReader):
    """Decodes from the nearest key frame before, and never further than asked; goes on from where it stopped.

    Frames in between that are not asked for, and that no other frame refers to (B-frames, mostly), are not decoded.

    A number means one frame for as long as the reader lives. Where decoding shows that a packet was no frame after all,
    which the scan could not know: the last frame stands for those that the file's end lacks, unless it is damaged, and
    frames that would have two numbers are refused.
    """

    backend = 'pyav'

    def __init__(self, path: str, info: Scan):
        super().__init__(path, info.length, info.fps, info.size)
        self._info, self.times = info, info.times
        self._container: Optional[av.container.InputContainer] = None
        self._frames: Iterator[Tuple[Optional[int], av.VideoFrame]] = iter(())
        self._next = 0  # number of the next frame that `_frames` gives; valid while it is open
        self._by_time, self._can_skip = info.pts is not None, False
        self._shown: Optional[int] = None  # how many frames there are, where there are fewer than the scan said
        self._wanted: Collection[int] = set()  # numbers of frames to decode; of others only those that these refer to
        self._until = 0  # the last of them: those behind it, which may be wanted next, are all decoded
        self._skipped: Set[int] = set()  # those passed since `_start` that were perhaps not decoded
        self._pixels = Pixels(path, info.orientation, info.size)

    def close(self) -> None:
        if self._container is not None:
            self._frames = iter(())
            self._container.close()
            self._container = None

    def _decode(self, numbers: List[int], size: Tuple[int, int]) -> np.ndarray:
        out = np.empty((len(numbers), *size, 3), np.uint8)
        self._wanted, self._until = set(numbers), numbers[-1]
        if not self._skipped.isdisjoint(self._wanted):
            self.close()
        number, last = numbers[0], None
        try:
            for place, number in enumerate(numbers):
                shown = number if self._shown is None else min(number, self._shown - 1)
                if shown == last:  # the file has no more
                    out[place] = out[place - 1]
                else:
                    resize_frame(self._pixels.of(self._whole(shown)), out[place])
                    last = min(number, self._next - 1)
        except READ_ERRORS as error:
            self.close()
            if isinstance(error, UserError):
                raise
            reason = f'frame {number} of {len(self)} cannot be decoded ({short_reason(error)})'
            raise VideoError(self.path, reason) from error
        return out

    def coded(self, number: int) -> av.VideoFrame:
        """Frame `number` as it is coded, neither in RGB nor upright; quick where all are asked for in their order.

        Raises as PyAV does where it cannot be decoded.
        """
        self._wanted = range(len(self))
        if self._skipped:
            self.close()
        return self._frame(number if self._shown is None else min(number, self._shown - 1))

    def _whole(self, number: int) -> av.VideoFrame:
        """Frame `number`; raises VideoError for the last one where the file ends inside it, as far as one can tell."""
        frame = self._frame(number)
        kind = '' if self._container is None else self._container.format.name
        if number == len(self) - 1 and frame.is_corrupt and kind in WITHOUT_FRAMES:
            raise VideoError(self.path, f'ends inside frame {number} (truncated?)')
        return frame

    def _frame(self, number: int, again: bool = False) -> av.VideoFrame:
        """Frame `number`; `again`: decoding started at the file's begin for it, after it was missed."""
        key = 0 if again else self._key_before(number)
        if self._container is None or number < self._next or key > self._next:
            self._start(key)
        for shown, frame in self._frames:
            if shown is None or shown < self._next:  # a time that no packet announced, or out of order
                self._count_frames()
                return self._frame(number)
            self._next = shown + 1
            if shown == number:
                return frame
            if shown > number:
                break
        else:
            if again or not self._by_time:
                return self._frame(self._count_frames(number))
        if again:
            raise VideoError(self.path, f'frame {number} of its {len(self)} is missing (damaged?)')
        self._start(0)
        return self._frame(number, True)

    def _count_frames(self, number: int = 0) -> int:
        """Decode the whole file to see how many frames there are; where it fits, go on by counting them from its start.

        Returns the frame to show for `number`. Raises VideoError where some number would come to mean another frame,
        or where the file is damaged and frame `number` is lost.
        """
        with open_container(self.path) as container:
            counted = count(container, self._info.stream)
        self.close()
        known = {} if self._info.pts is None else {int(time): i for i, time in enumerate(self._info.pts)}
        places = [known.get(time, i) if time is not None else i for i, time in enumerate(counted.times)]
        total = len(places)
        if places != list(range(total)) or not 0 < total <= len(self):
            raise VideoError(self.path, 'its times and its frames contradict each other; encode it anew')
        if number >= total and counted.errors:
            raise VideoError(self.path, f'only {total} of its {len(self)} frames can be decoded (truncated?)')
        self._by_time, self._shown = False, total
        return min(number, total - 1)

    def _key_before(self, number: int) -> int:
        """Return the frame to start decoding at to reach `number`: 0 where the file cannot be entered elsewhere."""
        if not self._by_time:
            return 0
        keys = self._info.keys[self._info.keys <= number]
        return int(keys[-1]) if len(keys) else 0

    def _start(self, key: int) -> None:
        """Make `_frames` begin at frame `key` or, if the seek does not land there or before, at the first frame."""
        if self._container is None or key == 0:  # opening takes longer than a seek, but leaves nothing to chance
            self.close()
            self._container = open_container(self.path)
            context = self._container.streams[self._info.stream].codec_context
            context.thread_count = 1
            self._can_skip = context.name in _CAN_SKIP and not self._info.counted
        stream = self._container.streams[self._info.stream]
        self._next, self._skipped = 0, set()
        pts = self._info.pts
        if not self._by_time or pts is None:
            self._frames = enumerate(self._decoded(packets_of(self._container, stream)))
            return
        if key > 0:
            late = self._container.format.name in WITHOUT_FRAMES  # where a seek tends to land late
            aim = self._key_before(key - 1) if late else key
            try:
                self._container.seek(int(pts[aim]), stream=stream, backward=True, any_frame=False)
            except av.error.FFmpegError:  # as of a row of JPEG pictures, which is read from its start alone
                self._start(0)
                return
            packets = packets_of(self._container, stream)
            landed = self._landing(packets, pts)
            if landed is None or landed[1] > key:  # which takes no seek from here on
                self._start(0)
                return
            packet, self._next = landed
            self._frames = self._numbered(itertools.chain([packet], packets), pts, self._next)
        else:
            self._frames = self._numbered(packets_of(self._container, stream), pts, 0)

    def _landing(self, packets: Iterator[av.Packet], pts: np.ndarray) -> Optional[Tuple[av.Packet, int]]:
        """The first packet after a seek that has a time, and its frame; None where it is not one of the keys."""
        keys, places = self._info.keys, self._info.places
        for packet in packets:  # a seek may land on another packet than asked for
            if packet.pts is not None and packet.size and packet.is_keyframe:
                at = int(np.searchsorted(pts, packet.pts))
                if at < len(pts) and pts[at] == packet.pts:
                    where = int(np.searchsorted(keys, at))
                    if where < len(keys) and keys[where] == at:
                        return (packet, at) if places is None or places[where] == packet.pos else None
        return None

    def _decoded(self, packets: Iterator[av.Packet]) -> Iterator[av.VideoFrame]:
        """Frames as they are decoded; a packet that cannot be is passed over where frames were counted so."""
        for packet in packets:
            try:
                frames = packet.decode()
            except DECODE_ERRORS:
                if not self._info.counted and self._shown is None:
                    raise
                continue
            yield from frames

    def _numbered(
        self, packets: Iterator[av.Packet], pts: np.ndarray, start: int
    ) -> Iterator[Tuple[Optional[int], av.VideoFrame]]:
        """(number, frame) from a key frame on, numbered by presentation time; None for an unknown time."""
        numbers = {int(time): i for i, time in enumerate(pts)}

        def prepared() -> Iterator[av.Packet]:
            context, skipping = None, None
            for packet in packets:
                context = context or packet.stream.codec_context
                number = numbers.get(packet.pts, -1)
                skips = 0 <= number < self._until and number not in self._wanted and self._can_skip
                if skips:
                    self._skipped.add(number)
                if skips != skipping:  # setting it takes its time
                    context.skip_frame, skipping = 'NONREF' if skips else 'DEFAULT', skips
                yield packet

        for frame in self._decoded(prepared()):
            number = numbers.get(frame.pts)
            if number is None or number >= start:  # those before the key frame refer to frames not decoded
                yield number, frame


# decord.DECORDError beside; names that are not Unicode are a ValueError, sizes that no memory holds a MemoryError
_DECORD_ERRORS = (RuntimeError, AssertionError, ValueError, TypeError, IndexError, OSError, MemoryError)


_AT_ONCE = 2**26  # bytes of frames that decord decodes in one go: 27 of 1080 lines, a clip of smaller ones


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
        except _DECORD_ERRORS + (decord.DECORDError,) as error:
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
                parts = self._parts(numbers)
                if len(parts) == 1:
                    return resize(self._whole(numbers), *size)
                out = np.empty((len(numbers), *size, 3), np.uint8)
                for part in parts:
                    out[part] = resize(self._whole(numbers[part]), *size)
                return out
            except _DECORD_ERRORS + (self._error,) as error:
                reason = short_reason(error)
            logger.debug('%s: decord failed (%s), trying PyAV', self.path, reason)
            self._reader = None
            self._fallback = PyAVReader(self.path, self._info)
        return self._fallback._decode(numbers, size)

    def _parts(self, numbers: List[int]) -> List[slice]:
        """Which of the frames are decoded at once: decord holds them in their full size, however small they become."""
        step = max(1, _AT_ONCE // (3 * self.size[0] * self.size[1]))
        return [slice(start, start + step) for start in range(0, len(numbers), step)]

    def _whole(self, numbers: List[int]) -> np.ndarray:
        """Frames in their full size; raises one of `_DECORD_ERRORS`."""
        frames: np.ndarray = self._reader.get_batch(numbers).asnumpy()
        if frames.shape != (len(numbers), self.size[1], self.size[0], 3):
            raise RuntimeError(f'frames of shape {frames.shape}')
        return frames


def load_decord() -> Any:
    """Return the decord module, or None where it is not installed or would crash (horovod was imported before it)."""
    if not _runtime.DECORD_SAFE:
        return None
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    return decord
