"""Small films, one of each kind: run as a program, since decord's libvpx gets in the way of PyAV's encoder."""

import sys
from pathlib import Path

import av
import numpy as np

FILMS = [  # suffix, codec, what the encoder is told
    ('mp4', 'libx264', {'g': '5'}), ('mkv', 'libx264', {'g': '6', 'bf': '2'}), ('ts', 'libx264', {'g': '5'}),
    ('avi', 'mpeg4', {'g': '4'}), ('avi', 'mjpeg', {}), ('mov', 'mjpeg', {}), ('webm', 'libvpx', {}),
    ('webm', 'libvpx-vp9', {}), ('mpg', 'mpeg1video', {}), ('ts', 'mpeg2video', {}), ('flv', 'flv', {}),
    ('mkv', 'ffv1', {}), ('avi', 'huffyuv', {}), ('gif', 'gif', {}), ('mp4', 'mpeg4', {}), ('wmv', 'wmv2', {}),
    ('avi', 'msmpeg4', {}), ('mkv', 'libx265', {'x265-params': 'log-level=none'}), ('m4v', 'mpeg4', {'bf': '2'}),
    ('avi', 'libx264', {'g': '5'}),
]  # fmt: skip
SIZE = (48, 64)


def picture(number, height=SIZE[0], width=SIZE[1]):
    """A frame (H, W, 3) that moves with its number."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 3 + 9 * number, y * 5 + 4 * number, (x + y) * 2 + 15 * number], -1).astype(np.uint8)


def write_film(path, codec, options, frames=16, rate=25):
    """A film of `frames` pictures."""
    with av.open(str(path), 'w') as out:
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.options = SIZE[1], SIZE[0], dict(options)
        formats = [f.name for f in stream.codec_context.codec.video_formats]
        usual = ('yuvj420p', 'yuv420p', 'yuv422p', 'rgb8')
        stream.pix_fmt = next(
            (f for f in usual if f in formats and (codec == 'mjpeg') == (f == 'yuvj420p')), formats[0]
        )
        for number in range(frames):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format='rgb24')))
        out.mux(stream.encode())
    return path


if __name__ == '__main__':
    for number, (end, codec, options) in enumerate(FILMS):
        write_film(Path(sys.argv[1]) / f'{number:02d}-{codec}.{end}', codec, options)
