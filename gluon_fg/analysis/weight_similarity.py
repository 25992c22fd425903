"""How alike the filters of class masks are, for example with and without regularization (Zhao et al., fig. 7)."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from mxnet.gluon import HybridBlock

from ..errors import UserError
from ..evaluation.score import class_names
from ..evaluation.tables import columns
from .clips import require_recognizer


class WeightSimilarity(NamedTuple):
    """One network's S^w (eq. 4).

    Parameters
    ----------
    title, classes
        what to call the network; names of its M classes
    matrix
        (M, M) cosine similarities of the classes' filters, -1 to 1
    confusing
        (M, M) bool: pairs of different classes that the network relates to each other, either way round
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
        """Mean over the confusing pairs; None without any. Eq. 5 where the relation is symmetric, of zeros and ones."""
        return float(self.matrix[self.confusing].mean()) if self.confusing.any() else None

    @property
    def between_others(self) -> Optional[float]:
        """Mean over all other pairs; None without any."""
        others = ~self.confusing & ~np.eye(len(self.matrix), dtype=bool)
        return float(self.matrix[others].mean()) if others.any() else None


def weight_similarity(net: HybridBlock, title: Optional[str] = None) -> WeightSimilarity:
    """S^w of a network with one filter a class; a relation of classes that is no set of pairs makes none confusing.

    Raises
    ------
    UserError
        a network without such filters
    """
    require_recognizer(net)
    filters, relation = net.class_filters(), net.class_relation
    if filters is None or filters.shape[1] != 1 or relation is None:
        raise UserError(f'{net.name} has no masks of classes; choose a network with a mask network')
    w = filters[:, 0].astype(np.float64)
    unit = w / np.maximum(np.linalg.norm(w, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    related = relation.matrix
    binary = np.isin(related, (0, 1)).all()
    pairs = (related == 1) | (related.T == 1) if binary else np.zeros(related.shape, bool)
    pairs &= ~np.eye(len(w), dtype=bool)
    return WeightSimilarity(title or str(net.name), class_names(net), unit @ unit.T, pairs)


def by_name(network: WeightSimilarity) -> WeightSimilarity:
    """Classes in the order of their names, so that those of one verb lie together (fig. 7)."""
    order = sorted(range(len(network.classes)), key=lambda i: network.classes[i])
    at = np.ix_(order, order)
    return network._replace(
        classes=tuple(network.classes[i] for i in order), matrix=network.matrix[at], confusing=network.confusing[at]
    )


def check_alike(networks: Sequence[WeightSimilarity]) -> None:
    """Refuse networks of other classes than the first one's, which cannot be drawn side by side."""
    for network in networks[1:]:
        if network.classes != networks[0].classes:
            raise UserError(
                f'{networks[0].title} and {network.title} have other classes; choose networks of one dataset'
            )


def format_weight_similarity(networks: Sequence[WeightSimilarity]) -> str:
    """A table: mean similarity of confusing pairs and of the others, and the share of pairs above 0.5."""
    rows: List[list] = [
        [
            network.title,
            int(network.confusing.sum()) // 2,
            number(network.between_confusing),
            number(network.between_others),
            f'{100 * (network.pairs > 0.5).mean():.1f}' if len(network.pairs) else '-',
        ]
        for network in networks
    ]
    return columns(['network', 'confusing pairs', 'their mean', 'mean of others', 'pairs above 0.5, %'], rows)


def number(value: Optional[float]) -> str:
    """Three decimals, or a dash where there is nothing to average."""
    return '-' if value is None else f'{value:.3f}'
