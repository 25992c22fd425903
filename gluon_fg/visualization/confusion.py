"""Confusion inside each group of look-alike classes, of one model or of two side by side (DFB sec. 5.2, fig. 3)."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ..analysis.confusion import group_matrices
from ..errors import unknown
from ..evaluation.compare import check_same_videos
from ..evaluation.score import Scores
from .charts import chart, short_name

Matrices = Dict[str, Tuple[List[str], np.ndarray]]


def confusion_chart(
    first: Scores,
    second: Optional[Scores] = None,
    names: Sequence[str] = ('', ''),
    groups: Optional[Sequence[str]] = None,
) -> Figure:
    """Draw each group's matrix, or two side by side: shares of each class's videos, one color scale for all.

    Parameters
    ----------
    first, second
        scores of the same videos, for example of a baseline and of the model to compare with it; None: of one model
    names
        headlines of the two; empty ones are the models' names
    groups
        which groups, and in which order; None: all

    Raises
    ------
    UserError
        other classes or videos, or an unknown group
    """
    sides = [first]
    if second is not None:
        sides.append(check_same_videos(first, second, ('the first score file', 'the second')))
    matrices = [group_matrices(scores, first) for scores in sides]
    chosen = list(matrices[0]) if groups is None else list(groups)
    for group in chosen:
        if group not in matrices[0]:
            raise unknown('group', group, matrices[0])
    labels = {group: [short_name(_in_group(name, group)) for name in matrices[0][group][0]] for group in chosen}
    figure, axes, across = _grid(labels, len(sides))
    for place, group in enumerate(chosen):
        for side, scores in enumerate(sides):
            axis = axes[place // across, len(sides) * (place % across) + side]
            classes, counts = matrices[side][group]
            total = np.array([(scores.labels == scores.classes.index(name)).sum() for name in classes])
            drawn = _draw(axis, counts, counts / np.maximum(total, 1)[:, None], labels[group], side == 0)
            right = np.trace(counts) / max(total.sum(), 1)
            axis.set_title(f'{group}: {names[side] or scores.model}\n{100 * right:.0f} % right', fontsize=9)
    look = dict(shrink=0.6, pad=0.01, format=PercentFormatter(1))
    figure.colorbar(drawn, ax=axes, label="of the true class's videos", **look)
    aside = ' Videos predicted to be of another group are in no cell.' if first.groups is not None else ''
    figure.suptitle(f'Rows: true class. Columns: predicted class.{aside}', fontsize=9)
    return figure


def _grid(labels: Dict[str, List[str]], sides: int) -> Tuple[Figure, np.ndarray, int]:
    """A figure for that many groups of classes and models, its axes, and how many groups lie beside each other."""
    size = max(len(names) for names in labels.values())
    cell = max(0.55, 2.6 / size) if size <= 12 else 0.3
    across = min(2, len(labels))
    down = -(-len(labels) // across)
    wide = max(len(text) for texts in labels.values() for text in texts) * 0.075
    figure = chart(across * (sides * cell * size + wide + 0.8), down * (cell * size + wide * 0.45 + 0.7) + 0.5)
    axes = figure.subplots(down, sides * across, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes, across


def _draw(axis: Any, counts: np.ndarray, share: np.ndarray, names: Sequence[str], named: bool) -> Any:
    """Draw a matrix of shares, with numbers where there is room; returns its image for the color scale."""
    axis.set_axis_on()
    drawn = axis.imshow(share, vmin=0, vmax=1, cmap='Blues')
    if len(share) <= 12:
        for (i, j), value in np.ndenumerate(share):
            if counts[i, j]:
                color = 'white' if value > 0.55 else '#222'
                axis.text(j, i, f'{100 * value:.0f}', ha='center', va='center', fontsize=8, color=color)
    look = dict(fontsize=7.5, parse_math=False)
    axis.set_xticks(range(len(share)), names, rotation=40, ha='right', rotation_mode='anchor', **look)
    axis.set_yticks(range(len(share)), names if named else [''] * len(share), **look)
    axis.tick_params(length=0)
    return drawn


def _in_group(name: str, group: str) -> str:
    """A class's name without its group's in front."""
    return name[len(group) :].lstrip(' :_-') or name if name.startswith(group) else name
