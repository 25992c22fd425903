"""Kernels over time as pictures: what each output of a channel takes of each frame."""

from __future__ import annotations

from typing import Any, List, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from ..analysis.kernels import KernelFacts, unlike
from .charts import chart
from .pages import Section, drawn, table

# From brown, -1, over white to violet, +1: apart from each other for color-blind eyes, and from dark paper.
_COLORS = ListedColormap(colormaps['PuOr'](np.linspace(0.1, 0.9, 256)), 'kernels')
_STEP = 1.15  # from a kernel to the next, in widths of a kernel
LEGEND = (
    'Each square is a kernel: a row for each output, first to last, a column for each frame of the clip. Brown takes '
    'a frame away, violet adds it; empty is what the output may not see.'
)


def kernel_chart(facts: Sequence[KernelFacts], channels: int = 6) -> Figure:
    """Draw for each layer the mean of its kernels, and some that differ most from each other.

    Parameters
    ----------
    facts
        of `analysis.kernels.kernel_facts`
    channels
        kernels of each layer beside their mean
    """
    columns = 1 + min(channels, max(len(each.weights) for each in facts))
    figure = chart(1.6 + 1.15 * columns, 0.9 + 1.35 * len(facts))
    axis = figure.subplots()  # one for all kernels: each of its own takes a second for every ten
    for row, each in enumerate(facts):
        panels = [('mean', each.weights.mean(axis=0))]
        panels += [(f'channel {c}', each.weights[c]) for c in unlike(each.weights, channels)]
        for column, (title, weights) in enumerate(panels):
            x, y = _STEP * column, 1.2 * _STEP * row
            edges = [np.linspace(start, start + 1, size + 1) for start, size in zip((x, y), weights.shape[::-1])]
            shown = np.ma.masked_where(~each.seen, weights)
            mesh = axis.pcolormesh(*edges, shown, cmap=_COLORS, vmin=-1, vmax=1, rasterized=True)
            axis.plot([x, x + 1, x + 1, x, x], [y, y, y + 1, y + 1, y], color='#b0b0b0', linewidth=0.6)
            axis.text(x + 0.5, y - 0.04, title, fontsize=8, ha='center')
        axis.text(-0.08, y + 0.5, each.title.replace(', ', '\n'), fontsize=8, ha='right', va='center')
    axis.set_xlim(-0.02, _STEP * (columns - 1) + 1.02)
    axis.set_ylim(y + 1.02, -0.2)
    axis.set_aspect('equal')
    axis.set_axis_off()
    bar = figure.colorbar(mesh, ax=axis, location='bottom', shrink=0.4, aspect=30, pad=0.02)
    bar.ax.tick_params(labelsize=8, length=0)
    bar.set_label('weight of a frame', fontsize=8)
    bar.outline.set_visible(False)
    return figure


def kernel_section(facts: Sequence[KernelFacts], channels: int = 6) -> Section:
    """A part of a page about a network's kernels."""
    rows: List[List[Any]] = [
        [f.title, len(f.weights), f.seen.shape[0], f.seen.shape[1], round(float(f.spread.mean()), 3), f.flat]
        for f in facts
    ]
    heads = ['layer', 'kernels', 'outputs', 'frames', 'spread in a row', 'as good as a mean']
    body = drawn(kernel_chart(facts, channels), 'the kernels of each layer') + table(heads, rows)
    note = Markup('<p class="quiet">{}</p>').format(
        'The spread is the standard deviation of the weights in a row, over the frames that it sees: 0 is a mean, '
        'which is blind to order. The channels shown are those that differ most.'
    )
    return Section('kernels', 'Kernels over time', body + note, LEGEND)
