"""Activation maps or masks on one video, side by side: picture of a clip, or film (CIDC figs. 1, 4; U2S figs. 5, 6).

Maps lie over frames without colour, so that every hue is the map's.
"""

from __future__ import annotations

import os
from typing import Dict, List, Sequence, Tuple

import cv2
import numpy as np

from ..data.video import VideoReader
from .activation import Activations
from .drawing import (
    COLOURS,
    FAINT,
    GAP,
    INK,
    NIGHT,
    PAPER,
    beside,
    captioned,
    cursor,
    fit,
    plot,
    sheet,
    shorten,
    text_width,
    tint,
    titled,
    write,
    write_film,
)

_WIDEST = 1500  # of the picture's panels together, pixels


def picture(found: Sequence[Activations], reader: VideoReader, columns: int = 8, height: int = 150) -> np.ndarray:
    """One clip: a column for each sub-clip, its representative frame on top, below it the maps of each network.

    The frames are repeated where a network's sub-clips have others than the network's above.

    Parameters
    ----------
    found
        `clip_activations` of each network
    reader
        the same video
    columns
        at most so many sub-clips, spread evenly over the clip; the headline says where some are left out
    height
        of a frame in the picture, pixels; less where a row would be too wide

    Returns
    -------
    numpy.ndarray
        uint8 (H, W, 3) RGB
    """
    width, tall = reader.size
    count = min(columns, max(len(one.frames) for one in found))
    height = min(height, max(int((_WIDEST / count - GAP) * tall / width), 40))
    rows, above = [], None
    for number, one in enumerate(found):
        chosen = _spread(len(one.frames), columns)
        numbers = [int(one.frames[i]) for i in chosen]
        frames = [fit(frame, height)[0] for frame in reader.get_batch(numbers)]
        if numbers != above:
            captions = [(f'sub-clip {i + 1}', f'{n / reader.fps:.2f} s, frame {n}') for i, n in zip(chosen, numbers)]
            rows.append(beside([captioned(frame, *lines) for frame, lines in zip(frames, captions)]))
            above = numbers
        for place, part in enumerate(one.parts):
            shown = [part.at_subclip(i) for i in chosen]
            panels = [tint(_grey(frame), part.heat(i), part.limits) for frame, i in zip(frames, shown)]
            if len(part.maps) != len(one.frames):
                panels = [captioned(panel, f'output {i + 1} of {len(part.maps)}') for panel, i in zip(panels, shown)]
            panels.append(_scale(part.limits, frames[0].shape[0], PAPER, INK, part.quantity))
            title = f'{one.name}: {part.part}'
            if place == 0 and one.predictions:
                title += f'; this clip: {_says(one)}'
            rows.append(titled(beside(panels), title, COLOURS[number % len(COLOURS)]))
    left_out = any(len(one.frames) > columns for one in found)
    clips = ' and '.join(f'{a} to {b}' for a, b in dict.fromkeys(clip for one in found for clip in one.clips))
    head = [
        os.path.basename(reader.path),
        f'{" ".join(dict.fromkeys(one.about for one in found))} Clip: frames {clips} of '
        f'{len(reader)}{f", {columns} of its sub-clips" if left_out else ""}',
    ]
    return sheet(rows, head)


def film(path: os.PathLike, found: Sequence[Activations], reader: VideoReader, across: int = 4) -> int:
    """Write the whole video as mp4, same frames and rate: the plain frames, then each network's maps over them.

    Every frame shows the map nearest to it in time. Below, the mean of each map over its places, with a mark at the
    present frame.

    Parameters
    ----------
    found
        `video_activations` of each network
    across
        panels in a row, at most

    Returns
    -------
    int
        frames written

    Raises
    ------
    UserError
        this OpenCV cannot encode mp4
    """
    parts = [(COLOURS[n % len(COLOURS)], one, part) for n, one in enumerate(found) for part in one.parts]
    h, w = fit(reader.get_batch([0])[0], 240, widest=360)[0].shape[:2]
    cell = max(w, 200)  # of narrow frames: room for the texts
    across = min(across, len(parts) + 1)
    rows = -(-(len(parts) + 1) // across)
    width = across * (cell + GAP) + GAP
    corners = [
        (GAP + (i % across) * (cell + GAP), 28 + (i // across) * (h + 62)) for i in range(len(parts) + 1)
    ]  # x, y of each panel
    lower = rows * (h + 62) + 6
    total = lower + 46 * len(parts)
    canvas = np.full((total + total % 2, width + width % 2, 3), NIGHT, np.uint8)
    plots = [(GAP, lower + 46 * i + 17, width - GAP, lower + 46 * i + 43) for i in range(len(parts))]
    texts = [(corners[0][0], corners[0][1] - 22, shorten(os.path.basename(reader.path), cell, 13), 13, PAPER, True)]
    for (x, y), (colour, one, part), area in zip(corners[1:], parts, plots):
        lines = [(y - 22, f'{part.part}: {one.name}', 13, colour), (y + h + 2, _says(one, 1), 12, (205, 205, 205))]
        texts += [(x, top, shorten(line, cell, size), size, ink, False) for top, line, size, ink in lines]
        scale = _scale_lying(part.limits, cell)
        canvas[y + h + 18 : y + h + 18 + scale.shape[0], x : x + cell] = scale
        means = part.maps.reshape(len(part.maps), -1).mean(axis=1)
        caption = f'{part.part}: {one.name}, mean {part.quantity} {means.min():.4f} to {means.max():.4f}'
        texts.append((GAP, area[1] - 17, shorten(caption, width - 2 * GAP, 12), 12, colour, False))
        plot(canvas, area, part.frames, means, len(reader), colour)
    canvas = write(canvas, texts)
    heats: Dict[Tuple[int, int], np.ndarray] = {}

    def page(number: int, frame: np.ndarray) -> np.ndarray:
        drawn, view = canvas.copy(), fit(frame, 240, widest=360)[0]
        for i, (x, y) in enumerate(corners):
            panel = view
            if i:
                part = parts[i - 1][2]
                nearest = part.at_frame(number)
                if (i, nearest) not in heats:  # the maps of a sub-clip are those of all its frames
                    for key in [key for key in heats if key[0] == i]:
                        del heats[key]
                    heats[i, nearest] = part.heat(nearest)
                panel = tint(_grey(view), heats[i, nearest], part.limits)
            drawn[y : y + h, x : x + w] = panel
        for area in plots:
            cursor(drawn, area, number, len(reader))
        return drawn

    return write_film(path, reader, page)


def _grey(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def _says(one: Activations, top: int = 2) -> str:
    return ', '.join(f'{label} {100 * p:.0f} %' for label, p in one.predictions[:top])


def _spread(total: int, columns: int) -> List[int]:
    """Up to `columns` of `total` numbers, evenly from the first to the last."""
    if total <= columns:
        return list(range(total))
    if columns == 1:
        return [total // 2]
    return [i * (total - 1) // (columns - 1) for i in range(columns)]


def _ramp(length: int) -> np.ndarray:
    """(length, 1, 3): the colours of `tint` from the lowest to the highest value."""
    share = np.linspace(0, 230, length).astype(np.uint8)[:, None]
    return cv2.cvtColor(cv2.applyColorMap(share, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)


def _numbers(limits: Tuple[float, float]) -> Tuple[str, str]:
    """Both ends of a scale with as many digits as tell them apart, four at least."""
    low, high = limits
    digits = 4
    while high > low and digits < 12 and f'{low:.{digits}f}' == f'{high:.{digits}f}':
        digits += 2
    return f'{low:.{digits}f}', f'{high:.{digits}f}'


def _scale(limits, height: int, paper, ink, quantity: str) -> np.ndarray:
    """A standing colour scale with the values at its ends, `height` high."""
    low, high = _numbers(limits)
    image = np.full((height, 24 + max(text_width(text, 12) for text in (low, high, quantity)), 3), paper, np.uint8)
    image[:, 4:16] = _ramp(height)[::-1]
    return write(
        image,
        [
            (20, 0, high, 12, ink, False),
            (20, height // 2 - 8, quantity, 12, FAINT, False),
            (20, height - 17, low, 12, ink, False),
        ],
    )


def _scale_lying(limits, width: int) -> np.ndarray:
    """A lying colour scale between the values at its ends, `width` wide, for films."""
    low, high = _numbers(limits)
    left, right = text_width(low, 11) + 5, text_width(high, 11) + 5
    image = np.full((14, width, 3), NIGHT, np.uint8)
    image[2:12, left : width - right] = _ramp(width - right - left)[None, :, 0]
    return write(image, [(0, 0, low, 11, (205, 205, 205), False), (width - right + 5, 0, high, 11, (205,) * 3, False)])
