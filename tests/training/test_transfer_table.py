"""`gluon-fg transfer`: three runs, kept when finished, and a table whose last column is that of the slides."""

import json
import re

import miniatures
import numpy as np
import pytest
from test_transfer import folders, trained_on_kinetics  # noqa: F401

from gluon_fg.evaluation.score import Scores
from gluon_fg.training import record
from gluon_fg.training.config import load_config
from gluon_fg.training.transfer_table import error_change, format_table, plan, tabulate

# Carreira and Zisserman, results on transfer: original, fixed, full and the last column, %
SLIDES = {
    'ucf101': {
        'a': (81.0, 81.6, 82.1, -6),
        'b': (49.2, 76.0, 79.9, -60.5),
        'c': (91.2, 90.3, 91.5, -3.4),
        'd': (89.3, 88.5, 90.1, -7.5),
        'e': (93.4, 95.7, 96.5, -47.0),
    },
    'hmdb51': {
        'a': (36.0, 46.6, 46.4, -16.7),
        'b': (24.3, 47.5, 49.4, -33.1),
        'c': (58.3, 64.0, 58.7, -13.7),
        'd': (56.8, 59.0, 61.4, -10.6),
        'e': (66.4, 74.3, 75.9, -28.3),
    },
}
ROWS = [(dataset, row, *values) for dataset, rows in SLIDES.items() for row, values in rows.items()]
OFF_BY_A_DIGIT = {('ucf101', 'b'), ('hmdb51', 'a'), ('hmdb51', 'b')}  # computed from accuracies that are not rounded


@pytest.mark.parametrize('dataset, row, original, fixed, full, shown', ROWS)
def test_the_last_column_is_the_slides_own(dataset, row, original, fixed, full, shown):
    """The change of error to the better of fixed and full: with full alone (c) on HMDB51 would be -1 %."""
    best = max(fixed, full)
    computed = 100 * error_change(original / 100, best / 100)
    half = 0.5 if isinstance(shown, int) else 0.05
    assert (abs(computed - shown) > half + 1e-9) == ((dataset, row) in OFF_BY_A_DIGIT)
    low, high = (100 * error_change((original - s) / 100, (best + s) / 100) for s in (0.05, -0.05))
    assert low - half <= shown <= high + half  # what accuracies that round to these can give


def test_the_change_of_error_is_a_share_of_it():
    assert error_change(0.5, 0.75) == -0.5 and error_change(0.5, 0.25) == 0.5
    assert error_change(1.0, 1.0) is None and error_change(0.3, 0.3) == 0
    assert round(100 * error_change(0.583, 0.587), 1) == -1.0  # not the slides' -13.7


def test_three_runs_and_their_table(command, folders, tmp_path):  # noqa: F811
    """Started again it trains nothing; where a run is missing it trains that one."""
    trained_on_kinetics('i3d_tiny_custom', tmp_path / 'kinetics.params')
    out = tmp_path / 'runs'
    settings = ('model.name=i3d_tiny_custom', f'data.root={folders}', f'model.start={tmp_path / "kinetics.params"}')
    short = ('data.short_side=56', 'data.crop_size=48', 'train.epochs=1', 'train.batch_size=4', 'data.workers=1')
    words = ('transfer', 'custom/i3d_tiny_custom_dfb', '--out', out, '--set', *settings, *short)
    code, printed, err = command(*words)
    assert code == 0, err
    starts = dict(re.findall(r'^(original|fixed|full): (.*)$', printed, re.M))
    assert starts['original'] == 'random weights' and starts['fixed'] == starts['full']
    assert starts['full'].startswith(f'{tmp_path}/kinetics.params: ') and 'stay as initialized' in starts['full']
    numbers = json.loads((out / 'transfer.json').read_text())
    (row,) = numbers['splits']
    assert row['videos'] == 4 and numbers['model'] == 'i3d_tiny_custom' and numbers['protocol'] == '5x1'
    for name in ('original', 'fixed', 'full'):
        code, text, err = command(
            'evaluate', '--run', out / name, '--split', 'val', '--out', tmp_path / f'{name}.npz', '--json'
        )
        assert code == 0, err
        assert json.loads(text)['top1'] == row[name] == numbers['mean'][name]
    cells = [f'{100 * row[name]:.1f}' for name in ('original', 'fixed', 'full')]
    assert re.search(rf'^folder val +4 +{" +".join(cells)} +', printed, re.M)
    assert f'| folder val | 4 | {" | ".join(cells)} |' in (out / 'transfer.md').read_text()
    published = record.public_config(out / 'fixed', 'x')
    assert '\n  start: kinetics.params\n  transfer: fixed\n' in published and str(tmp_path) not in published
    run_config = load_config(str(out / 'fixed/config.yaml'))
    assert record.source(out / 'fixed', run_config, 'best').endswith('seed 0, warm start, transfer fixed')
    files = [out / name / 'final.params' for name in ('original', 'fixed', 'full')]
    before = [path.stat().st_mtime_ns for path in files]
    code, again, err = command(*words)
    assert code == 0 and [path.stat().st_mtime_ns for path in files] == before, err
    assert again.count('is already finished') == 3 and again.endswith(printed[printed.index('i3d_tiny_custom on') :])
    (out / 'full/summary.json').unlink()
    code, third, err = command(*words)
    assert code == 0 and third.count('is already finished') == 2 and 'full: ' in third, err


def test_an_official_split_is_trained_and_tested_on_its_own_lists(command, tmp_path):
    root = miniatures.hmdb51(tmp_path / 'hmdb51')
    trained_on_kinetics('r2d_tiny_custom', tmp_path / 'kinetics.params')
    (tmp_path / 'c.yaml').write_text(
        f'model: {{name: r2d_tiny_custom, start: {tmp_path}/kinetics.params}}\n'
        f'data: {{dataset: hmdb51, root: {root}, frames: 2, short_side: 32, crop_size: 32, workers: 1}}\n'
        'train: {epochs: 1, batch_size: 16, lr_epochs: []}\n'
        'test: {val_epochs: 0}\n'
    )
    code, printed, err = command('transfer', tmp_path / 'c.yaml', '--out', tmp_path / 'runs', '--splits', '2', '3')
    assert code == 0, err
    assert re.search(r'^hmdb51 test2 +51 ', printed, re.M) and re.search(r'^hmdb51 test3 +51 ', printed, re.M)
    numbers = json.loads((tmp_path / 'runs/transfer.json').read_text())
    assert numbers['mean']['full'] == pytest.approx(sum(row['full'] for row in numbers['splits']) / 2)
    saved = Scores.load(next((tmp_path / 'runs/split2/fixed').glob('scores_*.npz')))
    assert saved.dataset == 'hmdb51 test2' and all(name.endswith('_cm_np1_fr_med_1.avi') for name in saved.ids)


def scores(split, right, videos, failed=()):
    """A network that is right in `right` of so many videos."""
    labels = np.arange(videos) % 4
    p = np.full((videos, 1, 4), 0.1, np.float32)
    for i, label in enumerate(labels):
        p[i, 0, label if i < right else (label + 1) % 4] = 0.7
    ids = tuple(f'{split}-{i}' for i in range(videos))
    return Scores(
        ids, labels, p, ('avg',), tuple('abcd'), None, '30view', dict.fromkeys(failed, ''), 'net', f'x {split}'
    )


def test_every_split_counts_the_same(tmp_path):
    rights = {'original': (10, 4), 'fixed': (15, 6), 'full': (12, 7)}
    done = []
    for number, videos in ((1, 20), (2, 10)):
        for part in plan(None, ['data.dataset=hmdb51'], tmp_path, (1, 2)):
            if part.split == f'split{number}':
                done.append((part, scores(f'test{number}', rights[part.transfer][number - 1], videos, failed=['lost'])))
    result = tabulate(done)
    assert [row['original'] for row in result['splits']] == [0.5, 0.4]
    assert result['splits'][0]['error_change'] == -0.5 and result['splits'][0]['error_change_full'] == pytest.approx(
        -0.2
    )
    assert result['mean']['fixed'] == pytest.approx((0.75 + 0.6) / 2)
    best = max(result['mean']['fixed'], result['mean']['full'])
    assert result['mean']['error_change'] == pytest.approx((0.45 - best) / 0.55)
    text = format_table(result)
    assert re.search(r'^mean of 2 splits +45\.0 +67\.5 +65\.0 +-40\.9$', text, re.M)
    assert text.count('1 videos failed') == 6


def test_the_configs_of_the_runs_differ_in_where_they_start(tmp_path):
    """A config that fine-tunes a file of its own says what fixed and full start from."""
    by_name = {part.transfer: part for part in plan('configs/cidc/r2d_resnet50_v1_ucf101.yaml', [], tmp_path)}
    file = 'runs/r2d_resnet50_v1_kinetics400/final.params'
    assert [by_name[name].config.model.start for name in ('original', 'fixed', 'full')] == [None, file, file]
    assert {part.config.model.params for part in by_name.values()} == {None}
    assert by_name['fixed'].folder == tmp_path / 'fixed'
    given = ('data.dataset=ucf101', 'model.name=i3d_inceptionv1_same_ucf101', 'model.start=none')
    made = plan(None, given, tmp_path, (3, 1))
    assert [part.folder for part in made[::3]] == [tmp_path / 'split3/original', tmp_path / 'split1/original']
    assert [part.config.data.train_split for part in made] == ['train3'] * 3 + ['train1'] * 3
    assert [part.config.model.start for part in made[:3]] == ['none', None, None]
    assert plan(None, given, tmp_path, (), 'imagenet')[0].config.model.start == 'imagenet'


@pytest.mark.parametrize(
    'words, line',
    [
        (('--splits', '4', '--set', 'data.dataset=ucf101'), '--splits 4: unknown split of ucf101; choose from 1, 2, 3'),
        (('--splits', '2', '2', '--set', 'data.dataset=hmdb51'), '--splits names split 2 twice; name each once'),
        (('--splits', '1'), '--splits 1: folder has no numbered splits; leave out --splits'),
        (('--splits', 'all'), '--splits all: it takes numbers of splits, for example --splits 1 2 3'),
        (('--original', 'kinetics400'), 'model.transfer is original and model.start is kinetics400'),
        (('--set', 'data.features=f'), 'data.features is f, which are of one network, and'),
        (('--set', 'model.transfr=full'), 'unknown key model.transfr; did you mean model.transfer?'),
    ],
)
def test_mistakes_are_one_line(error_line, tmp_path, words, line):
    assert line in error_line('transfer', 'custom/i3d_tiny_custom_dfb', '--out', tmp_path / 'runs', *words)
    assert not (tmp_path / 'runs').exists()


def test_what_a_later_run_lacks_is_said_before_the_first_is_trained(
    error_line,
    folders,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    monkeypatch.setenv('MXNET_GLUON_REPO', 'file:///nowhere')
    trained_on_kinetics('i3d_tiny_custom', tmp_path / 'kinetics.params')
    start = f'model.start={tmp_path / "kinetics.params"}'
    words = ('transfer', 'custom/i3d_tiny_custom_dfb', '--out', tmp_path / 'runs', '--set', f'data.root={folders}')
    assert 'tset' in error_line(*words, start, '--split', 'tset')
    assert error_line(*words).startswith(
        'error: fixed: model.transfer fixed: no Kinetics-400 weights of i3d_tiny are pub'
    )
    line = error_line(*words, start, 'model.name=tsn_resnet18_v1b_custom')
    assert line.startswith('error: original: model.start imagenet: ')
    assert line.endswith('; --original none starts from random weights')
    assert not (tmp_path / 'runs').exists()
