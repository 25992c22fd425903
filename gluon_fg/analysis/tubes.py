"""Boxes over time: the place of a response followed from moment to moment, as a tube.

At each moment the highest places of a map are candidates. A path through them is worth, for each step, both scores and
the overlap of both boxes, and the best path comes of dynamic programming (Gkioxari and Malik 2015, arXiv:1411.6031).
What the paper leaves open for responses, which have no natural scale and fire at some moments only, and our choice:
scores are counted from the median of all cells to the peak, so that overlap weighs as much as a whole peak; the path
goes through the peak itself; and a tube ends where the response along it falls below half of its height.
"""

from __future__ import annotations

from typing import List, NamedTuple, Sequence, Tuple

import numpy as np
from scipy.ndimage import maximum_filter

from .placement import Box, Placement

_CANDIDATES = 8  # places of each moment, at most
_ENDS = 0.5  # share of its height at which a tube ends


class Tube(NamedTuple):
    """A place over time: `frames` of the video, increasing, and at each a box (x0, y0, x1, y1) in its pixels and the
    response there."""

    frames: Tuple[int, ...]
    boxes: Tuple[Box, ...]
    scores: Tuple[float, ...]

    def box_at(self, frame: float) -> Box:
        """The box at any frame: between two of the tube's in proportion, before and behind it the nearest."""
        x0, y0, x1, y1 = (float(np.interp(frame, self.frames, side)) for side in zip(*self.boxes))
        return x0, y0, x1, y1

    def as_list(self) -> List[dict]:
        """A record of frame, box and score for each moment, for JSON."""
        return [
            {'frame': frame, 'box': list(box), 'score': score}
            for frame, box, score in zip(self.frames, self.boxes, self.scores)
        ]


def follow(
    frames: np.ndarray,
    maps: np.ndarray,
    placement: Placement,
    peak: Tuple[int, int, int],
    kind: str = 'cell',
    cells: float = 2.0,
) -> Tube:
    """Follow a peak of responses through the moments before and behind it.

    Parameters
    ----------
    frames, maps
        (S,) the video's frames, increasing, and (S, H', W') the responses around each
    placement
        where the maps lie
    peak
        (moment 0..S-1, row, column) of the response to follow
    kind, cells
        of the boxes: see `Placement.box`
    """
    middle = float(np.median(maps))
    height = float(maps[peak]) - middle
    heights = (maps - middle) / height if height > 0 else np.zeros(maps.shape)
    places = [[peak[1:]] if moment == peak[0] else highest(shown) for moment, shown in enumerate(maps)]
    boxes = [np.array([placement.box(place, kind, cells) for place in of_moment]) for of_moment in places]
    scores = [heights[moment][tuple(np.transpose(of_moment))] for moment, of_moment in enumerate(places)]
    path = best_path(boxes, scores)
    along = np.array([of_moment[chosen] for of_moment, chosen in zip(scores, path)])
    low = np.flatnonzero(along < _ENDS)  # never the peak itself, unless nothing rises above the median
    first = int(max(low[low < peak[0]], default=-1)) + 1
    end = int(min(low[low > peak[0]], default=len(frames)))
    kept = range(first, end)
    corners = [tuple(float(side) for side in boxes[moment][path[moment]]) for moment in kept]
    values = tuple(float(maps[moment][places[moment][path[moment]]]) for moment in kept)
    return Tube(tuple(int(frames[moment]) for moment in kept), tuple(corners), values)  # type: ignore[arg-type]


def highest(responses: np.ndarray, count: int = _CANDIDATES) -> List[Tuple[int, int]]:
    """(row, column) of the highest local maxima of a map (H', W'), the highest first; of a plateau all cells count."""
    rows, columns = np.nonzero(responses == maximum_filter(responses, 3, mode='nearest'))
    order = np.argsort(-responses[rows, columns], kind='stable')[:count]
    return [(int(rows[i]), int(columns[i])) for i in order]


def best_path(boxes: Sequence[np.ndarray], scores: Sequence[np.ndarray], weight: float = 1.0) -> List[int]:
    """Choose a box at each moment so that the sum over all steps of both scores, and of `weight` times the overlap of
    both boxes, is largest; of equal paths one with lower numbers.

    Inputs:
        - **boxes**, **scores**: at each moment (n, 4) corners and (n,), n of any number from 1

    Outputs: the number of the box at each moment
    """
    worth = np.zeros(len(scores[0])) if len(scores) > 1 else np.asarray(scores[0], float)
    came: List[np.ndarray] = []
    for moment in range(1, len(scores)):
        steps = scores[moment - 1][:, None] + scores[moment][None] + weight * overlaps(boxes[moment - 1], boxes[moment])
        total = worth[:, None] + steps
        came.append(total.argmax(axis=0))
        worth = total.max(axis=0)
    path = [int(worth.argmax())]
    for before in reversed(came):
        path.append(int(before[path[-1]]))
    return path[::-1]


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (n, 4) with boxes (m, 4), x0, y0, x1, y1 each: (n, m); 0 where empty."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(np.maximum(each[:, 2:] - each[:, :2], 0), axis=1) for each in (a, b)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared, dtype=float), where=union > 0)
