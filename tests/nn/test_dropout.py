import json

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from gluon_fg import factory, registry
from gluon_fg.nn import Dropout


def dropped(block, seed=3):
    mx.random.seed(seed)
    x = mx.nd.ones((4, 50))
    x.attach_grad()
    with autograd.record():
        y = block(x)
    y.backward()
    return y.asnumpy(), x.grad.asnumpy()


@pytest.mark.parametrize('hybrid', [False, True])
def test_masks_are_those_of_the_seed_and_of_gluons_block(hybrid):
    ours, theirs = Dropout(0.4), mx.gluon.nn.Dropout(0.4)
    if hybrid:
        ours.hybridize(static_alloc=True)
    (y, grad), (again, _), (other, _), (expected, _) = dropped(ours), dropped(ours), dropped(ours, 4), dropped(theirs)
    np.testing.assert_array_equal(y, again)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(y, grad)  # of ones
    assert (y != other).any() and set(np.unique(y)) == {0, np.float32(1 / 0.6)}


def test_prediction_and_a_rate_of_nothing_change_nothing():
    x = mx.nd.random.uniform(shape=(3, 7))
    np.testing.assert_array_equal(Dropout(0.5)(x).asnumpy(), x.asnumpy())
    with autograd.record():
        np.testing.assert_array_equal(Dropout(0.0)(x).asnumpy(), x.asnumpy())


@pytest.mark.parametrize('name', [name for name in registry.names() if '_tiny_custom' in name])
def test_no_network_leaves_its_masks_to_cudnn(name):
    net = factory.build(name, 4, dropout=0.5)
    nodes = json.loads(mx.sym.Group(list(net.branches(mx.sym.var('data')))).tojson())['nodes']
    drops = [node['attrs'] for node in nodes if node['op'] == 'Dropout']
    assert drops and all(attrs['cudnn_off'] == 'True' for attrs in drops)
    assert all(float(node['attrs'].get('p', 0)) == 0 for node in nodes if node['op'] == 'RNN')  # cuDNN's own dropout
