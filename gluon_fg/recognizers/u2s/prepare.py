"""Making the category similarity matrix of U2S, between the first two stages of training (U2S sec. III-A and IV-B).

Which classes fire the same channels is counted over the training set, by the universal network, as in testing: one
center view of each video. How many classes a prediction may be confused with, n, is read from the network's accuracy
on training videos that are held out from both stages (our choice: the paper does not say which set; a trained network
is right about nearly all videos that it has learned, and the validation set is often the one that is reported). A run
that holds none out reads it from the validation set.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ...errors import UserError
from ...nn.class_similarity import ChannelActivity, Pair, related_pairs, similarity
from ...nn.norm import clear_cached_graphs
from ..contract import PrepareContext
from .csm import TrueRanks, binary_csm, threshold

CSM = 'branches.masks.csm'  # the parameter's structural name
COUNTED = 'csm.npz'  # in the run's folder


@dataclasses.dataclass(frozen=True)
class SimilarityMatrix:
    """A category similarity matrix and where it comes from.

    Parameters
    ----------
    csm
        (M, M) float32, as the network has it: zeros and ones, or the similarities
    similarity, sparsity
        S (M, M) and Xi (M, C), float64
    n, alpha, average
        classes that a prediction was to select on average, itself counted; the threshold; how many it selects
    videos
        number of counted videos
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

    def __str__(self) -> str:
        shown = ', '.join(f'{p.names[0]} / {p.names[1]} {p.similarity:.3f}' for p in self.pairs[:10])
        return (
            f'CSM over {self.videos} training videos: n {self.n:g}, alpha {self.alpha:.4g}, a prediction selects '
            f'{self.average:.2f} classes on average; {len(self.pairs)} confusing pairs'
            + (f', most similar first: {shown}' if shown else '')
            + (', ...' if len(self.pairs) > 10 else '')
        )

    def arrays(self) -> Dict[str, np.ndarray]:
        """All of it as arrays, for a file; the pairs are (pairs, 2) class numbers."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {**fields, 'pairs': np.array([p[:2] for p in self.pairs], np.int64).reshape(-1, 2)}


def prepare(net: Any, context: PrepareContext, n: Optional[float], target: float, source: Optional[str] = None) -> None:
    """Make a network's CSM, put it in place, and write it into the run's log and folder.

    Nothing is done for a network without a mask network, and none that has a CSM already. Where the universal network
    is not trained, no CSM can be made, and a warning says so.

    Parameters
    ----------
    net
        a `U2S` network
    context
        what the training run offers
    n
        classes that a prediction selects on average, from 1 to M; None: the smallest whose top-n accuracy reaches
        `target`, a fraction
    source
        the videos that this accuracy is of: 'held_out' (training videos that are held out) or 'val'; None: the first,
        where there are any

    Raises
    ------
    UserError
        n outside 1 to M, no video that can be decoded, or none held out where n is to be read from these. Warns of
        classes without videos, of no pair and of all pairs
    """
    if net.csm is None or CSM not in context.untrained:
        return
    if not context.untrained.isdisjoint(net.global_parameters()):
        context.say(
            f'warning: {net.name} starts without a trained {net.global_branch} network, so that no CSM can be made: '
            'each class uses its own mask alone; set model.params, or train in stages'
        )
        return
    validation = context.validation(net.global_branch)  # the accuracy to improve on, in the log in any case
    source = 'given' if n is not None else source or ('val' if context.held_out is None else 'held_out')
    given = n
    if n is None:
        n = _smallest(net, validation if source == 'val' else _held_out(net, context), target)
    matrix = build_csm(net, context, n)
    context.say(str(matrix))
    context.save(COUNTED, **matrix.arrays())
    context.record(
        'csm',
        n=n,
        target=target if given is None else None,
        n_from=source,
        alpha=matrix.alpha,
        average=matrix.average,
        videos=matrix.videos,
        pairs=[[*pair.names, pair.similarity] for pair in matrix.pairs],
    )


def _held_out(net: Any, context: PrepareContext) -> Tuple[np.ndarray, np.ndarray]:
    if context.held_out is None:
        raise UserError(
            'model.options.csm_from is held_out, but no training videos are: set data.hold_out, for example to 0.1 (in '
            'the run of the universal network, too), or choose csm_from=val or csm_n'
        )
    return context.held_out(net.global_branch)


def _smallest(net: Any, predictions: Tuple[np.ndarray, np.ndarray], target: float) -> int:
    ranks = TrueRanks(net.nclass)
    ranks.add(*predictions)
    return ranks.smallest(target)


def build_csm(net: Any, context: PrepareContext, n: float) -> SimilarityMatrix:
    """Make a network's CSM of the training set and put it in place; the same on every rank, for any number of them.

    Memory does not depend on the number of videos. Arguments and errors as for `prepare`.
    """
    activity = ChannelActivity(net.nclass, net.branches.backbone.channels[5])
    for x, labels in context.training_batches():
        features, _ = net.universal(x)
        activity.add(features, np.repeat(labels, len(features) // len(labels)))  # several frames of a video
    activity.merge(context.add_over_ranks)
    names, sparsity = context.class_names, activity.sparsity()
    s = similarity(sparsity, names)
    alpha, average = threshold(s, n)
    binary = binary_csm(s, alpha)
    csm = s.astype(np.float32) if net.real_valued_csm else binary
    net.set_csm(csm)
    clear_cached_graphs(net)  # the universal network's own is not needed any more
    videos = int(activity.counts.sum()) // net.num_segments
    return SimilarityMatrix(csm, s, sparsity, n, alpha, average, videos, related_pairs(binary, s, names))
