"""DFB against an independent NumPy network that knows only parameters and the paper's equations."""

import mxnet as mx
import numpy as np
import pytest
import reference
from mxnet import autograd
from networks import CLASSES, parameters, randomized

from gluon_fg import factory
from gluon_fg.errors import UserError
from gluon_fg.recognizers import DFB


def batch(net, videos, frames, height, width):
    if net.input_spec.ndim == 3:
        return mx.nd.random.normal(shape=(videos, 3, frames, height, width))
    return mx.nd.random.normal(shape=(videos * net.num_segments, 3, height, width))


VARIANTS = [
    ('i3d_tiny_synthfg', {}),
    ('i3d_tiny_synthfg_dfb', {}),
    ('i3d_tiny_synthfg_dfb', {'filter_bank': False}),
    ('i3d_tiny_synthfg_dfb', {'local_branch': False, 'filters_per_class': 3}),
    ('i3d_tiny_synthfg_dfb', {'skip': 'concat'}),
    ('i3d_tiny_synthfg_dfb', {'skip': 'none'}),
    ('tsn_tiny_synthfg', {'num_segments': 2}),
    ('tsn_tiny_synthfg_dfb', {'num_segments': 3}),
    ('tsn_tiny_synthfg_dfb', {'num_segments': 1, 'local_branch': False}),
]


@pytest.mark.parametrize('name, options', VARIANTS)
@pytest.mark.parametrize('static', [False, True])
def test_every_branch_and_the_loss_equal_numpy(name, options, static):
    net = randomized(name, **options)
    if static:
        net.hybridize(static_alloc=True, static_shape=True)
    x = batch(net, 2, 3, 48, 52)
    label = mx.nd.array([1, 4])
    network = reference.TinyDFB(parameters(net), CLASSES, 'running', options.get('skip', 'add'), net.num_segments)
    expected, outputs = network(x.asnumpy()), net.branches(x)
    assert len(outputs) == len(expected) == len(net.branch_names)
    for z, e in zip(outputs, expected):
        np.testing.assert_allclose(z.asnumpy(), e, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(net(x).asnumpy(), expected[0], rtol=1e-3, atol=1e-3)
    losses = [reference.cross_entropy(z, label.asnumpy().astype(int)) for z in expected]
    named = net.named_losses(outputs, label)
    assert tuple(named) == net.branch_names
    for value, e in zip(named.values(), losses):
        np.testing.assert_allclose(value.asnumpy(), e, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(net.loss(outputs, label).asnumpy(), sum(losses), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('name, options, size', [
    ('i3d_tiny_synthfg_dfb', {}, (4, 40, 36)),                       # maps of 5 x 5: the up-sampled 6 x 6 is cut
    ('i3d_tiny_synthfg_dfb', {'skip': 'concat'}, (3, 33, 48)),
    ('i3d_tiny_synthfg_dfb', {'local_branch': False}, (4, 40, 36)),
    ('tsn_tiny_synthfg_dfb', {'num_segments': 2}, (1, 40, 36)),
])  # fmt: skip
def test_gradient_of_eq_1_is_the_slope_of_numpys_loss(name, options, size):
    """Batch statistics and all; NumPy's loss is differenced in float64, along the gradient and random noise."""
    net = randomized(name, **options)
    net.hybridize(static_alloc=True, static_shape=True)
    x, label = batch(net, 3, *size), np.array([0, 3, 4])
    with autograd.record():
        loss = net.loss(net.branches(x), mx.nd.array(label))
    loss.backward()
    params, skip = parameters(net), options.get('skip', 'add')
    start = reference.TinyDFB(params, CLASSES, 'batch', skip, net.num_segments).loss(x.asnumpy(), label)
    np.testing.assert_allclose(loss.asnumpy().sum(), start, rtol=1e-4)
    rng = np.random.default_rng(0)
    for key, p in net._collect_params_with_prefix().items():
        if p.grad_req == 'null':
            continue
        gradient = p.grad().asnumpy().astype('float64')
        size = np.linalg.norm(gradient)
        assert size > 0, key
        noise = rng.standard_normal(gradient.shape)
        direction = gradient / size + noise / np.linalg.norm(noise)
        step = 1e-6 * max(1.0, np.abs(params[key]).max()) / np.abs(direction).max()
        ends = [reference.TinyDFB({**params, key: params[key] + sign * step * direction}, CLASSES, 'batch', skip,
                                  net.num_segments).loss(x.asnumpy(), label) for sign in (1, -1)]  # fmt: skip
        slope = (ends[0] - ends[1]) / (2 * step)
        # a ReLU or maximum that float32 decides otherwise moves the gradient by about one percent at most
        assert slope == pytest.approx((gradient * direction).sum(), rel=2e-2), key


@pytest.mark.parametrize('name', ['tsn_tiny_synthfg', 'tsn_tiny_synthfg_dfb'])
@pytest.mark.parametrize('static', [False, True])
def test_consensus_is_the_mean_of_the_frames_logits(name, static):
    net = randomized(name, num_segments=4)
    if static:
        net.hybridize(static_alloc=True, static_shape=True)
    x = batch(net, 3, 1, 48, 48)
    together = net.branches(x)
    net.num_segments = 1
    for z, frames in zip(together, net.branches(x)):
        assert z.shape == (3, CLASSES) and frames.shape == (12, CLASSES)
        np.testing.assert_allclose(z.asnumpy(), frames.asnumpy().reshape(3, 4, CLASSES).mean(1), rtol=1e-4, atol=1e-4)
    net.num_segments = 2
    assert net(x).shape == (6, CLASSES)


@pytest.mark.parametrize(
    'name, local', [('i3d_tiny_synthfg_dfb', True), ('i3d_tiny_synthfg_dfb', False), ('tsn_tiny_synthfg_dfb', True)]
)
def test_filter_responses_are_what_the_scores_are_read_from(name, local):
    net = randomized(name, local_branch=local, filters_per_class=2)
    x = batch(net, 2, 4, 48, 44)
    plain = net.filter_responses(x)
    net.hybridize(static_alloc=True, static_shape=True)
    responses = net.filter_responses(x).asnumpy()
    np.testing.assert_allclose(responses, plain.asnumpy(), rtol=1e-4, atol=1e-4)
    r = responses.reshape(*responses.shape[:2], -1).max(-1).reshape(-1, CLASSES, 2).mean(-1)
    z_xchannel = net.branches(x)[3].asnumpy()
    np.testing.assert_allclose(r.reshape(len(z_xchannel), -1, CLASSES).mean(1), z_xchannel, rtol=1e-4, atol=1e-4)
    time, space = net.response_geometry.stride
    assert space == (8 if local else 16) and responses.shape[-2:] == (-(-48 // space), -(-44 // space))


def test_responses_follow_the_parameters_and_the_frozen_layers():
    """The graph that gives responses is dropped with the others, and shares all parameters."""
    net = randomized('i3d_tiny_synthfg_dfb')
    net.hybridize(static_alloc=True, static_shape=True)
    x = batch(net, 1, 4, 48, 48)
    before = net.filter_responses(x).asnumpy()
    bias = net.branches.bank.filters.bias
    bias.set_data(bias.data() + 1)
    np.testing.assert_allclose(net.filter_responses(x).asnumpy(), before + 1, rtol=1e-4, atol=1e-4)
    assert net.views['filter_responses']._cached_op is not None
    net._clear_cached_op()
    assert net.views['filter_responses']._cached_op is None


def test_the_local_stage_starts_random_or_as_a_copy():
    for init, same in (('random', False), ('copy', True)):
        net = factory.get_model('i3d_tiny_synthfg_dfb', local_init=init)
        ours = net.branches.local.stage[0].conv1.weight.data().asnumpy()
        assert (ours == net.branches.backbone.res5[0].conv1.weight.data().asnumpy()).all() == same


@pytest.mark.parametrize('family', ['i3d', 'tsn'])
def test_a_baselines_weights_fit_into_dfb_and_give_its_z_avg(family, tmp_path):
    baseline = randomized(f'{family}_tiny_synthfg')
    baseline.save_parameters(str(tmp_path / 'baseline.params'))
    net = randomized(f'{family}_tiny_synthfg_dfb')
    new = set(parameters(net)) - set(parameters(baseline))
    assert not set(parameters(baseline)) - set(parameters(net))
    assert new and all(name.startswith(('branches.local.', 'branches.bank.')) for name in new)
    net.load_parameters(str(tmp_path / 'baseline.params'), allow_missing=True)
    x = batch(net, 2, 4, 48, 48)
    np.testing.assert_allclose(net.branches(x)[1].asnumpy(), baseline(x).asnumpy(), rtol=1e-5, atol=1e-5)


def test_without_dropout_only_the_global_branch_changes():
    net = randomized('i3d_tiny_synthfg_dfb', dropout=0.5)
    x = batch(net, 2, 4, 48, 48)
    with autograd.train_mode():
        first, second = net.branches(x), net.branches(x)
    changed = [not np.array_equal(a.asnumpy(), b.asnumpy()) for a, b in zip(first, second)]
    assert changed == [True, True, False, False]


@pytest.mark.parametrize('options, message', [
    ({'skip': 'mul'}, "unknown skip 'mul'; choose from add, concat, none"),
    ({'local_init': 'imagenet'}, "unknown local_init 'imagenet'"),
    ({'filter_bank': False, 'local_branch': True}, 'local_branch without filter_bank'),
    ({'filters_per_class': 0}, 'filters_per_class must be at least 1'),
    ({'dropout': 1.5}, r'dropout must be a share in \[0, 1\), got 1.5'),
    ({'temporal_downsample': 4}, 'backbone i3d_tiny reduces time in one way only'),
])  # fmt: skip
def test_impossible_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        factory.build('i3d_tiny_synthfg_dfb', **options)


def test_a_local_branch_needs_a_stage_that_halves_space_alone():
    with pytest.raises(UserError, match=r'InceptionV1 has strides \(4, 16\) at stage 4, \(8, 32\) at stage 5'):
        DFB.build('i3d_inceptionv1', 5)
    net = DFB.build('i3d_inceptionv1', 5, local_branch=False)
    net.initialize()
    assert net(mx.nd.zeros((1, 3, 9, 40, 40))).shape == (1, 5)


def test_no_responses_without_a_bank():
    net = randomized('i3d_tiny_synthfg_dfb', filter_bank=False)
    with pytest.raises(UserError, match='built without a filter bank'):
        net.filter_responses(batch(net, 1, 4, 48, 48))
