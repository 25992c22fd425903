"""Runs with the training recipe: resumed to the bit, the same on two ranks, ended early, saved as they are measured."""

import json
import shutil

import mxnet as mx
import numpy as np
import pytest
from said import Lines
from test_jobs import command, finish, losses, needs_horovod, train_here  # noqa: F401  (`command` is a fixture)

from gluon_fg.data import build_dataset
from gluon_fg.errors import UserError
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.score import score_dataset
from gluon_fg.training import loop
from gluon_fg.training.config import load_config
from gluon_fg.training.log import read_metrics
from gluon_fg.training.run import load_run

CLIPS = ('data.color_jitter=0.4', 'data.randaugment=5', 'data.erase=0.5', 'data.mixup=0.4', 'data.cutmix=1.0')
BATCHES = ('data.repeat=2', 'train.label_smoothing=0.1', 'train.class_weights=balanced')
WEIGHTS = ('train.ema=0.9', 'train.precise_bn=3', 'train.early_stop=2')


@pytest.fixture
def config(tiny_synthfg):
    def make(*overrides, file=None):
        return load_config(
            file,
            [
                *(() if file else ('model.name=i3d_tiny_synthfg', 'train.batch_size=8', 'train.lr=0.02')),
                f'data.root={tiny_synthfg}',
                'data.augment=random_crop',
                'data.workers=1',
                'data.sizes={train: 48, val: 24, test: 24}',
                'data.cache=memory',
                'train.epochs=2',
                'train.lr_epochs=[]',
                'train.log_steps=1',
                *overrides,
            ],
        )

    return make


def run(config, path):
    summary = loop.train(config, path, progress=False)
    return summary, {name: value.asnumpy() for name, value in mx.nd.load(str(path / 'final.params')).items()}


def killed_after(monkeypatch, updates):
    """Let the process die before an update."""
    done, one_update = [], loop.one_update

    def dying(*args):
        if len(done) == updates:
            raise RuntimeError('killed')
        done.append(1)
        return one_update(*args)

    monkeypatch.setattr(loop, 'one_update', dying)
    return lambda: monkeypatch.setattr(loop, 'one_update', one_update)


@pytest.mark.parametrize(
    'overrides, updates',
    [
        ((*CLIPS, *BATCHES, *WEIGHTS), 15),  # 12 updates an epoch: in the second one
        ((*CLIPS, 'data.sampling=balanced', 'train.ema=0.9', 'train.accumulate=2'), 2),  # 3 updates an epoch
        (('train.precise_bn=2', 'train.clip=1.0', 'model.name=i3d_tiny_synthfg_dfb'), 10),
    ],
)
def test_a_killed_run_ends_as_one_that_was_not(overrides, updates, config, tmp_path, monkeypatch):
    settings = ('train.checkpoint_steps=2', 'model.options={dropout: 0.5}', *overrides)
    summary, whole = run(config(*settings), tmp_path / 'whole')
    mend = killed_after(monkeypatch, updates)
    with pytest.raises(RuntimeError, match='killed'):
        run(config(*settings), tmp_path / 'parts')
    mend()
    again, parts = run(config(*settings), tmp_path / 'parts')
    assert all(np.array_equal(parts[name], value) for name, value in whole.items()) and len(parts) == len(whole)
    best, best_again = (mx.nd.load(str(tmp_path / name / 'best.params')) for name in ('whole', 'parts'))
    assert all(np.array_equal(best_again[name].asnumpy(), value.asnumpy()) for name, value in best.items())
    assert losses(tmp_path / 'parts') == losses(tmp_path / 'whole')
    assert (again['top1'], again['best'], again['epochs']) == (summary['top1'], summary['best'], 2)
    assert summary['stopped_early'] is False


def test_the_average_is_what_is_measured_saved_and_read_again(config, tiny_synthfg, tmp_path):
    """final.params give the logged accuracy and the average of the checkpoint; the checkpoint's network is another."""
    summary, saved = run(config('train.ema=0.95', 'train.precise_bn=2'), tmp_path / 'run')
    checkpoint = sorted((tmp_path / 'run').glob('checkpoint-*'))[-1]
    average, trained = (mx.nd.load(str(checkpoint / name)) for name in ('average.params', 'net.params'))
    assert set(average) == set(saved) == set(trained)
    assert all(np.array_equal(average[name].asnumpy(), value) for name, value in saved.items())
    assert sum(not np.array_equal(trained[name].asnumpy(), value) for name, value in saved.items()) > 20
    net, _ = load_run(tmp_path / 'run', tmp_path / 'run/final.params')
    scores = score_dataset(
        net, build_dataset('synthfg', 'val', tiny_synthfg), get_protocol('train_time'), progress=False
    )
    assert np.mean(scores.branch().argmax(1) == scores.labels) == pytest.approx(summary['top1'])


def test_precise_statistics_belong_to_the_weights_that_are_saved(config, tmp_path):
    """Statistics measured in the run are those measured on the saved network, on the same batches."""
    from gluon_fg.nn.norm import batch_norms
    from gluon_fg.training.distributed import World
    from gluon_fg.training.parts import make_loader
    from gluon_fg.training.population import first_batches, measure_statistics

    settings = config('train.ema=0.5', 'train.precise_bn=3', 'train.epochs=1', 'model.options={dropout: 0.0}')
    run(settings, tmp_path / 'run')
    net, _ = load_run(tmp_path / 'run', tmp_path / 'run/final.params')
    before = [layer.running_mean.data().asnumpy() for layer in batch_norms(net)]
    for layer in batch_norms(net):
        layer.running_mean.set_data(mx.nd.zeros(layer.running_mean.shape))
    train_set = build_dataset('synthfg', 'train', settings.data.root)
    loader = make_loader(settings, net, train_set, World())
    measure_statistics(net, first_batches(loader.batches(0), 3), lambda values: values, mx.cpu())
    for layer, value in zip(batch_norms(net), before):
        np.testing.assert_allclose(layer.running_mean.data().asnumpy(), value, rtol=1e-3, atol=1e-4)


def scripted(monkeypatch, accuracies):
    """Let validations give these accuracies."""
    measure, left = loop.measure, list(accuracies)

    def given(*args):
        metrics, scores = measure(*args)
        return {**metrics, 'top1': left.pop(0)}, scores

    monkeypatch.setattr(loop, 'measure', given)
    return left


def test_a_run_ends_when_no_epoch_of_some_was_better(config, tmp_path, monkeypatch):
    settings = config('train.epochs=9', 'train.early_stop=2')
    left = scripted(monkeypatch, [0.1, 0.3, 0.3, 0.2, 0.9])
    with Lines() as lines:
        summary, final = run(settings, tmp_path / 'run')
    assert left == [0.9] and (summary['epochs'], summary['updates'], summary['stopped_early']) == (4, 24, True)
    assert summary['best'] == {'top1': 0.3, 'epoch': 2} and summary['top1'] == 0.2
    assert json.loads((tmp_path / 'run/summary.json').read_text()) == summary
    assert any('stopped after epoch 4: none of 2 epochs was better' in line for line in lines)
    assert loop.train(settings, tmp_path / 'run') == summary  # finished


def test_a_run_killed_as_it_ends_early_ends_when_it_is_resumed(config, tmp_path, monkeypatch):
    settings = config('train.epochs=9', 'train.early_stop=1', 'train.ema=0.9')
    scripted(monkeypatch, [0.3, 0.2, 0.9])
    finish_run = loop.finish
    monkeypatch.setattr(loop, 'finish', lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(settings, tmp_path / 'run')
    monkeypatch.setattr(loop, 'finish', finish_run)
    summary, final = run(settings, tmp_path / 'run')
    assert summary['epochs'] == 2 and summary['stopped_early'] and summary['best'] == {'top1': 0.3, 'epoch': 1}
    average = mx.nd.load(str(tmp_path / 'run/checkpoint-00000012/average.params'))
    assert all(np.array_equal(average[name].asnumpy(), value) for name, value in final.items())


def test_patience_counts_epochs_where_only_some_are_validated(config, tmp_path, monkeypatch):
    left = scripted(monkeypatch, [0.5, 0.4, 0.4, 0.4])
    summary, _ = run(config('train.epochs=9', 'train.early_stop=3', 'test.val_epochs=2'), tmp_path / 'run')
    assert summary['epochs'] == 6 and len(left) == 1  # best after 2, validated after 4 and 6


def test_a_checkpoint_without_its_average_is_named(config, tmp_path, monkeypatch):
    mend = killed_after(monkeypatch, 4)
    settings = config('train.ema=0.9', 'train.checkpoint_steps=2')
    with pytest.raises(RuntimeError):
        run(settings, tmp_path / 'run')
    mend()
    (tmp_path / 'run/checkpoint-00000004/average.params').unlink()
    with pytest.raises(UserError, match='checkpoint .*00000004 cannot be loaded .*remove that folder'):
        run(settings, tmp_path / 'run')
    shutil.rmtree(tmp_path / 'run/checkpoint-00000004')
    assert run(settings, tmp_path / 'run')[0]['updates'] == 12


@needs_horovod
def test_two_ranks_with_half_the_batch_follow_one_process_with_the_recipe(command, tmp_path):  # noqa: F811
    """With frozen statistics, as those are of each rank's own clips; that such runs end alike shows a third one."""
    settings = (
        'model.name=i3d_tiny_synthfg',
        'model.pretrained=true',
        *CLIPS,
        *BATCHES,
        'train.ema=0.9',
        'train.clip=5',
    )
    settings += ('train.epochs=1', 'train.lr=0.0001')  # small steps, so that a ReLU that flips by rounding stays small
    frozen = (*settings, 'train.batch_norm=frozen')
    train_here(command(tmp_path / 'one', *frozen, 'train.batch_size=8'))
    finish(command(tmp_path / 'two', *frozen, 'train.batch_size=4', ranks=2))
    np.testing.assert_allclose(losses(tmp_path / 'one'), losses(tmp_path / 'two'), rtol=5e-5)
    one, two = (mx.nd.load(str(tmp_path / name / 'final.params')) for name in ('one', 'two'))
    for name, value in one.items():
        np.testing.assert_allclose(two[name].asnumpy(), value.asnumpy(), rtol=1e-3, atol=1e-4, err_msg=name)
    finish(command(tmp_path / 'more', *settings, *WEIGHTS, 'train.batch_size=4', ranks=2))
    validated = [r['top1'] for r in read_metrics(tmp_path / 'more/metrics.jsonl') if r['event'] == 'val']
    assert len(validated) == 1


def test_the_example_config_trains(config, tmp_path):
    """configs/custom/i3d_tiny_custom_dfb_recipe.yaml switches all of it on."""
    settings = config(
        'model.options={}',
        'data.dataset=synthfg',
        'data.frames=8',
        'data.frame_stride=1',
        'data.crop_size=48',
        'data.short_side=54',
        'train.epochs=2',
        'train.precise_bn=2',
        file='configs/custom/i3d_tiny_custom_dfb_recipe.yaml',
    )
    off = load_config()
    for section, keys in (
        ('data', 'color_jitter randaugment erase mixup cutmix repeat'),
        ('train', 'label_smoothing class_weights ema precise_bn early_stop'),
    ):
        for key in keys.split():
            assert getattr(getattr(settings, section), key) != getattr(getattr(off, section), key), key
    summary, final = run(settings, tmp_path / 'run')
    assert summary['updates'] == 24 and all(np.isfinite(value).all() for value in final.values())
    records = [r for r in read_metrics(tmp_path / 'run/metrics.jsonl') if r['event'] == 'train']
    for record in records:
        parts = [record[f'loss_{branch}'] for branch in ('comb', 'avg', 'max', 'xchannel')]
        assert record['loss'] == pytest.approx(sum(parts), rel=1e-5) and 0 <= record['top1_comb'] <= 1


@pytest.mark.parametrize(
    'name, options',
    [
        ('tsn_tiny_synthfg_dfb', '{}'),
        ('r2d_tiny_synthfg_cidc', '{}'),
        ('i3d_tiny_synthfg_lstm', '{}'),
        ('topheavy_tiny_synthfg_u2s', '{select: oracle}'),
    ],
)
def test_every_method_trains_with_it(name, options, config, tmp_path):
    settings = config(
        f'model.name={name}',
        f'model.options={options}',
        'train.batch_size=16',
        'train.epochs=1',
        'train.lr=0.001',
        *CLIPS,
        *BATCHES,
        *WEIGHTS,
    )
    summary, final = run(settings, tmp_path / 'run')
    assert summary['updates'] == 6 and all(np.isfinite(value).all() for value in final.values())
    (record,) = (r for r in read_metrics(tmp_path / 'run/metrics.jsonl') if r['event'] == 'epoch')
    assert all(np.isfinite(value) for key, value in record.items() if key.startswith('loss'))
