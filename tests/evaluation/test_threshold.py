"""'None of these': a threshold chosen on known videos, and what it does to them and to others."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gluon_fg.errors import UserError
from gluon_fg.evaluation.score import Scores
from gluon_fg.evaluation.threshold import (
    FILE,
    NONE,
    Threshold,
    choose_threshold,
    describe_refusals,
    load_threshold,
    ranked,
    refusals,
)


def scores_of(likeliest, labels, predicted=None, targets=None, classes=4):
    """Scores whose likeliest class is `predicted` (0) with these probabilities; the rest is shared evenly."""
    likeliest, labels = np.asarray(likeliest, np.float32), np.asarray(labels)
    p = np.repeat((1 - likeliest)[:, None] / classes / 2, classes, axis=1)
    p[np.arange(len(p)), np.zeros(len(p), int) if predicted is None else predicted] = likeliest
    ids, names = tuple(map(str, range(len(p)))), tuple('abcdefgh'[:classes])
    return Scores(ids, labels, p[:, None], ('avg',), names, None, '5x1', {}, 'net', 'own val', targets=targets)


@given(
    st.integers(1, 60).flatmap(
        lambda n: arrays(np.float32, n, elements=st.sampled_from([0.25, 0.5, 0.75, 1.0]) | st.floats(0.25, 1, width=32))
    ),
    st.floats(0, 0.99),
)
def test_no_more_than_the_share_is_refused_and_the_next_threshold_would(likeliest, share):
    scores = scores_of(likeliest, np.zeros(len(likeliest), int))
    threshold = choose_threshold(scores, share).value
    p = scores.branch().max(axis=1)
    assert (p < threshold).sum() <= share * len(p) + 1e-6
    higher = p[p > threshold]
    if len(higher):  # the largest that keeps to the share
        assert (p < higher.min()).sum() > share * len(p) - 1e-6


def test_a_threshold_by_hand():
    scores = scores_of([0.9, 0.8, 0.7, 0.6, 0.99, 0.3], [0, 0, 0, 0, 0, -1])
    assert choose_threshold(scores, 0.0).value == pytest.approx(0.6)  # the unlabeled one is no known video
    assert choose_threshold(scores, 0.2).value == pytest.approx(0.7)
    assert choose_threshold(scores, 0.39).value == pytest.approx(0.7)
    assert choose_threshold(scores, 0.4).value == pytest.approx(0.8)
    assert refusals(scores, choose_threshold(scores, 0.2).value)['coverage'] == 0.8  # as likely as that is answered
    assert choose_threshold(scores, 0.2) == Threshold(pytest.approx(0.7), 0.2, 5, 'own val', '5x1')


@pytest.mark.parametrize('share', [-0.1, 1.0, 1.5, float('nan')])
def test_an_impossible_share_is_refused(share):
    with pytest.raises(UserError, match='0 or more and below 1'):
        choose_threshold(scores_of([0.9], [0]), share)


def test_without_labels_there_is_nothing_to_choose_by():
    with pytest.raises(UserError, match='own val: no video has a label'):
        choose_threshold(scores_of([0.9], [-1]), 0.1)


def test_coverage_accuracy_and_false_accepts_by_hand():
    """Four known videos, three answered, two of these right; of three strangers one answered, of two more none."""
    scores = scores_of([0.9, 0.8, 0.7, 0.4, 0.95, 0.3, 0.2], [0, 1, 2, 0, -1, -1, -1], predicted=[0, 1, 0, 0, 0, 0, 0])
    values = refusals(scores, 0.7 - 1e-6)
    assert values == {
        'threshold': 0.7 - 1e-6,
        'coverage': 0.75,
        'answered': 3,
        'answered_top1': pytest.approx(2 / 3),
        'strangers': 3,
        'false_accepts': pytest.approx(1 / 3),
    }
    assert refusals(scores, 0.7 - 1e-6, scores_of([0.5, 0.6], [0, 1]))['false_accepts'] == pytest.approx(1 / 5)
    assert '75.0 % of the videos of a known class are answered, 66.7 % of these right' in describe_refusals(values)
    assert '33.3 % of 3 videos of none of the classes' in describe_refusals(values)
    assert json.loads(json.dumps(values)) == values
    none = refusals(scores_of([0.2], [0]), 0.5)
    assert (none['coverage'], none['answered_top1'], none['false_accepts']) == (0.0, None, None)


def test_of_several_labels_an_answer_is_right_where_the_video_shows_it():
    targets = np.array([[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]], bool)
    values = refusals(scores_of([0.9, 0.9, 0.9], [1, -1, 0], predicted=[2, 2, 2], targets=targets), 0.5)
    assert values['answered_top1'] == 0.5 and values['strangers'] == 1 and values['false_accepts'] == 1.0


def test_the_answer_below_the_threshold_is_none_of_these():
    p, names = np.array([0.2, 0.5, 0.25, 0.05]), ('a', 'b', 'c', 'd')
    assert ranked(names, p, 2) == [('b', 0.5), ('c', 0.25)]
    assert ranked(names, p, 2, 0.5) == [('b', 0.5), ('c', 0.25)]  # as likely as it has to be
    assert ranked(names, p, 2, 0.51) == [(NONE, 0.5), ('b', 0.5), ('c', 0.25)]
    assert ranked(names, np.array([0.25] * 4), 2) == [('a', 0.25), ('b', 0.25)]  # ties: the lower number


def test_a_run_keeps_its_threshold(tmp_path):
    assert load_threshold(tmp_path) is None
    threshold = Threshold(0.4375, 0.05, 120, 'own val', '5x1')
    threshold.save(tmp_path)
    assert load_threshold(tmp_path) == threshold


@pytest.mark.parametrize(
    'text', ['', '{', '[1]', '{"value": 0.5}', '{"value": 2, "refused": 0, "videos": 1, "dataset": "", "protocol": ""}']
)
def test_a_damaged_file_is_named(text, tmp_path):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UserError, match=f'{FILE} is damaged'):
        load_threshold(tmp_path)
