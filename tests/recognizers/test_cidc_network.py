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
    ('i3d_tiny_synthfg_cidc', {'out_frames': 8}, {}),
    ('i3d_tiny_synthfg_cidc', {'direction': 'none', 'fusion': 'channel'}, {'direction': 'none', 'fusion': 'channel'}),
    ('r2d_tiny_synthfg_cidc', {'direction': 'forward', 'fusion': 'sum'}, {'direction': 'forward', 'fusion': 'sum'}),
    (
        'r2d_tiny_synthfg_cidc',
        {'direction': 'chained', 'normalize': 'row', 'fusion': 'average'},
        {'direction': 'chained', 'normalize': 'row', 'fusion': 'average'},
    ),
    ('i3d_tiny_synthfg_cidc', {'direction': 'chained', 'out_frames': 4}, {'direction': 'chained'}),
    (
        'r2d_tiny_synthfg_cidc',
        {'attention': False, 'units': (2, 1, 3), 'normalize': False},
        {'attention': False, 'normalize': False},
    ),
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


@pytest.mark.parametrize('name, options, given', VARIANTS[:5])
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
    stack = '' if 'direction' in options else 'backward_stack.'
    for name in (
        f'cidc.{stack}units3.0.mix.0.weight',
        f'cidc.{stack}join5.1.weight',
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
    for direction, sees in (('both', True), ('chained', True), ('forward', True), ('none', True), ('mean', False)):
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
    assert (
        directed.shape[:2] == f5.shape[:2]
        and directed.shape[2] == 2 * f5.shape[2]
        and inception(clip).shape == (1, CLASSES)
    )


@pytest.mark.parametrize(
    'options, message',
    [
        ({'direction': 'any'}, "unknown direction 'any'; choose from backward, both, chained, forward, mean, none"),
        ({'fusion': 'concat'}, "unknown fusion 'concat'; choose from average, channel, sum, time"),
        ({'normalize': True}, "normalize True is 'row' now"),
        ({'scales': (2, 5)}, r'scales must be one of \(3, 4, 5\), .* got \(2, 5\)'),
        ({'units': (1, 1)}, r'units must give 1 or more for each of the scales \(3, 4, 5\), got \(1, 1\)'),
        ({'units': 3}, 'units must be a list of whole numbers, one a scale, got 3'),
        ({'scales': '345'}, "scales must be a list of whole numbers, one a scale, got '345'"),
        ({'out_frames': 0}, 'out_frames must be at least 1, got 0'),
        ({'frames': 7, 'direction': 'chained'}, "direction 'chained' gives each direction half of the 7 frames"),
        ({'out_frames': 3}, 'out_frames 3 gives 3 frames in all, no multiple of the 8 of stage 4'),
        (
            {'out_frames': 3, 'direction': 'chained'},
            'out_frames 3 gives 6 frames in all, no multiple of the 8 of stage',
        ),
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


def test_two_stacks_keep_what_time_is_to_the_end():
    """F_CIDC forward at t' knows frames 0 to t' alone, backward t' to the last alone; a chain mixes them."""
    x = np.random.normal(size=(1, 3, 8, 48, 48)).astype('float32')
    known = {}
    for direction in ('both', 'chained'):
        net = randomized('r2d_tiny_synthfg_cidc', direction=direction, out_frames=8)
        before = net.maps(mx.nd.array(x))['F_CIDC'].asnumpy()
        known[direction] = np.zeros((16, 8), bool)
        for frame in range(8):
            changed = x.copy()
            changed[:, :, frame] += 1
            moved = np.abs(net.maps(mx.nd.array(changed))['F_CIDC'].asnumpy() - before)
            known[direction][:, frame] = moved.max(axis=(0, 1, 3, 4)) > 0
    triangle = np.tril(np.ones((8, 8), bool))
    np.testing.assert_array_equal(known['both'], np.concatenate([triangle, triangle.T]))
    assert known['chained'][2:8, 7].all()  # forward outputs know the last frame by the former units' backward ones


def test_clips_of_an_odd_length_go_both_ways():
    net = randomized('i3d_tiny_synthfg_cidc', frames=7)
    x = mx.nd.random.normal(shape=(2, 3, 7, 48, 48))
    f5, directed = net.maps(x).values()
    assert directed.shape == (2, 64, 14, 3, 3) and f5.shape[2] == 7
    expected = numpy_network(net, statistics='running')(x.asnumpy())
    for z, e in zip(net.branches(x), expected):
        np.testing.assert_allclose(z.asnumpy(), e, rtol=1e-3, atol=1e-3)


def test_the_order_of_frames_moves_two_stacks_more_than_a_chain(tiny_synthfg):
    """At random weights, T' = T: the figures that model_zoo/cidc.md cites (shown by pytest -rP)."""
    from gluon_fg.analysis.order import order_shares
    from gluon_fg.data import build_dataset

    dataset, found = build_dataset('synthfg', 'test', tiny_synthfg), {}
    for normalize in ('row', 'kernel'):
        for direction in ('chained', 'both', 'forward'):
            shares = []
            for seed in range(2):
                mx.random.seed(seed)
                net = factory.get_model('r2d_tiny_synthfg_cidc', direction=direction, normalize=normalize, out_frames=8)
                shares.append(order_shares(net, dataset, orders=4).shares['F_CIDC'])
            found[normalize, direction] = np.mean(shares)
            print(f'{normalize} {direction}: {100 * found[normalize, direction]:.2f} %')
    for normalize in ('row', 'kernel'):
        assert found[normalize, 'both'] > 3 * found[normalize, 'chained']
    assert found['row', 'forward'] > 3 * found['kernel', 'forward']


def shipped(name):
    from gluon_fg.weights import index

    return index.zoo_folder() / index.index()[name].file


def test_training_starts_from_the_backbones_own_answers(tiny_synthfg):
    """As the first update sees it: batch statistics above the shipped backbone, all of it fused."""
    from gluon_fg.data import build_dataset
    from gluon_fg.evaluation.views import dataset_views
    from gluon_fg.nn.norm import freeze
    from gluon_fg.weights.warm_start import warm_start

    baseline = gluon_fg.get_model('i3d_tiny_synthfg', pretrained=True)
    dataset = build_dataset('synthfg', 'train', tiny_synthfg)
    (batch,) = dataset_views(dataset, baseline.input_spec, batch_size=48)
    expected = baseline(batch.x).asnumpy()
    right = (expected.argmax(1) == batch.labels).mean()
    found = {}
    for fusion in ('time', 'sum', 'channel', 'average'):
        net = factory.get_model('i3d_tiny_synthfg_cidc', fusion=fusion)
        warm_start(net, shipped('i3d_tiny_synthfg'))
        net.trained_branches = None
        freeze(net.branches.backbone)
        with autograd.train_mode():
            z = net(batch.x).asnumpy()
        found[fusion] = np.abs(z - expected).mean() / np.abs(expected).mean()
        if fusion != 'average':  # which divides the logits by 3, as T' is 2 T
            assert (z.argmax(1) == batch.labels).mean() == right
    assert max(found[fusion] for fusion in ('time', 'sum', 'channel')) < 0.06
    assert found['average'] > 0.5


def test_partial_batch_norm_leaves_the_new_units_learning(tmp_path):
    from gluon_fg.nn.norm import freeze_batch_norm, has_statistics
    from gluon_fg.weights.warm_start import warm_start

    net = factory.get_model('i3d_tiny_synthfg_cidc')
    warm_start(net, shipped('i3d_tiny_synthfg'))
    frozen = freeze_batch_norm(net, keep_first=True, only=has_statistics)
    mine = {p.name for p in net.branches.cidc.collect_params().values()}
    assert frozen and not any(layer.gamma.name in mine for layer in frozen)
