"""Whether peaks of class filters fall on the true detail: the pointing game (Zhang et al. 2016, arXiv:1608.00507)."""

from __future__ import annotations

from typing import Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Union

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..data.datasets import VideoDataset
from ..data.labels import LabelSet
from ..errors import UserError
from ..evaluation.score import check_classes, known_to
from .clips import placement
from .filters import chosen_videos, maxima_of
from .placement import Placement
from .scan import Maxima, require_filters


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
    chosen = [i for i in chosen_videos(dataset, limit) if len(boxes_of(i))]
    if not chosen:
        raise UserError(f'{dataset.name} has no video with a label and a box of the true detail')
    results = {
        i: pointed(net, maxima, dataset.records[i].label, boxes_of(i))
        for i, maxima in maxima_of(net, dataset, chosen, ctx, batch_size)
    }
    if not results:
        raise UserError(f'none of the {len(chosen)} videos of {dataset.name} can be decoded')
    return pointing([dataset.records[i].label for i in results], list(results.values()), labels)


class Pointed(NamedTuple):
    """What the pointing game of one video came to.

    Parameters
    ----------
    hit
        1 where the peak of its class's strongest filter lies in a true box of its frame, else 0
    chance, center
        as of `Pointing`
    """

    hit: float
    chance: float
    center: float


def pointed(net: HybridBlock, maxima: Maxima, label: int, boxes: Sequence) -> Pointed:
    """Play the pointing game on one video: see `pointing_accuracy`."""
    place = placement(net, net.response_geometry, maxima.size)
    first = label * net.filters_per_class
    number = first + int(maxima.value[first : first + net.filters_per_class].argmax())
    t, y, x = maxima.cell[number]
    frame = int(maxima.clip[number][place.frame(t)])
    width, height = maxima.size
    return Pointed(
        float(_inside(boxes, frame, *place.point((y, x)))),
        _chance(boxes, place, maxima),
        float(_inside(boxes, frame, width / 2, height / 2)),
    )


def pointing(labels: Sequence[int], results: Sequence[Pointed], known: LabelSet) -> Pointing:
    """Means over videos of these labels, and over those of each group of classes."""
    everything, groups = np.array(results, np.float64), {}
    if known.groups is not None:
        of = np.array([known.groups[label] for label in labels])
        groups = {name: _pointing(everything[of == name], {}) for name in known.group_names if (of == name).any()}
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
