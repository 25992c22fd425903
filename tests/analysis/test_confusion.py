"""Confusion inside groups against a count by hand."""

import numpy as np
import pytest

from gluon_fg.analysis.confusion import group_matrices
from gluon_fg.errors import UserError
from gluon_fg.evaluation.score import Scores

CLASSES, GROUPS = (
    ('disc: plus', 'arm opens', 'disc: cross', 'arm closes', 'disc: ring'),
    ('disc', 'arm', 'disc', 'arm', 'disc'),
)


def scores(predicted, labels=(0, 0, 2, 2, 4, 1, 1, 3, -1), model='net', ids=None, groups=GROUPS):
    probabilities = np.full((len(predicted), 1, len(CLASSES)), 0.1, np.float32)
    probabilities[np.arange(len(predicted)), 0, predicted] = 0.6
    return Scores(
        ids=tuple(ids or [f'{i}.mp4' for i in range(len(predicted))]),
        labels=np.array(labels, np.int64),
        probabilities=probabilities,
        branch_names=('comb',),
        classes=CLASSES,
        groups=groups,
        protocol='train_time',
        failed={},
        model=model,
        dataset='toy',
    )


BASELINE = [2, 2, 2, 0, 1, 3, 1, 1, 0]
OURS = [0, 2, 2, 2, 4, 1, 1, 1, 0]


def test_matrices_hold_what_stays_in_the_group():
    matrices = group_matrices(scores(BASELINE))
    assert list(matrices) == ['disc', 'arm']
    names, counts = matrices['disc']
    assert names == ['disc: plus', 'disc: cross', 'disc: ring']
    np.testing.assert_array_equal(counts, [[0, 2, 0], [1, 1, 0], [0, 0, 0]])  # the ring went to the other group
    np.testing.assert_array_equal(matrices['arm'][1], [[1, 1], [1, 0]])


def test_classes_without_groups_are_one():
    (name,) = matrices = group_matrices(scores(BASELINE, groups=None))
    names, counts = matrices[name]
    assert name == 'all classes' and tuple(names) == CLASSES and counts.sum() == 8
    many = tuple(f'class {i}' for i in range(61))
    p = np.zeros((1, 1, 61), np.float32)
    with pytest.raises(UserError, match='no groups, and 61 in one matrix are more than can be read'):
        group_matrices(Scores(('0',), np.array([0]), p, ('comb',), many, None, 'train_time', {}, 'net', 'toy'))
