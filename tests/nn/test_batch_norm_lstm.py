"""The batch-normalized LSTM against PyTorch's float64, written down from the paper's equations alone."""

import subprocess
import sys
import warnings

import mxnet as mx
import numpy as np
import pytest
import torch
from mxnet import autograd, gluon
from mxnet.gluon import nn

from gluon_fg.errors import UserError
from gluon_fg.nn import BatchNormLSTM, StepNorm, batch_norms, deploy_symbol, freeze, freeze_batch_norm
from gluon_fg.nn.batch_norm_lstm import PerLength, set_length

STATIC = dict(static_alloc=True, static_shape=True)
MODES = [None, {}, STATIC]
SIZES = [(16, 16, 4), (5, 7, 3), (33, 16, 2)]


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():  # a short sequence leaves parameters of later steps out, which Gluon lists
        warnings.filterwarnings('ignore', 'Parameter .* is not used by any computation')
        yield


def network(channels=5, units=7, steps=4, mode=None):
    """Random weights, and statistics for which no normalization is the identity."""
    net = BatchNormLSTM(channels, units, steps)
    net.initialize(mx.init.Normal(0.3))
    for name, p in net._collect_params_with_prefix().items():
        kind = name.split('.')[-1]
        if kind == 'running_var' or kind.endswith('gamma'):
            p.set_data(mx.nd.random.uniform(0.5, 1.5, shape=p.shape))
        elif kind in ('running_mean', 'bias', 'cell_beta'):
            p.set_data(mx.nd.random.normal(scale=0.4, shape=p.shape))
    if mode is not None:
        net.hybridize(**mode)
    return net


class Reference:
    """Cooijmans et al. 2017, eqs. 6 to 8; `statistics`: of the batch, or those kept for each step."""

    def __init__(self, net):
        self.steps = net.steps
        self.params = {
            name: torch.tensor(p.data().asnumpy().astype('float64'), requires_grad=p.grad_req != 'null')
            for name, p in net._collect_params_with_prefix().items()
        }

    def norm(self, x, kind, at, gamma, beta, statistics):
        if statistics == 'batch':
            mean, var = x.mean(0), x.var(0, unbiased=False)
        else:
            last = self.steps - (2 if kind == 'hidden' else 1)
            name = f'{kind}_norms.{min(at, last)}'
            mean, var = self.params[f'{name}.running_mean'], self.params[f'{name}.running_var']
        return (x - mean) / torch.sqrt(var + 1e-5) * gamma + beta

    def __call__(self, x, statistics):
        p = self.params
        h = torch.zeros(len(x), p['h2h_weight'].shape[1], dtype=torch.float64)
        c, states = torch.zeros_like(h), []
        for t in range(x.shape[1]):
            gates = self.norm(x[:, t] @ p['i2h_weight'].T, 'input', t, p['input_gamma'], 0, statistics) + p['bias']
            if t:
                gates = gates + self.norm(h @ p['h2h_weight'].T, 'hidden', t - 1, p['hidden_gamma'], 0, statistics)
            i, f, g, o = gates.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(self.norm(c, 'cell', t, p['cell_gamma'], p['cell_beta'], statistics))
            states.append(h)
        return torch.stack(states, 1)


def double(array, **kwargs):
    return torch.tensor(array.asnumpy().astype('float64'), **kwargs)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('channels, units, steps', SIZES)
def test_values_equal_pytorch_for_one_length_after_another(channels, units, steps, mode):
    """Longer than there are statistics, and shorter; whole clips and single ones."""
    net = network(channels, units, steps, mode)
    for count, length in ((3, steps), (2, steps + 3), (3, 1), (1, steps + 1), (3, steps)):
        x = mx.nd.random.normal(shape=(count, length, channels))
        expected = Reference(net)(double(x), 'kept').detach().numpy()
        assert net(x).shape == (count, length, units)
        np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('channels, units, steps', SIZES)
def test_training_and_gradients_equal_pytorch(channels, units, steps, mode):
    net = network(channels, units, steps, mode)
    for count, length in ((6, steps), (5, steps + 2), (6, steps)):
        x, up = mx.nd.random.normal(shape=(count, length, channels)), np.random.randn(count, length, units)
        mx.nd.waitall()
        reference, given = Reference(net), double(x, requires_grad=True)
        expected = reference(given, 'batch')
        (expected * torch.tensor(up)).sum().backward()
        x.attach_grad()
        with autograd.record():
            y = net(x)
        y.backward(mx.nd.array(up))
        np.testing.assert_allclose(y.asnumpy(), expected.detach().numpy(), rtol=1e-3, atol=1e-4)
        found = {'x': x.grad.asnumpy()}
        wanted = {'x': given.grad.numpy()}
        for name, p in net._collect_params_with_prefix().items():
            if p.grad_req != 'null':
                found[name], wanted[name] = p.grad().asnumpy(), reference.params[name].grad.numpy()
        assert set(found) == {
            'x', 'i2h_weight', 'h2h_weight', 'bias', 'input_gamma', 'hidden_gamma', 'cell_gamma', 'cell_beta',
        }  # fmt: skip
        for name, gradient in found.items():
            error = np.linalg.norm(gradient - wanted[name])
            assert error <= 2e-3 * np.linalg.norm(wanted[name]) + 1e-4, name


# What jihunchoi/recurrent-batch-normalization-pytorch (bnlstm.py, commit 61736ec) gives for the parameters and input
# below, from statistics of 2 steps and of the batch: the states of the first two of four sequences of 3 steps.
PUBLIC_PORT = {
    False: [[-0.75195, 0.41794, -0.42171, 0.42048, -0.22347, 0.29744],
            [-0.18949, 0.22342, -0.29271, 0.15237, -0.72456, 0.29607]],
    True: [[-0.51468, 0.47834, -0.04199, 0.55777, -0.01797, 0.37381],
           [-0.02251, -0.20216, 0.04105, -0.09101, -0.45309, 0.20965]],
}  # fmt: skip


def wave(*shape, start):
    return np.sin(np.arange(start, start + int(np.prod(shape))) * 1.7).reshape(shape)


@pytest.mark.parametrize('training', [False, True])
def test_it_gives_what_a_public_port_of_the_paper_gives(training):
    net = BatchNormLSTM(3, 2, 2)
    net.initialize()
    values = {
        'i2h_weight': wave(8, 3, start=1), 'h2h_weight': wave(8, 2, start=30), 'bias': wave(8, start=60),
        'input_gamma': 1 + 0.5 * wave(8, start=70), 'hidden_gamma': 1 + 0.5 * wave(8, start=80),
        'cell_gamma': 1 + 0.5 * wave(2, start=90), 'cell_beta': wave(2, start=95), 'hidden_beta': np.zeros(8),
    }  # fmt: skip
    for norm, size, start in (('input_norms.0', 8, 100), ('input_norms.1', 8, 130), ('hidden_norms.0', 8, 160),
                              ('cell_norms.0', 2, 190), ('cell_norms.1', 2, 220)):  # fmt: skip
        values[f'{norm}.running_mean'] = wave(size, start=start)
        values[f'{norm}.running_var'] = 1 + 0.5 * wave(size, start=start + 20)
    params = net._collect_params_with_prefix()
    assert set(params) == set(values)
    for name, p in params.items():
        p.set_data(mx.nd.array(values[name]))
    with autograd.train_mode() if training else autograd.predict_mode():
        states = net(mx.nd.array(wave(4, 3, 3, start=300))).asnumpy()
    np.testing.assert_allclose(states[:2].reshape(2, -1), PUBLIC_PORT[training], rtol=0, atol=2e-5)


def test_every_step_keeps_statistics_of_its_own():
    net, length = network(steps=3), 5
    before = {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}
    x = mx.nd.random.normal(shape=(8, length, 5)) * mx.nd.array([1, 3, 9, 27, 81]).reshape((1, length, 1))
    sums = np.einsum('ntc,uc->ntu', x.asnumpy(), before['i2h_weight'])
    with autograd.record():
        y = net(x)
    y.backward()
    mx.nd.waitall()
    for t in (0, 1):
        moved = 0.9 * before[f'input_norms.{t}.running_var'] + 0.1 * sums[:, t].var(0)
        np.testing.assert_allclose(net.input_norms[t].running_var.data().asnumpy(), moved, rtol=1e-3)
    kept = before['input_norms.2.running_var']
    for t in (2, 3, 4):  # the last one goes on with what is behind it
        kept = 0.9 * kept + 0.1 * sums[:, t].var(0)
    np.testing.assert_allclose(net.input_norms[2].running_var.data().asnumpy(), kept, rtol=1e-3)
    assert len(batch_norms(net)) == 3 + 2 + 3 and all(isinstance(layer, StepNorm) for layer in batch_norms(net))


def test_it_starts_as_the_paper_and_its_code_have_it():
    net = BatchNormLSTM(6, 8, 3)
    net.initialize()
    values = {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}
    for name in ('input_gamma', 'hidden_gamma', 'cell_gamma'):
        np.testing.assert_array_equal(values[name], np.float32(0.1))
    assert not values['cell_beta'].any() and not values['hidden_beta'].any()
    np.testing.assert_array_equal(values['bias'], np.repeat([0, 1, 0, 0], 8))
    np.testing.assert_allclose(values['h2h_weight'].T @ values['h2h_weight'], np.eye(8), atol=1e-5)
    # gammas and betas are one for all steps, and one in a file
    assert sum('gamma' in name for name in values) == 3 and len(list(net.collect_params())) == len(values)


def test_it_knows_the_order_of_steps():
    net = network(16, 16, 4)
    x = mx.nd.random.normal(shape=(2, 4, 16))
    assert np.abs((net(mx.nd.reverse(x, axis=1)) - net(x)).asnumpy()[:, -1]).max() > 0.01
    cut = net(x)[:, :2]
    np.testing.assert_allclose(net(x[:, :2]).asnumpy(), cut.asnumpy(), rtol=1e-5, atol=1e-6)  # no step sees later ones


@pytest.mark.parametrize('mode', MODES)
def test_frozen_batch_norm_is_that_of_use(mode):
    net = network(mode=mode)
    layers = freeze_batch_norm(net)
    assert len(layers) == 4 + 3 + 4
    x = mx.nd.random.normal(shape=(3, 4, 5))
    expected = Reference(net)(double(x), 'kept').detach().numpy()
    before = net.input_norms[1].running_mean.data().asnumpy()
    with autograd.record():
        y = net(x)
    y.backward()
    mx.nd.waitall()
    np.testing.assert_allclose(y.asnumpy(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(net.input_norms[1].running_mean.data().asnumpy(), before)
    left = {name for name, p in net._collect_params_with_prefix().items() if p.grad_req != 'null'}
    assert left == {'i2h_weight', 'h2h_weight'}  # all gammas and betas, of which the bias is one, stay
    undo = freeze(net)
    assert all(p.grad_req == 'null' for p in net.collect_params().values())
    undo()
    assert net.i2h_weight.grad_req == 'write'


def test_a_block_around_it_traces_anew_for_another_length(tmp_path):
    class Clips(PerLength, nn.HybridSequential):
        def hybrid_forward(self, F, x):
            return super().hybrid_forward(F, F.transpose(F.mean(x, axis=(3, 4)), axes=(0, 2, 1)))

    inner, outer = Clips(prefix='inner_'), Clips(prefix='outer_')
    inner.add(network(steps=3))
    outer.hybrid_forward = lambda F, x: inner(x)
    outer.register_child(inner)
    given = [mx.nd.random.normal(shape=(2, 5, length, 1, 1)) for length in (3, 6)]
    expected = [inner(x).asnumpy() for x in given]
    outer.hybridize(**STATIC)
    # each has a graph of its own, of which the other may be of another length
    for block, number in ((outer, 0), (inner, 1), (outer, 1), (outer, 0), (inner, 0), (inner, 1), (outer, 0)):
        np.testing.assert_allclose(block(given[number]).asnumpy(), expected[number], rtol=1e-5, atol=1e-6)
    assert set_length(outer, 6) and not set_length(nn.Dense(3), 6)
    symbol, params = deploy_symbol(outer)
    symbol.save(str(tmp_path / 'net.json'))
    mx.nd.save(str(tmp_path / 'net.params'), params)
    graph = gluon.SymbolBlock.imports(str(tmp_path / 'net.json'), ['data'], str(tmp_path / 'net.params'))
    np.testing.assert_allclose(graph(given[1]).asnumpy(), expected[1], rtol=1e-5, atol=1e-6)
    with pytest.raises(mx.MXNetError):  # of another length it says so, and does not leave steps out
        graph(given[0]).wait_to_read()


@pytest.mark.parametrize('name, least', [('channels', 1), ('units', 1), ('steps', 2)])
def test_wrong_sizes_are_named(name, least):
    with pytest.raises(UserError, match=f'{name} must be at least {least}, got {least - 1}'):
        BatchNormLSTM(**{'channels': 4, name: least - 1})


def test_mixed_precision_leaves_it_be():
    """AMP wraps MXNet's operators for good, so in a process of its own."""
    code = """
import gluon_fg, mxnet as mx
from mxnet.contrib import amp
from gluon_fg.nn import BatchNormLSTM
net, x = BatchNormLSTM(16, 32, 4), mx.nd.random.normal(shape=(6, 4, 16))
net.initialize(mx.init.Normal(0.3))
net.hybridize(static_alloc=True, static_shape=True)
with mx.autograd.train_mode():
    plain = net(x).asnumpy()
amp.init(target_dtype='bfloat16')
net.hybridize(static_alloc=True, static_shape=True)
with mx.autograd.record():
    y = net(x).astype('float32')
y.backward(mx.nd.random.normal(shape=y.shape))
assert abs(y.asnumpy() - plain).max() < 0.02 and abs(plain).max() > 0.05
params = [p for p in net.collect_params().values() if p.grad_req != 'null']
assert len(params) == 7 and all(abs(p.grad().asnumpy()).max() > 0 for p in params)
"""
    subprocess.run([sys.executable, '-c', code], check=True, timeout=300)
