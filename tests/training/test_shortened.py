"""Fewer epochs than a schedule was made for: its steps and its warm-up shrink, and nothing else does."""

import glob
import logging

import pytest

from gluon_fg.errors import UserError
from gluon_fg.training import shortened
from gluon_fg.training.config import load_config, stage_configs

FILES = sorted(f for f in glob.glob('configs/*/*.yaml') if '/_' not in f and 'studies' not in f)


@pytest.fixture
def told(caplog):
    shortened._tell.cache_clear()
    with caplog.at_level(logging.WARNING, logger='gluon_fg'):
        yield lambda: [record.getMessage() for record in caplog.records]


def write(folder, **files):
    for name, text in files.items():
        (folder / f'{name}.yaml').write_text(text)
    return str(folder / f'{list(files)[-1]}.yaml')


@pytest.mark.parametrize('path', FILES)
def test_a_single_epoch_of_every_config_just_works(path):
    """Findings of newcomers: `train.epochs=1` failed with "warmup_epochs 1.0 must be below epochs 1"."""
    config = load_config(path, ['train.epochs=1'])
    stages = [f'stages.{name}.train.epochs=1' for name in config.stages]
    parts = stage_configs(load_config(path, ['train.epochs=1', *stages]))
    for part in (config, *parts.values()):
        train = part.train
        assert train.epochs == 1 and train.warmup_epochs < 1 and (train.schedule == 'cosine' or train.lr_epochs == [])


def test_steps_and_warm_up_shrink_in_proportion_and_once_told(tmp_path, told):
    path = write(tmp_path, c='train: {epochs: 100, lr_epochs: [40, 60, 80], warmup_epochs: 10, lr: 0.5}\n')
    for _ in range(2):
        train = load_config(path, ['train.epochs=10']).train
        assert (train.lr_epochs, train.warmup_epochs, train.lr) == ([4, 6, 8], 1.0, 0.5)
    assert told() == [
        'train.epochs=10: lr_epochs [40, 60, 80], of 100 epochs, becomes [4, 6, 8]',
        'train.epochs=10: warmup_epochs 10, of 100 epochs, becomes 1.0',
    ]


def test_the_defaults_shrink_too(told):
    assert load_config(None, ['train.epochs=1']).train.lr_epochs == []
    assert told() == ['train.epochs=1: lr_epochs [40, 60, 80], of 100 epochs, becomes []; the rate falls nowhere']


@pytest.mark.parametrize(
    'overrides, expected',
    [
        (['train.epochs=90'], ([40, 60, 80], 5)),  # they fit: the papers' numbers stay
        (['train.epochs=200'], ([40, 60, 80], 5)),
        (['train.epochs=60'], ([24, 36, 48], 5)),  # steps alone are too late
        (['train.epochs=4'], ([2, 3], 0.2)),
        (['train.lr_epochs=[2]', 'train.epochs=4'], ([2], 0.2)),  # said together with the epochs, in either order
        (['train.epochs=4', 'train.warmup_epochs=1'], ([2, 3], 1)),
        # said again, as gluon-fg finetune's own settings are by its user's
        (['train.epochs=30', 'train.lr_epochs=[12, 20, 26]', 'train.warmup_epochs=3', 'train.epochs=3'], ([1, 2], 0.3)),
    ],
)
def test_only_what_does_not_fit_is_changed(overrides, expected, tmp_path):
    path = write(tmp_path, c='train: {epochs: 100, lr_epochs: [40, 60, 80], warmup_epochs: 5}\n')
    train = load_config(path, overrides).train
    assert (train.lr_epochs, train.warmup_epochs) == expected


def test_files_are_layers_too(tmp_path):
    base, run = 'train: {epochs: 50, lr_epochs: [20, 40]}\n', 'base: base.yaml\ntrain: {epochs: 10}\n'
    assert load_config(write(tmp_path, base=base, run=run)).train.lr_epochs == [4, 8]


@pytest.mark.parametrize(
    'text, overrides, message',
    [
        ('train: {epochs: 10, lr_epochs: [40]}\n', [], r'lr_epochs \[40\] would never be reached in 10 epochs'),
        ('train: {epochs: 1, warmup_epochs: 2}\n', [], 'warmup_epochs 2.0 must be below train.epochs 1'),
        ('train: {epochs: 10, lr_epochs: [4]}\n', ['train.lr_epochs=[12]'], r'\[12\] would never be reached'),
        ('train: {epochs: 10, lr_epochs: [4]}\n', ['train.epochs=2', 'train.lr_epochs=[3]'], r'\[3\] would never be'),
        ('train: {epochs: 10}\n', ['train.epochs=many'], 'train.epochs.*many'),
        ('train: {epochs: 10, lr_epochs: 3}\n', ['train.epochs=2'], 'train.lr_epochs is 3; it must be a list'),
    ],
)
def test_what_contradicts_itself_in_one_breath_is_refused(text, overrides, message, tmp_path):
    with pytest.raises(UserError, match=message):
        load_config(write(tmp_path, c=text), overrides)


def test_stages_shrink_by_their_own_epochs(tmp_path, told):
    text = """
train: {epochs: 15, lr_epochs: [7, 12]}
stages:
  first: {model: {name: i3d_tiny_synthfg}, train: {epochs: 30, lr_epochs: [10, 20]}}
  second: {model: {name: i3d_tiny_synthfg_dfb}, train: {epochs: 5}}
"""
    path = write(tmp_path, c=text)
    parts = stage_configs(load_config(path))
    assert [part.train.lr_epochs for part in parts.values()] == [[10, 20], [2, 4]]
    parts = stage_configs(load_config(path, ['stages.first.train.epochs=3']))
    assert [(part.train.epochs, part.train.lr_epochs) for part in parts.values()] == [(3, [1, 2]), (5, [2, 4])]
    assert 'stages.first.train.epochs=3: lr_epochs [10, 20], of 30 epochs, becomes [1, 2]' in told()
