"""'None of these' from training to prediction: chosen on the validation set, kept in the run, used and measured."""

import json

import pytest

from gluon_fg.evaluation.score import Scores
from gluon_fg.evaluation.threshold import FILE, choose_threshold, load_threshold
from gluon_fg.training import loop
from gluon_fg.training.config import load_config
from gluon_fg.training.run import load_run


@pytest.fixture(scope='module')
def run(tiny_synthfg, tmp_path_factory):
    folder = tmp_path_factory.mktemp('runs') / 'mine'
    settings = ['model.name=i3d_tiny_synthfg', f'data.root={tiny_synthfg}', 'train.epochs=1', 'train.lr=0.02']
    settings += ['data.augment=random_crop', 'data.sizes={train: 48, val: 24, test: 24}', 'test.refuse=0.25']
    loop.train(load_config(None, settings), folder, progress=False)
    return folder


@pytest.fixture(scope='module')
def strangers(tiny_synthfg, tmp_path_factory):
    """Two films that are no class of SynthFG's, and one that cannot be decoded."""
    folder = tmp_path_factory.mktemp('others')
    for i in range(2):
        (folder / f'{i}.mp4').write_bytes((tiny_synthfg / 'test' / f'{i:05}.mp4').read_bytes())
    (folder / 'broken.mp4').write_bytes(b'no film')
    return folder


def test_training_chooses_a_threshold_with_the_best_weights(run):
    chosen = load_threshold(run)
    assert (chosen.refused, chosen.videos, chosen.protocol) == (0.25, 24, 'train_time')
    assert 1 / 24 <= chosen.value < 1 and load_run(run)[0].threshold == chosen.value


def test_evaluate_chooses_anew_by_its_own_views_and_says_what_comes_of_it(run, strangers, command, tmp_path):
    out = tmp_path / 'scores.npz'
    words = ['evaluate', '--run', run, '--split', 'val', '--protocol', '2x1', '--refuse', 0.1, '--none', strangers]
    code, text, error = command(*words, '--out', out)
    scores = Scores.load(out)
    assert code == 2 and '1 of 27 videos could not be decoded' in error  # a stranger's
    assert load_threshold(run) == choose_threshold(scores, 0.1)
    metrics = json.loads((tmp_path / 'scores.metrics.json').read_text())
    likeliest = scores.branch().max(axis=1)
    answered = likeliest >= metrics['threshold']
    assert metrics['coverage'] == answered.mean() == pytest.approx(22 / 24)
    assert metrics['answered_top1'] == (scores.branch().argmax(axis=1) == scores.labels)[answered].mean()
    assert metrics['strangers'] == 2 and metrics['false_accepts'] in (0.0, 0.5, 1.0)
    assert f'{100 * metrics["coverage"]:.1f} % of the videos of a known class are answered' in text
    code, text, _ = command('evaluate', '--run', run, '--split', 'test', '--out', tmp_path / 'test.npz', '--json')
    assert json.loads(text)['threshold'] == metrics['threshold']  # the run keeps it


def test_predict_answers_none_of_these(run, tiny_synthfg, command):
    clip = tiny_synthfg / 'test' / '00003.mp4'
    (run / FILE).write_text(json.dumps({'value': 1.0, 'refused': 0.9, 'videos': 24, 'dataset': '', 'protocol': ''}))
    code, text, _ = command('predict', clip, '--run', run, '--topk', 2, '--json')
    (answer,) = json.loads(text)
    labels, p = zip(*((row['label'], row['probability']) for row in answer['predictions']))
    assert code == 0 and labels[0] == 'none of these' and len(labels) == 3 and p[0] == pytest.approx(1 - p[1])
    assert 'none of these' in command('predict', clip, '--run', run, '--topk', 2)[1]
    (run / FILE).unlink()
    net, config = load_run(run)
    assert net.threshold is None and 'none of these' not in command('predict', clip, '--run', run)[1]
    assert 'none of these' in command('predict', clip, '--run', run, '--threshold', 1)[1]


def test_an_impossible_threshold_is_said_in_a_line(run, tiny_synthfg, error_line):
    assert '1.5' in error_line('predict', tiny_synthfg / 'test' / '00003.mp4', '--run', run, '--threshold', 1.5)


@pytest.mark.parametrize(
    'words, message',
    [
        (('--refuse', '1'), 'the share of videos that may be refused is 0 or more and below 1, got 1.0'),
        (('--none', 'videos'), 'answers every video; choose a threshold with --refuse 0.05'),
    ],
)
def test_what_cannot_be_is_said_in_a_line(words, message, run, error_line, tmp_path):
    (run / FILE).unlink(missing_ok=True)
    assert message in error_line('evaluate', '--run', run, '--split', 'val', '--out', tmp_path / 's.npz', *words)
    assert not list(tmp_path.iterdir())
