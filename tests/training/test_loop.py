"""The loop in one process: accumulation, clipping, frozen layers, stopping, what it refuses."""

import json

import mxnet as mx
import numpy as np
import pytest

from gluon_fg.errors import UserError
from gluon_fg.nn.norm import batch_norms
from gluon_fg.training import log, loop
from gluon_fg.training.config import load_config
from gluon_fg.training.log import RunLog, read_metrics
from gluon_fg.training.run import build_network

FROZEN = ('train.batch_norm=frozen', 'model.pretrained=true')  # with statistics to keep


@pytest.fixture
def config(tiny_synthfg):
    def make(*overrides, model='i3d_tiny_synthfg'):
        return load_config(
            None,
            [
                f'model.name={model}',
                f'data.root={tiny_synthfg}',
                'data.augment=random_crop',
                'data.workers=1',
                'data.sizes={train: 48, val: 24, test: 24}',
                'data.cache=memory',
                'train.epochs=1',
                'train.lr_epochs=[]',
                'train.batch_size=8',
                'train.lr=0.02',
                'train.log_steps=1',
                *overrides,
            ],
        )

    return make


def run(config, path):
    summary = loop.train(config, path, progress=False)
    return (
        summary,
        [r for r in read_metrics(path / 'metrics.jsonl') if r['event'] == 'train'],
        mx.nd.load(str(path / 'final.params')),
    )


def test_accumulated_gradients_equal_one_large_batch(config, tmp_path):
    _, whole, a = run(config('train.batch_size=16', *FROZEN), tmp_path / 'whole')
    _, halves, b = run(config('train.batch_size=4', 'train.accumulate=4', *FROZEN), tmp_path / 'parts')
    np.testing.assert_allclose([r['loss'] for r in whole], [r['loss'] for r in halves], rtol=1e-4)
    for name in a:  # a ReLU that flips by rounding moves single weights by some 1e-4; a wrong scale moves all of them
        np.testing.assert_allclose(a[name].asnumpy(), b[name].asnumpy(), rtol=1e-3, atol=3e-4, err_msg=name)


def test_clipping_bounds_the_mean_gradient(config, tmp_path):
    """With no momentum and no decay one update moves the weights by exactly lr x limit."""
    common = ('train.momentum=0', 'train.wd=0', 'train.batch_size=48', 'train.lr=1', *FROZEN)
    summary, records, after = run(config('train.clip=0.001', *common), tmp_path / 'clipped')
    assert records[0]['grad_norm'] > 0.001
    np.random.seed(0)
    mx.random.seed(0)
    start = build_network(config('model.pretrained=true'), mx.cpu())._collect_params_with_prefix()
    moved = sum(float(((after[n] - p.data()) ** 2).sum().asscalar()) for n, p in start.items()) ** 0.5
    assert moved == pytest.approx(0.001, rel=1e-3)


@pytest.mark.parametrize('mode', ['frozen', 'partial'])
def test_batch_norm_layers_that_are_frozen_do_not_change(mode, config, tmp_path):
    mx.random.seed(0)
    np.random.seed(0)
    net = build_network(config('model.pretrained=true'), mx.cpu())
    names = {p.name: n for n, p in net._collect_params_with_prefix().items()}
    layers = [[names[p.name] for p in layer.params.values()] for layer in batch_norms(net)]
    before = {n: p.data().asnumpy() for n, p in net._collect_params_with_prefix().items()}
    _, _, after = run(config(f'train.batch_norm={mode}', 'model.pretrained=true'), tmp_path / 'run')
    changed = [any(not np.array_equal(after[n].asnumpy(), before[n]) for n in layer) for layer in layers]
    assert len(layers) > 8 and changed[1:] == [False] * (len(layers) - 1)
    assert changed[0] == (mode == 'partial')


@pytest.mark.parametrize(
    'epochs, vals',
    [
        ([], []),
        ([{'loss': 2.0, 'top1_avg': 0.5}], []),
        ([{'loss': 2.0, 'loss_avg': 2.0}, {'loss': None, 'loss_avg': 1.0}], [{'map': 0.5}]),
        ([{'loss': 2.0}, {'loss': 1.0}], [{'top1': 0.5, 'within_group': 0.75}]),
    ],
)
def test_curves_of_any_records_are_drawn(epochs, vals, tmp_path):
    records = [{'event': 'epoch', 'epoch': i + 1, **record} for i, record in enumerate(epochs)]
    records += [{'event': 'val', 'epoch': i + 1, **record} for i, record in enumerate(vals)]
    log.plot_curves(records, tmp_path / 'curves.png')
    assert (tmp_path / 'curves.png').read_bytes()[:4] == b'\x89PNG'


def test_every_branch_is_logged_and_the_pictures_are_written(config, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, 'plot_curves', log.plot_curves)
    summary, records, _ = run(
        config('train.epochs=2', 'test.val_epochs=1', model='i3d_tiny_synthfg_dfb'), tmp_path / 'run'
    )
    for record in records:
        parts = [record[f'loss_{b}'] for b in ('comb', 'avg', 'max', 'xchannel')]
        assert record['loss'] == pytest.approx(sum(parts), rel=1e-5)  # eq. 1
        assert all(0 <= record[f'top1_{b}'] <= 1 for b in ('comb', 'avg', 'max', 'xchannel'))
    assert [r['step'] for r in records] == list(range(1, 13))
    vals = [r for r in read_metrics(tmp_path / 'run/metrics.jsonl') if r['event'] == 'val']
    assert len(vals) == 2 and summary['best']['top1'] == max(v['top1'] for v in vals)
    assert (tmp_path / 'run/curves.png').read_bytes()[:4] == b'\x89PNG'
    assert list((tmp_path / 'run/tensorboard').glob('events*'))
    assert json.loads((tmp_path / 'run/summary.json').read_text()) == summary


def test_a_loss_that_explodes_stops_the_run_and_is_named(config, tmp_path):
    with pytest.raises(UserError, match=r'the loss of avg became nan in epoch \d+, update \d+ .*train'):
        run(config('train.lr=1e30', 'train.epochs=3'), tmp_path / 'run')


def test_a_run_folder_is_only_resumed_with_its_own_config(config, tmp_path):
    run(config(), tmp_path / 'run')
    with pytest.raises(UserError, match=r'another config \(train.lr: 0.02 -> 0.5\)'):
        run(config('train.lr=0.5'), tmp_path / 'run')
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'thesis.tex').write_text('precious')
    with pytest.raises(UserError, match='holds no training run'):
        run(config(), tmp_path / 'mine')
    assert [p.name for p in (tmp_path / 'mine').iterdir()] == ['thesis.tex']


@pytest.mark.parametrize(
    'override, message',
    [
        ('train.precision=float16', 'float16 needs a GPU'),
        ('train.device=gpu', 'sees 0 GPUs'),
        ('train.batch_size=64', 'choose a smaller batch_size'),
        ('train.accumulate=7', 'lower train.batch_size'),
        ('model.options={no_such_option: 1}', 'no_such_option'),
        ('model.name=i3d_tiny_synthfg_dbf', "did you mean 'i3d_tiny_synthfg_dfb'"),
        ('model.nclass=7', 'has 24 classes'),
        ('data.dataset=sinthfg', 'synthfg'),
        ('test.val_protocol=30veiw', '30view'),
    ],
)
def test_what_does_not_fit_is_refused_on_one_line(override, message, config, tmp_path):
    with pytest.raises(UserError, match=message) as caught:
        run(config(override), tmp_path / 'run')
    assert '\n' not in str(caught.value)


def test_a_length_without_right_gradients_is_refused_before_the_run_begins(config, tmp_path):
    override = config('data.frames=6', 'model.pretrained_base=false', 'model.nclass=24', model='i3d_inceptionv1_custom')
    with pytest.raises(UserError, match='clips of 6 frames, on which this network predicts but cannot be trained'):
        run(override, tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_a_resumed_record_has_every_update_once(tmp_path):
    log = RunLog(tmp_path)
    for step in (1, 2, 3, 4):
        log.write('train', step, loss=float(step))
    log.close()
    with open(tmp_path / 'metrics.jsonl', 'a') as stream:
        stream.write('{"event": "train", "st')  # killed while writing
    log = RunLog(tmp_path, step=2)
    log.write('train', 3, loss=30.0)
    log.close()
    assert [(r['step'], r['loss']) for r in read_metrics(tmp_path / 'metrics.jsonl')] == [(1, 1.0), (2, 2.0), (3, 30.0)]
