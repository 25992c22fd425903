"""A peak followed over time: the best of all paths, along a place that moves, and no further than it responds."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg.analysis.localization import examine
from gluon_fg.analysis.placement import Placement
from gluon_fg.analysis.tubes import Tube, best_path, follow, highest, overlaps
from gluon_fg.backbones.geometry import Geometry
from gluon_fg.data.video import ArrayReader

# Cells of 8 pixels whose centers lie at 4, 12, ...; the video is twice as large as what the network sees
PLACE = Placement(Geometry((1, 8), (1, 8), (0, 3.5)), 8, (64, 80), (128, 160))


def iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def worth(path, boxes, scores, weight):
    """The sum over all steps, as the paper writes it."""
    if len(path) == 1:
        return scores[0][path[0]]
    return sum(
        scores[t][path[t]]
        + scores[t + 1][path[t + 1]]
        + weight * iou(boxes[t][path[t]].tolist(), boxes[t + 1][path[t + 1]].tolist())
        for t in range(len(path) - 1)
    )


@settings(max_examples=30)
@given(counts=st.lists(st.integers(1, 4), min_size=1, max_size=5), seed=st.integers(0, 999), weight=st.floats(0, 4))
def test_the_best_path_is_the_best_of_all_paths(counts, seed, weight):
    random = np.random.RandomState(seed)
    corners = [random.randint(0, 9, (n, 2)) for n in counts]
    boxes = [np.concatenate([low, low + random.randint(1, 9, low.shape)], axis=1) for low in corners]
    scores = [random.normal(size=n) for n in counts]
    every = itertools.product(*(range(n) for n in counts))
    best = max(worth(path, boxes, scores, weight) for path in every)
    assert worth(best_path(boxes, scores, weight), boxes, scores, weight) == pytest.approx(best)


def test_overlap_outweighs_a_slightly_higher_score_far_away():
    boxes = [np.array([[0, 0, 4, 4.0]]), np.array([[1, 0, 5, 4], [20, 20, 24, 24.0]]), np.array([[2, 0, 6, 4.0]])]
    scores = [np.ones(1), np.array([1, 1.4]), np.ones(1)]
    assert overlaps(boxes[0], boxes[1]).tolist() == [[12 / 20, 0]]
    assert best_path(boxes, scores) == [0, 0, 0]  # 2 x 0.6 of overlap against 2 x 0.4 of score
    assert best_path(boxes, scores, weight=0.5) == [0, 1, 0]


def moving(moments=10, first=2, last=7, distractor=None):
    """Maps of 8 x 10 cells: a response that goes a cell to the right at each moment, from the first to the last."""
    maps = np.zeros((moments, 8, 10), np.float32)
    for t in range(first, last + 1):
        maps[t, 3, t] = 4 + (t == 5)
        maps[t, 3, t - 1] = maps[t, 3, t + 1] = 1
    if distractor is not None:
        maps[distractor, 6, 9] = 4.9
    return maps


@pytest.mark.parametrize('distractor', [None, 4, 6])
def test_a_moving_response_is_followed_from_its_first_to_its_last_moment(distractor):
    frames = 3 * np.arange(10)
    tube = follow(frames, moving(distractor=distractor), PLACE, (5, 3, 5))
    assert tube.frames == tuple(range(6, 22, 3)) and tube.scores == (4, 4, 4, 5, 4, 4)
    # two cells wide, 32 pixels of the video, around the cell's center at 2 x (4 + 8 t)
    assert tube.boxes == tuple((16.0 * t - 8, 40.0, 16.0 * t + 24, 72.0) for t in range(2, 8))
    assert tube.as_list()[0] == {'frame': 6, 'box': [24, 40, 56, 72], 'score': 4}


def test_boxes_between_moments_lie_between_theirs():
    tube = Tube((10, 14), ((0, 0, 8, 8), (4, 2, 12, 10)), (1.0, 1.0))
    assert tube.box_at(11) == (1, 0.5, 9, 8.5) and tube.box_at(3) == (0, 0, 8, 8) and tube.box_at(99) == (4, 2, 12, 10)


@pytest.mark.parametrize('value', [0, 7])
def test_a_map_without_a_peak_has_a_tube_of_one_moment(value):
    tube = follow(np.arange(4), np.full((4, 8, 10), value, np.float32), PLACE, (2, 0, 0))
    assert tube.frames == (2,) and tube.scores == (value,)


def test_a_tube_ends_where_the_response_falls_below_half_its_height():
    maps = np.zeros((7, 8, 10), np.float32)
    maps[:, 4, 4] = [9, 4.9, 5.1, 10, 6, 4.9, 9]
    assert follow(np.arange(7), maps, PLACE, (3, 4, 4)).frames == (2, 3, 4)
    assert follow(np.arange(7), maps - 20, PLACE, (3, 4, 4)).frames == (2, 3, 4)  # whatever the filter's bias


def test_highest_places_first():
    maps = np.zeros((5, 5))
    maps[0, 0], maps[4, 4], maps[2, 2], maps[2, 3] = 3, 5, 4, 3.9
    assert highest(maps, 3) == [(4, 4), (2, 2), (0, 0)]


def test_the_tube_of_a_moving_light_covers_it_in_every_frame(light):
    """A square moves to the right by 2 pixels a frame, lit from frame 5 to 24, in a film longer than a clip."""
    frames = np.full((30, 48, 96, 3), 10, np.uint8)
    for t in range(5, 25):
        frames[t, 20:28, 10 + 2 * t : 18 + 2 * t] = 200 + t
    found = examine(light(), ArrayReader('moving.mp4', frames, 10.0), filters=[0])
    tube = found.tubes[0]
    assert tube.frames == tuple(range(5, 25)) and found.peaks[0].box in tube.boxes
    for frame, box in zip(tube.frames, tube.boxes):
        assert box[0] <= 10 + 2 * frame and box[2] >= 18 + 2 * frame and box[1] <= 20 and box[3] >= 28
