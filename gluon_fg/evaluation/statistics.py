"""How sure a number is: intervals and tests for accuracies of the same videos, of several seeds, and of correlations.

What SciPy has is SciPy's. Three things it has not: an interval for seeds and videos at once, Agresti and Min's interval
and Bonett and Wright's, which stand here in a few lines each.
"""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import numpy as np
from scipy import optimize, special, stats

_NORMAL = 1.959964  # the normal distribution has 2.5 % above; to these digits, so that published intervals stay


def mcnemar(only_a: int, only_b: int) -> float:
    """The chance that two equally good networks differ as much as these two do (McNemar 1947, exact and two-sided).

    If neither were better, each of the videos that just one of them has right would fall to either with probability
    1/2.

    Parameters
    ----------
    only_a, only_b
        numbers of videos that A alone, B alone has right

    Returns
    -------
    p-value; 1 where there is no such video
    """
    total = only_a + only_b
    return float(stats.binomtest(only_a, total, 0.5).pvalue) if total else 1.0


def holm(p_values: Sequence[float]) -> List[float]:
    """p-values corrected for their number (Holm 1979): below 0.05, the chance that any one is a false alarm is 5 %."""
    corrected, highest = [1.0] * len(p_values), 0.0
    for place, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[i]))
        corrected[i] = highest
    return corrected


def paired_interval(
    right_a: np.ndarray, right_b: np.ndarray, seed: int = 0, draws: int = 10_000, level: float = 0.95
) -> Tuple[float, float]:
    """An interval of the difference of two networks' accuracies, by drawing the videos anew (percentile bootstrap).

    Videos are drawn with replacement, both networks' answers together. Only a video's difference (-1, 0 or 1) counts,
    so that drawing N videos is one draw from a multinomial of these three: `scipy.stats.bootstrap` would draw each of
    them, with the same result in many times the work.

    Parameters
    ----------
    right_a, right_b
        (N,) bool, whether each network has each video right
    seed, draws
        of the random numbers; how many samples are drawn
    level
        the interval's confidence

    Returns
    -------
    low and high of mean(right_b) - mean(right_a)
    """
    count = len(right_a)
    worse, better = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    drawn = np.random.default_rng(seed).multinomial(
        count, [worse / count, better / count, (count - worse - better) / count], size=draws
    )
    low, high = np.quantile((drawn[:, 1] - drawn[:, 0]) / count, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def interval_over_videos_and_seeds(a: np.ndarray, b: np.ndarray, level: float = 0.95) -> dict:
    """The difference of two methods' mean accuracies, with an interval that allows for other seeds and other videos.

    Seeds are few, so that resampling them is far too sure of itself: with three it finds a difference in a quarter of
    studies without any. The seeds' paired differences get Student's t instead. Their spread shows what changes from
    seed to seed, a video's chance included, but not the luck with the videos, which all seeds share. Resampling the
    videos shows that in two different seeds together: the covariance of their differences, here in closed form. Each
    variance has its own quantile, half = sqrt(t^2 v_seeds + z^2 v_videos), and seeds that agree by accident do not make
    the interval narrower than resampling the videos of their mean difference.

    tests/evaluation/test_statistics.py checks by simulation how often it is wrong.

    Parameters
    ----------
    a, b
        (seeds, videos) arrays of hits on the same videos; seed i of one is paired with seed i of the other, which
        started from the same warm-up
    level
        the interval's confidence

    Returns
    -------
    dict with `mean` of a - b and `per_seed` differences (fractions), `low`, `high` and the two-sided `p_value`, at
    whose level the interval begins to hold 0; the three are None for one seed or one video, which say nothing of others
    """
    difference = a.astype(float) - b.astype(float)
    seeds, videos = difference.shape
    mean, per_seed = float(difference.mean()), difference.mean(1)
    result = {'mean': mean, 'low': None, 'high': None, 'p_value': None, 'per_seed': per_seed.tolist()}
    if seeds > 1 and videos > 1:
        over_videos = np.cov(difference) / videos  # (seeds, seeds): of two seeds' means, by the videos' draw
        shared = (over_videos.sum() - over_videos.trace()) / (seeds * (seeds - 1))
        variances = per_seed.var(ddof=1) / seeds, max(shared, 0.0), over_videos.mean()
        half = _half_width(1 - level, seeds, *variances)
        result['low'], result['high'] = max(mean - half, -1.0), min(mean + half, 1.0)
        result['p_value'] = _p_value(abs(mean), seeds, *variances)
    return result


def _half_width(alpha: float, seeds: int, of_seeds: float, of_videos: float, resampled: float) -> float:
    """Half of the interval that is wrong with probability alpha, of the three variances."""
    t, z = special.stdtrit(seeds - 1, alpha / 2), special.ndtri(alpha / 2)
    return float(np.sqrt(max(t**2 * of_seeds + z**2 * of_videos, z**2 * resampled)))


def _p_value(distance: float, seeds: int, *variances: float) -> float:
    """The alpha whose interval's half width is the distance from 0."""
    if distance < 1e-12:
        return 1.0
    least = 1e-12  # smaller ones make no difference
    if _half_width(least, seeds, *variances) <= distance:
        return 0.0
    return float(optimize.brentq(lambda alpha: _half_width(alpha, seeds, *variances) - distance, least, 1, xtol=1e-13))


def gain_interval(only_a: int, only_b: int, videos: int) -> Tuple[float, float]:
    """The 95 % interval of the difference of two networks' accuracies on few videos (Agresti and Min 2005).

    Wald's, after half a video is added to each cell of the 2 x 2 table. Unlike resampling, it has a width where no
    video differs.

    Parameters
    ----------
    only_a, only_b, videos
        numbers of videos that A alone, B alone has right, and of all

    Returns
    -------
    low and high of B's fraction minus A's
    """
    total, down, up = videos + 2, only_a + 0.5, only_b + 0.5
    middle = (up - down) / total
    half = _NORMAL * np.sqrt(up + down - (up - down) ** 2 / total) / total
    return float(max(middle - half, -1)), float(min(middle + half, 1))


def wilson(hits: int, videos: int, level: float = 0.95) -> Tuple[float, float]:
    """The interval of a share, such as an accuracy: `hits` of `videos` (Wilson 1927), fractions between 0 and 1.

    Unlike Wald's it has a width where all or none are right, and holds what it promises for few videos, too.

    Raises
    ------
    ValueError
        no video, or more hits than videos
    """
    limits = stats.binomtest(hits, videos).proportion_ci(level, 'wilson')
    return float(limits.low), float(limits.high)


def mean_and_spread(values: Sequence[float]) -> Tuple[float, float]:
    """The mean of several runs and their sample standard deviation, which is NaN for a single run."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float('nan')


def t_interval(values: Sequence[float], level: float = 0.95) -> Tuple[float, float]:
    """The interval of a mean over few runs, such as one for each seed (Student's t).

    It takes the runs as drawn from a normal distribution; with differences of paired runs it is the paired t interval.

    Parameters
    ----------
    values
        one number for each run, or for each pair of runs
    level
        the interval's confidence

    Returns
    -------
    low and high; infinite for a single run, which says nothing of others
    """
    mean, spread = mean_and_spread(values)
    if len(values) < 2:
        return float('-inf'), float('inf')
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * spread / np.sqrt(len(values))
    return float(mean - half), float(mean + half)


def paired_t_test(a: Sequence[float], b: Sequence[float]) -> float:
    """The chance that runs of two equally good methods differ as much as these, run i of one paired with run i of the
    other (Student's t, two-sided).

    Returns
    -------
    p-value; 1 where every difference is 0, NaN for a single pair
    """
    if np.array_equal(a, b):
        return 1.0
    return float(stats.ttest_rel(a, b).pvalue) if len(a) > 1 else float('nan')


def spearman(x: Sequence[float], y: Sequence[float]) -> Tuple[Optional[float], Optional[float], Optional[float]]:
    """Spearman's rank correlation with its 95 % interval, by Fisher's z with Bonett and Wright's variance (2000).

    The interval takes the points for independent. Classes' similarities are not quite, as each pair of classes is in
    two of them, so that the doubt is somewhat larger.

    Returns
    -------
    rho, low, high: None each where one side is constant; low and high None for fewer than four points
    """
    if len(set(x)) < 2 or len(set(y)) < 2:
        return None, None, None
    rho = float(np.clip(stats.spearmanr(x, y)[0], -1, 1))
    if len(x) < 4:
        return rho, None, None
    if abs(rho) > 1 - 1e-12:
        return rho, rho, rho
    half = _NORMAL * np.sqrt((1 + rho**2 / 2) / (len(x) - 3))
    return rho, float(np.tanh(np.arctanh(rho) - half)), float(np.tanh(np.arctanh(rho) + half))


def exchange_test(right: np.ndarray, others: np.ndarray) -> float:
    """The chance that one of several equally good ways to show each video differs as much from the others as this one.

    If a way were as good as the others, each of the S + 1 answers to a video would be as likely to be the one that it
    got: of a video that m of them have right, this one has it right with probability m / (S + 1). The number of videos
    that it has right is then a sum of such draws, whose distribution is computed exactly. With one other way it is
    McNemar's test. Two-sided: twice the smaller tail.

    Parameters
    ----------
    right
        (N,) bool, whether this way has each video right
    others
        (S, N) bool, whether each other way has

    Returns
    -------
    p-value; 1 where no video tells the ways apart
    """
    ways = len(others) + 1
    counts = right.astype(np.int64) + others.sum(axis=0)
    telling = (counts > 0) & (counts < ways)
    total = np.ones(1)  # distribution of the number of right answers among the telling videos
    for count, videos in zip(*np.unique(counts[telling], return_counts=True)):
        total = np.convolve(total, _binomial(int(videos), count / ways))
    seen = int(right[telling].sum())
    return float(min(2 * min(total[: seen + 1].sum(), total[seen:].sum()), 1.0))


def _binomial(draws: int, chance: float) -> np.ndarray:
    """The binomial distribution, (draws + 1,); SciPy's warns of divisions by zero for some of thousands of draws."""
    hits = np.arange(draws + 1)
    ways = special.gammaln(draws + 1) - special.gammaln(hits + 1) - special.gammaln(draws - hits + 1)
    return np.exp(ways + hits * np.log(chance) + (draws - hits) * np.log1p(-chance))


def change_interval(changes: np.ndarray) -> Tuple[float, float]:
    """The 95 % interval of a mean change on few videos: `gain_interval`, for changes between -1 and 1.

    A video's change is the difference of two accuracies, each a mean over some ways to show it. With one way each the
    changes are -1, 0 and 1, and the interval is Agresti and Min's.

    Parameters
    ----------
    changes
        (N,) from -1 to 1
    """
    total = len(changes) + 2
    middle = changes.sum() / total
    half = _NORMAL * np.sqrt((changes**2).sum() + 1 - changes.sum() ** 2 / total) / total
    return float(max(middle - half, -1)), float(min(middle + half, 1))
