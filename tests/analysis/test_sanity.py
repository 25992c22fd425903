"""The check by random weights: what is made random, how alike maps are, and maps that fail it."""

import mxnet as mx
import numpy as np
import pytest
from networks import parameters

from gluon_fg import factory
from gluon_fg.analysis import sanity as checks
from gluon_fg.analysis.grad_cam import GradCam
from gluon_fg.analysis.sanity import blocks_of, rank_correlation, sanity, shuffled, structural_similarity
from gluon_fg.data.video import ArrayReader

RNG = np.random.default_rng(0)


@pytest.fixture(scope='module')
def net():
    return factory.get_model('i3d_tiny_synthfg', pretrained=True)


@pytest.fixture(scope='module')
def film():
    return ArrayReader('film.mp4', RNG.integers(0, 255, (8, 54, 54, 3), dtype=np.uint8), 8.0)


def test_blocks_begin_with_the_head(net):
    blocks = blocks_of(net)
    assert list(blocks) == ['head', 'res5', 'res4', 'res3', 'res2', 'stem']
    assert sorted(name for names in blocks.values() for name in names) == sorted(net.collect_params())
    assert len(blocks['head']) == 2
    both = blocks_of(factory.build('twostream_i3d_tiny_custom', nclass=3))
    assert list(both) == list(blocks) and len(both['stem']) == 2 * len(blocks['stem'])  # of both streams
    plain = mx.gluon.nn.HybridSequential()
    plain.add(mx.gluon.nn.Conv2D(2, 1), mx.gluon.nn.BatchNorm(), mx.gluon.nn.Dense(3))
    assert list(blocks_of(plain)) == ['2', '1', '0']


def test_weights_keep_their_values_and_norms_their_channels(net):
    blocks, own = blocks_of(net), {p.name: p.data().asnumpy() for p in net.collect_params().values()}
    before = parameters(net)
    drawn = shuffled(net, blocks['res4'], np.random.default_rng(3))
    assert sorted(drawn) == sorted(blocks['res4'])
    for name, values in drawn.items():
        assert values.shape == own[name].shape
        np.testing.assert_array_equal(np.sort(values.asnumpy().ravel()), np.sort(own[name].ravel()))
    gamma = next(name for name in blocks['res4'] if name.endswith('gamma'))
    mean = gamma.replace('gamma', 'running_mean')
    pairs = sorted(zip(own[gamma], own[mean]))
    assert sorted(zip(drawn[gamma].asnumpy(), drawn[mean].asnumpy())) == pairs
    assert (drawn[mean].asnumpy() != own[mean]).any()
    assert all((values == before[name]).all() for name, values in parameters(net).items())  # the network's own stay


def test_grad_cam_changes_with_the_classifier_and_the_features_alone_do_not(net, film):
    checked = sanity(GradCam(net), film, target=3, draws=2)
    head, last = checked.steps[0], checked.steps[-1]
    assert [step.block for step in checked.steps] == list(blocks_of(net)) and len(head.ranks) == 2
    assert (head.feature_ranks == 1).all() and np.abs(head.ranks).max() < 0.9
    assert abs(last.ranks.mean()) < 0.5 and np.abs(last.feature_ranks).max() < 0.9
    assert checked.learned and 'it shows what was learned' in checked.verdict
    again = sanity(GradCam(net), film, target=3, draws=1)
    assert again.steps[2].ranks[0] == checked.steps[2].ranks[0]  # seeded


def test_a_map_that_knows_no_weights_fails(net, film, monkeypatch):
    """As maps of edges do in the paper: with random weights they are the same."""
    seen = np.abs(np.sin(np.arange(8 * 4 * 4))).reshape(8, 4, 4)
    monkeypatch.setattr(checks, 'maps_of', lambda passed, label, classes: seen[:, None])
    checked = sanity(GradCam(net), film, target=3, draws=2)
    assert all((step.ranks == 1).all() and step.likeness == pytest.approx(1) for step in checked.steps[:2])
    assert not checked.learned and 'explains nothing' in checked.verdict


def test_ssim_against_its_definition():
    """Wang et al. 2004, eq. 13, window by window; the Gaussian window has 11 x 11 pixels."""
    a, b = RNG.uniform(size=(2, 14, 13))
    window = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2
    rows = [np.pad(values, 5, mode='symmetric') for values in (a, b)]
    values = []
    for i in range(14):
        for j in range(13):
            x, y = (padded[i : i + 11, j : j + 11] for padded in rows)
            mx_, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * x * x).sum() - mx_**2, (window * y * y).sum() - my**2
            cov = (window * x * y).sum() - mx_ * my
            values.append((2 * mx_ * my + 1e-4) * (2 * cov + 9e-4) / ((mx_**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
    assert structural_similarity(a, b) == pytest.approx(np.mean(values), rel=1e-9)
    assert structural_similarity(a, a) == pytest.approx(1)


def test_rank_correlation_knows_ties_and_flat_maps():
    assert rank_correlation(np.array([1, 2, 3, 4.0]), np.array([1, 10, 100, 1000.0])) == pytest.approx(1)
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4
    assert rank_correlation(np.array([0, 5, 5, 9.0]), np.array([1, 2, 3, 4.0])) == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert rank_correlation(np.zeros(4), np.arange(4.0)) == 0
