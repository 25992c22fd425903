import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from gluon_fg.errors import UserError
from gluon_fg.studies.chart import format_curves, plot_curves, read_curves

REPO = Path(__file__).resolve().parents[2]
STUDY = {
    'study': {
        'warmup_row': 'universal stage',
        'methods': {
            'one-pass': {'model.name': 'a'},
            'n = 4': {'model.name': 'b', 'train.width': 4},
            'n = 1': {'model.name': 'b', 'stages.specific.train.width': 1},
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
    assert top1.runs == {1: [0.6, 0.6], 4: [0.7, 0.9]} and top1.values == [1, 4]
    assert top1.others == {'one-pass': [0.5, 0.6], 'universal stage': [0.4, 0.5]}
    np.testing.assert_allclose(top1.mean, [0.6, 0.8])
    np.testing.assert_allclose(top1.spread, [0, np.sqrt(0.02)], atol=1e-12)
    assert top1.best == 4
    table = format_curves([top1, within]).splitlines()
    assert table[3].split() == ['4', '2', '80.0', '±', '14.1', '85.0', '±', '7.1']
    assert table[4].startswith('one-pass') and '55.0 ± 7.1' in table[4]
    assert [c.metric for c in read_curves(tmp_path / 's.json', None, ['within_group'])] == ['within_group']


def test_records(tmp_path):
    text = 'n,seed,top1,top5\n5,0,0.87,0.96\n1,0,0.8,0.9\n5,1,0.85,0.97\n,0,0.75,0.93\n'
    top1, top5 = read_curves(write(tmp_path / 'r.csv', text))
    assert top1.runs == {1: [0.8], 5: [0.87, 0.85]} and top5.others == {'without n': [0.93]}
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
        ('a.csv', 'seed\n1\n', 'must name the column of a setting'),
        ('a.csv', 'n\n1\n', 'must name the column of a setting and one for each metric, for example n,top1'),
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
        read_curves(write(tmp_path / 's.json', STUDY), None, ['top5'])
    with pytest.raises(UserError, match='has no column top5; choose from top1'):
        read_curves(write(tmp_path / 'r.csv', 'n,top1\n1,0.5\n'), None, ['top5'])
    without = {**STUDY, 'study': {'methods': {'one-pass': {}}}}
    with pytest.raises(
        UserError, match='which of its methods. settings is drawn over.* none of them differ in a number'
    ):
        read_curves(write(tmp_path / 'w.json', without))


def test_the_setting_is_named_or_the_one_that_differs(tmp_path):
    path = write(tmp_path / 's.json', STUDY)
    by_name = [read_curves(path, over) for over in (None, 'width', 'train.width', 'model.options.width')]
    assert all(curves == by_name[0] for curves in by_name) and by_name[0][0].setting == 'width'
    with pytest.raises(UserError, match='no method has train.depth in its settings; choose from width'):
        read_curves(path, 'train.depth')
    two = json.loads(json.dumps(STUDY))
    for n, settings in enumerate(two['study']['methods'].values()):
        settings['train.depth'] = n
    with pytest.raises(UserError, match='which of its methods. settings .* --over KEY: choose from depth, width'):
        read_curves(write(tmp_path / 'two.json', two))
    assert read_curves(tmp_path / 'two.json', 'depth')[0].values == [0, 1, 2]
    lines = write(tmp_path / 'r.csv', 'seed,top1,n\n0,0.5,3\n')
    assert read_curves(lines, 'n')[0].runs == {3: [0.5]}
    with pytest.raises(UserError, match='must name the column m '):
        read_curves(lines, 'm')


def test_the_published_study_is_drawn_as_before(tmp_path):
    """The picture in docs is of a result file of a former version, which has the setting in another section."""
    (within,) = read_curves(REPO / 'model_zoo' / 'studies' / 'u2s_n_synthfg.json', metrics=['within_group'])
    assert within.values == [1, 2, 4, 8, 24] and list(within.others) == ['universal stage', 'one-pass']
    label = 'n: classes that a prediction selects, on average'
    plot_curves([within], tmp_path / 'n.png', 'Accuracy against n', label)
    new, old = (
        cv2.imread(str(path)).astype(int) for path in (tmp_path / 'n.png', REPO / 'docs' / 'accuracy_over_n.png')
    )
    assert new.shape == old.shape and np.abs(new - old).mean() < 0.5
