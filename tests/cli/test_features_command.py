"""The command `gluon-fg features`, and a training from what it wrote."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gluon_fg.data.features import FeatureDataset, Manifest

REPO = Path(__file__).resolve().parents[2]
MODEL = 'i3d_tiny_synthfg'


@pytest.fixture
def data(tiny_synthfg, tmp_path):
    shutil.copytree(tiny_synthfg, tmp_path / 'synthfg')
    (tmp_path / 'synthfg/train/00005.mp4').write_bytes(b'cut')
    return tmp_path / 'synthfg'


def test_splits_become_a_training(command, data, tmp_path):
    out = tmp_path / 'features'
    words = ('features', '--model', MODEL, '--stage', 4, '--dataset', 'synthfg', '--root', data, '--out', out)
    code, said, err = command(*words)
    assert code == 2, err  # as predict and evaluate
    assert '48 videos listed = 47 with features + 1 failed' in said and 'failed: train/00005.mp4: ' in said
    assert '24 videos listed = 24 with features + 0 failed' in said
    assert re.search(
        r'stage 4 of 48 videos .* 1 view each: \(32, 8, 6, 6\) float16, 18.4 KB a video, 885 KB in all', said
    )
    assert said.splitlines()[-1] == f'next: gluon-fg train --config dfb/{MODEL} --set data.features={out}'
    again = command(*words)[1]
    assert '48 videos listed = 47 with features (47 were there) + 1 failed' in again
    run = tmp_path / 'run'
    settings = [f'data.features={out}', f'data.root={data}', 'train.epochs=1', 'train.lr_epochs=[]']
    code, said, err = command('train', '--config', f'dfb/{MODEL}_dfb', '--out', run, '--set', *settings)
    assert code == 0, err
    assert f'features: stage 4 of {MODEL} (published weights' in err + said
    code, said, err = command('evaluate', '--run', run, '--split', 'val')
    assert code == 0 and '24 videos listed = 24 scored' in said, err


def test_a_list_of_ones_own_needs_no_labels(command, data, tmp_path):
    names = sorted((data / 'val').glob('*.mp4'))[:3]
    (tmp_path / 'mine.txt').write_text('\n'.join(os.path.relpath(name, tmp_path) for name in names))
    common = ('--model', MODEL, '--stage', 5)
    for listed, folder, files in (
        ([tmp_path / 'mine.txt'], 'list', [f'{name.name}.npz' for name in names]),
        ([data / 'val'], 'folder', [f'{name.name}.npz' for name in sorted((data / 'val').glob('*.mp4'))]),
        ([names[0], names[2]], 'files', [f'{names[0].name}.npz', f'{names[2].name}.npz']),
        ([data / 'val.csv'], 'csv', None),
    ):
        code, said, err = command('features', *listed, *common, '--out', tmp_path / folder, '--views', 2)
        assert code == 0, err
        assert 'np.load(' in said.splitlines()[-1]
        made = sorted(path.name for path in (tmp_path / folder).rglob('*.npz'))
        assert made == (files or sorted(f'{name.name}.npz' for name in (data / 'val').glob('*.mp4')))
        assert len(FeatureDataset(tmp_path / folder).open(0).views) == 2
    assert {record.label for record in Manifest.load(tmp_path / 'folder').records} == {-1}
    assert len({record.label for record in Manifest.load(tmp_path / 'csv').records}) == 24


def test_random_views_are_for_the_split_that_is_trained_on(command, data, tmp_path):
    words = ('--model', MODEL, '--stage', 5, '--dataset', 'synthfg', '--root', data, '--out', tmp_path)
    assert command('features', *words, '--views', 3, '--seed', 4, '--protocol', '2x1')[0] == 2
    train, val = (Manifest.load(tmp_path / split).settings.views for split in ('train', 'val'))
    assert train == {'random': 3, 'seed': 4, 'augment': 'random_resized', 'flip': 0.5} and val == {'protocol': '2x1'}
    assert len(FeatureDataset(tmp_path / 'val').open(0).views) == 2


def test_vectors_of_a_smaller_input(command, data, tmp_path):
    words = ('--stage', 3, '--pool', '--input', 'short_side=40', 'crop_size=32', '--dtype', 'float32')
    code, said, err = command('features', data / 'val', '--model', MODEL, *words, '--out', tmp_path / 'out')
    assert code == 0, err
    settings = Manifest.load(tmp_path / 'out').settings
    assert (settings.spec.crop_size, settings.spec.short_side, settings.pooled) == (32, 40, True)
    vectors = np.load(tmp_path / 'out/features.npy')
    assert vectors.shape == (24, 32) and vectors.dtype == np.float32
    assert not list(tmp_path.rglob('network.params'))


def test_killed_it_goes_on(data, tmp_path):
    words = [
        'features',
        '--model',
        MODEL,
        '--stage',
        '5',
        '--dataset',
        'synthfg',
        '--root',
        data,
        '--out',
        tmp_path / 'out',
    ]
    words += ['--split', 'train', '--views', '20', '--workers', '1']
    start = [sys.executable, '-m', 'gluon_fg', *map(str, words)]
    process = subprocess.Popen(start, cwd=REPO, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while process.poll() is None and not list((tmp_path / 'out').rglob('0*.npz')) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out/train/train').glob('0*.npz')}
    assert 0 < len(there) < 47
    done = subprocess.run(start, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 2 and f'47 with features ({len(there)} were there) + 1 failed' in done.stdout, done.stderr
    assert all(path.stat().st_mtime_ns == when for path, when in there.items())
    assert len(FeatureDataset(tmp_path / 'out/train')) == 47


def test_mistakes_are_one_line(error_line, data, tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'empty.txt').write_text('')
    good = ('--model', MODEL, '--stage', 5, '--out', tmp_path / 'out')
    for words, message in (
        ((data / 'val', '--stage', 5, '--out', 'x'), 'give either --model NAME or --run FOLDER'),
        ((data / 'val', '--model', MODEL, '--stage', 6, '--out', 'x'), 'stage 3, 4 or 5, got 6'),
        ((data / 'val', '--model', MODEL, '--out', 'x'), "Missing option '--stage'"),
        ((data / 'val', *good, '--views', 0), '--views must be at least 1, got 0'),
        ((data / 'val', *good, '--augment', 'multiscale'), 'give their number with --views'),
        ((data / 'val', *good, '--protocol', '10corp'), "did you mean '10crop'"),
        ((data / 'val', *good, '--input', 'crop=32'), "did you mean 'crop_size'"),
        ((data / 'val', *good, '--input', 'crop_size=big'), 'write it as key=number'),
        ((data / 'val', *good, '--dtype', 'int8'), 'dtype must be float16 or float32'),
        ((tmp_path / 'none', *good), 'no such video, folder or list'),
        ((tmp_path / 'empty', *good), 'no video in this folder'),
        ((tmp_path / 'empty.txt', *good), 'lists no video'),
        ((data / 'val', *good, '--batch-size', 0), 'batch_size must be at least 1'),
        (good, 'give videos, a folder or a list of them, or the splits of a dataset with --dataset'),
        ((data / 'val', '--dataset', 'synthfg', *good), 'exclude each other'),
        (('--dataset', 'synthgf', *good), "did you mean 'synthfg'"),
    ):
        assert message in error_line('features', *words)
    assert not list(tmp_path.rglob('*.npz'))
