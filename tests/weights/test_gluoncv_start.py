"""`pretrained=True` where only GluonCV has weights, and files of its own that a user gives."""

import logging

import mxnet as mx
import numpy as np
import pytest
from gluoncv.model_zoo import get_model as gluoncv_model
from gluoncv.model_zoo.action_recognition.actionrec_resnetv1b import ActionRecResNetV1b

from gluon_fg import factory, files, get_model, pretrained, registry
from gluon_fg.errors import UserError
from gluon_fg.evaluation.load import load_network
from gluon_fg.nn import batch_norms
from gluon_fg.weights.warm_start import warm_start

DFB_2D, DFB_3D = 'tsn_resnet18_v1b_kinetics400_dfb', 'i3d_resnet50_v1_kinetics400_dfb'


def gluoncv_network(name, path, nclass=400):
    """GluonCV's own, no layer the identity, and its file."""
    if name.startswith('i3d'):
        net, shape = gluoncv_model(name, nclass=nclass, pretrained_base=False), (1, 3, 16, 32, 32)
    else:
        net, shape = ActionRecResNetV1b(18, nclass, pretrained_base=False, num_segments=3), (3, 3, 32, 32)
    net.initialize(mx.init.MSRAPrelu('in', 0), force_reinit=True)
    net(mx.nd.zeros(shape))
    for layer in batch_norms(net):
        for p in layer.params.values():
            p.set_data(mx.nd.random.uniform(0.5, 1.5, shape=p.shape))
    net.save_parameters(str(path))
    return net


@pytest.fixture(scope='module')
def theirs(tmp_path_factory):
    """Sibling's name -> (GluonCV's network, its file)."""
    folder, made = tmp_path_factory.mktemp('gluoncv'), {}

    def get(name):
        if name not in made:
            made[name] = gluoncv_network(name, folder / f'{name}.params'), folder / f'{name}.params'
        return made[name]

    return get


@pytest.fixture
def store(theirs, monkeypatch):
    """GluonCV's store with those files; what was asked of it."""
    asked = []

    def fetch(name, root=None):
        asked.append(name)
        return theirs(name)[1]

    monkeypatch.setattr(pretrained, 'gluoncv_file', fetch)
    return asked


def clips(net, size=48):
    return mx.nd.random.normal(shape=(1, 3, 16, size, size) if net.input_spec.ndim == 3 else (3, 3, size, size))


def values(net):
    return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}


def close(a, b):
    np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=0, atol=1e-4 * np.abs(b.asnumpy()).max())


@pytest.mark.parametrize('name', [DFB_2D, DFB_3D])
def test_untrained_branches_are_set_aside_and_the_scores_are_gluoncvs(name, theirs, store, caplog):
    net = get_model(name, pretrained=True)
    sibling = registry.model_entry(name).gluoncv
    assert store == [sibling] and net.trained_branches == ('avg',) and net.weights_source == f'GluonCV {sibling}'
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == [
        f'{name} starts from GluonCV {sibling}; '
        'branches max, xchannel still need training: until then the scores are those of avg'
    ]
    x = clips(net)
    expected = theirs(sibling)[0](x)
    close(net(x), expected)
    comb, avg, z_max, _ = net.branches(x)
    close(comb, expected)
    close(avg, expected)
    assert np.abs(z_max.asnumpy()).max() > 0
    net.trained_branches = None
    assert not np.allclose(net(x).asnumpy(), expected.asnumpy(), rtol=1e-3)


def test_a_baseline_has_nothing_to_warn_of(theirs, store, caplog):
    net = get_model('tsn_resnet18_v1b_kinetics400', pretrained=True)
    assert not caplog.records and net.trained_branches == net.branch_names == ('avg',)
    x = clips(net)
    close(net(x), theirs('resnet18_v1b_kinetics400')[0](x))


def test_a_copied_local_branch_copies_what_was_loaded(store):
    net = get_model(DFB_2D, pretrained=True, local_init='copy')
    given = values(net)
    for name, value in given.items():
        if '.local.stage.' in name:
            np.testing.assert_array_equal(value, given[name.replace('.local.stage.', '.backbone.res5.')])


def test_another_class_count_keeps_everything_but_the_classifier(theirs, store, caplog):
    for name in (DFB_2D, 'tsn_resnet18_v1b_kinetics400'):
        caplog.clear()
        net = get_model(name, pretrained=True, nclass=7)
        assert [r.getMessage() for r in caplog.records] == [
            f'{name} starts from GluonCV resnet18_v1b_kinetics400; its classifier has other classes than these 7: '
            'every classifier still needs training'
        ]
        assert net.trained_branches == (net.branch_names[1:] or ('avg',))
        x = clips(net)
        assert net(x).shape == (1, 7)
        theirs_net = theirs('resnet18_v1b_kinetics400')[0]
        f = x
        for layer in ('conv1', 'bn1', 'relu', 'maxpool', 'layer1', 'layer2', 'layer3', 'layer4'):
            f = getattr(theirs_net, layer)(f)
        close(net.branches.backbone(x)[3], f)


def test_an_option_that_changes_what_the_weights_mean_is_said(store, caplog):
    name = 'i3d_resnet50_v1_kinetics400'
    net = get_model(name, pretrained=True, temporal_downsample=4)
    assert [r.getMessage() for r in caplog.records] == [
        f'{name} starts from GluonCV {name}; it was trained with temporal_downsample=8: scores differ from its own'
    ]
    caplog.clear()
    get_model(name, pretrained=True, temporal_downsample=8, dropout=0.1)
    assert not caplog.records
    assert net.branches.backbone.geometry(5).stride[0] == 4


def test_weights_of_our_own_come_first(store, monkeypatch):
    monkeypatch.setattr(pretrained, 'find', lambda *args: 'an entry')
    monkeypatch.setattr(pretrained.zoo, 'weights_file', lambda *args: (_ for _ in ()).throw(UserError('asked the zoo')))
    with pytest.raises(UserError, match='asked the zoo'):
        get_model(DFB_2D, pretrained=True)
    assert not store


def test_where_neither_has_weights_nothing_is_fetched(store):
    with pytest.raises(UserError, match='no weights are published for i3d_resnet18_v1_kinetics400') as caught:
        get_model('i3d_resnet18_v1_kinetics400', pretrained=True)
    assert '\n' not in str(caught.value) and not store


def changed(path, to, **changes):
    """The file with arrays replaced, left out (None) or added."""
    arrays = {**mx.nd.load(str(path)), **{name.replace('__', '.'): value for name, value in changes.items()}}
    mx.nd.save(str(to), {name: value for name, value in arrays.items() if value is not None})


@pytest.mark.parametrize('changes, message', [
    ({'layer3__1__conv2__weight': None}, r'lacks branches.backbone.res4.1.conv2.weight \(1 in all\)'),
    ({'output__bias': None}, 'lacks branches.classifier.bias'),
    ({'layer3__7__conv2__weight': mx.nd.zeros((2, 2))}, r'holds layer3.7.conv2.weight \(1 in all\)'),
    ({'nonsense': mx.nd.zeros((2, 2))}, 'holds nonsense'),
    ({'layer3__1__conv2__weight': mx.nd.zeros((2, 2))}, r'res4.1.conv2.weight has shape \(2, 2\), the network needs'),
    ({'fc__bias': mx.nd.zeros(400) + 7}, 'holds branches.classifier.bias twice'),
])  # fmt: skip
def test_nothing_unmatched_is_passed_over_and_nothing_half_loaded(changes, message, theirs, tmp_path):
    changed(theirs('resnet18_v1b_kinetics400')[1], tmp_path / 'changed.params', **changes)
    net = get_model(DFB_2D, pretrained_base=False)
    before = values(net)
    with pytest.raises(UserError, match=message) as caught:
        warm_start(net, tmp_path / 'changed.params')
    assert '\n' not in str(caught.value) and str(tmp_path) in str(caught.value)
    assert net.trained_branches == ('avg', 'max', 'xchannel')
    for name, value in values(net).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_file_for_another_network_names_what_has_no_place(theirs):
    net = factory.build('tsn_resnet50_v1b_kinetics400')
    net.initialize()
    with pytest.raises(UserError, match='another network: it lacks branches.backbone.res2.0.bn3.beta'):
        warm_start(net, theirs('resnet18_v1b_kinetics400')[1])


def test_half_precision_and_deduplicated_files_are_the_same_weights(theirs, tmp_path):
    network, path = theirs('i3d_resnet50_v1_kinetics400')
    network.save_parameters(str(tmp_path / 'once.params'), deduplicate=True)
    once = mx.nd.load(str(tmp_path / 'once.params'))
    assert len(once) < len(mx.nd.load(str(path)))
    mx.nd.save(str(tmp_path / 'half.params'), {name: array.astype('float16') for name, array in once.items()})
    full, half = (factory.build('i3d_resnet50_v1_kinetics400') for _ in range(2))
    for net, file in ((full, path), (half, tmp_path / 'half.params')):
        net.initialize()
        warm_start(net, file)
    expected = values(full)
    for name, value in values(half).items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, expected[name].astype('float16').astype('float32'))


def test_a_file_given_by_hand_predicts_as_gluoncv_does(theirs, caplog, tmp_path):
    network, path = theirs('resnet18_v1b_kinetics400')
    net = load_network(DFB_2D, str(path))
    assert net.trained_branches == ('avg',) and len(caplog.records) == 1
    assert 'GluonCV resnet18_v1b_kinetics400.params; branches max, xchannel' in caplog.text
    x = clips(net)
    close(net(x), network(x))
    with pytest.raises(UserError, match='was trained for 400 classes, tsn_resnet18_v1b_kinetics400_dfb has 9'):
        load_network(DFB_2D, str(path), nclass=9)


def test_a_published_file_of_another_dataset_is_refused(theirs, monkeypatch):
    """Something-Something V1 and V2 have 174 classes each: the shapes would fit."""
    from gluoncv.model_zoo import model_store

    path = theirs('resnet18_v1b_kinetics400')[1]
    monkeypatch.setitem(model_store._model_sha1, 'resnet18_v1b_sthsthv2', files.digest(path, 'sha1'))
    net = factory.build('tsn_resnet18_v1b_kinetics400_dfb')
    net.initialize()
    message = 'resnet18_v1b_sthsthv2, whose classes are not those of kinetics400 that tsn_resnet18_v1b_kinetics400_dfb'
    before = values(net)
    for load in (lambda: warm_start(net, path), lambda: load_network(DFB_2D, str(path))):
        with pytest.raises(UserError, match=message) as caught:
            load()
        assert '\n' not in str(caught.value)
    np.testing.assert_array_equal(values(net)['branches.classifier.bias'], before['branches.classifier.bias'])
    own = factory.build('tsn_resnet18_v1b_custom', nclass=400)  # says nothing that the file could contradict
    own.initialize()
    assert not warm_start(own, path).resized
