"""Calibration against other people's figures, scikit-learn, SciPy's optimizer, and by what must not matter."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special
from sklearn.metrics import brier_score_loss, log_loss

from gluon_fg.evaluation import calibration as c
from gluon_fg.evaluation.score import Scores


def scores_of(p, labels, **more):
    p = np.asarray(p, np.float32)
    ids, classes = tuple(map(str, range(len(p)))), tuple(map(str, range(p.shape[1])))
    return Scores(ids, np.asarray(labels), p[:, None], ('fused',), classes, None, '1x1', {}, **more)


@pytest.fixture(scope='module')
def sure():
    """Logits that are twice as large as those which the labels are drawn from, (600, 5)."""
    rng = np.random.default_rng(0)
    z = 2 * rng.normal(size=(600, 5))
    labels = (special.softmax(z, axis=1).cumsum(1) < rng.random((600, 1))).sum(1)
    z = (2 * z).astype(np.float32)
    return scores_of(special.softmax(z.astype(float), axis=1), labels, logits=z)


def test_errors_of_torchmetrics_own_example():
    # torchmetrics 1.9.0, MulticlassCalibrationError(num_classes=3, n_bins=3): l1 0.2000, max 0.2333
    p = np.array([[0.25, 0.20, 0.55], [0.55, 0.05, 0.40], [0.10, 0.30, 0.60], [0.90, 0.05, 0.05]])
    bins = c.equal_width(p.max(1), p.argmax(1) == [0, 1, 2, 0], bins=3)
    assert (bins.error, bins.largest) == (pytest.approx(0.2), pytest.approx(0.7 / 3))
    assert bins.videos.tolist() == [3, 1]


def test_bins_are_those_of_the_paper():
    confidence = np.array([0.2, 0.2 + 1e-9, 0.4, 1.0])  # bin m is ((m-1)/M, m/M]
    bins = c.equal_width(confidence, np.array([1, 0, 0, 1]), bins=5)
    assert bins.videos.tolist() == [1, 2, 1]
    assert bins.high.tolist() == pytest.approx([0.2, 0.4, 1.0]) and bins.accuracy.tolist() == [1, 0, 1]


def test_equal_confidences_share_a_bin_in_any_order():
    # 1000 answers, all 0.9 sure, 60 % right: 0.30 in any order (0.41 in "calibrated" before its 2.0, which tore ties)
    confidence, right = np.full(1000, 0.9), np.arange(1000) < 600
    assert c.equal_mass(confidence, right).error == pytest.approx(0.3)
    rng = np.random.default_rng(1)
    confidence = rng.choice([0.3, 0.5, 0.7, 0.95], 200)
    order = rng.permutation(200)
    right = rng.random(200) < confidence
    assert c.equal_mass(confidence, right).error == pytest.approx(c.equal_mass(confidence[order], right[order]).error)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 9))
def test_bins_hold_every_answer_once(count, bins, seed):
    rng = np.random.default_rng(seed)
    confidence, right = rng.random(count) ** 0.3, rng.random(count) < 0.5
    for made in (c.equal_width(confidence, right, bins), c.equal_mass(confidence, right, bins)):
        assert made.videos.sum() == count and made.videos.min() > 0
        assert np.dot(made.videos, made.accuracy) == pytest.approx(right.sum())
        assert np.dot(made.videos, made.confidence) == pytest.approx(confidence.sum())
        assert (made.low < made.confidence).all() and (made.confidence <= made.high + 1e-12).all()
    if count >= bins:  # all different
        assert np.ptp(c.equal_mass(confidence, right, bins).videos) <= 1


def test_scores_are_scikit_learns(sure):
    p, labels = special.softmax(sure.logits.astype(float), axis=1), sure.labels
    measured = c.calibration(sure)
    assert measured.nll == pytest.approx(log_loss(labels, p), rel=1e-5)
    brier = sum(brier_score_loss(labels == k, p[:, k]) for k in range(5))
    assert measured.brier == pytest.approx(brier, rel=1e-5)
    assert measured.accuracy == (p.argmax(1) == labels).mean()


def test_temperature_is_the_one_that_made_it_too_sure(sure):
    z, labels = sure.logits.astype(float), sure.labels

    def nll(t):
        return -special.log_softmax(z / t, axis=1)[np.arange(600), labels].mean()

    scaled = c.scale(sure)
    best = optimize.minimize_scalar(nll, bounds=(0.1, 10), method='bounded', options={'xatol': 1e-9})
    assert scaled.temperature == pytest.approx(best.x, rel=1e-5) and abs(scaled.temperature - 2) < 0.3
    assert nll(scaled.temperature) < scaled.after.nll < nll(1)  # held-out videos flatter nobody
    assert scaled.after.accuracy == c.calibration(sure).accuracy
    assert not scaled.at_limit and len(scaled.of_parts) == 5


def test_temperature_of_a_part_has_not_seen_it(sure):
    scaled = c.scale(sure)
    part = np.random.default_rng(0).permutation(600) % 5
    z, truth = sure.logits.astype(float), sure.labels[:, None] == np.arange(5)
    assert scaled.of_parts[2] == pytest.approx(c.fit_temperature(z[part != 2], truth[part != 2]), rel=1e-6)
    p = special.softmax(z / np.array(scaled.of_parts)[part][:, None], axis=1)
    assert scaled.after.nll == pytest.approx(log_loss(sure.labels, p))


def test_logits_of_any_scale_have_a_temperature():
    # gpleiss/temperature_scaling, issue 20: by steps of a fixed length it came to 1386304
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(300, 4)), rng.integers(0, 4, 300)
    truth = (labels[:, None] == np.arange(4)) | (rng.random((300, 4)) < 0)
    truth[:150] = np.eye(4, dtype=bool)[z[:150].argmax(1)]
    one = c.fit_temperature(z, truth)
    assert [c.fit_temperature(k * z, truth) for k in (0.1, 10)] == pytest.approx([one / 10, 10 * one], rel=1e-6)
    assert c.fit_temperature(z, np.eye(4, dtype=bool)[z.argmax(1)]) == c.LIMITS[0]  # all right: the surer the better
    assert c.fit_temperature(z, np.eye(4, dtype=bool)[z.argmin(1)]) == c.LIMITS[1]


def test_a_mean_over_views_keeps_its_predictions():
    rng = np.random.default_rng(3)
    views = rng.normal(size=(200, 6, 4)) * 4
    p = special.softmax(views, axis=2).mean(axis=1)
    scores = scores_of(p, rng.integers(0, 4, 200), logits=views.mean(axis=1).astype(np.float32))
    moved = p.argmax(1) != views.mean(axis=1).argmax(1)
    assert moved.any()  # else this shows nothing
    assert c.scale(scores).after.accuracy == c.calibration(scores).accuracy
    assert c.scale(scores).temperature == c.scale(dataclasses.replace(scores, logits=None)).temperature


def test_several_labels_are_decisions_of_their_own():
    rng = np.random.default_rng(0)
    z = 3 * rng.normal(size=(400, 3))
    targets = rng.random((400, 3)) < special.expit(z / 3)
    scores = scores_of(special.expit(z), targets.argmax(1), targets=targets, logits=z.astype(np.float32))
    measured, scaled = c.calibration(scores), c.scale(scores)
    assert measured.nll == pytest.approx(np.mean([log_loss(targets[:, k], special.expit(z[:, k])) for k in range(3)]))
    assert measured.width.videos.sum() == 1200 and measured.accuracy == targets.mean()
    assert abs(scaled.temperature - 3) < 0.5 and scaled.after.width.error < measured.width.error / 2


def test_chance_is_what_calibrated_answers_show(sure):
    rng, measured, inside = np.random.default_rng(0), c.calibration(sure), 0
    confidence = rng.uniform(0.4, 1, 80)
    for _ in range(40):
        bins = c.equal_width(confidence, rng.random(80) < confidence)
        inside += bins.error <= c.chance_errors(measured._replace(width=bins), confidence)[1]
    assert 34 <= inside <= 40  # 95 % of the time
    mean, most = c.chance_errors(measured, c.confidences(sure))
    assert mean < most < measured.width.error


def test_what_is_said(sure):
    measured = c.calibration(sure)
    lines = c.describe(measured, (0.02, 0.03), c.scale(sure))
    assert 'too sure by' in lines[0] and 'are more than that' in lines[1] and 'Logits divided by 2.0' in lines[2]
    assert 'show no fault' in c.describe(measured, (0.1, 0.9), None)[1]
    worse = c.scale(sure)._replace(after=measured._replace(nll=measured.nll + 1))
    assert 'A temperature does not help' in c.describe(measured, (0.02, 0.03), worse)[2]


def test_without_labels_there_is_nothing_to_measure():
    scores = scores_of(np.full((12, 3), 1 / 3), np.full(12, -1))
    assert c.calibration(scores) is None and c.scale(scores) is None
    assert c.scale(scores_of(np.full((9, 3), 1 / 3), np.zeros(9, int))) is None
