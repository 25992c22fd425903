"""An H.264 film whose pictures are coded as two fields each (PAFF), as no encoder here writes; by hand, in I_PCM.

ITU-T H.264, 7.3: parameter sets, slice headers of fields, and macroblocks that hold their samples as they are.
"""

import re
from fractions import Fraction

import av
import numpy as np
from numbered import numbered_frame

WIDTH, HEIGHT = 64, 64


class Bits:
    """A row of bits that ends in whole bytes."""

    def __init__(self):
        self.text = ''

    def u(self, count, value):
        """A number of a fixed count of bits."""
        self.text += format(value, f'0{count}b')
        return self

    def ue(self, *values):
        """Numbers in Exp-Golomb code."""
        for value in values:
            code = format(value + 1, 'b')
            self.text += '0' * (len(code) - 1) + code
        return self

    def bytes(self, fill='0'):
        """All of it; the last byte is filled up with this bit, which comes once, and zeros."""
        text = self.text + (fill if fill == '1' else '')
        text += '0' * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, 'big')


def unit(header, payload):
    """A NAL unit behind its start code."""
    return b'\0\0\0\1' + bytes([header]) + re.sub(rb'\0\0(?=[\0-\3])', b'\0\0\3', payload)


SETS = unit(0x67, bytes([77, 0, 30]) + Bits().ue(0, 0, 2, 1).u(1, 0).ue(3, 1).u(5, 0b00100).bytes('1')) + unit(
    0x68, Bits().ue(0, 0).u(2, 0).ue(0, 0, 0).u(3, 0).ue(0, 0, 0).u(3, 0b100).bytes('1')
)


def field(luma, bottom, number, group):
    """One field of a picture as a NAL unit; the first of each `group` frames starts anew (IDR)."""
    starts = number % group == 0 and not bottom
    head = Bits().ue(0, 7, 0).u(4, number % group % 16).u(2, 0b10 | bottom)
    if starts:
        head.ue(number // group % 2).u(2, 0)
    else:
        head.u(1, 0)
    data = head.ue(0, 1)  # no change of the quantizer, no filter between blocks
    out = b''
    for y in range(0, HEIGHT // 2, 16):
        for x in range(0, WIDTH, 16):
            data.ue(25)  # I_PCM
            out += data.bytes() + luma[y : y + 16, x : x + 16].tobytes() + b'\x80' * 128
            data = Bits()
    return unit(0x65 if starts else 0x61, out + b'\x80')


def write_fields(folder, frames=30, group=10):
    """Films of fields as a bare stream, in TS, Matroska and mp4 -> their paths."""
    stream = b''
    for number in range(frames):
        luma = numbered_frame(number, HEIGHT, WIDTH)[..., 1] // 2 + 60
        stream += SETS if number % group == 0 else b''
        stream += field(luma[0::2], 0, number, group) + field(luma[1::2], 1, number, group)
    bare = folder / 'fields.h264'
    bare.write_bytes(stream)
    paths = [bare]
    for ending in ('ts', 'mkv', 'mp4'):
        paths.append(folder / f'fields.{ending}')
        with av.open(str(bare)) as source, av.open(str(paths[-1]), 'w') as target:
            out = target.add_stream(template=source.streams.video[0])
            for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
                packet.pts = packet.dts = number
                packet.time_base, packet.stream = Fraction(1, 50), out
                target.mux(packet)
    return paths


def read_number(frame):
    """The number that a frame of such a film shows."""
    middles = [frame[2:6, bit * 8 + 2 : bit * 8 + 6].mean() for bit in range(6)]
    return sum(int(value > 124) << bit for bit, value in enumerate(middles))


if __name__ == '__main__':
    import sys
    from pathlib import Path

    for path in write_fields(Path(sys.argv[1])):
        with av.open(str(path)) as container:
            packets = sum(1 for p in container.demux(video=0) if p.size)
        with av.open(str(path)) as container:
            shown = [read_number(f.to_ndarray(format='rgb24')) for f in container.decode(video=0)]
        print(path.name, packets, len(shown), shown[:12], np.mean(shown))
