"""Which classes a network takes for look-alikes at every threshold of their similarity, and what masks they bring.

    similarities of classes (`similarity`) -> all cuts of them -> n, pairs, what each prediction selects
    masks of some clips, of every class -----------------------> the mask that a prediction would look through

From "Universal-to-Specific Framework for Complex Action Recognition" (Zhao et al., sec. III-A), which fixes one
threshold alpha by n, the number of classes that a prediction may be confused with.
"""

from __future__ import annotations

import itertools
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from tqdm import tqdm

from ..data.datasets import VideoDataset, VideoRecord
from ..data.video import VideoReader
from ..errors import UserError
from ..evaluation.metrics import confusion
from ..evaluation.score import Scores, class_names, known_to
from ..evaluation.views import read_videos
from ..nn.class_similarity import Cuts, cuts
from .masks import Masks, clip_masks, require_masks
from .placement import Placement
from .similarity import ClassSimilarity

VALUES = 2_000_000  # of masks that are kept, in all


class Kind(NamedTuple):
    """Similarities by one kind of features, and every cut of them.

    Parameters
    ----------
    name
        the kind of features
    s
        S (M, M) as in `nn.class_similarity.similarity`: 1 on the diagonal, 0 for the least similar pair and for classes
        without videos
    cuts
        all thresholds that part its pairs in another way
    own
        the cut whose pairs are nearest to those of the network's own matrix; None without such a matrix of 0 and 1
    apart
        pairs in which the two differ
    """

    name: str
    s: np.ndarray
    cuts: Cuts
    own: Optional[int]
    apart: int


class Relation(NamedTuple):
    """What a page on the relation of classes shows.

    Parameters
    ----------
    similar
        the similarities, with names of the network, the data and the classes
    kinds
        of each kind of features
    order
        the classes in the order of their groups or, without any, of their clusters
    matrix, matrix_name
        the network's own matrix (M, M) and what its paper calls it; None and '' for a network without
    mistakes
        (M, M) videos of each class (row) that are taken for each other class (column); None: not known
    """

    similar: ClassSimilarity
    kinds: Tuple[Kind, ...]
    order: np.ndarray
    matrix: Optional[np.ndarray]
    matrix_name: str
    mistakes: Optional[np.ndarray]


class ExampleMasks(NamedTuple):
    """The masks of all classes for one clip.

    Parameters
    ----------
    name, label
        of the video
    predicted, probability
        the class by whose look-alikes the network selects masks, and its probability
    frames, pictures
        (S,) numbers of the frames on which the masks are centered, and these frames (S, H, W, 3)
    masks
        (M, S, H', W') of every class, before any gate
    placement
        where they lie in the frame
    """

    name: str
    label: int
    predicted: int
    probability: float
    frames: np.ndarray
    pictures: np.ndarray
    masks: np.ndarray
    placement: Placement


def relation_of(
    similar: ClassSimilarity, net: Optional[HybridBlock] = None, scores: Optional[Scores] = None
) -> Relation:
    """Cut similarities of classes at every threshold, beside the network's own selection and its mistakes.

    Parameters
    ----------
    similar
        by any kinds of features
    net
        the network, for the matrix by which it relates its classes itself
    scores
        of a split, for the mistakes

    Raises
    ------
    UserError
        fewer than two classes, a network or scores of other classes, scores of videos with several labels
    """
    if len(similar.classes) < 2:
        raise UserError(f'{similar.model} has one class only; a relation takes two')
    if net is not None and tuple(class_names(net)) != tuple(similar.classes):
        raise UserError(f'the similarities of {similar.model} are of other classes than those of {net.name}')
    if scores is not None and tuple(scores.classes) != tuple(similar.classes):
        raise UserError(f'the scores of {scores.model} are of other classes than the similarities of {similar.model}')
    relation = None if net is None else net.class_relation
    # a matrix of similarities themselves parts no pairs: it selects nearly all
    pairs = relation.matrix if relation is not None and np.isin(relation.matrix, (0, 1)).all() else None
    wrong = None
    if scores is not None:
        wrong = confusion(scores)
        np.fill_diagonal(wrong, 0)
    kinds = []
    for kind in similar.kinds:
        s = np.nan_to_num(kind.stretched, nan=0.0)
        np.fill_diagonal(s, 1)
        every = cuts(s)
        own, apart = (None, 0) if pairs is None else _nearest(every, pairs)
        kinds.append(Kind(kind.kind, s, every, own, apart))
    return Relation(
        similar,
        tuple(kinds),
        order_of(kinds[0].s, similar.groups),
        None if relation is None else relation.matrix,
        '' if relation is None else relation.name,
        wrong,
    )


def order_of(s: np.ndarray, groups: Optional[Sequence[str]]) -> np.ndarray:
    """(M,) the classes, those of a group together in the order of the groups; without groups those alike together.

    The latter by average linkage of 1 - S (SciPy).
    """
    if groups is not None:
        first = {name: place for place, name in reversed(list(enumerate(groups)))}
        return np.array(sorted(range(len(s)), key=lambda i: (first[groups[i]], i)))
    apart = 1 - (s + s.T) / 2
    np.fill_diagonal(apart, 0)
    return leaves_list(linkage(squareform(apart, checks=False), 'average'))


def _nearest(every: Cuts, matrix: np.ndarray) -> Tuple[int, int]:
    """The cut whose pairs differ least from those of a matrix, and in how many; of equal ones the first."""
    above = np.triu_indices(len(matrix), 1)
    pairs = ((matrix > 0) | (matrix.T > 0))[above]
    entry, count = every.entry[above], len(every.alphas)
    both = np.cumsum(np.bincount(entry[pairs], minlength=count))  # pairs of the matrix that each cut takes
    apart = pairs.sum() + every.ones // 2 - 2 * both
    return int(apart.argmin()), int(apart.min())


def partners(kind: Kind, cut: int, predicted: int) -> List[int]:
    """The other classes that a prediction selects at a cut, the most similar first."""
    others = [j for j in range(len(kind.s)) if j != predicted and kind.cuts.entry[j, predicted] <= cut]
    return sorted(others, key=lambda j: (kind.cuts.entry[j, predicted], j))


def mask_examples(
    net: HybridBlock,
    dataset: VideoDataset,
    s: np.ndarray,
    values: int = VALUES,
    ctx: Optional[mx.Context] = None,
    progress: bool = False,
) -> List[ExampleMasks]:
    """Masks of every class for one clip of each class: the first video of it that can be decoded.

    Where all are more than `values` numbers, the classes with the most similar partners by S (M, M) are taken.

    Raises
    ------
    UserError
        a network without masks, or one that needs labels
    """
    require_masks(net)
    dataset, names = known_to(net, dataset), class_names(net)
    first: Dict[int, List[int]] = {}
    for i, record in enumerate(dataset.records):
        if record.label >= 0:
            first.setdefault(record.label, []).append(i)
    likeness = np.max(s - np.eye(len(s)), axis=1)
    kept: List[ExampleMasks] = []

    def read(reader: VideoReader) -> Tuple[Masks, np.ndarray]:
        shown = clip_masks(net, reader, classes=names, ctx=ctx)
        return shown, np.asarray(reader.get_batch(shown.masks[0].series.frames))

    for label in tqdm(sorted(first, key=lambda label: (-likeness[label], label)), unit='clip', disable=not progress):
        if kept and (len(kept) + 1) * kept[0].masks.size > values:
            break
        for i, (shown, pictures) in itertools.islice(read_videos(dataset, first[label], read, workers=0), 1):
            kept.append(_example(dataset.records[i], shown, pictures))
    return sorted(kept, key=lambda example: example.label)


def _example(record: VideoRecord, shown: Masks, pictures: np.ndarray) -> ExampleMasks:
    shares, first = np.array([mask.share for mask in shown.masks]), shown.masks[0].series
    return ExampleMasks(
        record.name,
        record.label,
        int(shares.argmax()),
        float(shares.max()),
        first.frames,
        pictures,
        np.stack([mask.series.maps for mask in shown.masks]).astype(np.float32),
        first.placement,
    )
