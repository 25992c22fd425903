import json

import cv2
import numpy as np
import pytest

from gluon_fg.analysis.accuracy_over_n import format_curves, plot_curves, read_curves
from gluon_fg.errors import UserError

STUDY = {
    'study': {
        'warmup_row': 'universal stage',
        'methods': {
            'one-pass': {'model.name': 'a'},
            'n = 4': {'model.name': 'b', 'train.csm_n': 4},
            'n = 1': {'model.name': 'b', 'stages.specific.train.csm_n': 1},
        },
    },
    'rows': {
        'one-pass': {'top1': [0.5, 0.6], 'within_group': [0.5, 0.7]},
        'n = 4': {'top1': [0.7, 0.9], 'within_group': [0.8, 0.9]},
        'n = 1': {'top1': [0.6, 0.6], 'within_group': [0.7, 0.7]},
        'universal stage': {'top1': [0.4, 0.5], 'within_group': [0.4, 0.5]},
        'one-pass, time of n = 4': {'top1': [0.5, 0.5], 'within_group': [0.5, 0.5]},
    },
}


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_study(tmp_path):
    top1, within = read_curves(write(tmp_path / 's.json', STUDY))
    assert (top1.metric, within.metric) == ('top1', 'within_group')
    assert top1.runs == {1: [0.6, 0.6], 4: [0.7, 0.9]} and top1.n == [1, 4]
    assert top1.others == {'one-pass': [0.5, 0.6], 'universal stage': [0.4, 0.5]}
    np.testing.assert_allclose(top1.mean, [0.6, 0.8])
    np.testing.assert_allclose(top1.spread, [0, np.sqrt(0.02)], atol=1e-12)
    assert top1.best == 4
    table = format_curves([top1, within]).splitlines()
    assert table[3].split() == ['4', '2', '80.0', '±', '14.1', '85.0', '±', '7.1']
    assert table[4].startswith('one-pass') and '55.0 ± 7.1' in table[4]
    assert [c.metric for c in read_curves(tmp_path / 's.json', ['within_group'])] == ['within_group']


def test_records(tmp_path):
    text = 'n,seed,top1,top5\n5,0,0.87,0.96\n1,0,0.8,0.9\n5,1,0.85,0.97\n,0,0.75,0.93\n'
    top1, top5 = read_curves(write(tmp_path / 'r.csv', text))
    assert top1.runs == {1: [0.8], 5: [0.87, 0.85]} and top5.others == {'one-pass': [0.93]}
    assert np.isnan(top1.spread[0]) and top1.spread[1] == pytest.approx(0.02 / np.sqrt(2))
    plot_curves([top1, top5], tmp_path / 'n.png')
    image = cv2.imread(str(tmp_path / 'n.png'))
    assert image.shape[1] > 2 * image.shape[0] and image.std() > 10


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.txt', '', 'choose a study.s results'),
        ('a.json', '{}', 'not a study.s results'),
        ('a.json', '[1', 'not a study.s results'),
        ('a.csv', 'm,top1\n1,0.5\n', 'must name the column n'),
        ('a.csv', 'n\n1\n', 'must name the column n'),
        ('a.csv', 'n,top1\n1,x\n', 'line 2: n and top1 must be numbers'),
        ('a.csv', 'n,top1\n,0.5\n', 'no line has n'),
        ('a.csv', 'n,top1\n1,55\n', 'top1 55; accuracies are fractions'),
    ],
)
def test_bad_files(tmp_path, name, content, message):
    with pytest.raises(UserError, match=message):
        read_curves(write(tmp_path / name, content))


def test_bad_choices(tmp_path):
    with pytest.raises(UserError, match='no file'):
        read_curves(tmp_path / 'none.csv')
    with pytest.raises(UserError, match='the study has no top5; choose from top1, within_group'):
        read_curves(write(tmp_path / 's.json', STUDY), ['top5'])
    with pytest.raises(UserError, match='has no column top5; choose from top1'):
        read_curves(write(tmp_path / 'r.csv', 'n,top1\n1,0.5\n'), ['top5'])
    without = {**STUDY, 'study': {'methods': {'one-pass': {}}}}
    with pytest.raises(UserError, match='no method has csm_n in its settings'):
        read_curves(write(tmp_path / 'w.json', without))
