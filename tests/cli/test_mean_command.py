"""`gluon-fg mean` and `gluon-fg submission`: what is made of the score files of several splits, or of a test list."""

import dataclasses
import json
import re

import numpy as np
import pytest

from gluon_fg.data import label_set
from gluon_fg.evaluation.score import Scores

NAMES = label_set('hmdb51').classes


def scores(split, right, videos, model='r2d_hmdb51', failed=()):
    """A network that is right in `right` of `videos` videos, and has the true class second in the others."""
    labels = np.arange(videos) % len(NAMES)
    p = np.zeros((videos, 2, len(NAMES)), np.float32)
    for i, label in enumerate(labels):
        p[i, 0, label], p[i, 0, (label + 1) % len(NAMES)] = (0.6, 0.4) if i < right else (0.4, 0.6)
        p[i, 1, (label + 1) % len(NAMES)] = 1  # a branch that is never right
    ids = tuple(f'videos/x/{split}-{i}.avi' for i in range(videos))
    failed = dict.fromkeys(failed, 'broken')
    return Scores(ids, labels, p, ('fused', 'other'), NAMES, None, '30view', failed, model, f'hmdb51 {split}')


@pytest.fixture
def saved(tmp_path):
    """saved(Scores...) -> their paths."""

    def save(*made):
        for number, each in enumerate(made):
            each.save(tmp_path / f'{number}.npz')
        return [tmp_path / f'{number}.npz' for number in range(len(made))]

    return save


def test_the_mean_over_three_splits(command, saved, tmp_path):
    """Each split counts the same, whatever its size: (54/102 + 30/51 + 3/204) / 3."""
    paths = saved(scores('test1', 54, 102), scores('test2', 30, 51, failed=['lost']), scores('test3', 3, 204))
    code, out, err = command('mean', *paths, '--out', tmp_path / 'mean.json')
    assert (code, err) == (0, '') and 'r2d_hmdb51 on hmdb51, protocol 30view, branch fused' in out
    assert re.search(r'^hmdb51 test1 +102 +54 +52\.94 +100\.00 .* -$', out, re.M)
    assert re.search(r'^hmdb51 test2 +51 +30 +58\.82 +100\.00 .* 1$', out, re.M)
    assert re.search(r'^hmdb51 test3 +204 +3 +1\.47 ', out, re.M)
    assert re.search(r'^mean of 3 splits +37\.75 +100\.00', out, re.M) and 'note' not in out
    numbers = json.loads((tmp_path / 'mean.json').read_text())
    assert numbers['mean']['top1'] == pytest.approx((54 / 102 + 30 / 51 + 3 / 204) / 3, abs=1e-15)
    assert [row['correct'] for row in numbers['splits']] == [54, 30, 3]
    assert json.loads(command('mean', *paths, '--branch', 'other', '--json')[1])['mean']['top1'] == 0
    assert 'note: hmdb51 has 3 splits, these are 2' in command('mean', *paths[:2])[1]


def changed(**fields):
    return lambda made: dataclasses.replace(made, **fields)


@pytest.mark.parametrize(
    'change, message',
    [
        (changed(model='other'), 'differ in the network, r2d_hmdb51 and other; the mean is of one network'),
        (changed(protocol='5x3'), 'differ in the protocol, 30view and 5x3'),
        (changed(dataset='ucf101 test2'), 'differ in the dataset, hmdb51 and ucf101'),
        (changed(classes=(NAMES[1], NAMES[0], *NAMES[2:])), "has class 'brush_hair' as number 0, .* has 'cartwheel'"),
        (changed(branch_names=('fused', 'avg')), 'differ in the branches, fused, other and fused, avg'),
        (changed(dataset='hmdb51 test1'), r'are of the same split \(hmdb51 test1\); give a score file of each'),
        (lambda made: scores('test1', 1, 51), 'are of the same split'),
        (changed(labels=np.full(51, -1)), '1.npz: no video has a label, so there is no accuracy'),
    ],
)
def test_what_has_no_mean_is_refused(error_line, saved, change, message):
    paths = saved(scores('test1', 54, 102), change(scores('test2', 30, 51)))
    assert re.search(message, error_line('mean', *paths))


def test_one_file_and_the_same_file_twice_have_no_mean(error_line, saved):
    paths = saved(scores('test1', 54, 102))
    assert 'takes the score files of two splits or more, got 1' in error_line('mean', *paths)
    assert 'are of the same split' in error_line('mean', *paths, *paths)
    assert 'no branch' in error_line('mean', *saved(scores('test1', 1, 51), scores('test2', 1, 51)), '--branch', 'x')


def test_lists_of_ones_own_may_have_one_name(command, saved):
    pair = [dataclasses.replace(scores(f'test{i}', 10 * i, 51), dataset='csv val') for i in (1, 2)]
    assert re.search(r'mean of 2 splits +29\.41', command('mean', *saved(*pair))[1])


# The test lists of Something-Something -----------------------------------------------------------------------------


def scores_of_test_list(dataset, order, classes=None):
    classes = classes or label_set(dataset).classes
    p = np.zeros((2, 1, len(classes)), np.float32)
    for row, likeliest in zip(p, order):
        row[0, likeliest] = np.arange(len(likeliest), 0, -1) / 100
    ids = (f'20bn-{dataset}/1420.webm', f'20bn-{dataset}/21')
    failed = {f'20bn-{dataset}/3.webm': 'broken'}
    return Scores(ids, np.array([-1, -1]), p, ('fused',), classes, None, 'train_time', failed, 'net', f'{dataset} test')


def test_submissions_have_the_servers_forms(command, error_line, saved, tmp_path):
    """As mit-han-lab/temporal-shift-module writes them (test_models.py, --csv_file)."""
    order = [[173, 0, 5, 7, 9, 11], [2, 1, 0, 173, 172, 171]]
    (path,) = saved(scores_of_test_list('sthsthv2', order))
    code, out, err = command('submission', path, '--out', tmp_path / 'two.csv')
    assert code == 0 and '3 videos of sthsthv2 test' in out and '1 of them could not be decoded' in err
    lines = (tmp_path / 'two.csv').read_text().splitlines()
    assert lines[:2] == ['1420;173;0;5;7;9', '21;2;1;0;173;172'] and len(lines[2].split(';')) == 6
    assert lines[2] == '3;0;173;2;1;5'  # the mean of both: 5 + 4 and 6 + 3 hundredths, then 6, 5, 4
    assert 'is there already' in error_line('submission', path, '--out', tmp_path / 'two.csv')
    (path,) = saved(scores_of_test_list('sthsthv1', order))
    assert command('submission', path, '--out', tmp_path / 'one.csv')[0] == 0
    lines = (tmp_path / 'one.csv').read_text().splitlines()
    assert lines[0] == '1420;Poking a hole into some substance'
    assert lines[1] == '21;Turning the camera left while filming something'


def test_official_numbers_are_those_of_the_names(command, saved, tmp_path):
    """A network whose classes stand in another order gives the same lines."""
    classes = label_set('sthsthv2').classes
    turned = [[173 - i for i in row] for row in ([173, 0, 5, 7, 9], [2, 1, 0, 173, 172])]
    (path,) = saved(scores_of_test_list('sthsthv2', turned, classes[::-1]))
    assert command('submission', path, '--out', tmp_path / 'two.csv')[0] == 0
    assert (tmp_path / 'two.csv').read_text().splitlines()[:2] == ['1420;173;0;5;7;9', '21;2;1;0;173;172']


def test_other_scores_are_no_submission(error_line, saved, tmp_path):
    out = tmp_path / 'out.csv'
    line = error_line('submission', *saved(scores('test1', 3, 51)), '--out', out)
    assert "unknown dataset with a test server 'hmdb51'; choose from sthsthv1, sthsthv2" in line
    made = scores_of_test_list('sthsthv2', [[1], [2]])
    line = error_line('submission', *saved(dataclasses.replace(made, ids=('a/1.webm', 'b/1.webm'))), '--out', out)
    assert 'video 1 twice' in line
    strange = dataclasses.replace(made, classes=('Holding', *made.classes[1:]))
    assert "unknown class 'Holding'" in error_line('submission', *saved(strange), '--out', out)
    assert not out.exists()
