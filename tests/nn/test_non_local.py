import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from gluon_fg.nn import NonLocal, freeze_batch_norm


class Reference:
    """Eqs. 1, 4, 6 in NumPy; statistics of the batch, as in training. Gradients by central differences."""

    def __init__(self, params):
        self.params = {name: value.astype('float64') for name, value in params.items()}

    def project(self, x, name):
        w = self.params[f'{name}.weight']
        return np.einsum('oc,ncp->nop', w.reshape(w.shape[:2]), x) + self.params[f'{name}.bias'][:, None]

    def __call__(self, x):
        flat = x.reshape(*x.shape[:2], -1)
        theta, phi, g = (self.project(flat, name) for name in ('theta', 'phi', 'g'))
        e = np.einsum('nep,neq->npq', theta, phi) / np.sqrt(theta.shape[1])
        e = np.exp(e - e.max(2, keepdims=True))
        y = np.einsum('npq,neq->nep', e / e.sum(2, keepdims=True), g)
        y = self.project(y, 'W')
        mean, var = y.mean((0, 2), keepdims=True), y.var((0, 2), keepdims=True)
        y = (y - mean) / np.sqrt(var + 1e-5) * self.params['bn.gamma'][:, None] + self.params['bn.beta'][:, None]
        return (flat + y).reshape(x.shape)

    def slope(self, x, up, name, index, step=1e-5):
        """Of sum(up * output) for one entry of a parameter, or of the input ('x')."""
        array = x if name == 'x' else self.params[name]
        values = []
        for sign in (1, -1):
            array[index] += sign * step
            values.append((self(x) * up).sum())
            array[index] -= sign * step
        return (values[0] - values[1]) / (2 * step)


def block(channels):
    net = NonLocal(channels)
    net.initialize(mx.init.Normal(0.5))
    for p in net.bn.params.values():
        p.set_data(mx.nd.random.uniform(0.5, 1.5, shape=p.shape))
    return net


@pytest.mark.parametrize('mode', ['imperative', 'static'])
@pytest.mark.parametrize('channels, size', [(16, (3, 4, 5)), (32, (2, 3, 3)), (6, (1, 1, 3))])
def test_values_and_gradients_equal_numpy(channels, size, mode):
    net = block(channels)
    if mode == 'static':
        net.hybridize(static_alloc=True, static_shape=True)
    x, up = mx.nd.random.normal(shape=(2, channels, *size)), np.random.randn(2, channels, *size)
    params = net._collect_params_with_prefix()
    reference = Reference({name: p.data().asnumpy() for name, p in params.items()})
    x.attach_grad()
    with autograd.record():
        z = net(x)
        (z * mx.nd.array(up)).sum().backward()
    data = x.asnumpy().astype('float64')
    np.testing.assert_allclose(z.asnumpy(), reference(data), rtol=1e-4, atol=1e-4)
    given = {name: p.grad().asnumpy() for name, p in params.items() if p.grad_req != 'null'}
    assert len(given) == 10
    # A shift of all keys by one vector changes no softmax, and batch norm takes W's shift away: both slopes are 0.
    scale = max(np.abs(g).max() for g in given.values())
    for name, gradient in {**given, 'x': x.grad.asnumpy()}.items():
        for _ in range(4):
            index = tuple(np.random.randint(n) for n in gradient.shape)
            expected = reference.slope(data, up, name, index)
            assert abs(gradient[index] - expected) <= 1e-3 * abs(expected) + 1e-5 * scale, name


def test_it_starts_as_the_identity():
    net = NonLocal(16)
    net.initialize(mx.init.Normal(0.5))
    x = mx.nd.random.normal(shape=(1, 16, 2, 3, 4))
    np.testing.assert_array_equal(net(x).asnumpy(), x.asnumpy())


def test_every_position_sees_every_other_one_and_no_other_clip():
    net = block(16)
    freeze_batch_norm(net)  # statistics of a batch would mix the clips
    x = mx.nd.random.normal(shape=(2, 16, 3, 3, 3))
    x.attach_grad()
    with autograd.record():
        net(x)[0, :, 0, 0, 0].sum().backward()
    reach = np.abs(x.grad.asnumpy()).sum(1)
    assert (reach[0] > 0).all() and (reach[1] == 0).all()
