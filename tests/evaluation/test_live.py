"""Frames that come one after another: the same windows as of the film, none held too long, none waited for."""

import logging
import os
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gluon_fg
from gluon_fg.data.segments import cut as cut_film
from gluon_fg.data.streams import Moment
from gluon_fg.data.video import ArrayReader
from gluon_fg.errors import UserError, VideoError
from gluon_fg.evaluation.live import Watching, as_live, cut, moments_of
from gluon_fg.evaluation.windows import Windows, length_of, window_times
from gluon_fg.factory import get_model


def numbered(count, height=4, width=6):
    return [np.full((height, width, 3), number, np.uint8) for number in range(count)]


@settings(max_examples=60)
@given(st.integers(1, 90), st.floats(5, 30), st.floats(0.2, 3), st.floats(0.2, 3))
def test_windows_are_those_of_the_film(count, fps, seconds, stride):
    frames = numbered(count)
    film = ArrayReader('film', np.stack(frames), fps, np.arange(count) / fps)
    expected = []
    for start, end in window_times(length_of(film), seconds, stride):
        try:
            part = cut_film(film, start, end)
        except VideoError:  # no frame in so short a window
            continue
        expected.append((start, end, part.get_batch(range(len(part)))[:, 0, 0, 0].tolist()))
    found = [
        (window.start, window.end, window.reader.get_batch(range(len(window.reader)))[:, 0, 0, 0].tolist())
        for window in cut('film', moments_of(frames, fps), fps, Windows(seconds, stride))
    ]
    assert [numbers for *_, numbers in found] == [numbers for *_, numbers in expected]
    np.testing.assert_allclose([part[:2] for part in found], [part[:2] for part in expected], atol=1e-6)


def test_a_window_is_there_with_the_first_frame_behind_it_and_lets_go_of_those_before():
    given_out, alive = [], []

    def frames():
        for number in range(1000):
            picture = np.full((4, 6, 3), number % 256, np.uint8)
            given_out.append(number)
            yield Moment(number / 10, picture)

    for window in cut('film', frames(), 10, Windows(2, 1)):
        if window.end < 100:
            assert given_out[-1] == round(10 * window.end)
        alive.append(len(window.reader))
    assert len(alive) == 100 and max(alive) == 20


def test_windows_that_no_memory_should_hold_are_refused(monkeypatch):
    monkeypatch.setattr('gluon_fg.evaluation.live.MAX_BATCH_BYTES', 72 * 50)
    with pytest.raises(UserError, match='windows of 100 s take more memory than there should be; choose shorter ones'):
        list(cut('film', moments_of(numbered(80), 10), 10, Windows(100)))


@pytest.mark.parametrize(
    'second, message',
    [
        (np.zeros((5, 6, 3), np.uint8), r'frame 1 has the shape \(5, 6, 3\), the first one 4 x 6 x 3'),
        (np.zeros((4, 6, 3), np.float32), 'frames are uint8'),
        (np.zeros((4, 6, 4), np.uint8), 'with transparency'),
    ],
)
def test_frames_of_another_kind_are_refused(second, message):
    with pytest.raises(UserError, match=message):
        list(moments_of([numbered(1)[0], second], 25))


class Source:
    """A stream whose frames come at once, or wait for `gate`."""

    path, fps, size = 'camera 0', 10.0, (6, 4)

    def __init__(self, count, live, error=None):
        self.count, self.live, self.error = count, live, error
        self.stopped = threading.Event()
        self.given_out = 0

    def __iter__(self):
        for number, picture in enumerate(numbered(self.count)):
            if self.stopped.is_set():
                raise VideoError(self.path, 'was stopped')
            self.given_out = number + 1
            yield Moment(number / self.fps, picture)
        if self.error:
            raise self.error

    def stop(self):
        self.stopped.set()

    def close(self):
        assert self.stopped.is_set()


def test_who_falls_behind_a_camera_leaves_out_windows_and_says_so(caplog):
    """As others' demos lag by tens of seconds (MMAction2's issue 958): the newest windows are answered."""
    source, starts = Source(200, live=True), []
    with caplog.at_level(logging.WARNING), Watching(source, Windows(1)) as windows:
        for window in windows:
            starts.append(window.start)
            if len(starts) == 1:
                while source.given_out < 200:
                    time.sleep(0.01)
                time.sleep(0.1)
    assert starts[-2:] == [18, 19] and len(starts) <= 4 and starts == sorted(starts)
    assert 'camera 0: this computer falls behind; the window from' in caplog.text
    assert f'{20 - len(starts)} windows were left out' in caplog.text


def test_a_pipe_waits_for_who_is_slow():
    source, starts = Source(200, live=False), []
    with Watching(source, Windows(1)) as windows:
        for window in windows:
            time.sleep(0.01)
            starts.append(window.start)
            assert source.given_out <= 10 * len(starts) + 45
    assert starts == list(range(20))


def test_what_breaks_off_tells_it_behind_its_windows_and_who_stops_need_not_wait():
    starts = []
    with pytest.raises(VideoError, match='camera 0: gone'):
        with Watching(Source(35, live=False, error=VideoError('camera 0', 'gone')), Windows(1)) as windows:
            for window in windows:
                starts.append(window.start)
    assert starts == [0, 1, 2]
    source = Source(10**4, live=False)
    with Watching(source, Windows(1)) as windows:
        assert next(iter(windows)).start == 0
    assert source.stopped.is_set() and not windows._thread.is_alive()


def test_what_comes_once(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    assert as_live(tmp_path / 'pipe') == (True, str(tmp_path / 'pipe')) and as_live(tmp_path) == (False, tmp_path)
    frames = numbered(3)
    for video, live in ((0, True), ('rtsp://host/live', True), ('-', True), ('a.mp4', False), (frames, False)):
        assert as_live(video)[0] == live
    live, again = as_live(iter(frames))
    assert live and [picture[0, 0, 0] for picture in again] == [0, 1, 2]
    live, again = as_live(iter(['a.mp4', 'b.mp4']))
    assert not live and list(again) == ['a.mp4', 'b.mp4']
    assert as_live(iter([]))[0] is False and as_live(iter([np.stack(frames)]))[0] is False
    with pytest.raises(UserError, match="unknown kind of address in gopher://x: 'gopher'"):
        as_live('gopher://x')


@pytest.fixture(scope='module')
def net():
    return get_model('i3d_tiny_synthfg_dfb')


def test_an_iterator_of_frames_is_predicted_as_they_come(net):
    frames = np.random.default_rng(0).integers(0, 256, (60, 54, 60, 3), np.uint8)
    expected = gluon_fg.predict(frames, net, windows=2, stride=1, fps=10, protocol='3x1')
    assert [(start, end) for start, end, _ in expected] == [(0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 6)]
    taken = []

    def camera():
        for number, frame in enumerate(frames):
            taken.append(number)
            yield frame

    answers = gluon_fg.predict(camera(), net, windows=2, stride=1, fps=10, protocol='3x1', batch_size=2)
    for place, (start, end, answer) in enumerate(answers):
        assert (start, end) == expected[place][:2]
        assert [label for label, _ in answer] == [label for label, _ in expected[place][2]]
        np.testing.assert_allclose([p for _, p in answer], [p for _, p in expected[place][2]], rtol=1e-3)
        assert taken[-1] == min(10 * (place + 2), 59)  # the first frame behind the window, no later one
    assert place == 5
    whole = gluon_fg.predict(iter(frames), net)  # without windows they are one video
    assert whole[0][0] == gluon_fg.predict(frames, net)[0][0]
