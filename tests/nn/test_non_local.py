import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from gluon_fg.nn import NonLocal, freeze_batch_norm


def largest_of_four(f):
    """2x2 windows of height and width, smaller at an odd border: (N, E, T, H, W) -> (N, E, positions)."""
    f = np.pad(f, [(0, 0)] * 3 + [(0, f.shape[3] % 2), (0, f.shape[4] % 2)], constant_values=-np.inf)
    f = np.maximum.reduce([f[:, :, :, i::2, j::2] for i in (0, 1) for j in (0, 1)])
    return f.reshape(*f.shape[:2], -1)


class Reference:
    """Eqs. 1, 4, 6 in NumPy; statistics of the batch, as in training. Gradients by central differences."""

    def __init__(self, params, subsample=False):
        self.subsample = subsample
        self.params = {name: value.astype('float64') for name, value in params.items()}

    def project(self, x, name):
        w = self.params[f'{name}.weight']
        return np.einsum('oc,ncp->nop', w.reshape(w.shape[:2]), x) + self.params[f'{name}.bias'][:, None]

    def __call__(self, x):
        flat = x.reshape(*x.shape[:2], -1)
        theta, phi, g = (self.project(flat, name) for name in ('theta', 'phi', 'g'))
        if self.subsample:
            phi, g = (largest_of_four(f.reshape(*f.shape[:2], *x.shape[2:])) for f in (phi, g))
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


def block(channels, subsample=False):
    net = NonLocal(channels, subsample)
    net.initialize(mx.init.Normal(0.5))
    for p in net.bn.params.values():
        p.set_data(mx.nd.random.uniform(0.5, 1.5, shape=p.shape))
    return net


@pytest.mark.parametrize('mode', ['imperative', 'static'])
@pytest.mark.parametrize('channels, size, subsample', [
    (16, (3, 4, 5), False), (32, (2, 3, 3), False), (6, (1, 1, 3), False),
    (16, (3, 4, 4), True), (16, (2, 5, 3), True), (6, (1, 2, 7), True),
])  # fmt: skip
def test_values_and_gradients_equal_numpy(channels, size, subsample, mode):
    net = block(channels, subsample)
    if mode == 'static':
        net.hybridize(static_alloc=True, static_shape=True)
    x, up = mx.nd.random.normal(shape=(2, channels, *size)), np.random.randn(2, channels, *size)
    params = net._collect_params_with_prefix()
    reference = Reference({name: p.data().asnumpy() for name, p in params.items()}, subsample)
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


@pytest.mark.parametrize('subsample', [False, True])
def test_it_starts_as_the_identity(subsample):
    net = NonLocal(16, subsample)
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


def test_subsampling_shares_the_parameters_and_looks_at_a_quarter():
    """Where each window of four holds one value, it looks at the same things, each counted once and not four times."""
    plain, net = block(16), block(16, subsample=True)
    params = plain._collect_params_with_prefix()
    for name, p in net._collect_params_with_prefix().items():
        p.set_data(params[name].data())
    x = mx.nd.repeat(mx.nd.repeat(mx.nd.random.normal(shape=(2, 16, 2, 3, 2)), 2, axis=3), 2, axis=4)
    np.testing.assert_allclose(net(x).asnumpy(), plain(x).asnumpy(), rtol=1e-4, atol=1e-5)
