"""U2S against an independent NumPy network that knows only parameters and the paper's equations, and its stages."""

import itertools

import mxnet as mx
import networks
import numpy as np
import pytest
import reference
from mxnet import autograd, gluon
from networks import CLASSES, parameters

import gluon_fg
from gluon_fg import factory
from gluon_fg.errors import UserError
from gluon_fg.recognizers.u2s.branches import PARTS
from gluon_fg.weights.warm_start import warm_start

STATIC = dict(static_alloc=True, static_shape=True)


def randomized(name='topheavy_tiny_synthfg_u2s', **options):
    """Random weights for which no layer is the identity, and a CSM that is not symmetric."""
    net = networks.randomized(name, bias_scale=0.3, **options)
    if net.csm is not None:
        csm = np.random.uniform(size=(CLASSES, CLASSES))
        csm = csm.astype('float32') if net.real_valued_csm else (csm < 0.5).astype('float32')
        np.fill_diagonal(csm, 1)
        net.set_csm(csm)
    return net


def clips(net, count=2):
    if net.input_spec.ndim == 3:
        return mx.nd.random.normal(shape=(count, net.input_spec.channels, 2, 40, 44))
    return mx.nd.random.normal(shape=(count * net.num_segments, 3, 40, 44))


def labels_of(net, label):
    return (label,) if net.takes_labels else ()


VARIANTS = [
    ('topheavy_tiny_synthfg_u2s', {}, {}),
    (
        'topheavy_tiny_synthfg_u2s',
        {'select': 'predicted', 'mask': 'residual'},
        {'select': 'predicted', 'mask': 'residual'},
    ),
    ('topheavy_tiny_synthfg_u2s', {'mask_network': False}, {}),
    ('topheavy_tiny_synthfg_u2s', {'gate': 'sigmoid', 'similarity': 'signed'}, {'similarity': 'signed'}),
    ('tsn_tiny_synthfg_u2s', {'num_segments': 2, 'select': 'soft'}, {'segments': 2, 'select': 'soft'}),
    ('tsn_tiny_synthfg_u2s', {'num_segments': 2, 'select': 'oracle'}, {'segments': 2, 'select': 'oracle'}),
    ('tsn_tiny_synthfg_u2s', {'num_segments': 1, 'regularization': 0}, {'strength': 0}),
    ('topheavy_tiny_flow_custom_u2s', {'similarity': 'clipped'}, {'similarity': 'clipped'}),
]


@pytest.mark.parametrize('name, options, given', VARIANTS)
@pytest.mark.parametrize('static', [False, True])
def test_every_branch_and_the_loss_equal_numpy(name, options, given, static):
    net = randomized(name, **options)
    if static:
        net.hybridize(**STATIC)
    x, label = clips(net), mx.nd.array([1, 4])
    network = reference.TinyU2S(parameters(net), statistics='running', **given)
    expected = network(x.asnumpy(), [1, 4])
    outputs = net.branches(x, *labels_of(net, label))
    np.testing.assert_allclose(mx.nd.softmax(outputs[0]).asnumpy(), expected[0], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(net(x, *labels_of(net, label)).asnumpy(), outputs[0].asnumpy(), rtol=1e-4, atol=1e-4)
    assert len(outputs) - len(net.auxiliary_names) == len(expected) == len(net.branch_names)
    for branch, z, e in zip(net.branch_names[1:], outputs[1:], expected[1:]):
        np.testing.assert_allclose(z.asnumpy(), e, rtol=1e-3, atol=1e-3, err_msg=branch)
    assert net.auxiliary_names == (() if net.csm is None else ('regular',))
    if net.csm is not None:
        np.testing.assert_allclose(outputs[-1].asnumpy(), [network.w_regular()], rtol=1e-3, atol=1e-4)
    loss = net.loss(outputs, label).sum().asscalar()
    assert loss == pytest.approx(network.loss(x.asnumpy(), [1, 4]), rel=1e-3)
    x_u, z_u = net.universal(x)
    np.testing.assert_allclose(z_u.asnumpy(), expected[1], rtol=1e-3, atol=1e-3)
    assert x_u.shape[:2] == (len(x), 64)


@pytest.mark.parametrize('name, options, given', VARIANTS[:6])
@pytest.mark.parametrize('stage', ['joint', 'specific'])
def test_gradient_is_the_slope_of_numpys_loss(name, options, given, stage):
    """Batch statistics and all; NumPy's loss is differenced in float64, along the gradient and random noise."""
    net = randomized(name, **options)
    net.stage = stage
    net.hybridize(**STATIC)
    x, label = clips(net, 3), mx.nd.array([1, 4, 0])
    network = reference.TinyU2S(parameters(net), frozen=stage == 'specific', **given)
    for _ in range(2):  # a stale gradient would be the first pass's
        with autograd.record():
            loss = net.loss(net.branches(x, *labels_of(net, label)), label).sum()
        loss.backward()
    found = network.loss(x.asnumpy(), [1, 4, 0])
    assert loss.asscalar() == pytest.approx(found, rel=1e-3)
    learned = {n: p for n, p in net._collect_params_with_prefix().items() if p.grad_req != 'null'}
    names = ['specific.res5.0.conv2.weight', 'specific_classifier.bias']
    names += ['masks.weight'] if net.csm is not None else []
    names += ['gate.scale'] if 'branches.gate.scale' in learned else []
    names += ['backbone.res3.0.conv1.weight', 'backbone.res5.0.conv2.weight'] if stage == 'joint' else []
    assert any(n.startswith('branches.backbone') for n in learned) == (stage == 'joint')
    for part in names:
        full = f'branches.{part}'
        gradient = learned[full].grad().asnumpy().astype('float64')
        for direction in (gradient, np.random.normal(size=gradient.shape)):
            direction, h, at = direction / np.linalg.norm(direction), 1e-5, network.params[full]
            values = []
            for sign in (h, -h):
                network.params[full] = at + sign * direction
                values.append(network.loss(x.asnumpy(), [1, 4, 0]))
            network.params[full] = at
            slope, size = (values[0] - values[1]) / (2 * h), np.linalg.norm(gradient)
            assert float((gradient * direction).sum()) == pytest.approx(slope, rel=2e-2, abs=2e-2 * size), part


def test_the_prediction_is_the_mean_of_the_scores_that_count():
    net = randomized()
    x = clips(net)
    net.hybridize(**STATIC)
    scores = dict(zip(net.branch_names, (mx.nd.softmax(z).asnumpy() for z in net.branches(x))))
    for count in (1, 2, 3):
        for names in itertools.combinations(PARTS, count):
            net.trained_branches = names
            fused = mx.nd.softmax(net(x)).asnumpy()
            np.testing.assert_allclose(fused, np.mean([scores[n] for n in names], axis=0), rtol=1e-4, atol=1e-6)
            chosen = randomized(predictions=names)
            assert chosen.trained_branches == names and chosen.branch_names == net.branch_names
    chosen.trained_branches = 'universal'
    chosen.trained_branches = None
    assert chosen.trained_branches == PARTS
    far = net.branches(x)[0] * 0 + 1e4 * mx.nd.one_hot(mx.nd.array([0, 1]), CLASSES)
    assert np.isfinite(mx.nd.log_softmax(far).asnumpy()).all()


@pytest.mark.parametrize(
    'name', ['topheavy_tiny_synthfg', 'tsn_tiny_synthfg', 'topheavy_tiny_flow_custom', 'topheavy_resnet50_v2_custom']
)
def test_the_shared_part_computed_once_gives_what_two_networks_give(name):
    """Two whole one-pass networks, one of them with the specific stages; between them the mask network by hand."""
    net = randomized(f'{name}_u2s')
    x = clips(net)
    universal, specific = (factory.build(name, nclass=CLASSES) for _ in range(2))
    own = net._collect_params_with_prefix()
    for one, source in ((universal, 'backbone'), (specific, 'specific')):
        one.initialize()
        for part, p in one._collect_params_with_prefix().items():
            if source == 'specific' and part.startswith(('branches.backbone.res4', 'branches.backbone.res5')):
                part = part.replace('backbone', 'specific')
            elif source == 'specific':
                part = part.replace('branches.classifier', 'branches.specific_classifier')
            p.set_data(own[part].data())
    x_u, x_c = (one.branches.backbone(x)[3] for one in (universal, specific))
    z_u = universal(x)
    np.testing.assert_array_equal(z_u.asnumpy(), net.branches(x)[1].asnumpy())
    mask, _ = net.branches.masks(x_u, mx.nd.repeat(z_u, net.num_segments, axis=0))
    m = mask.asnumpy().reshape(len(mask), -1).astype('float64')
    scale, m = own['branches.gate.scale'].data().asscalar(), m - m.mean(1, keepdims=True)
    m = scale * m / np.sqrt((m**2).mean(1, keepdims=True) + 1e-5)
    expected = mx.nd.array(1 / (1 + np.exp(-m))).reshape(mask.shape)
    gated = mx.nd.broadcast_mul(x_c, expected)
    z_c = specific.branches.consensus(mx.nd, specific.branches.global_logits(gated))
    np.testing.assert_allclose(z_c.asnumpy(), net.branches(x)[3].asnumpy(), rtol=1e-4, atol=1e-4)
    features, behind, opening, masks = net.maps(x).values()
    np.testing.assert_allclose(behind.asnumpy(), gated.asnumpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(opening.asnumpy(), expected.asnumpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(features.asnumpy(), x_u.asnumpy())
    assert tuple(net.maps(x)) == tuple(net.map_info)
    assert masks.shape == (len(x_u), CLASSES, *x_u.shape[2:])
    for kind, volume in zip(net.feature_kinds, net.features(x)):
        parts = np.concatenate([net.maps(x)[name].asnumpy() for name in kind.maps], axis=1)
        np.testing.assert_array_equal(volume.asnumpy(), parts)


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'select': 'predicted'},
        {'select': 'soft'},
        {'mask_network': False},
        {'non_local': True},
        {'select': 'oracle'},
    ],
)
@pytest.mark.parametrize('name', ['topheavy_tiny_synthfg_u2s', 'tsn_tiny_synthfg_u2s'])
def test_all_variants_train_a_step_in_each_stage(name, options):
    net = randomized(name, **options, **({'num_segments': 2} if 'tsn' in name else {}))
    x, label = clips(net, 4), mx.nd.array([0, 1, 2, 3])
    for stage in ('specific', 'joint'):
        net.stage = stage
        net.hybridize(**STATIC)
        before, kept = parameters(net), net.kept_parameters()
        trained = {k: p for k, p in net.collect_params().items() if p.grad_req != 'null'}
        trainer = gluon.Trainer(trained, 'sgd', {'learning_rate': 0.05})
        for _ in range(2):
            with autograd.record():
                loss = net.loss(net.branches(x, *labels_of(net, label)), label)
            loss.backward()
            trainer.step(4)
        mx.nd.waitall()
        assert np.isfinite(loss.asnumpy()).all()
        for part, value in parameters(net).items():
            if part.endswith('phi.bias'):  # moves all positions alike, which their softmax does not see
                continue
            same = np.array_equal(value, before[part])
            assert same == (part in kept or part.endswith('.csm')), (stage, part)
    assert set(kept) == set() and net.stage == 'joint'


def test_a_baselines_weights_fit_and_the_specific_network_starts_as_a_copy(tmp_path):
    baseline = gluon_fg.get_model('topheavy_tiny_synthfg')
    baseline.save_parameters(str(tmp_path / 'baseline.params'))
    net = gluon_fg.get_model('topheavy_tiny_synthfg_u2s')
    report = warm_start(net, str(tmp_path / 'baseline.params'))
    assert net.trained_branches == ('universal',)
    assert 'branches.masks.csm' in report.new and not set(net.global_parameters()) & set(report.new)
    net.backbone_loaded()
    x = mx.nd.random.normal(shape=(2, 3, 4, 48, 48))
    np.testing.assert_array_equal(net(x).asnumpy(), baseline(x).asnumpy())
    x_u, gated, opening, _ = net.maps(x).values()
    np.testing.assert_allclose(gated.asnumpy(), (x_u * opening).asnumpy(), rtol=1e-4, atol=1e-5)
    other = gluon_fg.get_model('topheavy_tiny_synthfg_u2s', specific_init='random')
    own = other._collect_params_with_prefix()
    assert not np.array_equal(
        own['branches.specific.res5.0.conv1.weight'].data().asnumpy(),
        own['branches.backbone.res5.0.conv1.weight'].data().asnumpy(),
    )


def test_the_specific_network_starts_from_its_own_pretrained_weights(tmp_path, monkeypatch):
    """ImageNet's and the universal network's are stood in for by random ones: what matters is who gets which."""
    name, options = 'topheavy_resnet50_v2_custom_u2s', {'nclass': CLASSES, 'specific_init': 'pretrained'}

    def imagenet(backbone, root=None):
        for p in backbone.collect_params().values():
            p.set_data(mx.nd.full(p.shape, 7.0))

    monkeypatch.setattr('gluon_fg.weights.imagenet.load', imagenet)
    baseline = gluon_fg.get_model(name[: -len('_u2s')], nclass=CLASSES, pretrained_base=False)
    baseline.save_parameters(str(tmp_path / 'universal.params'))
    net = gluon_fg.get_model(name, **options)
    classifier = parameters(net)['branches.specific_classifier.weight']
    assert (parameters(net)['branches.specific.res5.0.conv2.weight'] == 7).all()
    warm_start(net, str(tmp_path / 'universal.params'))
    net.backbone_loaded()
    own, trained = parameters(net), parameters(baseline)
    for part, value in own.items():
        if part.startswith('branches.specific.'):
            assert (value == 7).all(), part
        elif part in trained:
            np.testing.assert_array_equal(value, trained[part], err_msg=part)
    np.testing.assert_array_equal(own['branches.specific_classifier.weight'], classifier)
    without = gluon_fg.get_model(name, pretrained_base=False, **options)
    warm_start(without, str(tmp_path / 'universal.params'))
    with pytest.raises(UserError, match="no pretrained weights beside the trained ones; .* choose 'random' or 'copy'"):
        without.backbone_loaded()


@pytest.mark.parametrize('options', [{}, {'mask': 'residual'}, {'gate': 'sigmoid'}])
def test_flat_gates_are_the_gates_means(options):
    net = randomized(**options)
    x = clips(net)
    net.hybridize(**STATIC)
    (gate,), whole = net.gates, [z.asnumpy() for z in net.branches(x)]
    x_u, gated, opening, _ = (volume.asnumpy() for volume in net.maps(x).values())
    mean = opening.mean(axis=(1, 2, 3, 4), keepdims=True)
    with net.flat_gates():
        flat = [z.asnumpy() for z in net.branches(x)]
        _, behind, flattened, _ = (volume.asnumpy() for volume in net.maps(x).values())
    np.testing.assert_allclose(flattened, np.broadcast_to(mean, opening.shape), rtol=1e-5)
    np.testing.assert_allclose(behind, gated / opening * mean, rtol=1e-3, atol=1e-4)
    changed = [not np.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(whole, flat)]
    assert changed == [name in ('fused', *net.gated_branches) for name in net.branch_names] + [False]
    for a, b in zip(net.branches(x), whole):  # as before
        np.testing.assert_array_equal(a.asnumpy(), b)
    assert not gate.flat
    with pytest.raises(UserError, match='has no gate over its features; choose a network with a mask network'):
        with randomized(mask_network=False).flat_gates():
            pass


def test_networks_of_the_former_gate_are_told_by_their_files():
    former = {'gate': 'sigmoid', 'similarity': 'signed'}
    for options, expected in (({}, {}), (former, former), ({'mask_network': False}, {}), ({'non_local': True}, {})):
        net = factory.build('topheavy_tiny_synthfg_u2s', **options)
        assert net.saved_options(set(net._collect_params_with_prefix())) == expected
    names = set(factory.build('topheavy_tiny_synthfg_u2s', **former)._collect_params_with_prefix())
    assert net.run_options(names, {'csm_n': 4}) == {'csm_n': 4, **former}
    assert net.run_options(names, {'gate': 'sigmoid'}) == {'gate': 'sigmoid'}  # a run of today that asks for it


def test_the_flow_stream_starts_from_the_rgb_streams_weights(tmp_path):
    rgb, flow = (
        gluon_fg.get_model('topheavy_tiny_custom', nclass=4),
        gluon_fg.get_model('topheavy_tiny_flow_custom', nclass=4),
    )
    rgb.save_parameters(str(tmp_path / 'rgb.params'))
    report = warm_start(flow, str(tmp_path / 'rgb.params'))
    assert report.inflated == ['branches.backbone.stem.0.weight'] and not report.new and not report.resized
    given, own = parameters(rgb), parameters(flow)
    stem = given.pop(report.inflated[0]).mean(1, keepdims=True)
    np.testing.assert_allclose(own[report.inflated[0]], np.broadcast_to(stem, (16, 10, 5, 5)), rtol=1e-5, atol=1e-7)
    assert all(np.array_equal(own[name], value) for name, value in given.items())
    with pytest.raises(UserError, match='3'):
        flow(mx.nd.zeros((1, 3, 8, 48, 48)))


def test_the_csm_is_saved_with_the_weights(tmp_path):
    net = randomized()
    csm = net.csm.data().asnumpy()
    assert not np.array_equal(csm, np.eye(CLASSES))
    net.save_parameters(str(tmp_path / 'net.params'))
    other = factory.build('topheavy_tiny_synthfg_u2s', nclass=CLASSES)
    other.load_parameters(str(tmp_path / 'net.params'))
    np.testing.assert_array_equal(other.csm.data().asnumpy(), csm)
    x = clips(net)
    np.testing.assert_array_equal(other(x).asnumpy(), net(x).asnumpy())


@pytest.mark.parametrize(
    'options, message',
    [
        ({'select': 'cms'}, "unknown mask selection 'cms'; did you mean 'csm'"),
        ({'gate': 'sigmiod'}, "unknown form of the gate 'sigmiod'; did you mean 'sigmoid'"),
        ({'similarity': 'sined'}, "unknown similarity of filters 'sined'; did you mean 'signed'"),
        ({'specific_init': 'pretrained'}, "no weights are published for backbone topheavy_tiny; choose 'random'"),
        ({'mask': 'gated'}, "unknown mask gate 'gated'; did you mean 'gate'"),
        ({'specific_init': 'zero'}, "unknown specific_init 'zero'"),
        ({'predictions': ('universal', 'brigde')}, "unknown branch in predictions 'brigde'; did you mean 'bridge'"),
        ({'predictions': ('bridge',), 'mask_network': False}, "unknown branch in predictions 'bridge'"),
        ({'predictions': ()}, 'name at least one of universal, bridge, specific'),
        ({'non_local': True, 'mask_network': True}, 'takes the place of the mask network'),
        ({'regularization': -1}, 'regularization must be 0'),
        ({'csm_n': 0.5}, 'csm_n must be 1 or more, got 0.5'),
        ({'csm_target': 85}, 'csm_target must be a fraction above 0, at most 1, got 85'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(UserError, match=message) as caught:
        factory.build('topheavy_tiny_synthfg_u2s', **options)
    assert '\n' not in str(caught.value)


def test_what_does_not_fit_is_refused():
    net = randomized(select='oracle')
    for call in (net, net.branches, net.maps, net.features):
        with pytest.raises(UserError, match=r"'oracle' takes the true labels: call net\(x, label\)"):
            call(clips(net))
    with pytest.raises(UserError, match='the CSM is 4x4; this network has 5 classes'):
        net.set_csm(np.eye(4))
    with pytest.raises(UserError, match="unknown training stage of topheavy_tiny_synthfg_u2s 'universal'"):
        net.stage = 'universal'
    plain = randomized(mask_network=False)
    assert plain.csm is None and plain.branch_names == ('fused', 'universal', 'specific')
    with pytest.raises(UserError, match='without a mask network; choose mask_network=True'):
        plain.set_csm(np.eye(5))
    assert plain.class_relation is None and plain.class_filters() is None and plain.selected_classes(0) == []
