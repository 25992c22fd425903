"""Confusion inside groups against a count by hand."""

import numpy as np

from gluon_fg.analysis.confusion import group_matrices
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


def of_many(predicted, labels, classes=100):
    """Scores of so many classes without groups."""
    names = tuple(f'class {i}' for i in range(classes))
    p = np.eye(classes, dtype=np.float32)[predicted][:, None]
    ids = tuple(str(i) for i in range(len(labels)))
    return Scores(ids, np.array(labels), p, ('comb',), names, None, 'train_time', {}, 'net', 'toy')


def test_of_many_classes_those_with_the_most_mistakes():
    """Of own classes by the hundred; the second model is shown by the classes that the first one mixes up."""
    labels = np.arange(100)
    predicted = labels.copy()
    predicted[40:70] = np.roll(np.arange(40, 70), 1)
    first, second = of_many(predicted, labels), of_many(labels, labels)
    ((title, (names, counts)),) = group_matrices(first).items()
    assert title == 'the 30 classes with the most mistakes' and names == [f'class {i}' for i in range(40, 70)]
    np.testing.assert_array_equal(counts, np.roll(np.eye(30), -1, axis=1))
    ((_, (same, right)),) = group_matrices(second, first).items()
    assert same == names and (right == np.eye(30)).all()
