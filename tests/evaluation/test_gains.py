import csv
import dataclasses

import numpy as np
import pytest

from gluon_fg.errors import UserError
from gluon_fg.evaluation.gains import (
    class_note,
    extremes,
    format_gains,
    gains,
    gains_as_dict,
    markdown_gains,
    most_mixed,
    pair_note,
    parse_pair,
    write_gains,
)
from gluon_fg.evaluation.score import Scores
from gluon_fg.evaluation.statistics import gain_interval, mcnemar

CLASSES = ('breast stroke', 'butterfly stroke', 'welding', 'bending metal', 'yawning', 'never seen')
GROUPS = ('swim', 'swim', 'metal', 'metal', 'face', 'face')
LABELS = [0] * 4 + [1] * 4 + [2] * 2 + [3] * 2 + [4] * 5 + [-1]


def scores(predictions, **changes):
    """Scores whose fused prediction is `predictions`, a second branch always saying class 4."""
    p = np.full((len(LABELS), 2, len(CLASSES)), 0.05, np.float32)
    p[np.arange(len(LABELS)), 0, predictions] = 0.75
    p[:, 1, 4] = 0.75
    ids = tuple(f'v{i}' for i in range(len(LABELS)))
    made = Scores(
        ids, np.array(LABELS), p, ('fused', 'other'), CLASSES, GROUPS, 'train_time', {}, model='net', dataset='set'
    )
    return dataclasses.replace(made, **changes)


# by class        0           1           2       3       4              without a label
A = scores([1, 1, 1, 0] + [0, 1, 1, 4] + [3, 2] + [3, 3] + [4, 4, 4, 4, 4] + [0])
B = scores([0, 0, 1, 1] + [0, 1, 1, 1] + [2, 2] + [3, 2] + [4, 4, 0, 0, 2] + [4])


def test_hand_made_gains():
    found = gains(A, B)
    by_name = {row.name: row for row in found.classes}
    assert [row.name for row in found.classes] == [
        'welding', 'breast stroke', 'butterfly stroke', 'bending metal', 'yawning',
    ]  # fmt: skip
    counts = {name: (r.videos, r.right_a, r.right_b, r.only_a, r.only_b) for name, r in by_name.items()}
    assert counts == {
        'breast stroke': (4, 1, 2, 1, 2),
        'butterfly stroke': (4, 2, 3, 0, 1),
        'welding': (2, 1, 2, 0, 1),
        'bending metal': (2, 2, 1, 1, 0),
        'yawning': (5, 5, 2, 3, 0),
    }
    gain = {name: row.gain for name, row in by_name.items()}
    assert gain == {
        'breast stroke': 1 / 4,
        'butterfly stroke': 1 / 4,
        'welding': 1 / 2,
        'bending metal': -1 / 2,
        'yawning': -3 / 5,
    }
    assert by_name['breast stroke'].group == 'swim' and by_name['breast stroke'].b - by_name['breast stroke'].a == 0.25
    for row in found.classes:
        assert row.p_value == mcnemar(row.only_a, row.only_b) <= row.p_holm
        assert (row.low, row.high) == gain_interval(row.only_a, row.only_b, row.videos)
    assert found.without == ['never seen']


def test_the_two_ends():
    up, down = extremes(gains(A, B).classes, 2)
    assert [row.name for row in up] == ['welding', 'breast stroke']
    assert [row.name for row in down] == ['yawning', 'bending metal']
    assert extremes(gains(A, A).classes, 5) == ([], [])


def test_pairs_are_those_that_the_reference_mixes_up():
    found = gains(A, B, pairs=3)
    assert found.chosen_by_a and "A's errors" in pair_note(found)
    swim, once, metal = found.pairs
    assert (once.first, once.second, once.mixed_a, once.mixed_b) == ('butterfly stroke', 'yawning', 1, 0)
    assert (swim.first, swim.second, swim.mixed_a, swim.mixed_b) == ('breast stroke', 'butterfly stroke', 4, 3)
    assert (swim.gain_first, swim.gain_second, swim.videos, swim.gain) == (1 / 4, 1 / 4, 8, 2 / 8)
    assert (swim.low, swim.high) == gain_interval(1, 3, 8) and swim.p_value == mcnemar(1, 3)
    assert (metal.first, metal.second, metal.mixed_a, metal.mixed_b) == ('welding', 'bending metal', 1, 1)
    assert (metal.gain_first, metal.gain_second, metal.gain) == (1 / 2, -1 / 2, 0)
    assert most_mixed(np.diag([3, 4]), 5) == [] and most_mixed(np.array([[0, 1], [1, 0]]), 0) == []
    assert most_mixed(np.array([[0, 1, 0], [1, 0, 0], [3, 0, 0]]), 5) == [(0, 2), (0, 1)]


def test_named_pairs_keep_their_order():
    found = gains(A, B, similar=[('yawning', 'welding')])
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.mixed_a, pair.mixed_b) == ('yawning', 'welding', 0, 1)
    assert (pair.gain_first, pair.gain_second, pair.gain) == (-3 / 5, 1 / 2, -2 / 7)
    assert not found.chosen_by_a and pair_note(found) == 'Pairs as named.'


def test_order_of_videos_and_branch():
    order = np.random.default_rng(0).permutation(len(LABELS))
    shuffled = dataclasses.replace(
        B, ids=tuple(B.ids[i] for i in order), labels=B.labels[order], probabilities=B.probabilities[order]
    )
    assert gains(A, shuffled) == gains(A, B)
    assert {row.name: row.right_b for row in gains(A, B, branch_b='other').classes}['yawning'] == 5


def test_text_markdown_and_csv_hold_the_numbers(tmp_path):
    found = gains(A, B)
    text = format_gains(found, 5)
    note = 'A class has 2 to 5 videos, which is few: one video is 20.0 points and more. '
    assert (
        'p < 0.05: 0 of 5, where chance alone would give at most 0.2; after correction for 5 tests (Holm): 0.' in text
    )
    assert note in text and note in class_note(found) and 'Without a video: never seen.' in text
    row = next(line for line in text.splitlines() if line.startswith('yawning'))
    assert row.split()[:5] == ['yawning', '5', '5', '2', '-60.0'] and row.split()[-2:] == ['0.25', '1']
    pair = next(line for line in text.splitlines() if line.startswith('breast stroke / butterfly stroke'))
    assert '+25.0 / +25.0' in pair
    assert 'pair of classes' not in format_gains(found, 5, similar=False) and 'gain most' not in format_gains(found)
    assert 'no class gains or loses a video' in format_gains(gains(A, A), 5)
    page = markdown_gains(found, 1, ('base', 'ours'))
    assert '| yawning | 5 | 5 | 2 | -60.0 |' in page and 'bending metal | 2 |' not in page and 'B = ours' in page
    write_gains(found, tmp_path / 'gains.csv')
    with open(tmp_path / 'gains.csv', newline='') as stream:
        rows = list(csv.DictReader(stream))
    assert [r['name'] for r in rows] == [r.name for r in found.classes]
    assert float(rows[-1]['gain']) == -0.6 and float(rows[-1]['low']) == found.classes[-1].low
    assert gains_as_dict(found)['pairs'][0]['mixed_a'] == 4


def test_pairs_as_a_user_writes_them():
    assert parse_pair('welding / bending metal', CLASSES) == ('welding', 'bending metal')
    assert parse_pair('a/b/c', ('a', 'b/c', 'd')) == ('a', 'b/c')
    with pytest.raises(UserError, match="unknown class 'weldin'; did you mean 'welding'"):
        parse_pair('weldin/yawning', CLASSES)
    with pytest.raises(UserError, match="unknown class 'yawn'; did you mean 'yawning'"):
        parse_pair('welding/yawn', CLASSES)
    with pytest.raises(UserError, match="pair 'welding': write it as"):
        parse_pair('welding', CLASSES)


@pytest.mark.parametrize(
    'similar, message',
    [
        ([('welding', 'weldin')], "unknown class 'weldin'; did you mean 'welding'"),
        ([('welding', 'welding')], "pair of 'welding' with itself"),
        ([('never seen', 'welding')], "'never seen' has no video"),
    ],
)
def test_pairs_without_a_gain(similar, message):
    with pytest.raises(UserError, match=message):
        gains(A, B, similar=similar)


def test_scores_that_do_not_belong_together():
    with pytest.raises(UserError, match='not of the same videos: 18 only in base, first v0; 18 only in ours, first w0'):
        gains(A, dataclasses.replace(B, ids=tuple(f'w{i}' for i in range(18))), names=('base', 'ours'))
    unknown = dataclasses.replace(A, labels=np.full(18, -1))
    with pytest.raises(UserError, match='no video of A has a label'):
        gains(unknown, unknown)
