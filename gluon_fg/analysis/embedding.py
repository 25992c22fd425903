"""Confusing classes before and after: their videos' pooled features in the plane, by t-SNE (Zhao et al., fig. 6 f, g).

t-SNE keeps neighbors together and little else: distances, sizes of clouds and gaps between them mean nothing, and two
pictures cannot be compared by eye. So each picture states a number that is measured in the features themselves: how
many videos have the majority of their nearest neighbors in their own class.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..data.datasets import VideoDataset
from ..errors import UserError
from .clips import require_recognizer
from .features import video_features

NEIGHBORS = 5
_LEAST = 8  # videos that a map can be made of


class Pooled(NamedTuple):
    """Features of videos, averaged over all positions, as the classifiers read them.

    Parameters
    ----------
    title
        network and kind of features
    values, labels
        (N, C) float64; (N,) int
    """

    title: str
    values: np.ndarray
    labels: np.ndarray


class Embedding(NamedTuple):
    """A map of one `Pooled`: `points` (N, 2); `agreement`, see `neighbor_agreement`."""

    title: str
    points: np.ndarray
    labels: np.ndarray
    agreement: float


def pooled_features(
    net: HybridBlock,
    dataset: VideoDataset,
    labels: Sequence[int],
    title: Optional[str] = None,
    ctx: Optional[mx.Context] = None,
    workers: int = 2,
    progress: bool = False,
) -> List[Pooled]:
    """Every kind of features of a network, for the videos of some classes; see `video_features`."""
    require_recognizer(net)
    title = title or str(net.name)
    videos = [
        (video.label, [values.mean(axis=1, dtype=np.float64) for values in video.values])
        for video in video_features(net, dataset, labels, ctx, workers, progress)
    ]
    label_of_video = np.array([label for label, _ in videos])
    alone = len(net.feature_kinds) == 1 and net.feature_kinds[0].branch is None
    return [
        Pooled(
            title if alone else f'{title}: {kind.name}',
            np.stack([values[place] for _, values in videos]),
            label_of_video,
        )
        for place, kind in enumerate(net.feature_kinds)
    ]


def neighbor_agreement(values: np.ndarray, labels: np.ndarray, neighbors: int = NEIGHBORS) -> float:
    """Share of points whose nearest neighbors (Euclidean, itself left out) are mostly of their own class.

    Parameters
    ----------
    values, labels
        (N, C) and (N,)
    neighbors
        how many; an odd number, so that two classes cannot tie. Fewer where there are not as many

    Raises
    ------
    UserError
        fewer than two points, or an even number
    """
    if len(values) < 2 or neighbors % 2 == 0:
        raise UserError(f'{len(values)} points and {neighbors} neighbors; give two points and an odd number at least')
    squares = (values**2).sum(axis=1)
    apart = squares[:, None] + squares[None] - 2 * values @ values.T
    np.fill_diagonal(apart, np.inf)
    count = min(neighbors, len(values) - 1 - (len(values) % 2))
    nearest = np.argsort(apart, axis=1, kind='stable')[:, :count]
    return float(((labels[nearest] == labels[:, None]).sum(axis=1) * 2 > count).mean())


def tsne(pooled: Pooled, seed: int = 0, perplexity: Optional[float] = None) -> Embedding:
    """Map features to the plane (van der Maaten and Hinton 2008), from principal components; the same for one seed.

    Parameters
    ----------
    seed
        of the random numbers that scikit-learn uses
    perplexity
        neighbors that count; None: 30, less for fewer than 90 videos

    Raises
    ------
    UserError
        fewer than 8 videos; a perplexity that is not between 1 and the number of videos
    """
    count = len(pooled.values)
    if count < _LEAST:
        raise UserError(
            f'{count} videos are too few for a map of them; choose classes or a split with {_LEAST} or more'
        )
    perplexity = min(30.0, count / 3) if perplexity is None else perplexity
    if not 1 <= perplexity < count:
        raise UserError(f'perplexity must be at least 1 and below the number of videos, {count}, got {perplexity:g}')
    from sklearn.manifold import TSNE  # slow: only for those who ask

    # the exact gradient, of all pairs, is fast enough for the videos of two classes, and depends on no tree
    method = 'exact' if count <= 500 else 'barnes_hut'
    model = TSNE(2, perplexity=perplexity, init='pca', learning_rate='auto', random_state=seed, method=method)
    points = model.fit_transform(pooled.values)
    return Embedding(pooled.title, points, pooled.labels, neighbor_agreement(pooled.values, pooled.labels))
