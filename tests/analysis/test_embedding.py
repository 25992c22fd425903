import numpy as np
import pytest

from gluon_fg.analysis.embedding import Pooled, neighbor_agreement, pooled_features, tsne
from gluon_fg.data import build_dataset
from gluon_fg.data.transforms import to_input
from gluon_fg.errors import UserError
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.factory import get_model


def test_neighbours_by_hand():
    values, labels = np.array([[0.0], [1.0], [2.1], [3.0], [10.0], [10.5]]), np.array([0, 0, 0, 1, 1, 1])
    assert neighbor_agreement(values, labels, 1) == pytest.approx(4 / 6)  # at 2.1 and 3.0 two classes meet
    # around 3.0 lie three a; 10.0 and 10.5 have each other, the b at 3.0 and an a
    assert neighbor_agreement(values, labels, 3) == pytest.approx(5 / 6)
    assert neighbor_agreement(values, labels, 99) == 0  # of all five others two are of one's own class
    assert neighbor_agreement(values, np.zeros(6), 5) == 1
    for wrong in (values[:1], 3), (values, 2):
        with pytest.raises(UserError, match='odd number'):
            neighbor_agreement(wrong[0], labels[: len(wrong[0])], wrong[1])


@pytest.fixture(scope='module')
def clouds():
    rng, labels = np.random.default_rng(0), np.repeat([3, 7], 12)
    return Pooled('net', rng.normal(size=(24, 10)) + 20 * (labels == 7)[:, None], labels)


def test_clouds_stay_apart(clouds):
    one = tsne(clouds)
    assert one.points.shape == (24, 2) and one.agreement == 1
    a, b = one.points[clouds.labels == 3], one.points[clouds.labels == 7]
    apart = np.linalg.norm(a.mean(axis=0) - b.mean(axis=0))
    assert apart > 2 * max(np.linalg.norm(p - p.mean(axis=0), axis=1).max() for p in (a, b))
    np.testing.assert_array_equal(tsne(clouds).points, one.points)


def test_bad_input(clouds):
    few = Pooled('net', clouds.values[:7], clouds.labels[:7])
    with pytest.raises(UserError, match='7 videos are too few'):
        tsne(few)
    for wrong in (0.5, 24):
        with pytest.raises(UserError, match='perplexity must be at least 1 and below the number of videos, 24'):
            tsne(clouds, perplexity=wrong)


def test_pooled_features_are_what_the_classifiers_read(tiny_synthfg):
    dataset, net = build_dataset('synthfg', 'val', str(tiny_synthfg)), get_model('topheavy_tiny_synthfg_u2s')
    universal, specific, both = pooled_features(net, dataset, [2, 11], 'run', workers=0)
    assert [p.title for p in (universal, specific, both)] == ['run: universal', 'run: specific', 'run: U2S']
    assert sorted(both.labels) == [2, 11]
    np.testing.assert_array_equal(both.values, np.concatenate([universal.values, specific.values], axis=1))
    index = [r.label for r in dataset.records].index(int(universal.labels[0]))
    with dataset.open(index) as reader:
        views, _ = get_protocol('train_time').views(reader, net.input_spec, dataset.labels)
    x = to_input(views[0][None], net.input_spec)
    for pooled, classifier, z in (
        (universal, net.branches.classifier, net.branches(x)[1]),
        (specific, net.branches.specific_classifier, net.branches(x)[3]),
    ):
        w, b = classifier.weight.data().asnumpy(), classifier.bias.data().asnumpy()
        np.testing.assert_allclose(pooled.values[0] @ w.T + b, z.asnumpy()[0], atol=1e-4)
