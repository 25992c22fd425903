"""Which filters separate their class from the others, which do nothing, and whether peaks fall on the true detail."""

from __future__ import annotations

import csv
import os
from typing import Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..data.datasets import VideoDataset
from ..data.video import VideoReader
from ..errors import UserError
from ..evaluation.score import check_classes, known_to
from ..evaluation.views import read_videos
from ..files import atomic_write
from .clips import placement
from .placement import Placement
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
    """

    filter: int
    label: int
    class_name: str
    own: float
    others: float
    strength: float
    spread: float
    note: str


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
    require_filters(net)
    dataset = known_to(net, dataset)
    names = check_classes(net, dataset.labels, dataset.name).classes
    per_class, chosen = net.filters_per_class, _chosen(dataset, limit)
    _check_every_class(net, names, dataset, chosen)
    maxima = list(_maxima(net, dataset, chosen, ctx, batch_size))
    labels = _check_every_class(net, names, dataset, [i for i, _ in maxima])
    responses = np.stack([of_video.value for _, of_video in maxima])  # (videos, M*K)
    weights = net.class_filters()
    notes = _notes(responses, weights.reshape(-1, weights.shape[-1]))
    rows = []
    for number in range(responses.shape[1]):
        label = number // per_class
        mine = responses[labels == label, number].mean(dtype=np.float64)
        rest = responses[labels != label, number].mean(dtype=np.float64)
        rows.append(
            FilterStrength(
                number,
                label,
                names[label],
                float(mine),
                float(rest),
                float(mine - rest),
                float(responses[:, number].std(dtype=np.float64)),
                notes[number],
            )
        )
    return sorted(rows, key=lambda row: (row.label, -row.strength, row.filter))


def _check_every_class(
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


class Pointing(NamedTuple):
    """How often peaks fall on the true detail; fractions of `videos`.

    Parameters
    ----------
    videos
        counted videos: labeled, with a box
    hits
        the peak of the true class's strongest filter lies in a true box of its frame
    chance
        the same for a cell drawn at random from the response volume (expected value)
    center
        the same for the center of the peak's own frame: what pointing always at the middle would give
    groups
        group name -> Pointing of its videos; empty where classes have no groups
    """

    videos: int
    hits: float
    chance: float
    center: float
    groups: Dict[str, Pointing]


Truth = Union[Mapping[str, Sequence], Callable[[int], Sequence]]


def pointing_accuracy(
    net: HybridBlock,
    dataset: VideoDataset,
    truth: Truth,
    limit: Optional[int] = None,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 8,
) -> Pointing:
    """The pointing game: does the true class's strongest filter peak on the true detail, at a frame where it shows?

    Of the K filters of a video's true class, the one with the highest response on that video counts. Its cell's center
    (a point in space and time) must lie inside one of the boxes of the detail in that frame.

    Parameters
    ----------
    truth
        boxes of each video, by path of its record (`data.synthfg.read_truth`) or from a function of its index: objects
        with frame `t` and pixels [y0, y1) x [x0, x1) of the original frame
    net, dataset, limit, ctx, batch_size
        as for `filter_strength`

    Raises
    ------
    UserError
        a network without class filters, another class list, or no video with a label and a box
    """
    require_filters(net)
    dataset = known_to(net, dataset)
    labels = check_classes(net, dataset.labels, dataset.name)
    boxes_of = truth if callable(truth) else lambda i: truth.get(dataset.records[i].path, ())
    chosen = [i for i in _chosen(dataset, limit) if len(boxes_of(i))]
    if not chosen:
        raise UserError(f'{dataset.name} has no video with a label and a box of the true detail')
    per_class, results, counted = net.filters_per_class, [], []
    for i, maxima in _maxima(net, dataset, chosen, ctx, batch_size):
        label, boxes = dataset.records[i].label, boxes_of(i)
        place = placement(net, net.response_geometry, maxima.size)
        number = label * per_class + int(maxima.value[label * per_class : (label + 1) * per_class].argmax())
        t, y, x = maxima.cell[number]
        frame = int(maxima.clip[number][place.frame(t)])
        width, height = maxima.size
        results.append(
            (
                _inside(boxes, frame, *place.point((y, x))),
                _chance(boxes, place, maxima),
                _inside(boxes, frame, width / 2, height / 2),
            )
        )
        counted.append(i)
    if not results:
        raise UserError(f'none of the {len(chosen)} videos of {dataset.name} can be decoded')
    everything = np.array(results, np.float64)
    groups = {}
    if labels.groups is not None:
        of = np.array([labels.groups[dataset.records[i].label] for i in counted])
        groups = {name: _pointing(everything[of == name], {}) for name in labels.group_names if (of == name).any()}
    return _pointing(everything, groups)


def _pointing(results: np.ndarray, groups: Dict[str, Pointing]) -> Pointing:
    """Means of (hit, chance, center) of each video."""
    hits, chance, center = (float(value) for value in results.mean(axis=0))
    return Pointing(len(results), hits, chance, center, groups)


def _inside(boxes: Sequence, frame: int, x: float, y: float) -> bool:
    return any(box.t == frame and box.x0 <= x < box.x1 and box.y0 <= y < box.y1 for box in boxes)


def _chance(boxes: Sequence, place: Placement, maxima: Maxima) -> float:
    """Share of all cells that counted whose center lies on a box."""
    rows, columns = maxima.shape
    points = [place.point((y, x)) for y in range(rows) for x in range(columns)]
    frames = [int(clip[place.frame(t)]) for clip, t in maxima.moments]
    shown = {frame: np.mean([_inside(boxes, frame, *point) for point in points]) for frame in set(frames)}
    return float(np.mean([shown[frame] for frame in frames]))


def _chosen(dataset: VideoDataset, limit: Optional[int]) -> List[int]:
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


def _maxima(
    net: HybridBlock, dataset: VideoDataset, chosen: Sequence[int], ctx: Optional[mx.Context], batch_size: int
) -> Iterator[Tuple[int, Maxima]]:
    """Maxima of every filter on each of the chosen videos that can be decoded."""

    def read(reader: VideoReader) -> Maxima:
        maxima = Maxima(reader.size)
        for part in scan(net, reader, ctx, batch_size):
            maxima.update(part)
        return maxima

    return read_videos(dataset, chosen, read, workers=0)
