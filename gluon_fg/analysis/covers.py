"""Places of a clip to cover: how important each pixel is, squares around peaks, and what covered pixels show."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from .activation import MapSeries

COVERS = ('peaks', 'peak', 'rest')
_BLUR = 0.1  # standard deviation of the blur, of the short side

Point = Tuple[float, float]


class Places(NamedTuple):
    """Places of a clip as the network sees it.

    Parameters
    ----------
    importance
        (T, H, W) of each pixel, in any unit
    hidden
        (3, T, H, W) bool, what each of `COVERS` hides: a square around the peak of each moment; that of the strongest
        moment alone; and everything but the squares of all moments
    """

    importance: np.ndarray
    hidden: np.ndarray


def places_of(series: MapSeries, clip: np.ndarray, side: int, span: int) -> Places:
    """The places that maps of a clip point at.

    Parameters
    ----------
    series
        the maps, centered on frames of the clip
    clip
        (T,) numbers of the clip's frames
    side, span
        of a square in the network's input, pixels; how many frames the one of the strongest moment covers
    """
    # of frames that a short video repeats, the first stands for all
    position = np.array([int(np.flatnonzero(clip == frame)[0]) for frame in series.frames])
    moments, of_map = np.unique(position, return_inverse=True)
    maps = np.stack([series.maps[of_map == number].mean(axis=0) for number in range(len(moments))])
    seen = series.placement._replace(size=series.placement.seen)
    heats = np.stack([seen.heat(cells) for cells in maps])
    times = np.arange(len(clip))
    shares = np.stack([np.interp(times, moments, row) for row in np.eye(len(moments))], axis=1)  # (T, S)
    points = [seen.point(_middle_of_highest(cells)) for cells in maps]
    nearest = np.abs(moments[:, None] - times).argmin(axis=0)
    strongest = int(maps.reshape(len(maps), -1).max(axis=1).argmax())
    return Places(
        np.tensordot(shares, heats, 1).astype(np.float32),
        _hidden(
            [[points[moment]] for moment in nearest],
            [[points[strongest]]] * len(clip),
            int(moments[strongest]),
            heats.shape[1:],
            side,
            span,
        ),
    )


def true_places(
    boxes: Sequence, clip: np.ndarray, seen: Tuple[int, int], size: Tuple[int, int], side: int, span: int
) -> Optional[Places]:
    """The places of a detail that is known: nearer to its boxes is more important, frames without any least.

    Parameters
    ----------
    boxes
        objects with frame `t` and pixels [y0, y1) x [x0, x1) of the video's frames
    clip, side, span
        as for `places_of`
    seen, size
        (height, width) of the network's input, and of the video

    Returns
    -------
    None where no frame of the clip has a box
    """
    rows, columns = seen[0] / size[0], seen[1] / size[1]
    scaled = [
        [(b.x0 * columns, b.y0 * rows, b.x1 * columns, b.y1 * rows) for b in boxes if b.t == frame] for frame in clip
    ]
    shown = [t for t, of_frame in enumerate(scaled) if of_frame]
    if not shown:
        return None
    importance = np.full((len(clip), *seen), -float(sum(seen)), np.float32)
    for t in shown:
        outside = np.ones(seen, np.uint8)
        for x0, y0, x1, y1 in scaled[t]:
            outside[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = 0
        importance[t] = -cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    points = [[((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in of_frame] for of_frame in scaled]
    return Places(importance, _hidden(points, points, shown[len(shown) // 2], seen, side, span))


def _middle_of_highest(cells: np.ndarray) -> Tuple[float, float]:
    """(row, column) of the highest cell; of several the mean."""
    rows, columns = np.nonzero(cells == cells.max())
    return float(rows.mean()), float(columns.mean())


def _hidden(
    every: List[List[Point]],
    strongest: List[List[Point]],
    moment: int,
    seen: Tuple[int, int],
    side: int,
    span: int,
) -> np.ndarray:
    """What `COVERS` hide, of the points (x, y) of every frame and those of the strongest moment."""
    hidden = np.zeros((len(COVERS), len(every), *seen), bool)
    for t, points in enumerate(every):
        for point in points:
            _square(hidden[0, t], point, side)
    span = min(span, len(every))
    first = min(max(int(np.ceil(moment - (span - 1) / 2)), 0), len(every) - span)
    for t in range(first, first + span):
        for point in strongest[t]:
            _square(hidden[1, t], point, side)
    hidden[2] = ~hidden[0]
    return hidden


def _square(hidden: np.ndarray, point: Point, side: int) -> None:
    """Mark a square around a point."""
    x0, y0, x1, y1 = square_around(point, side, hidden.shape)
    hidden[y0:y1, x0:x1] = True


def square_around(point: Point, side: int, shape: Sequence[int]) -> Tuple[int, int, int, int]:
    """(x0, y0, x1, y1) of a square around a point (x, y) in a frame (H, W), moved inside where it reaches beyond."""
    x0, y0 = (min(max(round(middle - side / 2), 0), max(whole - side, 0)) for middle, whole in zip(point, shape[::-1]))
    return x0, y0, min(x0 + side, shape[1]), min(y0 + side, shape[0])


def peak_of(series: MapSeries) -> Tuple[int, Point]:
    """The strongest of the maps, and the point (x, y) of its highest cell in the video's pixels."""
    number = int(series.maps.reshape(len(series.maps), -1).max(axis=1).argmax())
    return number, series.placement.point(_middle_of_highest(series.maps[number]))


def step_of(importance: np.ndarray, steps: int) -> np.ndarray:
    """The step 0 to steps - 1 at which each pixel's turn comes, the most important first; each has as many, to one."""
    order = np.argsort(-importance, axis=None, kind='stable')
    turn = np.empty(len(order), np.int32)
    turn[order] = np.arange(len(order), dtype=np.int64) * steps // len(order)
    return turn.reshape(importance.shape)


def mean_color(x: np.ndarray) -> np.ndarray:
    """The mean of each channel of a clip (C, T, H, W), everywhere: (C, 1, 1, 1)."""
    return x.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64).astype(x.dtype)


def blurred(x: np.ndarray) -> np.ndarray:
    """Every frame of a clip (C, T, H, W) blurred, so that no detail is left."""
    sigma = _BLUR * min(x.shape[2:])
    return np.stack([np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in channel]) for channel in x])
