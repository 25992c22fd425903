"""The category similarity matrix (CSM): which classes a prediction may be confused with (Zhao et al., U2S, sec. III-A).

    features of all training clips -> ChannelActivity -> sparsity Xi (M, C) -> similarity S (M, M) -.
    universal logits -> TrueRanks -> n, the categories a prediction may be confused with -> alpha ----+-> binary CSM

The similarities are those of `gluon_fg.nn.class_similarity`. Plain NumPy.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import mxnet as mx
import numpy as np

from ...errors import UserError
from ...nn.class_similarity import AllReduce, checked_state, class_numbers, cuts, merged


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

    def add(self, scores: Any, label: Any) -> None:
        """Count a batch: scores (N, M), logits or probabilities, NumPy or NDArray; label (N,).

        Of equal scores the lower category is placed first, as in `numpy.argmax`; a true category's NaN is placed last.

        Raises
        ------
        UserError
            sizes that do not fit, or a label outside
        """
        scores = scores.astype('float32').asnumpy() if isinstance(scores, mx.nd.NDArray) else np.asarray(scores)
        label = class_numbers(label, len(scores), self.classes)
        if scores.shape[1:] != (self.classes,):
            raise UserError(f'scores have shape {scores.shape}; expected (N, {self.classes})')
        own = scores[np.arange(len(label)), label][:, None]
        later = np.arange(self.classes)[None] > label[:, None]
        behind = (scores < own) | ((scores == own) & later)
        np.add.at(self._clips, self.classes - 1 - behind.sum(axis=1), 1)

    def merge(self, allreduce: AllReduce) -> None:
        """As `ChannelActivity.merge`."""
        self._clips = merged(self._clips, allreduce)

    @property
    def state(self) -> np.ndarray:
        return self._clips.copy()

    @state.setter
    def state(self, clips: np.ndarray) -> None:
        self._clips = checked_state(clips, self._clips)

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
    as nearly as possible; of two averages equally near the smaller is taken. See `gluon_fg.nn.class_similarity.Cuts`.

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
    every = cuts(s)
    best = int(np.abs(every.ones - (n - 1) * classes).argmin())  # the first of equals
    return Threshold(float(every.alphas[best]), 1 + float(every.ones[best]) / classes)


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
