"""Class similarity as pictures: matrix, scatter against accuracy, histograms (U2S figs. 1 and 4)."""

from __future__ import annotations

import itertools
import os
from typing import Optional, Sequence

import numpy as np

from ..files import atomic_path
from .similarity import ClassSimilarity, Series, correlation, histogram

# The paper's marks and colours: one-pass triangles, universal crosses, specific stars, U2S plus signs; then others.
_MARKS = (('^', '#1b7f5c'), ('x', '#d39a00'), ('*', '#b33a2c'), ('+', '#2a6fbb'), ('o', '#7b4fa3'), ('s', '#666666'))
_NAMED = 30  # classes whose names stand beside the matrix, at most


def plot_relation(series: Sequence[Series], path: os.PathLike, bins: int = 10, title: str = '') -> None:
    """Draw, as PNG: each class's similarity against its accuracy, classes and mean accuracies in intervals.

    Parameters
    ----------
    series
        what `similarity.relate` found
    bins
        intervals of similarity between 0 and 1

    Raises
    ------
    UserError
        fewer than one bin
    """
    counted = [histogram(one, bins) for one in series]
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure, (scatter, counts, means) = plt.subplots(
        1, 3, figsize=(15, 5 + 0.2 * len(series)), layout='constrained', gridspec_kw={'width_ratios': [1.2, 1, 1]}
    )
    width = 1 / bins / (len(series) + 0.6)
    for place, (one, bars) in enumerate(zip(series, counted)):
        mark, colour = _MARKS[place % len(_MARKS)]
        label = f'{one.title}: rho {correlation(one)}'
        x, y = [p.similarity for p in one.points], [p.accuracy for p in one.points]
        scatter.plot(x, y, mark, color=colour, markersize=7, alpha=0.75, label=label, clip_on=False, zorder=3)
        left = bars.edges[:-1] + (place + 0.3) * width
        counts.bar(left, bars.classes, width, align='edge', color=colour, zorder=2)
        means.bar(left, np.nan_to_num(bars.accuracy), width, align='edge', color=colour, zorder=2)
    scatter.set_ylabel('top-1 of the class', fontsize=9)
    counts.set_ylabel('classes', fontsize=9)
    means.set_ylabel('mean top-1 of these classes', fontsize=9)
    counts.yaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in (scatter, means):
        axis.set_ylim(0, 1.02)
        axis.yaxis.set_major_formatter(PercentFormatter(1))
    for axis in (scatter, counts, means):
        axis.set_xlim(-0.02, 1.02)
        axis.set_xlabel('similarity to the other classes (eq. 7)', fontsize=9)
        axis.grid(color='#e4e4e4', linewidth=0.6)
        axis.tick_params(length=0, labelsize=8)
        for side in ('top', 'right'):
            axis.spines[side].set_visible(False)
    figure.legend(*scatter.get_legend_handles_labels(), loc='outside lower left', fontsize=8, frameon=False)
    figure.suptitle(title or "Each class's similarity to the others and its accuracy", fontsize=10)
    _write(figure, path)


def plot_matrices(
    matrices: Sequence[np.ndarray],
    titles: Sequence[str],
    path: os.PathLike,
    classes: Sequence[str],
    limits: Optional[tuple] = None,
    values: Optional[Sequence[np.ndarray]] = None,
    label: str = 'similarity',
    legend: Sequence[str] = (),
    bins: int = 40,
) -> None:
    """Draw matrices (M, M) of similar classes side by side on one colour scale, as PNG.

    Parameters
    ----------
    matrices, titles, classes
        what to draw, the headline of each, and the names of rows, which are the columns' too
    limits
        ends of the colour scale; None: the lowest and highest value
    values
        also a histogram of these values of each, of pairs of classes
    label
        what the values are
    legend
        of the histogram; none: the titles
    bins
        of the histogram
    """
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot as plt

    panels = len(matrices) + (values is not None)
    low, high = limits or (min(np.nanmin(m) for m in matrices), max(np.nanmax(m) for m in matrices))
    named = len(classes) <= _NAMED
    room = 0.06 * max(map(len, classes)) if named else 0
    figure, axes = plt.subplots(1, panels, figsize=(5 * panels + room + 0.5, 5), squeeze=False, layout='constrained')
    for number, (axis, matrix, title) in enumerate(zip(axes[0], matrices, titles)):
        picture = axis.imshow(matrix, vmin=low, vmax=high, cmap='viridis', interpolation='nearest')
        axis.set_title(title, fontsize=9)
        axis.set_xticks([])  # in the order of the rows
        shown = classes if named and not number else []
        axis.set_yticks(range(len(shown)), shown, fontsize=6.5)
        axis.tick_params(length=0)
    beside = None if values is not None else label  # the histogram's axis says it
    figure.colorbar(picture, ax=list(axes[0][: len(matrices)]), shrink=0.75, pad=0.01, label=beside)
    if values is not None:
        axis = axes[0][-1]
        edges = np.linspace(min(v.min() for v in values), max(v.max() for v in values) + 1e-9, bins + 1)
        for (_, colour), name, of_pairs in zip(itertools.cycle(_MARKS), legend or titles, values):
            axis.hist(of_pairs, edges, histtype='stepfilled', color=colour, alpha=0.35, label=name)
            axis.hist(of_pairs, edges, histtype='step', color=colour, linewidth=1.2)
        axis.set_xlabel(label, fontsize=9)
        axis.set_ylabel('pairs of classes', fontsize=9)
        axis.legend(fontsize=8, frameon=False, loc='upper left', bbox_to_anchor=(0, 1.12))
        axis.tick_params(labelsize=8)
        for side in ('top', 'right'):
            axis.spines[side].set_visible(False)
    _write(figure, path)


def plot_similarity(similar: ClassSimilarity, path: os.PathLike) -> None:
    """Draw S of each kind of features side by side, as PNG (fig. 1, left)."""
    matrices = [one.stretched for one in similar.kinds]
    titles = [f'{similar.model}\n{one.kind}, over {similar.source}' for one in similar.kinds]
    plot_matrices(matrices, titles, path, similar.classes, (0, 1), label='S, similarity of two classes (eq. 2)')


def _write(figure, path: os.PathLike) -> None:
    from matplotlib import pyplot as plt

    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format='png', bbox_inches='tight', pad_inches=0.15)
    plt.close(figure)
