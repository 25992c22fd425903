"""All about class filters from one pass over a dataset: ratings, strongest clips, twins, peaks on the true detail."""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..data.datasets import VideoDataset
from .clips import placement
from .filters import FilterStrength, check_every_class, filters_and_videos, maxima_of, rated
from .placement import Box
from .pointing import Pointed, Pointing, pointed, pointing
from .scan import Maxima


class Example(NamedTuple):
    """Where in a video a filter responds most: what a picture of it needs.

    Parameters
    ----------
    video
        its position in the dataset
    value
        the highest response
    frame
        number of the video's frame
    box
        (x0, y0, x1, y1) around the place, pixels of the video
    """

    video: int
    value: float
    frame: int
    box: Box


class Twin(NamedTuple):
    """The other filter whose direction is nearest to a filter's own.

    Parameters
    ----------
    filter
        its number; -1 where there is no other
    cosine
        of the two filters' weights
    correlation
        Pearson's, of the two's highest responses over videos; NaN where one is the same on all of them
    """

    filter: int
    cosine: float
    correlation: float


class FilterAudit(NamedTuple):
    """What the class filters of a network do on a dataset.

    Parameters
    ----------
    rows
        the rating of each filter, as of `filter_strength`
    dataset, classes, groups
        the videos and the names of the network's classes and, or None, of their groups
    videos, labels
        (V,) positions in the dataset of the videos that were decoded, and their classes
    responses
        (V, M*K) float32, the highest response of each filter on each video
    examples
        for each filter the videos with the highest responses, the highest first
    twins
        for each filter its nearest other one
    pointing, pointed
        with true boxes: the pointing game over all videos, and of each (by position); else None and empty
    """

    rows: List[FilterStrength]
    dataset: VideoDataset
    classes: Tuple[str, ...]
    groups: Optional[Tuple[str, ...]]
    videos: np.ndarray
    labels: np.ndarray
    responses: np.ndarray
    examples: List[List[Example]]
    twins: List[Twin]
    pointing: Optional[Pointing]
    pointed: Dict[int, Pointed]


def audit_filters(
    net: HybridBlock,
    dataset: VideoDataset,
    truth: Optional[Callable[[int], Sequence]] = None,
    limit: Optional[int] = None,
    examples: int = 0,
    ctx: Optional[mx.Context] = None,
    progress: bool = False,
) -> FilterAudit:
    """Rate every class filter and keep where its strongest clips are, in one pass over a labeled dataset.

    Parameters
    ----------
    net, dataset, limit, ctx
        as for `filter_strength`
    truth
        boxes of the true detail of a video, by its position in the dataset, as for `pointing_accuracy`
    examples
        how many of its strongest videos to keep of each filter
    progress
        whether to draw a progress bar

    Raises
    ------
    UserError
        as `filter_strength`
    """
    names, dataset, chosen = filters_and_videos(net, dataset, limit)
    strongest = [_Strongest(examples) for _ in range(net.nclass * net.filters_per_class)]
    values, results = {}, {}
    for i, maxima in maxima_of(net, dataset, chosen, ctx, progress=progress):
        values[i] = maxima.value
        _keep(strongest, i, maxima, net)
        boxes = truth(i) if truth else ()
        if len(boxes):
            results[i] = pointed(net, maxima, dataset.records[i].label, boxes)
    labels, responses = check_every_class(net, names, dataset, list(values)), np.stack(list(values.values()))
    known = net.labels if net.labels is not None and net.labels.groups is not None else dataset.labels
    played = [dataset.records[i].label for i in results]
    return FilterAudit(
        rated(net, names, labels, responses),
        dataset,
        tuple(names),
        known.groups,
        np.array(list(values), int),
        labels,
        responses,
        [of_filter.examples for of_filter in strongest],
        twins(net.class_filters(), responses),
        pointing(played, list(results.values()), known) if results else None,
        results,
    )


class _Strongest:
    """The videos with the highest responses of one filter, of equal ones the first."""

    def __init__(self, count: int):
        self.count = count
        self.examples: List[Example] = []

    def takes(self, value: float) -> bool:
        return len(self.examples) < self.count or bool(self.count) and value > self.examples[-1].value

    def add(self, example: Example) -> None:
        self.examples = sorted([*self.examples, example], key=lambda e: -e.value)[: self.count]


def _keep(strongest: Sequence[_Strongest], video: int, maxima: Maxima, net: HybridBlock) -> None:
    """Take a video's peaks in where they are among the highest."""
    place = placement(net, net.response_geometry, maxima.size)
    for number, (of_filter, value) in enumerate(zip(strongest, maxima.value.tolist())):
        if of_filter.takes(value):
            t, y, x = maxima.cell[number]
            frame = int(maxima.clip[number][place.frame(t)])
            of_filter.add(Example(video, value, frame, place.box((y, x))))


def twins(filters: np.ndarray, responses: np.ndarray) -> List[Twin]:
    """The nearest other filter of each, by the cosine of weights.

    Parameters
    ----------
    filters
        (M, K, C) of `Recognizer.class_filters`
    responses
        (V, M*K) highest responses
    """
    weights = filters.reshape(-1, filters.shape[-1]).astype(np.float64)
    unit = weights / np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    cosine = unit @ unit.T
    if len(cosine) < 2:
        return [Twin(-1, 0.0, float('nan'))] * len(cosine)
    np.fill_diagonal(cosine, -np.inf)
    nearest = cosine.argmax(axis=1)
    centered = responses - responses.mean(axis=0, dtype=np.float64)
    deviation = np.sqrt((centered**2).sum(axis=0))
    together = (centered * centered[:, nearest]).sum(axis=0)
    alive = (np.ptp(responses, axis=0) > 0) & (np.ptp(responses, axis=0)[nearest] > 0)
    correlation = np.full(len(nearest), np.nan)
    np.divide(together, deviation * deviation[nearest], out=correlation, where=alive)
    return [Twin(int(j), float(cosine[i, j]), float(correlation[i])) for i, j in enumerate(nearest)]
