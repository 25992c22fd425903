"""Training from GluonCV's weights: it starts with the baseline's accuracy, then every branch counts."""

import json
import shutil

import mxnet as mx
import numpy as np
import pytest
from gluoncv.model_zoo.action_recognition.actionrec_resnetv1b import ActionRecResNetV1b
from said import Lines

from gluon_fg import factory, pretrained
from gluon_fg.data.transforms import to_input
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.training import loop
from gluon_fg.training.config import load_config
from gluon_fg.training.log import read_metrics
from gluon_fg.training.run import split_of

NAME, RIGHT = 'tsn_resnet18_v1b_kinetics400_dfb', 15  # of the 24 validation videos


@pytest.fixture(scope='module')
def config(tiny_synthfg):
    settings = [
        f'model.name={NAME}',
        'model.nclass=24',
        'model.pretrained=true',
        f'data.root={tiny_synthfg}',
        'data.sizes={train: 48, val: 24, test: 24}',
        'data.segments=2',
        'data.short_side=54',
        'data.crop_size=48',
        'data.augment=random_crop',
        'data.workers=1',
        'train.epochs=2',
        'train.batch_size=16',
        'train.lr=0.001',
        'train.lr_epochs=[]',
        'train.log_steps=1',
        'train.keep_checkpoints=5',
    ]
    return lambda *more: load_config(None, [*settings, *more])


@pytest.fixture(scope='module')
def gluoncv_weights(config, tmp_path_factory):
    """GluonCV's network with random features and a classifier that gets RIGHT of the validation videos right.

    By little: what untrained branches say is far louder.
    """
    val_set = split_of(config(), 'val')
    spec = factory.build(NAME).input_spec.replace(segments=2, short_side=54, crop_size=48)
    views = []
    for i in range(len(val_set.records)):
        with val_set.open(i) as reader:
            views += get_protocol('train_time').views(reader, spec, val_set.labels)[0]
    x = to_input(np.concatenate(views), spec, mx.cpu())
    labels = np.array([record.label for record in val_set.records])
    net = ActionRecResNetV1b(18, 24, pretrained_base=False, num_segments=2)
    net.initialize(mx.init.MSRAPrelu('in', 0), force_reinit=True)
    f = x
    for layer in ('conv1', 'bn1', 'relu', 'maxpool', 'layer1', 'layer2', 'layer3', 'layer4', 'avgpool', 'flat'):
        f = getattr(net, layer)(f)
    f = f.asnumpy().astype('float64').reshape(24, 2, -1).mean(1)
    wanted = np.where(np.arange(24) < RIGHT, labels, (labels + 1) % 24)
    weight = np.linalg.lstsq(f - f.mean(0), 0.01 * np.eye(24)[wanted], rcond=None)[0].T
    net.output.weight.set_data(mx.nd.array(weight))
    net.output.bias.set_data(mx.nd.array(-weight @ f.mean(0)))
    assert (net(x).asnumpy().argmax(1) == labels).sum() == RIGHT
    path = tmp_path_factory.mktemp('gluoncv') / 'resnet18_v1b_kinetics400.params'
    net.save_parameters(str(path))
    return path


@pytest.fixture(scope='module')
def finished(config, gluoncv_weights, tmp_path_factory):
    """A run from those weights, and what it said."""
    folder = tmp_path_factory.mktemp('run') / 'run'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, 'gluoncv_file', lambda name, root=None: gluoncv_weights)
        with Lines() as said:
            loop.train(config(), folder, progress=False)
    return folder, '\n'.join(said)


def records(folder, event):
    return [r for r in read_metrics(folder / 'metrics.jsonl') if r['event'] == event]


def test_it_starts_with_the_baselines_accuracy(finished):
    folder, said = finished
    vals = records(folder, 'val')
    assert [(v['step'], v['epoch']) for v in vals] == [(0, 0), (3, 1), (6, 2)]
    assert vals[0]['top1'] == RIGHT / 24
    assert f'before training, by avg alone: validation top1 {100 * RIGHT / 24:.1f} %' in said
    assert 'starts from GluonCV resnet18_v1b_kinetics400' in said


def test_from_the_first_update_on_every_branch_counts(finished):
    for record in records(finished[0], 'train'):
        assert record['loss_comb'] != pytest.approx(record['loss_avg'], rel=1e-4)
    best = json.loads((finished[0] / 'summary.json').read_text())['best']
    assert best['top1'] < RIGHT / 24  # what was measured before any update is no candidate


def test_a_resumed_run_ends_as_one_that_was_not_stopped(finished, config, gluoncv_weights, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, 'gluoncv_file', lambda name, root=None: gluoncv_weights)
    whole, out = finished[0], tmp_path / 'run'
    shutil.copytree(whole, out)
    shutil.rmtree(out / 'checkpoint-00000006')
    for name in ('summary.json', 'final.params', 'best.params'):
        (out / name).unlink()
    with Lines() as said:
        loop.train(config(), out, progress=False)
    assert any('resumes from' in line and 'checkpoint-00000003' in line for line in said)
    for event in ('train', 'val'):
        a, b = ([(r['step'], r.get('loss'), r.get('top1')) for r in records(d, event)] for d in (whole, out))
        assert a == b
    a, b = (mx.nd.load(str(folder / 'final.params')) for folder in (whole, out))
    for name in a:
        np.testing.assert_array_equal(a[name].asnumpy(), b[name].asnumpy(), err_msg=name)


def test_a_run_killed_before_its_first_checkpoint_records_its_beginning_once(config, gluoncv_weights, tmp_path):
    """Here the file is given by hand, and the network is the entry for one's own classes."""
    given = ['model.name=tsn_resnet18_v1b_custom_dfb', 'model.pretrained=false', 'model.pretrained_base=false']
    given += [f'model.params={gluoncv_weights}', 'train.epochs=1', 'train.batch_size=48']
    starting = config(*given)

    class Killed(BaseException):
        pass

    def kill(line):
        if line.startswith('before training'):
            raise Killed

    with pytest.raises(Killed), Lines(kill):
        loop.train(starting, tmp_path / 'run', progress=False)
    assert [v['top1'] for v in records(tmp_path / 'run', 'val')] == [RIGHT / 24]
    loop.train(config(*given), tmp_path / 'run', progress=False)
    assert [v['step'] for v in records(tmp_path / 'run', 'val')] == [0, 1]


def test_a_run_without_untrained_branches_is_not_validated_before(config, gluoncv_weights, tmp_path):
    plain = config('model.name=tsn_resnet18_v1b_custom', 'model.pretrained=false', f'model.params={gluoncv_weights}',
                   'model.pretrained_base=false', 'train.epochs=1', 'train.batch_size=48')  # fmt: skip
    loop.train(plain, tmp_path / 'run', progress=False)
    assert [v['step'] for v in records(tmp_path / 'run', 'val')] == [1]
