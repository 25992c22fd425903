"""The gains of single classes as bars (CIDC sec. 4.4, table 6 a)."""

from __future__ import annotations

from typing import List, Optional, Tuple

from matplotlib.figure import Figure

from ..errors import UserError
from ..evaluation.gains import ClassGain, Gains, extremes
from .charts import chart, open_axes, short_name

MOST = 40  # bars without `per_class`; Kinetics-400 would make a picture of four metres
_COLORS = {(True, True): '#1b7f5c', (True, False): '#8fcbb4', (False, True): '#b33a2c', (False, False): '#e6a79f'}


def shown(result: Gains, per_class: Optional[int] = None) -> List[ClassGain]:
    """The classes of the chart, the most gained first: all of them where they are at most `MOST` and no number is
    given, else the `per_class` at either end."""
    if per_class is None:
        if len(result.classes) <= MOST:
            return list(result.classes)
        per_class = MOST // 2
    up, down = extremes(result.classes, per_class)
    return up + down[::-1]


def gain_chart(result: Gains, names: Tuple[str, str] = ('A', 'B'), per_class: Optional[int] = None) -> Figure:
    """Draw a bar for each class with its 95 % interval; classes that survive Holm's correction are dark.

    Parameters
    ----------
    result
        of `evaluation.gains.gains`
    names
        of A and B, for the headline
    per_class
        see `shown`

    Raises
    ------
    UserError
        fewer than one class at either end asked for, or no class gains or loses anything then
    """
    if per_class is not None and per_class < 1:
        raise UserError(f'per_class must be at least 1, got {per_class}')
    rows = shown(result, per_class)
    if not rows:
        raise UserError('no class gains or loses a video, so there is no bar to draw')
    figure, places = chart(8, 1.5 + 0.24 * len(rows)), range(len(rows))
    axis = figure.subplots()
    colors = [_COLORS[row.gain >= 0, row.p_holm < 0.05] for row in rows]
    axis.barh(places, [100 * row.gain for row in rows], color=colors, height=0.72, zorder=2)
    axis.hlines(places, [100 * r.low for r in rows], [100 * r.high for r in rows], color='#333', linewidth=1, zorder=3)
    axis.axvline(0, color='#333', linewidth=0.8, zorder=4)
    few, most = min(row.videos for row in rows), max(row.videos for row in rows)
    counts = [f'  ({row.videos})' if few < most else '' for row in rows]
    axis.set_yticks(places, [short_name(row.name) + n for row, n in zip(rows, counts)], fontsize=8, parse_math=False)
    axis.invert_yaxis()
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.grid(axis='x', color='#ddd', linewidth=0.6)
    open_axes(axis, 'top', 'right', 'left', 'bottom')
    axis.set_xlabel('gain in top-1, points', fontsize=8)
    left = len(result.classes) - len(rows)
    axis.set_title(
        f'{names[1]} against {names[0]}: top-1 of each class\n'
        + (f'{few} videos a class' if few == most else f'videos of a class in brackets ({few} to {most})')
        + '; lines: 95 % intervals; dark: p < 0.05 after Holm'
        + (f'\n{left} classes in between left out' if left else ''),
        fontsize=9,
        loc='left',
    )
    return figure
