"""Pictures of where filters fire: strips, annotated films, one filter over many videos (DFB figs. 1, 4, 5)."""

from __future__ import annotations

import functools
import os
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from ..data.video import VideoReader
from ..errors import UserError
from ..files import atomic_path, atomic_write
from .localization import Localization, Peak, ResponseVolume

# One colour a filter, strongest first; apart from each other for colour-blind eyes too (Okabe and Ito's palette).
COLOURS = ((230, 75, 60), (40, 150, 230), (30, 175, 120), (240, 165, 20), (205, 120, 185))
INK, FAINT, PAPER, NIGHT = (30, 30, 30), (120, 120, 120), (255, 255, 255), (18, 18, 22)
GAP = 6
Predictions = Optional[Sequence[Tuple[str, float]]]


class Example(NamedTuple):
    """A video's part in `filter_grid`: its name, the peak, the frame (H, W, 3) and its heat map (H, W) with limits."""

    name: str
    peak: Peak
    frame: np.ndarray
    heat: np.ndarray
    limits: Tuple[float, float]


def strip(
    found: Localization, reader: VideoReader, predictions: Predictions = None, columns: int = 5, height: int = 170
) -> np.ndarray:
    """One row for each peak: the frames around it, the peak frame outlined and boxed, and its heat map.

    Parameters
    ----------
    found
        peaks and volumes of `examine`
    reader
        the same video
    predictions
        (label, probability) pairs for the headline
    columns
        frames in a row; fewer where the video has fewer
    height
        of a frame in the picture, pixels; less for very wide videos

    Returns
    -------
    numpy.ndarray
        uint8 (H, W, 3) RGB
    """
    rows = []
    for number, peak in enumerate(found.peaks):
        colour, around = COLOURS[number % len(COLOURS)], _around(peak, len(reader), columns)
        panels = []
        for index, frame in zip(around, reader.get_batch(around)):
            image, scale = fit(frame, height)
            if peak.frames[0] <= index <= peak.frames[1]:
                box(image, peak.box, scale, colour, 2 if index == peak.frame else 1)
            if index == peak.frame:
                heated, _ = fit(frame, height)
                heated = overlay(heated, found.volumes[peak.filter], peak.frame)
                box(heated, peak.box, scale, colour, 2)
            image = framed(image, colour if index == peak.frame else PAPER)
            panels.append(captioned(image, f'{index / reader.fps:.2f} s, frame {index}', bold=index == peak.frame))
        panels.append(captioned(framed(heated, PAPER), 'response'))
        rows.append(titled(beside(panels), peak_text(peak, found), colour))
    head = [os.path.basename(found.path)]
    if predictions:
        head.append('predicted: ' + ', '.join(f'{label} {100 * p:.0f} %' for label, p in predictions))
    return sheet(rows, head)


def example(name: str, found: Localization, reader: VideoReader) -> Example:
    """The first peak of a video as a part of `filter_grid`."""
    peak = found.peaks[0]
    volume = found.volumes[peak.filter]
    return Example(name, peak, reader.get_batch([peak.frame])[0], volume.heat(peak.frame), volume.limits)


def filter_grid(examples: Sequence[Example], title: str, columns: int = 4, height: int = 170) -> np.ndarray:
    """One filter over several videos: each one's peak frame with its box, beside it the heat map; the highest first."""
    cells = []
    # one colour scale, or a video without the detail would glow like one that has it
    limits = min(e.limits[0] for e in examples), max(e.limits[1] for e in examples)
    for example in sorted(examples, key=lambda e: -e.peak.value):
        image, scale = fit(example.frame, height)
        heated = tint(fit(example.frame, height)[0], example.heat, limits)
        for picture in (image, heated):
            box(picture, example.peak.box, scale, COLOURS[0], 2)
        pair = beside([image, heated], 2)
        lines = [shorten(example.name, pair.shape[1], 12), f'{example.peak.value:.2f} at {example.peak.seconds:.2f} s']
        cells.append(captioned(pair, *lines))
    rows = [beside(cells[i : i + columns], 14) for i in range(0, len(cells), columns)]
    return sheet(rows, [title])


def film(path: os.PathLike, found: Localization, reader: VideoReader, predictions: Predictions = None) -> int:
    """Write the video as mp4 (same frames and rate) with boxes, heat map, responses over time and predictions.

    On the left the frames with each filter's box, which fades in and out around its peak; on the right the heat map of
    the strongest filter; below, each filter's highest response in each frame, with a mark at the present one.

    Returns
    -------
    int
        frames written

    Raises
    ------
    UserError
        this OpenCV cannot encode mp4
    """
    probe = reader.get_batch([0])[0]
    view, scale = fit(probe, 320, widest=640)
    h, w = view.shape[:2]
    width = max(2 * w + 3 * GAP, 420)  # of a film of narrow frames: room for the texts
    width += width % 2
    board, plots = _board(found, predictions, width)
    total = h + 2 * GAP + board.shape[0]
    canvas = np.full((total + total % 2, width, 3), NIGHT, np.uint8)
    canvas[h + 2 * GAP : h + 2 * GAP + board.shape[0]] = board
    strongest = found.volumes[found.peaks[0].filter]

    def page(number: int, frame: np.ndarray) -> np.ndarray:
        left, _ = fit(frame, 320, widest=640)
        right = overlay(left.copy(), strongest, number)
        for place, peak in enumerate(found.peaks):
            share = visibility(peak, number, reader.fps)
            if share > 0:
                box(left, peak.box, scale, COLOURS[place % len(COLOURS)], 2, share)
                if place == 0:
                    box(right, peak.box, scale, PAPER, 1, share)
        drawn = canvas.copy()
        drawn[GAP : GAP + h, GAP : GAP + w] = left
        drawn[GAP : GAP + h, 2 * GAP + w : 2 * GAP + 2 * w] = right
        for area in plots:
            cursor(drawn[h + 2 * GAP :], area, number, len(reader))
        return drawn

    return write_film(path, reader, page)


def write_film(path: os.PathLike, reader: VideoReader, page: Callable[[int, np.ndarray], np.ndarray]) -> int:
    """Write an mp4 of as many frames as the video has and at its rate, atomically.

    Parameters
    ----------
    page
        (number, frame (H, W, 3)) of the video -> picture: uint8 RGB, all of one size, even in height and width

    Returns
    -------
    int
        frames written

    Raises
    ------
    UserError
        this OpenCV cannot encode mp4
    """
    writer = None
    with atomic_path(path) as temporary:
        try:
            for start in range(0, len(reader), 16):
                numbers = list(range(start, min(start + 16, len(reader))))
                for number, frame in zip(numbers, reader.get_batch(numbers)):
                    picture = page(number, frame)
                    if writer is None:
                        size = picture.shape[1], picture.shape[0]
                        writer = cv2.VideoWriter(temporary, cv2.VideoWriter_fourcc(*'mp4v'), reader.fps, size)
                        if not writer.isOpened():
                            raise UserError(f'{path}: this OpenCV cannot write mp4 files')
                    writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        finally:
            if writer is not None:
                writer.release()
    return len(reader)


def visibility(peak: Peak, frame: int, fps: float) -> float:
    """How strongly a peak's box is drawn in a frame: 1 in the frames of its cell, falling to 0 on either side within
    the length of the cell or 0.4 s, whichever is longer."""
    first, last = peak.frames
    distance = max(first - frame, frame - last, 0)
    return max(0.0, 1 - distance / (1 + max(last - first + 1, 0.4 * fps)))


def peak_text(peak: Peak, found: Localization) -> str:
    """A peak in words: filter, place in its class, response, frame and time."""
    return (
        f'filter {peak.filter} of "{peak.class_name}" (its no. {peak.rank} here): response {peak.value:.2f} '
        f'in frame {peak.frame} of {found.length}, {peak.seconds:.2f} s'
    )


def save_png(path: os.PathLike, image: np.ndarray) -> None:
    """Write uint8 (H, W, 3) RGB as PNG, atomically."""
    done, data = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise RuntimeError(f'{path}: OpenCV could not encode a picture of shape {image.shape}')
    with atomic_write(path, 'wb') as stream:
        stream.write(data.tobytes())


# Pieces


def overlay(image: np.ndarray, volume: ResponseVolume, frame: int) -> np.ndarray:
    """A filter's heat map over a picture of the frame (any size), coloured on the scale of the whole video."""
    return tint(image, volume.heat(frame), volume.limits)


def tint(image: np.ndarray, heat: np.ndarray, limits: Tuple[float, float]) -> np.ndarray:
    """A heat map (any size) over a picture, coloured from the lower to the upper limit."""
    low, high = limits
    share = np.clip((heat - low) / (high - low if high > low else 1), 0, 1).astype(np.float32)
    share = cv2.resize(share, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    colours = cv2.cvtColor(cv2.applyColorMap((230 * share).astype(np.uint8), cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    weight = (0.2 + 0.45 * share)[..., None]  # the coldest places keep most of the picture
    return (image * (1 - weight) + colours * weight).astype(np.uint8)


def box(image: np.ndarray, corners, scale: float, colour, thickness: int = 2, share: float = 1.0) -> None:
    """Outline a box of the original video's pixels, in place, with a dark rim around it; `share` is the opacity."""
    x0, y0, x1, y1 = (int(round(value * scale)) for value in corners)
    last = (image.shape[1] - 1, image.shape[0] - 1)
    a, b = (min(x0, last[0]), min(y0, last[1])), (min(max(x1 - 1, x0), last[0]), min(max(y1 - 1, y0), last[1]))
    drawn = image.copy()
    cv2.rectangle(drawn, a, b, (0, 0, 0), thickness + 2)
    cv2.rectangle(drawn, a, b, tuple(int(c) for c in colour), thickness)
    cv2.addWeighted(drawn, share, image, 1 - share, 0, dst=image)


def _around(peak: Peak, total: int, columns: int) -> List[int]:
    """Frames of a row: the peak's in the middle where the video allows, the others one temporal cell apart."""
    step = max(peak.frames[1] - peak.frames[0] + 1, 1)
    while step > 1 and step * (columns - 1) >= total:
        step -= 1
    before = min(columns // 2, peak.frame // step)
    after = min(columns - 1 - before, (total - 1 - peak.frame) // step)
    before = min(columns - 1 - after, peak.frame // step)
    return [peak.frame + step * i for i in range(-before, after + 1)]


def fit(frame: np.ndarray, height: int, widest: int = 420) -> Tuple[np.ndarray, float]:
    """A copy of the frame `height` high, or less where it would be too wide, and its scale. Small frames grow."""
    scale = min(height / frame.shape[0], widest / frame.shape[1])
    size = max(int(round(frame.shape[1] * scale)), 1), max(int(round(frame.shape[0] * scale)), 1)
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), scale


def framed(image: np.ndarray, colour) -> np.ndarray:
    """A picture with a border of three pixels around it."""
    return cv2.copyMakeBorder(image, 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=colour)


def beside(images: Sequence[np.ndarray], gap: int = GAP) -> np.ndarray:
    """Pictures in a row on white, aligned at the top."""
    tall = max(image.shape[0] for image in images)
    parts = []
    for image in images:
        padded = cv2.copyMakeBorder(image, 0, tall - image.shape[0], 0, 0, cv2.BORDER_CONSTANT, value=PAPER)
        parts += [np.full((tall, gap, 3), 255, np.uint8), padded]
    return np.concatenate(parts[1:], axis=1)


def captioned(image: np.ndarray, *lines: str, bold: bool = False) -> np.ndarray:
    """A picture with lines below it; made wider on the right where they need it."""
    wide = max(text_width(line, 12, bold) for line in lines) + 8
    right = max(wide - image.shape[1], 0)
    out = cv2.copyMakeBorder(image, 0, 18 * len(lines) + 2, 0, right, cv2.BORDER_CONSTANT, value=PAPER)
    return write(
        out,
        [
            (4, image.shape[0] + 2 + 18 * i, line, 12, INK if bold or i == 0 else FAINT, bold)
            for i, line in enumerate(lines)
        ],
    )


def titled(image: np.ndarray, text: str, colour) -> np.ndarray:
    """A picture with a title above it, a mark of its colour in front."""
    right = max(24 + text_width(text, 14) - image.shape[1], 0)
    out = cv2.copyMakeBorder(image, 26, 0, 0, right, cv2.BORDER_CONSTANT, value=PAPER)
    cv2.rectangle(out, (4, 7), (16, 19), colour, -1)
    return write(out, [(24, 5, text, 14, INK, False)])


def sheet(rows: Sequence[np.ndarray], head: Sequence[str]) -> np.ndarray:
    """Rows below each other under a headline, on white with a margin."""
    margin, sizes = 14, [18] + [14] * (len(head) - 1)
    wide = max(
        [row.shape[1] for row in rows]
        + [text_width(line, size, i == 0) for i, (line, size) in enumerate(zip(head, sizes))]
    )
    top = 26 * len(head) + 6
    parts = [np.full((top, wide, 3), 255, np.uint8)]
    for row in rows:
        parts.append(cv2.copyMakeBorder(row, 0, 12, 0, wide - row.shape[1], cv2.BORDER_CONSTANT, value=PAPER))
    page = cv2.copyMakeBorder(np.concatenate(parts), margin, 2, margin, margin, cv2.BORDER_CONSTANT, value=PAPER)
    return write(
        page,
        [
            (margin, margin + 26 * i, line, size, INK if i == 0 else FAINT, i == 0)
            for i, (line, size) in enumerate(zip(head, sizes))
        ],
    )


def _board(
    found: Localization, predictions: Predictions, width: int
) -> Tuple[np.ndarray, List[Tuple[int, int, int, int]]]:
    """The film's lower part, predictions and a plot of each filter's responses; and the plots' x0, y0, x1, y1."""
    texts, y = (
        [(GAP, 0, shorten(os.path.basename(found.path), width - 2 * GAP, 14, True), 14, (235, 235, 235), True)],
        24,
    )
    bars = []
    for label, probability in predictions or ():
        bars.append((y, probability))
        texts.append(
            (GAP + 60, y, shorten(f'{100 * probability:5.1f} %  {label}', width - 70, 13), 13, (225, 225, 225), False)
        )
        y += 20
    y += 4
    board = np.full((y + 46 * len(found.peaks) + 4, width, 3), NIGHT, np.uint8)
    for top, probability in bars:
        cv2.rectangle(board, (GAP, top + 3), (GAP + 50, top + 14), (60, 60, 66), -1)
        cv2.rectangle(board, (GAP, top + 3), (GAP + int(round(50 * probability)), top + 14), (120, 190, 250), -1)
    plots = []
    for place, peak in enumerate(found.peaks):
        colour = COLOURS[place % len(COLOURS)]
        caption = f'filter {peak.filter} of "{peak.class_name}": {peak.value:.2f} at {peak.seconds:.2f} s'
        texts.append((GAP, y, shorten(caption, width - 2 * GAP, 12), 12, colour, False))
        area = (GAP, y + 17, width - GAP, y + 43)
        volume = found.volumes[peak.filter]
        highest = volume.maps.reshape(len(volume.maps), -1).max(axis=1)
        plot(board, area, volume.frames, highest, found.length, colour)
        plots.append(area)
        y += 46
    return write(board, texts), plots


def cursor(board: np.ndarray, area, number: int, total: int) -> None:
    """Mark a frame of `total` ones on a plot's time axis, in place."""
    x0, y0, x1, y1 = area
    x = x0 + int(round((x1 - x0 - 1) * (number / max(total - 1, 1))))
    board[y0:y1, x : x + 2] = (250, 250, 250)


def plot(board: np.ndarray, area, frames: np.ndarray, values: np.ndarray, total: int, colour) -> None:
    """Values at some frames of a video of `total` ones as a filled curve, in place; the frame axis is `cursor`'s."""
    x0, y0, x1, y1 = area
    board[y0:y1, x0:x1] = (34, 34, 40)
    columns = np.interp(np.linspace(0, total - 1, x1 - x0), frames, values)
    span = values.max() - values.min()
    tall = ((columns - values.min()) / (span if span > 0 else 1) * (y1 - y0 - 3) + 2).astype(int)
    filled = np.arange(y1 - y0)[::-1, None] < tall[None]
    board[y0:y1, x0:x1][filled] = colour


# Text: OpenCV's own letters are crude, so Pillow writes, with the font that Matplotlib brings.


@functools.lru_cache(maxsize=None)
def _font(size: int, bold: bool = False):
    import matplotlib
    from PIL import ImageFont

    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(os.path.join(matplotlib.get_data_path(), 'fonts', 'ttf', name), size)


def text_width(text: str, size: int, bold: bool = False) -> int:
    """Pixels that a text takes."""
    return int(np.ceil(_font(size, bold).getlength(text)))


def shorten(text: str, width: int, size: int, bold: bool = False) -> str:
    """The text, its end cut off where it is wider than `width` pixels."""
    if text_width(text, size, bold) <= width:
        return text
    while text and text_width(text + '\u2026', size, bold) > width:
        text = text[:-1]
    return text + '\u2026'


def write(image: np.ndarray, texts: Sequence[Tuple[int, int, str, int, Tuple[int, int, int], bool]]) -> np.ndarray:
    """A copy of the picture with texts (x, y of the upper left, text, size, colour, bold) on it."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    for x, y, text, size, colour, bold in texts:
        draw.text((x, y), text, fill=tuple(colour), font=_font(size, bold))
    return np.array(picture)
