import json

import mxnet as mx
import numpy as np
import pytest
import reference
from mxnet import autograd
from mxnet.gluon import nn
from numpy.lib.stride_tricks import sliding_window_view

from gluon_fg.nn import BatchNorm3D, batch_norms, deploy_mode, deploy_symbol, freeze, freeze_batch_norm
from gluon_fg.nn.norm import clear_cached_graphs, has_statistics


def conv_norm(channels, kernel=(3, 3, 3)):
    net = nn.HybridSequential()
    net.add(nn.Conv3D(channels, kernel, padding=[k // 2 for k in kernel], in_channels=3, use_bias=False),
            BatchNorm3D(in_channels=channels))  # fmt: skip
    net.initialize(mx.init.Normal(0.3))
    for p in net[1].params.values():
        p.set_data(mx.nd.random.uniform(0.5, 1.5, shape=p.shape))
    return net


def numpy_gradients(x, w, gamma, mean, var, up, frozen):
    """Of sum(up * batch_norm(conv(x, w))): weight, gamma, beta and x."""
    y = reference.conv(x, w)
    axes, shape = (0, 2, 3, 4), (1, -1, 1, 1, 1)
    if not frozen:
        mean, var = y.mean(axes), y.var(axes)
    deviation = np.sqrt(var + 1e-5).reshape(shape)
    normal = (y - mean.reshape(shape)) / deviation
    dn = up * gamma.reshape(shape)
    dy = dn / deviation
    if not frozen:
        dy = (dn - dn.mean(axes, keepdims=True) - normal * (dn * normal).mean(axes, keepdims=True)) / deviation
    padded = np.pad(x, [(0, 0), (0, 0), *((k // 2, k // 2) for k in w.shape[2:])])
    windows = sliding_window_view(padded, w.shape[2:], axis=(2, 3, 4))
    dw = np.tensordot(dy, windows, axes=([0, 2, 3, 4], [0, 2, 3, 4]))
    dx = reference.conv(dy, np.swapaxes(w, 0, 1)[:, :, ::-1, ::-1, ::-1])
    return dw, (up * normal).sum(axes), up.sum(axes), dx


@pytest.mark.parametrize('channels', [16, 32, 64, 13])
@pytest.mark.parametrize('mode', ['imperative', 'hybrid', 'static'])
@pytest.mark.parametrize('frozen', [False, True])
def test_gradients_behind_a_convolution_equal_numpy(channels, mode, frozen):
    """Channels in multiples of 16 give oneDNN's blocked layout, where Gluon's own layer fails."""
    net = conv_norm(channels)
    if frozen:
        net[1]._kwargs['use_global_stats'] = True
    if mode != 'imperative':
        net.hybridize(static_alloc=mode == 'static', static_shape=mode == 'static')
    x = mx.nd.random.normal(shape=(2, 3, 3, 6, 5))
    x.attach_grad()
    up = np.random.randn(2, channels, 3, 6, 5)
    parts = [p.data().asnumpy().astype('float64') for p in net.collect_params().values()]
    w, gamma, beta, mean, var = parts
    with autograd.record():
        y = net(x)
        (y * mx.nd.array(up)).sum().backward()
    data = x.asnumpy().astype('float64')
    statistics = (mean, var) if frozen else (None, None)
    np.testing.assert_allclose(
        y.asnumpy(), reference.batch_norm(reference.conv(data, w), gamma, beta, *statistics), atol=1e-4
    )
    expected = numpy_gradients(data, w, gamma, mean, var, up, frozen)
    given = [net[0].weight.grad(), net[1].gamma.grad(), net[1].beta.grad(), x.grad]
    for g, e in zip(given, expected):
        assert np.linalg.norm(g.asnumpy() - e) < 1e-4 * np.linalg.norm(e)


def test_running_statistics_follow_the_batch():
    net = conv_norm(16)
    x = mx.nd.random.normal(shape=(2, 3, 3, 6, 5))
    before = net[1].running_mean.data().asnumpy()
    with autograd.record():
        y = net(x)
    y.backward()
    mx.nd.waitall()
    y = reference.conv(x.asnumpy().astype('float64'), net[0].weight.data().asnumpy())
    np.testing.assert_allclose(
        net[1].running_mean.data().asnumpy(), 0.9 * before + 0.1 * y.mean((0, 2, 3, 4)), atol=1e-5
    )


def test_parameters_are_those_of_gluons_layer(tmp_path):
    ours, theirs = BatchNorm3D(in_channels=16), nn.BatchNorm(in_channels=16)
    assert 'batchnorm' in ours.name
    for layer in (ours, theirs):
        layer.initialize()
    for p in theirs.params.values():
        p.set_data(mx.nd.random.uniform(0.5, 1.5, shape=p.shape))
    theirs.save_parameters(str(tmp_path / 'norm.params'))
    ours.load_parameters(str(tmp_path / 'norm.params'))
    x = mx.nd.random.normal(shape=(2, 16, 2, 3, 4))
    np.testing.assert_array_equal(ours(x).asnumpy(), theirs(x).asnumpy())


def test_deploy_mode_traces_one_operator_and_leaves_training_alone():
    net = conv_norm(16)
    net.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.random.normal(shape=(2, 3, 3, 6, 5))
    before = net(x).asnumpy()
    symbol, params = deploy_symbol(net)
    operators = [node['op'] for node in json.loads(symbol.tojson())['nodes'] if node['op'] != 'null']
    assert operators == ['Convolution', 'BatchNorm']
    assert sorted(k.split(':')[0] for k in params) == ['arg', 'arg', 'arg', 'aux', 'aux']
    with pytest.raises(KeyError), deploy_mode():
        raise KeyError  # an error inside must not leave the mode on
    with autograd.record():
        y = net(x)
    y.backward()
    np.testing.assert_array_equal(net(x).shape, before.shape)
    assert 'Reshape' in net(mx.sym.var('data')).tojson()


def two_stage():
    net = nn.HybridSequential()
    net.add(conv_norm(16), nn.HybridSequential())
    net[1].add(nn.Conv3D(16, 1, in_channels=16), BatchNorm3D(in_channels=16))
    net[1].initialize()
    return net


def test_batch_norms_are_found_in_order_and_once():
    net = two_stage()
    net.register_child(net[0][1], 'again')
    assert batch_norms(net) == [net[0][1], net[1][1]]


@pytest.mark.parametrize('keep_first', [False, True])
def test_freezing_reaches_all_layers_also_in_traced_graphs(keep_first):
    net = two_stage()
    net.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.random.normal(shape=(4, 3, 3, 6, 5))
    with autograd.record():
        net(x).sum().backward()  # a graph with learning batch norm exists
    assert freeze_batch_norm(net, keep_first) == batch_norms(net)[keep_first:]
    before = [[p.data().asnumpy() for p in layer.params.values()] for layer in batch_norms(net)]
    trainer = mx.gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.1})
    with autograd.record():
        (net(x) ** 2).sum().backward()
    trainer.step(1, ignore_stale_grad=True)
    mx.nd.waitall()  # running statistics are written unannounced
    same = [all((a == b.data().asnumpy()).all() for a, b in zip(values, layer.params.values()))
            for values, layer in zip(before, batch_norms(net))]  # fmt: skip
    assert same == [not keep_first, True]


def test_layers_without_statistics_go_on_learning_where_that_is_asked_for():
    net = two_stage()
    for layer in batch_norms(net):
        layer.initialize(force_reinit=True)
    x = mx.nd.random.normal(shape=(4, 3, 3, 6, 5))
    assert freeze_batch_norm(net, only=has_statistics) == []
    net[0][1].running_mean.set_data(mx.nd.ones(16))
    assert freeze_batch_norm(net, only=has_statistics) == [net[0][1]]
    with autograd.record():
        (net(x) ** 2).sum().backward()
    mx.nd.waitall()
    assert has_statistics(net[1][1])  # it learned


def test_frozen_blocks_are_as_before_once_they_are_thawed():
    net = two_stage()
    net[1][0].bias.grad_req = 'add'
    before = [p.grad_req for p in net.collect_params().values()]
    thaw = freeze(net[1])
    assert {p.grad_req for p in net[1].collect_params().values()} == {'null'}
    assert net[1][1]._kwargs['use_global_stats'] and not net[0][1]._kwargs['use_global_stats']
    first = [p.grad_req for p in net[0].collect_params().values()]
    assert first == before[: len(first)]
    thaw()
    assert [p.grad_req for p in net.collect_params().values()] == before
    assert not net[1][1]._kwargs['use_global_stats']


def test_cleared_graphs_are_traced_again():
    net = conv_norm(16)
    net.hybridize()
    x = mx.nd.random.normal(shape=(1, 3, 2, 4, 4))
    net(x)
    clear_cached_graphs(net)
    assert net._cached_op is None
    net(x)
    assert net._cached_op is not None
