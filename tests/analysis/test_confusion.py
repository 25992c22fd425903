"""Confusion inside groups against a count by hand; the picture exists and refuses what cannot be compared."""

import cv2
import numpy as np
import pytest

from gluon_fg.analysis.confusion import group_matrices, plot_confusion
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
    with pytest.raises(UserError, match='no groups'):
        group_matrices(scores(BASELINE, groups=None))


@pytest.mark.parametrize('groups', [None, ['arm']])
def test_picture(tmp_path, groups):
    plot_confusion(scores(BASELINE, model='base'), scores(OURS, model='ours'), tmp_path / 'c.png', groups=groups)
    image = cv2.imread(str(tmp_path / 'c.png'))
    assert image is not None and min(image.shape[:2]) > 150 and len(np.unique(image)) > 20
    assert [p.name for p in tmp_path.iterdir()] == ['c.png']


def test_what_cannot_be_compared(tmp_path):
    with pytest.raises(UserError, match='not of the same videos'):
        plot_confusion(
            scores(BASELINE),
            scores(BASELINE, ids=['other.mp4', *[f'{i}.mp4' for i in range(1, 9)]]),
            tmp_path / 'c.png',
        )
    with pytest.raises(UserError, match="unknown group 'am'; did you mean 'arm'"):
        plot_confusion(scores(BASELINE), scores(OURS), tmp_path / 'c.png', groups=['am'])
    assert not list(tmp_path.iterdir())
