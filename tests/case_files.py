"""Small files that once read wrong, each of a kind of its own, drawn here; every frame carries its number.

Run as a program (`python case_files.py FOLDER`): decord's libvpx gets in the way of PyAV's encoder in one process.
"""

import struct
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

HEIGHT, WIDTH, SQUARE = 48, 96, 8
FLAT = ((200, 40, 60), (30, 180, 90), (60, 70, 210), (128, 128, 128))  # colors of a quarter of the width each


def numbered(number):
    """A frame (H, W, 3): its number as a row of 12 black or white squares (least bit left), then slow colors."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    frame = np.stack([x + 2 * number, 2 * y + number, x + y + 3 * number], -1).astype(np.uint8) // 2 + 64
    for bit in range(WIDTH // SQUARE):
        frame[:SQUARE, bit * SQUARE : (bit + 1) * SQUARE] = 255 * (number >> bit & 1)
    return frame


def number_of(frame):
    """The number that a decoded frame shows."""
    middles = [frame[2:6, bit * SQUARE + 2 : bit * SQUARE + 6].mean() for bit in range(WIDTH // SQUARE)]
    return sum(int(value > 127) << bit for bit, value in enumerate(middles))


def encode(path, numbers, codec, options=None, format=None):
    """A film of numbered frames."""
    with av.open(str(path), 'w', format=format) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.options = WIDTH, HEIGHT, 'yuv420p', options or {}
        if codec == 'mjpeg':
            stream.pix_fmt = 'yuvj420p'
        for number in numbers:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), format='rgb24')))
        out.mux(stream.encode())
    return path


def remux(source, path, change):
    """The packets of a film in another file; `change(number, bytes)` gives those of each packet, None leaves it out."""
    with av.open(str(source)) as given, av.open(str(path), 'w') as out:
        stream = out.add_stream(template=given.streams.video[0])
        for number, packet in enumerate(p for p in given.demux(video=0) if p.dts is not None):
            data = change(number, bytes(packet))
            if data is not None:
                kept = av.Packet(data)
                kept.pts, kept.dts, kept.is_keyframe = packet.pts, packet.dts, packet.is_keyframe
                kept.time_base, kept.stream = packet.time_base, stream
                out.mux(kept)
    return path


def colors(path, matrix, full):
    """A film of the flat colors, as its tags say: BT.601 or 709, of limited or full range."""
    red, blue = {'bt709': (0.2126, 0.0722), 'smpte170m': (0.299, 0.114)}[matrix]
    rgb = np.repeat(np.repeat(np.array(FLAT, float)[None], WIDTH // 4, 1), HEIGHT, 0) / 255
    luma = red * rgb[..., 0] + (1 - red - blue) * rgb[..., 1] + blue * rgb[..., 2]
    planes = [luma, (rgb[..., 2] - luma) / (2 - 2 * blue), (rgb[..., 0] - luma) / (2 - 2 * red)]
    scales = ((255, 0), (255, 128), (255, 128)) if full else ((219, 16), (224, 128), (224, 128))
    y, u, v = (np.rint(plane * a + b).astype(np.uint8) for plane, (a, b) in zip(planes, scales))
    with av.open(str(path), 'w') as out:
        stream = out.add_stream('libx264', rate=25)
        kind = 'yuvj420p' if full else 'yuv420p'
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, kind
        tags = f'colormatrix={matrix}:colorprim={matrix}:transfer={matrix}:range={"pc" if full else "tv"}'
        stream.options = {'crf': '4', 'x264-params': tags}
        planar = np.concatenate([y.ravel(), u[::2, ::2].ravel(), v[::2, ::2].ravel()]).reshape(HEIGHT * 3 // 2, WIDTH)
        for _ in range(8):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(planar, format=kind)))
        out.mux(stream.encode())


def sound_with_cover(path, picture):
    """An MPEG-4 file of sound, and a cover picture in its list of tags."""
    with av.open(str(path), 'w') as out:
        stream = out.add_stream('aac', rate=44100)
        for number in range(20):
            tone = np.sin(np.arange(1024) / 9 + number)[None].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(np.repeat(tone, 2, 0), format='fltp', layout='stereo')
            frame.rate, frame.pts, frame.time_base = 44100, 1024 * number, Fraction(1, 44100)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    content = path.read_bytes()
    data = atom(b'data', struct.pack('>II', 14, 0) + picture)  # 14: a PNG
    handler = atom(b'hdlr', bytes(8) + b'mdirappl' + bytes(9))
    tags = atom(b'udta', atom(b'meta', bytes(4) + handler + atom(b'ilst', atom(b'covr', data))))
    at = content.rindex(b'moov') - 4
    size = struct.unpack_from('>I', content, at)[0]
    assert at + size == len(content), 'the header is the last'
    path.write_bytes(content[:at] + struct.pack('>I', size + len(tags)) + content[at + 4 :] + tags)


def atom(name, content):
    """A box of an MPEG-4 file."""
    return struct.pack('>I', 8 + len(content)) + name + content


def png(width, height, rows=b''):
    """A PNG picture that claims a size; gray, of the given rows."""
    header = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    chunks = (header, b'IDAT' + zlib.compress(rows), b'IEND')
    parts = [struct.pack('>I', len(chunk) - 4) + chunk + struct.pack('>I', zlib.crc32(chunk)) for chunk in chunks]
    return b'\x89PNG\r\n\x1a\n' + b''.join(parts)


def mirrored(path, source):
    """A copy of a film that its display matrix mirrors, as that of a front camera."""
    content = bytearray(source.read_bytes())
    at = content.find(b'tkhd') + 44
    content[at : at + 36] = struct.pack('>9i', -1 << 16, 0, 0, 0, 1 << 16, 0, WIDTH << 16, 0, 1 << 30)
    path.write_bytes(content)


def unknown_storage(path):
    """An MXNet file of one array, as an unknown version stores it."""
    array = struct.pack('<IiI', 0xF993FAC8, -1, 1) + struct.pack('<q', 2) + struct.pack('<iii', 1, 0, 0) + bytes(8)
    name = b'arg:a.weight'
    path.write_bytes(struct.pack('<QQQ', 0x112, 0, 1) + array + struct.pack('<QQ', 1, len(name)) + name)


def draw(folder):
    """Write all of them."""
    x264 = {'bf': '0', 'g': '25', 'crf': '18'}
    encode(folder / 'h264.avi', range(100), 'libx264', x264)
    for matrix in ('bt709', 'smpte170m'):
        for full in (False, True):
            colors(folder / f'{matrix}_{"full" if full else "limited"}.mp4', matrix, full)
    encode(folder / 'whole.ts', range(90), 'libx264', {**x264, 'g': '30'})
    remux(folder / 'whole.ts', folder / 'midgroup.ts', lambda number, data: data if number >= 15 else None)
    encode(folder / 'plain.webm', range(60), 'libvpx', {'g': '20', 'crf': '8', 'b': '1M', 'auto-alt-ref': '0'})
    # bit 4 of a frame's first byte says that it is shown
    hide = lambda number, data: bytes([data[0] & ~0x10]) + data[1:] if number % 10 == 7 else data  # noqa: E731
    remux(folder / 'plain.webm', folder / 'hidden.webm', hide)
    encode(folder / 'camera.mjpeg', range(20), 'mjpeg', format='mjpeg')
    for part in range(3):
        encode(folder / f'part{part}.ts', range(8 * part, 8 * part + 8), 'libx264', x264)
    (folder / 'joined.ts').write_bytes(b''.join((folder / f'part{part}.ts').read_bytes() for part in range(3)))
    sound_with_cover(folder / 'sound.mp4', png(8, 8, bytes(9 * 8)))
    encode(folder / 'small.mp4', range(8), 'libx264', x264)
    mirrored(folder / 'mirrored.mp4', folder / 'small.mp4')
    encode(folder / 'whole.mpg', range(60), 'mpeg1video')
    encode(folder / 'whole.vob', range(60), 'mpeg2video', {'bf': '2', 'g': '12'})
    (folder / 'cut.mpg').write_bytes((folder / 'whole.mpg').read_bytes()[:3700])
    encode(folder / 'whole.mkv', range(20), 'libx264', x264)
    codec = b'V_MPEG4/ISO/AVC'
    content = (folder / 'whole.mkv').read_bytes()
    (folder / 'lost.mkv').write_bytes(content.replace(codec, b'?' * len(codec)))
    (folder / 'huge.png').write_bytes(png(60000, 60000))
    unknown_storage(folder / 'former.params')


if __name__ == '__main__':
    draw(Path(sys.argv[1]))
