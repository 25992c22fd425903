"""Pictures made of frames of a video: heat maps and boxes over them, captions below them, packed in rows and columns.

Matplotlib's packers (`matplotlib.offsetbox`) find the place of each picture and text, and a figure is as large as they
need. It has 72 dots an inch, so that its points are pixels.
"""

from __future__ import annotations

import os
import textwrap
from typing import Any, Sequence, Tuple, Union

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.offsetbox import AnchoredOffsetbox, DrawingArea, HPacker, OffsetBox, OffsetImage, TextArea, VPacker

from ..files import atomic_path

# One color a filter or network; apart from each other for color-blind eyes too (Okabe and Ito's palette).
COLORS = ('#e64b3c', '#2896e6', '#1eaf78', '#f0a514', '#cd78b9')
INK, FAINT, PAPER = '#1e1e1e', '#787878', '#ffffff'
HEAT = ListedColormap(colormaps['turbo'](np.linspace(0, 0.9, 256)), 'heat')  # without its darkest red
GAP, MARGIN = 6, 14  # pixels between pictures, and around them
NARROWEST = 600  # pixels that a line of text may take, at least

FilePath = Union[str, os.PathLike]
Limits = Tuple[float, float]
Box = Tuple[float, float, float, float]


def save_figure(figure: Figure, path: FilePath, **options: Any) -> None:
    """Write a figure as PNG, atomically; `options` are those of Matplotlib's `savefig`."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format='png', **{'dpi': figure.dpi, **options})


def to_array(figure: Figure) -> np.ndarray:
    """A figure as a picture: uint8 (H, W, 3) RGB."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


# Packing


def text(line: str, size: int = 12, color: str = INK, bold: bool = False) -> TextArea:
    """A text, `size` pixels high."""
    look = dict(size=size, color=color, weight='bold' if bold else 'normal', parse_math=False, linespacing=1.25)
    return TextArea(line, textprops=look)


def image(picture: np.ndarray) -> OffsetImage:
    """A picture, uint8 (h, w, 3) RGB, shown pixel by pixel."""
    return OffsetImage(picture, interpolation='nearest', resample=False)


def beside(children: Sequence[OffsetBox], gap: float = GAP) -> HPacker:
    """Children from left to right, their upper edges level."""
    return HPacker(children=list(children), align='top', pad=0, sep=gap)


def below(children: Sequence[OffsetBox], gap: float = GAP) -> VPacker:
    """Children from top to bottom, their left edges level."""
    return VPacker(children=list(children), align='left', pad=0, sep=gap)


def captioned(picture: OffsetBox, *lines: str, bold: bool = False, width: int = 0) -> VPacker:
    """A picture with lines below it, in a column that is at least `width` pixels wide."""
    return column([picture, *(text(t, 12, FAINT if n else INK, bold) for n, t in enumerate(lines))], width, 4)


def column(children: Sequence[OffsetBox], width: int, gap: float = GAP) -> VPacker:
    """Children from top to bottom in a column that is at least `width` pixels wide."""
    return below([below(children, gap), DrawingArea(width, 0)], 0)


def titled(picture: OffsetBox, title: str, color: str, width: int = NARROWEST) -> VPacker:
    """A picture with a title above it, broken after about `width` pixels, and a mark of its color before the title."""
    mark = image(np.full((12, 12, 3), [round(255 * c) for c in to_rgb(color)], np.uint8))
    return below([beside([mark, text(_wrap(title, width, 14), 14)], 8), picture])


def color_scale(limits: Limits, length: int, quantity: str = '', ink: str = INK) -> OffsetBox:
    """The colors of `tint` between the values at their ends: standing with a `quantity` to name, else lying."""
    low, high = scale_ends(limits)
    colors = HEAT(np.linspace(0, 1, length), bytes=True)[:, :3]
    if not quantity:
        return beside([text(low, 11, ink), image(np.repeat(colors[None], 10, 0)), text(high, 11, ink)], 5)
    words = [text(high, 12, ink), text(quantity, 12, FAINT), text(low, 12, ink)]
    names = VPacker(children=words, height=length, mode='expand', align='left', pad=0)
    return beside([image(np.repeat(colors[::-1, None], 12, 1)), names], 4)


def sheet(rows: Sequence[OffsetBox], head: Sequence[str], width: int = NARROWEST) -> Figure:
    """Rows below each other under a headline and smaller lines, on white; lines are broken after `width` pixels."""
    lines = [text(_wrap(head[0], width, 18), 18, bold=True)]
    lines += [text(_wrap(line, width, 14), 14, FAINT) for line in head[1:]]
    return lay_out(below([below(lines, 7), *rows], 16))


def lay_out(box: OffsetBox, paper: str = PAPER, margin: int = MARGIN, even: bool = False) -> Figure:
    """A figure as large as a box needs, with a margin around it; with `even`, of even height and width."""
    figure = Figure(dpi=72, facecolor=paper)
    canvas = FigureCanvasAgg(figure)
    holder = AnchoredOffsetbox('upper left', child=box, pad=0, borderpad=0, frameon=False, bbox_to_anchor=(0, 0, 1, 1))
    figure.add_artist(holder)
    extent = holder.get_window_extent(canvas.get_renderer())
    wide, high = (int(np.ceil(side)) + 2 * margin for side in (extent.width, extent.height))
    wide, high = (wide + wide % 2, high + high % 2) if even else (wide, high)
    figure.set_size_inches(wide / 72, high / 72)
    holder.set_bbox_to_anchor((margin, margin, wide - 2 * margin, high - 2 * margin))
    return figure


def place_of(picture: OffsetImage, figure: Figure) -> Tuple[int, int]:
    """(x, y) of a picture's upper left corner on the drawn figure, pixels."""
    extent = picture.get_window_extent(figure.canvas.get_renderer())
    return round(extent.x0), round(figure.bbox.height - extent.y1)


# Pictures


def fit(frame: np.ndarray, height: int, widest: int = 420) -> Tuple[np.ndarray, float]:
    """A copy of the frame `height` high, or less where it would be too wide, and its scale. Small frames grow."""
    scale = min(height / frame.shape[0], widest / frame.shape[1])
    size = max(round(frame.shape[1] * scale), 1), max(round(frame.shape[0] * scale), 1)
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), scale


def gray(frame: np.ndarray) -> np.ndarray:
    """A frame without color, so that every hue of a heat map over it is the map's."""
    return cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def tint(picture: np.ndarray, heat: np.ndarray, limits: Limits) -> np.ndarray:
    """A heat map (any size) over a picture, colored from the lower to the upper limit."""
    low, high = limits
    share = np.clip((heat - low) / (high - low if high > low else 1), 0, 1).astype(np.float32)
    share = cv2.resize(share, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_LINEAR)
    weight = (0.2 + 0.45 * share)[..., None]  # the coldest places keep most of the picture
    return (picture * (1 - weight) + HEAT(share, bytes=True)[..., :3] * weight).astype(np.uint8)


def boxed(
    picture: np.ndarray, corners: Box, scale: float, color: str, width: int = 2, share: float = 1.0
) -> np.ndarray:
    """A picture with a box (x0, y0, x1, y1), times `scale`, and a dark rim around its line; `share` is the opacity."""
    x0, y0, x1, y1 = (round(value * scale) for value in corners)
    last = picture.shape[1] - 1, picture.shape[0] - 1
    ends = (min(x0, last[0]), min(y0, last[1])), (min(max(x1 - 1, x0), last[0]), min(max(y1 - 1, y0), last[1]))
    drawn = picture.copy()
    cv2.rectangle(drawn, *ends, (0, 0, 0), width + 2)
    cv2.rectangle(drawn, *ends, [round(255 * c) for c in to_rgb(color)], width)
    return cv2.addWeighted(drawn, share, picture, 1 - share, 0)


def framed(picture: np.ndarray, color: str = PAPER) -> np.ndarray:
    """A picture with a border of three pixels around it."""
    rgb = [round(255 * c) for c in to_rgb(color)]
    return cv2.copyMakeBorder(picture, 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=rgb)


# Text


def scale_ends(limits: Limits) -> Tuple[str, str]:
    """Both ends of a scale with as many digits as tell them apart, four at least."""
    low, high = limits
    digits = 4
    while high > low and digits < 12 and f'{low:.{digits}f}' == f'{high:.{digits}f}':
        digits += 2
    return f'{low:.{digits}f}', f'{high:.{digits}f}'


def shorten(line: str, width: float, size: int = 12, bold: bool = False) -> str:
    """A text whose end is cut off where it takes more than `width` pixels."""
    font = FontProperties(size=size, weight='bold' if bold else 'normal')

    def wide(words: str) -> bool:
        return RendererAgg(1, 1, 72).get_text_width_height_descent(words, font, ismath=False)[0] > width

    if not wide(line):
        return line
    while line and wide(line + '\u2026'):
        line = line[:-1]
    return line.rstrip() + '\u2026'


def _wrap(line: str, width: float, size: int) -> str:
    return textwrap.fill(line, int(max(width, NARROWEST) / (0.58 * size)), break_on_hyphens=False)
