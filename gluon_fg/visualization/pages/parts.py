"""Small parts of pages: pictures, drawings, bars, marks of good and bad, lists of facts. All return escaped markup."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import warnings
from typing import Any, Iterable, Tuple, Union

import cv2
import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from ..figures import FAINT, INK, PAPER

Text = Union[str, Markup]

_SIGNS = {'good': '\u2713', 'warn': '!', 'bad': '\u2717', 'plain': '\u2022'}
# What of a drawing follows the page, which is dark or light.
_INKS = {
    '#000000': 'currentColor',
    INK: 'currentColor',
    FAINT: 'var(--quiet)',
    '#b0b0b0': 'var(--line)',  # Matplotlib's grid
    '#e4e4e4': 'var(--line)',
    '#cccccc': 'var(--line)',
    '#333333': 'currentColor',
    '#dddddd': 'var(--line)',
    PAPER: 'var(--paper)',
}
_QUALITY = 72  # of WebP, of 100


def picture(rgb: np.ndarray, alt: str, width: int = 0, exact: bool = False) -> Markup:
    """Show a picture, which is kept in the page itself.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3)
    alt
        what it shows, in words, for those who cannot see it
    width
        pixels across at most; what is larger is made smaller. 0: as it is
    exact
        whether every pixel counts, as in a matrix: kept without loss, and drawn as squares where it is enlarged

    Returns
    -------
    `<img>`, `width` wide, or narrower where there is less room
    """
    height, across = rgb.shape[:2]
    if not exact and 0 < width < across:
        size = width, max(1, round(height * width / across))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    code = io.BytesIO()
    if exact:
        Image.fromarray(rgb).save(code, 'PNG', optimize=True)
    else:
        Image.fromarray(rgb).save(code, 'WEBP', quality=_QUALITY, method=4)
    shown = width or across
    return Markup('<img src="data:image/{};base64,{}" alt="{}" width="{}" height="{}" decoding="async"{}>').format(
        'png' if exact else 'webp',
        base64.b64encode(code.getvalue()).decode(),
        alt,
        shown,
        max(1, round(height * shown / across)),
        Markup(' class="exact"') if exact else '',
    )


def drawn(figure: Figure, alt: str) -> Markup:
    """Show a Matplotlib figure as a drawing (SVG) whose texts are texts, and whose ink is that of the page.

    Black, `figures.INK` and `FAINT`, white, and the greys of grids take the page's colors, so that it is right on light
    and on dark paper; all other colors stay. `alt` says what it shows. Its size is that of the figure (96 pixels an
    inch), less where there is less room; a wide one scrolls in itself before its texts get too small.
    """
    stream = io.StringIO()
    options = {'svg.fonttype': 'none', 'svg.hashsalt': 'gluon_fg'}
    with matplotlib.rc_context(options), warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='Glyph .* missing')  # the browser has its own fonts
        figure.savefig(stream, format='svg', transparent=True, metadata={'Date': None})
    svg = stream.getvalue()
    svg = svg[svg.index('<svg') :]
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.DOTALL)
    svg = re.sub(r'font: (?:[a-z0-9]+ )*?([0-9.]+px) [^;"]*', r'font-size: \1', svg)
    for color, ink in _INKS.items():
        svg = svg.replace(f': {color}', f': {ink}')
    svg = _own_ids(svg)
    inches, high = figure.get_size_inches()
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*"', r'\1', svg, count=1)
    svg = re.sub(r'(<svg [^>]*?) height="[^"]*"', r'\1', svg, count=1)
    size = Markup('<svg class="drawn" role="img" aria-label="{}" style="min-width: {:.0f}px; max-width: {:.0f}px" ')
    size = size.format(alt, max(320, 58 * inches), 96 * inches)  # smaller, its texts could not be read
    return Markup('<div class="wide">') + size + Markup(svg[len('<svg ') :]) + Markup('</div>')


def _own_ids(svg: str) -> str:
    """A drawing without the ids that nothing uses, the others with a prefix of its own: a page has many drawings."""
    used = set(re.findall(r'#([\w.-]+)', svg))
    prefix = 's' + hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r' id="([\w.-]+)"', lambda m: f' id="{prefix}{m[1]}"' if m[1] in used else '', svg)
    return re.sub(r'(href="|url\()#', rf'\1#{prefix}', svg)


def bar(fraction: float, label: str = '') -> Markup:
    """Draw a fraction between 0 and 1 as a bar; `label` is read out in its place (default: the percentage)."""
    share = 100 * min(max(float(fraction), 0.0), 1.0)
    text = label or f'{share:.0f} %'
    return Markup('<span class="bar" role="img" aria-label="{}"><span style="width: {:.1f}%"></span></span>').format(
        text, share
    )


def interval(value: float, low: float, high: float) -> Markup:
    """Draw a fraction and its interval, all between 0 and 1: a line from low to high, and a mark at the value."""
    low, value, high = (100 * min(max(float(x), 0.0), 1.0) for x in (low, value, high))
    text = f'{value:.1f} %, 95 % interval {low:.1f} to {high:.1f} %'
    return Markup(
        '<span class="interval" role="img" aria-label="{}" title="{}">'
        '<i style="left: {:.1f}%; width: {:.1f}%"></i><b style="left: {:.1f}%"></b></span>'
    ).format(text, text, low, high - low, value)


def verdict(text: Text, level: str = 'plain') -> Markup:
    """Say whether something is 'good', a 'warn'ing, 'bad' or 'plain', by a sign and its color before the words."""
    return Markup('<span class="verdict {}"><span class="sign" aria-hidden="true">{}</span> {}</span>').format(
        level, _SIGNS[level], text
    )


def tiles(numbers: Iterable[Tuple[Text, Text, Text]]) -> Markup:
    """Show a few large numbers side by side, each as (number, what it is, a note below)."""
    return (
        Markup('<ul class="tiles">')
        + Markup('').join(
            Markup('<li><b>{}</b><span>{}</span><small>{}</small></li>').format(*number) for number in numbers
        )
        + Markup('</ul>')
    )


def facts(pairs: Iterable[Tuple[Text, Text]]) -> Markup:
    """Show names and what belongs to them as two columns."""
    rows = (Markup('<div><dt>{}</dt><dd>{}</dd></div>').format(name, value) for name, value in pairs)
    return Markup('<dl class="facts">') + Markup('').join(rows) + Markup('</dl>')


def json_data(value: Any, name: str = '') -> Markup:
    """Keep plain data in the page for its scripts: as JSON in which no text ends the element; `name` is its address."""
    text = json.dumps(value, separators=(',', ':'), ensure_ascii=False).replace('<', '\\u003c')
    text = text.replace('\u2028', '\\u2028').replace('\u2029', '\\u2029')
    given = Markup(' id="{}"').format(name) if name else ''
    return Markup('<script type="application/json"{}>{}</script>').format(given, Markup(text))
