"""The CIDC network against an independent NumPy network that knows only parameters and the paper's equations."""

import logging

import mxnet as mx
import numpy as np
import pytest
import reference
from mxnet import autograd
from networks import CLASSES, parameters, randomized

import gluon_fg
from gluon_fg import factory
from gluon_fg.errors import UserError
from gluon_fg.nn import deploy_symbol


def numpy_network(net, **given):
    return reference.TinyCIDC(parameters(net), **given)


VARIANTS = [
    ('r2d_tiny_synthfg_cidc', {}, {}),
    ('i3d_tiny_synthfg_cidc', {'out_frames': 4}, {}),
    ('i3d_tiny_synthfg_cidc', {'direction': 'none', 'fusion': 'channel'}, {'direction': 'none', 'fusion': 'channel'}),
    ('r2d_tiny_synthfg_cidc', {'direction': 'forward', 'fusion': 'sum'}, {'direction': 'forward', 'fusion': 'sum'}),
    ('r2d_tiny_synthfg_cidc', {'attention': False, 'units': (2, 1, 3)}, {'attention': False}),
    ('i3d_tiny_synthfg_cidc', {'scales': (5,), 'units': (2,)}, {'stages': (5,), 'attention': False}),
    ('r2d_tiny_synthfg_cidc', {'scales': (4, 5), 'units': (1, 1)}, {'stages': (4, 5)}),
]


@pytest.mark.parametrize('name, options, given', VARIANTS)
@pytest.mark.parametrize('static', [False, True])
def test_every_branch_and_the_loss_equal_numpy(name, options, given, static):
    net = randomized(name, frames=4, **options)
    if static:
        net.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.random.normal(shape=(2, 3, 4, 48, 40))  # res5 has maps of 3 x 3: those of res4, 6 x 5, are cut and pooled
    label = mx.nd.array([1, 4])
    network = numpy_network(net, statistics='running', **given)
    expected, outputs = network(x.asnumpy()), net.branches(x)
    assert net.branch_names == ('fused', 'avg', 'cidc') and len(outputs) == 3
    for z, e in zip(outputs, expected):
        np.testing.assert_allclose(z.asnumpy(), e, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(net(x).asnumpy(), expected[0], rtol=1e-3, atol=1e-3)
    loss = reference.cross_entropy(expected[0], label.asnumpy().astype(int))
    np.testing.assert_allclose(net.loss(outputs, label).asnumpy(), loss, rtol=1e-3, atol=1e-3)
    for f, e in zip(net.maps(x).values(), network.maps(x.asnumpy().astype('float64'))):
        np.testing.assert_allclose(f.asnumpy(), e, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('name, options, given', VARIANTS[:4])
def test_gradient_is_the_slope_of_numpys_loss(name, options, given):
    """Batch statistics and all; NumPy's loss is differenced in float64, along the gradient and random noise."""
    net = randomized(name, frames=4, **options)
    net.hybridize(static_alloc=True, static_shape=True)
    x, label = mx.nd.random.normal(shape=(3, 3, 4, 40, 44)), mx.nd.array([1, 4, 0])
    network = numpy_network(net, **given)
    x.attach_grad()
    with autograd.record():
        loss = net.loss(net.branches(x), label).sum()
    loss.backward()
    assert loss.asscalar() == pytest.approx(network.loss(x.asnumpy(), [1, 4, 0]), rel=1e-3)
    learned = {n: p for n, p in net._collect_params_with_prefix().items() if p.grad_req != 'null'}
    slopes = {n: p.grad().asnumpy().astype('float64') for n, p in learned.items()}
    for name in (
        'cidc.units3.0.mix.0.weight',
        'cidc.join5.1.weight',
        'backbone.res3.0.conv1.weight',
        'classifier.bias',
    ):
        full = f'branches.{name}'
        for direction in (slopes[full], np.random.normal(size=slopes[full].shape)):
            direction, h, at = direction / np.linalg.norm(direction), 1e-5, network.params[full]
            found = []
            for sign in (h, -h):
                network.params[full] = at + sign * direction
                found.append(network.loss(x.asnumpy(), [1, 4, 0]))
            network.params[full] = at
            slope = (found[0] - found[1]) / (2 * h)
            size = np.linalg.norm(slopes[full])
            assert float((slopes[full] * direction).sum()) == pytest.approx(slope, rel=2e-2, abs=2e-2 * size), name


def test_only_units_with_weights_of_their_own_for_each_frame_see_the_order_of_frames():
    x = mx.nd.random.normal(shape=(1, 3, 8, 48, 48))
    turned = mx.nd.reverse(x, axis=2)
    for direction, sees in (('both', True), ('forward', True), ('none', True), ('mean', False)):
        net = randomized('r2d_tiny_synthfg_cidc', direction=direction)
        moved = np.abs((net(x) - net(turned)).asnumpy()).max()
        assert moved > 1e-2 if sees else moved < 1e-4, direction


def test_a_forward_network_on_still_frames_is_causal_in_the_maps_that_it_classifies():
    """Frames of the R2D network do not mix before the units: F_CIDC at t' knows frames 0 to t' alone, to the bit."""
    net = randomized('r2d_tiny_synthfg_cidc', direction='forward')
    net.hybridize(static_alloc=True, static_shape=True)
    x = np.random.normal(size=(1, 3, 8, 48, 48)).astype('float32')
    before = net.maps(mx.nd.array(x))['F_CIDC'].asnumpy()
    later = x.copy()
    later[:, :, 5:] += 1
    after = net.maps(mx.nd.array(later))['F_CIDC'].asnumpy()
    np.testing.assert_array_equal(before[:, :, :5], after[:, :, :5])
    assert np.abs(before[:, :, 5:] - after[:, :, 5:]).max(axis=(0, 1, 3, 4)).min() > 0


@pytest.mark.parametrize('options', [{}, {'fusion': 'channel'}, {'fusion': 'sum'}])
def test_it_starts_as_the_baseline_whose_weights_it_gets(options, tmp_path):
    from gluon_fg.weights.warm_start import warm_start

    baseline = randomized('i3d_tiny_synthfg')
    baseline.save_parameters(str(tmp_path / 'baseline.params'))
    net = factory.build('i3d_tiny_synthfg_cidc', nclass=CLASSES, **options)
    net.initialize()
    report = warm_start(net, tmp_path / 'baseline.params')
    assert net.trained_branches == ('avg',) and not report.resized
    x = mx.nd.random.normal(shape=(2, 3, 8, 48, 48))
    np.testing.assert_allclose(net(x).asnumpy(), baseline(x).asnumpy(), rtol=1e-5, atol=1e-5)
    net.trained_branches = None
    fused, avg, _ = net.branches(x)
    assert np.abs((fused - avg).asnumpy()).max() > 1e-3


def test_it_exports_and_a_backbone_that_reduces_time_between_stages_serves_too():
    net = factory.build('i3d_tiny_custom_cidc', nclass=CLASSES)
    net.initialize()
    x = mx.nd.random.normal(shape=(2, 3, 8, 48, 48))
    symbol, params = deploy_symbol(net)
    deployed = mx.gluon.SymbolBlock(symbol, mx.sym.var('data'))
    for name, p in deployed.collect_params().items():
        p._load_init(params.get(f'arg:{name}', params.get(f'aux:{name}')), mx.cpu())
    np.testing.assert_allclose(deployed(x).asnumpy(), net(x).asnumpy(), rtol=1e-4, atol=1e-4)
    inception = gluon_fg.recognizers.CIDCNetwork.build('i3d_inceptionv1', CLASSES, frames=32, units=(1, 1, 1))
    inception.initialize()
    clip = mx.nd.random.normal(shape=(1, 3, 32, 64, 64))
    f5, directed = inception.maps(clip).values()
    assert directed.shape == f5.shape and inception(clip).shape == (1, CLASSES)


@pytest.mark.parametrize(
    'options, message',
    [
        ({'direction': 'any'}, "unknown direction 'any'; choose from backward, both, forward, mean, none"),
        ({'fusion': 'concat'}, "unknown fusion 'concat'; choose from channel, sum, time"),
        ({'scales': (2, 5)}, r'scales must be one of \(3, 4, 5\), .* got \(2, 5\)'),
        ({'units': (1, 1)}, r'units must give 1 or more for each of the scales \(3, 4, 5\), got \(1, 1\)'),
        ({'units': 3}, 'units must be a list of whole numbers, one a scale, got 3'),
        ({'scales': '345'}, "scales must be a list of whole numbers, one a scale, got '345'"),
        ({'out_frames': 0}, 'out_frames must be at least 1, got 0'),
        ({'frames': 7}, "direction 'both' gives each direction the same share of the 7 frames"),
        ({'out_frames': 3}, 'out_frames 3 gives 6 frames in all, no multiple of the 8 of stage 4'),
        ({'num_segments': 2}, 'num_segments 2: networks on clips take 1'),
    ],
)
def test_options_that_cannot_be_are_named(options, message):
    with pytest.raises(UserError, match=message):
        factory.build('i3d_tiny_synthfg_cidc', **options)


def test_a_backbone_on_images_and_clips_of_another_length_are_refused():
    with pytest.raises(UserError, match='backbone resnet18_v1b sees single images; .* for example r2d_resnet50_v1'):
        gluon_fg.recognizers.CIDCNetwork.build('resnet18_v1b', CLASSES)
    net = randomized('i3d_tiny_synthfg_cidc')
    message = 'clips of 6 frames leave 6 for the CIDC units, which are built for 8; give clips of 8 frames, or build'
    with pytest.raises(UserError, match=message):
        net(mx.nd.zeros((1, 3, 6, 48, 48)))
    with pytest.raises(UserError, match=message):
        net.input_spec = net.input_spec.replace(frames=6)
    assert net.input_spec.frames == 8
    assert factory.build('i3d_tiny_synthfg_cidc', frames=6).input_spec.frames == 6
    with pytest.raises(UserError, match='clips of 0 frames are too short for i3d_inceptionv1_same'):
        gluon_fg.recognizers.CIDCNetwork.build('i3d_inceptionv1_same', CLASSES, frames=0)


def test_setting_untrained_branches_aside_is_what_pretrained_does(caplog, tmp_path):
    caplog.set_level(logging.WARNING)
    net = randomized('r2d_tiny_synthfg_cidc')
    x = mx.nd.random.normal(shape=(2, 3, 8, 48, 48))
    fused, avg, cidc = (z.asnumpy() for z in net.branches(x))
    for kept, expected in ((('avg',), avg), (('cidc',), cidc), (('avg', 'cidc'), fused)):
        net.trained_branches = kept
        np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=1e-5, atol=1e-5)
