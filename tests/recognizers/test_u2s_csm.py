import itertools
import warnings

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg.errors import UserError
from gluon_fg.nn import MaskNetwork
from gluon_fg.nn.class_similarity import ChannelActivity, related_pairs, similarity
from gluon_fg.recognizers.u2s.csm import TrueRanks, binary_csm, threshold


def clips(count, classes, channels, shape=(3, 4, 5), dead=0.5):
    """Features after ReLU with channels that fire by category, and labels of which each occurs."""
    label = np.random.permutation(np.arange(count) % classes)
    rate = np.random.uniform(0, 1 - dead, size=(classes, channels))
    fires = np.random.uniform(size=(count, channels, *shape)) < rate[label].reshape(count, channels, *(1,) * len(shape))
    return (fires * np.random.uniform(0.1, 2, size=fires.shape)).astype('float32'), label


def sparsity_by_hand(x, label, classes):
    """Eq. 1, clip by clip."""
    per_clip = np.array([[1 - np.mean(channel != 0) for channel in clip] for clip in x])
    return np.array([per_clip[label == m].mean(axis=0) for m in range(classes)])


def similarity_by_hand(xi):
    """Eq. 2 with the mean absolute difference, stretched to [0, 1]."""
    s = np.array([[1 - np.mean(np.abs(a - b)) for b in xi] for a in xi])
    return (s - s.min()) / (s.max() - s.min())


def counted(x, label, classes, batch=4):
    activity = ChannelActivity(classes, x.shape[1])
    for i in range(0, len(x), batch):
        activity.add(mx.nd.array(x[i : i + batch]), mx.nd.array(label[i : i + batch]))
    return activity


def allreduce(parts):
    """As over several ranks: the sum of all ranks' arrays, each time in the order in which they ask."""
    return lambda array: sum(part.state for part in parts)


@settings(max_examples=20, deadline=None)
@given(classes=st.integers(2, 7), channels=st.sampled_from([1, 5, 16, 32]), clip=st.booleans())
def test_sparsity_and_similarity_equal_numpy(classes, channels, clip):
    x, label = clips(5 * classes, classes, channels, (2, 3, 5) if clip else (7, 4))
    activity = counted(x, label, classes)
    expected = sparsity_by_hand(x, label, classes)
    np.testing.assert_allclose(activity.sparsity(), expected, rtol=0, atol=1e-12)
    s = similarity(activity.sparsity())
    np.testing.assert_allclose(s, similarity_by_hand(expected), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(s, s.T)
    assert s.min() == 0 and (np.diag(s) == 1).all()
    assert activity.counts.tolist() == np.bincount(label, minlength=classes).tolist()


@pytest.mark.parametrize('ranks', [2, 3, 5])
@pytest.mark.parametrize('shape', [(2, 7, 7), (9, 3, 3), (5, 11, 13), (14, 14)])
def test_split_and_merged_is_the_whole_to_the_bit(ranks, shape):
    x, label = clips(60, 4, 16, shape)
    whole = counted(x, label, 4)
    parts = [counted(x[rank::ranks], label[rank::ranks], 4, batch=1 + rank) for rank in range(ranks)]
    summed = allreduce(parts)(None)
    for part in parts:
        part.merge(lambda array: summed)
        np.testing.assert_array_equal(part.sparsity(), whole.sparsity())
        np.testing.assert_array_equal(similarity(part.sparsity()), similarity(whole.sparsity()))
        assert part.counts.sum() == 60
    np.testing.assert_array_equal(whole.sparsity(), counted(x[::-1], label[::-1], 4, 7).sparsity())


def test_every_clip_counts_the_same_whatever_its_size():
    small, big = np.zeros((1, 2, 2, 2, 2), 'float32'), np.ones((1, 2, 17, 5, 19), 'float32')
    big[:, 1, :, :, :7] = 0
    activity = ChannelActivity(1, 2)
    activity.add(small, [0])
    activity.add(big, [0])
    np.testing.assert_allclose(activity.sparsity(), [[0.5, 1 - 12 / 19 / 2]], atol=1e-14)


def test_arrays_of_any_kind_count_the_same():
    x, label = clips(6, 2, 3, (2, 50, 50))  # 5000 positions: more than float16 can count
    expected = sparsity_by_hand(x, label, 2)
    for features in (x, mx.nd.array(x), mx.nd.array(x).astype('float16'), x.astype('float16')):
        activity = ChannelActivity(2, 3)
        activity.add(features, label.astype('float32'))
        np.testing.assert_allclose(activity.sparsity(), expected, atol=1e-12)


def test_the_state_goes_into_a_checkpoint():
    x, label = clips(20, 4, 16)
    first, ranks = counted(x[:9], label[:9], 4), TrueRanks(4)
    resumed = ChannelActivity(4, 16)
    resumed.state = first.state
    resumed.add(x[9:], label[9:])
    np.testing.assert_array_equal(resumed.state, counted(x, label, 4).state)
    assert first.state.shape == (4, 17)
    ranks.add(np.eye(4), np.arange(4))
    other = TrueRanks(4)
    other.state = ranks.state
    np.testing.assert_array_equal(other.accuracy(), ranks.accuracy())
    for counts in (ChannelActivity(5, 16), TrueRanks(3)):
        with pytest.raises(UserError, match=r'counts have shape .* other classes or channels'):
            counts.state = first.state


@settings(max_examples=50, deadline=None)
@given(
    classes=st.integers(1, 6),
    target=st.floats(0.01, 1),
    ranks=st.integers(1, 3),
    values=st.integers(1, 5),
)
def test_smallest_n_equals_sorting(classes, target, ranks, values):
    scores = np.random.randint(0, values, size=(30, classes)).astype('float32')  # with ties
    label = np.random.randint(classes, size=30)
    parts = [TrueRanks(classes) for _ in range(ranks)]
    for rank, part in enumerate(parts):
        part.add(mx.nd.array(scores[rank::ranks]), label[rank::ranks])
    summed = allreduce(parts)(None)
    parts[0].merge(lambda array: summed)
    order = np.argsort(-scores, axis=1, kind='stable')
    top = [np.mean([y in row[:n] for row, y in zip(order, label)]) for n in range(1, classes + 1)]
    np.testing.assert_allclose(parts[0].accuracy(), top, atol=1e-12)
    assert parts[0].smallest(target) == next(n for n, a in enumerate(top, 1) if a >= target)


def test_a_network_that_gives_nan_is_not_accurate():
    ranks = TrueRanks(3)
    ranks.add(np.full((5, 3), np.nan), np.arange(5) % 3)
    assert ranks.accuracy().tolist() == [0, 0, 1] and ranks.smallest(0.5) == 3


def best_average(s, n):
    """By trying every threshold: the nearest average to n, the smaller of two as near."""
    values = sorted({*s[np.triu_indices(len(s), 1)], 2.0})
    averages = [1 + 2 * np.triu(s >= value, 1).sum() / len(s) for value in values]
    return min(averages, key=lambda a: (round(abs(a - n), 9), a))


@settings(max_examples=150, deadline=None)
@given(classes=st.integers(1, 9), steps=st.sampled_from([1, 2, 4, 1000]), part=st.floats(0, 1))
def test_threshold_meets_n_as_nearly_as_it_can(classes, steps, part):
    s = np.triu(np.random.randint(0, steps + 1, size=(classes, classes)) / steps, 1)  # few steps: many ties
    s = s + s.T + np.eye(classes)
    for n in (1, classes, 1 + round(part * (classes - 1)), 1 + part * (classes - 1)):
        alpha, average = threshold(s, n)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            csm = binary_csm(s, alpha)
        assert csm.sum() / classes == pytest.approx(average)
        assert average == pytest.approx(best_average(s, n))
        inside, outside = s[csm == 1], s[csm == 0]
        assert (not inside.size or inside.min() >= min(alpha, 1)) and (not outside.size or outside.max() < alpha)


def test_alpha_survives_being_written_down():
    s = np.array([[1, 0.9, 0.2], [0.9, 1, 0], [0.2, 0, 1]])
    alpha, average = threshold(s, 5 / 3)
    assert alpha == pytest.approx(0.55) and average == pytest.approx(5 / 3)
    assert threshold(s, 1) == pytest.approx((0.95, 1))
    assert threshold(s, 3) == pytest.approx((0, 3))
    assert threshold(s, 2).average == pytest.approx(5 / 3)  # one pair or two: as near, so one
    np.testing.assert_array_equal(binary_csm(s, float(f'{alpha:.4g}')), [[1, 1, 0], [1, 1, 0], [0, 0, 1]])


def test_pairs_are_named_most_similar_first():
    s = np.eye(4)
    for (i, j), value in {(0, 1): 0.6, (1, 3): 0.9, (0, 2): 0.1}.items():
        s[i, j] = s[j, i] = value
    csm = binary_csm(s, 0.5)
    pairs = related_pairs(csm, s, ['bend', 'break', 'throw', 'pour'])
    assert [p.names for p in pairs] == [('break', 'pour'), ('bend', 'break')]
    assert pairs[0] == (1, 3, ('break', 'pour'), 0.9)
    assert related_pairs(csm, s)[0].names == ('1', '3')
    assert related_pairs(np.eye(4), s) == []


def test_groups_that_share_channels_are_found():
    """From features to the network: 6 classes in 3 groups, each group with channels of its own."""
    classes, group = 6, np.arange(6) // 2
    label = np.arange(60) % classes
    x = (np.random.uniform(size=(60, 24, 2, 4, 4)) < 0.1).astype('float32')
    for i, m in enumerate(label):
        x[i, 8 * group[m] : 8 * group[m] + 7 + m % 2] = 1
    activity, ranks = ChannelActivity(classes, 24), TrueRanks(classes)
    activity.add(x, label)
    scores = (group[None] == group[label][:, None]) + 0.5 * np.random.uniform(size=(60, classes))
    ranks.add(scores, label)  # the group is known, the class is not
    n = ranks.smallest(0.95)
    s = similarity(activity.sparsity())
    csm = binary_csm(s, threshold(s, n).alpha)
    assert n == 2
    np.testing.assert_array_equal(csm, group[None] == group[:, None])
    for select, matrix in (('csm', csm), ('soft', s)):
        net = MaskNetwork(classes, 24, select)
        net.initialize()
        net.set_csm(matrix)
        np.testing.assert_allclose(net.csm.data().asnumpy(), matrix, atol=1e-7)


def test_one_warning_for_classes_without_samples():
    x, label = clips(12, 3, 16)
    activity = ChannelActivity(5, 16)
    activity.add(x, np.array([0, 2, 4])[label])
    names = ['bend', 'break', 'throw', 'pour', 'drop']
    with pytest.warns(UserWarning) as caught:
        s = similarity(activity.sparsity(), names)
    assert [str(w.message) for w in caught] == [
        '2 of 5 classes have no training samples and get no confusing classes: break, pour'
    ]
    np.testing.assert_allclose(s[::2, ::2], similarity_by_hand(sparsity_by_hand(x, label, 3)), atol=1e-12)
    for i, j in itertools.product(range(5), repeat=2):
        if i % 2 or j % 2:
            assert s[i, j] == (i == j)


@pytest.mark.parametrize(
    's, alpha, message',
    [
        (np.array([[1, 0.5], [0.5, 1]]), 0.6, 'alpha 0.6 leaves no pair of confusing classes'),
        (np.array([[1, 0.5], [0.5, 1]]), 0.5, 'alpha 0.5 makes all 1 pairs of classes confusing'),
    ],
)
def test_one_warning_for_a_csm_without_use(s, alpha, message):
    with pytest.warns(UserWarning, match=message) as caught:
        csm = binary_csm(s, alpha)
    assert len(caught) == 1
    np.testing.assert_array_equal(csm, s >= alpha)


def test_no_warning_for_a_csm_of_use():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        s = similarity(np.array([[0.2], [0.4], [0.9]]))
        csm = binary_csm(np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1.0]]), 0.5)
    np.testing.assert_allclose(s, [[1, 5 / 7, 0], [5 / 7, 1, 2 / 7], [0, 2 / 7, 1]], atol=1e-12)
    np.testing.assert_array_equal(csm, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])


def test_equal_classes_are_all_similar():
    np.testing.assert_array_equal(similarity(np.full((3, 4), 0.25)), np.ones((3, 3)))


@pytest.mark.parametrize(
    'act, message',
    [
        (lambda a: a.add(np.ones((2, 3, 4, 4)), [0, 5]), 'label 5 is no class number; expected 0 to 4'),
        (lambda a: a.add(np.ones((2, 3, 4, 4)), [0, -1]), 'label -1 is no class number'),
        (lambda a: a.add(np.ones((2, 3, 4, 4)), [0]), r'labels have shape \(1,\); expected \(2,\)'),
        (lambda a: a.add(np.ones((2, 4, 4, 4)), [0, 1]), r'features have shape .*; expected \(N, 3, ...\)'),
        (lambda a: a.add(np.ones((2, 3)), [0, 1]), r'features have shape \(2, 3\)'),
        (lambda a: a.merge(lambda array: array[:2]), r'counts have shape \(2, 4\); expected \(5, 4\)'),
        (lambda a: a.sparsity(), 'class similarities need labeled samples, and none were counted'),
        (lambda a: TrueRanks(3).accuracy(), 'top-n accuracy needs predictions, and none were counted'),
        (lambda a: TrueRanks(3).add(np.ones((2, 4)), [0, 1]), r'scores have shape \(2, 4\); expected \(N, 3\)'),
        (lambda a: TrueRanks(3).smallest(85), r'a fraction in \(0, 1\], such as 0.85, got 85'),
        (lambda a: threshold(np.eye(3), 4), 'must be from 1 to 3, got 4'),
        (lambda a: threshold(np.eye(3), 0), 'must be from 1 to 3, got 0'),
    ],
)
def test_mistakes_are_named(act, message):
    with pytest.raises(UserError, match=message):
        act(ChannelActivity(5, 3))
