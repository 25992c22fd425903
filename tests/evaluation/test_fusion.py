"""Late fusion of score files: two streams as one prediction."""

import json
from pathlib import Path

import numpy as np
import pytest

from gluon_fg.errors import UserError
from gluon_fg.evaluation.fusion import fuse_scores
from gluon_fg.evaluation.score import Scores

REPO = Path(__file__).resolve().parents[2]
CLASSES = ('open', 'close', 'pour')


def scores(model, probabilities, ids='abcd', labels=(0, 1, 2, -1), **changes):
    fused = np.array(probabilities, np.float32)
    given = dict(
        ids=tuple(ids),
        labels=np.array(labels, np.int64),
        probabilities=np.stack([fused, fused[:, ::-1]], axis=1),  # a second branch, which does not count
        branch_names=('fused', 'local'),
        classes=CLASSES,
        groups=None,
        protocol='10crop',
        failed={'z': 'cut short'},
        model=model,
        dataset='test',
    )
    return Scores(**{**given, **changes})


RGB = [[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.2, 0.5, 0.3], [1, 0, 0]]
FLOW = [[0.2, 0.7, 0.1], [0.1, 0.9, 0.0], [0.1, 0.2, 0.7], [0, 0, 1]]


def test_the_mean_of_the_predictions_video_by_video():
    turned = [3, 1, 0, 2]
    flow = scores('flow', np.array(FLOW)[turned], ''.join('abcd'[i] for i in turned), np.array([0, 1, 2, -1])[turned])
    both = fuse_scores([scores('rgb', RGB), flow], weights=[1, 1.5])
    assert (
        both.branch_names == ('fused', 'rgb', 'flow')
        and both.ids == tuple('abcd')
        and both.failed == {'z': 'cut short'}
    )
    np.testing.assert_allclose(both.branch(), (np.array(RGB) + 1.5 * np.array(FLOW)) / 2.5, rtol=1e-6)
    np.testing.assert_array_equal(both.branch('rgb'), np.float32(RGB))
    np.testing.assert_array_equal(both.branch('flow'), np.float32(FLOW))
    alone = fuse_scores([scores('rgb', RGB), flow], weights=[0, 2])
    np.testing.assert_allclose(alone.branch(), FLOW, rtol=1e-6)
    three = fuse_scores([scores('net', RGB), flow, scores('net', FLOW)])
    assert three.branch_names == ('fused', 'net 1', 'flow', 'net 3')
    np.testing.assert_allclose(three.branch(), (np.array(RGB) + 2 * np.array(FLOW)) / 3, rtol=1e-6)


@pytest.mark.parametrize(
    'others, weights, message',
    [
        ([], None, 'two networks or more, got 1'),
        ([scores('flow', FLOW)], [1], 'give 2 numbers'),
        ([scores('flow', FLOW)], [1, -1], 'give 2 numbers'),
        ([scores('flow', FLOW)], [0, 0], 'not all of them 0'),
        ([scores('flow', FLOW)], [1, float('nan')], 'give 2 numbers'),
        ([scores('flow', FLOW, 'abce')], None, 'not of the same videos'),
        ([scores('flow', FLOW, labels=(0, 1, 1, -1))], None, 'c has label 2 in rgb and 1 in flow'),
        ([scores('flow', FLOW, classes=('a', 'b', 'c'))], None, 'other classes'),
    ],
)
def test_what_cannot_be_fused(others, weights, message):
    with pytest.raises(UserError, match=message):
        fuse_scores([scores('rgb', RGB), *others], weights)


@pytest.mark.parametrize('names', [['one'], ['one', 'one'], ['one', 'fused'], []])
def test_names_are_one_for_each(names):
    with pytest.raises(UserError, match='give 2 different ones, none of them fused'):
        fuse_scores([scores('rgb', RGB), scores('flow', FLOW)], names=names)


def test_the_command_prints_and_writes_what_evaluate_does(tmp_path, command_done):
    scores('rgb', RGB).save(tmp_path / 'rgb.npz')
    scores('flow', FLOW).save(tmp_path / 'flow.npz')
    words = ['fuse', tmp_path / 'rgb.npz', tmp_path / 'flow.npz']
    words += ['--out', tmp_path / 'both.npz', '--names', 'appearance', 'motion']
    done = command_done(*words)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / 'both.metrics.json').read_text())
    # By hand: 'a' is called 1 (0.4, 0.5), 'b' 1, 'c' 2 by their mean; RGB alone is right on 'a', flow on 'b' and 'c'.
    assert summary['top1'] == pytest.approx(2 / 3) and summary['branches']['appearance']['top1'] == pytest.approx(1 / 3)
    assert 'appearance' in done.stdout and 'motion' in done.stdout
    assert Scores.load(tmp_path / 'both.npz').model == 'rgb + flow' and (tmp_path / 'both.per_class.csv').is_file()
    again = command_done(*words)
    assert again.returncode == 2 and 'is there already; use --force' in again.stderr
