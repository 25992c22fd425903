"""Average precision of videos with several labels: equal to scikit-learn's, ties and absent classes included."""

import csv
import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score

from gluon_fg.errors import UserError
from gluon_fg.evaluation import metrics
from gluon_fg.evaluation.compare import compare
from gluon_fg.evaluation.fusion import fuse_scores
from gluon_fg.evaluation.precision import average_precision, class_precisions, summarize_targets
from gluon_fg.evaluation.report import report_paths, write_report
from gluon_fg.evaluation.score import Scores


def scores_of(targets, probabilities, **values):
    """Scores of one branch, or of as many as `probabilities` (N, branches, M) has."""
    targets, p = np.asarray(targets, bool), np.asarray(probabilities, np.float32)
    p = p[:, None] if p.ndim == 2 else p
    labels = np.where(targets.any(axis=1), targets.argmax(axis=1), -1)
    names = ('comb', 'avg', 'max')[: p.shape[1]]
    classes = tuple(f'class {i}' for i in range(targets.shape[1]))
    ids = tuple(map(str, range(len(targets))))
    return Scores(ids, labels, p, names, classes, None, 'train_time', {}, 'net', 'data', targets=targets, **values)


# A few values, so that ties are the rule.
columns = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        arrays(bool, n),
        arrays(np.float32, n, elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1, width=32)),
    )
)


@given(columns)
def test_average_precision_is_scikit_learns(column):
    targets, p = column
    if not targets.any():
        assert np.isnan(average_precision(targets, p))
    else:
        assert average_precision(targets, p) == pytest.approx(average_precision_score(targets, p), abs=1e-12)
        order = np.random.default_rng(0).permutation(len(p))
        assert average_precision(targets[order], p[order]) == pytest.approx(average_precision(targets, p), abs=1e-12)


def test_average_precision_by_hand():
    """Positives at ranks 1 and 3: (1/1 + 2/3) / 2; all tied: the share of positives."""
    assert average_precision([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6]) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision([1, 0, 1, 0], [0.5] * 4) == 0.5
    assert average_precision([0, 1], [0.1, 0.9]) == 1.0


def test_mmaction2s_own_test_gives_its_numbers():
    """Figures of MMAction2's tests/test_metrics/test_accuracy.py, branch 0.x."""
    p = [[0.1, 0.2, 0.3, 0.4], [0.2, 0.3, 0.4, 0.1], [0.3, 0.4, 0.1, 0.2], [0.4, 0.1, 0.2, 0.3]]
    first = metrics.summarize(scores_of([[1, 1, 0, 0], [1, 0, 1, 1], [1, 0, 1, 0], [1, 1, 0, 1]], p))
    assert first['map'] == pytest.approx(2 / 3)
    second = scores_of([[0, 1, 0, 1], [0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 1, 1]], p)
    assert class_precisions(second) == pytest.approx([0.5, 0.5833333333333333, 0.8055555555555556, 1.0])


def test_mean_average_precision_is_scikit_learns_over_the_classes_that_occur():
    rng = np.random.default_rng(3)
    targets = rng.random((60, 9)) < 0.2
    targets[:, 4] = False  # a class that no video shows
    p = np.round(rng.random((60, 2, 9)), 1)
    summary = metrics.summarize(scores_of(targets, p))
    present = [label for label in range(9) if label != 4]
    for branch, name in enumerate(('comb', 'avg')):
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            theirs = average_precision_score(targets[:, present], p[:, branch][:, present], average='macro')
        assert summary['branches'][name]['map'] == pytest.approx(theirs, abs=1e-7)
    assert summary['map'] == summary['branches']['comb']['map'] and summary['map_classes'] == 8
    assert summary['per_class'][4]['ap'] is None and summary['per_class'][4]['videos'] == 0
    assert [row['videos'] for row in summary['per_class']] == targets.sum(axis=0).tolist()
    assert summary['labelled'] == summary['scored'] == 60
    assert json.loads(json.dumps(summary)) == summary


def test_top_answers_count_where_they_are_among_the_videos_classes():
    targets = [[1, 1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0], [0] * 7]
    p = [[0.1, 0.9, 0.5, 0, 0, 0, 0], [0.9, 0.8, 0.1, 0.7, 0.6, 0.5, 0.4], [0.9] * 7]
    summary = summarize_targets(scores_of(targets, p))
    assert summary['top1'] == 0.5 and summary['top5'] == 0.5  # the third video shows none, and is not asked
    assert metrics.chosen_by(summary) == 'map' and metrics.chosen_by({'top1': 0.5, 'map': None}) == 'top1'


def test_scores_keep_their_targets_and_old_files_have_none(tmp_path):
    scores = scores_of([[1, 0, 1], [0, 0, 0]], [[0.9, 0.1, 0.8], [0.2, 0.1, 0.3]])
    scores.save(tmp_path / 's.npz')
    loaded = Scores.load(tmp_path / 's.npz')
    np.testing.assert_array_equal(loaded.targets, scores.targets)
    assert loaded.targets.dtype == bool and loaded.labels.tolist() == [0, -1]
    with np.load(tmp_path / 's.npz') as arrays_of_file:
        assert json.loads(str(arrays_of_file['meta']))['format'] == 2  # readers of format 1 refuse it
        kept = {name: arrays_of_file[name] for name in ('labels', 'probabilities')}
        meta = {**json.loads(str(arrays_of_file['meta'])), 'format': 1}
    np.savez(tmp_path / 'old.npz', meta=np.array(json.dumps(meta)), **kept)
    assert Scores.load(tmp_path / 'old.npz').targets is None
    single = Scores(('a',), np.array([1]), np.ones((1, 1, 2), np.float32), ('avg',), ('x', 'y'), None, 'p', {})
    single.save(tmp_path / 'single.npz')
    with np.load(tmp_path / 'single.npz') as arrays_of_file:
        assert 'targets' not in arrays_of_file and json.loads(str(arrays_of_file['meta']))['format'] == 1


@pytest.mark.parametrize('targets', [np.zeros((2, 2), bool), np.zeros((1, 3), bool), np.zeros((2, 3), int)])
def test_targets_of_another_shape_or_type_are_no_scores(targets):
    scores = scores_of([[1, 0, 1], [0, 0, 0]], np.zeros((2, 3)))
    values = {name: getattr(scores, name) for name in ('ids', 'labels', 'probabilities', 'branch_names', 'classes')}
    with pytest.raises(ValueError, match='targets'):
        Scores(**values, groups=None, protocol='p', failed={}, targets=targets)


def test_the_table_has_map_and_the_worst_classes_and_the_csv_every_class(tmp_path):
    targets = [[1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 0, 0]]
    p = [[0.9, 0.6, 0.1, 0.5], [0.1, 0.5, 0.2, 0.5], [0.8, 0.4, 0.9, 0.5]]
    scores = scores_of(targets, p)
    text = write_report(scores, report_paths(str(tmp_path / 's.npz')))
    assert 'mAP %' in text and 'mAP is over 3 classes; 1 that no video shows are left out' in text
    worst = text[text.index('worst classes') :].splitlines()
    assert worst[2].split() == ['class', '1', '58.3', '2']  # ranks 2 and 3: (1/2 + 2/3) / 2
    with open(tmp_path / 's.per_class.csv') as stream:
        rows = list(csv.DictReader(stream))
    assert [row['ap'] for row in rows][3] == '' and float(rows[0]['ap']) == 1.0
    assert json.loads((tmp_path / 's.metrics.json').read_text())['map'] == pytest.approx(np.mean([1, 7 / 12, 7 / 12]))


def test_what_needs_a_single_right_answer_refuses_in_a_line():
    scores = scores_of([[1, 0], [1, 1]], [[0.9, 0.1], [0.2, 0.3]])
    for ask in (metrics.confusion, metrics.per_class, lambda s: metrics.correct(s, 'top1')):
        with pytest.raises(UserError, match='net on data: its videos have several labels'):
            ask(scores)
    with pytest.raises(UserError, match='several labels'):
        compare(scores, scores)
    single = Scores(('a',), np.array([1]), np.ones((1, 1, 2), np.float32), ('avg',), ('x', 'y'), None, 'p', {})
    with pytest.raises(UserError, match='single label'):
        class_precisions(single)


def test_fused_scores_keep_the_targets():
    a = scores_of([[1, 0, 1], [0, 1, 0]], [[0.9, 0.1, 0.4], [0.2, 0.1, 0.3]])
    b = scores_of([[1, 0, 1], [0, 1, 0]], [[0.1, 0.1, 0.8], [0.2, 0.9, 0.3]])
    fused = fuse_scores([a, b], names=('a', 'b'))
    np.testing.assert_array_equal(fused.targets, a.targets)
    np.testing.assert_allclose(fused.branch(), (a.branch() + b.branch()) / 2, rtol=1e-6)
