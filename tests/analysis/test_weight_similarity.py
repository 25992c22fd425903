import mxnet as mx
import numpy as np
import pytest

from gluon_fg.analysis.weight_similarity import (
    by_name,
    check_alike,
    format_weight_similarity,
    weight_similarity,
)
from gluon_fg.errors import UserError
from gluon_fg.factory import get_model

WEIGHTS = [[1, 0], [1, 1], [0, 2], [-1, 0]]  # angles of 0, 45, 90 and 180 degrees


@pytest.fixture
def net():
    """Four classes whose filters differ in two channels; the first two are confusing."""
    net = get_model('topheavy_tiny_custom_u2s', nclass=4)
    weight = net.branches.masks.weight
    values = np.zeros(weight.shape, np.float32)
    values[:, :2, 0, 0, 0] = WEIGHTS
    weight.set_data(mx.nd.array(values))
    csm = np.eye(4)
    csm[0, 1] = csm[1, 0] = 1
    net.set_csm(csm)
    return net


def test_cosines_by_hand(net):
    found = weight_similarity(net, 'mine')
    half = np.sqrt(0.5)
    expected = [[1, half, 0, -1], [half, 1, half, -half], [0, half, 1, 0], [-1, -half, 0, 1]]
    np.testing.assert_allclose(found.matrix, expected, atol=1e-6)
    np.testing.assert_allclose(found.pairs, [half, 0, -1, half, -half, 0], atol=1e-6)
    assert found.title == 'mine' and found.classes == ('class 0', 'class 1', 'class 2', 'class 3')
    assert found.between_confusing == pytest.approx(half)
    assert found.between_confusing == pytest.approx(float(net.branches.masks.regularization().asscalar()))
    assert found.between_others == pytest.approx((0 - 1 + half - half + 0) / 5)
    table = format_weight_similarity([found])
    assert table.splitlines()[-1].split() == ['mine', '1', '0.707', '-0.200', '33.3']


def test_without_pairs_there_is_no_mean(net):
    net.set_csm(np.eye(4))
    found = weight_similarity(net)
    assert found.between_confusing is None and not found.confusing.any()
    assert format_weight_similarity([found]).splitlines()[-1].split()[1:3] == ['0', '-']
    net.set_csm(np.ones((4, 4)))
    assert weight_similarity(net).between_others is None


def test_rows_in_the_order_of_names(net):
    found = weight_similarity(net)._replace(classes=('push', 'lift', 'move', 'drop'))
    sorted_ = by_name(found)
    assert sorted_.classes == ('drop', 'lift', 'move', 'push')
    np.testing.assert_array_equal(sorted_.matrix[0], found.matrix[3][[3, 1, 2, 0]])
    assert sorted_.confusing[1, 3] and sorted_.confusing.sum() == 2


def test_refusals(net):
    found = weight_similarity(net, 'without')
    with pytest.raises(UserError, match='without and b have other classes'):
        check_alike([found, found._replace(title='b', classes=('x',) * 4)])
    for name, options in (('topheavy_tiny_synthfg_u2s', {'mask_network': False}), ('i3d_tiny_synthfg', {})):
        with pytest.raises(UserError, match='has no masks of classes'):
            weight_similarity(get_model(name, **options))
