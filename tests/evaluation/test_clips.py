"""What may be given to predict, and how long films are cut and put together again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gluon_fg
from gluon_fg.errors import UserError
from gluon_fg.evaluation.answers import Stretch, stretches
from gluon_fg.evaluation.predict import Prediction
from gluon_fg.evaluation.windows import window_times
from gluon_fg.factory import get_model

LENGTHS = st.floats(0.05, 500, allow_nan=False)


@given(LENGTHS, st.floats(0.1, 30), st.floats(0.1, 30))
def test_windows_cover_a_film_but_for_less_than_half_a_window_at_its_end(seconds, window, hop):
    if seconds / hop > 500:
        return
    times = window_times(seconds, window, hop)
    assert times[0][0] == 0 and all(0 <= start < end <= seconds for start, end in times)
    assert all(end - start <= window + 1e-9 for start, end in times) or times == [(0, seconds)]
    assert all(b[0] - a[0] == pytest.approx(hop) for a, b in zip(times, times[1:]))
    if hop <= window / 2:
        assert seconds - times[-1][1] < 1e-6 or len(times) == 1
    assert seconds - times[-1][1] < hop + window / 2


@pytest.mark.parametrize(
    'seconds, window, hop, expected',
    [
        (10, 4, None, [(0, 4), (4, 8), (8, 10)]),
        (9.9, 4, None, [(0, 4), (4, 8)]),  # less than half a window is left
        (1, 4, None, [(0, 1)]),
        (6, 4, 2, [(0, 4), (2, 6), (4, 6)]),
        (0.3, 0.1, None, [(0, 0.1), (0.1, 0.2), (0.2, 0.3)]),  # no fourth by rounding
    ],
)
def test_windows_as_one_expects_them(seconds, window, hop, expected):
    assert np.allclose(window_times(seconds, window, hop), expected)


def answers(*labeled):
    return [Prediction('a.mp4', [(label, p)], None, start, end) for start, end, label, p in labeled]


def test_neighbors_with_one_answer_are_one_stretch():
    apart = answers((0, 2, 'run', 0.5), (2, 4, 'run', 0.9), (4, 6, 'jump', 0.8), (6, 8, 'run', 0.6))
    assert stretches(apart) == [Stretch('run', 0.7, 0, 4), Stretch('jump', 0.8, 4, 6), Stretch('run', 0.6, 6, 8)]
    overlapping = answers((0, 4, 'run', 0.5), (2, 6, 'jump', 0.9), (4, 8, 'jump', 0.7))
    assert stretches(overlapping) == [Stretch('run', 0.5, 0, 3), Stretch('jump', pytest.approx(0.8), 3, 8)]
    with_gap = answers((0, 2, 'run', 0.5), (5, 7, 'run', 0.5))
    assert stretches(with_gap) == [Stretch('run', 0.5, 0, 2), Stretch('run', 0.5, 5, 7)]
    assert stretches([]) == []


def test_frames_in_memory_are_predicted_as_their_file(tiny_synthfg):
    from gluon_fg.data.video import open_video

    net = get_model('i3d_tiny_synthfg_dfb')
    file = str(sorted((tiny_synthfg / 'test').glob('*.mp4'))[0])
    with open_video(file) as reader:
        frames = reader.get_batch(range(len(reader)))
    expected = gluon_fg.predict(file, net)
    assert gluon_fg.predict(frames, net) == gluon_fg.predict(list(frames), net) == expected
    for answer in gluon_fg.predict([frames, file], net):  # in a batch the last digits differ
        assert [label for label, _ in answer] == [label for label, _ in expected]
        np.testing.assert_allclose([p for _, p in answer], [p for _, p in expected], rtol=1e-3)
    ((start, end, answer),) = gluon_fg.predict(frames, net, window=60)
    assert (start, end) == (0, len(frames) / 25) and answer == expected


def test_a_hop_needs_a_window():
    with pytest.raises(UserError, match='stride 2 goes with windows'):
        gluon_fg.predict('a.mp4', 'i3d_tiny_synthfg_dfb', hop=2)
