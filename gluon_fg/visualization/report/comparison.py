"""Two networks on the same videos: what the difference is, what it shows and what it does not."""

from __future__ import annotations

from typing import Any, List, Sequence, Tuple

import numpy as np
from markupsafe import Markup

from ...evaluation.compare import compare, describe, paired
from ...evaluation.gains import ClassGain, Gains, gains, gains_of_groups
from ...evaluation.precision import class_precisions
from ...evaluation.score import Scores
from ...evaluation.statistics import holm, mcnemar
from ..gains import gain_chart
from ..pages import Cell, Column, Section, drawn, table, verdict
from .classes import signed
from .content import Content

_NAMES = {'top1': 'Top-1', 'top5': 'Top-5', 'within_group': 'Within the true group'}
_SEEDS = (
    'All of this is about two sets of weights. It says nothing of other seeds of training, by which a method may come '
    'out now better, now worse: to compare methods, train several seeds of each (gluon-fg study).'
)
_P = Column('p', 'of the exact McNemar test: how often chance alone would make as large a difference')


def sections(content: Content) -> List[Section]:
    """Sentences on each accuracy, and gains of classes, groups and pairs; nothing of one network alone."""
    if content.other is None:
        return []
    parts = (
        _of_labels(content, content.other) if content.scores.targets is None else _of_targets(content, content.other)
    )
    if not parts:
        return []
    a, b = content.titles
    lead = f'{b} against {a}, video by video: gains are those of {b}, in percent of the videos (points).'
    return [Section('comparison', 'Comparison', Markup('').join(parts), lead)]


def _of_labels(content: Content, other: Scores) -> List[Markup]:
    """The comparison of videos with one label each."""
    scores, names = content.scores, (content.titles[0], content.titles[1])
    if not (scores.labels >= 0).any():
        return []
    result, each = compare(scores, other, names=names), gains(scores, other, names=names)
    parts = [_sentences(metric, result.videos, names) for metric in result.metrics]
    groups = gains_of_groups(scores, other, names=names)
    parts.append(_caution(content, other))
    parts.append(Markup('<h3>Classes</h3>') + _chart(each, names) + _gain_table('class', each.classes, names))
    if groups:
        parts.append(Markup('<h3>Groups</h3>') + _gain_table('group', groups, names))
    if each.pairs:
        parts.append(Markup('<h3>Look-alike pairs</h3>') + _pairs(each, names))
    return parts


def _of_targets(content: Content, other: Scores) -> List[Markup]:
    """The comparison of videos with several labels: hits of the likeliest class, and average precision by class."""
    scores, names = content.scores, (content.titles[0], content.titles[1])
    targets = scores.targets
    if targets is None or not targets.any():
        return []
    shown = targets.any(axis=1)
    hits = [np.take_along_axis(targets, s.branch().argmax(axis=1)[:, None], axis=1)[shown, 0] for s in (scores, other)]
    parts = [_sentences(paired('top1', *hits), int(shown.sum()), names)]
    pairs = [
        (x, y) for x, y in zip(class_precisions(scores), class_precisions(other)) if x is not None and y is not None
    ]
    up, down = sum(y > x for x, y in pairs), sum(y < x for x, y in pairs)
    text = (
        f'Average precision is higher for {names[1]} in {up} of {len(pairs)} classes, and lower in {down} '
        f'(sign test over the classes: p = {mcnemar(down, up):.2g}). How sure the mean over them is, is not tested.'
    )
    return [*parts, Markup('<h3>mAP</h3><p>{}</p>').format(text), _caution(content, other)]


def _sentences(metric: Any, videos: int, names: Tuple[str, str]) -> Markup:
    """What one accuracy shows."""
    better = metric.p_value < 0.05
    head = f'{100 * metric.a:.1f} % and {100 * metric.b:.1f} %: {100 * metric.difference:+.1f} points'
    sign = verdict(head.replace('-', '\u2212'), ('good' if metric.difference > 0 else 'bad') if better else 'plain')
    return Markup('<h3>{}</h3><p><b>{}</b></p><p>{}</p>').format(
        _NAMES[metric.metric], sign, ' '.join(describe(metric, videos, names)).replace(' -', ' \u2212')
    )


def _caution(content: Content, other: Scores) -> Markup:
    """What no number here can tell."""
    lines = [_SEEDS]
    if content.scores.protocol != other.protocol:
        lines.append(
            f'The views differ, too ({content.scores.protocol} and {other.protocol}): part of the difference may be '
            'theirs.'
        )
    return Markup('').join(Markup('<p>{}</p>').format(verdict(line, 'warn')) for line in lines)


def _chart(each: Gains, names: Tuple[str, str]) -> Markup:
    """The classes that gain and lose most, drawn."""
    if not any(row.gain for row in each.classes):
        return Markup('<p>No class gains or loses a video.</p>')
    first, last = each.classes[0], each.classes[-1]
    said = f'gains by class, from {first.name} {100 * first.gain:+.1f} to {last.name} {100 * last.gain:+.1f} points'
    return drawn(gain_chart(each, names, 10), said)


def _gain_table(kind: str, rows: Sequence[ClassGain], names: Tuple[str, str]) -> Markup:
    """Gains of classes or of groups, with their tests."""
    held = sum(row.p_holm < 0.05 for row in rows)
    plural = 'classes' if kind == 'class' else 'groups'
    said = f'{held} of {len(rows)} {plural} differ by more than chance, corrected for looking at all of them (Holm).'
    columns: List[Any] = [kind, 'videos', *(Column(f'right, {name}', 'videos') for name in names), 'gain']
    columns += [Column('95 % interval', 'of the gain (Agresti and Min 2005)'), _P]
    columns.append(Column('p, corrected', f'for {len(rows)} tests (Holm 1979)'))
    cells: List[Any] = [(row.name, row.videos, row.right_a, row.right_b, *_tested(row, row.p_holm)) for row in rows]
    return Markup('<p>{}</p>').format(said) + table(columns, cells, shown=25)


def _pairs(each: Gains, names: Tuple[str, str]) -> Markup:
    """Gains of the pairs of classes that the first network mixes up most."""
    columns: List[Any] = ['pair', *(Column(f'mixed up, {name}', 'videos of one taken for the other') for name in names)]
    columns += ['videos', 'gain', Column('95 % interval', 'of the gain'), _P]
    columns.append(Column('p, corrected', f'for {len(each.pairs)} tests (Holm 1979)'))
    corrected = holm([row.p_value for row in each.pairs])
    cells: List[Any] = [
        (f'{row.first} / {row.second}', row.mixed_a, row.mixed_b, row.videos, *_tested(row, p))
        for row, p in zip(each.pairs, corrected)
    ]
    said = (
        f'The pairs of classes that {names[0]} mixes up most. They were chosen by its errors on these very videos, so '
        'that some gain is to be expected of any network that errs elsewhere.'
    )
    return Markup('<p>{}</p>').format(said) + table(columns, cells, shown=25)


def _tested(row: Any, corrected: float) -> Tuple[Cell, ...]:
    """A gain, its interval, and its p-value before and after correction."""
    limits = f'{100 * row.low:+.1f} to {100 * row.high:+.1f}'.replace('-', '\u2212')
    tests = (Cell(f'{p:.2g}', p) for p in (row.p_value, corrected))
    return signed(row.gain), Cell(limits, row.low), *tests
