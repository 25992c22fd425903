"""Windows of a film share one pass over it: what each shows, how often frames are decoded, how many are held."""

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg.data.segments import cut
from gluon_fg.data.video import ArrayReader, VideoReader
from gluon_fg.errors import VideoError
from gluon_fg.evaluation.clips import Clip
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.windows import OnePass, Windows, window_times, windows_of
from gluon_fg.input_spec import InputSpec

SPEC = InputSpec(frames=4, frame_stride=2, short_side=12, crop_size=10)


class Film(VideoReader):
    """Frames that differ, some of which cannot be decoded; `asked`: the numbers of each request."""

    def __init__(self, length, fps=10.0, damaged=()):
        super().__init__('film.mp4', length, fps, (16, 12))
        self.asked, self.damaged, self.closed = [], set(damaged), 0
        self.times = np.arange(length) / fps

    def _decode(self, numbers, size):
        self.asked.append(numbers)
        if self.damaged & set(numbers):
            raise VideoError(self.path, f'frame {min(self.damaged & set(numbers))} cannot be decoded')
        return np.stack([np.full((*size, 3), number % 251, np.uint8) for number in numbers])

    def close(self):
        self.closed += 1


def alone(length, start, end, protocol, damaged=()):
    with cut(Film(length, damaged=damaged), start, end) as reader:
        return protocol.views(reader, SPEC)[0]


@settings(max_examples=25)
@given(
    st.integers(1, 120),
    st.floats(0.1, 3),
    st.floats(0.1, 3),
    st.sampled_from(['1x1', '3x3', '2x5']),
    st.sampled_from([None, 7.0, 20.0]),
)
def test_frames_are_decoded_once_in_order_and_are_those_of_each_window_alone(length, seconds, stride, name, rate):
    spec, protocol, film = SPEC.replace(fps=rate), get_protocol(name), Film(length)
    times = window_times(length / 10, seconds, stride)
    shared = OnePass(film, times, functools.partial(protocol.frame_numbers, spec=spec))
    longest = 0
    for number, (start, end) in enumerate(times):
        try:
            with cut(Film(length), start, end) as reader:
                expected = protocol.views(reader, spec)[0]
        except VideoError as error:  # too short for a frame
            with pytest.raises(VideoError, match='has no frame in its clip'):
                cut(shared.open(number), start, end)
            assert 'has no frame' in str(error)
            continue
        with cut(shared.open(number), start, end) as reader:
            for mine, other in zip(protocol.views(reader, spec)[0], expected):
                np.testing.assert_array_equal(mine, other)
        longest = max(longest, len(shared._kept))
    decoded = [number for numbers in film.asked for number in numbers]
    assert decoded == sorted(set(decoded))
    assert longest <= 10 * seconds + 1 and not shared._kept and not shared._uses and film.closed == 1


def test_windows_that_are_read_by_several_threads_are_the_same():
    protocol, film = get_protocol('2x1'), Film(200)
    parts = list(windows_of(Clip('film.mp4', lambda: film), Windows(2, 0.5), protocol, SPEC))

    def views(part):
        with part.open_cut() as reader:
            return protocol.views(reader, SPEC)[0]

    with ThreadPoolExecutor(4) as pool:
        shuffled = np.random.default_rng(0).permutation(len(parts)).tolist()
        read = dict(zip(shuffled, pool.map(views, [parts[place] for place in shuffled])))
    for place, part in enumerate(parts):
        np.testing.assert_array_equal(read[place], alone(200, part.start, part.end, protocol))
    decoded = [number for numbers in film.asked for number in numbers]
    assert len(decoded) == len(set(decoded)) and film.closed == 1


def test_a_damaged_frame_costs_the_windows_that_show_it():
    protocol, film = get_protocol('1x1'), Film(60, damaged=[25])
    failed = []
    for part in windows_of(Clip('film.mp4', lambda: film), Windows(1), protocol, SPEC):
        try:
            with part.open_cut() as reader:
                np.testing.assert_array_equal(
                    protocol.views(reader, SPEC)[0], alone(60, part.start, part.end, protocol)
                )
        except VideoError as error:
            failed.append((part.start, error.reason))
    assert failed == [(2, 'frame 25 cannot be decoded')] and film.closed == 1


def test_a_film_whose_windows_are_not_all_wanted_is_let_go():
    film = Film(60)
    parts = windows_of(Clip('film.mp4', lambda: film), Windows(1), get_protocol('1x1'), SPEC)
    with next(parts).open_cut() as reader:
        reader.get_batch([0], (12, 16))
    del reader, parts
    assert film.closed == 1


def test_films_that_cannot_be_opened_and_networks_on_flow():
    def broken():
        raise VideoError('a.mp4', 'is no video')

    clip = Clip('a.mp4', broken)
    assert list(windows_of(clip, Windows(1), get_protocol('1x1'), SPEC)) == [clip]
    frames = ArrayReader('frames', np.zeros((60, 12, 16, 3), np.uint8), 10)
    clip = Clip('frames', lambda: frames)
    parts = list(windows_of(clip, Windows(2), get_protocol('1x1'), SPEC.replace(mean=(0.5, 0.5), std=(1.0, 1.0))))
    assert [(part.open, part.start) for part in parts] == [(clip.open, start) for start in (0, 2, 4)]
