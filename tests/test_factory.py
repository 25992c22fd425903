import hashlib
import json
from pathlib import Path

import gluoncv
import mxnet as mx
import numpy as np
import pytest

import gluon_fg
from gluon_fg import factory, files, registry
from gluon_fg.errors import UserError
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.weights import index, zoo
from gluon_fg.weights.entries import Entry, save_index

# Trainable parameters. TSN: torchvision's counts (11,689,512, 25,557,032, 60,192,808, 3,504,872), another classifier.
# I3D: ResNet-18 is torchvision's r3d_18 (33,371,472), its stem five frames deep; 50 is GluonCV's; 152 by its pattern.
BASELINES = {
    'tsn_resnet18_v1b_kinetics400': 11_689_512 - 513 * 1000 + 513 * 400,
    'tsn_resnet50_v1b_kinetics400': 25_557_032 - 2049 * 1000 + 2049 * 400,
    'tsn_resnet152_v1b_kinetics400': 60_192_808 - 2049 * 1000 + 2049 * 400,
    'tsn_mobilenetv2_kinetics400': 3_504_872 - 1281 * 1000 + 1281 * 400,
    'i3d_resnet18_v1_kinetics400': 33_371_472 + 2 * 64 * 3 * 49,
    'i3d_resnet50_v1_kinetics400': 28_043_472,
    'i3d_resnet152_v1_kinetics400': 60_192_808 - 2049 * 600 + 4 * 64 * 3 * 49 + sum(
        2 * c_in * c_out for c_in, c_out, blocks in (
            (64, 64, 1), (256, 64, 2), (256, 128, 1), (512, 128, 3), (512, 256, 1), (1024, 256, 17), (2048, 512, 1),
        ) for _ in range(blocks)),
}  # fmt: skip

CLIPS = (
    'c3d',
    'fused3d',
    'i3d',
    'lstm',
    'r2d',
    'slowonly',
    'topheavy',
    'twostream_i3d',
)  # how networks on clips are called

NCLASS = {
    'kinetics400': 400, 'kinetics700': 700, 'sthsthv1': 174, 'sthsthv2': 174, 'ucf101': 101, 'hmdb51': 51,
    'synthfg': 24, 'stanfordcars': 196, 'stanforddogs': 120, 'synthfg_images': 8, 'imagenet1k': 1000,
    'synthfg_motion': 12, 'minikinetics': None, None: None,
}  # fmt: skip


def trainable(net):
    return {name: p for name, p in net._collect_params_with_prefix().items() if p.grad_req != 'null'}


def count(net):
    return sum(int(np.prod(p.shape)) for p in trainable(net).values())


@pytest.mark.parametrize('name', BASELINES)
def test_baselines_have_the_published_number_of_parameters(name):
    assert count(factory.build(name)) == BASELINES[name]


@pytest.mark.parametrize('name, parameters', [
    ('mobilenetv2_imagenet1k', 3_504_872),  # torchvision's count
    ('efficientnet_lite0_imagenet1k', 4_652_008),  # its authors' 4.7 M
])  # fmt: skip
def test_networks_of_imagenet_have_the_published_number_of_parameters_and_name_what_they_see(name, parameters):
    net = factory.build(name)
    assert count(net) == parameters and net.protocol == 'train_time'
    assert (net.input_spec.short_side, net.input_spec.crop_size, net.num_segments) == (256, 224, 1)
    assert net.classes[0] == 'tench' and net.classes[967] == 'espresso' and len(set(net.classes)) == 1000


@pytest.mark.parametrize('backbone, methods', [
    ('i3d_inceptionv1_same_{}', ('', '_dfb', '_cidc', '_u2s')), ('tsn_mobilenetv2_{}', ('', '_dfb', '_u2s'))
])  # fmt: skip
def test_real_networks_exist_for_every_dataset_and_method(backbone, methods):
    for dataset, nclass in {'kinetics400': 400, 'ucf101': 101, 'hmdb51': 51, 'custom': None}.items():
        plain = factory.model_info(backbone.format(dataset))
        for method in methods:
            info = factory.model_info(backbone.format(dataset) + method)
            assert (
                info['nclass'] == nclass and info['input'] == plain['input'] and info['protocol'] == plain['protocol']
            )


@pytest.mark.parametrize('name', BASELINES)
def test_dfb_adds_a_stage_a_skip_and_a_bank(name):
    baseline, net = factory.build(name), factory.build(name + '_dfb')
    stage = sum(int(np.prod(p.shape)) for n, p in trainable(baseline).items() if '.res5.' in n)
    c4, c5 = (net.branches.backbone.channels[i] for i in (4, 5))
    bank = (c5 + 1) * 2000 + 2001 * 400
    assert count(net) == count(baseline) + stage + c4 * c5 + 2 * c5 + bank
    shared = {n: p.shape for n, p in trainable(net).items() if not n.startswith(('branches.local', 'branches.bank'))}
    assert shared == {n: p.shape for n, p in trainable(baseline).items()}


def test_every_entry_builds_and_knows_its_setting():
    names = gluon_fg.list_models()
    assert len(names) >= 45
    for name in names:
        info = factory.model_info(name)
        net = factory.build(name, **({'nclass': 6} if info['nclass'] is None else {}))
        assert all(0 not in p.shape for p in net.collect_params().values()), name  # nothing waits for a first pass
        assert get_protocol(net.protocol).num_segments(net.input_spec) <= net.num_segments
        assert net.dataset == (info['dataset'] if info['nclass'] else None) and net.nclass == (info['nclass'] or 6)
        assert net.input_spec.ndim == (3 if name.startswith(CLIPS) else 2)
        assert net.input_spec.channels == net.branches.backbone.in_channels
        assert info['nclass'] == NCLASS[info['dataset']]
        assert net.name == info['name'] and net.name.endswith('_dfb') == ('dfb' in name) == (info['method'] == 'DFB')
        assert net.name.endswith('_u2s') == ('u2s' in name) == (info['method'] == 'U2S')


def test_what_a_name_means_never_changes():
    """Weights, runs and score files name models: dataset, input, protocol, backbone and defaults stay as they were.

    The file has the hash of each name's facts; a new name need not be in it.
    """
    known, changed = json.loads(Path(__file__).with_name('model_facts.json').read_text()), []
    for name, digest in known.items():
        facts = {k: v for k, v in factory.model_info(name).items() if k not in ('weights', 'pretrained', 'options')}
        facts['defaults'] = registry.model_entry(name).defaults
        if hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12] != digest:
            changed.append(name)
    assert len(known) == 244 and not changed


def test_listing_takes_wildcards():
    assert gluon_fg.list_models('tsn_tiny_synthfg*') == [
        'tsn_tiny_synthfg',
        'tsn_tiny_synthfg_dfb',
        'tsn_tiny_synthfg_u2s',
    ]
    assert gluon_fg.list_models('*resnet50_dfb') == ['i3d_resnet50_dfb']
    assert gluon_fg.list_models('nothing*') == []


@pytest.mark.parametrize('backbone', ['r2d', 'r2d_nl', 'i3d', 'i3d_nl5', 'slowonly'])
def test_cidcs_backbones_exist_for_its_datasets(backbone):
    """Li et al. 2020, sec. 3.3: 32 frames, every other one, 30 views; GluonCV and DFB have clips of their own."""
    for dataset, nclass in {'kinetics400': 400, 'sthsthv2': 174, 'ucf101': 101, 'hmdb51': 51, 'custom': None}.items():
        info = factory.model_info(f'{backbone}_resnet50_v1_{dataset}')
        assert (info['nclass'], info['method']) == (nclass, 'Baseline')
        if backbone not in ('i3d', 'slowonly'):
            assert (info['input']['frames'], info['input']['frame_stride'], info['protocol']) == (32, 2, '30view')
        info = factory.model_info(f'{backbone}_resnet50_v1_{dataset}_cidc')
        assert (info['nclass'], info['method'], info['protocol']) == (nclass, 'CIDCNetwork', '30view')
        net = factory.build(info['name'], **({'nclass': 6} if nclass is None else {}))
        frames = net.input_spec.frames
        assert frames == info['input']['frames'] == (8 if backbone == 'slowonly' else 32)
        assert net.branches.backbone.frames_at(5, frames) == (8 if backbone == 'slowonly' else 4)


def test_an_alias_is_its_entry():
    assert factory.build('i3d_resnet50_dfb').name == 'i3d_resnet50_v1_kinetics400_dfb'
    assert registry.model_entry('i3d_resnet50_cidc').name == 'i3d_resnet50_v1_kinetics400_cidc'
    assert registry.model_entry('i3d_nl_cidc').name == 'i3d_nl5_resnet50_v1_kinetics400_cidc'


def test_time_is_reduced_by_8_only_where_gluoncvs_weights_fit():
    long = ('_cidc', '_lstm', '_attention')  # 32 frames, as GluonCV's
    from_kinetics = {f'i3d_nl5_resnet50_v1_{dataset}' for dataset in ('sthsthv2', 'ucf101', 'hmdb51')}
    for name in [*gluon_fg.list_models('i3d_resnet*'), *gluon_fg.list_models('i3d_nl*')]:
        net = factory.build(name, **({'nclass': 6} if 'custom' in name else {}))
        fits = registry.model_entry(name).gluoncv is not None or name in from_kinetics or name.endswith(long)
        assert net.branches.backbone.geometry(5).stride[0] == (8 if fits else 4)
    assert factory.build('i3d_resnet50_dfb', temporal_downsample=4).branches.backbone.geometry(5).stride == (4, 32)


def test_gluoncvs_siblings_are_published_for_the_same_dataset():
    from gluoncv.model_zoo import model_store

    siblings = {name: registry.model_entry(name).gluoncv for name in gluon_fg.list_models()}
    siblings = {name: sibling for name, sibling in siblings.items() if sibling}
    assert siblings['i3d_resnet50_dfb'] == 'i3d_resnet50_v1_kinetics400'
    for name, sibling in siblings.items():
        assert sibling in model_store._model_sha1, name
        assert sibling.endswith(factory.setting(name).dataset), name


def test_another_class_count_has_unknown_classes():
    net = factory.build('i3d_tiny_synthfg', nclass=5)
    assert net.nclass == 5 and net.dataset is None and net.classes is None
    assert factory.build('i3d_tiny_synthfg', nclass=24).dataset == 'synthfg'


def test_segments_are_an_option_of_2d_networks():
    net = factory.build('tsn_resnet18_v1b_kinetics400', num_segments=7)
    assert net.num_segments == net.input_spec.segments == 7


def test_parameters_are_usable_at_once_and_seeds_repeat():
    def values(seed):
        mx.random.seed(seed)
        net = gluon_fg.get_model('tsn_tiny_synthfg_dfb')
        return [p.data().asnumpy() for p in net.collect_params().values()]

    first, again, other = values(1), values(1), values(2)
    assert all((a == b).all() for a, b in zip(first, again))
    assert not all((a == b).all() for a, b in zip(first, other))


@pytest.mark.parametrize('call, message', [
    (('i3d_resnet50_dbf',), "unknown model 'i3d_resnet50_dbf'; did you mean 'i3d_resnet50_dfb'"),
    (('resnet50_v1bb',), "unknown model 'resnet50_v1bb'; did you mean .*'resnet50_v1b'"),
    (('i3d_tiny_custom',), 'i3d_tiny_custom needs the number of classes; give nclass'),
    (('i3d_tiny_synthfg', {'nclass': 1}), 'nclass must be a whole number of at least 2, got 1'),
    (('i3d_tiny_synthfg', {'nclass': 2.5}), 'nclass must be .* got 2.5'),
    (('i3d_tiny_synthfg', {'nclass': 'ten'}), "nclass must be .* got 'ten'"),
    (('i3d_tiny_synthfg', {'dropuot': 0.5}), "unknown option of i3d_tiny_synthfg 'dropuot'; did you mean 'dropout'"),
    (('i3d_tiny_synthfg', {'filters_per_class': 5}), "unknown option of i3d_tiny_synthfg 'filters_per_class'"),
    (('i3d_tiny_synthfg', {'backbone': 'tiny'}), "unknown option of i3d_tiny_synthfg 'backbone'"),
    (('i3d_tiny_synthfg', {'num_segments': 3}), 'num_segments 3: networks on clips take 1'),
    (('tsn_tiny_synthfg', {'num_segments': 0}), 'num_segments must be at least 1, got 0'),
])  # fmt: skip
def test_mistakes_get_one_line(call, message):
    with pytest.raises(UserError, match=message) as caught:
        gluon_fg.get_model(call[0], **dict(*call[1:]))
    assert '\n' not in str(caught.value)


def test_gluoncv_knows_our_names_and_keeps_its_own():
    net = gluoncv.model_zoo.get_model('i3d_tiny_synthfg_dfb', nclass=5)
    assert net.nclass == 5 and net.branch_names[0] == 'comb'
    theirs = gluoncv.model_zoo.get_model('i3d_resnet50_v1_kinetics400', pretrained_base=False)
    assert type(theirs).__module__.startswith('gluoncv.')


def test_other_names_go_to_gluoncv():
    net = gluon_fg.get_model('cifar_resnet20_v1', classes=7)
    net.initialize()
    assert net(mx.nd.zeros((1, 3, 32, 32))).shape == (1, 7)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A zoo with weights for one network."""
    net = gluon_fg.get_model('i3d_tiny_synthfg')
    path = tmp_path / 'zoo' / 'i3d_tiny_synthfg-0123.params'
    path.parent.mkdir()
    net.save_parameters(str(path))
    size = sum(int(np.prod(p.shape)) for p in net.collect_params().values())
    entry = Entry('i3d_tiny_synthfg', path.name, files.sha256(path), path.stat().st_size, size, 'float32',
                  net.labels.fingerprint, 'train_time', 'Apache-2.0', 'a test', 'synthfg',
                  input={'frame_stride': 2, 'mean': (0.5, 0.5, 0.5)})  # fmt: skip
    save_index({entry.name: entry}, path.parent / 'index.yaml')
    monkeypatch.setattr(index, '_REPO_ZOO', path.parent)
    monkeypatch.setenv('MXNET_HOME', str(tmp_path / 'home'))
    return net, path


def test_published_weights_come_with_their_input(published):
    net, _ = published
    assert gluon_fg.list_models(pretrained=True) == ['i3d_tiny_synthfg']
    assert factory.model_info('i3d_tiny_synthfg')['pretrained']
    loaded = gluon_fg.get_model('i3d_tiny_synthfg', pretrained=True)
    x = mx.nd.random.normal(shape=(1, 3, 8, 48, 48))
    np.testing.assert_array_equal(loaded(x).asnumpy(), net(x).asnumpy())
    assert loaded.input_spec == net.input_spec.replace(frame_stride=2, mean=(0.5, 0.5, 0.5))


def test_another_number_of_classes_keeps_all_but_the_classifier(published, caplog):
    net, _ = published
    loaded = gluon_fg.get_model('i3d_tiny_synthfg', pretrained=True, nclass=3)
    assert loaded.nclass == 3 and loaded.classes is None and loaded.input_spec.frame_stride == 2
    theirs, ours = net._collect_params_with_prefix(), loaded._collect_params_with_prefix()
    different = [n for n in theirs if theirs[n].shape != ours[n].shape or (theirs[n].data() != ours[n].data()).max()]
    assert different == ['branches.classifier.weight', 'branches.classifier.bias']
    [record] = caplog.records
    assert 'its classes are others than these 3: every classifier still needs training' in record.getMessage()


def test_weights_of_other_options_are_refused():
    with pytest.raises(UserError, match='does not fit i3d_tiny_synthfg_dfb as built .*; leave out options'):
        gluon_fg.get_model('i3d_tiny_synthfg_dfb', pretrained=True, local_branch=False)


def test_a_good_file_in_root_comes_first_and_a_bad_one_is_passed_over(published, tmp_path):
    _, path = published
    root = tmp_path / 'mine'
    root.mkdir()
    (root / path.name).write_bytes(path.read_bytes()[:-7])
    assert zoo.weights_file('i3d_tiny_synthfg', str(root)) == path
    (root / path.name).write_bytes(path.read_bytes())
    assert zoo.weights_file('i3d_tiny_synthfg', str(root)) == root / path.name


def test_what_is_not_published_damaged_or_lost_is_said(published):
    _, path = published
    with pytest.raises(UserError, match='no weights .* for i3d_tiny_synthfg_dfb; published: i3d_tiny_synthfg'):
        gluon_fg.get_model('i3d_tiny_synthfg_dfb', pretrained=True)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(UserError, match='is damaged: it is cut short'):
        gluon_fg.get_model('i3d_tiny_synthfg', pretrained=True)
    path.unlink()
    with pytest.raises(
        UserError, match='weights of i3d_tiny_synthfg: put i3d_tiny_synthfg-0123.params into .*home.* or .*zoo'
    ):
        gluon_fg.get_model('i3d_tiny_synthfg', pretrained=True)
