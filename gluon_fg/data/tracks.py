"""Which stream of a file is the film, and what its packets tell of its frames."""

from __future__ import annotations

import math
from typing import List, NamedTuple, Optional, Sequence

import av
import numpy as np

from ..errors import VideoError
from .bitstreams import ONE_FRAME_EACH, Fields, is_between, is_hidden, may_hold_no_frame, starts_clean
from .counting import DECODE_ERRORS, WITHOUT_FRAMES, packets_of
from .limits import check_length

PICTURES = ('mjpeg', 'png', 'bmp', 'gif', 'tiff', 'webp', 'jpeg2000', 'jpegxl')  # codecs of covers
_REORDERED = 32  # packets, at most, between a frame's place in the file and its place as shown: 16 frames of 2 fields

_LEADING = 'it begins with frames that refer to what came before'
_GENERIC_INDEX = (
    0x100  # of FFmpeg's formats: it makes an index of what it reads, as there is none (AVFMT_GENERIC_INDEX)
)


class Packet(NamedTuple):
    """What is kept of a packet that is a frame: its times, and its place in the file in bytes.

    `key`: decoding may start here; `marked`: the container says that it may.
    """

    pts: Optional[int]
    dts: Optional[int]
    key: bool
    marked: bool
    place: Optional[int]


class Track:
    """A video stream, whose packets are taken one by one as they stand in the file.

    Parameters
    ----------
    path
        the file, for messages
    stream
        of an open container; its decoder is used up to the first frame

    Attributes
    ----------
    packets
        those that are shown as frames
    first
        the first frame that was decoded; None where there was none
    cut_away
        packets that an edit list hides
    header_differs
        whether the file's header counts other packets than there are
    doubt
        why a packet may not be a frame here, so that frames have to be counted by decoding; '' where each is one
    """

    def __init__(self, path: str, stream: av.video.VideoStream):
        self.path, self.stream = path, stream
        self.packets: List[Packet] = []
        self.first: Optional[av.VideoFrame] = None
        self.cut_away, self.doubt, self.header_differs = 0, '', False
        self._total = 0
        self._codec = stream.codec_context
        if self._codec is not None:
            self._codec.thread_count = 1
            self._fields = Fields(self._codec)
            self._keys_are_marked = True
            if self._codec.name not in ONE_FRAME_EACH:
                self._doubt(f'its codec is {self._codec.name}')
                self._keys_are_marked = False
            if stream.container.format.name == 'mpeg':  # after a seek in it packets may have the times of others
                self._doubt('it is a program stream')
                self._keys_are_marked = False
            if int(stream.container.format.flags) & _GENERIC_INDEX:
                self._doubt('it is a bare stream')
                self._keys_are_marked = False

    @property
    def decodable(self) -> bool:
        """Whether there is a decoder for its codec."""
        return self._codec is not None

    @property
    def is_picture(self) -> bool:
        """Whether it looks like the cover of a song or a film: one picture, as pictures are coded."""
        return self.decodable and self._codec.name in PICTURES and len(self.packets) <= 1

    def take(self, packet: av.Packet) -> None:
        """Look at the next packet."""
        codec = self._codec
        if self.first is None:
            try:
                self.first = next(iter(packet.decode()), None)
            except DECODE_ERRORS:
                self._doubt('its first packets cannot be decoded')
        if not packet.size:
            self._total += packet.dts is not None
            return
        key = packet.is_keyframe and self._keys_are_marked and starts_clean(codec, packet)
        if not key and not self._total:
            self._doubt('it begins inside a group of pictures')
        self._total += 1
        if packet.is_corrupt:
            self._doubt('it holds packets that are cut off or damaged')
        if packet.is_discard:
            self.cut_away += 1
        elif not is_hidden(codec.name, packet):
            if len(self.packets) == 1 and is_between(codec.name, packet):
                self._doubt(_LEADING)
            if not self.doubt:
                if self._fields.are_in(packet):
                    self._doubt('its pictures are coded as fields')
                elif may_hold_no_frame(codec.name, packet):
                    self._doubt('its encoder packed frames together')
            self.packets.append(Packet(packet.pts, packet.dts, key, packet.is_keyframe, packet.pos))
            check_length(self.path, len(self.packets))

    def finish(self) -> None:
        """Look at all packets together, after the last one."""
        times = [packet.pts for packet in self.packets]
        given = [time for time in times if time is not None]
        self.header_differs = bool(self.stream.frames) and self.stream.frames != self._total
        if self.in_avi and self.header_differs:  # elsewhere an edit list may leave packets out
            self._doubt('its header counts other packets than there are')
        if not given or self.in_avi:
            return
        if len(set(given)) < len(times):
            self._doubt('its times are incomplete')
        elif given[0] > min(given) and not self.cut_away:
            self._doubt(_LEADING)
        elif self._restarts(given):
            self._doubt('its times restart')
        elif self._codec.name == 'h264' and self._codec.has_b_frames and len(given) > 8 and _increase(given):
            self._doubt('its times do not tell the order of its frames')

    @property
    def in_avi(self) -> bool:
        """Whether its times are invented by FFmpeg, as AVI has none."""
        return bool(self.stream.container.format.name == 'avi')

    @property
    def in_stream(self) -> bool:
        """Whether its container does not say where frames end."""
        return self.stream.container.format.name in WITHOUT_FRAMES

    @property
    def closed(self) -> bool:
        """Whether decoding can start at every packet marked as key, and nothing after it is shown before it."""
        if not self.packets[0].key:
            return False
        earliest = math.inf  # presentation time still to come, going backwards
        for packet in reversed(self.packets):
            shown = math.inf if packet.pts is None else packet.pts
            if packet.marked and (not packet.key or earliest < shown):
                return False
            earliest = min(earliest, shown)
        return True

    def _restarts(self, times: Sequence[int]) -> bool:
        """Whether times go back by more than frames are reordered, as in a file joined from others."""
        decoded = [packet.dts for packet in self.packets if packet.dts is not None]
        shift = np.abs(np.argsort(np.argsort(times, kind='stable'), kind='stable') - np.arange(len(times)))
        return bool((np.diff(decoded) < 0).any() or shift.max() > _REORDERED)

    def _doubt(self, reason: str) -> None:
        self.doubt = self.doubt or reason


def film_of(path: str, container: av.container.InputContainer) -> Track:
    """Read the packets of a container that was just opened; the film is the stream of most frames.

    Of streams with about as many (at least half), it is the one of largest frames; a cover beside sound or a film is
    none.

    Raises
    ------
    VideoError
        no video stream, only a cover picture beside sound, or none with a decoder
    """
    tracks = {stream.index: Track(path, stream) for stream in container.streams.video}
    usable = [track for track in tracks.values() if track.decodable]
    for packet in packets_of(container, *(track.stream for track in usable)) if usable else ():
        tracks[packet.stream.index].take(packet)
    films = [track for track in usable if not track.is_picture]
    if not films and len(usable) == len(tracks) == 1 and not container.streams.audio:
        films = usable  # a film of one frame
    if not films and any(not track.decodable for track in tracks.values()):
        raise VideoError(path, 'there is no decoder for its codec')
    if not films:
        sound = 'sound with a cover picture' if tracks else 'no video stream'
        raise VideoError(path, f'is not a video ({sound})')
    most = max(len(track.packets) for track in films)
    film = max((track for track in films if 2 * len(track.packets) >= most), key=_pixels)
    if film.packets:
        film.finish()
    return film


def _increase(times: Sequence[int]) -> bool:
    return bool((np.diff(times) > 0).all())


def _pixels(track: Track) -> int:
    return 0 if track.first is None else track.first.width * track.first.height
