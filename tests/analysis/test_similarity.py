"""Eq. 7 and its correlation on matrices made by hand; Xi over a dataset; files."""

import numpy as np
import pytest

from gluon_fg.analysis import similarity as sim
from gluon_fg.analysis import similarity_accuracy as accuracy
from gluon_fg.analysis.features import video_features
from gluon_fg.data import build_dataset
from gluon_fg.data.transforms import to_input
from gluon_fg.errors import UserError
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.score import Scores
from gluon_fg.factory import get_model
from gluon_fg.nn import class_similarity

CLASSES = ('a', 'b', 'c', 'd')
MATRIX = np.array([[1, 0.9, 0.5, 0.6], [0.9, 1, 0.7, 0.2], [0.5, 0.7, 1, 0.3], [0.6, 0.2, 0.3, 1]])


def similarities(*kinds, model='net', classes=CLASSES):
    return sim.ClassSimilarity(model, 'videos', classes, None, kinds)


def scores(right, branches=('fused',), classes=CLASSES, videos=10):
    """Of class m the first right[branch][m] of `videos` are right, the others are taken for the next class."""
    m = len(classes)
    labels = np.repeat(np.arange(m), videos)
    p = np.zeros((len(labels), len(branches), m), np.float32)
    for b, counts in enumerate(right):
        for i, label in enumerate(labels):
            p[i, b, label if i % videos < counts[label] else (label + 1) % m] = 1
    ids = tuple(map(str, range(len(labels))))
    return Scores(ids, labels, p, branches, classes, None, 'train_time', {}, 'net', 'set')


def test_eq_7_by_hand():
    """Sums over the other classes are 2.0, 1.8, 1.5 and 1.1; stretched, 1, 7/9, 4/9 and 0."""
    np.testing.assert_allclose(accuracy.to_others(MATRIX), np.array([2.0, 1.8, 1.5, 1.1]) / 3)
    (one,) = accuracy.relate([(similarities(sim.Similarity('features', None, MATRIX)), scores([[2, 4, 8, 9]]))])
    assert one.title == 'net' and [p.name for p in one.points] == list(CLASSES)
    np.testing.assert_allclose([p.similarity for p in one.points], [1, 7 / 9, 4 / 9, 0], atol=1e-12)
    assert [p.accuracy for p in one.points] == pytest.approx([0.2, 0.4, 0.8, 0.9]) and one.points[0].videos == 10
    assert one.average == pytest.approx(6.4 / 12) and (one.rho, one.low, one.high) == (-1, -1, -1)
    bars = accuracy.histogram(one, 4)
    assert list(bars.classes) == [1, 1, 0, 2]
    np.testing.assert_allclose(bars.accuracy, [0.9, 0.8, np.nan, 0.3])
    with pytest.raises(UserError, match='bins must be at least 1, got 0'):
        accuracy.histogram(one, 0)


def test_stretching_s_before_changes_nothing_in_eq_7():
    one = sim.Similarity('features', None, MATRIX)
    np.testing.assert_allclose(
        accuracy.min_max(accuracy.to_others(one.stretched)), accuracy.min_max(accuracy.to_others(MATRIX))
    )
    xi = np.random.default_rng(0).random((5, 20))
    kept = sim.Similarity('features', None, 1 - class_similarity.distance(xi))
    np.testing.assert_allclose(kept.stretched, class_similarity.similarity(xi))
    assert (sim.Similarity('features', None, np.ones((3, 3))).stretched == 1).all()


def test_each_kind_meets_its_own_prediction():
    kinds = [sim.Similarity('universal', 'universal', MATRIX), sim.Similarity('U2S', None, MATRIX)]
    found = accuracy.relate([(similarities(*kinds), scores([[1, 2, 3, 4], [9, 8, 7, 6]], ('fused', 'universal')))])
    assert [one.title for one in found] == ['net: universal', 'net: U2S']
    assert [p.accuracy for p in found[0].points] == pytest.approx([0.9, 0.8, 0.7, 0.6]) and found[0].rho == 1
    assert [p.accuracy for p in found[1].points] == pytest.approx([0.1, 0.2, 0.3, 0.4]) and found[1].rho == -1
    table = accuracy.format_series(found)
    assert 'net: universal' in table and '0.5333' in table and '-1.00 (-1.00 to -1.00)' in table


def test_a_shared_scale_keeps_two_networks_apart():
    apart = np.where(np.eye(4, dtype=bool), 1, MATRIX / 2)
    pairs = [
        (similarities(sim.Similarity('features', None, m), model=name), scores([[5, 5, 5, 5]]))
        for name, m in (('one', MATRIX), ('two', apart))
    ]
    own = accuracy.relate(pairs)
    assert [p.similarity for p in own[0].points] == pytest.approx([p.similarity for p in own[1].points])
    one, two = accuracy.relate(pairs, 'shared')
    low, high = 0.55, 2.0  # sums over the others
    assert [p.similarity for p in one.points] == pytest.approx([(s - low) / (high - low) for s in (2, 1.8, 1.5, 1.1)])
    assert [p.similarity for p in two.points] == pytest.approx([(s - low) / (high - low) for s in (1, 0.9, 0.75, 0.55)])
    assert one.rho is None and accuracy.correlation(one) == '-'  # all accuracies are equal


def test_classes_without_features_or_videos_are_left_out():
    matrix = MATRIX.copy()
    matrix[2], matrix[:, 2] = np.nan, np.nan
    given = similarities(sim.Similarity('features', None, matrix))
    (one,) = accuracy.relate([(given, scores([[5, 6, 7, 8]]))])
    assert [p.name for p in one.points] == ['a', 'b', 'd'] and (one.low, one.high) == (None, None)
    np.testing.assert_allclose([p.similarity for p in one.points], [1, (1.1 - 0.8) / (1.5 - 0.8), 0])
    some = scores([[5, 6, 7, 8]])
    some.labels[some.labels == 3] = -1
    (one,) = accuracy.relate([(given, some)])
    assert [p.name for p in one.points] == ['a', 'b']
    some.labels[some.labels == 1] = -1
    with pytest.raises(UserError, match='net: fewer than two classes have both'):
        accuracy.relate([(given, some)])


def test_similarities_over_a_dataset_are_those_of_its_sparsities(tiny_synthfg):
    dataset = build_dataset('synthfg', 'val', str(tiny_synthfg))
    net = get_model('topheavy_tiny_synthfg_u2s')
    net.set_csm(np.ones((24, 24), np.float32))
    found = sim.class_similarity(net, dataset, 'val', workers=0)
    assert [(k.kind, k.branch) for k in found.kinds] == [
        ('universal', 'universal'),
        ('specific', 'specific'),
        ('U2S', None),
    ]
    assert found.classes == net.classes and found.groups == net.labels.groups
    xi = np.zeros((24, 2, net.branches.backbone.channels[5]))
    for index, record in enumerate(dataset.records):  # one clip of each of the 24 classes
        with dataset.open(index) as reader:
            views, _ = get_protocol('train_time').views(reader, net.input_spec, dataset.labels)
        maps = net.maps(to_input(views[0][None], net.input_spec))
        x_u, x_c = maps['F5'], maps['specific']
        xi[record.label] = [(f.asnumpy()[0] == 0).mean(axis=(1, 2, 3)) for f in (x_u, x_c)]
    for kind, features in zip(found.kinds, (xi[:, 0], xi[:, 1], xi.reshape(24, -1))):
        expected = [[1 - np.abs(a - b).mean() for b in features] for a in features]
        np.testing.assert_allclose(kind.matrix, expected, atol=1e-12)


@pytest.mark.parametrize('name', ['i3d_tiny_synthfg', 'tsn_tiny_synthfg_u2s'])
def test_features_of_other_networks(tiny_synthfg, name):
    dataset = build_dataset('synthfg', 'val', str(tiny_synthfg))
    net = get_model(name)
    (kind, *_), channels = net.feature_kinds, net.branches.backbone.channels[5]
    assert kind[:2] == (('universal', 'universal') if 'u2s' in name else ('features', None))
    videos = list(video_features(net, dataset, [3, 5], workers=0))
    assert sorted(v.label for v in videos) == [3, 5] and all(v.values[0].shape[0] == channels for v in videos)
    with dataset.open(videos[0].record) as reader:
        views, _ = get_protocol('train_time').views(reader, net.input_spec, dataset.labels)
    clip = views[0][None] if net.input_spec.ndim == 3 else views[0]
    f5 = net.branches.backbone(to_input(clip, net.input_spec))[3].asnumpy()
    np.testing.assert_allclose(
        videos[0].values[0].mean(axis=1), np.moveaxis(f5, 1, 0).reshape(channels, -1).mean(axis=1), rtol=1e-4, atol=1e-6
    )
    if 'u2s' in name:
        assert videos[0].values[2].shape[0] == 2 * channels
    with pytest.raises(UserError, match='no labeled video of these classes'):
        list(video_features(net, dataset, []))


def test_without_a_mask_network_there_are_universal_features_alone():
    (kind,) = get_model('topheavy_tiny_synthfg_u2s', mask_network=False).feature_kinds
    assert kind == ('universal', 'universal', ('F5',))


def test_the_networks_own_matrix():
    net = get_model('topheavy_tiny_synthfg_u2s')
    with pytest.raises(UserError, match='has no pair of classes: training has not built it'):
        sim.relation_similarity(net)
    binary = np.eye(24)
    binary[0, 1] = binary[1, 0] = binary[0, 2] = binary[2, 0] = 1
    net.set_csm(binary)
    own = sim.relation_similarity(net)
    (one,) = own.kinds
    np.testing.assert_array_equal(one.matrix, binary)
    np.testing.assert_allclose(accuracy.to_others(one.matrix) * 23, [2, 1, 1] + [0] * 21)
    assert own.of_network and one.kind == 'CSM'
    with pytest.raises(UserError, match='has a scale of its own'):
        accuracy.relate([(own, scores([[5] * 24], classes=net.classes))], 'shared')
    with pytest.raises(UserError, match='has no matrix that relates its classes'):
        sim.relation_similarity(get_model('i3d_tiny_synthfg'))


def test_files_and_what_does_not_fit(tmp_path):
    given = similarities(sim.Similarity('features', None, MATRIX), sim.Similarity('U2S', 'x', MATRIX / 2))
    given.save(tmp_path / 'a.npz')
    again = sim.ClassSimilarity.load(tmp_path / 'a.npz')
    assert again[:4] == given[:4] and [k[:2] for k in again.kinds] == [('features', None), ('U2S', 'x')]
    np.testing.assert_array_equal(again.kinds[1].matrix, MATRIX / 2)
    assert [p.names for p in sim.most_similar(given, 0, 2)] == [('a', 'b'), ('b', 'c')]
    with pytest.raises(UserError, match='no branch .x. in these scores'):
        accuracy.relate([(given, scores([[1, 1, 1, 1]]))])
    with pytest.raises(UserError, match='of 4 classes, the scores of net of 3'):
        accuracy.relate([(given, scores([[1, 1, 1]], classes=('a', 'b', 'c')))])
    with pytest.raises(UserError, match="unknown scale 'both'"):
        accuracy.relate([], 'both')
    with pytest.raises(UserError, match='no file of class similarities'):
        sim.ClassSimilarity.load(tmp_path / 'b.npz')
    scores([[1, 1, 1, 1]]).save(tmp_path / 'scores.npz')
    (tmp_path / 'cut.npz').write_bytes((tmp_path / 'a.npz').read_bytes()[:200])
    for name in ('scores.npz', 'cut.npz'):
        with pytest.raises(UserError, match='not a file of .gluon-fg explain similarity.|choose a file of'):
            sim.ClassSimilarity.load(tmp_path / name)


def test_what_training_counted(tmp_path):
    net, xi = get_model('topheavy_tiny_synthfg_u2s'), np.random.default_rng(0).random((24, 6))
    np.savez(tmp_path / 'csm.npz', sparsity=xi, videos=480)
    found = sim.training_similarity(net, tmp_path / 'csm.npz')
    np.testing.assert_allclose(found.kinds[0].stretched, class_similarity.similarity(xi))
    assert found.source == '480 training videos' and found.classes == net.classes
    np.savez(tmp_path / 'csm.npz', sparsity=xi[:3], videos=480)
    with pytest.raises(UserError, match='3 classes; topheavy_tiny_synthfg_u2s has 24'):
        sim.training_similarity(net, tmp_path / 'csm.npz')
    np.savez(tmp_path / 'csm.npz', other=xi)
    with pytest.raises(UserError, match='not a file of class sparsities written by training'):
        sim.training_similarity(net, tmp_path / 'csm.npz')
