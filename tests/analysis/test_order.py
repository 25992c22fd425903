"""The share of a response's variance that the order of frames makes."""

import mxnet as mx
import numpy as np
import pytest

from gluon_fg.analysis.order import format_order_shares, order_share, order_shares, shuffled_responses
from gluon_fg.data import build_dataset
from gluon_fg.errors import UserError
from gluon_fg.factory import get_model


def test_the_share_is_that_of_the_variances():
    """Clips of variance 4 and orders of variance 1, each of three entries: a fifth."""
    random = np.random.RandomState(0)
    clips = random.normal(scale=2, size=(4000, 1, 3))
    share = order_share(clips + random.normal(size=(4000, 6, 3)))
    assert share == pytest.approx(0.2, abs=0.01)
    assert order_share(np.repeat(clips, 4, axis=1)) == 0
    assert order_share(random.normal(size=(4000, 6, 3))) == pytest.approx(1, abs=0.02)
    assert order_share(np.zeros((3, 4, 2))) == 0
    two = np.array([[[0.0], [2.0]], [[5.0], [7.0]]])  # within 2; between var(1, 6) = 12.5 less 2 / 2
    assert order_share(two) == pytest.approx(2 / (2 + 11.5))
    with pytest.raises(UserError, match='order needs two clips and two orders of each at least, got 1 and 2'):
        order_share(two[:1])


def test_responses_are_those_of_the_shuffled_clip():
    net = get_model('i3d_tiny_custom_cidc', nclass=4)
    x, order = mx.nd.random.normal(shape=(1, 3, 8, 48, 48)), np.array([3, 0, 7, 1, 2, 6, 5, 4])
    found = shuffled_responses(net, x, [np.arange(8), order])
    turned = mx.nd.array(x.asnumpy()[:, :, order])
    assert list(found) == ['F5', 'F_CIDC', 'logits']
    for name, volume in net.maps(turned).items():
        np.testing.assert_allclose(found[name][1], volume.asnumpy().mean((0, 2, 3, 4)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found['logits'][1], net(turned).asnumpy()[0], rtol=1e-4, atol=1e-4)
    assert np.abs(found['logits'][0] - found['logits'][1]).max() > 1e-3


@pytest.mark.parametrize(
    'name, sees', [('tsn_tiny_synthfg', False), ('r2d_tiny_synthfg', False), ('i3d_tiny_synthfg', True)]
)
def test_networks_without_time_are_blind_to_order(name, sees, tiny_synthfg):
    found = order_shares(get_model(name), build_dataset('synthfg', 'test', tiny_synthfg), orders=3)
    assert found.videos == 24 and set(found.shares) == {'F5', 'logits'}
    for share in found.shares.values():
        assert 1e-4 < share < 1 if sees else share < 1e-8
    assert sees or found.top1 == found.shuffled
    text = format_order_shares([found])
    assert f'{100 * found.shares["F5"]:.1f}' in text and name in text


def test_what_cannot_be_measured_is_refused(tiny_synthfg):
    net, dataset = get_model('r2d_tiny_synthfg'), build_dataset('synthfg', 'test', tiny_synthfg)
    with pytest.raises(UserError, match='orders must be at least 2 and limit at least 1, got 1 and None'):
        order_shares(net, dataset, orders=1)
    with pytest.raises(UserError, match='classes'):
        order_shares(get_model('r2d_tiny_custom', nclass=5), dataset)
