"""Pictures and films of where class filters fire, and of one filter over many videos (DFB figs. 1, 4, 5)."""

from __future__ import annotations

import os
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure

from ..analysis.localization import Localization, Peak
from ..analysis.tubes import Tube
from ..data.video import VideoReader
from .figures import (
    COLORS,
    GAP,
    MARGIN,
    PAPER,
    FilePath,
    Limits,
    below,
    beside,
    boxed,
    captioned,
    fit,
    framed,
    image,
    sheet,
    shorten,
    text,
    tint,
    titled,
)
from .film import LIGHT, Background, Curve, write_film

Predictions = Optional[Sequence[Tuple[str, float]]]


class Example(NamedTuple):
    """A video's part in `filter_grid`: its name, the peak, the frame (H, W, 3) and its heat map (H, W) with limits."""

    name: str
    peak: Peak
    frame: np.ndarray
    heat: np.ndarray
    limits: Limits


def strip(
    located: Localization, reader: VideoReader, predictions: Predictions = None, columns: int = 5, height: int = 170
) -> Figure:
    """Draw a row for each peak: the frames around it with its tube's box, its own outlined, and its heat map.

    Parameters
    ----------
    located
        peaks and volumes of `examine`
    reader
        the same video
    predictions
        (label, probability) pairs for the headline
    columns
        frames in a row; fewer where the video has fewer
    height
        of a frame in the picture, pixels; less for very wide videos
    """
    rows = []
    for number, peak in enumerate(located.peaks):
        color, around = COLORS[number % len(COLORS)], frames_around(peak, len(reader), columns)
        panels = []
        for index, frame in zip(around, reader.get_batch(around)):
            picture, scale = fit(frame, height)
            here = index == peak.frame
            if here:
                volume = located.volumes[peak.filter]
                heated = boxed(tint(picture, volume.heat(index), volume.limits), peak.box, scale, color)
            if visibility(peak, located.tubes[peak.filter], index, reader.fps) == 1:
                corners = peak.box if here else located.tubes[peak.filter].box_at(index)
                picture = boxed(picture, corners, scale, color)
            picture = framed(picture, color if here else PAPER)
            panels.append(captioned(image(picture), f'{index / reader.fps:.2f} s, frame {index}', bold=here))
        panels.append(captioned(image(framed(heated)), 'response'))
        width = len(panels) * (picture.shape[1] + GAP)
        rows.append(titled(beside(panels), _peak_text(peak, located), color, width))
    head = [os.path.basename(located.path)]
    if predictions:
        head.append('predicted: ' + ', '.join(f'{label} {100 * p:.0f} %' for label, p in predictions))
    return sheet(rows, head, width)


def example(name: str, located: Localization, reader: VideoReader) -> Example:
    """The first peak of a video as a part of `filter_grid`."""
    peak = located.peaks[0]
    volume = located.volumes[peak.filter]
    return Example(name, peak, reader.get_batch([peak.frame])[0], volume.heat(peak.frame), volume.limits)


def filter_grid(examples: Sequence[Example], title: str, columns: int = 4, height: int = 170) -> Figure:
    """Draw one filter over several videos, the highest first: the peak's frame with its box, beside it the heat map."""
    # one color scale, or a video without the detail would glow like one that has it
    limits = min(e.limits[0] for e in examples), max(e.limits[1] for e in examples)
    panels = []
    for shown in sorted(examples, key=lambda e: -e.peak.value):
        picture, scale = fit(shown.frame, height)
        both = [boxed(p, shown.peak.box, scale, COLORS[0]) for p in (picture, tint(picture, shown.heat, limits))]
        name = shorten(shown.name, 2 * picture.shape[1])
        value = f'{shown.peak.value:.2f} at {shown.peak.seconds:.2f} s'
        panels.append(captioned(beside([image(p) for p in both], 2), name, value))
    rows = [beside(panels[i : i + columns], MARGIN) for i in range(0, len(panels), columns)]
    return sheet(rows, [title], min(columns, len(panels)) * 2 * height)


def film(path: FilePath, located: Localization, reader: VideoReader, predictions: Predictions = None) -> int:
    """Write the video as mp4 (same frames and rate) with boxes, heat map, responses over time and predictions.

    On the left the frames with each filter's box, which follows the peak's tube and fades at its ends; on the right the
    heat map of the strongest filter; below, each filter's highest response in each frame, with a mark at the present
    one.

    Returns
    -------
    int
        frames written
    """
    view, scale = fit(reader.get_batch([0])[0], 320, widest=640)
    width = max(2 * view.shape[1] + GAP, 408)  # of a film of narrow frames: room for the texts
    slots, curves, board = [image(view), image(view)], [], []
    for label, probability in predictions or ():
        line = text(shorten(f'{100 * probability:5.1f} %  {label}', width - 60, 13), 13, LIGHT)
        board.append(beside([image(_bar(probability)), line], 10))
    for number, peak in enumerate(located.peaks):
        volume = located.volumes[peak.filter]
        caption = f'filter {peak.filter} of "{peak.class_name}": {peak.value:.2f} at {peak.seconds:.2f} s'
        highest = volume.maps.reshape(len(volume.maps), -1).max(axis=1)
        curves.append(Curve(caption, COLORS[number % len(COLORS)], volume.frames, highest, located.length, width))
    name = text(shorten(os.path.basename(located.path), width, 14, bold=True), 14, LIGHT, bold=True)
    foot = below([name, *board, *(curve.box for curve in curves)], 5)
    background = Background(below([beside(slots), foot]), slots, curves)
    strongest = located.volumes[located.peaks[0].filter]

    def page(number: int, frame: np.ndarray) -> np.ndarray:
        left, _ = fit(frame, 320, widest=640)
        right = tint(left, strongest.heat(number), strongest.limits)
        for place, peak in enumerate(located.peaks):
            tube = located.tubes[peak.filter]
            share = visibility(peak, tube, number, reader.fps)
            if share > 0:
                corners = tube.box_at(number)
                left = boxed(left, corners, scale, COLORS[place % len(COLORS)], 2, share)
                if place == 0:
                    right = boxed(right, corners, scale, PAPER, 1, share)
        return background.with_pictures(number, [left, right])

    return write_film(path, reader, page)


def _bar(share: float) -> np.ndarray:
    """A bar that is filled from the left, for a probability."""
    bar = np.full((11, 50, 3), 60, np.uint8)
    bar[:, : round(50 * share)] = 120, 190, 250
    return bar


def visibility(peak: Peak, tube: Tube, frame: int, fps: float) -> float:
    """How strongly a box is drawn in a frame: 1 within the tube and in the frames of the peak's cell, falling to 0 on
    either side within the length of the cell or 0.4 s, whichever is longer."""
    first, last = min(peak.frames[0], tube.frames[0]), max(peak.frames[1], tube.frames[-1])
    distance = max(first - frame, frame - last, 0)
    return max(0.0, 1 - distance / (1 + max(peak.frames[1] - peak.frames[0] + 1, 0.4 * fps)))


def frames_around(peak: Peak, total: int, columns: int) -> List[int]:
    """Frames of a row: the peak's in the middle where the video allows, the others one temporal cell apart."""
    step = max(peak.frames[1] - peak.frames[0] + 1, 1)
    while step > 1 and step * (columns - 1) >= total:
        step -= 1
    before = min(columns // 2, peak.frame // step)
    after = min(columns - 1 - before, (total - 1 - peak.frame) // step)
    before = min(columns - 1 - after, peak.frame // step)
    return [peak.frame + step * i for i in range(-before, after + 1)]


def _peak_text(peak: Peak, located: Localization) -> str:
    return (
        f'filter {peak.filter} of "{peak.class_name}" (its no. {peak.rank} here): response {peak.value:.2f} '
        f'in frame {peak.frame} of {located.length}, {peak.seconds:.2f} s'
    )
