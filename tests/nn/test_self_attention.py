import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from mxnet.gluon import nn

from gluon_fg.errors import UserError
from gluon_fg.nn import SelfAttention, deploy_symbol

STATIC = dict(static_alloc=True, static_shape=True)


class Reference:
    """Scaled dot-product attention, head by head, then layer norm; float64. Gradients by central differences."""

    def __init__(self, net, heads):
        params = net._collect_params_with_prefix()
        self.params = {name: p.data().asnumpy().astype('float64') for name, p in params.items()}
        self.heads = heads

    def project(self, x, name):
        w = self.params[f'{name}.weight']
        return np.einsum('oc,ncp->nop', w.reshape(w.shape[:2]), x)

    def __call__(self, x):
        flat = x.reshape(*x.shape[:2], -1)
        found = []
        for q, k, v in zip(*(np.split(self.project(flat, n), self.heads, 1) for n in ('query', 'key', 'value'))):
            e = np.einsum('ncp,ncq->npq', q, k) / np.sqrt(q.shape[1])
            e = np.exp(e - e.max(2, keepdims=True))
            found.append(np.einsum('npq,ncq->ncp', e / e.sum(2, keepdims=True), v))
        y = flat + self.project(np.concatenate(found, 1), 'out')
        y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 1e-5)
        return (y * self.params['norm.gamma'][:, None] + self.params['norm.beta'][:, None]).reshape(x.shape)

    def slope(self, x, up, name, direction, step=1e-6):
        """Of sum(up * output) along a direction of a parameter, or of the input ('x')."""
        array = x if name == 'x' else self.params[name]
        values = []
        for sign in (1, -1):
            array += sign * step * direction
            values.append((self(x) * up).sum())
            array -= sign * step * direction
        return (values[0] - values[1]) / (2 * step)


def block(channels, heads):
    net = SelfAttention(channels, heads)
    net.initialize()
    for p in net.norm.params.values():
        p.set_data(mx.nd.random.uniform(0.5, 1.5, shape=p.shape))
    return net


@pytest.mark.parametrize('static', [False, True])
@pytest.mark.parametrize(
    'channels, heads, size',
    [(16, 4, (3, 4, 5)), (32, 1, (2, 3, 3)), (6, 3, (1, 1, 3)), (15, 5, (3, 5, 7)), (64, 8, (1, 1, 1))],
)
def test_values_and_gradients_equal_numpy(channels, heads, size, static):
    net = block(channels, heads)
    if static:
        net.hybridize(**STATIC)
    reference = Reference(net, heads)
    for count in (2, 3, 1):  # one batch size after another
        x, up = mx.nd.random.normal(shape=(count, channels, *size)), np.random.randn(count, channels, *size)
        x.attach_grad()
        with autograd.record():
            y = net(x)
        y.backward(mx.nd.array(up))
        data = x.asnumpy().astype('float64')
        np.testing.assert_allclose(y.asnumpy(), reference(data), rtol=1e-4, atol=1e-4)
        given = {name: p.grad().asnumpy() for name, p in net._collect_params_with_prefix().items()}
        assert len(given) == 6
        scale = max(np.linalg.norm(g) for g in given.values())
        for name, gradient in {**given, 'x': x.grad.asnumpy()}.items():
            for _ in range(3):
                direction = np.random.randn(*gradient.shape)
                expected = reference.slope(data, up, name, direction)
                assert abs((gradient * direction).sum() - expected) <= 1e-3 * np.linalg.norm(gradient) + 1e-5 * scale, (
                    name
                )


def test_between_convolutions_it_is_the_same_in_a_graph():
    """Their outputs come in oneDNN's own layouts, which a reshape behind a reshape cannot follow."""
    net = nn.HybridSequential()
    net.add(
        nn.Conv3D(16, 3, padding=1, in_channels=16),
        SelfAttention(16, 4),
        SelfAttention(16, 8),
        nn.Conv3D(32, 1, in_channels=16),
    )
    net.initialize(mx.init.Normal(0.3))
    x, slopes, values = mx.nd.random.normal(shape=(2, 16, 3, 5, 4)), [], []
    up = mx.nd.random.normal(shape=(2, 32, 3, 5, 4))
    for mode in (None, {}, STATIC):
        if mode is not None:
            net.hybridize(**mode)
        with autograd.record():
            y = net(x)
        y.backward(up)
        values.append(y.asnumpy())
        slopes.append([p.grad().asnumpy() for p in net.collect_params().values()])
    for other in (1, 2):
        np.testing.assert_allclose(values[other], values[0], rtol=1e-4, atol=1e-5)
        for a, b in zip(slopes[other], slopes[0]):
            assert np.linalg.norm(a - b) <= 1e-4 * np.linalg.norm(b) + 1e-5


def test_it_knows_no_order_and_no_place():
    net = block(16, 4)
    x = mx.nd.random.normal(shape=(2, 16, 4, 3, 5))
    order = np.random.permutation(60)
    shuffled = mx.nd.array(x.asnumpy().reshape(2, 16, 60)[:, :, order].reshape(x.shape))
    plain, moved = net(x).asnumpy(), net(shuffled).asnumpy()
    np.testing.assert_allclose(plain.reshape(2, 16, 60)[:, :, order], moved.reshape(2, 16, 60), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(plain.mean((2, 3, 4)), moved.mean((2, 3, 4)), rtol=1e-4, atol=1e-5)
    assert not np.allclose(plain, moved, atol=0.1)


def test_every_position_sees_every_other_one_and_no_other_clip():
    net = block(16, 2)
    x = mx.nd.random.normal(shape=(2, 16, 3, 3, 3))
    x.attach_grad()
    with autograd.record():
        net(x)[0, :3, 0, 0, 0].sum().backward()
    reach = np.abs(x.grad.asnumpy()).sum(1)
    assert (reach[0] > 0).all() and (reach[1] == 0).all()


def test_a_deploy_graph_takes_any_size(tmp_path):
    net = block(16, 4)
    symbol, params = deploy_symbol(net)
    symbol.save(str(tmp_path / 'net.json'))
    mx.nd.save(str(tmp_path / 'net.params'), params)
    graph = mx.gluon.SymbolBlock.imports(str(tmp_path / 'net.json'), ['data'], str(tmp_path / 'net.params'))
    for shape in ((2, 16, 4, 5, 3), (1, 16, 1, 2, 7)):
        x = mx.nd.random.normal(shape=shape)
        np.testing.assert_allclose(graph(x).asnumpy(), net(x).asnumpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('heads', [0, 3])
def test_heads_must_divide_the_channels(heads):
    with pytest.raises(UserError, match=f'heads must divide the 16 channels, got {heads}'):
        SelfAttention(16, heads)
