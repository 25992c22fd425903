"""Memory of large films: frames are small before they are many, and views are cut one after the other."""

import sys
import tracemalloc

import av
import numpy as np
import pytest

from gluon_fg.data import decoding
from gluon_fg.data.isolated import open_isolated
from gluon_fg.data.video import open_video
from gluon_fg.evaluation import film_memory
from gluon_fg.evaluation.protocol import Views, get_protocol
from gluon_fg.input_spec import InputSpec

SIZE = (1920, 1080)
SPEC = InputSpec(frames=16, frame_stride=2, short_side=128, crop_size=112)


@pytest.fixture(scope='module')
def large(tmp_path_factory):
    """A film of 40 frames of 1080 lines, MJPEG in AVI, which both back ends read; frame i is of gray 6 i."""
    path = str(tmp_path_factory.mktemp('large') / 'large.avi')
    with av.open(path, 'w') as container:
        stream = container.add_stream('mjpeg', rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, 'yuvj420p'
        for number in range(40):
            frame = av.VideoFrame(*SIZE, 'yuvj420p')
            for plane, value in zip(frame.planes, (6 * number, 128, 128)):
                plane.update(bytes([value]) * (plane.line_size * plane.height))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize('backend', ['pyav', 'decord'])
def test_frames_in_full_size_are_never_many(large, backend, monkeypatch):
    monkeypatch.setattr(decoding, '_AT_ONCE', 3 * 3 * SIZE[0] * SIZE[1])
    with open_video(large, backend) as reader:
        reader.get_batch([0], (64, 96))
        tracemalloc.start()
        try:
            frames = reader.get_batch(np.arange(40), (64, 96))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert np.abs(frames.mean(axis=(1, 2, 3)) - 6 * np.arange(40)).max() < 3
    assert peak < 5 * 3 * SIZE[0] * SIZE[1]  # not 40 frames of that size


def test_thirty_views_take_no_more_than_their_frames(large, monkeypatch):
    protocol = get_protocol('30view')
    with open_isolated(large) as reader:
        now = protocol.views(reader, SPEC)
        monkeypatch.setattr('gluon_fg.evaluation.protocol._MANY', 0)
        tracemalloc.start()
        try:
            later = protocol.views(reader, SPEC)
            sums = [view.sum() for view in later[0]]
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert isinstance(now[0], list) and isinstance(later[0], Views) and len(later[0]) == 30
    assert sums == [view.sum() for view in now[0]] and (now[1] == later[1]).all()
    assert later[0].nbytes == sum(view.nbytes for view in now[0]) > peak + 10 * now[0][0].nbytes


def test_a_film_read_in_parts_is_decoded_once(tmp_path, monkeypatch):
    path = str(tmp_path / 'bidirectional.mp4')
    with av.open(path, 'w') as container:
        stream = container.add_stream('mpeg4', rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.options = 64, 48, 'yuv420p', {'bf': '2', 'g': '48'}
        for number in range(48):
            picture = np.full((48, 64, 3), 5 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        container.mux(stream.encode())
    starts, start = [], decoding.PyAVReader._start
    monkeypatch.setattr(decoding.PyAVReader, '_start', lambda self, key: starts.append(key) or start(self, key))
    with open_video(path) as reader:
        parts = [reader.get_batch(range(first, first + 8)) for first in range(0, 48, 8)]
    assert starts == [0]
    with open_video(path) as reader:
        assert (np.concatenate(parts) == reader.get_batch(range(48))).all()


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_the_benchmark_tells_the_peaks_of_both_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(film_memory, 'VIEW', {'frames': 8})
    measured = film_memory.measure(tmp_path, 0.4, (320, 240))
    assert measured.predicting_mb >= measured.before_mb > 50 and 30 < measured.decoding_mb < 2000
    said = str(measured)
    assert said.startswith('0.4 s of 320x240 with 30view: at most ') and 'None' not in said
    assert 'does not tell' in str(measured._replace(decoding_mb=None))
