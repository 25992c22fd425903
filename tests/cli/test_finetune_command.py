"""From a folder of films to a network that is predicted with, explained and published: nothing is typed twice."""

import json
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, check_page
from own_films import render_own, write

import gluon_fg
from gluon_fg.evaluation.score import Scores
from gluon_fg.training.config import load_config
from gluon_fg.weights import index

REPO = Path(__file__).resolve().parents[2]
TINY = ('--model', 'i3d_tiny_custom_dfb', '--set', 'data.short_side=56', 'data.crop_size=48')
GALLERY = "return [...document.querySelectorAll('#gallery a.path')].map(link => link.protocol)"
WORDS = (*TINY, '--epochs', '2', '--val-share', '0.33')


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder to work in, with a user's videos below it."""
    folder = tmp_path_factory.mktemp('work')
    render_own(folder / 'my videos')
    return folder


@pytest.fixture(autouse=True)
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv('MXNET_GLUON_REPO', 'file:///nowhere')
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    yield
    for handler in logging.getLogger('gluon_fg').handlers:
        handler.filters.clear()


@pytest.fixture(scope='module')
def printed():
    """What the first run printed, for the tests after it."""
    return {}


def test_a_dry_run_says_what_would_be_done_and_leaves_nothing(command, place):
    code, out, err = command('finetune', 'my videos', '--dry-run', '--set', 'train.epochs=3')
    assert code == 0, err
    assert 'my videos: 21 videos of 3 classes' in out and 'empty.mp4: is empty' in out and '1 .txt' in out
    assert 'model i3d_tiny_custom_dfb: starts from random weights' in out and 'passed over' in out
    assert re.search(r'opening a door +\d+ +\d+\n', out)
    assert re.search(r'an update of \d+ videos takes [\d.]+ s here, an epoch [\d.]+ (s|min|h); 3 epochs at most', out)
    assert 'train.warmup_epochs=0.3' in out  # the schedule fits
    assert sorted(path.name for path in place.iterdir()) == ['my videos']


def test_a_folder_becomes_a_network(command, place, printed):
    code, out, err = command('finetune', 'my videos', '--out', 'runs/mine', *WORDS)
    assert code == 0, err
    run = place / 'runs/mine'
    assert 'model:\n' not in out and 'epoch 2/2: validation' in out
    scores = Scores.load(next((run / 'report').glob('scores_val_*.npz')))
    right = int((scores.branch().argmax(1) == scores.labels).sum())
    assert f'{100 * right / len(scores.ids):.1f} % of {len(scores.ids)} videos of val are right' in out
    page = (run / 'report/report.md').read_text()
    assert 'Left out: 2 files.' in page and 'empty.mp4`: is empty' in page
    assert (run / 'report/confusion.png').is_file()
    assert (run / 'report/wrong.png').is_file() == (right < len(scores.ids))
    assert (run / 'classes.txt').read_text(encoding='utf-8').split('\n')[:3] == list(scores.classes)
    commands = [line.strip() for line in out.split('next:\n')[1].splitlines()]
    assert len(commands) == 4 and all(line in page for line in commands)
    printed['commands'] = commands


def test_the_same_words_again_train_nothing_and_say_the_same(command, place, printed):
    before = (place / 'runs/mine/best.params').read_bytes()
    code, out, err = command('finetune', 'my videos', '--out', 'runs/mine', *WORDS)
    assert code == 0, err
    assert 'is already finished' in out and (place / 'runs/mine/best.params').read_bytes() == before
    assert [line.strip() for line in out.split('next:\n')[1].splitlines()] == printed['commands']


@pytest.mark.parametrize('number, name', enumerate(['predict', 'report', 'explain', 'publish']))
def test_each_printed_command_runs_as_it_is(command, place, printed, number, name):
    words = shlex.split(printed['commands'][number])
    assert words[0] == 'gluon-fg' and name in words[:3]
    code, out, err = command(*words[1:])
    assert code == 0, err
    if name == 'predict':
        assert re.search(r'[\d.]+ %  (opening a door|closing a door|wérfen)\n', out)
    elif name == 'report':  # of the scores that are there
        assert 'evaluating' not in out and 'no pictures' not in err
        seen = check_page(place / 'runs/mine/report.html', GALLERY, width=390) if CHROMIUM else None
        assert seen is None or seen.images > len(seen.value) > 0 and set(seen.value) == {'file:'}
    elif name == 'explain':
        assert json.loads((place / 'runs/mine/explained/peaks.json').read_text())
    else:
        assert (place / 'my_zoo/index.yaml').is_file()


def test_what_was_published_is_loaded_by_its_name_alone(command, place, printed, monkeypatch):
    video = shlex.split(printed['commands'][0])[2]
    monkeypatch.setenv('GLUON_FG_REPO', (place / 'my_zoo').as_uri())
    index._remote_text.cache_clear()
    net = gluon_fg.load_model('mine')
    assert net.classes == ('closing a door', 'opening a door', 'wérfen') and net.protocol == '5x1'
    assert (net.input_spec.crop_size, net.input_spec.frame_stride) == (48, 2)
    code, by_run, err = command(*shlex.split(printed['commands'][0])[1:], '--json')
    for words in (('--model', 'mine'), ('--model', 'my_zoo/mine')):
        code, out, err = command('predict', video, *words, '--json')
        assert code == 0, err
        ours, theirs = json.loads(out)[0], json.loads(by_run)[0]
        assert ours['predictions'] == theirs['predictions'] and ours['protocol'] == theirs['protocol']


def test_evaluate_measures_what_the_report_says(command, place):
    code, out, err = command('evaluate', '--run', 'runs/mine', '--split', 'val', '--json')
    assert code == 0, err
    ours = json.loads(next((place / 'runs/mine/report').glob('*.metrics.json')).read_text())
    assert json.loads(out)['correct'] == ours['correct'] and json.loads(out)['protocol'] == ours['protocol']


def test_the_run_may_be_moved_and_the_videos_too(command, place):
    (place / 'runs/mine').rename(place / 'elsewhere')
    code, out, err = command('evaluate', '--run', 'elsewhere', '--split', 'train', '--protocol', 'train_time')
    assert code == 0 and '0 failed' in out, err
    (place / 'elsewhere').rename(place / 'runs/mine')


@pytest.mark.parametrize(
    'words, message',
    [
        (('--seed', '5'), 'was split with seed 0, not 5; choose another --out'),
        (('--epochs', '3'), 'train.epochs'),
        (('--model', 'tsn_mobilenetv2_custom'), 'holds a run of i3d_tiny_custom_dfb, not tsn_mobilenetv2_custom'),
    ],
)
def test_another_run_in_the_same_folder_is_refused(error_line, words, message):
    assert message in error_line('finetune', 'my videos', '--out', 'runs/mine', *WORDS, *words)


def test_a_mistake_is_one_line_and_writes_nothing(error_line, place):
    taken = place / 'taken'
    taken.mkdir()
    (taken / 'thesis.txt').write_text('x')
    assert 'holds no run of gluon-fg finetune' in error_line('finetune', 'my videos', '--out', 'taken', *WORDS)
    assert 'no such folder' in error_line('finetune', 'nowhere')
    assert '--source-pattern (' in error_line('finetune', 'nowhere', '--source-pattern', '(')  # before any file is read
    assert '--val-share is 2; choose' in error_line('finetune', 'nowhere', '--val-share', '2')
    other = 'i3d_resnet50_v1_kinetics400_dfb'
    assert f'--model {other} is not for videos of your own' in error_line('finetune', 'nowhere', '--model', other)
    assert 'did you mean' in error_line('finetune', 'my videos', '--out', 'new', '--model', 'i3d_tiny_custom_dfbb')
    assert 'unknown protocol' in error_line('finetune', 'my videos', '--protocol', '5xx')
    assert [path.name for path in taken.iterdir()] == ['thesis.txt']


def test_folds(command, place):
    code, out, err = command('finetune', 'my videos', '--out', 'runs/folds', *TINY, '--epochs', '1', '--folds', '3')
    assert code == 0, err
    told = json.loads((place / 'runs/folds/folds.json').read_text())
    ids = [Scores.load(next((place / f'runs/folds/fold{k}/report').glob('*.npz'))).ids for k in (1, 2, 3)]
    assert len(set(sum(ids, ()))) == len(sum(ids, ())) == 21
    assert told['mean'] == pytest.approx(np.mean(told['top1'])) and told['low'] <= told['mean'] <= told['high']
    assert f'mean {100 * told["mean"]:.1f} %' in out


def test_interrupted_it_goes_on_to_the_same_bits(run_command, place):
    """Stopped as by Ctrl-C in its second epoch, and given again."""
    words = ['finetune', 'my videos', *TINY, 'train.checkpoint_steps=1', '--epochs', '3']
    env = {'PYTHONPATH': str(REPO)}
    whole = run_command(*words, '--out', 'runs/whole', cwd=place, env=env)
    assert whole.returncode == 0, whole.stderr
    stopped = subprocess.Popen(
        [sys.executable, '-m', 'gluon_fg', *words, '--out', 'runs/halved'],
        cwd=place,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log, end = place / 'runs/halved/metrics.jsonl', time.time() + 120
    while not (log.is_file() and log.read_text().count('"val"') >= 1) and time.time() < end:
        time.sleep(0.05)
    stopped.send_signal(signal.SIGINT)
    _, err = stopped.communicate(timeout=120)
    assert stopped.returncode == 130 and 'start the same command again' in err
    again = run_command(*words, '--out', 'runs/halved', cwd=place, env=env)
    assert again.returncode == 0 and 'resumes from' in again.stdout, again.stderr
    for name in ('final.params', 'best.params', 'split/train.csv'):
        assert (place / 'runs/whole' / name).read_bytes() == (place / 'runs/halved' / name).read_bytes(), name


def test_interrupted_before_the_training_it_begins_anew(command, place, monkeypatch):
    from gluon_fg.training import finetune

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(finetune, 'estimate', stop)
        code, _, err = command('finetune', 'my videos', '--out', 'runs/late', *WORDS)
    assert code == 130 and (place / 'runs/late/split/val.csv').is_file()
    code, out, err = command('finetune', 'my videos', '--out', 'runs/late', *WORDS)
    assert code == 0, err
    assert load_config(str(place / 'runs/late/config.yaml')).train.epochs == 2


def test_a_film_that_breaks_later_does_not_end_it(command, place):
    folder = place / 'frail'
    for name, label in (('left', 8), ('right', 9)):
        for film in 'abcd':
            (folder / name).mkdir(parents=True, exist_ok=True)
            write(folder / name / f'{film}.mp4', label, ord(film))
    for path in folder.glob('*/a.mp4'):  # its header is whole, its end is not
        path.write_bytes(path.read_bytes()[:-400] + bytes(400))
    code, out, err = command('finetune', 'frail', '--out', 'runs/frail', *TINY, '--epochs', '1')
    assert code == 0, err
    assert 'videos of val are right' in out


def test_a_list_of_clips_with_several_labels(command, place):
    rows = ['path,labels,start,end']
    for number, film in enumerate(sorted((place / 'my videos').glob('*/*film*_part0.mp4'))):
        rows += [f'{film},{("jump|run", "run", "")[number % 3]},0,0.3', f'{film},jump,0.2,']
    (place / 'clips.csv').write_text('\n'.join(rows) + '\n', encoding='utf-8')
    code, out, err = command('finetune', 'clips.csv', *TINY, '--epochs', '1')
    assert code == 0, err
    found = re.search(r'mAP ([\d.]+) % on (\d+) videos of val', out)
    measured = json.loads(next((place / 'runs/clips/report').glob('*.metrics.json')).read_text())
    assert found.group(1) == f'{100 * measured["map"]:.1f}' and int(found.group(2)) == measured['labelled']
    assert not list((place / 'runs/clips/report').glob('*.png'))
    code, out, err = command(*shlex.split(out.split('next:\n')[1].splitlines()[0])[1:])
    assert code == 0 and re.search(r'[\d.]+ %  (jump|run)\n', out), err
