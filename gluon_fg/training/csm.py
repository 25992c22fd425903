"""The category similarity matrix of U2S, made between the first two stages of training (U2S sec. III-A and IV-B).

Which classes fire the same channels is counted over the training set, by the universal network, as in testing: one
centre view of each video. How many classes a prediction may be confused with, n, is read from its accuracy on the
validation set (ours: the paper does not say which set; a trained network is right about nearly all training videos).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional

import mxnet as mx
import numpy as np

from ..data.datasets import VideoDataset
from ..data.loader import ordered_map
from ..data.transforms import to_input
from ..errors import VideoError
from ..evaluation.protocol import get_protocol
from ..evaluation.score import Scores, class_names
from ..files import atomic_write
from ..nn.csm import ChannelActivity, Pair, TrueRanks, binary_csm, confusing_pairs, similarity, threshold
from ..nn.norm import clear_cached_graphs
from .distributed import World

logger = logging.getLogger(__name__)


class SimilarityMatrix(NamedTuple):
    """A CSM and where it comes from.

    Parameters
    ----------
    csm
        (M, M) float32, what the network got: zeros and ones, or the similarities
    similarity, sparsity
        S (M, M) and Xi (M, C), float64
    n, alpha, average
        classes that a prediction was to select on average, itself counted; the threshold; how many it selects
    videos
        counted
    pairs
        confusing classes, the most similar first
    """

    csm: np.ndarray
    similarity: np.ndarray
    sparsity: np.ndarray
    n: float
    alpha: float
    average: float
    videos: int
    pairs: List[Pair]

    def __str__(self):
        shown = ', '.join(f'{p.names[0]} / {p.names[1]} {p.similarity:.3f}' for p in self.pairs[:10])
        return (
            f'CSM over {self.videos} training videos: n {self.n:g}, alpha {self.alpha:.4g}, a prediction selects '
            f'{self.average:.2f} classes on average; {len(self.pairs)} confusing pairs'
            + (f', most similar first: {shown}' if shown else '')
            + (', ...' if len(self.pairs) > 10 else '')
        )

    def save(self, path: Path) -> None:
        """Write all of it as .npz, for pictures."""
        with atomic_write(path, 'wb') as stream:
            arrays = {k: v for k, v in self._asdict().items() if k != 'pairs'}
            np.savez_compressed(stream, **arrays, pairs=np.array([p[:2] for p in self.pairs], np.int64).reshape(-1, 2))


def confusing_count(net, scores: Scores, target: float) -> int:
    """n: the smallest one whose top-n accuracy, by the network's global branch, reaches `target`, a fraction."""
    ranks, known = TrueRanks(net.nclass), scores.labels >= 0
    ranks.add(scores.branch(net.global_branch)[known], scores.labels[known])
    return ranks.smallest(target)


def build_csm(
    net,
    dataset: VideoDataset,
    world: World,
    n: float,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 16,
    workers: int = 2,
    stop: Callable[[], bool] = lambda: False,
) -> Optional[SimilarityMatrix]:
    """Make a network's CSM from a dataset and put it in place; the same on every rank, for any number of them.

    Memory does not depend on the number of videos. Those that cannot be decoded are left out, and named in the log.

    Parameters
    ----------
    net
        a recognizer with a `csm`, its universal network trained
    dataset
        the training set
    world
        the job; rank r counts the videos r, r + size, ...
    n
        classes that a prediction selects on average, from 1 to M (see `nn.csm.threshold`)
    ctx, batch_size, workers
        device; views in a forward pass; decoding threads
    stop
        asked before each batch; once it is true on any rank all give up together

    Returns
    -------
    The matrix, or None where it was stopped.

    Raises
    ------
    UserError
        n outside 1 to M, or no video that can be decoded. Warns of classes without videos, of no pair and of all pairs
    """
    ctx, spec, protocol = ctx or mx.cpu(), net.input_spec, get_protocol('train_time')
    activity = ChannelActivity(net.nclass, net.branches.backbone.channels[5])

    def view(index):
        try:
            with dataset.open(index) as reader:
                return index, protocol.views(reader, spec)[0][0]
        except VideoError as error:
            return index, error

    def count(batch):
        stack = np.stack if spec.ndim == 3 else np.concatenate
        features, _ = net.universal(to_input(stack([clip for _, clip in batch]), spec, ctx))
        labels = np.array([dataset.records[index].label for index, _ in batch])
        activity.add(features, np.repeat(labels, len(features) // len(labels)))

    batch, stopped = [], False
    views = ordered_map(view, range(world.rank, len(dataset), world.size), workers, prefetch=2 * batch_size)
    try:
        for index, clip in views:
            stopped = stop()
            if stopped:
                break
            if isinstance(clip, VideoError):
                logger.warning('left out of the CSM: %s', clip)
                continue
            batch.append((index, clip))
            if len(batch) == batch_size:
                count(batch)
                batch = []
        if batch and not stopped:
            count(batch)
    finally:
        views.close()
    if any(world.gather_objects(stopped)):
        return None
    activity.merge(lambda sums: np.sum(world.gather_objects(sums), axis=0))
    names, sparsity = class_names(net), activity.sparsity()
    s = similarity(sparsity, names)
    alpha, average = threshold(s, n)
    binary = binary_csm(s, alpha)
    csm = s.astype(np.float32) if net.real_valued_csm else binary
    net.set_csm(csm)
    clear_cached_graphs(net)  # the universal network's own is not needed any more
    videos = int(activity.counts.sum()) // (net.num_segments if spec.ndim == 2 else 1)
    return SimilarityMatrix(csm, s, sparsity, n, alpha, average, videos, confusing_pairs(binary, s, names))
