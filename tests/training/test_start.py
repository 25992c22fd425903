"""model.start: what a run says that it starts from, what it starts from, and what a resumed run needs of it."""

import json
import shutil

import mxnet as mx
import numpy as np
import pytest
from said import Lines

from gluon_fg import factory, files, get_model, registry
from gluon_fg.errors import UserError
from gluon_fg.nn.norm import batch_norms
from gluon_fg.training import loop, stages
from gluon_fg.training import start as starting
from gluon_fg.training.config import load_config
from gluon_fg.training.log import read_metrics
from gluon_fg.weights import index
from gluon_fg.weights.entries import Entry, save_index

NAME, SIBLING = 'i3d_tiny_custom_dfb', 'i3d_tiny_kinetics400'
FILE = 'i3d_tiny_kinetics400-stand-in.params'
GLUONCV = 'tsn_resnet18_v1b_custom'
CLASSES = tuple(f'kinetics class {number}' for number in range(24))


@pytest.fixture(scope='module', autouse=True)
def sibling():
    """A tiny network of Kinetics-400: an entry as the large ones are."""
    tiny = registry.model_entry('i3d_tiny_synthfg')
    with pytest.MonkeyPatch.context() as patch:
        entry = registry.ModelEntry(SIBLING, tiny.builder, 'kinetics400', tiny.input, tiny.backbone, tiny.defaults)
        patch.setitem(registry._entries, SIBLING, entry)
        yield


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """An empty folder of weights, and no network at all."""
    for name in ('GLUON_FG_REPO', 'MXNET_GLUON_REPO'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('MXNET_HOME', str(tmp_path / 'home'))
    monkeypatch.setenv('MXNET_GLUON_REPO', f'file://{tmp_path}/nowhere')
    index._remote_text.cache_clear()
    folder = tmp_path / 'home/models'
    folder.mkdir(parents=True)
    return folder


def publish(home, with_file=True):
    """Stand-in weights, of 24 classes that are not SynthFG's, with statistics; their arrays."""
    net = get_model(SIBLING, pretrained_base=False, nclass=24)
    for layer in batch_norms(net):
        layer.running_mean.set_data(mx.nd.random.uniform(0.1, 0.2, layer.running_mean.shape))
    net.save_parameters(str(home / FILE))
    arrays = {name: array.asnumpy() for name, array in mx.nd.load(str(home / FILE)).items()}
    entry = Entry(
        name=SIBLING,
        file=FILE,
        sha256=files.sha256(home / FILE),
        bytes=(home / FILE).stat().st_size,
        params=sum(array.size for array in arrays.values()),
        dtype='float32',
        fingerprint=factory.LabelSet(CLASSES).fingerprint,
        protocol='train_time',
        licence='none',
        source='a test',
        classes=CLASSES,
    )
    save_index({SIBLING: entry}, home / index.INDEX)
    if not with_file:
        (home / FILE).unlink()
    return arrays


@pytest.fixture(scope='module')
def folders(tiny_synthfg, tmp_path_factory):
    """Two classes of one's own in folders."""
    root = tmp_path_factory.mktemp('own')
    for split, count in (('train', 4), ('val', 2)):
        for label, name in enumerate(('opens', 'closes')):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                source = tiny_synthfg / 'train' / f'{label * 4 + i:05d}.mp4'
                shutil.copy(source, root / split / name / f'{i}.mp4')
    return root


@pytest.fixture(scope='module')
def settings(folders):
    def make(*more, model=NAME):
        return load_config(
            None,
            [
                f'model.name={model}',
                'data.dataset=folder',
                f'data.root={folders}',
                'data.workers=1',
                'train.epochs=2',
                'train.batch_size=4',
                'train.lr_epochs=[]',
                'train.log_steps=1',
                'train.batch_norm=partial',
                'train.lr_new=3',
                *more,
            ],
        )

    return make


def begun(config, labels=None):
    config.model.nclass = config.model.nclass or 2
    net, start = starting.begin(config, mx.cpu(), labels)
    return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}, start


def train(config, out):
    with Lines() as said:
        summary = loop.train(config, out, progress=False)
    return said, summary


def same(a, b):
    return all(np.array_equal(value, b[name]) for name, value in a.items())


@pytest.mark.parametrize('name', ['i3d_tiny_flow_custom', 'twostream_i3d_tiny_custom'])
@pytest.mark.parametrize('given', [(), ('model.start=kinetics400',)])
def test_optical_flow_starts_from_kinetics_weights_for_colors(home, settings, name, given):
    """Of which none are published for flow: its stem gets the mean over the colors, all else is taken as it is."""
    arrays = publish(home)
    params, start = begun(settings(*given, model=name))
    assert start.choice == 'kinetics400' and start.source.startswith(f'Kinetics-400 weights {FILE}: ')
    assert 'stem.0.weight: mean over the input channels of the file (cross-modality)' in start.source
    flow = 'flow.' if name.startswith('two') else ''
    stem = f'branches.backbone.{flow}stem.0.weight'
    mean = arrays['branches.backbone.stem.0.weight'].mean(1, keepdims=True)
    np.testing.assert_allclose(params[stem], np.repeat(mean, 2, 1), rtol=1e-5, atol=1e-7)
    assert stem in start.untrained and start.spec.channels == (5 if flow else 2)
    for stream in {flow, flow and 'rgb.'}:
        for at in ('res3', 'res5'):
            loaded = {n: a for n, a in arrays.items() if n.startswith(f'branches.backbone.{at}.')}
            assert loaded and same({n.replace('backbone.', f'backbone.{stream}'): a for n, a in loaded.items()}, params)


@pytest.mark.parametrize('nclass', [2, 24])
@pytest.mark.parametrize('given', [(), ('model.start=kinetics400',)])
def test_it_starts_from_kinetics_where_that_is_to_be_had_but_for_its_classes(home, settings, given, nclass):
    arrays = publish(home)
    params, start = begun(settings(*given, f'model.nclass={nclass}'))
    backbone = {name: value for name, value in arrays.items() if name.startswith('branches.backbone.')}
    assert len(backbone) > 10 and same(backbone, params)
    assert start.choice == 'kinetics400' and start.source.startswith(f'Kinetics-400 weights {FILE}: ')
    for name in ('branches.classifier.weight', 'branches.classifier.bias'):
        assert name in start.untrained
    assert not np.array_equal(params['branches.classifier.weight'], arrays['branches.classifier.weight'])
    assert start.untrained == set(params) - set(backbone)  # the filter bank and the local branch are new
    assert start.statistics == {name for name in backbone if name.endswith('running_mean')}


def test_without_a_choice_it_goes_on_with_the_next_one_and_says_so(home, settings):
    """Only what there should be is missed: a tiny backbone has no weights of ImageNet, and no line about them."""
    publish(home, with_file=False)
    _, start = begun(settings())
    assert start.choice == 'none' and '\n' not in start.source and 'imagenet' not in start.source
    assert start.source.startswith('random weights; no kinetics400 weights: ')
    assert f'put {FILE} into {home}' in start.source
    _, start = begun(settings(model='r2d_tiny_custom'))
    assert start.source == 'random weights'


def test_a_missing_file_that_was_asked_for_is_an_error(home, settings):
    publish(home, with_file=False)
    with pytest.raises(UserError, match=f'^model.start kinetics400: .*put {FILE} into {home}') as caught:
        begun(settings('model.start=kinetics400'))
    assert '\n' not in str(caught.value)
    with pytest.raises(UserError, match='kinetics400: no Kinetics-400 weights of r2d_tiny are published; choose'):
        begun(settings('model.start=kinetics400', model='r2d_tiny_custom'))
    with pytest.raises(UserError, match='model.start imagenet: no ImageNet weights are published'):
        begun(settings('model.start=imagenet'))
    with pytest.raises(UserError, match='model.start kinetic400: no such file; give a .params file, or choose kin'):
        begun(settings('model.start=kinetic400'))


def test_gluoncvs_weights_are_the_siblings(home, settings, monkeypatch, tmp_path):
    """Of a file that has 400 classes nothing but the backbone is taken; ImageNet's is next, and neither waits."""
    asked = []

    def none(name, root=None, attempts=4):
        asked.append((name, attempts))
        raise UserError(f'cannot fetch {name}')

    monkeypatch.setattr(starting, 'gluoncv_file', none)
    monkeypatch.setattr('gluon_fg.weights.imagenet.gluoncv_file', none)
    _, start = begun(settings(model=GLUONCV))
    assert start.source == (
        'random weights; no kinetics400 weights: cannot fetch resnet18_v1b_kinetics400; '
        'no imagenet weights: ImageNet weights: cannot fetch resnet18_v1b'
    )
    assert asked == [('resnet18_v1b_kinetics400', 1), ('resnet18_v1b', 1)]
    from gluoncv.model_zoo.action_recognition.actionrec_resnetv1b import ActionRecResNetV1b

    net = ActionRecResNetV1b(18, 400, pretrained_base=False, num_segments=1)
    net.initialize()
    net(mx.nd.zeros((1, 3, 32, 32)))
    net.save_parameters(str(tmp_path / 'theirs.params'))
    monkeypatch.setattr(starting, 'gluoncv_file', lambda name, root=None, attempts=4: tmp_path / 'theirs.params')
    params, start = begun(settings(model=GLUONCV))
    assert start.source.startswith('Kinetics-400 weights of GluonCV resnet18_v1b_kinetics400: ')
    assert start.untrained == {'branches.classifier.weight', 'branches.classifier.bias'}
    assert np.array_equal(params['branches.backbone.stem.0.weight'], net.conv1.weight.data().asnumpy())
    params, start = begun(settings('model.nclass=400', model=GLUONCV))  # as many classes, and others
    assert start.untrained == {'branches.classifier.weight', 'branches.classifier.bias'}


@pytest.mark.parametrize(
    'given, key',
    [
        (('model.start=none', 'model.pretrained=true'), 'pretrained'),
        (('model.start=kinetics400', 'model.params=x.params'), 'params'),
        (('model.start=imagenet', 'model.pretrained_base=false'), 'pretrained_base'),
        (('model.start=none', 'model.pretrained_base=true'), 'pretrained_base'),
    ],
)
def test_contradictions_are_refused(settings, given, key):
    with pytest.raises(UserError, match=rf'model.start is \w+ and model.{key} is .*; leave out model.{key}$'):
        settings(*given)


@pytest.mark.parametrize('given', ['model.pretrained_base=false', 'model.pretrained_base=true'])
def test_the_older_keys_mean_what_they_meant(home, settings, given):
    """Weights of Kinetics-400 are there, and nobody asked for them."""
    publish(home)
    config = settings(given)
    _, start = begun(config)
    assert start.source == 'random weights' and config.model.start is None and start.choice is None
    entry = load_config(None, ['model.name=i3d_tiny_synthfg'])
    assert begun(entry)[1].source == 'random weights' and entry.model.start is None


def test_the_first_line_says_it_and_a_resumed_run_needs_nothing_else(home, settings, tmp_path):
    publish(home)
    said, _ = train(settings(), tmp_path / 'whole')
    assert said[0].startswith(f'{NAME} starts from Kinetics-400 weights {FILE}: ')
    assert load_config(str(tmp_path / 'whole/config.yaml')).model.start == 'kinetics400'
    assert json.loads((tmp_path / 'whole/start.json').read_text())['choice'] == 'kinetics400'
    out = tmp_path / 'cut'
    shutil.copytree(tmp_path / 'whole', out)
    shutil.rmtree(out / 'checkpoint-00000004')
    for name in ('summary.json', 'final.params', 'best.params'):
        (out / name).unlink()
    shutil.rmtree(home)  # neither file nor index is left
    resumed, _ = train(settings(), out)
    assert resumed[0] == said[0].replace('starts', 'started') and any('checkpoint-00000002' in line for line in resumed)
    assert [line for line in said if line.startswith('frozen')] == [line for line in resumed if line.startswith('froz')]
    a, b = (mx.nd.load(str(folder / 'final.params')) for folder in (tmp_path / 'whole', out))
    assert sorted(a) == sorted(b) and all(np.array_equal(a[n].asnumpy(), b[n].asnumpy()) for n in a)
    with pytest.raises(UserError, match='model.start: kinetics400 -> none'):
        train(settings('model.start=none'), out)


def test_a_run_killed_before_its_first_checkpoint_starts_from_the_same(home, settings, tmp_path):
    """Kinetics weights that came meanwhile are not what it began with."""

    class Killed(BaseException):
        pass

    def kill(line):
        if line.startswith('model:'):
            raise Killed

    with pytest.raises(Killed), Lines(kill):
        loop.train(settings(), tmp_path / 'run', progress=False)
    publish(home)
    said, _ = train(settings(), tmp_path / 'run')
    assert said[0] == f'{NAME} starts from random weights'
    (tmp_path / 'run/summary.json').unlink()
    (tmp_path / 'run/start.json').write_text('{"source": 1}')
    with pytest.raises(UserError, match='start.json is damaged'):
        train(settings(), tmp_path / 'run')


def test_an_unfinished_run_of_before_goes_on_as_it_began(home, settings, tmp_path):
    """It has no start.json; its config says nothing of a start, which meant random weights for a tiny network."""
    old = settings('model.pretrained_base=false')
    train(old, tmp_path / 'run')
    out = tmp_path / 'run'
    text = (out / 'config.yaml').read_text().replace('  start: null\n', '').replace('base: false', 'base: null')
    (out / 'config.yaml').write_text(text)
    for name in ('summary.json', 'start.json'):
        (out / name).unlink()
    publish(home)
    said, _ = train(settings(), out)
    assert said[0] == f'{NAME} starts from random weights'


def test_of_stages_only_the_first_starts_so(home, settings, tmp_path):
    publish(home)
    parts = 'stages={first: {model: {name: i3d_tiny_custom}}, second: {train: {lr: 0.001}}}'
    config = settings(parts, 'train.epochs=1')
    with Lines() as said:
        stages.train(config, tmp_path / 'run', progress=False)
    starts = [line for line in said if ' starts from ' in line]
    assert len(starts) == 2 and f'Kinetics-400 weights {FILE}' in starts[0]
    assert starts[1].startswith(f'{NAME} starts from {tmp_path}/run/first/final.params: ')
    vals = [r for r in read_metrics(tmp_path / 'run/metrics.jsonl') if r['event'] == 'val']
    assert [r['stage'] for r in vals] == ['first', 'second', 'second']
    with pytest.raises(UserError, match='stages.second: model.start is none, but a stage starts from'):
        settings('stages={first: {}, second: {model: {start: none}}}')
