"""Whether the network is right as often as it says: reliability diagrams, calibration errors, a fitted temperature."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Tuple

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from ...evaluation import calibration as measures
from ...evaluation.calibration import Bins, Calibration, Scaled
from ...evaluation.statistics import wilson
from ..figures import COLORS, INK
from ..pages import Cell, Column, Section, drawn, table
from .content import Content

_LOOKS = (('o', COLORS[1]), ('s', COLORS[0]))  # marker and color of the first and the second network


class _Measured(NamedTuple):
    title: str
    before: Calibration
    chance: Tuple[float, float]
    scaled: Optional[Scaled]


def sections(content: Content) -> List[Section]:
    """Diagrams, numbers and sentences on the calibration of each of the scores; nothing where no video has a label."""
    each = []
    for title, scores in content.both:
        before = measures.calibration(scores)
        if before is None:
            return []
        chance = measures.chance_errors(before, measures.confidences(scores))
        each.append(_Measured(title, before, chance, measures.scale(scores)))
    said = []
    for network in each:
        lines = ' '.join(measures.describe(network.before, network.chance, network.scaled))
        of = Markup('<b>{}</b>: ').format(network.title) if content.other else ''
        said.append(Markup('<p>{}{}</p>').format(of, lines))
    diagrams = [
        _diagram(each, 'width', 'bins of equal width'),
        _diagram(each, 'mass', 'bins of equally many videos'),
    ]
    confidence = 'probability of the predicted class'
    if content.scores.targets is not None:
        confidence = 'probability of a class, of every class of every video'
    lead = (
        f'Confidence is the {confidence}. Of videos that it is 80 % sure of, a calibrated network has 80 % right: its '
        'points lie on the dashed line.'
    )
    body = Markup('').join([*said, Markup('<div class="drawings">{}</div>').format(Markup('').join(diagrams))])
    return [Section('calibration', 'Calibration', body + _numbers(each) + _NOTE, lead)]


_NOTE = Markup(
    '<p class="quiet">Expected and maximum calibration error and temperature: Guo et al. 2017, with {} bins. A '
    'temperature divides the logits, so that no prediction changes. It is fitted on four fifths of the videos and '
    'measured on the others, five times. Lines at the points are 95 % intervals.</p>'
).format(measures.BINS)


def _numbers(each: List[_Measured]) -> Markup:
    """Every measure as it is, and with a temperature."""
    rows: List[Tuple[Any, ...]] = []
    for network in each:
        measured = [(network.title, network.before)]
        if network.scaled is not None:
            measured.append((f'{network.title}, temperature {network.scaled.temperature:.2f}', network.scaled.after))
        for title, value in measured:
            errors = (value.width.error, value.mass.error, value.width.largest)
            numbers = (value.confidence, value.accuracy, *errors)
            cells = [Cell(f'{100 * number:.1f}', number) for number in numbers]
            rows.append((title, *cells, Cell(f'{value.brier:.3f}', value.brier), Cell(f'{value.nll:.3f}', value.nll)))
    columns: List[Any] = [
        'prediction',
        Column('confidence, %', 'its mean'),
        Column('right, %', 'share of the videos'),
        Column('ECE, %', 'expected calibration error, bins of equal width'),
        Column('ECE, equal mass, %', 'the same with as many videos in each bin'),
        Column('MCE, %', 'maximum calibration error: of the worst bin'),
        Column('Brier', 'mean squared distance of the probabilities from the truth, 0 to 2'),
        Column('NLL', 'mean negative logarithm of the probability of the true class'),
    ]
    return table(columns, rows)


def _diagram(each: List[_Measured], kind: str, title: str) -> Markup:
    """Accuracy over confidence of each bin, with how many videos it has below."""
    figure = Figure(figsize=(4.9, 4.6), layout='constrained')
    axis, below = figure.subplots(2, sharex=True, height_ratios=[4, 1])
    axis.plot([0, 100], [0, 100], '--', color=INK, linewidth=1)
    points = []
    for place, (network, (marker, color)) in enumerate(zip(each, _LOOKS)):
        bins: Bins = getattr(network.before, kind)
        label = network.title if len(each) > 1 else 'as it is'
        _points(axis, bins, marker, color, label)
        if network.scaled is not None and len(each) == 1:
            after: Bins = getattr(network.scaled.after, kind)
            axis.plot(
                100 * after.confidence, 100 * after.accuracy, 'D', mfc='none', mec=COLORS[2], ms=5, label='scaled'
            )
        shift = 0 if len(each) == 1 else (0.8 if place else -0.8)
        below.bar(100 * bins.confidence + shift, bins.videos, 1.6, color=color)
        points += [f'{100 * c:.0f} % sure, {100 * a:.0f} % right' for c, a in zip(bins.confidence, bins.accuracy)]
    axis.set(xlim=(-2, 102), ylim=(-4, 104), ylabel='right, %')
    below.set(xlabel='confidence, %', ylabel='videos', yscale='log', ylim=(0.7, None))
    axis.set_title(title, fontsize=10, loc='left')
    axis.legend(fontsize=8, frameon=False, loc='upper left')
    for part in (axis, below):
        part.grid(color='#e4e4e4', linewidth=0.7)
        part.set_axisbelow(True)
        part.tick_params(labelsize=9)
        part.spines[['top', 'right']].set_visible(False)
    return drawn(figure, f'reliability diagram, {title}: {"; ".join(points)}')


def _points(axis: Any, bins: Bins, marker: str, color: str, label: str) -> None:
    """A bin's accuracy, and what it may be with as few videos."""
    limits = np.array([wilson(round(a * n), int(n)) for a, n in zip(bins.accuracy, bins.videos)])
    reach = np.abs(limits.T - bins.accuracy)
    look = dict(fmt=marker, color=color, markersize=5, elinewidth=1, label=label)
    axis.errorbar(100 * bins.confidence, 100 * bins.accuracy, 100 * reach, **look)
