"""Videos whose every frame says which one it is."""

import subprocess
import sys

import numpy as np
import pytest
from numbered import numbered_frame

WRITER = """
import sys
from fractions import Fraction
import av, numpy as np
frames = np.load(sys.argv[1])
path, codec, options = sys.argv[2], sys.argv[3], eval(sys.argv[4])
with av.open(path, 'w') as container:
    rate = options.pop('rate', 25)
    pixels, times = options.pop('pix_fmt', 'yuv420p'), options.pop('times', None)
    unit = Fraction(1, rate if times is None else 1000)
    stream = container.add_stream(codec, rate=rate, options={'g': '12', **options})
    stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], pixels
    stream.codec_context.time_base, stream.codec_context.thread_count = unit, 1
    for number, picture in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(picture, format='rgb24').reformat(format=pixels)
        frame.pts, frame.time_base = number if times is None else times[number], unit
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
"""


@pytest.fixture(scope='session')
def write_video(tmp_path_factory):
    """Encode numbered frames: write_video(name, codec, frames=40, size=(H, W), **encoder options) -> path.

    In a process of its own: decord brings a libvpx under whose symbols PyAV's encoder fails.
    """
    folder, done = tmp_path_factory.mktemp('videos'), {}

    def write(name, codec='libx264', frames=40, size=(48, 64), **options):
        array, path, asked = folder / 'frames.npy', folder / name, (codec, frames, size, repr(options))
        if name in done:
            assert done[name] == asked, f'{name} exists with other settings'
            return path
        np.save(array, np.stack([numbered_frame(number, *size) for number in range(frames)]))
        subprocess.run([sys.executable, '-c', WRITER, array, path, codec, repr(options)], check=True, timeout=60)
        done[name] = asked
        return path

    return write


@pytest.fixture(scope='session')
def plain_video(write_video):
    """40 frames of 64x48, H.264 with B-frames, 25 frames per second."""
    return write_video('plain (1), with spaces.mp4', bf='3')


@pytest.fixture
def put(tmp_path):
    """put(name, text or bytes) -> path of a file."""

    def put(name, content=''):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return put
