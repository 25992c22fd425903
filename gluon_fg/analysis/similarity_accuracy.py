"""Are classes that look like others to a network the ones it gets wrong? (Zhao et al., sec. IV-C4, figs. 1, 4, eq. 7)

    `similarity`: S of each kind of features -> eq. 7: how similar a class is to all others -.
    scores of a split -> accuracy of each class ---------------------------------------------+-> points

Eq. 7 is Norm(sum over j of S_ij, less S_ii): the sum, or average, over **all** other classes, stretched from the least
to the most similar class (min-max). Because of that stretching it does not matter whether S was stretched before, but
also nothing is left to tell a network whose classes are all alike from one that tells them all apart. The paper wants
"a unified scale among four kinds of feature representations": `scale='shared'` stretches from the lowest to the highest
average of all kinds, of S that was not stretched before.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..data.labels import LabelSet
from ..errors import UserError, unknown
from ..evaluation.metrics import per_class
from ..evaluation.score import Scores
from ..evaluation.statistics import spearman
from ..evaluation.tables import columns, percent
from .similarity import ClassSimilarity

SCALES = ('own', 'shared')


class Point(NamedTuple):
    """A class: eq. 7's `similarity` in [0, 1], `accuracy` (a fraction) over `videos`."""

    name: str
    similarity: float
    accuracy: float
    videos: int


class Series(NamedTuple):
    """One kind of features and its prediction's accuracies.

    `points`: the classes with features and scored videos; `average`: mean of S before stretching over all pairs of
    them; `rho`: Spearman's correlation of the points, None where one side is constant, with its 95 % interval `low` to
    `high` (`spearman`), None for fewer than four classes.
    """

    title: str
    points: List[Point]
    average: float
    rho: Optional[float]
    low: Optional[float]
    high: Optional[float]


def to_others(matrix: np.ndarray) -> np.ndarray:
    """(M,) each class's average similarity to all others, S's own diagonal left out: eq. 7 before Norm. NaN for classes
    that have none."""
    known = ~np.isnan(np.diag(matrix))
    result = np.full(len(matrix), np.nan)
    if known.sum() > 1:
        inner = matrix[np.ix_(known, known)]
        result[known] = (inner.sum(axis=1) - np.diag(inner)) / (known.sum() - 1)
    return result


def min_max(values: np.ndarray, low: Optional[float] = None, high: Optional[float] = None) -> np.ndarray:
    """Values stretched to [0, 1], or from given ends; all 0 where there is no span, NaN stays."""
    low = np.nanmin(values) if low is None else low
    high = np.nanmax(values) if high is None else high
    return (values - low) / (high - low) if high > low else values * 0.0


def relate(pairs: Sequence[Tuple[ClassSimilarity, Scores]], scale: str = 'own') -> List[Series]:
    """Eq. 7's similarity and the accuracy of each class, for every kind of features of every network.

    Each kind is set against the accuracy of the prediction made of it: universal features against the universal
    branch, and so on.

    Parameters
    ----------
    pairs
        similarities and scores of each network; the features may come from another split than the scores
    scale
        'own': each kind stretched by itself (eq. 7); 'shared': all by the same ends (see above)

    Raises
    ------
    UserError
        unknown scale; scores of other classes or without a branch; fewer than two classes with both; a shared scale for
        a network's own matrix, which says nothing about distances
    """
    if scale not in SCALES:
        raise unknown('scale', scale, SCALES)
    rows_of = []
    for similar, scores in pairs:
        if LabelSet(similar.classes).fingerprint != scores.fingerprint:
            raise UserError(
                f'the similarities of {similar.model} are of {len(similar.classes)} classes, the scores of '
                f'{scores.model or "the network"} of {len(scores.classes)}, and the lists differ; choose one dataset'
            )
        for kind in similar.kinds:
            if scale == 'shared' and similar.of_network:
                raise UserError(f'the {kind.kind} of {similar.model} has a scale of its own; choose scale own')
            rows = per_class(scores, kind.branch)
            seen = np.array([row['videos'] > 0 for row in rows]) & ~np.isnan(np.diag(kind.matrix))
            if seen.sum() < 2:
                raise UserError(f'{similar.model}: fewer than two classes have both features and scored videos')
            matrix = np.where(seen[:, None] & seen[None], kind.matrix, np.nan)
            title = similar.model if kind.kind == 'features' else f'{similar.model}: {kind.kind}'
            rows_of.append((title, rows, to_others(matrix)))
    ends = [(np.nanmin(v), np.nanmax(v)) for _, _, v in rows_of]
    shared = (min(low for low, _ in ends), max(high for _, high in ends)) if scale == 'shared' else (None, None)
    result = []
    for title, rows, values in rows_of:
        points = [
            Point(row['name'], float(x), row['top1'], row['videos'])
            for row, x in zip(rows, min_max(values, *shared))
            if not np.isnan(x)
        ]
        rho = spearman([p.similarity for p in points], [p.accuracy for p in points])
        result.append(Series(title, points, float(np.nanmean(values)), *rho))
    return result


class Histogram(NamedTuple):
    """`edges` (bins + 1,) from 0 to 1; `classes` (bins,) how many lie in each; `accuracy` (bins,) their mean accuracy,
    NaN for none."""

    edges: np.ndarray
    classes: np.ndarray
    accuracy: np.ndarray


def histogram(series: Series, bins: int = 10) -> Histogram:
    """Classes and their mean accuracy in intervals of similarity; an edge belongs to the interval above, 1 to the last.

    Raises
    ------
    UserError
        fewer than one bin
    """
    if bins < 1:
        raise UserError(f'bins must be at least 1, got {bins}')
    similarity, accuracy = (np.array([getattr(p, f) for p in series.points]) for f in ('similarity', 'accuracy'))
    counts, edges = np.histogram(similarity, bins, (0, 1))
    sums, _ = np.histogram(similarity, bins, (0, 1), weights=accuracy)
    return Histogram(edges, counts, np.divide(sums, counts, out=np.full(bins, np.nan), where=counts > 0))


def format_series(series: Sequence[Series]) -> str:
    """A table: classes, mean accuracy, mean similarity before stretching, correlation with its interval."""
    rows = [
        [
            kind.title,
            len(kind.points),
            percent(float(np.mean([p.accuracy for p in kind.points]))),
            f'{kind.average:.4f}',
            correlation(kind),
        ]
        for kind in series
    ]
    return columns(['features', 'classes', 'mean of classes, top1 %', 'mean similarity', "Spearman's rho (95 %)"], rows)


def correlation(kind: Series) -> str:
    """'-0.31 (-0.60 to 0.05)'; '-' where there is none."""
    if kind.rho is None:
        return '-'
    return f'{kind.rho:.2f}' + ('' if kind.low is None else f' ({kind.low:.2f} to {kind.high:.2f})')
