"""Intervals and tests against sums by hand, simulations, and the numbers of studies that are published."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.stats import norm

from gluon_fg.evaluation.statistics import (
    gain_interval,
    holm,
    interval_over_videos_and_seeds,
    mcnemar,
    paired_interval,
    paired_t_test,
    spearman,
    t_interval,
)

STUDIES = sorted((Path(__file__).resolve().parents[2] / 'model_zoo' / 'studies').glob('*.json'))


def test_mcnemar_against_binomial_sums():
    for only_a, only_b in ((6, 16), (1, 9), (5, 5), (0, 3)):  # 6 against 16: p = 0.0525, the classic small table
        total, most = only_a + only_b, max(only_a, only_b)
        tail = sum(math.comb(total, k) for k in range(most, total + 1)) / 2**total
        assert mcnemar(only_a, only_b) == pytest.approx(min(1.0, 2 * tail), rel=1e-12)
    assert mcnemar(6, 16) == pytest.approx(0.0525, abs=5e-5) and mcnemar(0, 0) == 1.0


def test_bootstrap_equals_drawing_videos_one_by_one():
    rng = np.random.default_rng(1)
    a, b = rng.random(200) < 0.6, rng.random(200) < 0.7
    draws = np.array([np.mean(b[i].astype(float) - a[i]) for i in rng.integers(0, 200, (4000, 200))])
    np.testing.assert_allclose(paired_interval(a, b), np.quantile(draws, [0.025, 0.975]), atol=0.012)
    assert paired_interval(a, b, draws=99) == paired_interval(a, b, 0, 99) != paired_interval(a, b, 1, 99)
    assert paired_interval(a, a) == (0.0, 0.0)


def test_interval_covers_the_true_difference_in_few_videos():
    """Over every outcome of 40 videos, by its exact probability; resampling covers far less where few differ."""
    for down, up in ((0.02, 0.02), (0.05, 0.2), (0.1, 0.1), (0.0, 0.3)):
        covered = 0.0
        for a in range(41):
            for b in range(41 - a):
                low, high = gain_interval(a, b, 40)
                if low <= up - down <= high:
                    ways = math.comb(40, a) * math.comb(40 - a, b)
                    covered += ways * down**a * up**b * (1 - down - up) ** (40 - a - b)
        assert covered > 0.93
    low, high = gain_interval(3, 9, 40)  # by hand: n + 2, half a video in each cell
    middle, width = 6 / 42, norm.ppf(0.975) * math.sqrt(13 - 36 / 42) / 42
    assert low == pytest.approx(middle - width, abs=1e-7) and high == pytest.approx(middle + width, abs=1e-7)
    assert gain_interval(0, 1, 1)[1] == 1 and gain_interval(0, 0, 40)[0] == -gain_interval(0, 0, 40)[1] < -0.04


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []


def test_interval_over_videos_and_seeds_of_a_known_case():
    rng = np.random.default_rng(1)
    a = rng.random((3, 2000)) < 0.8
    b = a & (rng.random((3, 2000)) < 0.9)  # b loses a tenth of a's hits
    d = interval_over_videos_and_seeds(a, b, draws=2000)
    assert d['mean'] == pytest.approx(a.mean() - b.mean())
    assert d['low'] < d['mean'] < d['high'] and d['high'] - d['low'] < 0.05
    assert interval_over_videos_and_seeds(a, a, draws=50) == {
        'mean': 0,
        'low': 0,
        'high': 0,
        'per_seed': [0, 0, 0],
    }


@pytest.mark.parametrize('path', STUDIES, ids=lambda path: path.stem)
def test_published_studies_have_the_intervals_that_come_of_their_predictions(path):
    results = json.loads(path.read_text())
    hits = {
        name: np.array(row['predictions_within_group']) == results['labels'] for name, row in results['rows'].items()
    }
    name = list(hits)[-1]
    again = interval_over_videos_and_seeds(hits[name], hits[results['study']['reference']])
    assert again == results['rows'][name]['difference']


def test_t_intervals_and_tests_by_hand():
    values = [3.0, 5.0, 7.0]  # mean 5, spread 2; t of 2 degrees of freedom is 4.30265273
    assert t_interval(values) == pytest.approx((5 - 4.30265273 * 2 / 3**0.5, 5 + 4.30265273 * 2 / 3**0.5), rel=1e-6)
    assert t_interval([4.0]) == (-math.inf, math.inf)
    assert paired_t_test([1, 2, 3], [1, 2, 3]) == 1 and math.isnan(paired_t_test([1], [2]))
    p = paired_t_test([3.0, 5.0, 7.0], [0, 0, 0])  # t = 5 / (2 / sqrt(3)) = 4.330127, just beyond
    assert p == pytest.approx(0.0494, abs=5e-5)
    low, _ = t_interval(values, 1 - p)
    assert low == pytest.approx(0, abs=1e-9)


def test_spearman_and_its_interval():
    rng = np.random.default_rng(0)
    x, y = rng.random(30), rng.integers(0, 8, 30)
    rho, low, high = spearman(x, y)
    assert rho == pytest.approx(stats.spearmanr(x, y)[0], abs=1e-12) and low < rho < high
    half = 1.959964 * np.sqrt((1 + rho**2 / 2) / 27)
    assert (np.arctanh(high) - np.arctanh(low)) / 2 == pytest.approx(half)
    inside = 0  # the interval holds the truth, 6 / pi * asin(r / 2), in about 95 of 100 samples
    truth = 6 / np.pi * np.arcsin(-0.6 / 2)
    for _ in range(400):
        a = rng.normal(size=(40, 2)) @ np.linalg.cholesky([[1, -0.6], [-0.6, 1]]).T
        _, low, high = spearman(a[:, 0], a[:, 1])
        inside += low <= truth <= high
    assert 0.92 < inside / 400 < 0.98
    assert spearman([1, 1, 1], [1, 2, 3]) == (None, None, None)
    assert spearman([1, 2, 3], [1, 2, 3]) == (pytest.approx(1), None, None)
