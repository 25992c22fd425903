"""One page on a run, a model or score files: its numbers are the scores', and what is not at hand is said once."""

import dataclasses
import html
import json
import re
import shutil

import numpy as np
import pytest

from gluon_fg.evaluation.metrics import summarize
from gluon_fg.evaluation.score import Scores
from gluon_fg.factory import get_model
from gluon_fg.training.config import Config, save_config

NAMES = ('closes <b>the arm</b>', 'öffnet "den" Arm')
INPUT = {'frames': 4, 'frame_stride': 2, 'short_side': 50, 'crop_size': 44}
RECORDS = [
    {'event': 'epoch', 'step': 4, 'epoch': 1, 'lr': 0.02, 'loss': 2.5, 'loss_avg': 1.5, 'top1_avg': 0.25},
    {'event': 'val', 'step': 4, 'epoch': 1, 'top1': 0.5},
    {'event': 'epoch', 'step': 8, 'epoch': 2, 'lr': 0.01, 'loss': 1.25, 'loss_avg': float('nan'), 'top1_avg': 0.75},
    {'event': 'val', 'step': 8, 'epoch': 2, 'top1': 0.625},
]


@pytest.fixture(scope='module')
def films(tiny_synthfg, tmp_path_factory):
    """Eight test videos of two classes."""
    root = tmp_path_factory.mktemp('own') / 'films'
    for number, clip in enumerate(sorted((tiny_synthfg / 'test').glob('*.mp4'))[:8]):
        folder = root / 'test' / NAMES[number % 2].replace('/', '\u2215')
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, folder)
    return root


@pytest.fixture(scope='module')
def run(films, tmp_path_factory):
    """The folder of a finished run, with untrained weights."""
    folder = tmp_path_factory.mktemp('runs') / 'mine'
    config = Config()
    config.model.name, config.model.nclass, config.train.seed = 'i3d_tiny_custom_dfb', 2, 41
    config.data.dataset, config.data.root = 'folder', str(films)
    for key, value in INPUT.items():
        setattr(config.data, key, value)
    save_config(config, folder / 'config.yaml')
    names = sorted(path.name for path in (films / 'test').iterdir())
    (folder / 'classes.txt').write_text(''.join(f'{name}\n' for name in names), encoding='utf-8')
    get_model('i3d_tiny_custom_dfb', nclass=2).save_parameters(str(folder / 'best.params'))
    summary = {'epochs': 2, 'updates': 8, 'seconds': 125.0, 'best': {'epoch': 2, 'top1': 0.625}}
    (folder / 'summary.json').write_text(json.dumps(summary))
    (folder / 'environment.json').write_text(json.dumps({'mxnet': '1.9.1', 'cuda': False, 'ranks': 2}))
    (folder / 'metrics.jsonl').write_text(''.join(f'{json.dumps(record)}\n' for record in RECORDS) + '{"cut')
    return folder


def text_of(page):
    """The words of a page as a reader sees them, without its scripts."""
    text = re.sub(r'<(script|style)[^>]*>.*?</\1>', ' ', page.read_text(encoding='utf-8'), flags=re.DOTALL)
    return re.sub(r'\s+', ' ', html.unescape(re.sub(r'<[^>]+>', ' ', text)))


def test_a_run_is_evaluated_and_its_scores_are_taken_while_they_are_of_its_weights(command, run, tmp_path):
    code, out, err = command('report', run)
    assert code == 0 and f'{run} has no scores of its weights on them; evaluating' in out, err
    assert f'report {run}/report.html\nnext: gluon-fg report {run}/report.npz OTHER.npz' in out
    scores, page = Scores.load(run / 'report.npz'), text_of(run / 'report.html')
    summary = summarize(scores)
    assert f'{100 * summary["top1"]:.1f} % top-1 95 % interval' in page and 'all the classes' in page
    assert 'i3d_tiny_custom_dfb, trained on folder (train); ' in page
    assert '2 epochs, 8 updates; in 2 min; by MXNet 1.9.1 on CPU, 2 processes.' in page
    assert '2, by its validation on val, top1 62.5 %' in page and 'seed: 41' in page
    assert '8 videos listed = 8 scored + 0 failed' in page
    drawings = re.findall(r'aria-label="([^"]*over epochs[^"]*)"', (run / 'report.html').read_text(encoding='utf-8'))
    assert drawings == [
        'training loss over epochs; at the end: all 1.25, avg 1.5',
        'accuracy over epochs; at the end: top-1, validation 62.5, avg, training 75',
        'learning rate over epochs; at the end: learning rate 0.01',
    ]

    code, out, err = command('report', run, '--out', tmp_path / 'again.html', '--pictures', '0')
    assert code == 0 and 'evaluating' not in out and f'scores {run}/report.npz' in out, err
    other = tmp_path / 'other'
    shutil.copytree(run, other)
    get_model('i3d_tiny_custom_dfb', nclass=2).save_parameters(str(other / 'best.params'))
    code, out, err = command('report', other, '--out', tmp_path / 'anew.html', '--pictures', '0')
    assert code == 0 and 'evaluating' in out, err  # the scores beside the weights are those of former ones
    assert Scores.load(tmp_path / 'anew.npz').made.network != scores.made.network
    assert not (tmp_path / 'anew.partial').exists()


def test_scores_without_their_videos_have_no_pictures_and_say_so_once(command, films, run, tmp_path):
    source = tmp_path / 'apart.npz'
    scores = Scores.load(run / 'report.npz')
    scores.save(source)
    code, out, err = command('report', source, '--out', tmp_path / 'a.html')
    assert code == 0 and err.count('no pictures') == 1 and 'name their folder with --root' in err
    assert 'no pictures: the videos are not at hand' in text_of(tmp_path / 'a.html')
    code, out, err = command('report', source, '--out', tmp_path / 'b.html', '--root', films, '--model', run)
    assert code == 0 and err == '' and 'no pictures' not in text_of(tmp_path / 'b.html')
    assert 'trained on folder' in text_of(tmp_path / 'b.html')  # the run's facts, as its weights are those scored
    few = dataclasses.replace(scores, ids=('gone.mp4', *scores.ids[1:]), made=None)
    few.save(tmp_path / 'few.npz')
    code, out, err = command('report', tmp_path / 'few.npz', '--out', tmp_path / 'c.html', '--root', films)
    assert code == 0 and '1 of the 8 videos are not in folder test' in err and 'first gone.mp4' in err


def scores_of(seed, classes=3, videos=30, **changes):
    labels = np.arange(videos) % classes
    p = np.random.default_rng(seed).random((videos, classes)) + np.eye(classes)[labels] * 0.5
    p = (p / p.sum(1, keepdims=True))[:, None].astype(np.float32)
    ids, names = tuple(f'{i}.mp4' for i in range(videos)), tuple(f'<i>class</i> {i}' for i in range(classes))
    return dataclasses.replace(Scores(ids, labels, p, ('all',), names, None, '1x1', {}, f'net{seed}', 'set'), **changes)


def test_two_score_files_stand_side_by_side(command, tmp_path):
    a, b = scores_of(0), scores_of(1)
    a.save(tmp_path / 'a.npz')
    order = np.arange(30)[::-1]  # another order, the same videos
    dataclasses.replace(b, ids=b.ids[::-1], labels=b.labels[order], probabilities=b.probabilities[order]).save(
        tmp_path / 'b.npz'
    )
    (tmp_path / 'groups.csv').write_text('class,group\n<i>class</i> 0,x\n<i>class</i> 1,x\n<i>class</i> 2,y\n')
    words = ('--out', tmp_path / 'both.html', '--groups', tmp_path / 'groups.csv')
    code, out, err = command('report', tmp_path / 'a.npz', tmp_path / 'b.npz', *words)
    assert code == 0, err
    assert out.splitlines()[-1] == f'next: gluon-fg compare {tmp_path}/a.npz {tmp_path}/b.npz'
    page = text_of(tmp_path / 'both.html')
    right = [(s.branch().argmax(1) == s.labels).mean() for s in (a, b)]
    for title, share in zip(('net0', 'net1'), right):
        assert f'{title}: top1 {100 * share:.1f} %' in out
    rows = re.findall(r'<i>class</i> (\d) [xy] 10 ([\d.]+) ([\d.]+) ([+−]?[\d.]+)', page)
    expected = []
    for label in range(3):
        hits = [(s.branch()[a.labels == label].argmax(1) == label).mean() * 100 for s in (a, b)]
        expected.append((f'{hits[0]:.1f}', f'{hits[1]:.1f}', f'{hits[1] - hits[0]:+.1f}'.replace('-', '\u2212')))
    assert [row[1:] for row in rows[:3]] == expected


def test_several_labels_are_told_by_their_precision(command, tmp_path):
    targets = np.eye(3, dtype=bool)[np.arange(30) % 3] | (np.random.default_rng(3).random((30, 3)) < 0.3)
    scores = scores_of(0, targets=targets, labels=targets.argmax(1))
    scores.save(tmp_path / 'several.npz')
    code, out, err = command('report', tmp_path / 'several.npz', '--out', tmp_path / 'p.html')
    assert code == 0 and f'mAP {100 * summarize(scores)["map"]:.1f} %' in out, err
    page = text_of(tmp_path / 'p.html')
    for row in summarize(scores)['per_class']:
        assert f'{row["name"]} {row["videos"]} {100 * row["ap"]:.1f}' in page
    assert 'Wilson' not in page


def test_mistakes_are_one_line(error_line, run, tmp_path):
    scores_of(0).save(tmp_path / 'a.npz')
    scores_of(1, classes=2).save(tmp_path / 'two.npz')
    scores_of(1, videos=29).save(tmp_path / 'few.npz')
    (tmp_path / 'notes.txt').write_text('x')
    a, out = tmp_path / 'a.npz', ('--out', tmp_path / 'p.html')
    for words, message in (
        ((), 'give a run, a model or a score file, or two of them to compare; got 0'),
        ((a, a, a), 'got 3'),
        ((tmp_path / 'gone.npz',), 'no score file'),
        ((tmp_path / 'notes.txt',), 'notes.txt is no score file; give one of gluon-fg evaluate'),
        (('i3d_tiny_synthfg_dbf',), "did you mean 'i3d_tiny_synthfg_dfb'"),
        ((run, '--model', 'x'), '--model is for a score file'),
        ((a, tmp_path / 'two.npz', *out), 'have other classes'),
        ((a, tmp_path / 'few.npz', *out), 'are not of the same videos: 1 only in'),
        ((a, '--out', tmp_path / 'p.pdf'), 'choose a name that ends in .html or .htm'),
        ((a, '--out', tmp_path / 'notes.txt'), 'choose a name that ends in .html or .htm'),
        ((a, *out, '--root', tmp_path / 'nowhere', '--dataset', 'folder'), 'no such folder of folder'),
        ((a, *out, '--dataset', 'kinetiks400'), "did you mean 'kinetics400'"),
        ((a, *out, '--groups', tmp_path / 'notes.txt'), 'notes.txt'),
    ):
        assert message in error_line('report', *words)
    (tmp_path / 'p.html').write_text('mine')
    assert 'p.html is there already; use --force' in error_line('report', a, *out)
    assert (tmp_path / 'p.html').read_text() == 'mine'
