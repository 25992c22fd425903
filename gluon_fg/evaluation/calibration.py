"""Calibration: is a network right as often as it says, and what temperature makes it so (Guo et al., ICML 2017)?

Of videos with one label, the confidence is the probability of the predicted class (Guo et al. sec. 2). Of videos with
several labels every class of every video is a decision of its own, and its probability the confidence.

**A temperature** T divides the logits: it changes no prediction, only how sure it is (sec. 4.2). It is fitted on the
very videos that a report is about, so that its effect is measured by **cross-fitting**: the videos are dealt into five
parts, and each part is scaled by the temperature of the other four.

**Chance.** Few videos make any network look uncalibrated: in a bin of ten, 80 % sure, six or ten may be right. So the
error stands beside what perfectly calibrated networks, as sure as this one, would show on as many videos (consistency
resampling: Broecker and Smith 2007, for reliability diagrams).
"""

from __future__ import annotations

import dataclasses
from typing import List, NamedTuple, Optional, Tuple

import numpy as np
from scipy import optimize, special

from .fusion import logits_of
from .score import Scores

BINS, FOLDS = 15, 5  # bins: as in Guo et al.
LIMITS = 0.01, 100.0  # of temperatures; where all videos are right, the best one would be 0
_DRAWS = 1000


class Bins(NamedTuple):
    """A reliability diagram: of each bin that has a video, from the least sure to the surest.

    `low`, `high`: the ends of its confidences, low excluded; `videos`: how many; `confidence`: their mean; `accuracy`:
    the fraction that is right. All (bins,).
    """

    low: np.ndarray
    high: np.ndarray
    videos: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error (Guo et al. eq. 3): mean over the videos of |accuracy - confidence|."""
        return float(np.average(np.abs(self.accuracy - self.confidence), weights=self.videos))

    @property
    def largest(self) -> float:
        """The maximum calibration error (eq. 5), over the bins."""
        return float(np.abs(self.accuracy - self.confidence).max())


class Calibration(NamedTuple):
    """How well a network knows how often it is right.

    `videos`; `accuracy`, `confidence`: means over videos (over decisions, where videos have several labels); `width`:
    15 bins of equal width; `mass`: 15 of as many videos each; `brier`: mean over the videos of the squared distance of
    the probabilities from the truth, 0 to 2 (Brier 1950); `nll`: mean of -log of the true class's probability, nats.
    Where videos have several labels, both are means over the decisions.
    """

    videos: int
    accuracy: float
    confidence: float
    width: Bins
    mass: Bins
    brier: float
    nll: float


class Scaled(NamedTuple):
    """What a temperature does.

    `temperature`: fitted on all videos; above 1 the network was too sure; `at_limit`: whether no finite one is best;
    `of_parts`: those of the parts, by which `after` is made; `after`: of the cross-fitted probabilities.
    """

    temperature: float
    at_limit: bool
    of_parts: Tuple[float, ...]
    after: Calibration


def calibration(scores: Scores) -> Optional[Calibration]:
    """Measure the calibration of the prediction; None where no video has a label."""
    known = _known(scores)
    return _measure(scores.branch()[known], _truth(scores)[known], scores.targets is not None) if known.any() else None


def scale(scores: Scores, folds: int = FOLDS, seed: int = 0) -> Optional[Scaled]:
    """Fit a temperature, and measure the calibration that it gives on videos that it was not fitted on.

    Probabilities are the softmax of the prediction's logits divided by the temperature (sigmoids, where videos have
    several labels). Where a prediction is a mean over views, no logits give it: its log-probabilities take their place
    (log-odds, of several labels), so that T = 1 changes nothing and no T another prediction.

    Parameters
    ----------
    scores
        of labeled videos
    folds
        parts that the videos are dealt into
    seed
        of the dealing

    Returns
    -------
    None where fewer than ten videos have a label
    """
    known = _known(scores)
    count = int(known.sum())
    if count < 2 * FOLDS:
        return None
    several = scores.targets is not None
    logits, truth = _logits(scores)[known], _truth(scores)[known]
    part = np.random.default_rng(seed).permutation(count) % folds
    whole = fit_temperature(logits, truth, several)
    temperatures = [fit_temperature(logits[part != i], truth[part != i], several, whole) for i in range(folds)]
    scaled = _probabilities(logits / np.array(temperatures)[part][:, None], several)
    at_limit = not LIMITS[0] * 1.001 < whole < LIMITS[1] / 1.001
    return Scaled(whole, at_limit, tuple(temperatures), _measure(scaled, truth, several))


def fit_temperature(logits: np.ndarray, truth: np.ndarray, several: bool = False, near: float = 1.0) -> float:
    """Find the temperature with the least negative log-likelihood.

    The likelihood is convex in 1/T, so that its slope has one root: no learning rate, no number of steps.

    Parameters
    ----------
    logits
        (N, M)
    truth
        (N, M) bool, the classes of each video
    several
        whether these are any number of classes (sigmoid), not one (softmax)
    near
        where to look first; it makes no difference to the result

    Returns
    -------
    within `LIMITS`: where every video is right, the smaller the better, and it is the lower one
    """
    logits = logits if several else logits - logits.max(axis=1, keepdims=True)
    of_truth = float(logits[truth].sum())

    def slope(log_t: float) -> float:
        if several:
            return of_truth - float(np.vdot(special.expit(logits * np.exp(-log_t)), logits))
        weights = np.exp(logits * np.exp(-log_t))
        return of_truth - float(np.sum(np.einsum('nm,nm->n', weights, logits) / weights.sum(axis=1)))

    ends, middle = np.log(LIMITS), float(np.clip(np.log(near), *np.log(LIMITS)))
    upward, step = slope(middle) < 0, 0.1  # where the likelihood grows
    known = middle
    while True:
        reached = float(np.clip(middle + (step if upward else -step), *ends))
        if (slope(reached) < 0) != upward:
            return float(np.exp(optimize.brentq(slope, *sorted((known, reached)), xtol=1e-7)))
        if reached in ends:
            return LIMITS[int(upward)]
        known, step = reached, 4 * step


def chance_errors(measured: Calibration, confidence: np.ndarray, seed: int = 0) -> Tuple[float, float]:
    """What equal-width calibration error perfectly calibrated networks would show on as many videos.

    Parameters
    ----------
    measured
        whose bins are taken
    confidence
        of each video, (N,): `confidences`
    seed
        of the drawn answers

    Returns
    -------
    the mean over drawn answers, and the value that 95 % of them stay below
    """
    rng, errors = np.random.default_rng(seed), []
    which = np.searchsorted(measured.width.high[:-1], confidence, side='left')
    total = np.bincount(which, confidence, len(measured.width.videos))
    for _ in range(_DRAWS):
        right = np.bincount(which, rng.random(len(confidence)) < confidence, len(total))
        errors.append(np.abs(right - total).sum() / len(confidence))
    return float(np.mean(errors)), float(np.quantile(errors, 0.95))


def confidences(scores: Scores) -> np.ndarray:
    """The probability of the predicted class of each labeled video; of several labels all probabilities, flat."""
    p = scores.branch()[_known(scores)].astype(np.float64)
    return p.max(axis=1) if scores.targets is None else p.ravel()


def equal_width(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> Bins:
    """Sort answers into bins of equal width: bin m has the confidences above (m-1)/bins, up to m/bins (Guo et al.)."""
    return _binned(confidence, right, np.linspace(0, 1, bins + 1)[1:])


def equal_mass(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> Bins:
    """Sort answers into bins of as many each (Nguyen and O'Connor 2015); those of equal confidence share one.

    Were they torn apart, the error would depend on the order in which videos are listed.
    """
    ends = np.ceil(np.arange(1, bins + 1) * len(confidence) / bins).astype(int) - 1
    return _binned(confidence, right, np.unique(np.sort(confidence)[np.maximum(ends, 0)]))


def _binned(confidence: np.ndarray, right: np.ndarray, highest: np.ndarray) -> Bins:
    """Bins between 0 and the highest confidence of each; empty ones are left out."""
    which = np.minimum(np.searchsorted(highest, confidence, side='left'), len(highest) - 1)
    count = np.bincount(which, minlength=len(highest))
    kept = count > 0
    sums = (np.bincount(which, values, len(highest))[kept] / count[kept] for values in (confidence, right))
    low = np.concatenate([[0.0], highest[:-1]])
    return Bins(low[kept], highest[kept], count[kept], *sums)


def _known(scores: Scores) -> np.ndarray:
    return scores.labels >= 0 if scores.targets is None else np.ones(len(scores.labels), bool)


def _truth(scores: Scores) -> np.ndarray:
    """(N, M) bool: which classes each video shows; unknown labels show none."""
    if scores.targets is not None:
        return scores.targets
    return scores.labels[:, None] == np.arange(len(scores.classes))


def _measure(p: np.ndarray, truth: np.ndarray, several: bool) -> Calibration:
    p = p.astype(np.float64)
    least = float(np.finfo(np.float32).tiny)
    if several:
        confidence, right = p.ravel(), truth.ravel().astype(float)
        brier = np.mean((p - truth) ** 2)
        nll = -np.mean(np.log(np.clip(np.where(truth, p, 1 - p), least, 1)))
    else:
        best = p.argmax(axis=1)
        confidence, right = p.max(axis=1), truth[np.arange(len(p)), best].astype(float)
        brier = np.mean(np.sum((p - truth) ** 2, axis=1))
        nll = -np.mean(np.log(np.clip(p[truth], least, 1)))
    bins = equal_width(confidence, right), equal_mass(confidence, right)
    return Calibration(len(p), float(right.mean()), float(confidence.mean()), *bins, float(brier), float(nll))


def _logits(scores: Scores) -> np.ndarray:
    """(N, M) float64: the logits of the saved prediction, or what stands in for them."""
    logits = logits_of(scores)
    if np.allclose(_probabilities(logits, scores.targets is not None), scores.branch(), atol=1e-4):
        return logits
    return logits_of(dataclasses.replace(scores, logits=None))


def _probabilities(logits: np.ndarray, several: bool) -> np.ndarray:
    return special.expit(logits) if several else special.softmax(logits, axis=1)


def describe(measured: Calibration, by_chance: Tuple[float, float], scaled: Optional[Scaled]) -> List[str]:
    """Say in whole sentences how well calibrated a network is, how sure that is, and what a temperature would mend."""
    gap = 100 * (measured.confidence - measured.accuracy)
    tends = (
        f'{"too sure" if gap > 0 else "not sure enough"} by {abs(gap):.1f} points' if abs(gap) >= 0.05 else 'just so'
    )
    sure, right = 100 * measured.confidence, 100 * measured.accuracy
    said = f'It is {sure:.1f} % sure on average and right in {right:.1f} %: {tends}.'
    error, (mean, most) = 100 * measured.width.error, (100 * value for value in by_chance)
    chance = f'Perfectly calibrated networks, as sure as this one, would show {mean:.1f} % on as many videos by chance'
    if error > most:
        lines = [said, f'{chance}, 95 % of them less than {most:.1f} %: its {error:.1f} % are more than that.']
    else:
        lines = [said, f'{chance}, and up to {most:.1f} %: its {error:.1f} % show no fault.']
    if scaled is None:
        lines.append('Too few videos have a label to fit a temperature.')
    elif scaled.at_limit:
        best = 'the surer, the better' if scaled.temperature < 1 else 'the less sure, the better'
        lines.append(f'No temperature is best: on these videos it is {best}.')
    else:
        after = scaled.after
        held = f'a negative log-likelihood of {after.nll:.3f} in place of {measured.nll:.3f}'
        if after.nll < measured.nll:
            lines.append(
                f'Logits divided by {scaled.temperature:.2f} would give a calibration error of '
                f'{100 * after.width.error:.1f} % and {held}, on videos that the temperature was not fitted on.'
            )
        else:
            lines.append(
                f'A temperature does not help: the best one, {scaled.temperature:.2f}, gives videos that it was not '
                f'fitted on {held}.'
            )
    return lines
