import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from gluon_fg.evaluation.score import Scores
from gluon_fg.factory import get_model
from gluon_fg.training.config import Config, save_config

MODEL = 'i3d_tiny_synthfg_dfb'


@pytest.fixture(scope='module')
def run_dir(tiny_synthfg, tmp_path_factory):
    """A folder as train.py leaves it, with untrained weights and one test video broken."""
    data = tmp_path_factory.mktemp('copy') / 'synthfg'
    shutil.copytree(tiny_synthfg, data)
    next(iter(sorted((data / 'test').glob('*.mp4')))).write_bytes(b'cut')
    folder = tmp_path_factory.mktemp('run')
    config = Config()
    config.model.name, config.data.root = MODEL, str(data)
    config.data.sizes = {'train': 48, 'val': 24, 'test': 24}
    save_config(config, folder / 'config.yaml')
    get_model(MODEL).save_parameters(str(folder / 'best.params'))
    return folder


def failed(done):
    """The one line of a user's mistake."""
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2 and len(lines) == 1 and lines[0].startswith('error: '), done.stderr[-2000:]
    return lines[0]


def test_a_run_is_evaluated_and_nothing_is_replaced_unasked(run_command, run_dir):
    done = run_command('evaluate', '--run', run_dir)
    assert done.returncode == 2, done.stderr  # one video is broken, and the others are scored all the same
    assert '24 videos listed = 23 scored + 1 failed; 23 with a label' in done.stdout
    assert '00000.mp4' in done.stderr and 'Traceback' not in done.stderr
    assert '1 of 24 videos could not be decoded' in done.stderr
    path = run_dir / 'scores_test_train_time.npz'
    scores, metrics = Scores.load(path), json.loads((run_dir / 'scores_test_train_time.metrics.json').read_text())
    assert scores.model == MODEL and scores.branch_names == ('comb', 'avg', 'max', 'xchannel')
    assert metrics['listed'] == 24 and list(metrics['failed_videos']) == list(scores.failed)
    assert metrics['correct'] == int((scores.branch().argmax(1) == scores.labels).sum())
    table = (run_dir / 'scores_test_train_time.per_class.csv').read_text()
    assert metrics['per_group'] and len(table.splitlines()) == 25
    for word in ('comb', 'within group %', 'right group', 'worst classes', 'mean over classes'):
        assert word in done.stdout
    written = path.read_bytes()
    assert 'is there already; use --force' in failed(run_command('evaluate', '--run', run_dir))
    assert path.read_bytes() == written


@pytest.mark.skipif(not shutil.which('horovodrun', path=str(Path(sys.executable).parent)), reason='no Horovod here')
def test_two_ranks_give_the_result_of_one(run_command, run_dir, tmp_path):
    launcher = [str(Path(sys.executable).parent / 'horovodrun'), '-np', '2']
    outs = []
    for name, before in (('one', ()), ('two', launcher)):
        out = tmp_path / f'{name}.npz'
        done = run_command('evaluate', '--run', run_dir, '--protocol', '2x1', '--out', out, launcher=before)
        # One video is broken; but horovodrun takes 2 for a rank that died.
        assert done.returncode == (0 if before else 2), done.stdout + done.stderr
        assert '1 of 24 videos could not be decoded' in done.stdout + done.stderr
        assert done.stdout.count('videos listed') == 1  # rank 0 alone prints
        outs.append(Scores.load(out))
    one, two = outs
    assert (one.ids, one.failed, one.labels.tolist()) == (two.ids, two.failed, two.labels.tolist())
    np.testing.assert_allclose(one.probabilities, two.probabilities, rtol=1e-4, atol=1e-6)


def test_bad_input_is_one_line(error_line, run_dir, tmp_path):
    (tmp_path / 'list.csv').write_text('path,label\na.mp4,99\n')
    (tmp_path / 'named.csv').write_text('path,label\na.mp4,open\nb.mp4,close\n')
    (tmp_path / 'empty.csv').write_text('path,label\n')
    (tmp_path / 'empty').mkdir()
    weights = ['--params', run_dir / 'best.params']
    for arguments, message in (
        ([], 'give either --model NAME or --run FOLDER'),
        (['--model', 'i3d_tiny_synthfg_dbf', *weights], "did you mean 'i3d_tiny_synthfg_dfb'"),
        (['--model', MODEL, *weights, '--protocol', 'dfb3d'], "did you mean 'dfb_3d'"),
        (['--model', MODEL, '--params', tmp_path / 'no.params'], 'no parameter file'),
        (['--model', 'i3d_tiny_custom_dfb', *weights], 'was trained as i3d_tiny_synthfg_dfb, .*; give --run /'),
        (['--model', MODEL, '--options', 'nclass=7', *weights], 'its run has nclass=24, not 7; give --run /'),
        (['--model', MODEL, *weights, '--dataset', 'kinetics'], 'unknown dataset'),
        (['--model', MODEL, *weights, '--dataset', 'folder', '--root', tmp_path / 'empty'], 'empty'),
        (['--model', MODEL, *weights, '--dataset', 'csv', '--split', tmp_path / 'list.csv'], '100 classes, .* has 24'),
        (['--model', MODEL, *weights, '--dataset', 'csv', '--split', tmp_path / 'named.csv'], '2 classes, .* has 24'),
        (['--model', MODEL, *weights, '--dataset', 'csv', '--split', tmp_path / 'empty.csv'], 'lists no video'),
        (['--run', tmp_path], 'no config.yaml there'),
        (['--run', run_dir, '--out', 'scores.txt'], 'written as .npz'),
        (['--run', run_dir, '--batch-size', '0', '--out', tmp_path / 's.npz'], 'batch_size must be at least 1, got 0'),
        (['--run', run_dir, '--device', 'gpu'], 'GPU'),
    ):
        line = error_line('evaluate', *arguments)
        assert re.search(message, line), line
    assert not list(tmp_path.glob('*.npz'))
