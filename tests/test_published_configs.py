"""Every published config trains on its dataset's official files: miniatures of them, small networks, one update.

What a config says of data, method, optimizer and stages is its own; the backbone is one of a few layers (that real ones
train is shown elsewhere), pictures are small, and a handful of videos is left.
"""

import copy
import functools
import json
import math
import os
from pathlib import Path

import miniatures
import pytest
from mxnet.gluon import nn

from gluon_fg import backbones, registry
from gluon_fg.backbones import Tiny, TopHeavyTiny
from gluon_fg.data import build_dataset
from gluon_fg.training import parts, stages
from gluon_fg.training.config import load_config, stage_configs
from gluon_fg.training.log import read_metrics

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
NAMES = [
    f'{path.parent.name}/{path.stem}'
    for method in ('dfb', 'cidc', 'u2s')
    for path in sorted((CONFIGS / method).glob('[!_]*.yaml'))
    if 'synthfg' not in path.stem
]


class Small(Tiny):
    """The tiny network on clips, with the pooling in time of those that it stands for."""

    def __init__(self, temporal_downsample: int = 4, **kwargs):
        super().__init__(3, **kwargs)
        with self.stem.name_scope():
            self.stem.add(nn.MaxPool3D((temporal_downsample, 1, 1), (temporal_downsample, 1, 1)))


STAND_INS = {'i3d': Small, 'slowonly': functools.partial(Tiny, 3), 'topheavy': TopHeavyTiny}


def stand_in(name):
    """A small backbone in place of a real one, of the same kind."""
    if name.startswith('r2d'):
        return functools.partial(Tiny, 3, spans_time=False)
    return STAND_INS.get(name.split('_')[0], functools.partial(Tiny, 2))


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


def at_tiny_size(name, root):
    """The config, with nothing but sizes, length and start changed."""
    path = os.fspath(CONFIGS / f'{name}.yaml')
    given = load_config(path)
    changes = [
        f'data.root={root}',
        'data.short_side=36',
        'data.crop_size=32',
        'data.workers=1',
        'train.epochs=1',
        'train.lr_epochs=[]',
        'train.batch_size=6',
        'train.device=cpu',
        'train.precision=float32',
        'model.start=none',
        'model.params=null',
        'model.pretrained=false',
        'model.pretrained_base=false',
        'test.val_protocol=train_time',
    ]
    if given.stages:
        changes += [
            'train.batch_size=2',
            'data.hold_out=0.5',
            *(f'stages.{stage}.train.epochs=1' for stage in given.stages),
        ]
    if 'specific_init' in given.model.options:
        changes.append('model.options.specific_init=random')  # there are no weights of the stand-ins
    return load_config(path, changes)


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
    config = at_tiny_size(name, roots(load_config(os.fspath(CONFIGS / f'{name}.yaml')).data.dataset))
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
