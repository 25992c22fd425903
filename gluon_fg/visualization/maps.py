"""Activation maps or masks over a video, side by side: the picture of a clip, or a film (CIDC figs. 1 and 4).

Maps lie over frames without color, so that every hue is the map's.
"""

from __future__ import annotations

import os
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.offsetbox import OffsetBox

from ..analysis.activation import Activations, MapSeries
from ..analysis.masks import Masks
from ..data.video import VideoReader
from .figures import (
    COLORS,
    GAP,
    FilePath,
    below,
    beside,
    captioned,
    color_scale,
    column,
    fit,
    gray,
    image,
    sheet,
    shorten,
    text,
    tint,
    titled,
)
from .film import LIGHT, Background, Curve, write_film

_WIDEST = 1500  # of the picture's panels together, pixels
_NARROW, _CELL = 112, 200  # width of a picture's and a film's column, at least: room for the texts


class Line(NamedTuple):
    """A series of maps with its texts.

    Parameters
    ----------
    title, short
        what it shows, in a picture's line and in few words over a film's panel
    series
        the maps
    frames
        (T,) the representative frame of each sub-clip
    color
        of its title and curve
    predicted
        the likeliest classes of the network, (label, probability); () where another line says them
    """

    title: str
    short: str
    series: MapSeries
    frames: np.ndarray
    color: str
    predicted: Sequence[Tuple[str, float]] = ()


class MapSheet(NamedTuple):
    """What `picture` and `film` draw: a sentence about the maps, the clips that were seen, and the lines.

    `moment`: what one map belongs to, a sub-clip of a clip, or a frame.
    """

    about: str
    clips: Sequence[Tuple[int, int]]
    lines: List[Line]
    moment: str = 'sub-clip'


def activation_sheet(networks: Sequence[Activations]) -> MapSheet:
    """The activation maps of networks, a color each."""
    lines = []
    for number, network in enumerate(networks):
        for place, (part, series) in enumerate(network.parts.items()):
            predicted = network.predictions if place == 0 else ()
            color = COLORS[number % len(COLORS)]
            lines.append(
                Line(f'{network.name}: {part}', f'{part}: {network.name}', series, network.frames, color, predicted)
            )
    about = 'att(F) is the sigmoid of the mean of the features F over their channels; each F has its own color scale.'
    return MapSheet(about, [clip for network in networks for clip in network.clips], lines)


def mask_sheet(masks: Masks) -> MapSheet:
    """The masks of one network, a color each, and its gate."""
    lines = []
    for number, mask in enumerate(masks.masks):
        told = f'{100 * mask.share:.0f} % {masks.branch}, mean {mask.series.maps.mean():.2f}'
        title, short = f'{mask.role} ({told}): {mask.class_name}', f'{mask.class_name}: {mask.role}'
        color, predicted = COLORS[number % len(COLORS)], () if number else masks.predictions
        lines.append(Line(title, short, mask.series, masks.frames, color, predicted))
    made = {None: 'the masks that each clip selects', 1: "the predicted class's mask alone"}
    of = made.get(masks.averaged, f'{masks.averaged} masks')
    title = f'gate: what the specific features are multiplied with, made of {of}'
    lines.append(Line(title, 'gate', masks.gate, masks.frames, COLORS[len(lines) % len(COLORS)]))
    return MapSheet(f'Masks of {masks.name} before the gate; each has its own color scale.', masks.clips, lines)


def picture(drawn: MapSheet, reader: VideoReader, columns: int = 8, height: int = 150) -> Figure:
    """Draw one clip: a column for each sub-clip, its representative frame on top, below it each series of maps.

    The frames are repeated where a network's sub-clips have others than the network's above.

    Parameters
    ----------
    drawn
        maps of one clip
    reader
        the same video
    columns
        at most so many sub-clips, spread evenly over the clip; the headline says where some are left out
    height
        of a frame in the picture, pixels; less where a row would be too wide
    """
    width, tall = reader.size
    count = min(columns, max(len(line.frames) for line in drawn.lines))
    height = min(height, max(int((_WIDEST / count - GAP) * tall / width), 40))
    rows, above = [], None
    for line in drawn.lines:
        chosen = evenly(len(line.frames), columns)
        numbers = [int(line.frames[i]) for i in chosen]
        frames = [fit(frame, height)[0] for frame in reader.get_batch(numbers)]
        if numbers != above:
            captions = [
                (f'{drawn.moment} {i + 1}', f'{n / reader.fps:.2f} s, frame {n}') for i, n in zip(chosen, numbers)
            ]
            rows.append(beside([captioned(image(f), *two, width=_NARROW) for f, two in zip(frames, captions)]))
            above = numbers
        shown = [line.series.at_subclip(i) for i in chosen]
        series, total = line.series, len(line.series.maps)
        panels = [image(tint(gray(frame), series.heat(i), series.limits)) for frame, i in zip(frames, shown)]
        if total != len(line.frames):
            said = [f'output {i + 1} of {total}' for i in shown]
            panels = [captioned(panel, words, width=_NARROW) for panel, words in zip(panels, said)]
        else:
            panels = [column([panel], _NARROW) for panel in panels]
        panels.append(color_scale(series.limits, frames[0].shape[0], series.quantity))
        title = line.title + (f'; this clip: {_says(line, 2)}' if line.predicted else '')
        rows.append(titled(beside(panels), title, line.color, count * (max(frames[0].shape[1], _NARROW) + GAP)))
    left_out = f', {columns} of its {drawn.moment}s' if any(len(line.frames) > columns for line in drawn.lines) else ''
    clips = ' and '.join(f'{a} to {b}' for a, b in dict.fromkeys(drawn.clips))
    about = f'{drawn.about} Clip: frames {clips} of {len(reader)}{left_out}.'
    return sheet(rows, [os.path.basename(reader.path), about], count * (max(frames[0].shape[1], _NARROW) + GAP))


def film(path: FilePath, drawn: MapSheet, reader: VideoReader, across: int = 4) -> int:
    """Write the whole video as mp4, same frames and rate: the plain frames, then each series of maps over them.

    Every frame shows the map nearest to it in time. Below, the mean of each map over its places, with a mark at the
    present frame.

    Parameters
    ----------
    path
        the file
    drawn
        maps of the whole video
    reader
        the same video
    across
        panels in a row, at most

    Returns
    -------
    int
        frames written
    """
    view = fit(reader.get_batch([0])[0], 240, widest=360)[0]
    background = _background(drawn, reader, view, min(across, len(drawn.lines) + 1))
    heats: Dict[int, Tuple[int, np.ndarray]] = {}  # the map of a sub-clip is that of all its frames

    def page(number: int, frame: np.ndarray) -> np.ndarray:
        plain = fit(frame, 240, widest=360)[0]
        panels, dull = [plain], gray(plain)
        for i, line in enumerate(drawn.lines):
            nearest = line.series.at_frame(number)
            if i not in heats or heats[i][0] != nearest:
                heats[i] = nearest, line.series.heat(nearest)
            panels.append(tint(dull, heats[i][1], line.series.limits))
        return background.with_pictures(number, panels)

    return write_film(path, reader, page)


def _background(drawn: MapSheet, reader: VideoReader, view: np.ndarray, across: int) -> Background:
    """The film's page: a panel of that size for the frames and for each line, in rows, and a curve for each line."""
    cell = max(view.shape[1], _CELL)
    width = across * (cell + GAP) - GAP
    slots = [image(np.zeros_like(view)) for _ in range(len(drawn.lines) + 1)]
    name = text(shorten(os.path.basename(reader.path), cell, 13, bold=True), 13, LIGHT, bold=True)
    panels = [column([name, slots[0]], cell, 3)]
    for line, slot in zip(drawn.lines, slots[1:]):
        head = text(shorten(line.short, cell, 13), 13, line.color)
        foot: List[OffsetBox] = [text(shorten(_says(line, 1) or ' ', cell), 12, LIGHT)]
        foot.append(color_scale(line.series.limits, cell - 110, ink=LIGHT))
        panels.append(column([head, slot, *foot], cell, 3))
    curves = []
    for line in drawn.lines:
        means = line.series.maps.reshape(len(line.series.maps), -1).mean(axis=1)
        caption = f'{line.title}, mean {line.series.quantity} {means.min():.4f} to {means.max():.4f}'
        curves.append(Curve(caption, line.color, line.series.frames, means, len(reader), width))
    rows = [beside(panels[i : i + across]) for i in range(0, len(panels), across)]
    return Background(below([*rows, *(curve.box for curve in curves)], 10), slots, curves)


def _says(line: Line, top: int) -> str:
    return ', '.join(f'{label} {100 * p:.0f} %' for label, p in line.predicted[:top])


def evenly(total: int, columns: int) -> List[int]:
    """Up to `columns` of `total` numbers, evenly from the first to the last."""
    if total <= columns:
        return list(range(total))
    if columns == 1:
        return [total // 2]
    return [i * (total - 1) // (columns - 1) for i in range(columns)]
