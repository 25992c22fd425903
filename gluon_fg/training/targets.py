"""What the loss is computed against: the labels of a batch, smoothed and weighted as the config says."""

from __future__ import annotations

from typing import NamedTuple, Optional

import numpy as np

from ..data.dealing import shares_of


class Targets(NamedTuple):
    """Turns a batch's labels into targets of the loss.

    Parameters
    ----------
    smoothing
        epsilon of label smoothing (Szegedy et al. 2016, sec. 7): the target becomes (1 - epsilon) of itself and
        epsilon / M of every class; where `multi_label`, epsilon / 2, as each class is a question of yes or no
    weights
        (M,) float32, what each class's part of the target is multiplied with; None: nothing
    multi_label
        whether the network answers for each class on its own
    """

    smoothing: float = 0.0
    weights: Optional[np.ndarray] = None
    multi_label: bool = False

    def of(self, labels: np.ndarray, classes: int) -> np.ndarray:
        """Targets of labels (N,) or (N, M): the labels themselves where nothing changes them, else float32 (N, M)."""
        if not self.smoothing and self.weights is None:
            return labels
        shares = shares_of(labels, classes)
        if self.smoothing:
            shares = (1 - self.smoothing) * shares + self.smoothing / (2 if self.multi_label else classes)
        return (shares if self.weights is None else shares * self.weights).astype(np.float32)


PLAIN = Targets()


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """A weight for each class by how rare it is: videos / (classes that occur * videos of the class), (M,) float32.

    scikit-learn's `compute_class_weight('balanced')`: the mean weight of a video is 1. A class without videos, which
    scikit-learn gives none, has the weight 1.
    """
    counts = np.bincount(labels, minlength=classes)
    occurring = counts > 0
    weights = np.ones(classes, np.float32)
    weights[occurring] = counts.sum() / (occurring.sum() * counts[occurring])
    return weights
