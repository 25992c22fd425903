"""Late fusion of score files: two streams as one prediction."""

import json
from pathlib import Path

import numpy as np
import pytest

from gluon_fg.errors import UserError
from gluon_fg.evaluation.fusion import fuse_scores, notes
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
        both.branch_names == ('fused', 'fused on logits', 'rgb', 'flow')
        and both.ids == tuple('abcd')
        and both.failed == {'z': 'cut short'}
    )
    np.testing.assert_allclose(both.branch(), (np.array(RGB) + 1.5 * np.array(FLOW)) / 2.5, rtol=1e-6)
    np.testing.assert_array_equal(both.branch('rgb'), np.float32(RGB))
    np.testing.assert_array_equal(both.branch('flow'), np.float32(FLOW))
    alone = fuse_scores([scores('rgb', RGB), flow], weights=[0, 2])
    np.testing.assert_allclose(alone.branch(), FLOW, rtol=1e-6)
    three = fuse_scores([scores('net', RGB), flow, scores('net', FLOW)])
    assert three.branch_names == ('fused', 'fused on logits', 'net 1', 'flow', 'net 3')
    np.testing.assert_allclose(three.branch(), (np.array(RGB) + 2 * np.array(FLOW)) / 3, rtol=1e-6)


# What the authors' networks say of v_CricketShot_g04_c01 (kinetics-i3d, out/*.txt): logits of RGB, of flow and of both,
# and the probability of both, of the classes that all of their lists of twenty have.
CRICKET = {
    'imagenet': {
        'playing cricket': (25.8566, 15.957, 41.8137, 1.0),
        'hurling (sport)': (8.68525, 12.8087, 21.494, 1.49716e-09),
        'catching or throwing baseball': (11.2544, 8.87974, 20.1341, 3.84312e-10),
        'catching or throwing softball': (10.3931, 8.83245, 19.2256, 1.54923e-10),
        'hitting baseball': (9.49032, 9.42503, 18.9154, 1.13602e-10),
        'playing tennis': (8.13307, 10.527, 18.6601, 8.80112e-11),
        'hammer throw': (7.96958, 7.6928, 15.6624, 4.39177e-12),
        'golf putting': (9.6816, 5.29558, 14.9772, 2.21341e-12),
        'shot put': (7.96686, 5.56051, 13.5274, 5.19298e-13),
    },
    'no_imagenet': {
        'playing cricket': (19.4886, 15.4269, 34.9155, 0.999958),
        'hurling (sport)': (10.9871, 13.6819, 24.669, 3.548e-05),
        'hitting baseball': (9.4847, 12.8289, 22.3136, 3.36523e-06),
        'shooting goal (soccer)': (10.9695, 10.965, 21.9345, 2.30341e-06),
        'catching or throwing baseball': (8.79147, 11.6127, 20.4042, 4.98642e-07),
    },
}


@pytest.mark.parametrize('kept', [True, False])
@pytest.mark.parametrize('pretrained', CRICKET)
def test_on_logits_it_is_what_the_authors_of_two_stream_i3d_print(pretrained, kept):
    """Also of a file that keeps probabilities alone, as the video has a single view."""
    values = np.array(list(CRICKET[pretrained].values()))
    streams = []
    for model, z in zip(('rgb', 'flow'), values.T[:2]):
        p = np.exp(z - z.max())[None] / np.exp(z - z.max()).sum()
        changes = dict(classes=tuple(CRICKET[pretrained]), protocol='train_time', failed={})
        changes['logits'] = z[None].astype(np.float32) if kept else None
        streams.append(scores(model, p, 'v', (0,), **changes))
    both = fuse_scores(streams, on='logits')
    p = both.branch()[0]
    np.testing.assert_allclose(np.log(p / p[0]), values[:, 2] - values[0, 2], rtol=0, atol=3e-4)
    np.testing.assert_allclose(p, values[:, 3], rtol=1e-3)  # what the other 391 and 395 classes have is below 1e-5
    assert (both.logits is not None) is kept
    mean = both.branch('fused on probabilities')[0]
    np.testing.assert_allclose(mean, (streams[0].branch()[0] + streams[1].branch()[0]) / 2, rtol=1e-6)


def test_logits_of_several_views_are_not_those_of_the_mean_probability():
    """Sure of one class in one view and of another in the next: the mean of the logits, by hand."""
    views = np.array([[4.0, 0, 0], [0, 6, 0]])
    p = np.exp(views) / np.exp(views).sum(1, keepdims=True)
    kept = scores('rgb', p.mean(0)[None], 'a', (0,), logits=views.mean(0)[None].astype(np.float32))
    flow = scores('flow', np.array([[0.2, 0.1, 0.7]]), 'a', (0,), logits=np.float32([[1, 0, 2.5]]))
    both = fuse_scores([kept, flow], [1, 2], on='logits')
    z = np.exp([2 + 2, 3, 5])
    np.testing.assert_allclose(both.branch()[0], z / z.sum(), rtol=1e-6)
    old = fuse_scores([scores('rgb', p.mean(0)[None], 'a', (0,)), flow], [1, 2], on='logits')
    assert np.abs(old.branch() - both.branch()).max() > 0.05, 'a stand-in that is none there'
    assert notes([kept, flow], ['a.npz', 'b.npz']) == []
    line = notes([scores('rgb', RGB), scores('flow', FLOW, protocol='3x1')], ['a.npz', 'b.npz'])
    assert line[0].startswith('a.npz was scored by 10crop, b.npz by 3x1; gluon-fg evaluate --protocol 10crop')
    assert line[1].startswith('a.npz and 1 more has no logits') and len(line) == 2


def test_of_several_labels_logits_are_log_odds():
    targets = np.array([[True, True, False]])
    z = np.array([[1.5, -0.5, -3.0]])
    p = 1 / (1 + np.exp(-z))
    rgb, flow = (scores(model, p, 'a', (0,), targets=targets) for model in ('rgb', 'flow'))
    both = fuse_scores([rgb, flow], [0.5, 1], on='logits')
    np.testing.assert_allclose(both.branch(), 1 / (1 + np.exp(-1.5 * z)), rtol=1e-5)


@pytest.mark.parametrize('on', ['probabilities', 'logits'])
def test_a_stream_of_weight_0_does_not_count_whatever_it_says(on):
    never = scores('flow', FLOW, logits=np.full((4, 3), -np.inf, np.float32))
    both = fuse_scores([scores('rgb', RGB), never], [1, 0], on=on)
    np.testing.assert_allclose(both.branch(), RGB, rtol=1e-5, atol=1e-30)


def test_a_file_keeps_its_logits_and_one_without_any_is_read(tmp_path):
    z = np.random.RandomState(0).randn(4, 3).astype(np.float32)
    turned = [2, 0, 1, 3]
    made = scores('flow', np.array(FLOW)[turned], 'cabd', np.array([0, 1, 2, -1])[turned], logits=z)
    made.save(tmp_path / 'new.npz')
    np.testing.assert_array_equal(Scores.load(tmp_path / 'new.npz').logits, z)
    both = fuse_scores([scores('rgb', RGB, logits=0 * z), Scores.load(tmp_path / 'new.npz')], on='logits')
    np.testing.assert_allclose(both.logits, z[[1, 2, 0, 3]])  # in the first file's order
    with np.load(tmp_path / 'new.npz') as arrays:
        old = {name: arrays[name] for name in arrays.files if name != 'logits'}
    np.savez_compressed(tmp_path / 'old.npz', **old)
    assert Scores.load(tmp_path / 'old.npz').logits is None
    with pytest.raises(ValueError, match='logits'):
        scores('rgb', RGB, logits=z[:3])


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
        ([scores('flow', FLOW, classes=('a', 'b', 'c'))], None, "other classes: number 0 is 'open' and 'a'"),
        (
            [scores('flow', FLOW[:3], 'abc', (0, 1, 2), failed={'d': 'd has no flow'})],
            None,
            r'1 only in rgb, first d \(it failed in the other: d has no flow\); .*score test again with gluon-fg',
        ),
        (
            [scores('flow', FLOW, 'wxyz', dataset='test2')],
            None,
            r'4 only in rgb, first a; 4 only in flow, first w; .* same split, not of test and test2: .*--split NAME',
        ),
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
    assert set(summary['branches']) == {'fused', 'fused on logits', 'appearance', 'motion'}
    assert 'note: ' in done.stderr and 'rgb.npz and 1 more has no logits' in done.stderr
    again = command_done(*words)
    assert again.returncode == 2 and 'is there already; use --force' in again.stderr


def test_the_command_makes_either_prediction_and_names_files_in_errors(tmp_path, command):
    scores('net', RGB).save(tmp_path / 'rgb.npz')
    scores('net', FLOW).save(tmp_path / 'flow.npz')
    scores('net', FLOW, 'abce').save(tmp_path / 'other.npz')
    words = ['fuse', tmp_path / 'rgb.npz', tmp_path / 'flow.npz', '--out', tmp_path / 'both.npz', '--force']
    for on, other in (('logits', 'probabilities'), ('probabilities', 'logits')):
        code, out, err = command(*words, '--on', on)
        assert code == 0 and f'fused on {other}' in out, err
        got = Scores.load(tmp_path / 'both.npz')
        assert got.branch_names == ('fused', f'fused on {other}', 'net 1', 'net 2')
        np.testing.assert_allclose(got.probabilities.sum(axis=2), 1, rtol=1e-5)
    code, _, err = command(*words, '--on', 'logit')
    assert code == 2 and "unknown way to fuse (--on) 'logit'" in err and 'logits' in err and err.count('\n') == 1
    words[2] = tmp_path / 'other.npz'
    code, _, err = command(*words)
    assert code == 2 and 'rgb.npz, first d' in err and 'other.npz, first e' in err and err.count('\n') == 1
