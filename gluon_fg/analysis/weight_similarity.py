"""How alike the mask network's filters are, with and without category regularization (U2S sec. IV-C6, fig. 7)."""

from __future__ import annotations

import os
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import UserError
from ..evaluation.metrics import columns
from ..evaluation.score import class_names
from .similarity_chart import plot_matrices


class WeightSimilarity(NamedTuple):
    """One network's S^w (eq. 4).

    Parameters
    ----------
    title, classes
        what to call the network; names of its M classes
    matrix
        (M, M) cosine similarities of the classes' filters, -1 to 1
    confusing
        (M, M) bool: pairs of different classes that its CSM holds to be confusing, either way round
    """

    title: str
    classes: Tuple[str, ...]
    matrix: np.ndarray
    confusing: np.ndarray

    @property
    def pairs(self) -> np.ndarray:
        """(M (M - 1) / 2,) S^w of each pair of different classes."""
        return self.matrix[np.triu_indices(len(self.matrix), 1)]

    @property
    def between_confusing(self) -> Optional[float]:
        """Mean over the confusing pairs: w_regular (eq. 5) where the CSM is symmetric, of zeros and ones. None without
        any."""
        return float(self.matrix[self.confusing].mean()) if self.confusing.any() else None

    @property
    def between_others(self) -> Optional[float]:
        """Mean over all other pairs; None without any."""
        others = ~self.confusing & ~np.eye(len(self.matrix), dtype=bool)
        return float(self.matrix[others].mean()) if others.any() else None


def weight_similarity(net, title: Optional[str] = None) -> WeightSimilarity:
    """S^w of a network with a mask network; a real-valued CSM (variant c) makes no pair confusing.

    Raises
    ------
    UserError
        no mask network
    """
    masks = getattr(getattr(net, 'branches', None), 'masks', None)
    if masks is None or not hasattr(masks, 'weight_similarity'):
        raise UserError(f'{net.name} has no mask network; choose a U2S network with one')
    ctx = masks.weight.list_ctx()[0]
    csm = masks.csm.data(ctx).asnumpy()
    pairs = (csm == 1) | (csm.T == 1) if np.isin(csm, (0, 1)).all() else np.zeros(csm.shape, bool)
    matrix = masks.weight_similarity(ctx=ctx).asnumpy().astype(np.float64)
    return WeightSimilarity(title or str(net.name), class_names(net), matrix, pairs & ~np.eye(len(csm), dtype=bool))


def by_name(one: WeightSimilarity) -> WeightSimilarity:
    """Classes in the order of their names, so that those of one verb lie together (fig. 7)."""
    order = sorted(range(len(one.classes)), key=lambda i: one.classes[i])
    at = np.ix_(order, order)
    return one._replace(
        classes=tuple(one.classes[i] for i in order), matrix=one.matrix[at], confusing=one.confusing[at]
    )


def check_alike(found: Sequence[WeightSimilarity]) -> None:
    """Refuse networks of other classes than the first one's, which cannot be drawn side by side."""
    for one in found[1:]:
        if one.classes != found[0].classes:
            raise UserError(f'{found[0].title} and {one.title} have other classes; choose networks of one dataset')


def plot_weight_similarity(found: Sequence[WeightSimilarity], path: os.PathLike) -> None:
    """Draw each matrix on one colour scale and, in one histogram, the similarities of all pairs, as PNG.

    Raises
    ------
    UserError
        networks of other classes
    """
    check_alike(found)
    drawn = [by_name(one) for one in found]
    low = min(0.0, min(one.matrix.min() for one in drawn))
    titles = [
        f'{one.title}\nconfusing pairs {number(one.between_confusing)}, others {number(one.between_others)}'
        for one in drawn
    ]
    plot_matrices(
        [one.matrix for one in drawn],
        titles,
        path,
        drawn[0].classes,
        (low, 1),
        [one.pairs for one in drawn],
        "S^w, cosine of two classes' filters (eq. 4)",
        [one.title for one in drawn],
    )


def format_weight_similarity(found: Sequence[WeightSimilarity]) -> str:
    """A table: mean similarity of confusing pairs and of the others, and the share of pairs above 0.5."""
    rows: List[list] = [
        [
            one.title,
            int(one.confusing.sum()) // 2,
            number(one.between_confusing),
            number(one.between_others),
            f'{100 * (one.pairs > 0.5).mean():.1f}' if len(one.pairs) else '-',
        ]
        for one in found
    ]
    return columns(['network', 'confusing pairs', 'their mean', 'mean of others', 'pairs above 0.5, %'], rows)


def number(value: Optional[float]) -> str:
    """Three decimals, or a dash where there is nothing to average."""
    return '-' if value is None else f'{value:.3f}'
