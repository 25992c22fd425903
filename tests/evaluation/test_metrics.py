import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg.errors import UserError
from gluon_fg.evaluation import metrics
from gluon_fg.evaluation.score import Scores


def scores(probabilities, labels, groups=None, failed=(), branches=1):
    p = np.asarray(probabilities, np.float32)
    p = np.stack([p] * branches, axis=1)
    return Scores(
        tuple(f'v{i}.mp4' for i in range(len(p))),
        np.asarray(labels, np.int64),
        p,
        tuple('ab'[:branches]),
        tuple(f'c{i}' for i in range(p.shape[2])),
        groups,
        'train_time',
        dict.fromkeys(failed, 'broken'),
        'net',
        'set',
    )


HAND = scores(
    [
        [0.5, 0.3, 0.1, 0.1],  # true 0: right
        [0.2, 0.3, 0.4, 0.1],  # true 1: taken for 2; the other group; within the group right
        [0.1, 0.4, 0.2, 0.3],  # true 3: taken for 1; within the group (2, 3) right
        [0.1, 0.2, 0.4, 0.3],  # true 3: taken for 2, the right group
        [0.6, 0.2, 0.1, 0.1],
    ],  # unknown
    [0, 1, 3, 3, -1],
    groups=('x', 'x', 'y', 'y'),
    failed=['w.mp4'],
)


def test_hand_made_numbers():
    s = metrics.summarize(HAND)
    assert (s['listed'], s['scored'], s['failed'], s['labelled']) == (6, 5, 1, 4)
    assert (s['top1'], s['top5'], s['topk']) == (1 / 4, 1.0, 4)
    assert (s['correct'], s['group_correct'], s['group_top1'], s['top1_given_group']) == (1, 2, 2 / 4, 1 / 2)
    assert s['within_group'] == 3 / 4
    assert s['mean_class'] == pytest.approx((1 + 0 + 0) / 3)  # class 2 has no video
    rows = s['per_class']
    assert [row['videos'] for row in rows] == [1, 1, 0, 2] and rows[2]['top1'] is None
    assert (rows[3]['confused_with'], rows[3]['confused']) == ('c1', 1)  # tie with c2: the lower number
    assert [(g['name'], g['videos'], g['top1'], g['within_group']) for g in s['per_group']] == [
        ('x', 2, 0.5, 1.0),
        ('y', 2, 0.0, 0.5),
    ]
    np.testing.assert_array_equal(metrics.confusion(HAND), [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 1, 0]])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 4), st.integers(0, 10**6))
def test_identities_and_numpy_reference(videos, classes, group_count, seed):
    rng = np.random.default_rng(seed)
    p = rng.integers(0, 4, (videos, classes)) / 8.0  # many ties
    labels = rng.integers(0, classes, videos)
    groups = tuple(f'g{i % group_count}' for i in range(classes))
    s = metrics.summarize(scores(p, labels, groups))
    order = np.argsort(-p, axis=1, kind='stable')  # ties: lower number first
    assert s['correct'] == int((order[:, 0] == labels).sum()) == int((p.argmax(1) == labels).sum())
    assert s['top5'] == pytest.approx(np.mean([label in row[:5] for label, row in zip(labels, order)]))
    # the product is exact where it is defined: in counts
    assert s['top1'] == s['correct'] / videos and s['group_top1'] == s['group_correct'] / videos
    if s['group_correct']:
        assert s['top1_given_group'] == s['correct'] / s['group_correct']
    assert s['correct'] <= s['group_correct']
    within = []
    for row, label in zip(p, labels):
        rivals = [c for c in range(classes) if groups[c] == groups[label]]
        within.append(rivals[int(np.argmax(row[rivals]))] == label)
    assert s['within_group'] == pytest.approx(np.mean(within))
    assert s['within_group'] >= s['top1']  # a right answer stays right among fewer
    assert sum(row['videos'] for row in s['per_class']) == videos == metrics.confusion(scores(p, labels)).sum()


def test_tied_probabilities_do_not_favour_the_true_class():
    flat = scores(np.full((4, 4), 0.25), [0, 1, 2, 3])
    assert metrics.summarize(flat)['top1'] == 1 / 4
    assert metrics.true_rank(flat.branch(), flat.labels).tolist() == [0, 1, 2, 3]


def test_without_groups_or_labels():
    s = metrics.summarize(scores([[0.5, 0.5]], [0]))
    assert s['group_top1'] is s['within_group'] is s['per_group'] is None
    assert 'within group' not in metrics.format_table(s)
    unknown = metrics.summarize(scores([[0.5, 0.5]], [-1]))
    assert unknown['top1'] is None and unknown['labelled'] == 0
    assert 'no accuracy' in metrics.format_table(unknown)
    with pytest.raises(UserError, match='no groups'):
        metrics.correct(scores([[0.5, 0.5]], [0]), 'within_group')


def test_table_shows_percent_and_says_that_top5_is_clipped():
    text = metrics.format_table(metrics.summarize(HAND))
    assert 'top1 25.0 % = right group 50.0 % x right class in it 50.0 %' in text
    assert '6 videos listed = 5 scored + 1 failed' in text and 'only 4 classes' in text
    assert metrics.percent(None) == '-' and metrics.percent(0.055, sign=True) == '+5.5'


def test_per_class_csv(tmp_path):
    metrics.write_per_class(HAND, tmp_path / 'per_class.csv')
    with open(tmp_path / 'per_class.csv', newline='') as stream:
        rows = list(csv.DictReader(stream))
    assert [row['name'] for row in rows] == list(HAND.classes)
    assert rows[3]['top1'] == '0.0' and rows[2]['top1'] == '' and rows[1]['confused_with'] == 'c2'
