"""Places of a clip that are covered: equally large squares where maps point, and pixels in the order of importance."""

from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg.analysis.activation import MapSeries
from gluon_fg.analysis.covers import blurred, mean_color, peak_of, places_of, square_around, step_of, true_places
from gluon_fg.analysis.place_prober import variants
from gluon_fg.analysis.placement import Placement
from gluon_fg.backbones.geometry import Geometry

Box = namedtuple('Box', 't y0 x0 y1 x1')
# cells of 8 pixels and 2 frames, in a video of twice the size
PLACE = Placement(Geometry((2, 8), (2, 8), (0.5, 3.5)), 8, (48, 64), (96, 128))


def series(maps, frames):
    maps = np.array(maps, float)
    return MapSeries(np.arange(len(maps)), np.array(frames), maps, (0, 1), PLACE)


@settings(max_examples=30)
@given(x=st.floats(-9, 80), y=st.floats(-9, 60), side=st.integers(1, 48))
def test_squares_are_equally_large_wherever_they_are(x, y, side):
    x0, y0, x1, y1 = square_around((x, y), side, (48, 64))
    assert (x1 - x0, y1 - y0) == (side, side) and 0 <= x0 and 0 <= y0 and x1 <= 64 and y1 <= 48
    if side / 2 <= x <= 64 - side / 2:
        assert abs((x0 + x1) / 2 - x) <= 0.5 + 1e-9


def test_covers_follow_the_peak_of_each_moment():
    """Maps of frames 10 and 14 of a clip of every other frame from 8 on: positions 1 and 3 of 6."""
    maps = np.zeros((2, 6, 8))
    maps[0, 1, 2], maps[1, 4, 6] = 3, 5
    clip = np.arange(8, 20, 2)
    places = places_of(series(maps, [10, 14]), clip, 8, 2)
    peaks, peak, rest = places.hidden
    for t in range(6):  # between two moments the earlier one
        row, column = (1, 2) if t <= 2 else (4, 6)
        wanted = np.zeros((48, 64), bool)
        wanted[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = True
        np.testing.assert_array_equal(peaks[t], wanted)
        np.testing.assert_array_equal(peak[t], wanted if t in (3, 4) else np.zeros_like(wanted))
    np.testing.assert_array_equal(rest, ~peaks)
    middle = places.importance[2]  # half of each moment; a pixel beside a cell's center is half a pixel off it
    beside = (1 - 0.5 / 8) ** 2
    assert middle[12, 20] == pytest.approx(1.5 * beside) and middle[36, 52] == pytest.approx(2.5 * beside)
    np.testing.assert_allclose(places.importance[0], places.importance[1])
    assert peak_of(series(maps, [10, 14])) == (1, (2 * 52, 2 * 36))


def test_frames_that_a_short_video_repeats_are_covered_like_the_last():
    maps = np.zeros((3, 6, 8))
    maps[0, 0, 0], maps[1, 2, 2], maps[2, 2, 4] = 1, 2, 4
    places = places_of(series(maps, [0, 2, 2]), np.array([0, 1, 2, 2, 2]), 8, 1)
    assert places.hidden[0, 0, 4, 4] and not places.hidden[0, 0, 20, 20]
    assert all(places.hidden[0, t, 20, 36] for t in (2, 3, 4))  # the higher of both maps of frame 2


def test_true_places_are_nearer_to_their_boxes():
    boxes = [Box(4, 20, 40, 40, 60), Box(5, 20, 44, 40, 64), Box(99, 0, 0, 9, 9)]
    places = true_places(boxes, np.arange(3, 7), (48, 64), (96, 128), 10, 1)
    inside = places.importance == 0
    assert inside[1, 10:20, 20:30].all() and inside.sum() == 200 and inside[2, 10:20, 22:32].all()
    assert (
        places.importance[1, 15, 33] == pytest.approx(-4) and (places.importance[0] < places.importance[1].min()).all()
    )
    assert places.hidden[0].sum(axis=(1, 2)).tolist() == [0, 100, 100, 0]
    assert places.hidden[1].sum(axis=(1, 2)).tolist() == [0, 0, 100, 0]
    assert true_places(boxes, np.arange(3), (48, 64), (96, 128), 10, 1) is None


@settings(max_examples=30)
@given(steps=st.integers(2, 9), shape=st.tuples(st.integers(1, 4), st.integers(2, 6), st.integers(2, 6)))
def test_every_step_has_as_many_pixels_the_most_important_first(steps, shape):
    importance = np.random.RandomState(0).permutation(np.prod(shape)).reshape(shape).astype(float)
    turn = step_of(importance, steps)
    counts = np.bincount(turn.ravel(), minlength=steps)
    assert counts.max() - counts.min() <= 1 and counts.sum() == importance.size
    for step in range(1, steps):
        if (turn < step).any() and (turn >= step).any():
            assert importance[turn < step].min() > importance[turn >= step].max()


def test_curves_show_what_the_papers_procedure_shows():
    """RISE, algorithm of the causal metric: pixels of the finish are copied into the start, the most salient first."""
    random = np.random.RandomState(1)
    x, cover, blur = (
        random.normal(size=(3, 2, 4, 5)),
        random.normal(size=(3, 1, 1, 1)),
        random.normal(size=(3, 2, 4, 5)),
    )
    importance, steps = random.normal(size=(2, 4, 5)), 4
    hidden = random.rand(3, 2, 4, 5) < 0.5
    shown = list(variants(x, cover, blur, namedtuple('P', 'importance hidden')(importance, hidden), steps))
    order = np.flip(np.argsort(importance.ravel()))
    for start, finish, made in (
        (x, np.broadcast_to(cover, x.shape), shown[:3]),
        (blur, x, shown[3:6]),
    ):
        now = start.copy().reshape(3, -1)
        for step, clip in enumerate(made):
            chosen = order[10 * step : 10 * step + 10]
            now[:, chosen] = finish.reshape(3, -1)[:, chosen]
            np.testing.assert_array_equal(clip, now.reshape(x.shape))
    for mask, clip in zip(hidden, shown[6:]):
        np.testing.assert_array_equal(clip[:, ~mask], x[:, ~mask])
        assert (clip[:, mask] == cover[:, 0, 0]).all()


def test_fills_have_no_detail():
    x = np.zeros((2, 3, 40, 40), np.float32)
    x[0, 1, 18:22, 18:22] = 8
    np.testing.assert_allclose(mean_color(x).ravel(), [8 * 16 / (3 * 1600), 0])
    soft = blurred(x)
    assert soft.shape == x.shape and soft[0, 1].max() < 1.5 and soft[0, 1].sum() == pytest.approx(128, rel=0.02)
    assert not soft[0, 0].any() and not soft[1].any()
