import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from mxnet.gluon import nn

from gluon_fg.errors import UserError
from gluon_fg.nn import FrameLSTM, deploy_symbol

STATIC = dict(static_alloc=True, static_shape=True)
MODES = [None, {}, STATIC]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Reference:
    """Hochreiter's equations as used everywhere (gates in the order input, forget, cell, output); float64."""

    def __init__(self, net):
        self.params = {}
        for name, p in net._collect_params_with_prefix().items():
            layer, kind = name.split('.')[-2:]
            self.params[int(layer), kind] = p.data().asnumpy().astype('float64')
        self.layers = 1 + max(layer for layer, _ in self.params)

    def __call__(self, x):
        frames = np.moveaxis(x.mean((3, 4)), 2, 0)
        for layer in range(self.layers):
            w, u, b, d = (self.params[layer, kind] for kind in ('i2h_weight', 'h2h_weight', 'i2h_bias', 'h2h_bias'))
            h = c = np.zeros((len(x), u.shape[1]))
            outputs = []
            for frame in frames:
                i, f, g, o = np.split(frame @ w.T + b + h @ u.T + d, 4, axis=1)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
                outputs.append(h)
            frames = outputs
        return frames[-1]

    def slope(self, x, up, key, direction, step=1e-6):
        """Of sum(up * output) along a direction of a parameter, or of the input ('x')."""
        array = x if key == 'x' else self.params[key]
        values = []
        for sign in (1, -1):
            array += sign * step * direction
            values.append((self(x) * up).sum())
            array -= sign * step * direction
        return (values[0] - values[1]) / (2 * step)


def network(channels, units, layers=2, mode=None):
    net = FrameLSTM(channels, units, layers)
    net.initialize(mx.init.Normal(0.3))
    for p in net.collect_params('.*bias').values():
        p.set_data(mx.nd.random.normal(shape=p.shape))
    if mode is not None:
        net.hybridize(**mode)
    return net


def grads(net):
    params = net._collect_params_with_prefix()
    return {(int(name.split('.')[-2]), name.split('.')[-1]): p.grad().asnumpy() for name, p in params.items()}


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('channels, units, layers', [(16, 16, 2), (32, 32, 2), (5, 7, 2), (33, 20, 1), (3, 4, 3)])
def test_values_and_gradients_equal_numpy(channels, units, layers, mode):
    net = network(channels, units, layers, mode)
    reference = Reference(net)
    for count, frames in ((2, 4), (3, 4), (1, 8), (2, 1), (2, 4)):  # one size after another
        x = mx.nd.random.normal(shape=(count, channels, frames, 3, 2))
        up, data = np.random.randn(count, units), x.asnumpy().astype('float64')
        np.testing.assert_allclose(net(x).asnumpy(), reference(data), rtol=1e-4, atol=1e-5)
        x.attach_grad()
        with autograd.record():
            y = net(x)
        y.backward(mx.nd.array(up))
        np.testing.assert_allclose(y.asnumpy(), reference(data), rtol=1e-4, atol=1e-5)
        for key, gradient in {**grads(net), 'x': x.grad.asnumpy()}.items():
            direction = np.random.randn(*gradient.shape)
            expected = reference.slope(data, up, key, direction)
            assert abs((gradient * direction).sum() - expected) <= 1e-3 * np.linalg.norm(gradient) + 1e-6, key


@pytest.mark.parametrize('mode', MODES)
def test_inference_follows_training(mode):
    """oneDNN may keep weights in a layout of its own: not beyond an update."""
    net = network(16, 32, mode=mode)
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.05, 'momentum': 0.9})
    for step in range(6):
        x = mx.nd.random.normal(shape=(2 + step % 3, 16, 4, 2, 3))
        mx.nd.waitall()
        expected = Reference(net)(x.asnumpy().astype('float64'))
        for _ in range(2):
            np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=1e-4, atol=1e-5)
        with autograd.record():
            loss = (net(x) ** 2).sum()
        loss.backward()
        trainer.step(1)
    start = loss.asscalar()
    with autograd.record():
        assert (net(x) ** 2).sum().asscalar() < start


def test_behind_a_convolution_it_is_the_same_in_a_graph():
    net = nn.HybridSequential()
    net.add(nn.Conv3D(16, 3, padding=1, in_channels=16), FrameLSTM(16, 16))
    net.initialize(mx.init.Normal(0.3))
    x, found = mx.nd.random.normal(shape=(2, 16, 3, 5, 4)), []
    for mode in MODES:
        if mode is not None:
            net.hybridize(**mode)
        with autograd.record():
            y = net(x)
        y.backward()
        found.append([y.asnumpy(), *(p.grad().asnumpy() for p in net.collect_params().values())])
    for other in found[1:]:
        for a, b in zip(other, found[0]):
            assert np.linalg.norm(a - b) <= 1e-4 * np.linalg.norm(b) + 1e-6


def test_it_knows_the_order_of_frames_but_no_place():
    net = network(16, 16)
    x = mx.nd.random.normal(shape=(2, 16, 4, 3, 5))
    moved = mx.nd.array(x.asnumpy().reshape(2, 16, 4, 15)[..., np.random.permutation(15)].reshape(x.shape))
    np.testing.assert_allclose(net(moved).asnumpy(), net(x).asnumpy(), rtol=1e-4, atol=1e-5)
    assert np.abs((net(mx.nd.reverse(x, axis=2)) - net(x)).asnumpy()).max() > 0.01


def test_a_deploy_graph_takes_any_size(tmp_path):
    net = network(16, 32)
    symbol, params = deploy_symbol(net)
    symbol.save(str(tmp_path / 'net.json'))
    mx.nd.save(str(tmp_path / 'net.params'), params)
    graph = gluon.SymbolBlock.imports(str(tmp_path / 'net.json'), ['data'], str(tmp_path / 'net.params'))
    for shape in ((2, 16, 4, 5, 3), (1, 16, 7, 2, 7)):
        x = mx.nd.random.normal(shape=shape)
        np.testing.assert_allclose(graph(x).asnumpy(), net(x).asnumpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', ['channels', 'units', 'layers'])
def test_wrong_counts_are_named(name):
    with pytest.raises(UserError, match=f'{name} must be at least 1, got 0'):
        FrameLSTM(**{'channels': 4, name: 0})


def test_mixed_precision_leaves_it_be():
    """AMP wraps MXNet's operators for good, so in a process of its own; Gluon's own first state cannot be made then."""
    code = """
import gluon_fg, mxnet as mx
from mxnet.contrib import amp
from gluon_fg.nn import FrameLSTM
net, x = FrameLSTM(16, 32), mx.nd.random.normal(shape=(2, 16, 4, 3, 3))
net.initialize()
plain = net(x)
amp.init(target_dtype='bfloat16')
net.hybridize(static_alloc=True, static_shape=True)
with mx.autograd.record():
    y = net(x)
y.backward()
assert abs((y - plain).asnumpy()).max() < 1e-5
assert all(abs(p.grad().asnumpy()).max() > 0 for p in net.collect_params().values())
"""
    subprocess.run([sys.executable, '-c', code], check=True, timeout=300)
