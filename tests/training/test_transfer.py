"""model.transfer: original, fixed and full start as they say, and fixed changes nothing but what is new."""

import shutil

import mxnet as mx
import numpy as np
import pytest
from said import Lines
from test_training_from_features import make_features

from gluon_fg import get_model
from gluon_fg.data.transforms import to_input
from gluon_fg.errors import UserError
from gluon_fg.nn.norm import batch_norms
from gluon_fg.training import loop, parts, stages
from gluon_fg.training.config import load_config
from gluon_fg.training.distributed import World
from gluon_fg.training.state import TrainState
from gluon_fg.training.transfer import keep_features, start_of
from gluon_fg.weights.params_file import read_params

CLASSIFIER = {'branches.classifier.weight', 'branches.classifier.bias'}


@pytest.fixture(scope='module')
def folders(tiny_synthfg, tmp_path_factory):
    """Two classes of one's own in folders, eight videos to train on and four to validate."""
    root = tmp_path_factory.mktemp('own')
    for split, count in (('train', 4), ('val', 2)):
        for label, name in enumerate(('opens', 'closes')):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                source = tiny_synthfg / 'train' / f'{label * 4 + i:05d}.mp4'
                shutil.copy(source, root / split / name / f'{i}.mp4')
    return root


@pytest.fixture
def settings(folders):
    def make(model, *more):
        shared = ['data.dataset=folder', f'data.root={folders}', 'data.workers=1', 'train.epochs=1', 'train.lr=0.1']
        shared += ['train.batch_size=4', 'train.lr_epochs=[]']
        return load_config(None, [f'model.name={model}', *shared, *more])

    return make


def trained_on_kinetics(model, path, nclass=5):
    """Write the parameters of a network that has statistics of some data; the arrays."""
    mx.random.seed(9)
    np.random.seed(9)
    net = get_model(model, pretrained_base=False, nclass=nclass)
    for layer in batch_norms(net):
        layer.running_mean.set_data(mx.nd.random.uniform(-0.1, 0.1, layer.running_mean.shape))
        layer.running_var.set_data(mx.nd.random.uniform(0.5, 1.5, layer.running_var.shape))
    net.save_parameters(str(path))
    return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}


def saved(path):
    return {name: array.asnumpy() for name, array in read_params(str(path)).items()}


def changed(before, after):
    return {name for name in before if name not in after or not np.array_equal(before[name], after[name])}


NETWORKS = (
    'i3d_tiny_custom',
    'tsn_tiny_custom',
    'i3d_tiny_custom_dfb',
    'r2d_tiny_custom_cidc',
    'topheavy_tiny_custom_u2s',
    'i3d_tiny_custom_lstm',
    'topheavy_tiny_custom',
    'lstm_tiny_custom',
    'c3d_tiny_custom',
    'twostream_tiny_rgb_custom',
)


@pytest.mark.parametrize('model', NETWORKS)
def test_fixed_changes_the_classifiers_alone(settings, tmp_path, model):
    """To the bit, running statistics included, whatever else would change them: averages, precise batch norm, decay."""
    given = trained_on_kinetics(model, tmp_path / 'kinetics.params')
    hard = ('train.ema=0.5', 'train.precise_bn=2', 'train.wd=0.1', 'train.batch_norm=partial', 'train.accumulate=2')
    config = settings(model, 'model.transfer=fixed', f'model.start={tmp_path / "kinetics.params"}', *hard)
    loop.train(config, tmp_path / 'run', progress=False)
    own = set(get_model(model, pretrained_base=False, nclass=2).class_parameters())
    assert CLASSIFIER <= own
    for name in ('best.params', 'final.params'):
        assert changed(given, saved(tmp_path / 'run' / name)) == own


@pytest.mark.parametrize(
    'model', ['twostream_i3d_tiny_custom', 'twostream_tiny_custom', 'topheavy_tiny_flow_custom_u2s']
)
def test_fixed_holds_for_flow_and_for_both_streams(model):
    net = get_model(model, pretrained_base=False, nclass=3)
    before = {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}
    line = keep_features(net, frozenset(before))
    trainer = mx.gluon.Trainer([p for p in net.collect_params().values() if p.grad_req != 'null'], 'sgd')
    net.hybridize(static_alloc=True, static_shape=True)
    size = (net.input_spec.frames, 48, 48) if net.input_spec.ndim == 3 else (48, 48)
    x = mx.nd.random.uniform(-1, 1, (4, net.input_spec.channels, *size))
    tested = [z.asnumpy() for z in net.branches(x)]
    with mx.autograd.record():
        outputs = net.branches(x)
        loss = net.loss(outputs, mx.nd.array([0, 1, 2, 0]))
    for z, other in zip(outputs, tested):  # normalized by running statistics
        np.testing.assert_allclose(z.asnumpy(), other, rtol=1e-3, atol=1e-5)
    loss.backward()
    trainer.step(4)
    mx.nd.waitall()
    moved = changed(before, {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()})
    assert moved and moved <= set(net.class_parameters())
    assert all(name in moved for name in net.class_parameters() if 'classifier' in name and name.endswith('weight'))
    assert line.startswith(f'transfer fixed: {len(before) - len(net.class_parameters())} parameters stay as they are')


def test_full_changes_everything_and_both_have_a_new_classifier(settings, tmp_path):
    """The file has as many classes as the videos, and others."""
    given = trained_on_kinetics('i3d_tiny_custom', tmp_path / 'kinetics.params', nclass=2)
    begun = {}
    for transfer in ('fixed', 'full'):
        config = settings(
            'i3d_tiny_custom', f'model.transfer={transfer}', f'model.start={tmp_path / "kinetics.params"}'
        )
        run = parts.set_up(config, tmp_path / f'begun_{transfer}', World(), False, None)
        begun[transfer] = {name: p.data().asnumpy() for name, p in run.net._collect_params_with_prefix().items()}
        assert changed(given, begun[transfer]) == CLASSIFIER - {'branches.classifier.bias'}  # which is zeros
        loop.train(config, tmp_path / transfer, progress=False)
    assert not changed(begun['fixed'], begun['full'])
    weights = {name for name in given if name.endswith(('weight', 'running_mean'))}
    assert weights <= changed(given, saved(tmp_path / 'full/final.params'))


def test_fixed_is_a_linear_classifier_on_the_features_of_the_network_in_testing(settings, tmp_path):
    """One update, computed here: softmax regression by SGD on pooled features with running statistics."""
    trained_on_kinetics('i3d_tiny_custom', tmp_path / 'kinetics.params')
    config = settings('i3d_tiny_custom', 'model.transfer=fixed', f'model.start={tmp_path / "kinetics.params"}')
    run = parts.set_up(config, tmp_path / 'run', World(), False, None)
    weight, bias = (run.net.branches.classifier.params.get(name) for name in ('weight', 'bias'))
    w, b = (p.data().asnumpy().astype('f8') for p in (weight, bias))
    batch = next(iter(run.loader.batches(0)))
    features = run.net.branches.backbone(to_input(batch.clips, run.net.input_spec, mx.cpu()))[-1]
    features = features.asnumpy().astype('f8').mean((2, 3, 4))  # (N, C)
    logits = features @ w.T + b
    p = np.exp(logits - logits.max(1, keepdims=True))
    p = p / p.sum(1, keepdims=True) - np.eye(2)[batch.labels]
    loop.one_update(run, TrainState(), 0, iter([batch]))
    rate, wd = run.rate(0), config.train.wd
    expected = w - rate * (p.T @ features / len(p) + wd * w)
    np.testing.assert_allclose(weight.data().asnumpy(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(bias.data().asnumpy(), b - rate * p.mean(0), rtol=1e-4, atol=1e-6)
    assert np.abs(expected - w).max() > 1e-3


def test_dropout_works_as_in_the_network(settings, tmp_path):
    trained_on_kinetics('i3d_tiny_custom', tmp_path / 'kinetics.params')
    start = (f'model.start={tmp_path / "kinetics.params"}', 'model.transfer=fixed')
    heads = []
    for dropout in (0.0, 0.5):
        loop.train(
            settings('i3d_tiny_custom', *start, f'model.options.dropout={dropout}'),
            tmp_path / str(dropout),
            progress=False,
        )
        heads.append(saved(tmp_path / str(dropout) / 'final.params'))
    assert changed(*heads) == CLASSIFIER


def test_what_the_file_lacks_is_trained_and_copies_of_its_layers_are_not(settings, tmp_path):
    """DFB from a network without its branches: the local stage is a copy of res5, the filters are new."""
    trained_on_kinetics('i3d_tiny_custom', tmp_path / 'kinetics.params')
    start = (f'model.start={tmp_path / "kinetics.params"}', 'model.transfer=fixed')
    config = settings('i3d_tiny_custom_dfb', *start, 'model.options.local_init=copy')
    with Lines() as said:
        run = parts.set_up(config, tmp_path / 'begun', World(), False, None)
    begun = {name: p.data().asnumpy() for name, p in run.net._collect_params_with_prefix().items()}
    loop.train(config, tmp_path / 'run', progress=False)
    moved = changed(begun, saved(tmp_path / 'run/final.params'))
    assert moved and not any(name.startswith(('branches.backbone.', 'branches.local.stage.')) for name in moved)
    assert {'branches.classifier.weight', 'branches.bank.filters.weight'} <= moved
    assert any(line.startswith('transfer fixed: ') and 'branches.bank.filters' in line for line in said)


def test_a_resumed_run_keeps_the_same(settings, tmp_path):
    """Without the file, too: the run's folder says what it gave."""
    trained_on_kinetics('i3d_tiny_custom_dfb', tmp_path / 'kinetics.params')
    config = (f'model.start={tmp_path / "kinetics.params"}', 'model.transfer=fixed', 'train.epochs=2')
    loop.train(settings('i3d_tiny_custom_dfb', *config), tmp_path / 'whole', progress=False)
    shutil.copytree(tmp_path / 'whole', tmp_path / 'cut')
    shutil.rmtree(tmp_path / 'cut/checkpoint-00000004')
    for name in ('summary.json', 'final.params', 'best.params'):
        (tmp_path / 'cut' / name).unlink()
    (tmp_path / 'kinetics.params').unlink()
    loop.train(settings('i3d_tiny_custom_dfb', *config), tmp_path / 'cut', progress=False)
    assert not changed(saved(tmp_path / 'whole/final.params'), saved(tmp_path / 'cut/final.params'))


def test_fixed_holds_in_every_stage(settings, tmp_path):
    """Category regularization in three stages: features and copies of them stay, what is new is trained in each."""
    given = trained_on_kinetics('topheavy_tiny_custom', tmp_path / 'kinetics.params')
    parts_of_it = 'stages={universal: {model: {name: topheavy_tiny_custom}}, specific: {}, joint: {train: {lr: 0.05}}}'
    start = (f'model.start={tmp_path / "kinetics.params"}', 'model.transfer=fixed', 'train.lr=0.05')
    stages.train(settings('topheavy_tiny_custom_u2s', parts_of_it, *start), tmp_path / 'run', progress=False)
    universal, specific, joint = (
        saved(tmp_path / 'run' / name / 'final.params') for name in ('universal', 'specific', 'joint')
    )
    assert changed(given, universal) == CLASSIFIER
    own = set(get_model('topheavy_tiny_custom_u2s', pretrained_base=False, nclass=2).class_parameters())
    for before, after in ((universal, specific), (specific, joint)):
        moved = changed(before, after) & set(before)
        assert 'branches.classifier.weight' in moved and moved <= own | {'branches.gate.scale'}
    assert 'branches.gate.scale' in changed(specific, joint)
    copies = {name: name.replace('specific', 'backbone') for name in joint if name.startswith('branches.specific.res')}
    assert copies and all(np.array_equal(joint[name], given[source]) for name, source in copies.items())


@pytest.mark.parametrize(
    'model, start',
    [
        ('i3d_tiny_custom', 'none'),
        ('tsn_resnet18_v1b_custom', 'imagenet'),
        # Quo Vadis: "ImageNet pretrained" is yes, no, yes, yes, yes
        ('lstm_inceptionv1_custom', 'imagenet'),
        ('c3d_bn_custom', 'none'),
        ('twostream_inceptionv1_custom', 'imagenet'),
        ('fused3d_inceptionv1_custom', 'imagenet'),
        ('twostream_i3d_inceptionv1_same_custom', 'imagenet'),
    ],
)
def test_original_starts_from_imagenet_where_there_is_such(settings, model, start):
    assert start_of(settings(model, 'model.transfer=original').model) == start
    assert start_of(settings(model, 'model.transfer=full').model) == 'kinetics400'


@pytest.mark.parametrize(
    'given, line',
    [
        (
            ('transfer=fixed', 'start=none'),
            'model.transfer is fixed and model.start is none.*choose kinetics400 or a .par',
        ),
        (
            ('transfer=full', 'start=imagenet'),
            'model.transfer is full and model.start is imagenet, which says otherwise',
        ),
        (
            ('transfer=original', 'start=kinetics400'),
            'choose imagenet, none or a .params file, or leave out model.start',
        ),
        (
            ('transfer=full', 'params=x.params'),
            'model.params is x.params; leave out model.params: a file .* model.start',
        ),
        (('transfer=full', 'pretrained=true'), 'leave out model.pretrained'),
        (('transfer=original', 'pretrained_base=false'), 'leave out model.pretrained_base'),
        (('transfer=fine',), 'model.transfer is .*fine.*; it must be.*original, fixed'),
    ],
)
def test_contradictions_are_refused(settings, given, line):
    with pytest.raises(UserError, match=line) as caught:
        settings('i3d_tiny_custom', *(f'model.{text}' for text in given))
    assert '\n' not in str(caught.value)


def test_weights_that_nobody_published_are_asked_of_the_user(settings, tmp_path):
    with pytest.raises(
        UserError, match='model.transfer fixed: no Kinetics-400 weights of r2d_tiny are pub.*model.start'
    ):
        loop.train(settings('r2d_tiny_custom', 'model.transfer=fixed'), tmp_path / 'run', progress=False)
    assert not (tmp_path / 'run').exists()


def test_features_on_disk_are_features_of_the_network_that_stays(tiny_synthfg, tmp_path):
    """gluon-fg features, once, and training on them: the network that made them is kept whole."""
    net = get_model('i3d_tiny_synthfg', pretrained=True)
    made = make_features(net, tiny_synthfg, tmp_path / 'features', stage=5, dtype='float32')
    settings = ('model.transfer=fixed', f'data.root={tiny_synthfg}', f'data.features={made}', 'train.epochs=1')
    config = load_config('configs/dfb/i3d_tiny_synthfg.yaml', [*settings, 'train.batch_norm=train'])
    loop.train(config, tmp_path / 'run', progress=False)
    before = {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}
    assert changed(before, saved(tmp_path / 'run/final.params')) == CLASSIFIER
