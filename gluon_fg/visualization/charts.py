"""Charts of analyses as Matplotlib figures: similarities of classes against accuracy, matrices, maps by t-SNE."""

from __future__ import annotations

import itertools
from typing import Any, Optional, Sequence, Tuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ..analysis.embedding import NEIGHBORS, Embedding
from ..analysis.similarity import ClassSimilarity
from ..analysis.similarity_accuracy import Series, correlation, histogram
from ..analysis.weight_similarity import WeightSimilarity, by_name, check_alike, number
from .figures import FilePath, save_figure

# The marks and colors of the paper's figure: triangles, crosses, stars and plus signs; then others.
_MARKS = (('^', '#1b7f5c'), ('x', '#d39a00'), ('*', '#b33a2c'), ('+', '#2a6fbb'), ('o', '#7b4fa3'), ('s', '#666666'))
_POINTS = (('o', '#d39a00'), ('^', '#6b3fa0'), ('s', '#1b7f5c'), ('D', '#b33a2c'), ('v', '#2a6fbb'))
_NAMED = 30  # classes whose names stand beside a matrix, at most
_LONGEST = 48  # letters of a class's name


def chart(width: float, height: float) -> Figure:
    """An empty figure, inches, that makes room for its texts by itself."""
    figure = Figure(figsize=(width, height), dpi=110, layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def save_chart(figure: Figure, path: FilePath) -> None:
    """Write a chart as PNG, atomically, with a margin around all its texts."""
    save_figure(figure, path, bbox_inches='tight', pad_inches=0.15)


def open_axes(axis: Any, *sides: str) -> None:
    """Take the lines at some sides of a chart away ('top' and 'right' if none is named), and the ticks' marks."""
    axis.tick_params(length=0, labelsize=8)
    for side in sides or ('top', 'right'):
        axis.spines[side].set_visible(False)


def short_name(name: str) -> str:
    """A class's name, its end cut off where it is very long."""
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + '\u2026'


def relation_chart(series: Sequence[Series], bins: int = 10, title: str = '') -> Figure:
    """Draw each class's similarity against its accuracy, and classes and mean accuracies in intervals of similarity.

    Parameters
    ----------
    series
        of `similarity_accuracy.relate`
    bins
        intervals of similarity between 0 and 1

    Raises
    ------
    UserError
        fewer than one bin
    """
    counted = [histogram(kind, bins) for kind in series]
    figure = chart(15, 5 + 0.2 * len(series))
    scatter, counts, means = figure.subplots(1, 3, gridspec_kw={'width_ratios': [1.2, 1, 1]})
    width = 1 / bins / (len(series) + 0.6)
    for place, (kind, bars) in enumerate(zip(series, counted)):
        mark, color = _MARKS[place % len(_MARKS)]
        label = f'{kind.title}: rho {correlation(kind)}'
        x, y = [p.similarity for p in kind.points], [p.accuracy for p in kind.points]
        scatter.plot(x, y, mark, color=color, markersize=7, alpha=0.75, label=label, clip_on=False, zorder=3)
        left = bars.edges[:-1] + (place + 0.3) * width
        counts.bar(left, bars.classes, width, align='edge', color=color, zorder=2)
        means.bar(left, np.nan_to_num(bars.accuracy), width, align='edge', color=color, zorder=2)
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
        open_axes(axis)
    figure.legend(*scatter.get_legend_handles_labels(), loc='outside lower left', fontsize=8, frameon=False)
    figure.suptitle(title or "Each class's similarity to the others and its accuracy", fontsize=10)
    return figure


def similarity_chart(similar: ClassSimilarity) -> Figure:
    """Draw S of each kind of features side by side (Zhao et al., fig. 1, left)."""
    matrices = [kind.stretched for kind in similar.kinds]
    titles = [f'{similar.model}\n{kind.kind}, over {similar.source}' for kind in similar.kinds]
    return matrices_chart(matrices, titles, similar.classes, (0, 1), 'S, similarity of two classes (eq. 2)')


def weight_similarity_chart(networks: Sequence[WeightSimilarity]) -> Figure:
    """Draw each network's matrix on one color scale and, in one histogram, the similarities of all pairs.

    Raises
    ------
    UserError
        networks of other classes
    """
    check_alike(networks)
    drawn = [by_name(network) for network in networks]
    low = min(0.0, min(network.matrix.min() for network in drawn))
    titles = [
        f'{network.title}\nconfusing pairs {number(network.between_confusing)}, others {number(network.between_others)}'
        for network in drawn
    ]
    matrices, label = [network.matrix for network in drawn], "S^w, cosine of two classes' filters (eq. 4)"
    histograms = [(network.title, network.pairs) for network in drawn]
    return matrices_chart(matrices, titles, drawn[0].classes, (low, 1), label, histograms)


def matrices_chart(
    matrices: Sequence[np.ndarray],
    titles: Sequence[str],
    classes: Sequence[str],
    limits: Tuple[float, float],
    label: str,
    histograms: Optional[Sequence[Tuple[str, np.ndarray]]] = None,
) -> Figure:
    """Draw matrices (M, M) of similar classes side by side on one color scale.

    Parameters
    ----------
    matrices, titles, classes
        what to draw, the headline of each, and the names of rows, which are the columns' too
    limits
        ends of the color scale
    label
        what the values are
    histograms
        (name, values) of pairs of classes, drawn in one histogram beside the matrices
    """
    panels, named = len(matrices) + (histograms is not None), len(classes) <= _NAMED
    shown = [short_name(name) for name in classes] if named else []
    figure = chart(5 * panels + 0.06 * max(map(len, shown), default=0) + 0.5, 5)
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for place, (axis, matrix, title) in enumerate(zip(axes, matrices, titles)):
        drawn = axis.imshow(matrix, vmin=limits[0], vmax=limits[1], cmap='viridis', interpolation='nearest')
        axis.set_title(title, fontsize=9)
        axis.set_xticks([])  # in the order of the rows
        rows = [] if place else shown
        axis.set_yticks(range(len(rows)), rows, fontsize=6.5, parse_math=False)
        axis.tick_params(length=0)
    beside = None if histograms is not None else label  # the histogram's axis says it
    figure.colorbar(drawn, ax=axes[: len(matrices)], shrink=0.75, pad=0.01, label=beside)
    if histograms is not None:
        figure.get_layout_engine().set(wspace=0.04)  # between the scale's numbers and the histogram
        _draw_histograms(axes[-1], histograms, label)
    return figure


def _draw_histograms(axis: Any, histograms: Sequence[Tuple[str, np.ndarray]], label: str, bins: int = 40) -> None:
    values = [of_pairs for _, of_pairs in histograms]
    edges = np.linspace(min(v.min() for v in values), max(v.max() for v in values) + 1e-9, bins + 1)
    for (_, color), (name, of_pairs) in zip(itertools.cycle(_MARKS), histograms):
        axis.hist(of_pairs, edges, histtype='stepfilled', color=color, alpha=0.35, label=name)
        axis.hist(of_pairs, edges, histtype='step', color=color, linewidth=1.2)
    axis.set_xlabel(label, fontsize=9)
    axis.set_ylabel('pairs of classes', fontsize=9)
    axis.legend(fontsize=8, frameon=False, loc='lower left', bbox_to_anchor=(0, 1))
    open_axes(axis)


def embedding_chart(maps: Sequence[Embedding], names: Sequence[Tuple[int, str]]) -> Figure:
    """Draw maps by t-SNE side by side, a color and mark for each class.

    Parameters
    ----------
    maps
        of `embedding.tsne`
    names
        (label, name) of each class
    """
    figure = chart(4.3 * len(maps), 4.9 + 0.2 * max((len(names) - 4) // 2, 0))
    axes = figure.subplots(1, len(maps), squeeze=False)[0]
    for axis, embedded in zip(axes, maps):
        for place, (label, name) in enumerate(names):
            mark, color = _POINTS[place % len(_POINTS)]
            look = dict(color=color, markersize=6, alpha=0.75, markeredgewidth=0, label=short_name(name))
            axis.plot(*embedded.points[embedded.labels == label].T, mark, **look)
        axis.set_xticks([])
        axis.set_yticks([])
        share = f'{NEIGHBORS} nearest neighbors mostly of its class: {100 * embedded.agreement:.0f} %'
        axis.set_title(f'{embedded.title}\n{share}', fontsize=9)
        for side in ('top', 'right', 'left', 'bottom'):
            axis.spines[side].set_color('#bbb')
    across = 2 if len(maps) > 1 or max(len(name) for _, name in names) < 24 else 1
    look = dict(loc='outside lower center', ncols=across, fontsize=9, frameon=False)
    figure.legend(*axes[0].get_legend_handles_labels(), **look)
    lines = ['t-SNE keeps neighbors, not distances;', 'the share is of the features themselves']
    figure.suptitle((' ' if len(maps) > 1 else '\n').join(lines), fontsize=9)
    return figure
