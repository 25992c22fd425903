"""What every recognizer keeps to, for every tiny entry of the zoo."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from networks import parameters, randomize_norms

from gluon_fg import get_model, list_models
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.transforms import to_input
from gluon_fg.deploy.fused import fuse
from gluon_fg.errors import UserError
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.input_spec import FeatureSpec, InputSpec
from gluon_fg.nn import deploy_symbol
from gluon_fg.recognizers import PrepareContext, View

TINY = sorted({*list_models('*_tiny_*'), *list_models('tiny_*')})  # the latter: on single images
STATIC = dict(static_alloc=True, static_shape=True)


def make(name):
    """Random weights for which no layer is the identity."""
    return randomize_norms(get_model(name, **({'nclass': 7} if 'custom' in name else {})))


@pytest.fixture(params=TINY)
def fresh(request):
    """A network for a test that changes it."""
    return make(request.param)


@pytest.fixture(scope='module', params=TINY)
def shared(request):
    """A network for all tests that leave its parameters as they are, which is looked at behind them."""
    net = make(request.param)
    before = parameters(net)
    yield net
    for name, value in parameters(net).items():
        np.testing.assert_array_equal(value, before[name], err_msg=f'{net.name}: a test has changed {name}')


@pytest.fixture
def net(shared):
    """The shared network, not hybridized."""
    mx.random.seed(1)  # not the numbers that its weights were drawn from
    yield shared
    shared.hybridize(False)


def views(net, count=2, height=None, width=None):
    spec = net.input_spec
    height, width = height or spec.crop_size, width or spec.crop_size
    if spec.ndim == 3:
        return mx.nd.random.normal(shape=(count, spec.channels, spec.frames, height, width))
    return mx.nd.random.normal(shape=(count * spec.segments, spec.channels, height, width))


def logits(net, x):
    """Of every branch, without auxiliary outputs."""
    return net.branches(x)[: len(net.branch_names)]


def outputs(net, x):
    return [z.asnumpy() for z in logits(net, x)]


def assert_close(first, second, tolerance=1e-4):
    assert len(first) == len(second)
    for a, b in zip(first, second):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1, np.abs(a).max()))


def test_zoo_has_the_tiny_models():
    methods = ('', '_dfb')
    expected = {f'{b}_tiny_{d}{m}' for b in ('i3d', 'tsn') for d in ('synthfg', 'custom') for m in methods}
    assert expected <= set(TINY)


def test_it_describes_itself(net):
    assert net.name in TINY
    assert isinstance(net.input_spec, InputSpec) and get_protocol(net.protocol)
    assert net.num_segments == net.input_spec.segments
    x = views(net, 3)
    for z in logits(net, x):
        assert z.shape == (3, net.nclass)
    names = (*net.branch_names, *net.auxiliary_names)
    assert len(net.branches(x)) == len(names) == len(set(names))
    if net.dataset is not None:
        assert net.nclass == {'synthfg': 24, 'synthfg_images': 8, 'synthfg_motion': 12}[net.dataset] == len(net.classes)
        assert net.labels.classes == net.classes
    else:
        assert net.dataset is None and net.labels is None and net.classes is None


def test_the_network_is_its_first_branch(net):
    x = views(net)
    for hybrid in (False, True):
        net.hybridize(hybrid, **STATIC)
        np.testing.assert_allclose(net(x).asnumpy(), outputs(net, x)[0], rtol=1e-5, atol=1e-5)
        assert isinstance(net.branches(x), tuple)


def test_hybridized_equals_imperative_in_use_and_in_training(fresh):
    x, label = views(fresh), mx.nd.array([1, 0])

    def learn():
        with autograd.record():
            loss = fresh.loss(fresh.branches(x), label)
        loss.backward()
        return [loss.asnumpy()] + [p.grad().asnumpy() for p in fresh.collect_params().values() if p.grad_req != 'null']

    plain = outputs(fresh, x)
    slopes = learn()  # also moves the running statistics
    after = outputs(fresh, x)
    fresh.hybridize(**STATIC)
    assert_close(outputs(fresh, x), after)
    for given, expected in zip(learn(), slopes):
        assert np.linalg.norm(given - expected) <= 1e-2 * np.linalg.norm(expected) + 1e-6
    assert not np.allclose(plain[0], after[0])


def test_every_trainable_parameter_learns(fresh):
    fresh.hybridize(**STATIC)
    with autograd.record():
        loss = fresh.loss(fresh.branches(views(fresh, 4)), mx.nd.array([0, 1, 2, 3]))
    loss.backward()
    assert loss.shape == (4,) and loss.dtype == np.float32
    for name, p in fresh._collect_params_with_prefix().items():
        if p.grad_req != 'null':
            gradient = p.grad().asnumpy()
            assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, name


def test_a_few_steps_fit_a_few_clips(fresh):
    fresh.initialize(mx.init.MSRAPrelu('in', 0), force_reinit=True)
    fresh.hybridize(**STATIC)
    trainer = gluon.Trainer(fresh.collect_params(), 'sgd', {'learning_rate': 0.02, 'momentum': 0.9})
    x, label = views(fresh, 4), mx.nd.array([0, 1, 2, 3])
    for step in range(25):
        with autograd.record():
            loss = fresh.loss(fresh.branches(x), label)
        loss.backward()
        trainer.step(4)
        if step == 0:
            first = loss.mean().asscalar()
    assert loss.mean().asscalar() < 0.3 * first


def test_the_loss_is_the_sum_of_what_it_names_or_the_predictions_alone(net):
    z, label = net.branches(views(net)), mx.nd.array([3, 2], dtype='int32')
    named = net.named_losses(z, label)
    assert tuple(named)[: len(net.branch_names)] == net.branch_names
    if net.auxiliary_names == ('steps',):  # which the prediction is the last of
        trained = [named['steps']]
    elif net.auxiliary_names:  # eq. 3: the branches that the prediction is made of, and half of the term beside
        trained = [named[name] for name in net.branch_names[1:]] + [0.5 * named[name] for name in net.auxiliary_names]
    else:
        assert tuple(named) == net.branch_names
        trained = [named['fused']] if 'fused' in named else named.values()
        if {'rgb', 'flow'} <= set(named):  # streams, which learn apart
            trained = [named['rgb'], named['flow']]
    np.testing.assert_allclose(sum(v.asnumpy() for v in trained), net.loss(z, label).asnumpy(), rtol=1e-5)
    logits = z[0].asnumpy().astype('float64')
    expected = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1) - logits[[0, 1], [3, 2]]
    np.testing.assert_allclose(named[net.branch_names[0]].asnumpy(), expected, rtol=1e-4, atol=1e-5)


def test_saving_and_loading_is_exact(net, tmp_path):
    net.save_parameters(str(tmp_path / 'net.params'))
    other = get_model(net.name, nclass=net.nclass)
    other.load_parameters(str(tmp_path / 'net.params'))
    x = views(net)
    for a, b in zip(outputs(net, x), outputs(other, x)):
        np.testing.assert_array_equal(a, b)


def test_saving_right_behind_a_step_saves_the_statistics_of_that_step(fresh, tmp_path):
    """MXNet's static graphs write them unannounced: a plain read here is stale in most cases."""
    fresh.hybridize(**STATIC)
    x, label = views(fresh, 4), mx.nd.array([0, 1, 2, 3])
    for _ in range(5):
        with autograd.record():
            loss = fresh.loss(fresh.branches(x), label)
        loss.backward()
        fresh.save_parameters(str(tmp_path / 'now.params'))
        mx.nd.waitall()
        fresh.save_parameters(str(tmp_path / 'later.params'))
        now, later = (mx.nd.load(str(tmp_path / f'{when}.params')) for when in ('now', 'later'))
        for name, value in now.items():
            np.testing.assert_array_equal(value.asnumpy(), later[name].asnumpy(), err_msg=name)


def test_the_exported_graph_agrees(net, tmp_path):
    x = views(net)
    symbol, params = deploy_symbol(net.branches)
    symbol.save(str(tmp_path / 'net-symbol.json'))
    mx.nd.save(str(tmp_path / 'net-0000.params'), params)
    block = gluon.SymbolBlock.imports(str(tmp_path / 'net-symbol.json'), ['data'], str(tmp_path / 'net-0000.params'))
    exported = block(x)
    exported = exported if isinstance(exported, list) else [exported]
    assert_close([z.asnumpy() for z in net.branches(x)], [z.asnumpy() for z in exported])
    assert len(symbol.list_outputs()) == len(exported) == len(net.branches(x))


def test_gluons_own_export_agrees(net, tmp_path):
    x = views(net)
    net.hybridize(**STATIC)
    expected = net(x).asnumpy()
    net.export(str(tmp_path / 'net'))
    block = gluon.SymbolBlock.imports(str(tmp_path / 'net-symbol.json'), ['data'], str(tmp_path / 'net-0000.params'))
    assert_close([expected], [block(x).asnumpy()])


def test_any_height_and_width(net):
    net.hybridize(**STATIC)
    for height, width in ((48, 48), (54, 71), (33, 40)):
        x = views(net, 1, height, width)
        z = outputs(net, x)
        net.hybridize(False)
        assert_close(z, outputs(net, x))
        net.hybridize(**STATIC)


def test_views_of_a_batch_do_not_touch_each_other(net):
    x = views(net, 3)
    third = outputs(net, x[2 * x.shape[0] // 3 :].copy())
    assert_close([z[2:] for z in outputs(net, x)], third)


def test_uint8_views_arrive_through_to_input(net):
    shape = views(net).shape
    batch = np.random.randint(0, 256, shape).astype('uint8')
    assert np.isfinite(net(to_input(batch, net.input_spec, mx.cpu())).asnumpy()).all()


@pytest.mark.parametrize('hybrid', [False, True])
def test_what_it_cannot_take_is_refused_in_one_line(net, hybrid):
    if hybrid:
        net.hybridize(**STATIC)
        net(views(net))
    x = views(net)
    bad = [
        (x[0], 'has shape'),
        (x.expand_dims(0), 'has shape'),
        (mx.nd.concat(x, x, dim=1), r'has shape .*; this network takes \(N'),
        (x.astype('uint8'), 'input is uint8; .*to_input'),
        (x.astype('float64'), 'input is float64'),
    ]
    if net.input_spec.segments > 1:
        bad.append((mx.nd.concat(x, x[:1], dim=0), 'input has 17 frames, no multiple of net.num_segments 8'))
    for array, message in bad:
        for call in (net, net.branches):
            with pytest.raises(UserError, match=message) as caught:
                call(array)
            assert '\n' not in str(caught.value)


def test_segments_belong_to_images(net):
    if net.input_spec.ndim == 3:
        with pytest.raises(UserError, match='networks on clips take 1'):
            net.num_segments = 2
    with pytest.raises(UserError, match='must be at least 1'):
        net.num_segments = 0


def test_labels_and_input_must_fit(fresh):
    with pytest.raises(UserError, match=f'2 class names for {fresh.name}, which has {fresh.nclass} classes'):
        fresh.labels = LabelSet(('a', 'b'))
    fresh.labels = LabelSet(tuple(f'class {i}' for i in range(fresh.nclass)))
    assert fresh.classes[3] == 'class 3'
    with pytest.raises(UserError, match='takes layout'):
        fresh.input_spec = InputSpec(layout='NCHW' if fresh.input_spec.ndim == 3 else 'NCTHW')
    fresh.input_spec = fresh.input_spec.replace(frame_stride=3)
    assert fresh.input_spec.frame_stride == 3


def test_auxiliary_outputs_are_kept_from_predictions(net):
    """They belong to the loss: fused inference, which scores are made by, gives the logits alone."""
    x = views(net)
    assert_close(outputs(net, x), [z.asnumpy() for z in fuse(net)(x)])


def test_its_maps_are_as_it_says(net):
    x = views(net)
    maps = net.maps(x)
    assert list(maps) == list(net.map_info) and set(net.activation_names) <= set(maps) and 'F5' in maps
    rows = {volume.shape[0] for volume in maps.values()}
    assert rows == {x.shape[0]}
    channels = {'gate': 1, 'mask': net.nclass}
    for name, info in net.map_info.items():
        assert info.kind in ('features', 'mask', 'gate')
        assert maps[name].ndim == x.ndim and maps[name].shape[1] == channels.get(info.kind, maps[name].shape[1])
        assert not info.directions or maps[name].shape[2] % len(info.directions) == 0
    plain = {name: volume.asnumpy() for name, volume in maps.items()}
    np.testing.assert_array_equal(plain['F5'], net.branches.backbone(x)[3].asnumpy())
    net.hybridize(**STATIC)
    for name, volume in net.maps(x).items():
        np.testing.assert_allclose(volume.asnumpy(), plain[name], rtol=1e-3, atol=1e-4)


def test_its_features_are_maps_side_by_side(net):
    x = views(net)
    maps = {name: volume.asnumpy() for name, volume in net.maps(x).items()}
    for kind, volume in zip(net.feature_kinds, net.features(x)):
        assert kind.branch is None or kind.branch in net.branch_names
        parts = np.concatenate([maps[name] for name in kind.maps], axis=1)
        np.testing.assert_allclose(volume.asnumpy(), parts, rtol=1e-4, atol=1e-5)


def test_filters_of_classes_respond_or_are_refused(net):
    filters, x = net.class_filters(), views(net)
    assert filters is None or (filters.ndim == 3 and filters.shape[0] == net.nclass)
    if net.filters_per_class:
        assert filters.shape[1] == net.filters_per_class
        assert net.filter_responses(x).shape[1] == net.nclass * net.filters_per_class and net.response_geometry
    else:
        for ask in (lambda: net.filter_responses(x), lambda: net.response_geometry):
            with pytest.raises(UserError, match='has no filters of single classes'):
                ask()


def test_a_relation_of_classes_is_a_square_of_shares(net):
    relation = net.class_relation
    assert relation is None or relation.matrix.shape == (net.nclass, net.nclass)
    for predicted in (0, net.nclass - 1):
        others = net.selected_classes(predicted)
        assert predicted not in others
        assert all(relation.matrix[other, predicted] > 0 for other in others)


def test_a_further_view_follows_the_network(fresh):
    """Hybridized, and its graph dropped, with the network; its parameters are the network's, saved once."""

    class Last(View):
        def __init__(self, backbone):
            super().__init__()
            self.backbone = backbone

        def hybrid_forward(self, F, x):
            return F.identity(self.backbone(x)[3])

    names, x = list(fresh.collect_params()), views(fresh)
    fresh.add_view('last', Last(fresh.branches.backbone))
    assert list(fresh.collect_params()) == names and 'last' in fresh.views
    fresh.hybridize(**STATIC)
    np.testing.assert_allclose(fresh.views['last'](x).asnumpy(), fresh.maps(x)['F5'].asnumpy(), rtol=1e-4, atol=1e-5)
    assert fresh.views['last']._cached_op is not None
    fresh._clear_cached_op()
    assert fresh.views['last']._cached_op is None


def test_preparing_leaves_a_network_alone_that_is_prepared(net):
    """Nothing is untrained: no batch is asked for, and no parameter changes."""

    def never(*args, **kwargs):
        raise AssertionError('nothing is to be asked for')

    before = {name: p.data().asnumpy() for name, p in net.collect_params().items()}
    names = [str(i) for i in range(net.nclass)]
    net.prepare(PrepareContext(frozenset(), names, never, never, never, never, never, never))
    for name, p in net.collect_params().items():
        np.testing.assert_array_equal(p.data().asnumpy(), before[name])


def test_it_goes_on_from_features_of_a_stage_as_from_what_they_are_of(net):
    """At the first stage that it reads, and no later one; then it takes frames again."""
    spec, x, stage = net.input_spec, views(net), max(net.first_stage, 3)
    label = [mx.nd.array([0, 1])] if net.takes_labels else []
    net.hybridize(**STATIC)
    expected = [z.asnumpy() for z in net.branches(x, *label)]
    features = x
    for block in net.branches.backbone.path(stage):
        features = block(features)
    net.input_spec = FeatureSpec.of(spec, stage)
    given = to_input(features, net.input_spec)
    assert_close([z.asnumpy() for z in net.branches(given, *label)], expected, 1e-5)
    with pytest.raises(UserError, match=f'takes features of stage {stage}, '):
        net.branches(x, *label)
    with pytest.raises(UserError, match='the network takes features of stage'):
        to_input(np.zeros((1, *x.shape[1:]), np.uint8), net.input_spec)
    if stage < 5:
        with pytest.raises(UserError, match=f'reads features of stage {stage}, so that those of stage {stage + 1}'):
            net.input_spec = FeatureSpec.of(spec, stage + 1)
    net.input_spec = net.input_spec.views
    assert net.input_spec == spec
    assert_close([z.asnumpy() for z in net.branches(x, *label)], expected, 1e-5)
