"""DFB against an independent NumPy network that knows only parameters and the paper's equations."""

import mxnet as mx
import numpy as np
import pytest
import reference
from mxnet import autograd
from mxnet.gluon import nn
from networks import CLASSES, parameters, randomize, randomized

from gluon_fg import factory
from gluon_fg.backbones import Backbone
from gluon_fg.errors import UserError
from gluon_fg.recognizers import DFB
from gluon_fg.recognizers.dfb import LocalBranch


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
    ({'loss': 'average'}, "unknown loss 'average'; choose from mean, sum"),
    ({'filter_bank': False, 'local_branch': True}, 'local_branch without filter_bank'),
    ({'filters_per_class': 0}, 'filters_per_class must be at least 1'),
    ({'dropout': 1.5}, r'dropout must be a share in \[0, 1\), got 1.5'),
    ({'temporal_downsample': 4}, 'backbone i3d_tiny reduces time in one way only'),
])  # fmt: skip
def test_impossible_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        factory.build('i3d_tiny_synthfg_dfb', **options)


@pytest.mark.parametrize('name, options', [
    ('i3d_tiny_synthfg_dfb', {}), ('i3d_tiny_synthfg_dfb', {'local_branch': False}),
    ('i3d_tiny_synthfg_dfb', {'filter_bank': False}),
])  # fmt: skip
def test_the_mean_loss_is_the_sum_over_the_number_of_cross_entropies(name, options):
    """And so are its gradients: every parameter's, exactly (a division by four or one)."""
    mx.random.seed(1)
    total = randomized(name, **options)
    mean = factory.build(name, nclass=CLASSES, loss='mean', **options)
    mean.initialize()
    for p, value in zip(mean.collect_params().values(), total.collect_params().values()):
        p.set_data(value.data())
    x, label = batch(total, 3, 4, 40, 36), mx.nd.array([0, 3, 4])
    terms = 1 if 'filter_bank' in options else 4
    losses = []
    for net in (total, mean):
        with autograd.record():
            outputs = net.branches(x)
            loss = net.loss(outputs, label)
        loss.backward()
        losses.append(loss.asnumpy())
        expected = sum(reference.cross_entropy(z.asnumpy().astype('float64'), [0, 3, 4]) for z in outputs)
        np.testing.assert_allclose(loss.asnumpy(), expected / (terms if net is mean else 1), rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(losses[1], losses[0] / terms)
    for p, q in zip(total.collect_params().values(), mean.collect_params().values()):
        if p.grad_req != 'null':
            np.testing.assert_array_equal(q.grad().asnumpy(), p.grad().asnumpy() / terms, err_msg=p.name)


INCEPTIONS = [  # odd and even sizes of F4: (T, H, W) of the clip
    ('i3d_inceptionv1_same', (12, 40, 56)),
    ('i3d_inceptionv1_same', (9, 48, 33)),
    ('i3d_inceptionv1', (12, 40, 56)),
    ('i3d_inceptionv1', (16, 48, 80)),
]


def mixed(volume, like):
    """The up-sampled volume, cut to another's time, height and width; where it is shorter its last is repeated."""
    volume = reference.upsample(volume, (2, 3, 4))
    for axis in (2, 3, 4):
        volume = volume.take(np.minimum(np.arange(like.shape[axis]), volume.shape[axis] - 1), axis)
    return volume


@pytest.mark.parametrize('backbone, size', INCEPTIONS)
def test_the_local_branch_is_up_sampled_in_time_too_where_stage_5_halves_it(backbone, size):
    net = DFB.build(backbone, 3, filters_per_class=2)
    randomize(net)
    f4 = net.branches.backbone(mx.nd.random.normal(shape=(1, 3, *size)))[2]
    local, f4 = net.branches.local, f4 / f4.max()
    f5 = local.stage(f4)
    assert f5.shape[2] < f4.shape[2] and f5.shape[3] < f4.shape[3]
    joined = mixed(f5.asnumpy(), f4) + local.skip_norm(local.skip(f4)).asnumpy()
    net.hybridize(static_alloc=True, static_shape=True)
    np.testing.assert_allclose(local(f4).asnumpy(), np.maximum(joined, 0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('backbone, size', INCEPTIONS[1:3])
def test_dfb_on_an_inception_trains_every_parameter(backbone, size):
    net = DFB.build(backbone, 3, filters_per_class=2, dropout=0.0)
    net.initialize(mx.init.MSRAPrelu('in', 0))
    net.hybridize(static_alloc=True, static_shape=True)
    x, label = mx.nd.random.normal(shape=(2, 3, max(12, size[0]), *size[1:])), mx.nd.array([0, 2])
    with autograd.record():
        loss = net.loss(net.branches(x), label)
    loss.backward()
    for name, p in net._collect_params_with_prefix().items():
        if p.grad_req != 'null':
            gradient = p.grad().asnumpy()
            assert np.isfinite(gradient).all() and gradient.any(), name
    responses = net.filter_responses(x)
    f4 = net.branches.backbone(x)[2]
    assert responses.shape == (2, 6, *f4.shape[2:])


class _Strided(Backbone):
    """Stage 5 is one convolution."""

    def __init__(self, stride, kernel=3, pad=1):
        super().__init__(3, {4: 16, 5: 16})
        self.stem = self.res2 = self.res3 = self.res4 = nn.HybridSequential()
        self._stride, self._kernel, self._padding = stride, kernel, pad
        self.res5 = self.make_stage(5)

    def make_stage(self, stage):
        return nn.Conv3D(16, self._kernel, self._stride, self._padding, in_channels=16)


@pytest.mark.parametrize('stride', [(1, 1, 1), (4, 2, 2), (1, 4, 4)])
def test_a_local_branch_needs_a_stage_that_halves_space(stride):
    with pytest.raises(UserError, match=rf'_Strided has strides \(1, 1\) at stage 4, \({stride[0]}, {stride[1]}\)'):
        LocalBranch(_Strided(stride))


@pytest.mark.parametrize('kernel, pad', [(3, 1), (2, 0), (3, 0)])  # ceil(n / 2), floor(n / 2), floor((n - 1) / 2)
@pytest.mark.parametrize('size', [(4, 5, 6), (5, 7, 4), (3, 4, 5)])
def test_up_sampling_meets_every_size_of_stage_4_and_passes_the_gradient_of_all_of_it(kernel, pad, size):
    """Without skip and bias the branch is linear: <up, f(v)> = <f'(up), v> for every v."""
    local = LocalBranch(_Strided((2, 2, 2), kernel, pad), 'none')
    local.initialize(mx.init.Normal(0.1))
    local.hybridize(static_alloc=True, static_shape=True)
    f4 = mx.nd.random.normal(shape=(2, 16, *size))
    f4.attach_grad()
    with autograd.record():
        y = local(f4)
        up = mx.nd.random.normal(shape=y.shape)
        (y * up).sum().backward()
    weight = local.stage.weight.data().asnumpy().astype('float64')

    def branch(v):
        return mixed(reference.conv(v, weight, stride=(2, 2, 2), pad=[pad] * 3), v)

    np.testing.assert_allclose(y.asnumpy(), branch(f4.asnumpy()), rtol=1e-4, atol=1e-4)
    v = np.random.default_rng(0).standard_normal(f4.shape)
    np.testing.assert_allclose((f4.grad.asnumpy() * v).sum(), (up.asnumpy() * branch(v)).sum(), rtol=1e-3, atol=1e-3)


def test_no_responses_without_a_bank():
    net = randomized('i3d_tiny_synthfg_dfb', filter_bank=False)
    with pytest.raises(UserError, match='built without a filter bank'):
        net.filter_responses(batch(net, 1, 4, 48, 48))
