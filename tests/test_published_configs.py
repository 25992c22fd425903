"""Every published config trains on its dataset's official files: miniatures of them, small networks, one update.

What a config says of data, method, optimizer and stages is its own; the backbone is one of a few layers (that real ones
train is shown elsewhere), pictures are small, and a handful of videos is left.
"""

import copy
import functools
import json
import math
import os
import re
from pathlib import Path

import miniatures
import pytest
from mxnet.gluon import nn

from gluon_fg import backbones, registry
from gluon_fg.backbones import C3D, Tiny, TopHeavyTiny, TwoStreamBackbone
from gluon_fg.data import build_dataset
from gluon_fg.evaluation.score import Scores
from gluon_fg.training import loop, parts, stages
from gluon_fg.training.config import check, load_config, stage_configs
from gluon_fg.training.log import read_metrics
from gluon_fg.training.run import split_of

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
NAMES = [
    f'{path.parent.name}/{path.stem}'
    for method in ('dfb', 'cidc', 'u2s', 'quo_vadis')
    for path in sorted((CONFIGS / method).glob('[!_]*.yaml'))
    if 'synthfg' not in path.stem
]


class Small(Tiny):
    """The tiny network on clips, with the pooling in time of those that it stands for."""

    def __init__(self, temporal_downsample: int = 4, **kwargs):
        super().__init__(3, **kwargs)
        with self.stem.name_scope():
            self.stem.add(nn.MaxPool3D((temporal_downsample, 1, 1), (temporal_downsample, 1, 1)))


# 32 pixels come to a single position, which the fully connected layers read.
SMALL_C3D = functools.partial(C3D, widths={1: 16, 2: 16, 3: 16, 4: 16, 5: 16}, grid=(1, 1))
STAND_INS = {'i3d': Small, 'slowonly': functools.partial(Tiny, 3), 'topheavy': TopHeavyTiny, 'c3d': SMALL_C3D}
CHANNELS = {  # of what sees optical flow
    'topheavy_resnet50_flow': 10, 'topheavy_resnet50_v2_flow': 10, 'inceptionv1_frames_flow': 10,
    'inceptionv1_frames_flow10': 20, 'inceptionv1_flow': 20, 'c3d_flow': 2, 'i3d_inceptionv1_same_flow': 2,
}  # fmt: skip


def stand_in(name):
    """A small backbone in place of a real one, of the same kind and for the same channels."""
    if name in backbones.TWO_STREAM:
        return functools.partial(TwoStreamBackbone, *map(stand_in, backbones.TWO_STREAM[name]))
    kind = STAND_INS.get(name.split('_')[0], functools.partial(Tiny, 2))
    if name.startswith(('r2d', 'inceptionv1_frames')):
        kind = functools.partial(Tiny, 3, spans_time=False)
    return functools.partial(kind, in_channels=CHANNELS[name]) if name in CHANNELS else kind


@pytest.fixture(scope='module')
def roots(tmp_path_factory):
    """roots(dataset) -> its miniature, built once."""
    built = {}

    def root(dataset):
        if dataset not in built:
            built[dataset] = getattr(miniatures, dataset)(tmp_path_factory.mktemp(dataset))
        return built[dataset]

    return root


@pytest.fixture(scope='module')
def opened(roots):
    """opened(dataset, split) -> the split of the miniature, read once."""
    return functools.lru_cache(None)(lambda dataset, split: build_dataset(dataset, split, roots(dataset)))


@pytest.fixture(autouse=True)
def small(monkeypatch, opened):
    """Small backbones, and six videos of a split: one of each of its first classes."""
    for name in backbones.BACKBONES:
        monkeypatch.setitem(backbones.BACKBONES, name, stand_in(name))

    def few(config, split):
        data = copy.copy(opened(config.data.dataset, split))
        first = {record.label: record for record in reversed(data.records)}
        data.records = tuple(first[label] for label in sorted(first)[:6])
        return data

    for module in (parts, stages):
        monkeypatch.setattr(module, 'split_of', few)
    monkeypatch.setattr(loop, 'plot_curves', lambda *files: None)  # which takes longer than all the rest


def at_tiny_size(name, roots):
    """The config, with nothing but sizes, length and start changed."""
    config = load_config(os.fspath(CONFIGS / f'{name}.yaml'))
    data, train, model = config.data, config.train, config.model
    data.root, data.short_side, data.crop_size, data.workers = str(roots(data.dataset)), 36, 32, 1
    train.epochs, train.lr_epochs, train.device, train.precision = 1, [], 'cpu', 'float32'
    train.accumulate = min(train.accumulate, 6)  # as many as there are videos
    train.batch_size = 6 // train.accumulate
    model.start, model.params, model.pretrained, model.pretrained_base = 'none', None, False, False
    if 'specific_init' in model.options:
        model.options['specific_init'] = 'random'  # there are no weights of the stand-ins
    if config.stages:
        train.batch_size, data.hold_out = 2, 0.5
    for part in config.stages.values():
        part.setdefault('train', {})['epochs'] = 1
    check(config)
    return config


def what_runs(config):
    """What tells two runs at tiny size apart: all of the config, with the small network in place of its name."""
    shown = {}
    for name, part in (stage_configs(config) or {'': config}).items():
        entry = registry.model_entry(part.model.name)
        network = [entry.builder.__name__, entry.dataset, entry.input, stand_in(entry.backbone), entry.defaults]
        shown[name] = [network, part.model.options, vars(part.data), vars(part.train), vars(part.test)]
    return json.dumps(shown, default=str, sort_keys=True)


done = {}  # configs that differ in the depth of their backbone alone are one run at this size


@pytest.mark.parametrize('name', NAMES)
def test_a_published_config_makes_an_update_on_official_files(name, roots, opened, tmp_path):
    config = at_tiny_size(name, roots)
    data = config.data
    train, val = (opened(data.dataset, split) for split in (data.train_split, data.val_split))
    assert train.nclass >= 51 and (train.counts > 0).all() and len(val) >= 3 and val.labels == train.labels
    key = what_runs(config)
    if key not in done:
        summary = stages.train(config, tmp_path / 'run', progress=False)
        losses = [r['loss'] for r in read_metrics(tmp_path / 'run/metrics.jsonl') if r['event'] == 'epoch']
        done[key] = summary, losses
    summary, losses = done[key]
    assert summary['updates'] >= 1 and summary['scored'] >= 3
    # of as many classes, before anything is learned: the methods add up to three or four cross-entropies
    assert len(losses) == max(1, len(config.stages)) and all(0.5 * math.log(51) < loss < 60 for loss in losses)


def test_a_run_predicts_the_test_list_and_writes_the_submission(command, roots, tmp_path):
    """Something-Something-V2's test list has no labels: no accuracy, but a file for the server."""
    run = tmp_path / 'run'
    stages.train(at_tiny_size('cidc/r2d_resnet50_v1_sthsthv2', roots), run, progress=False)
    code, out, err = command('evaluate', '--run', run, '--split', 'test', '--protocol', 'train_time')
    assert code == 0 and 'no video has a label, so there is no accuracy' in out, err
    code, out, _ = command('submission', run / 'scores_test_train_time.npz', '--out', tmp_path / 'sub.csv')
    assert code == 0 and '2 videos of sthsthv2 test' in out
    rows = [line.split(';') for line in (tmp_path / 'sub.csv').read_text().splitlines()]
    assert sorted(row[0] for row in rows) == ['1420', '21'] and all(len(set(row[1:])) == 5 for row in rows)
    assert all(0 <= int(number) < 174 for row in rows for number in row[1:])


def test_scores_of_two_splits_have_a_mean(command, roots, tmp_path):
    """A run of split 2 is validated and scored on split 2, whatever of it is left unsaid."""
    run = tmp_path / 'run'
    config = at_tiny_size('cidc/r2d_resnet50_v1_hmdb51', roots)
    config.data.train_split = 'train2'
    assert split_of(config, config.data.val_split).name == 'hmdb51 test2'
    stages.train(config, run, progress=False)
    code, out, err = command('evaluate', '--run', run, '--protocol', 'train_time', '--out', tmp_path / 'own.npz')
    assert code == 0 and Scores.load(tmp_path / 'own.npz').dataset == 'hmdb51 test2'
    for split in ('test1', 'test2'):
        assert command('evaluate', '--run', run, '--split', split, '--protocol', 'train_time')[0] == 0
    files = [run / f'scores_test{number}_train_time.npz' for number in (1, 2)]
    code, out, _ = command('mean', *files)
    assert code == 0 and re.search(r'^hmdb51 test1 +51 ', out, re.M) and re.search(r'^hmdb51 test2 +51 ', out, re.M)
    code, out, _ = command('data', 'check', 'hmdb51', '--root', roots('hmdb51'), '--probe', 2, '--split', 'train2')
    assert code == 0 and '51 videos of 51 classes, 51 there, 2 decoded' in out
