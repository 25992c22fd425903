"""What the bytes of a packet tell without decoding it: whether it is a frame, is shown, and can be started from."""

from __future__ import annotations

import re
from typing import Iterator, NamedTuple, Optional

import av

# Codecs of which a packet is a frame, but for what is told here and in `packets`; of all others the frames are counted
# by decoding them. Swept in tests/data/test_containers.py.
ONE_FRAME_EACH = (
    'h264', 'hevc', 'av1', 'libdav1d', 'libaom-av1', 'vp8', 'libvpx', 'vp9', 'libvpx-vp9', 'mpeg4', 'mpeg1video',
    'mpeg2video', 'mjpeg', 'msmpeg4', 'msmpeg4v2', 'wmv1', 'wmv2', 'h263', 'flv', 'ffv1', 'huffyuv', 'ffvhuff',
    'rawvideo', 'png', 'prores', 'dnxhd', 'utvideo', 'dvvideo',
)  # fmt: skip
_PLACE_HOLDER = 19  # bytes, at most, of a packet that stands where an MPEG-4 frame was packed into the one before
_PACKED = re.compile(rb'DivX\d+(?:b|Build)\d+p')  # how encoders that pack frames sign
_HEAD = 4096  # bytes of a packet within which its headers stand
_HIGH = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)  # profiles whose headers say more of colors


def is_hidden(codec: str, packet: av.Packet) -> bool:
    """Tell whether a VP8 or VP9 packet is only referred to by others, and never shown."""
    if codec in ('vp8', 'libvpx'):
        return not memoryview(packet)[0] & 0x10
    if codec in ('vp9', 'libvpx-vp9'):
        data = memoryview(packet)
        if data[-1] & 0xE0 == 0xC0:  # several frames in a packet: one of them is shown
            return False
        shift = 1 if data[0] & 0x30 == 0x30 else 0  # profile 3 has a bit more
        shows_another, shown = data[0] & 0x08 >> shift, data[0] & 0x02 >> shift
        return not shows_another and not shown
    return False


def may_hold_no_frame(codec: str, packet: av.Packet) -> bool:
    """Tell whether an MPEG-4 packet may stand in place of a frame that came before: XviD and DivX pack them in AVI."""
    return codec == 'mpeg4' and (
        packet.size <= _PLACE_HOLDER or (packet.is_keyframe and bool(_PACKED.search(memoryview(packet)[:_HEAD])))
    )


def is_between(codec: str, packet: av.Packet) -> bool:
    """Tell whether an MPEG-1 or MPEG-2 packet is a B-frame, which refers to the frames before and after it."""
    if codec not in ('mpeg1video', 'mpeg2video'):
        return False
    data = bytes(memoryview(packet)[:_HEAD])
    at = data.find(b'\0\0\1\0')
    return 0 <= at < len(data) - 5 and data[at + 5] >> 3 & 7 == 3


def starts_clean(codec_context: av.CodecContext, packet: av.Packet) -> bool:
    """Tell whether the picture is right from a packet marked as key on.

    In H.264 the mark may only mean a recovery point, some frames before the picture is right; an IDR picture is what
    does. In HEVC all random access pictures will do. Other codecs' key frames are complete.
    """
    if codec_context.name == 'h264':
        return any(unit.header & 0x1F == 5 for unit in _units(codec_context, bytes(packet)))
    if codec_context.name == 'hevc':
        return any(16 <= (unit.header >> 1) & 0x3F <= 21 for unit in _units(codec_context, bytes(packet)))
    return True


class Fields:
    """Watches an H.264 stream for pictures coded as two fields, each of which may be a packet of its own."""

    def __init__(self, codec_context: av.CodecContext):
        self._context = codec_context if codec_context.name == 'h264' else None
        self._number_bits: Optional[int] = None  # of frame_num in a slice's header, where there may be fields
        if self._context is not None:
            data = bytes(codec_context.extradata or b'')
            if data[:1] == b'\1':
                sizes = int.from_bytes(data[6:8], 'big')
                self._read(data[8 : 8 + sizes])
            else:
                self._look(data)

    def are_in(self, packet: av.Packet) -> bool:
        """Tell whether this packet holds a field."""
        if self._context is None or (self._number_bits is None and not packet.is_keyframe):
            return False
        return self._look(bytes(memoryview(packet)[:_HEAD]))

    def _look(self, data: bytes) -> bool:
        for unit in _units(self._context, data):
            if unit.header & 0x1F == 7:
                self._read(data[unit.at : unit.at + 256])
            elif unit.header & 0x1F in (1, 5) and self._number_bits is not None:
                bits = _Bits(data[unit.at + 1 : unit.at + 40])
                for _ in range(3):  # first_mb_in_slice, slice_type, pic_parameter_set_id
                    bits.golomb()
                bits.take(self._number_bits)
                return bool(bits.take(1))
        return False

    def _read(self, data: bytes) -> None:
        """Read a sequence parameter set (ITU-T H.264, 7.3.2.1.1) up to whether all pictures are whole frames."""
        bits = _Bits(data[4:])
        bits.golomb()
        if len(data) > 1 and data[1] in _HIGH:
            _read_high_profile(bits)
        number_bits = bits.golomb() + 4
        order = bits.golomb()
        if order == 0:
            bits.golomb()
        elif order == 1:
            bits.take(1)
            bits.golomb(), bits.golomb()
            for _ in range(min(bits.golomb(), 255)):
                bits.golomb()
        bits.golomb(), bits.take(1), bits.golomb(), bits.golomb()
        self._number_bits = None if bits.take(1) else number_bits


def _read_high_profile(bits: _Bits) -> None:
    chroma = bits.golomb()
    if chroma == 3:
        bits.take(1)
    bits.golomb(), bits.golomb(), bits.take(1)
    if bits.take(1):
        for at in range(8 if chroma != 3 else 12):
            last = following = 8
            for _ in range((16 if at < 6 else 64) if bits.take(1) else 0):
                if following:
                    code = bits.golomb()
                    following = (last + ((code + 1) // 2 if code % 2 else -code // 2)) % 256
                last = following or last


class _Bits:
    """Bits of a header, first to last; zeros where it ends."""

    def __init__(self, data: bytes):
        data = data.replace(b'\0\0\3', b'\0\0')  # the third byte only keeps it from looking like a start code
        self._value, self._left = int.from_bytes(data, 'big'), 8 * len(data)

    def take(self, count: int) -> int:
        """The next bits as a number."""
        self._left -= count
        return (self._value >> self._left if self._left >= 0 else 0) & ((1 << count) - 1)

    def golomb(self) -> int:
        """The next number in Exp-Golomb code."""
        zeros = 0
        while zeros < 32 and not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


class _Unit(NamedTuple):
    header: int  # first byte, which holds the type
    at: int  # where it stands


def _units(codec_context: av.CodecContext, data: bytes) -> Iterator[_Unit]:
    """Each unit (NAL) of an H.264 or HEVC packet."""
    header = bytes(codec_context.extradata or b'')
    if header[:1] == b'\1':  # mp4, mkv: each unit after its length
        at, width = 0, (header[4 if codec_context.name == 'h264' else 21] & 3) + 1
        while at + width < len(data):
            yield _Unit(data[at + width], at + width)
            at += width + int.from_bytes(data[at : at + width], 'big')
    else:  # each unit after a start code
        for match in re.finditer(b'\0\0\1', data):
            if match.end() < len(data):
                yield _Unit(data[match.end()], match.end())
