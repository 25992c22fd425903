import dataclasses

import numpy as np
import pytest

from gluon_fg.errors import UserError
from gluon_fg.evaluation.compare import as_dict, check_same_videos, compare, describe, format_comparison, paired
from gluon_fg.evaluation.score import Scores
from gluon_fg.evaluation.statistics import mcnemar


def scores(predictions, labels, groups=('x', 'x', 'y'), ids=None, **changes):
    """Scores whose fused prediction is `predictions`, a second branch always saying class 0."""
    p = np.full((len(labels), 2, 3), 0.1, np.float32)
    p[np.arange(len(labels)), 0, predictions] = 0.8
    p[:, 1, 0] = 0.8
    made = Scores(
        tuple(ids or (f'v{i}' for i in range(len(labels)))),
        np.array(labels),
        p,
        ('fused', 'first'),
        ('wax legs', 'wax back', 'swim'),
        groups,
        'train_time',
        {},
        'net',
        'set',
    )
    return dataclasses.replace(made, **changes)


LABELS = [0, 0, 0, 1, 1, 1, 2, 2]
A = scores([1, 1, 0, 1, 0, 2, 2, 2], LABELS)
B = scores([0, 0, 0, 1, 1, 2, 2, 0], LABELS)


def test_hand_made_comparison():
    result = compare(A, B)
    top1, top5, within = result.metrics
    assert (top1.a, top1.b, top1.difference) == (4 / 8, 6 / 8, 2 / 8)
    assert (top1.only_a, top1.only_b, top1.p_value) == (1, 3, mcnemar(1, 3))
    assert top1.low <= top1.difference <= top1.high
    assert (top5.difference, top5.p_value) == (0, 1)
    assert (within.metric, within.only_a, within.only_b) == ('within_group', 0, 3)
    # groups: mean of the classes' accuracies (DFB sec. 5.2): x from (1/3 + 1/3)/2 to (3/3 + 2/3)/2, y from 1 to 1/2
    gains = {g['name']: g['gain'] for g in result.groups}
    assert gains['x'] == pytest.approx(1 / 2) and gains['y'] == pytest.approx(-1 / 2)
    assert [g['name'] for g in result.groups] == ['x', 'y']
    assert result.pairs[0] == {'true': 'wax legs', 'predicted': 'wax back', 'a': 2, 'b': 0}
    assert {'true': 'swim', 'predicted': 'wax legs', 'a': 0, 'b': 1} in result.pairs
    text = format_comparison(result, ('base', 'ours'))
    assert '+25.0' in text and 'wax legs' in text and 'A = base' in text
    assert as_dict(result)['metrics']['top1']['only_b'] == 3


def test_groups_may_overlap():
    """A class of two groups counts in both; videos of other classes are in neither."""
    members = {'wax': {0, 1}, 'back and swim': {1, 2}, 'swim': {2}}
    rows = {row['name']: row for row in compare(A, B, members=members).groups}
    assert list(rows) == ['wax', 'back and swim', 'swim']  # the largest gain first
    assert rows['wax']['videos'] == 6 and rows['wax']['gain'] == pytest.approx(1 / 2)
    both = rows['back and swim']
    assert both['videos'] == 5 and both['a'] == pytest.approx((1 / 3 + 1) / 2)
    assert both['b'] == pytest.approx((2 / 3 + 1 / 2) / 2)
    alone = compare(A, B, members={'x': {0, 1}, 'y': {2}}).groups
    assert alone == compare(A, B).groups  # those of the classes


def test_videos_are_matched_by_name_not_by_place():
    order = np.random.default_rng(0).permutation(8)
    shuffled = dataclasses.replace(
        B, ids=tuple(B.ids[i] for i in order), labels=B.labels[order], probabilities=B.probabilities[order]
    )
    assert compare(A, shuffled) == compare(A, B)
    timed = dataclasses.replace(shuffled, seconds=order.astype(np.float32))
    assert check_same_videos(A, timed, ('A', 'B')).seconds.tolist() == list(range(8))


def test_any_branch_can_be_compared():
    top1 = compare(A, B, branch_b='first').metrics[0]
    assert top1.b == 3 / 8
    with pytest.raises(UserError, match="no branch 'local'.*fused, first"):
        compare(A, B, branch_a='local')


@pytest.mark.parametrize(
    'other, message',
    [
        (
            scores([0] * 8, LABELS, ids=[f'w{i}' for i in range(8)]),
            r'A \(8 videos\).*8 only in A, first v0; 8 only in B, first w0',
        ),
        (scores([0] * 7, LABELS[:7]), r'1 only in A, first v7'),
        (scores([0] * 8, [1] + LABELS[1:]), r'v0 has label 0 in A and 1 in B'),
        (dataclasses.replace(A, classes=('wax legs', 'wax arms', 'swim')), r"number 1 is 'wax back' and 'wax arms'"),
    ],
)
def test_scores_that_do_not_belong_together(other, message):
    with pytest.raises(UserError, match=message):
        compare(A, other)


def test_unlabelled_scores_cannot_be_compared():
    unknown = dataclasses.replace(A, labels=np.full(8, -1))
    with pytest.raises(UserError, match='no video of A has a label'):
        compare(unknown, unknown)


@pytest.mark.parametrize(
    'only_a, only_b, said',
    [
        (0, 0, 'A and B are right on the very same of 40 videos.'),
        (2, 14, 'B is right on 12 more of 40 videos than A: it alone is right on 14, A alone on 2.'),
        (2, 14, 'would come up in 0.42 % of such tests (p = 0.0042 by the exact McNemar test): these weights of B are'),
        (14, 2, 'these weights of A are better'),
        (5, 5, 'on as many videos as A'),
        (4, 6, 'do not show which is better (p = 0.75 by the exact McNemar test): of the 10 videos on which they'),
        (4, 6, 'it would take 9 for one of them.'),
        (1, 4, 'they differ on 5 videos alone, which could not show it however they fell'),
    ],
)
def test_what_a_difference_shows_and_what_it_does_not(only_a, only_b, said):
    right_a = np.arange(40) < only_a
    right_b = np.arange(40) >= 40 - only_b
    assert said in ' '.join(describe(paired('top1', right_a, right_b), 40))
