"""Probes of time as a page, a picture and a table: what changed frames cost each class, and which classes turn."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.collections import PolyCollection
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure

from ..analysis.kernels import KernelFacts
from ..analysis.time_findings import findings, p_text
from ..analysis.time_probes import LEVEL, NEEDS, NONE_SHOWN, TOO_FEW, Cost, TimeProbes, as_dict
from ..evaluation.altered import KINDS
from ..evaluation.tables import percent
from ..files import atomic_write
from .charts import chart, open_axes, save_chart, short_name
from .figures import COLORS, INK
from .kernels import kernel_section
from .pages import Cell, Column, Section, drawn, percent_cell, table, verdict, write_page

_MOST = 40  # classes of a picture
_MARKS = {
    'reversed': ('<', COLORS[0]),
    'shuffled': ('x', COLORS[1]),
    'frozen': ('s', COLORS[3]),
    'half-rate': ('o', COLORS[2]),
    'mirrored': ('|', COLORS[4]),
}
# Of nothing to a full color that stands out on white and on black paper.
_SHARES = ListedColormap([(*to_rgb(COLORS[1]), share) for share in np.linspace(0.1, 1, 256)], 'shares')
_ORDER = [*NEEDS.values(), TOO_FEW]  # of the classes in pictures: the most demanding first, those without a need last


def write_time_probes(
    results: TimeProbes,
    files: Sequence[Path],
    notes: Sequence[str],
    kernels: Sequence[KernelFacts] = (),
    force: bool = False,
) -> None:
    """Write the page, the picture, all numbers as JSON and a table of the classes as CSV.

    Parameters
    ----------
    results
        of `analysis.time_probes.time_probes`
    files
        page (.html), picture (.png), numbers (.json) and table (.csv)
    notes
        how it was measured, in sentences for the page
    kernels
        the network's kernels over time, if it has some
    force
        replace files that are there
    """
    page, image, numbers, classes = files
    save_chart(time_chart(results), image)
    with atomic_write(numbers) as stream:
        json.dump({**as_dict(results), 'findings': findings(results)}, stream, indent=1)
    with atomic_write(classes) as stream:
        writer = csv.writer(stream, lineterminator='\n')
        writer.writerow(['class', 'needs', 'frames', *Cost._fields[1:]])
        for probe in results.probes:
            writer.writerows([c.name, results.needs[c.name], probe.kind, *c[1:]] for c in probe.classes)
    sections = [_summary(results), _classes(results)]
    sections += [_groups(results)] if results.probes[0].groups else []
    sections += [_reversal(results)]
    sections += [kernel_section(kernels)] if kernels else []
    subtitle = f'{results.model} on {results.dataset}, protocol {results.protocol}'
    write_page(page, 'Which classes need time', subtitle, [*sections, _method(notes)], force)


# The picture


def time_chart(results: TimeProbes) -> Figure:
    """Draw each class's accuracy with its frames as they are and changed, those that need most first."""
    places = _shown(results)
    first = results.probes[0].classes
    figure = chart(9.5, 1.6 + 0.27 * len(places))
    axis = figure.subplots()
    rows = range(len(places))
    axis.hlines(rows, 0, 100, color='#e4e4e4', linewidth=0.6, zorder=1)
    before = [100 * first[place].before for place in places]
    axis.plot(before, rows, 'D', color=INK, markerfacecolor='none', markersize=8, label='forward', zorder=2)
    for probe in results.probes:
        mark, color = _MARKS[probe.kind]
        after = [100 * probe.classes[place].after for place in places]
        axis.plot(after, rows, mark, color=color, markersize=6.5, label=probe.kind, zorder=3, clip_on=False)
    _name_needs(axis, [results.needs[first[place].name] for place in places])
    axis.set_yticks(rows, [short_name(first[place].name) for place in places], fontsize=8, parse_math=False)
    axis.set_ylim(len(places) - 0.4, -0.6)
    axis.set_xlim(-2, 102)
    axis.set_xlabel('top-1 of the class, %', fontsize=9)
    open_axes(axis, 'top', 'right', 'left')
    figure.legend(loc='outside upper center', ncols=6, fontsize=9, frameon=False)
    if len(places) < len(first):
        axis.set_title(f'the {len(places)} of {len(first)} classes that reversal costs most', fontsize=9)
    return figure


def _name_needs(axis: Any, needs: Sequence[str]) -> None:
    """Write beside the classes what they need, and draw a line between those of one need and of the next."""
    start = 0
    for end in range(1, len(needs) + 1):
        if end == len(needs) or needs[end] != needs[start]:
            need = needs[start] if needs[start] in (TOO_FEW, NONE_SHOWN) else f'need {needs[start]}'
            axis.text(104, (start + end - 1) / 2, need.replace(', ', ',\n'), fontsize=8.5, va='center')
            if end < len(needs):
                axis.axhline(end - 0.5, color='#b0b0b0', linewidth=0.8, clip_on=False, xmax=1.25, zorder=1)
            start = end


def _shown(results: TimeProbes) -> List[int]:
    """Places of the classes of the picture: by what they need, then as they are listed."""
    classes = results.probe('reversed').classes
    places = sorted(range(len(classes)), key=lambda place: classes[place].change)[:_MOST]
    rank = {need: number for number, need in enumerate(_ORDER)}
    return sorted(places, key=lambda place: (rank.get(results.needs[classes[place].name], len(rank)), place))


def reversal_chart(matrix: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw what reversed videos of each class are taken for, as shares of the class's videos."""
    side = 1.2 + 0.24 * len(names)
    figure = chart(side + 2.2, side + 1.4)
    axis = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    rows, columns = np.nonzero(shares)
    corners = np.stack([columns, rows], axis=1)[:, None] + np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    cells = PolyCollection(corners, array=shares[rows, columns], cmap=_SHARES, clim=(0, 1), linewidths=0)
    axis.add_collection(cells)
    axis.set_xlim(0, len(names))
    axis.set_ylim(len(names), 0)
    places = np.arange(len(names)) + 0.5
    labels = [short_name(name) for name in names]
    axis.set_yticks(places, labels, fontsize=7.5, parse_math=False)
    axis.set_xticks(places, labels, fontsize=7.5, parse_math=False, rotation=90)
    axis.plot([0, len(names)], [0, len(names)], color='#b0b0b0', linewidth=0.6, zorder=0)
    axis.set_xlabel('answer to the reversed video', fontsize=9)
    axis.set_ylabel('true class', fontsize=9)
    axis.set_aspect('equal')
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_color('#b0b0b0')
    bar = figure.colorbar(cells, ax=axis, shrink=0.5, label='share of the class')
    bar.ax.tick_params(labelsize=8, length=0)
    bar.outline.set_visible(False)
    return figure


# The page


def _summary(results: TimeProbes) -> Section:
    items = Markup('').join(Markup('<li>{}</li>').format(line) for line in findings(results))
    before = results.probes[0].whole
    rows: List[Any] = [
        ['forward', percent_cell(before.before), None, None, None, percent_cell(before.sure_before), KINDS['forward']]
    ]
    for probe in results.probes:
        whole = probe.whole
        change = Cell(percent(whole.change, True), whole.change)
        p_value = Cell(p_text(whole.p_value), whole.p_value)
        rows.append(
            [
                probe.kind,
                percent_cell(whole.after),
                change,
                _span(whole),
                p_value,
                percent_cell(whole.sure_after),
                KINDS[probe.kind],
            ]
        )
    heads: List[Any] = ['frames', 'top-1 %', 'change', Column('95 % interval', narrow=True)]
    heads += [Column('p', 'exact and two-sided'), Column('true class %', 'its mean probability')]
    heads += [Column('what is shown', narrow=True)]
    lead = f'{before.videos} videos with a label, each shown with its frames as they are and changed.'
    return Section('summary', 'What is shown', table(heads, rows) + Markup('<ul>{}</ul>').format(items), lead)


def _span(cost: Cost) -> Markup:
    return Markup('{}&nbsp;to&nbsp;{}').format(percent(cost.low, True), percent(cost.high, True))


def _classes(results: TimeProbes) -> Section:
    heads: List[Any] = [Column('class', narrow=True), Column('needs', narrow=True), 'videos', 'forward %']
    heads += [Column(probe.kind, f'{KINDS[probe.kind]}: change of top-1 in points') for probe in results.probes]
    rows: List[List[Any]] = []
    for place, first in enumerate(results.probes[0].classes):
        cells = [_change(probe.classes[place]) for probe in results.probes]
        rows.append([first.name, results.needs[first.name], first.videos, percent_cell(first.before), *cells])
    lead = (
        'Change of top-1 in points (of shuffled frames the mean over their orders), below it the 95 % interval. Bold '
        'is what is more than chance: p below 0.05 after correction for all classes and columns, '
        'which the pointer shows.'
    )
    picture = drawn(time_chart(results), 'accuracy of each class with its frames as they are and changed')
    return Section('classes', 'Classes', picture + table(heads, rows, 'class-costs'), lead)


def _change(cost: Cost) -> Cell:
    """A cell of a class's change, bold where it is more than chance."""
    tag = Markup('b' if cost.p_holm < LEVEL else 'span')
    text = Markup('<{} title="p {} (Holm)">{}</{}><br><small>{}</small>').format(
        tag, p_text(cost.p_holm), percent(cost.change, True), tag, _span(cost)
    )
    return Cell(text, cost.change)


def _groups(results: TimeProbes) -> Section:
    heads = ['group', 'videos', 'chance %', 'forward %', *(f'{probe.kind} %' for probe in results.probes)]
    rows: List[List[Any]] = []
    for place, first in enumerate(results.probes[0].groups):
        cells = [_after(probe.groups[place]) for probe in results.probes]
        chance = percent_cell(results.chance[first.name])
        rows.append([first.name, first.videos, chance, percent_cell(first.before), *cells])
    lead = (
        'The right class among those of the true group, in percent, with its 95 % interval; chance is who guesses '
        'among them.'
    )
    return Section('groups', 'Groups of look-alikes', table(heads, rows, 'group-costs'), lead)


def _after(cost: Cost) -> Cell:
    low, high = (min(max(cost.before + edge, 0), 1) for edge in (cost.low, cost.high))
    text = Markup('{}<br><small>{}&nbsp;to&nbsp;{}</small>').format(*map(percent, (cost.after, low, high)))
    return Cell(text, cost.after)


def _reversal(results: TimeProbes) -> Section:
    turned = results.reversal
    swapped = {turn for pair in turned.swaps for turn in pair}
    rows: List[List[Any]] = [
        [t.source, t.target, t.before, t.after, t.videos, Cell(p_text(t.p_holm), t.p_holm),
         verdict('both ways', 'good') if t in swapped else 'one way']
        for t in turned.turns
    ]  # fmt: skip
    heads = ['class', 'reversed, taken for', 'as they are', 'reversed', 'videos', 'p (Holm)', 'swap']
    body = table(heads, rows, 'turns') if rows else Markup('<p>No turn is shown.</p>')
    places = _turning(results)
    if places:
        names = [turned.classes[place] for place in places]
        chart_of = reversal_chart(turned.matrix[np.ix_(places, places)], names)
        body = drawn(chart_of, 'what reversed videos of each class are taken for') + body
    lead = (
        f'{turned.kept} of {turned.videos} videos get the same answer when reversed. Listed are the turns that are '
        'more than chance, corrected for all pairs of classes.'
    )
    return Section('reversal', 'Classes that turn into others when reversed', body, lead)


def _turning(results: TimeProbes) -> List[int]:
    """Places of the classes of the matrix: all of them, or those that turn where they are many."""
    turned = results.reversal
    seen = np.flatnonzero(turned.matrix.sum(axis=1)).tolist()
    if len(seen) <= _MOST:
        return seen
    numbers: Dict[str, int] = {name: place for place, name in enumerate(turned.classes)}
    ends = [numbers[name] for turn in turned.turns for name in (turn.source, turn.target)]
    return sorted(list(dict.fromkeys(ends))[:_MOST])


def _method(notes: Sequence[str]) -> Section:
    return Section('method', 'How it was measured', Markup('').join(Markup('<p>{}</p>').format(n) for n in notes))
