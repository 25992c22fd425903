"""Groups made by clustering: the rule for their number, what classes are alike, and what groups are called."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from gluon_fg.analysis import class_clusters as cc
from gluon_fg.errors import UserError
from gluon_fg.evaluation.score import Scores


def alike_of(seed, count):
    alike = np.random.default_rng(seed).random((count, count)) ** 4
    alike = alike + alike.T
    np.fill_diagonal(alike, 0)
    return alike


def test_modularity_of_the_barbell_graph():
    # networkx's example: barbell_graph(3, 0), the two bells apart: 0.35714285714285715
    edges = np.zeros((6, 6))
    for i, j in [(0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (3, 5), (4, 5)]:
        edges[i, j] = edges[j, i] = 1
    assert cc.modularity(edges, np.array([0, 0, 0, 1, 1, 1])) == pytest.approx(0.35714285714285715)
    made = cc.cluster(edges, list('abcdef'))
    assert made.labels.tolist() == [0, 0, 0, 1, 1, 1] and made.modularity == pytest.approx(0.35714285714285715)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(0, 99))
def test_modularity_of_every_cut(count, seed):
    alike = alike_of(seed, count)
    apart = alike.max() - alike
    np.fill_diagonal(apart, 0)
    tree = hierarchy.linkage(squareform(apart), 'average')
    each = [cc.modularity(alike, hierarchy.cut_tree(tree, n)[:, 0]) for n in range(1, count + 1)]
    made = cc.cluster(alike, [str(i) for i in range(count)], number=count)
    np.testing.assert_allclose(made.modularities, each, atol=1e-12)
    assert made.best == 1 + np.argmax(each) and sorted(made.order) == list(range(count))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99))
def test_planted_groups_are_recovered_in_any_order(seed):
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat([0, 1, 2, 3], [2, 3, 4, 1]))  # one class is like no other
    alike = np.where(truth[:, None] == truth, 0.2, 0.01) * rng.uniform(0.7, 1.3, (10, 10))
    alike = alike + alike.T
    alike[truth == 3] = alike[:, truth == 3] = 0
    np.fill_diagonal(alike, 0)
    made = cc.cluster(alike, [f'class {i}' for i in range(10)])
    same = made.labels[:, None] == made.labels
    assert (same == (truth[:, None] == truth)).all()
    assert list(dict.fromkeys(made.labels)) == [0, 1, 2, 3]  # numbered as they first appear
    blocks = made.labels[made.order]
    assert (np.diff(blocks) != 0).sum() == 3  # the order keeps groups together


def scores_of(p, labels, **more):
    p = np.asarray(p, np.float32)
    ids, classes = tuple(map(str, range(len(p)))), tuple(f'c{i}' for i in range(p.shape[1]))
    return Scores(ids, np.asarray(labels), p[:, None], ('fused',), classes, None, '1x1', {}, **more)


def test_what_is_confused():
    rng = np.random.default_rng(0)
    p, labels = rng.dirichlet([1] * 4, 30), rng.integers(-1, 3, 30)  # some unlabeled, none of class 3
    alike = cc.confusion_likeness(scores_of(p, labels))
    given_ = [[p[labels == i, j].mean() if (labels == i).any() else None for j in range(4)] for i in range(4)]
    for i in range(4):
        for j in range(4):
            both = [v for v in (given_[i][j], given_[j][i]) if v is not None]
            assert alike[i, j] == pytest.approx(0 if i == j else np.mean(both), rel=1e-5)


def test_what_is_confused_of_several_labels():
    targets = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]], bool)
    p = [[0.9, 0.8, 0.3], [0.7, 0.5, 0.1], [0.2, 0.0, 0.6]]
    alike = cc.confusion_likeness(scores_of(p, targets.argmax(1), targets=targets))
    # a video that shows both classes gives neither anything: class 0 gives 1 (0 + .5) / 2, class 1 gives 0 nothing
    assert alike[0, 1] == pytest.approx((0.25 + 0) / 2)
    assert alike[0, 2] == pytest.approx(((0.3 + 0.1) / 2 + 0.2) / 2)
    with pytest.raises(UserError, match='no video of these scores has a label'):
        cc.confusion_likeness(scores_of(np.ones((2, 3)) / 3, [-1, -1]))


def test_what_has_like_features():
    values = np.array([[2.0, 0, 5], [4, 0, 5], [3, 0.3, 5], [-3, 3, 5], [-3, -3.3, 5]])
    alike = cc.feature_likeness(values, np.array([0, 0, 1, 2, 4]), 5)  # class 3 has no video
    means = np.array([[3, 0, 5], [3, 0.3, 5], [-3, 3, 5], [-3, -3.3, 5]])
    means = means - means.mean(0)
    assert alike[0, 1] == pytest.approx(means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1]))
    assert not alike[3].any() and alike[0, 2] == 0 and (alike == alike.T).all()


@pytest.mark.parametrize(
    'groups, names',
    [
        ([['disc: plus', 'disc: cross'], ['lamp on', 'lamp off']], ['disc', 'lamp']),
        (  # both share a word: by the first
            [['playing chess', 'playing cards'], ['playing flute', 'playing harp', 'playing drums']],
            ['playing chess and playing cards', 'playing flute and 2 more'],
        ),
        ([['open the door', 'close the door'], ['wave']], ['door', 'wave']),
        ([['wave', 'Wave hand'], ['run']], ['wave and Wave hand', 'run']),  # 'wave' is a class
        (
            [['the name of a class that is long', 'some other'], ['x']],
            ['the name of a class that is long and 1 more', 'x'],
        ),
        ([['Opening [something]', 'Closing [something]'], ['x']], ['Opening [something] and 1 more', 'x']),
    ],
)
def test_names(groups, names):
    classes = [name for group in groups for name in group]
    alike = np.zeros((len(classes), len(classes)))
    start = 0
    for group in groups:
        alike[start : start + len(group), start : start + len(group)] = 1
        start += len(group)
    np.fill_diagonal(alike, 0)
    made = cc.cluster(alike, classes, number=len(groups))
    assert list(made.names) == names and len(set(made.names)) == len(made.names)
    assert made.groups == tuple(name for name, group in zip(names, groups) for _ in group)


@pytest.mark.parametrize(
    'alike, number, said',
    [
        (np.zeros((3, 3)), None, 'no two of these classes are alike at all'),
        (1 - np.eye(4), None, 'these classes are all alike'),
        (1 - np.eye(4), 5, '5 groups of 4 classes; choose 1 to 4'),
        (np.zeros((1, 1)), None, '1 class cannot be put into groups'),
    ],
)
def test_no_groups_is_told_in_a_line(alike, number, said):
    with pytest.raises(UserError, match=said):
        cc.cluster(alike, [str(i) for i in range(len(alike))], number)
