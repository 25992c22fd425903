"""Colors of films are those that FFmpeg shows: their own matrix and range, of 8 bits and of more."""

import subprocess
import sys

import av
import numpy as np
import pytest

from gluon_fg.data.video import open_video

WRITER = """
import sys
import av, numpy as np
y, x = np.mgrid[:48, :64]


def write(path, codec, pixels, matrix, limits):
    container = av.open(path, 'w')
    stream = container.add_stream(codec, rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
    stream.codec_context.bit_rate, stream.codec_context.thread_count = 2_000_000, 1
    stream.codec_context.colorspace, stream.codec_context.color_range = matrix, limits
    for number in range(3):
        picture = np.stack([4 * x, 5 * y, 255 - 2 * (x + y) + 4 * number], -1).astype(np.uint8)
        picture[::7, :, 0] = 230
        frame = av.VideoFrame.from_ndarray(picture, format='rgb24').reformat(format=pixels)
        frame.colorspace, frame.color_range = matrix, limits
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
    container.close()


for name, *film in eval(sys.argv[2]):
    write(f'{sys.argv[1]}/{name}', *film)
"""


def shown_by_ffmpeg(path):
    """Frames as FFmpeg's own filters convert them, which read a frame's matrix and range."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        graph = av.filter.Graph()
        source = graph.add_buffer(template=stream)
        steps = [graph.add('scale', 'flags=bicubic'), graph.add('format', 'rgb24'), graph.add('buffersink')]
        for step in steps:
            source.link_to(step)
            source = step
        graph.configure()
        for frame in container.decode(stream):
            graph.push(frame)
            frames.append(graph.pull().to_ndarray())
    return np.stack(frames)


FILMS = [
    (f'{pixels}-{matrix}-{limits}.mp4', 'libx264', pixels, matrix, limits)
    for pixels in ('yuv420p', 'yuv420p10le')
    for matrix in (1, 5, 6, 9, 2)  # BT.709, two names of BT.601, BT.2020, not said
    for limits in (1, 2)  # limited and full range
]
FILMS += [
    ('film.webm', 'libvpx-vp9', 'yuv420p', 1, 1),
    ('film.mkv', 'ffv1', 'yuv444p10le', 1, 1),
    ('film.ts', 'mpeg2video', 'yuv420p', 1, 1),
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The films; in a process of its own, as decord's libvpx gets in the way of PyAV's encoder."""
    folder = tmp_path_factory.mktemp('colors')
    subprocess.run([sys.executable, '-c', WRITER, folder, repr(FILMS)], check=True, timeout=100)
    return folder


@pytest.mark.parametrize('name', [film[0] for film in FILMS])
def test_frames_are_those_of_ffmpeg(folder, name):
    truth = shown_by_ffmpeg(folder / name)
    with open_video(folder / name) as reader:
        np.testing.assert_array_equal(reader.get_batch([0, 1, 2]), truth)
