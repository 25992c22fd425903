"""Groups made by clustering: the rule for their number, what classes are alike, and what groups are called."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg.analysis import class_clusters as cc
from gluon_fg.errors import UserError
from gluon_fg.evaluation.score import Scores


def distances(seed, count):
    points = np.random.default_rng(seed).normal(size=(count, 3))
    return np.linalg.norm(points[:, None] - points, axis=2)


@settings(max_examples=15, deadline=None)
@given(st.integers(3, 9), st.integers(0, 99))
def test_the_number_of_groups_has_the_highest_silhouette(count, seed):
    apart = distances(seed, count)
    each = {k: cc.cluster(apart, [str(i) for i in range(count)], k) for k in range(1, count + 1)}
    for k, made in each.items():
        assert len(made.names) == k and sorted(made.order) == list(range(count))
        widths = []
        for i, label in enumerate(made.labels):  # as in Rousseeuw 1987, eq. 2 to 5
            means = {g: apart[i, (made.labels == g) & (np.arange(count) != i)].mean() for g in set(made.labels)
                     if ((made.labels == g) & (np.arange(count) != i)).any()}  # fmt: skip
            own, others = means.pop(label, None), list(means.values())
            alone = own is None or not others
            widths.append(0 if alone else (min(others) - own) / max(min(others), own))
        assert made.silhouette == pytest.approx(np.mean(widths) if 1 < k < count else 0)
    rule = cc.cluster(apart, [str(i) for i in range(count)])
    best = max(each.values(), key=lambda made: made.silhouette)
    assert rule.silhouette == rule.highest == pytest.approx(best.silhouette) and rule.best == len(rule.names)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.integers(2, 30))
def test_planted_groups_are_recovered_in_any_order(seed, groups):
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(groups), 3))  # modularity would join small ones, where there are many
    apart = np.where(truth[:, None] == truth, 1, 5) * rng.uniform(0.9, 1.1, (3 * groups, 3 * groups))
    apart = apart + apart.T
    np.fill_diagonal(apart, 0)
    made = cc.cluster(apart, [f'class {i}' for i in range(3 * groups)])
    assert ((made.labels[:, None] == made.labels) == (truth[:, None] == truth)).all() and made.silhouette > 0.7
    assert list(dict.fromkeys(made.labels)) == list(range(groups))  # numbered as they first appear
    assert (np.diff(made.labels[made.order]) != 0).sum() == groups - 1  # the order keeps groups together


def scores_of(p, labels, **more):
    p = np.asarray(p, np.float32)
    ids, classes = tuple(map(str, range(len(p)))), tuple(f'c{i}' for i in range(p.shape[1]))
    return Scores(ids, np.asarray(labels), p[:, None], ('fused',), classes, None, '1x1', {}, **more)


def test_what_is_confused():
    rng = np.random.default_rng(0)
    p, labels = rng.dirichlet([1] * 4, 30), rng.integers(-1, 3, 30)  # some unlabeled, none of class 3
    alike = np.exp(-cc.confusion_distances(scores_of(p, labels)))
    given_ = [[p[labels == i, j].mean() if (labels == i).any() else None for j in range(4)] for i in range(4)]
    for i in range(4):
        for j in range(4):
            both = [v for v in (given_[i][j], given_[j][i]) if v is not None]
            assert alike[i, j] == pytest.approx(1 if i == j else np.mean(both), rel=1e-5)


def test_what_is_confused_of_several_labels():
    targets = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]], bool)
    p = [[0.9, 0.8, 0.3], [0.7, 0.5, 0.1], [0.2, 0.0, 0.6]]
    alike = np.exp(-cc.confusion_distances(scores_of(p, targets.argmax(1), targets=targets)))
    # a video that shows both classes gives neither anything: class 0 gives 1 (0 + .5) / 2, class 1 gives 0 nothing
    assert alike[0, 1] == pytest.approx((0.25 + 0) / 2)
    assert alike[0, 2] == pytest.approx(((0.3 + 0.1) / 2 + 0.2) / 2)
    with pytest.raises(UserError, match='no video of these scores has a label'):
        cc.confusion_distances(scores_of(np.ones((2, 3)) / 3, [-1, -1]))


def test_what_has_like_features():
    values = np.array([[2.0, 0, 5], [4, 0, 5], [3, 0.3, 5], [-3, 3, 5], [-3, -3.3, 5]])
    apart = cc.feature_distances(values, np.array([0, 0, 1, 2, 4]), 5)  # class 3 has no video
    means = np.array([[3, 0, 5], [3, 0.3, 5], [-3, 3, 5], [-3, -3.3, 5]])
    means = means - means.mean(0)
    cosine = means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1])
    assert apart[0, 1] == pytest.approx(1 - cosine) and apart[0, 2] > 1 and (apart == apart.T).all()
    assert apart[3].tolist() == [1, 1, 1, 0, 1]


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
    apart = np.ones((len(classes), len(classes)))
    start = 0
    for group in groups:
        apart[start : start + len(group), start : start + len(group)] = 0.1
        start += len(group)
    np.fill_diagonal(apart, 0)
    made = cc.cluster(apart, classes, number=len(groups))
    assert list(made.names) == names and len(set(made.names)) == len(made.names)
    assert made.groups == tuple(name for name, group in zip(names, groups) for _ in group)


@pytest.mark.parametrize(
    'count, number, said',
    [
        (4, None, 'these 4 classes are all equally far apart'),
        (2, None, 'these 2 classes are all equally far apart'),
        (4, 5, '5 groups of 4 classes; choose 1 to 4'),
        (1, None, '1 class cannot be put into groups'),
    ],
)
def test_no_groups_is_told_in_a_line(count, number, said):
    with pytest.raises(UserError, match=said):
        cc.cluster(1 - np.eye(count), [str(i) for i in range(count)], number)
