"""Every threshold of similarity, against the selection of a network that was built with it."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg.analysis.clips import one_clip, read_clips
from gluon_fg.analysis.relation import mask_examples, order_of, partners, relation_of
from gluon_fg.analysis.similarity import ClassSimilarity, Similarity
from gluon_fg.data import build_dataset
from gluon_fg.errors import UserError
from gluon_fg.evaluation.score import Scores
from gluon_fg.factory import get_model
from gluon_fg.nn.class_similarity import cuts
from gluon_fg.recognizers.u2s.csm import binary_csm, threshold

U2S = 'topheavy_tiny_synthfg_u2s'


def similarities(classes, steps, rng):
    """A symmetric matrix with ones on its diagonal and at most so many other values, one of them 0."""
    s = np.triu(rng.integers(0, steps, (classes, classes)) / steps, 1)
    s[0, 1] = 0
    return s + s.T + np.eye(classes)


def similar_to(net, s, kind='universal'):
    return ClassSimilarity(U2S, 'nothing', tuple(net.classes), net.labels.groups, (Similarity(kind, None, s),))


@pytest.fixture(scope='module')
def net():
    return get_model(U2S)


def binary(s, alpha):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of all pairs, and of none
        return binary_csm(s, alpha)


@settings(max_examples=60, deadline=None)
@given(classes=st.integers(1, 9), steps=st.sampled_from([1, 2, 5, 1000]), seed=st.integers(0, 999))
def test_cuts_are_all_that_thresholds_can_do(classes, steps, seed):
    s = similarities(classes, steps, np.random.default_rng(seed)) if classes > 1 else np.ones((1, 1))
    every = cuts(s)
    by_hand = {binary(s, alpha).tobytes() for alpha in [2, *np.unique(s)]}
    taken = [binary(s, alpha) for alpha in every.alphas]
    assert {matrix.tobytes() for matrix in taken} == by_hand and len(taken) == len(by_hand)
    for cut, matrix in enumerate(taken):
        np.testing.assert_array_equal(matrix, every.entry <= cut)
        assert every.averages[cut] == pytest.approx(matrix.sum() / classes)


def test_every_stop_is_what_the_network_selects(net):
    s = similarities(24, 7, np.random.default_rng(0))
    related = relation_of(similar_to(net, s), net)
    (kind,), before = related.kinds, net.class_relation.matrix
    np.testing.assert_allclose(kind.s, s, atol=1e-12)
    assert len(kind.cuts.alphas) == 8
    for cut, (alpha, n) in enumerate(zip(kind.cuts.alphas, kind.cuts.averages)):
        matrix = binary(kind.s, alpha)
        net.set_csm(matrix)
        selected = [sorted(partners(kind, cut, i)) for i in range(24)]
        assert selected == [net.selected_classes(i) for i in range(24)]
        assert n == pytest.approx(1 + np.mean([len(of_class) for of_class in selected]))
        assert threshold(kind.s, n) == pytest.approx((alpha, n))
        assert relation_of(similar_to(net, s), net).kinds[0][3:] == (cut, 0)  # its own cut, no pair apart
    matrix = binary(kind.s, kind.cuts.alphas[2])
    wrong = np.flatnonzero(np.triu(matrix, 1))[0]  # a pair less
    matrix[wrong // 24, wrong % 24] = matrix[wrong % 24, wrong // 24] = 0
    net.set_csm(matrix)
    assert relation_of(similar_to(net, s), net).kinds[0][3:] == (2, 1)
    net.set_csm(before)


def test_classes_without_videos_are_similar_to_none(net):
    s = similarities(24, 7, np.random.default_rng(1))
    s[3], s[:, 3] = np.nan, np.nan
    (kind,) = relation_of(similar_to(net, s)).kinds
    last = len(kind.cuts.alphas) - 1
    assert kind.s[3].tolist() == [float(i == 3) for i in range(24)] and kind.own is None
    assert partners(kind, last - 1, 3) == [] and len(partners(kind, last, 3)) == 23


def test_order_is_of_groups_else_of_clusters():
    assert order_of(np.eye(5), ['b', 'a', 'b', 'c', 'a']).tolist() == [0, 2, 1, 4, 3]
    s = np.full((6, 6), 0.1)
    for members in ((0, 3), (1, 4, 5)):
        s[np.ix_(members, members)] = 0.9
    np.fill_diagonal(s, 1)
    order = order_of(s, None).tolist()
    assert sorted(order) == list(range(6))
    assert abs(order.index(0) - order.index(3)) == 1 and np.ptp([order.index(i) for i in (1, 4, 5)]) == 2


def test_masks_of_a_clip_average_to_the_networks_own(net, tiny_synthfg):
    dataset = build_dataset('synthfg', 'test', root=tiny_synthfg)
    s = similarities(24, 7, np.random.default_rng(2))
    net.set_csm(binary(s, cuts(s).alphas[3]))
    (example,) = mask_examples(net, dataset, s, values=1)  # the budget leaves the first
    likest = int(np.max(s - np.eye(24), axis=1).argmax())
    assert example.label == likest and dataset.records[likest].name == example.name
    with dataset.open(likest) as reader:
        (batch,) = read_clips(reader, net.input_spec, [one_clip(net, reader)])
        np.testing.assert_array_equal(example.pictures, reader.get_batch(example.frames))
    features, logits = net.universal(batch.x)
    mask, _ = net.branches.masks(features, logits)
    assert example.predicted == int(logits.asnumpy().argmax())
    selected = [example.predicted, *net.selected_classes(example.predicted)]
    assert len(selected) > 2
    np.testing.assert_allclose(example.masks[selected].mean(axis=0), mask.asnumpy()[0, 0], atol=1e-5)
    net.set_csm(np.eye(24))


def test_other_classes_are_refused(net):
    s = similarities(24, 7, np.random.default_rng(3))
    other = similar_to(net, s)._replace(classes=tuple('abcdefghijklmnopqrstuvwx'))
    with pytest.raises(UserError, match=f'other classes than those of {net.name}'):
        relation_of(other, net)
    ids, p = ('v',), np.full((1, 1, 24), 1 / 24, np.float32)
    scores = Scores(ids, np.zeros(1, int), p, ('all',), tuple(net.classes), None, 'p', {}, 'm')
    with pytest.raises(UserError, match='the scores of m are of other classes'):
        relation_of(other, scores=scores)
    with pytest.raises(UserError, match='one class only'):
        relation_of(ClassSimilarity('m', 's', ('a',), None, (Similarity('k', None, np.ones((1, 1))),)))
