"""Streams over a loopback address and a pipe: the frames of the file, and what is said where they do not come."""

import http.server
import os
import socket
import threading

import av
import cv2
import numpy as np
import pytest

from gluon_fg.data import stream_process
from gluon_fg.data.stream_process import _Clock, camera_frames
from gluon_fg.data.streams import FrameStream, is_stream
from gluon_fg.data.video import open_video
from gluon_fg.errors import UserError, VideoError


@pytest.fixture(scope='module')
def film(tmp_path_factory):
    """A film of 40 frames as a transport stream, in which a broadcast comes."""
    path = tmp_path_factory.mktemp('films') / 'film.ts'
    ramp = np.linspace(0, 255, 80, dtype=np.uint8)[None, :, None].repeat(60, 0).repeat(3, 2)
    with av.open(str(path), 'w', format='mpegts') as target:
        stream = target.add_stream('mpeg4', rate=10)
        stream.width, stream.height = 80, 60
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(np.roll(ramp, 2 * number, 1), format='rgb24')
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    return path


@pytest.fixture(scope='module')
def served(film):
    """Address of a server on this machine: /known tells the length, /live does not, /list names a file of ours."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = film.read_bytes()
            if self.path == '/list.m3u8':
                data = f'#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile://{film}\n#EXT-X-ENDLIST\n'.encode()
            self.send_response(200)
            if self.path != '/live':
                self.send_header('Content-Length', str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize('place, live', [('/known', False), ('/live', True)])
def test_a_stream_has_the_frames_and_times_of_its_file(served, film, place, live):
    with FrameStream(served + place) as stream:
        moments = list(stream)
        assert (stream.live, stream.fps, stream.size) == (live, 10, (80, 60))
    with open_video(str(film)) as reader:
        np.testing.assert_array_equal([m.picture for m in moments], reader.get_batch(range(len(reader))))
        np.testing.assert_allclose([m.time for m in moments], reader.times, atol=1e-9)
    assert len(moments) == 40


def test_a_pipe_is_a_stream_whose_frames_are_made_smaller_as_they_come(film, tmp_path):
    pipe = str(tmp_path / 'pipe')
    os.mkfifo(pipe)
    assert is_stream(pipe) and not is_stream(str(film))
    writer = threading.Thread(target=lambda: open(pipe, 'wb').write(film.read_bytes()))
    writer.start()
    with FrameStream(pipe, short_side=30) as stream:
        pictures = [moment.picture for moment in stream]
    writer.join()
    with open_video(str(film)) as reader:
        np.testing.assert_array_equal(pictures, reader.get_batch(range(40), (30, 40)))
    assert not stream.live


def refused(source, **options):
    with pytest.raises(VideoError) as error:
        with FrameStream(source, **options) as stream:
            list(stream)
    return str(error.value)


def test_what_is_no_stream_says_so(served, tmp_path, film):
    assert 'Connection refused' in refused('http://127.0.0.1:1/x')
    assert refused('999').startswith('camera 999: ')
    assert 'cannot be read' in refused(f'{served}/list.m3u8')  # what comes from elsewhere names no file of ours
    for path, kind in (('ftp2://x/y', 'ftp2'), ('concat://a', 'concat'), ('file:///etc/passwd', 'file')):
        with pytest.raises(UserError, match=f"unknown kind of address in {path}: '{kind}'; choose from http"):
            is_stream(path)
    assert is_stream('RTSP://host/x') and is_stream('0') and is_stream('-') and not is_stream(str(tmp_path / 'no.mp4'))


def test_a_server_that_is_silent_is_given_up():
    """On which PyAV alone waits for ever, in spite of a timeout (its issue 584)."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        address = f'http://127.0.0.1:{server.getsockname()[1]}/live'
        assert 'nothing comes from there (no answer in 2 s)' in refused(address, patience=2)


def test_a_stream_that_ends_its_decoder_ends_alone(film, tmp_path, monkeypatch):
    code = "import os, signal, sys; os.write(1, b'x'); os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr('gluon_fg.data.streams._START', code)
    pipe = str(tmp_path / 'pipe')
    os.mkfifo(pipe)
    assert 'decoding it ends the process that does it (by SIGSEGV)' in refused(pipe)


def test_times_go_on_where_a_clock_is_set_anew():
    clock = _Clock(10)
    times = [clock.at(time) for time in (5.0, 5.1, 5.2, 1.0, 1.1, None, 1.3, 900.0, 900.2)]
    np.testing.assert_allclose(times, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9])


class Camera:
    """Two pictures, blue as OpenCV has it, and then none."""

    def __init__(self, number):
        self.left, self.open = 2, number == 0

    def isOpened(self):  # noqa: N802
        return self.open

    def get(self, name):
        return 30.0 if name == cv2.CAP_PROP_FPS else 0.0

    def read(self):
        self.left -= 1
        return self.left >= 0, np.full((4, 6, 3), (255, 0, 0), np.uint8)

    def release(self):
        self.open = False


def test_pictures_of_a_camera(monkeypatch):
    monkeypatch.setattr(stream_process.cv2, 'VideoCapture', Camera)
    frames = camera_frames(0)
    for _ in range(2):
        facts, seconds, picture = next(frames)
        assert facts == {'fps': 30.0, 'live': True} and seconds >= 0
        assert picture[0, 0].tolist() == [0, 0, 255]
    with pytest.raises(VideoError, match='gives no more pictures'):
        next(frames)
    with pytest.raises(VideoError, match='there is no camera of this number'):
        next(camera_frames(3))
