"""Category similarity matrix of U2S: which categories fire the same channels (Zhao et al., U2S, sec. III-A, eqs. 1-2).

    features of all training clips -> ChannelActivity -> sparsity Xi (M, C) -> similarity S (M, M) -.
    universal logits -> TrueRanks -> n, the categories a prediction may be confused with -> alpha ----+-> binary CSM

Plain NumPy; the two accumulators take a batch at a time and keep the same few numbers however many clips there are.
Over several ranks `merge` adds them up, so that every rank ends with the same matrix.
"""

from __future__ import annotations

import warnings
from typing import Callable, List, NamedTuple, Optional, Sequence

import mxnet as mx
import numpy as np

from ..errors import UserError

# Proportions are added up in units of 1 / _UNIT. It is a multiple of the positions of usual features (18x7x7),
# so that sums are of whole numbers: exact, and the same in any order and on any number of ranks.
_UNIT = 2**10 * 3**4 * 5**2 * 7**2 * 11 * 13

AllReduce = Callable[[np.ndarray], np.ndarray]


class ChannelActivity:
    """How often each channel responds to each category: per-class sums of Q, the proportion of non-zero responses.

    Every clip counts the same, whatever its number of positions.

    Parameters
    ----------
    classes, channels
        M and C

    Attributes
    ----------
    state
        (M, C + 1) float64, sums of Q and behind them the clips: all there is to keep in a checkpoint. May be assigned
    """

    def __init__(self, classes: int, channels: int):
        self.classes, self.channels = classes, channels
        self._sums = np.zeros((classes, channels + 1))

    def add(self, features, label) -> None:
        """Count a batch.

        Parameters
        ----------
        features
            X_U after ReLU, (N, C, T, H, W) or (N, C, H, W), NumPy or NDArray; the frames of one video, given one by
            one, make the same average as the video
        label
            (N,) categories 0..M-1

        Raises
        ------
        UserError
            sizes that do not fit, or a label outside
        """
        label = _labels(label, len(features), self.classes)
        if features.ndim < 3 or features.shape[1] != self.channels:
            raise UserError(f'features have shape {features.shape}; expected (N, {self.channels}, ...)')
        axes = tuple(range(2, features.ndim))
        positions = int(np.prod(features.shape[2:]))
        if isinstance(features, mx.nd.NDArray):  # counted where they lie; float16 cannot count to 2049
            active = (features != 0).astype('float32').sum(axis=axes).asnumpy().astype('float64')
        else:
            active = np.count_nonzero(features, axis=axes)
        np.add.at(self._sums[:, :-1], label, active * (_UNIT / positions))
        np.add.at(self._sums[:, -1], label, 1)

    def merge(self, allreduce: AllReduce) -> None:
        """Add up all ranks' counts, so that each has the whole; a collective call.

        Parameters
        ----------
        allreduce
            float64 array -> the ranks' sum of it, of the same shape
        """
        self._sums = _merged(self._sums, allreduce)

    @property
    def state(self) -> np.ndarray:
        return self._sums.copy()

    @state.setter
    def state(self, sums: np.ndarray) -> None:
        self._sums = _checked_state(sums, self._sums)

    @property
    def counts(self) -> np.ndarray:
        """(M,) int: clips of each category."""
        return self._sums[:, -1].astype(np.int64)

    def sparsity(self) -> np.ndarray:
        """Xi (M, C): each category's average of 1 - Q (eq. 1); NaN for a category without clips.

        Raises
        ------
        UserError
            nothing was counted
        """
        if not self.counts.any():
            raise UserError('the CSM needs training samples, and none were counted')
        counts = self._sums[:, -1:]
        mean = np.full((self.classes, self.channels), np.nan)
        np.divide(self._sums[:, :-1], _UNIT * counts, out=mean, where=counts > 0)
        return 1 - mean


class TrueRanks:
    """On which place predictions have the true category: all top-n accuracies at once.

    Parameters
    ----------
    classes
        M

    Attributes
    ----------
    state
        (M,) float64, clips by place, the first for right ones; may be assigned
    """

    def __init__(self, classes: int):
        self.classes = classes
        self._clips = np.zeros(classes)

    def add(self, scores, label) -> None:
        """Count a batch: scores (N, M), logits or probabilities, NumPy or NDArray; label (N,).

        Of equal scores the lower category is placed first, as in `numpy.argmax`; a true category's NaN is placed last.

        Raises
        ------
        UserError
            sizes that do not fit, or a label outside
        """
        scores = scores.astype('float32').asnumpy() if isinstance(scores, mx.nd.NDArray) else np.asarray(scores)
        label = _labels(label, len(scores), self.classes)
        if scores.shape[1:] != (self.classes,):
            raise UserError(f'scores have shape {scores.shape}; expected (N, {self.classes})')
        own = scores[np.arange(len(label)), label][:, None]
        later = np.arange(self.classes)[None] > label[:, None]
        behind = (scores < own) | ((scores == own) & later)
        np.add.at(self._clips, self.classes - 1 - behind.sum(axis=1), 1)

    def merge(self, allreduce: AllReduce) -> None:
        """As `ChannelActivity.merge`."""
        self._clips = _merged(self._clips, allreduce)

    @property
    def state(self) -> np.ndarray:
        return self._clips.copy()

    @state.setter
    def state(self, clips: np.ndarray) -> None:
        self._clips = _checked_state(clips, self._clips)

    def accuracy(self) -> np.ndarray:
        """(M,) top-1 to top-M accuracy, fractions.

        Raises
        ------
        UserError
            nothing was counted
        """
        if not self._clips.any():
            raise UserError('top-n accuracy needs predictions, and none were counted')
        return np.cumsum(self._clips) / self._clips.sum()

    def smallest(self, target: float) -> int:
        """The smallest n whose top-n accuracy is at least `target`, a fraction.

        Raises
        ------
        UserError
            a target outside (0, 1], nothing was counted
        """
        if not 0 < target <= 1:
            raise UserError(f'the top-n accuracy to reach is a fraction in (0, 1], such as 0.85, got {target!r}')
        reached = self.accuracy() >= target
        reached[-1] = True  # all of M categories, whatever the rounding
        return int(reached.argmax()) + 1


def distance(sparsity: np.ndarray) -> np.ndarray:
    """(M, M) mean absolute difference of two categories' Xi (M, C); NaN for categories without clips."""
    return np.stack([np.abs(sparsity - row).mean(axis=1) for row in sparsity])


def similarity(sparsity: np.ndarray, names: Optional[Sequence[str]] = None) -> np.ndarray:
    """S (M, M), how similarly two categories' clips fire the channels (eq. 2), symmetric with a diagonal of 1.

    1 less the mean absolute difference of Xi, stretched so that the least similar pair has 0. Categories without clips
    are similar to none, with a warning. Where there is no difference at all, all are similar: 1.

    Parameters
    ----------
    sparsity
        Xi (M, C) of `ChannelActivity`
    names
        the categories', for the warning
    """
    apart = distance(sparsity)
    known = ~np.isnan(np.diag(apart))
    if not known.all():
        missing = [_name(i, names) for i in np.flatnonzero(~known)]
        shown = ', '.join(missing[:5]) + (', ...' if len(missing) > 5 else '')
        warnings.warn(
            f'{len(missing)} of {len(known)} classes have no training samples and get no confusing classes: {shown}',
            stacklevel=2,
        )
    apart = apart[np.ix_(known, known)]
    widest = apart.max()
    s = np.eye(len(known))
    s[np.ix_(known, known)] = 1 - apart / widest if widest > 0 else 1.0
    return s


class Threshold(NamedTuple):
    """A threshold and what it does.

    Parameters
    ----------
    alpha
        S >= alpha makes a pair
    average
        categories that a prediction selects with it, itself counted, on average over all categories
    """

    alpha: float
    average: float


def threshold(s: np.ndarray, n: float) -> Threshold:
    """The alpha that lets a prediction select n categories on average.

    **What counts**: the predicted category itself and its confusing ones, as in top-n accuracy; that is, the average
    number of ones in a column of the CSM, its diagonal included. n = 1 leaves no pair, n = M takes all.

    **Ties**: pairs of equal similarity come in together or not at all, and a pair brings two ones, so that n is met
    as nearly as possible; of two averages equally near the smaller is taken. Alpha lies halfway between the last pair
    in and the first one out, so that it can be written down with a few digits.

    Parameters
    ----------
    s
        (M, M) similarities, symmetric
    n
        from 1 to M

    Raises
    ------
    UserError
        n outside 1 to M
    """
    classes = len(s)
    if not 1 <= n <= classes:
        raise UserError(f'the average number of confusing categories must be from 1 to {classes}, got {n!r}')
    values, counts = np.unique(s[np.triu_indices(classes, 1)], return_counts=True)
    values, counts = values[::-1], counts[::-1]  # most similar first
    ones = 2 * np.concatenate([[0], np.cumsum(counts)])  # without the diagonal, after so many different values
    cut = int(np.abs(ones - (n - 1) * classes).argmin())  # the first of equals
    bounds = np.concatenate([[np.inf], values, [-np.inf]])
    return Threshold(_between(bounds[cut], bounds[cut + 1]), 1 + float(ones[cut]) / classes)


def binary_csm(s: np.ndarray, alpha: float) -> np.ndarray:
    """The CSM (M, M) float32: 1 where S >= alpha and on the diagonal, else 0; warns of one without use.

    Without any pair each category is masked by its own mask and nothing is regularized; with all pairs every
    prediction selects the same mask.
    """
    csm = (s >= alpha).astype(np.float32)
    np.fill_diagonal(csm, 1)
    pairs, possible = int(csm.sum()) - len(csm), len(csm) * (len(csm) - 1)
    if not pairs:
        warnings.warn(
            f'alpha {alpha:.4g} leaves no pair of confusing classes: each class uses its own mask alone; '
            'choose a lower alpha or a larger n',
            stacklevel=2,
        )
    elif pairs == possible:
        warnings.warn(
            f'alpha {alpha:.4g} makes all {pairs // 2} pairs of classes confusing: every prediction gets the same '
            'mask; choose a higher alpha or a smaller n',
            stacklevel=2,
        )
    return csm


class Pair(NamedTuple):
    """Two confusing categories.

    Parameters
    ----------
    first, second
        numbers, the lower first
    names
        of the two, or their numbers as text
    similarity
        from S
    """

    first: int
    second: int
    names: tuple
    similarity: float


def confusing_pairs(csm: np.ndarray, s: np.ndarray, names: Optional[Sequence[str]] = None) -> List[Pair]:
    """Pairs of different categories that the CSM (M, M) holds to be confusing, the most similar (by S) first."""
    first, second = np.nonzero(np.triu((csm > 0) | (csm.T > 0), 1))
    order = np.argsort(-s[first, second], kind='stable')
    return [
        Pair(int(i), int(j), (_name(i, names), _name(j, names)), float(s[i, j]))
        for i, j in zip(first[order], second[order])
    ]


def _between(upper: float, lower: float) -> float:
    """A threshold that `upper` reaches and `lower` does not; either may be infinite."""
    if np.isinf(lower):
        return min(float(upper), 0.0) if np.isfinite(upper) else 1.0
    if np.isinf(upper):
        upper = 1.0 if lower < 1 else np.nextafter(lower, np.inf)
    middle = float((upper + lower) / 2)
    return middle if middle > lower else float(upper)


def _labels(label, rows: int, classes: int) -> np.ndarray:
    label = label.asnumpy() if isinstance(label, mx.nd.NDArray) else np.asarray(label)
    if label.shape != (rows,):
        raise UserError(f'labels have shape {label.shape}; expected ({rows},)')
    numbers = label.astype(np.int64)
    wrong = (numbers < 0) | (numbers >= classes) | (numbers != label)
    if wrong.any():
        raise UserError(f'label {label[wrong][0]} is no class number; expected 0 to {classes - 1}')
    return numbers


def _merged(sums: np.ndarray, allreduce: AllReduce) -> np.ndarray:
    return _checked_state(allreduce(sums.copy()), sums)


def _checked_state(sums, like: np.ndarray) -> np.ndarray:
    sums = np.array(sums, np.float64)
    if sums.shape != like.shape:
        raise UserError(f'counts have shape {sums.shape}; expected {like.shape}: other classes or channels')
    return sums


def _name(i: int, names: Optional[Sequence[str]]) -> str:
    return str(i) if names is None else str(names[i])
