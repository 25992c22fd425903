"""Which filters separate their class from the others, and which do nothing."""

from __future__ import annotations

import csv
import os
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock
from scipy.stats import rankdata

from ..data.datasets import VideoDataset
from ..data.video import VideoReader
from ..errors import UserError
from ..evaluation.score import check_classes, known_to
from ..evaluation.views import read_videos
from ..files import atomic_write
from .scan import Maxima, require_filters, scan

SAME = 0.99  # cosine similarity from which two filters count as one


class FilterStrength(NamedTuple):
    """How well one filter separates its class.

    Parameters
    ----------
    filter, label, class_name
        channel of the responses; the class it belongs to
    own, others
        mean over videos of the maximal response, on its class's videos and on all others
    strength
        own - others; comparable between filters in units of `spread`
    spread
        standard deviation of the maximal response over all videos
    note
        'dead' where the response is the same on every video, 'like 17' where an earlier filter has the same direction
        (cosine similarity of their weights above 0.99), else ''
    auc
        share of pairs of a video of its class and one of another in which the own one has the higher response, equal
        ones counted half (area under the ROC curve): 1 for a filter that separates its class, 0.5 for chance
    """

    filter: int
    label: int
    class_name: str
    own: float
    others: float
    strength: float
    spread: float
    note: str
    auc: float


def filter_strength(
    net: HybridBlock,
    dataset: VideoDataset,
    limit: Optional[int] = None,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 8,
) -> List[FilterStrength]:
    """Rate every filter on a labeled dataset: class by class, the most discriminative filter of each first.

    Parameters
    ----------
    net
        a recognizer with class filters
    dataset
        videos of the network's classes; those without a label are left out
    limit
        only the first so many videos of each class
    ctx, batch_size
        as for `examine`

    Raises
    ------
    UserError
        a network without class filters, another class list, a class without a video that can be decoded
    """
    names, dataset, chosen = filters_and_videos(net, dataset, limit)
    maxima = [(i, of_video.value) for i, of_video in maxima_of(net, dataset, chosen, ctx, batch_size)]
    labels = check_every_class(net, names, dataset, [i for i, _ in maxima])
    return rated(net, names, labels, np.stack([value for _, value in maxima]))


def filters_and_videos(
    net: HybridBlock, dataset: VideoDataset, limit: Optional[int]
) -> Tuple[Tuple[str, ...], VideoDataset, List[int]]:
    """The network's classes, the dataset with them, and the videos to look at; raises as `filter_strength` does."""
    require_filters(net)
    dataset = known_to(net, dataset)
    names = check_classes(net, dataset.labels, dataset.name).classes
    chosen = chosen_videos(dataset, limit)
    check_every_class(net, names, dataset, chosen)
    return names, dataset, chosen


def rated(net: HybridBlock, names: Sequence[str], labels: np.ndarray, responses: np.ndarray) -> List[FilterStrength]:
    """Rate every filter by its highest responses: see `filter_strength`.

    Parameters
    ----------
    net, names
        the network and its classes
    labels, responses
        (V,) and (V, M*K) of each video: its class, the highest response of each filter
    """
    weights, per_class, rows = net.class_filters(), net.filters_per_class, []
    notes = _notes(responses, weights.reshape(-1, weights.shape[-1]))
    for label in range(net.nclass):
        numbers = range(label * per_class, (label + 1) * per_class)
        of_class = responses[:, numbers].astype(np.float64)
        mine, rest = of_class[labels == label], of_class[labels != label]
        own, others, spread = mine.mean(axis=0), rest.mean(axis=0), of_class.std(axis=0)
        # Mann and Whitney's U of the own class's videos, as a share of all pairs
        ranks = rankdata(of_class, axis=0)[labels == label].sum(axis=0)
        auc = (ranks - len(mine) * (len(mine) + 1) / 2) / (len(mine) * len(rest))
        for k, number in enumerate(numbers):
            means = float(own[k]), float(others[k]), float(own[k] - others[k]), float(spread[k])
            rows.append(FilterStrength(number, label, names[label], *means, notes[number], float(auc[k])))
    return sorted(rows, key=lambda row: (row.label, -row.strength, row.filter))


def check_every_class(
    net: HybridBlock, names: Sequence[str], dataset: VideoDataset, chosen: Sequence[int]
) -> np.ndarray:
    """The labels of the chosen videos; refuses them where a class has none, or where there is one class only."""
    labels = np.array([dataset.records[i].label for i in chosen], int)
    missing = sorted(set(range(net.nclass)) - set(labels.tolist()))
    if missing or net.nclass < 2:
        lack = f'no video of class {names[missing[0]]!r}' if missing else 'one class only'
        raise UserError(f'{dataset.name} has {lack}; filters are rated by their own class against the others')
    return labels


def write_strength(rows: Sequence[FilterStrength], path: Union[str, os.PathLike]) -> None:
    """The table as CSV, atomically."""
    with atomic_write(path) as stream:
        writer = csv.writer(stream, lineterminator='\n')
        writer.writerow(FilterStrength._fields)
        writer.writerows(rows)


def _notes(responses: np.ndarray, weights: np.ndarray) -> List[str]:
    """'dead', 'like N' or '' for each filter. responses (videos, F), weights (F, C)."""
    unit = weights / np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    notes = []
    for number in range(len(weights)):
        if np.ptp(responses[:, number]) == 0:
            notes.append('dead')
            continue
        same = np.flatnonzero(unit[:number] @ unit[number] > SAME)
        notes.append(f'like {same[0]}' if len(same) else '')
    return notes


def chosen_videos(dataset: VideoDataset, limit: Optional[int]) -> List[int]:
    """Positions of the labeled videos, of each class the first `limit`."""
    if limit is not None and limit < 1:
        raise UserError(f'limit must be at least 1, got {limit}')
    taken: Dict[int, int] = {}
    chosen = []
    for i, record in enumerate(dataset.records):
        taken[record.label] = taken.get(record.label, 0) + 1
        if record.label >= 0 and (limit is None or taken[record.label] <= limit):
            chosen.append(i)
    return chosen


def maxima_of(
    net: HybridBlock,
    dataset: VideoDataset,
    chosen: Sequence[int],
    ctx: Optional[mx.Context],
    batch_size: int = 8,
    progress: bool = False,
) -> Iterator[Tuple[int, Maxima]]:
    """Maxima of every filter on each of the chosen videos that can be decoded."""

    def read(reader: VideoReader) -> Maxima:
        maxima = Maxima(reader.size)
        for part in scan(net, reader, ctx, batch_size):
            maxima.update(part)
        return maxima

    return read_videos(dataset, chosen, read, workers=0, progress=progress)
