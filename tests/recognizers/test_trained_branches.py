"""Branches that are set aside do not count in the prediction, in whatever form the network runs."""

import warnings

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from networks import randomize_norms

from gluon_fg import get_model
from gluon_fg.deploy.fused import fuse
from gluon_fg.errors import UserError
from gluon_fg.nn import deploy_symbol

STATIC = dict(static_alloc=True, static_shape=True)
SUBSETS = [('avg',), ('avg', 'max'), ('max', 'xchannel'), ('avg', 'max', 'xchannel')]


@pytest.fixture(params=['i3d_tiny_custom_dfb', 'tsn_tiny_custom_dfb'])
def net(request):
    net = get_model(request.param, nclass=7)
    return randomize_norms(net)


def views(net, count=2):
    spec = net.input_spec
    shape = (count, 3, 8, 32, 32) if spec.ndim == 3 else (count * spec.segments, 3, 32, 32)
    return mx.nd.random.normal(shape=shape)


def expected(net, x, names):
    """The sum of the named branches, imperatively, from what the whole network returns."""
    return sum(z.asnumpy() for name, z in zip(net.branch_names, net.branches(x)) if name in names)


@pytest.mark.parametrize('hybrid', [False, True])
def test_the_prediction_is_the_sum_of_those_that_count(net, hybrid):
    x = views(net)
    assert net.trained_branches == ('avg', 'max', 'xchannel')
    sums = {names: expected(net, x, names) for names in SUBSETS}
    others = [z.asnumpy() for z in net.branches(x)[1:]]
    net.hybridize(hybrid, **STATIC)
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)  # MXNet lists parameters that a graph does not use
        for names in (*SUBSETS, *reversed(SUBSETS)):
            net.trained_branches = reversed(names)
            assert net.trained_branches == names
            np.testing.assert_allclose(net(x).asnumpy(), sums[names], rtol=1e-4, atol=1e-4)
            comb, *rest = net.branches(x)
            np.testing.assert_allclose(comb.asnumpy(), sums[names], rtol=1e-4, atol=1e-4)
            for a, b in zip(rest, others):
                np.testing.assert_allclose(a.asnumpy(), b, rtol=1e-4, atol=1e-4)
    net.trained_branches = 'max'
    net.trained_branches = None
    assert net.trained_branches == ('avg', 'max', 'xchannel')
    np.testing.assert_allclose(net(x).asnumpy(), sums[SUBSETS[-1]], rtol=1e-4, atol=1e-4)


def test_the_fused_graph_and_exports_hold_what_counts(net, tmp_path):
    x = views(net)
    net.trained_branches = ('avg',)
    plain = [z.asnumpy() for z in net.branches(x)]
    np.testing.assert_array_equal(plain[0], plain[1])
    for a, b in zip(fuse(net)(x), plain):
        np.testing.assert_allclose(a.asnumpy(), b, rtol=1e-4, atol=1e-4)
    net.hybridize(**STATIC)
    net(x)
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        net.export(str(tmp_path / 'own'))
    symbol, params = deploy_symbol(net)
    symbol.save(str(tmp_path / 'deploy-symbol.json'))
    mx.nd.save(str(tmp_path / 'deploy-0000.params'), params)
    for name in ('own', 'deploy'):
        graph = [str(tmp_path / f'{name}-symbol.json'), ['data'], str(tmp_path / f'{name}-0000.params')]
        np.testing.assert_allclose(gluon.SymbolBlock.imports(*graph)(x).asnumpy(), plain[1], rtol=1e-4, atol=1e-4)
        assert not any('filters' in key for key in mx.nd.load(graph[2]))


def test_every_branch_is_saved_and_loaded(net, tmp_path):
    x = views(net)
    net.trained_branches = ('avg',)
    net.save_parameters(str(tmp_path / 'net.params'))
    other = get_model(net.name, nclass=7)
    other.load_parameters(str(tmp_path / 'net.params'))
    net.trained_branches = None
    for a, b in zip(net.branches(x), other.branches(x)):
        np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())


def test_every_branch_still_learns_from_its_own_loss(net):
    net.hybridize(**STATIC)
    net.trained_branches = ('avg',)
    with autograd.record():
        loss = net.loss(net.branches(views(net)), mx.nd.array([1, 2]))
    loss.backward()
    for name, p in net._collect_params_with_prefix().items():
        if p.grad_req != 'null':
            assert np.abs(p.grad().asnumpy()).max() > 0, name


@pytest.mark.parametrize('names, message', [
    (('comb',), "unknown branch of .*tiny_custom_dfb 'comb'; choose from avg, max, xchannel"),
    (('avg', 'mx'), "unknown branch of .* 'mx'; did you mean 'max'"),
    ((), 'name at least one of avg, max, xchannel'),
])  # fmt: skip
def test_what_is_no_branch_is_refused(net, names, message):
    with pytest.raises(UserError, match=message) as caught:
        net.trained_branches = names
    assert '\n' not in str(caught.value) and net.trained_branches == ('avg', 'max', 'xchannel')


def test_a_baseline_has_one():
    net = get_model('i3d_tiny_custom', nclass=3)
    assert net.trained_branches == ('avg',)
    net.trained_branches = 'avg'
    with pytest.raises(UserError, match="'max'; choose from avg"):
        net.trained_branches = ('max',)
