"""`gluon-fg explain groups`, and its table in the commands that take one."""

import json

import numpy as np
import pytest

from gluon_fg.data.catalog import label_set
from gluon_fg.data.class_groups import read_groups
from gluon_fg.evaluation.score import Scores

CLASSES = ('open door', 'wax legs', 'close door', 'wax back')


@pytest.fixture
def scores(tmp_path):
    """Two score files of classes that are mixed up with their like."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 60)
    alike = np.eye(4) + 0.9 * (np.abs(np.subtract.outer(range(4), range(4))) == 2)
    for name, skill in (('a', 1.0), ('b', 2.0)):
        z = rng.normal(size=(60, 4)) + skill * 3 * alike[labels]
        p = (np.exp(z) / np.exp(z).sum(1, keepdims=True)).astype(np.float32)
        ids = tuple(f'{i}.mp4' for i in range(60))
        Scores(ids, labels, p[:, None], ('fused',), CLASSES, None, '1x1', {}, name, 'mine').save(
            tmp_path / f'{name}.npz'
        )
    return tmp_path


def test_groups_are_made_and_taken_everywhere(command, scores):
    table = scores / 'groups.csv'
    code, out, _ = command('explain', 'groups', scores / 'a.npz', '--out', table)
    assert code == 0 and '4 classes in 2 groups' in out and 'door: open door, close door' in out
    assert f'next: gluon-fg report {scores / "a.npz"} --groups {table}' in out
    assert read_groups(table, CLASSES) == ('door', 'wax', 'door', 'wax')
    code, out, _ = command('compare', scores / 'a.npz', scores / 'b.npz', '--groups', table)
    assert code == 0 and 'within_group' in out and 'wax' in out
    code, out, _ = command('compare', scores / 'a.npz', scores / 'b.npz')
    assert 'within_group' not in out  # the files themselves have none
    code, out, _ = command('fuse', scores / 'a.npz', scores / 'b.npz', '--groups', table, '--out', scores / 'f.npz')
    assert code == 0 and Scores.load(scores / 'f.npz').groups == ('door', 'wax', 'door', 'wax')
    picture = ('explain', 'confusion', scores / 'a.npz', '--groups', table, '--out', scores / 'c.png')
    assert command(*picture, '--group', 'wax')[0] == 0 and (scores / 'c.png').stat().st_size > 5000


def test_numbers_for_programs_and_a_number_of_ones_own(command, scores):
    code, out, _ = command('explain', 'groups', scores / 'a.npz', '--out', scores / 'g.csv', '--number', '3', '--json')
    told = json.loads(out)
    assert code == 0 and len(told['groups']) == 3 and told['best'] == 2 and told['silhouette'] < 1
    assert sorted(sum(told['groups'].values(), [])) == sorted(CLASSES)


def test_features_of_a_network_make_groups(command, tmp_path, tiny_synthfg):
    out = tmp_path / 'groups.csv'
    data = ('--root', tiny_synthfg, '--split', 'test')
    code, text, _ = command('explain', 'groups', '--model', 'i3d_tiny_synthfg', *data, '--number', '6', '--out', out)
    assert code == 0 and '24 classes in 6 groups by the features of 24 videos' in text
    labels = label_set('synthfg')
    made, true = np.array(read_groups(out, labels.classes)), np.array(labels.groups)
    same, truly = made[:, None] == made, true[:, None] == true
    both = (same & truly).sum()  # of one video a class; chance has a sixth of the pairs
    assert both / truly.sum() > 0.6 and both / same.sum() > 0.4


def test_mistakes_are_told_in_a_line(error_line, scores):
    file = scores / 'a.npz'
    assert 'give either a score file, or a network' in error_line('explain', 'groups', '--out', scores / 'g.csv')
    assert 'name the table to write with --out FILE.csv' in error_line('explain', 'groups', file)
    assert 'choose 1 to 4' in error_line('explain', 'groups', file, '--number', '0', '--out', scores / 'g.csv')
    assert 'ends in .csv' in error_line('explain', 'groups', file, '--out', scores / 'g.txt')
    (scores / 'there.csv').write_text('class,group\nopen door,x\n')
    assert 'use --force' in error_line('explain', 'groups', file, '--out', scores / 'there.csv')
    line = error_line('compare', file, scores / 'b.npz', '--groups', scores / 'there.csv')
    assert "3 of 4 classes have no group, such as 'wax legs'" in line
