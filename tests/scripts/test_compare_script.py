import dataclasses
import json
import re

import numpy as np
import pytest

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


def test_tables_and_json(script_output, files, tmp_path):
    code, out, _ = script_output('compare.py', [*files, '--branch-a', 'avg', '--json', tmp_path / 'c.json'])
    assert code == 0
    numbers = json.loads((tmp_path / 'c.json').read_text())
    a, b = (Scores.load(path) for path in files)
    difference = (b.branch().argmax(1) == b.labels).mean() - (a.branch('avg').argmax(1) == a.labels).mean()
    assert numbers['metrics']['top1']['difference'] == pytest.approx(difference)
    assert f'{100 * difference:+.1f}' in out and 'p (exact McNemar)' in out and '(base, avg, train_time)' in out
    for word in ('door', 'wax', 'most confused: true class', 'within_group'):
        assert word in out


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
        ([a, b, '--json', tmp_path / 'there.json'], 'exists; choose another --json, or --force'),
    ):
        line = error_line('compare.py', arguments)
        assert re.search(message, line), line
    assert (tmp_path / 'there.json').read_text() == 'mine'
