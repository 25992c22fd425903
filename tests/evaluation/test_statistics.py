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
    wilson,
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


def studies_without_an_effect(studies, seeds, videos, of_seeds, of_videos, doubt, seed):
    """Hits (studies, seeds, videos) of two methods whose true difference is 0.

    A training run of a moves away from b's by N(0, of_seeds), a video favors either by of_videos in every run, and
    they differ by chance in `doubt` of all answers.
    """
    rng = np.random.default_rng(seed)
    shift = rng.normal(0, of_seeds, (studies, seeds, 1)) + rng.choice([-of_videos, of_videos], (studies, 1, videos))
    shift, drawn = np.clip(shift, -doubt, doubt), rng.random((studies, seeds, videos))
    return drawn < (doubt + shift) / 2, drawn > 1 - (doubt - shift) / 2


@pytest.mark.parametrize('videos', [240, 960])
@pytest.mark.parametrize('seeds', [3, 5, 8])
@pytest.mark.parametrize(
    'of_seeds, of_videos, doubt, least',
    [(0.2, 0, 0.6, 0.035), (0, 0.2, 0.2, 0), (0.02, 0.15, 0.2, 0), (0, 0, 0.1, 0)],
    ids=['seeds', 'videos', 'mixed', 'chance'],
)
def test_interval_over_videos_and_seeds_is_wrong_as_often_as_it_says(of_seeds, of_videos, doubt, least, seeds, videos):
    """A bootstrap over three seeds and the videos is wrong in 17 to 25 % where seeds differ, Student's t alone in 9 to
    22 % where videos do."""
    wrong, studies = 0, 4000 if least and videos == 240 else 800
    for a, b in zip(*studies_without_an_effect(studies, seeds, videos, of_seeds, of_videos, doubt, seed=1)):
        d = interval_over_videos_and_seeds(a, b)
        wrong += not d['low'] <= 0 <= d['high']
        assert (d['p_value'] < 0.05) == (not d['low'] <= 0 <= d['high'])
    assert least <= wrong / studies <= 0.065


def test_the_simulation_catches_a_bootstrap_of_three_seeds():
    a, b = studies_without_an_effect(2000, 3, 240, 0.2, 0, 0.6, seed=1)
    per_seed = (a.astype(float) - b).mean(2)
    drawn = per_seed[:, np.random.default_rng(2).integers(3, size=(500, 3))].mean(2)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=1)
    assert np.mean((low > 0) | (high < 0)) > 0.2


def test_interval_over_videos_and_seeds_by_hand():
    a = np.array([[1, 1, 1, 0], [1, 1, 0, 1], [1, 1, 1, 1]], bool)
    b = np.array([[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], bool)
    d = interval_over_videos_and_seeds(a, b)  # a - b: 1010, 1001, 1101
    assert d['per_seed'] == pytest.approx([0.5, 0.5, 0.75]) and d['mean'] == pytest.approx(7 / 12)
    # seeds: squares 1/24 / 2 over 3 of them; videos: mean square 11/36, as the residual's, so that they share nothing
    half = 4.30265273 * (1 / 24 / 2 / 3) ** 0.5
    assert d['high'] == pytest.approx(7 / 12 + half) and d['low'] == pytest.approx(7 / 12 - half)
    a = np.concatenate([a, np.ones((3, 4), bool)], 1)
    b = np.concatenate([b, np.zeros((3, 2), bool), np.ones((3, 2), bool)], 1)  # two videos that b never has right
    d, x = interval_over_videos_and_seeds(a, b), a.astype(float) - b
    of_seeds, of_videos = 8 * x.mean(1).var(ddof=1), 3 * x.mean(0).var(ddof=1)  # an analysis of variance
    residual = (((x - x.mean()) ** 2).sum() - 2 * of_seeds - 7 * of_videos) / 14
    half = (4.30265273**2 * of_seeds / 24 + 1.959964**2 * (of_videos - residual) / 24) ** 0.5
    assert of_videos > 2 * residual and d['high'] - d['mean'] == pytest.approx(half)
    assert interval_over_videos_and_seeds(b, a)['high'] == pytest.approx(-d['low'])
    assert interval_over_videos_and_seeds(a, b, 1 - d['p_value'])['low'] == pytest.approx(0, abs=1e-6)


def test_interval_over_videos_and_seeds_where_runs_agree():
    rng = np.random.default_rng(0)
    a = rng.random((3, 300)) < 0.8
    same = interval_over_videos_and_seeds(a, a)
    assert same == {'mean': 0, 'low': 0, 'high': 0, 'p_value': 1, 'per_seed': [0, 0, 0]}
    b = a.copy()
    for seed in range(3):  # each seed loses ten videos, others than the next one's
        b[seed, np.flatnonzero(a[seed])[10 * seed : 10 * seed + 10]] = False
    d = interval_over_videos_and_seeds(a, b)  # no spread over seeds, yet not the width 0
    assert d['per_seed'] == pytest.approx([1 / 30] * 3)
    assert d['low'] == pytest.approx(1 / 30 - 1.959964 * ((a * 1.0 - b).mean(0).var(ddof=1) / 300) ** 0.5, abs=1e-6)
    one = interval_over_videos_and_seeds(a[:1], b[:1])
    assert one['mean'] == pytest.approx(1 / 30) and (one['low'], one['high'], one['p_value']) == (None, None, None)
    assert interval_over_videos_and_seeds(a[:, :1], b[:, :1])['low'] is None
    certain = interval_over_videos_and_seeds(np.ones((3, 9), bool), np.zeros((3, 9), bool))
    assert (certain['low'], certain['high'], certain['p_value']) == (1, 1, 0)


@pytest.mark.parametrize('path', STUDIES, ids=lambda path: path.stem)
def test_published_studies_have_the_intervals_that_come_of_their_predictions(path):
    results = json.loads(path.read_text())
    labels, rows, study = np.array(results['labels']), results['rows'], results['study']
    hits = {name: np.array(row['predictions_within_group']) == labels for name, row in rows.items()}
    groups = list(rows[study['reference']]['within_group_by_group'])
    focus = np.isin(np.array(groups)[labels // 4], study.get('focus') or [])  # SynthFG's groups have four classes
    checked = [(name, study['reference'], row['difference'], row.get('difference_focus')) for name, row in rows.items()]
    checked += [(*pair['methods'], pair['all'], pair.get('focus')) for pair in results.get('pairs', ())]
    for name in study['equal_time']:
        timed = f'{study["reference"]}, time of {name}'
        checked.append((name, timed, rows[name]['difference_equal_time'], None))
    for name, other, of_all, of_focus in checked:
        for chosen, found in ((slice(None), of_all), (focus, of_focus)):
            again = interval_over_videos_and_seeds(hits[name][:, chosen], hits[other][:, chosen]) if found else {}
            for key, value in again.items():
                assert found[key] == pytest.approx(value, abs=1e-9), (name, key)


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


@pytest.mark.parametrize(
    'hits, videos, low, high',
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(hits, videos, low, high):
    """Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I, method 3."""
    assert wilson(hits, videos) == pytest.approx((low, high), abs=5e-5)
    assert wilson(videos - hits, videos) == pytest.approx((1 - high, 1 - low), abs=5e-5)
