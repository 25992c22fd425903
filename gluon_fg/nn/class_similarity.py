"""How similar classes are to a network: which of them fire the same channels.

    features of many clips -> ChannelActivity -> sparsity Xi (M, C) -> similarity S (M, M)

From "Universal-to-Specific Framework for Complex Action Recognition" (Zhao et al.), sec. III-A, eqs. 1 and 2. Plain
NumPy: the counter takes a batch at a time and keeps the same few numbers however many clips there are. Over several
ranks `merge` adds them up, so that every rank ends with the same matrix.
"""

from __future__ import annotations

import warnings
from typing import Any, Callable, List, NamedTuple, Optional, Sequence

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

    def add(self, features: Any, label: Any) -> None:
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
        label = class_numbers(label, len(features), self.classes)
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
        self._sums = merged(self._sums, allreduce)

    @property
    def state(self) -> np.ndarray:
        return self._sums.copy()

    @state.setter
    def state(self, sums: np.ndarray) -> None:
        self._sums = checked_state(sums, self._sums)

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
            raise UserError('class similarities need labeled samples, and none were counted')
        counts = self._sums[:, -1:]
        mean = np.full((self.classes, self.channels), np.nan)
        np.divide(self._sums[:, :-1], _UNIT * counts, out=mean, where=counts > 0)
        return 1 - mean


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
        missing = [name_of(i, names) for i in np.flatnonzero(~known)]
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


class Pair(NamedTuple):
    """Two categories and how similar they are.

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


def related_pairs(related: np.ndarray, s: np.ndarray, names: Optional[Sequence[str]] = None) -> List[Pair]:
    """Pairs of different categories with a value above 0 in `related` (M, M), the most similar (by S) first."""
    first, second = np.nonzero(np.triu((related > 0) | (related.T > 0), 1))
    order = np.argsort(-s[first, second], kind='stable')
    return [
        Pair(int(i), int(j), (name_of(i, names), name_of(j, names)), float(s[i, j]))
        for i, j in zip(first[order], second[order])
    ]


class Cuts(NamedTuple):
    """Every way in which one threshold can part a matrix's pairs of classes into similar ones and others.

    Cut 0 takes no pair, each further one the most similar pairs that are left, those of equal similarity together.

    Parameters
    ----------
    alphas
        (cuts,) the threshold of each, S >= alpha, decreasing: halfway between the last pair in and the first one out,
        so that it can be written down with a few digits
    ones
        (cuts,) int, how many ones the matrix of 0 and 1 has then beside its diagonal, two a pair
    entry
        (M, M) int, the first cut that takes each pair; 0 on the diagonal
    """

    alphas: np.ndarray
    ones: np.ndarray
    entry: np.ndarray

    @property
    def averages(self) -> np.ndarray:
        """(cuts,) n, the categories that a prediction selects on average, itself counted."""
        return 1 + self.ones / len(self.entry)


def cuts(s: np.ndarray) -> Cuts:
    """All cuts of similarities S (M, M), symmetric: see `Cuts`."""
    above = np.triu_indices(len(s), 1)
    values, place, counts = np.unique(-s[above], return_inverse=True, return_counts=True)  # most similar first
    bounds = np.concatenate([[np.inf], -values, [-np.inf]])
    entry = np.zeros(s.shape, np.int64)
    entry[above] = 1 + place
    return Cuts(
        np.array([_between(upper, lower) for upper, lower in zip(bounds[:-1], bounds[1:])]),
        2 * np.concatenate([[0], np.cumsum(counts)]),
        entry + entry.T,
    )


def _between(upper: float, lower: float) -> float:
    """A threshold that `upper` reaches and `lower` does not; either may be infinite."""
    if np.isinf(lower):
        return min(float(upper), 0.0) if np.isfinite(upper) else 1.0
    if np.isinf(upper):
        upper = 1.0 if lower < 1 else np.nextafter(lower, np.inf)
    middle = float((upper + lower) / 2)
    return middle if middle > lower else float(upper)


def class_numbers(label: Any, rows: int, classes: int) -> np.ndarray:
    """Labels (rows,) as int64; raises UserError for another shape or a number outside 0..M-1."""
    label = label.asnumpy() if isinstance(label, mx.nd.NDArray) else np.asarray(label)
    if label.shape != (rows,):
        raise UserError(f'labels have shape {label.shape}; expected ({rows},)')
    numbers = label.astype(np.int64)
    wrong = (numbers < 0) | (numbers >= classes) | (numbers != label)
    if wrong.any():
        raise UserError(f'label {label[wrong][0]} is no class number; expected 0 to {classes - 1}')
    return numbers


def merged(sums: np.ndarray, allreduce: AllReduce) -> np.ndarray:
    """All ranks' counts added up."""
    return checked_state(allreduce(sums.copy()), sums)


def checked_state(sums: Any, like: np.ndarray) -> np.ndarray:
    """Counts as float64, of the shape of others; raises UserError where they are not."""
    sums = np.array(sums, np.float64)
    if sums.shape != like.shape:
        raise UserError(f'counts have shape {sums.shape}; expected {like.shape}: other classes or channels')
    return sums


def name_of(i: int, names: Optional[Sequence[str]]) -> str:
    """The name of a class, or its number as text."""
    return str(i) if names is None else str(names[i])
