import dataclasses
import json
import re

import cv2
import numpy as np
import pytest

from gluon_fg.data.catalog import label_set
from gluon_fg.data.catalog.kinetics_parents import PARENTS
from gluon_fg.evaluation.score import Scores


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    classes, labels = ('open', 'close', 'wax legs', 'wax back'), rng.integers(0, 4, 40)
    paths = []
    for name, skill in (('base', 0.5), ('ours', 1.5)):
        z = rng.normal(size=(40, 2, 4)) + skill * np.eye(4)[labels][:, None]
        p = (np.exp(z) / np.exp(z).sum(-1, keepdims=True)).astype(np.float32)
        ids, groups = tuple(f'{i}.mp4' for i in range(40)), ('door', 'door', 'wax', 'wax')
        made = Scores(ids, labels, p, ('comb', 'avg'), classes, groups, 'train_time', {}, name, 'set')
        made.save(tmp_path / f'{name}.npz')
        paths.append(tmp_path / f'{name}.npz')
    return paths


def test_tables_and_json(command, files, tmp_path):
    code, out, _ = command('compare', *files, '--branch-a', 'avg', '--out', tmp_path / 'c.json')
    assert code == 0
    numbers = json.loads((tmp_path / 'c.json').read_text())
    a, b = (Scores.load(path) for path in files)
    difference = (b.branch().argmax(1) == b.labels).mean() - (a.branch('avg').argmax(1) == a.labels).mean()
    assert numbers['metrics']['top1']['difference'] == pytest.approx(difference)
    assert f'{100 * difference:+.1f}' in out and 'p (exact McNemar)' in out and '(base, avg, train_time)' in out
    for word in ('door', 'wax', 'most confused: true class', 'within_group'):
        assert word in out


def test_parents_of_kinetics(command, error_line, files, tmp_path):
    labels, rng = label_set('kinetics400'), np.random.default_rng(0)
    truth = np.repeat(np.arange(400), 3)
    right, paths = rng.random((2, len(truth))) < [[0.5], [0.7]], []
    for name, hits in zip('ab', right):
        p = np.full((len(truth), 1, 400), 1e-4, np.float32)
        p[np.arange(len(truth)), 0, np.where(hits, truth, (truth + 1) % 400)] = 0.9
        ids = tuple(map(str, range(len(truth))))
        paths.append(tmp_path / f'{name}.npz')
        Scores(ids, truth, p, ('fused',), labels.classes, labels.groups, '1x1', {}, name, 'set').save(paths[-1])
    code, out, _ = command('compare', *paths, '--parents', '--out', tmp_path / 'c.json')
    rows = {row['name']: row for row in json.loads((tmp_path / 'c.json').read_text())['groups']}
    assert code == 0 and len(rows) == 38 and rows['hair']['videos'] == 3 * 14 and rows['waxing']['videos'] == 3 * 4
    children = [i for i in range(400) if labels.classes[i] in {name.replace(' ', '_') for name in PARENTS['hair']}]
    expected = [hits.reshape(400, 3)[children].mean() for hits in right]
    assert (rows['hair']['a'], rows['hair']['b']) == (pytest.approx(expected[0]), pytest.approx(expected[1]))
    line = error_line('compare', *files, '--parents')
    assert (
        'parents are those of the 400 classes of Kinetics-400' in line and 'here are 4, from open to wax back' in line
    )


def test_gains_of_classes_and_pairs(command_done, files, tmp_path):
    out = {flag: tmp_path / f'gains.{flag}' for flag in ('out', 'csv', 'markdown', 'chart')}
    pair = 'wax legs/close'
    arguments = [item for flag, path in out.items() for item in (f'--{flag}', path)]
    done = command_done('compare', *files, '--per-class', '1', '--similar', pair, 'open/close', *arguments)
    assert done.returncode == 0, done.stderr
    a, b = (Scores.load(path) for path in files)
    gain = {
        name: np.mean(
            (b.branch()[a.labels == i].argmax(1) == i).astype(float) - (a.branch()[a.labels == i].argmax(1) == i)
        )
        for i, name in enumerate(a.classes)
    }
    numbers = json.loads(out['out'].read_text())['gains']
    assert {row['name']: row['gain'] for row in numbers['classes']} == pytest.approx(gain)
    assert [(p['first'], p['second']) for p in numbers['pairs']] == [('wax legs', 'close'), ('open', 'close')]
    best = numbers['classes'][0]['name']
    assert re.search(rf'^{best} .* {re.escape(format(100 * gain[best], "+.1f"))} ', done.stdout, re.M)
    pair = f'{100 * gain["wax legs"]:+.1f} / {100 * gain["close"]:+.1f}'
    assert pair in done.stdout and pair in out['markdown'].read_text()
    rows = out['csv'].read_text().splitlines()
    assert len(rows) == 5 and rows[0].startswith('name,group,videos,') and rows[1].startswith(f'{best},')
    assert cv2.imread(str(out['chart'])) is not None


def test_similar_without_names_takes_the_references_errors(command, files):
    code, out, _ = command('compare', *files, '--similar', '--pairs', 2)
    assert code == 0 and "chosen by A's errors" in out and 'gain most' not in out
    assert len(re.findall(r' / .* / ', out)) == 2
    code, out, _ = command('compare', *files)
    assert code == 0 and 'pair of classes' not in out and 'gain most' not in out


def test_bad_input_is_one_line(error_line, files, tmp_path):
    a, b = files
    other = dataclasses.replace(Scores.load(b), ids=tuple(f'{i}.avi' for i in range(40)))
    other.save(tmp_path / 'other.npz')
    (tmp_path / 'text.npz').write_text('hello')
    (tmp_path / 'there.json').write_text('mine')
    for arguments, message in (
        ([a, tmp_path / 'no.npz'], 'no score file'),
        ([tmp_path / 'text.npz', b], 'not a score file'),
        ([a, tmp_path / 'other.npz'], '40 only in .*base.npz, first 0.mp4; 40 only in .*other.npz, first 0.avi'),
        ([a, b, '--branch-b', 'local'], "no branch 'local' in these scores; choose from comb, avg"),
        ([a, b, '--out', tmp_path / 'there.json'], 'there already; use --force to replace it, or another --out'),
        ([a, b, '--json', tmp_path / 'there.json'], '--json prints the numbers and takes no file; .* --out FILE.json'),
        ([a, b, '--csv', tmp_path / 'there.json'], 'there already; use --force to replace it, or another --csv'),
        (
            [a, b, '--csv', tmp_path / 'x', '--chart', tmp_path / 'x'],
            'x is one of the given files; choose another --chart',
        ),
        ([a, b, '--markdown', a, '--force'], 'base.npz is one of the given files; choose another --markdown'),
        ([a, b, '--similar', 'opn/close'], "unknown class 'opn'; did you mean 'open'"),
        ([a, b, '--similar', 'open'], "pair 'open': write it as"),
        ([a, b, '--per-class', 0], '--per-class must be at least 1, got 0'),
    ):
        line = error_line('compare', *arguments)
        assert re.search(message, line), line
    assert (tmp_path / 'there.json').read_text() == 'mine'
