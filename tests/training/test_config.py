import dataclasses
import glob
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg import checking
from gluon_fg.errors import UserError
from gluon_fg.training import config as C
from gluon_fg.training.schedule import make_schedule

FILES = sorted(f for f in glob.glob('configs/*/*.yaml') if not f.startswith('configs/studies'))


@pytest.mark.parametrize('path', FILES)
def test_every_config_file_is_valid_and_survives_saving(path, tmp_path):
    config = C.load_config(path)
    C.save_config(config, tmp_path / 'c.yaml')
    assert C.load_config(str(tmp_path / 'c.yaml')) == config


def test_overrides_and_base_files_come_in_order(tmp_path):
    (tmp_path / 'base.yaml').write_text('train: {lr: 0.5, epochs: 9, lr_epochs: [3]}\n')
    (tmp_path / 'run.yaml').write_text('base: base.yaml\ntrain: {lr: 0.25}\n')
    config = C.load_config(str(tmp_path / 'run.yaml'), ['train.epochs=7', 'model.options.local_branch=false'])
    assert (config.train.lr, config.train.epochs, config.train.lr_epochs) == (0.25, 7, [3])
    assert config.model.options == {'local_branch': False}


@pytest.mark.parametrize(
    'override, message',
    [
        ('train.learning_rate=1', r'unknown key train.learning_rate; did you mean train.lr\?'),
        ('train.epoch=1', r'did you mean train.epochs\?'),
        ('data.crop=1', r'did you mean data.crop_size\?'),
        ('trian.lr=1', r'unknown key trian; did you mean train\?'),
        ('train.lr=fast', r'train.lr.*fast'),
        ('train.lr=0', r'train.lr is 0.0; it must be a finite number above 0'),
        ('train.lr=.nan', r'train.lr'),
        ('train.epochs=1.5', r'train.epochs'),
        ('train.momentum=1', r'momentum'),
        ('train.schedule=linear', r'step or cosine'),
        ('train.lr_epochs=[40,400]', r'never be reached in 100 epochs'),
        ('train.lr_epochs=[40,20]', r'increasing'),
        ('data.crop_size=0', r'data.crop_size is 0'),
        ('data.jitter=0.8', r'data.jitter is 0.8; it must be a finite number, 1 or more'),
        ('data.jitter=1.25', r'only data.augment=random_crop reads; random_resized draws scales of its own'),
        ('train.warmup_epochs=100', r'warmup_epochs'),
        ('train.lr', r'section.key=value'),
        ('data.randaugment=11', r'data.randaugment is 11.0; it must be 0 \(off\) to 10, the strongest'),
        ('data.erase=1.5', r'data.erase is 1.5; it must be a probability, 0 to 1'),
        ('data.sampling=even', r'data.sampling is .even.; it must be shuffled or balanced'),
        ('train.ema=1', r'train.ema is 1.0; it must be 0 or more, below 1'),
        ('train.class_weights=auto', r'none or balanced'),
        ('data.repeat=3', r'data.repeat is 3; it must divide train.batch_size, 8'),
        ('data.augment=[', r'--set'),
    ],
)
def test_a_wrong_setting_is_named_on_one_line(override, message):
    with pytest.raises(UserError, match=message) as caught:
        C.load_config(None, [override])
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'overrides, message',
    [
        (['data.mixup=0.2', 'train.batch_size=5'], r'data.mixup mixes clips in pairs, and train.batch_size is 5'),
        (['data.cutmix=1', 'train.batch_size=5'], r'data.cutmix mixes clips in pairs, and train.batch_size is 5'),
        (['data.features=f', 'data.erase=0.2'], r'data.erase is 0.2, which changes pixels, and data.features has none'),
        (['data.sampling=balanced', 'train.class_weights=balanced'], r'makes up for rare classes twice'),
        (['train.early_stop=3', 'test.val_epochs=0'], r'train.early_stop is 3, but test.val_epochs 0'),
    ],
)
def test_settings_that_contradict_each_other_are_named_on_one_line(overrides, message):
    with pytest.raises(UserError, match=message) as caught:
        C.load_config(None, overrides)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'text, message',
    [
        ('train: {lr: 1', 'not valid YAML'),
        ('- a\n- b\n', 'no mapping'),
        ('a: !!python/object/apply:os.system [true]\n', 'not valid YAML'),
        ('base: missing.yaml\n', 'no config file'),
        ('base: c.yaml\n', 'circle'),
        ('base: [c]\n', 'it must be the name of a config file'),
        ('train: {epochs: "${nowhere}"}\n', 'is a reference; write the value itself'),
        ('stages: 3\n', 'stages is 3; it must be a mapping'),
        ('train: 3\n', 'train is 3; it must be a mapping with the keys epochs'),
        ('train: {lr_epochs: 3}\n', 'train.lr_epochs is 3; it must be a list'),
    ],
)
def test_a_broken_file_is_named_on_one_line(text, message, tmp_path):
    (tmp_path / 'c.yaml').write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        C.load_config(str((tmp_path / 'c.yaml').resolve()))
    assert '\n' not in str(caught.value)


def test_every_setting_is_read_somewhere():
    """GluonCV's scripts parse options that nothing reads; here each key must be used outside its own declaration."""
    code = ''.join(
        open(f).read()
        for f in glob.glob('gluon_fg/**/*.py', recursive=True)
        if not f.endswith(('training/config.py', 'training/sections.py'))
    )
    for key in checking.valid_keys(C.Config):
        leaf = key.split('.')[-1]
        assert re.search(rf"\.{leaf}\b|'{leaf}'", code), f'{key} is never read'


@settings(max_examples=50, deadline=None)
@given(
    epochs=st.integers(2, 40),
    steps=st.integers(1, 50),
    warmup=st.floats(0, 1.5),
    kind=st.sampled_from(['step', 'cosine']),
)
def test_schedule_follows_its_formula(epochs, steps, warmup, kind):
    train = C.TrainConfig(epochs=epochs, lr=0.3, schedule=kind, lr_epochs=[1], warmup_epochs=warmup, lr_final=0.1)
    rates = [make_schedule(train, steps)(i) for i in range(epochs * steps)]
    ramp = round(warmup * steps)
    for i in range(min(ramp, len(rates))):
        assert rates[i] == pytest.approx(0.3 * (i + 1) / ramp)
    after = rates[ramp:]
    if kind == 'step':
        assert all(r == pytest.approx(0.3 if ramp + i < steps else 0.03) for i, r in enumerate(after))
    elif len(after) > 1:
        assert after[0] == pytest.approx(0.3) and after[-1] == pytest.approx(0.03)
        assert all(a >= b for a, b in zip(after, after[1:]))
        middle = 0.03 + 0.27 * (1 + math.cos(math.pi * 1 / (len(after) - 1))) / 2
        assert after[1] == pytest.approx(middle)


def test_linear_scaling_uses_the_whole_update():
    train = C.TrainConfig(lr=0.01, lr_batch_size=64, batch_size=8, accumulate=2)
    assert make_schedule(train, 10, size=4)(0) == pytest.approx(0.01)
    assert make_schedule(train, 10, size=1)(0) == pytest.approx(0.0025)


@pytest.mark.parametrize('schedule', ['step', 'cosine'])
@pytest.mark.parametrize('lr_batch_size', [0, 64])
def test_a_stage_at_a_tenth_of_the_rate_has_a_tenth_at_every_update(schedule, lr_batch_size):
    train = C.TrainConfig(
        lr=0.3, epochs=4, schedule=schedule, lr_epochs=[2], warmup_epochs=1, lr_batch_size=lr_batch_size
    )
    whole, tenth = make_schedule(train, 5), make_schedule(dataclasses.replace(train, lr_scale=0.1), 5)
    assert [tenth(i) for i in range(20)] == pytest.approx([0.1 * whole(i) for i in range(20)])


@pytest.mark.parametrize(
    'text, message',
    [
        ('train: {epochs: ' + '9' * 30 + '}', 'train.epochs is .*; it must be a whole number, 1 or more, at most'),
        ('train: {batch_size: 1000000000}', 'train.batch_size is 1000000000; it must be 1 or more, at most 65536'),
        ('data: {workers: 1000000}', 'data.workers is 1000000; it must be 0 or more, at most 256'),
        ('data: {crop_size: 1000000}', 'data.crop_size is 1000000; it must be 1 or more, at most 8192'),
        ('data: {frames: 1000000}', 'data.frames is 1000000; it must be 1 or more, at most 10000'),
        ('data: {jitter: 1.0e+9}', 'data.jitter is .*; it must be a finite number, 1 or more, at most 100'),
        ('train: {lr: 1e400}', 'train.lr is inf'),
        ('stages: {' + ', '.join(f's{i}: {{}}' for i in range(400)) + '}', '400 stages; there may be 32 at most'),
        ('train: {lr_epochs: [' + ', '.join(['9'] * 900) + ']}', 'increasing epochs'),
        ('base: "a\\0b"', 'it must be the name of a config file'),
        ('base: ' + 'a' * 300, 'no config file'),
        ('base: /dev/zero', 'no config file /dev/zero'),
        ('base: 2026-01-01', 'no config file'),
        ('model: {options: {1: 2}}', 'incompatible'),
        ('model: {options: {a: "${train.lr}"}}', 'is a reference'),
        ('a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n' + '\n'.join(
            f'{b}: &{b} [{", ".join([f"*{a}"] * 9)}]' for a, b in zip('abcdefgh', 'bcdefghi')
        ), 'more than 10000 values'),
    ],
)  # fmt: skip
def test_a_config_that_would_fill_memory_or_time_is_one_line(text, message, tmp_path):
    (tmp_path / 'c.yaml').write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        C.load_config(str(tmp_path / 'c.yaml'))
    assert '\n' not in str(caught.value) and len(str(caught.value)) < 600


def test_a_config_may_use_a_value_again(tmp_path):
    (tmp_path / 'c.yaml').write_text(
        'train: &t {lr: 1e-3, epochs: 90}\nstages: {a: {train: *t}, b: {train: {<<: *t, lr: 0.2}}}'
    )
    parts = C.stage_configs(C.load_config(str(tmp_path / 'c.yaml')))
    assert [(part.train.lr, part.train.epochs) for part in parts.values()] == [(1e-3, 90), (0.2, 90)]
