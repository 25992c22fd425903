"""Accuracy of each class and of each group, with intervals; of two score files side by side."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from markupsafe import Markup

from ...evaluation.metrics import per_class, per_group
from ...evaluation.precision import summarize_targets
from ...evaluation.statistics import wilson
from ..pages import Cell, Column, Section, bar, interval, percent_cell, quoted, table
from .content import Content
from .videos import LABEL, PREDICTED

Rows = Sequence[Optional[Dict[str, Any]]]  # of the other scores, None where there are none


def sections(content: Content) -> List[Section]:
    """A table of the groups, where there are some, and one of the classes; nothing where no video has a label."""
    if content.scores.targets is not None:
        return [_precisions(content)]
    if not (content.scores.labels >= 0).any():
        return []
    groups = [_groups(content)] if content.scores.groups else []
    return [*groups, _classes(content)]


def _classes(content: Content) -> Section:
    first = per_class(content.scores)
    second: Rows = _nothing(first) if content.other is None else per_class(content.other)
    rows = [_class_row(content, row, other) for row, other in zip(first, second)]
    columns: List[Any] = [
        'class',
        *(['group'] if content.scores.groups else []),
        Column('videos', 'with this label'),
        *_measured(content, 'top-1'),
        'most often taken for',
        Column('of those', 'videos of this class that are taken for it'),
    ]
    absent = sum(not row['videos'] for row in first)
    lead = 'Top-1 of each class: the share of its videos whose likeliest class is the true one.'
    if absent:
        lead += f' {absent} classes have no video here.'
    return Section('classes', 'Classes', table(columns, rows, name='class-table'), lead)


def _nothing(rows: Rows) -> Rows:
    return [None] * len(rows)


def _measured(content: Content, name: str) -> List[Column]:
    """The columns of an accuracy, with its interval or, of two score files, with their difference."""
    if content.other is None:
        return [Column(f'{name}, %'), Column('95 % interval', 'Wilson: from, to, in percent')]
    a, b = content.titles
    return [
        Column(f'{name}, {a}, %'),
        Column(f'{b}, %'),
        Column('difference', f'{b} minus {a}, in percent of the videos'),
    ]


def _class_row(content: Content, row: dict, other: Optional[dict]) -> Tuple[Any, ...]:
    wrong = '' if row['confused_with'] is None else wrong_link(row['name'], row['confused_with'])
    return (
        row['name'],
        *([row['group']] if content.scores.groups else []),
        row['videos'],
        *_accuracy(row, other, 'top1'),
        wrong,
        row['confused'] or None,
    )


def _accuracy(row: Dict[str, Any], other: Optional[Dict[str, Any]], key: str) -> List[Cell]:
    """The cells of `_measured`: a share of videos with its interval, or that of two networks and their difference."""
    value, nothing = row[key], percent_cell(None)
    if value is None:
        return [nothing] * (2 if other is None else 3)
    if other is not None:
        return [percent_cell(value), percent_cell(other[key]), signed(other[key] - value)]
    low, high = wilson(round(value * row['videos']), row['videos'])
    text = Markup('{:.1f}\u2013{:.1f} {}').format(100 * low, 100 * high, interval(value, low, high))
    return [percent_cell(value), Cell(text, low)]


def signed(difference: float) -> Cell:
    """A cell with a difference of two fractions, in percent with its sign."""
    text = f'{100 * difference:+.1f}'.replace('-', '\u2212')
    return Cell(text if text[1:] != '0.0' else '0.0', difference)


def wrong_link(true: str, predicted: str, network: int = 0) -> Markup:
    """The name of a class, which shows in the table of videos those of another class that a network took for it."""
    return Markup('<a href="#videos" data-find="video-table" data-words="{}">{}</a>').format(
        f'{LABEL}={quoted(true)} {PREDICTED[network]}={quoted(predicted)}', predicted
    )


def _groups(content: Content) -> Section:
    first = per_group(content.scores)
    second: Rows = _nothing(first) if content.other is None else per_group(content.other)
    rows = [
        (
            row['name'],
            row['classes'],
            row['videos'],
            *(percent_cell(each['top1']) for each in (row, other) if each is not None),
            *_accuracy(row, other, 'within_group'),
        )
        for row, other in zip(first, second)
    ]
    tops = [f'top-1, {title}, %' for title in content.titles] if content.other is not None else ['top-1, %']
    means = [Column(title, "mean of its classes' top-1") for title in tops]
    columns: List[Any] = ['group', 'classes', 'videos', *means, *_measured(content, 'within group')]
    lead = (
        'Top-1 is the mean over the classes of the group. Within the group: the likeliest class of the true group '
        'alone is the true one, so that look-alikes are told apart, whatever other groups got.'
    )
    return Section('groups', 'Groups', table(columns, rows), lead)


def _precisions(content: Content) -> Section:
    """Average precision of each class, where videos have several labels."""
    first = summarize_targets(content.scores)['per_class']
    second: Rows = _nothing(first) if content.other is None else summarize_targets(content.other)['per_class']
    rows = []
    for row, other in zip(first, second):
        drawing: Any = Cell('', None) if row['ap'] is None else Cell(bar(row['ap']), row['ap'])
        if other is not None:
            known = row['ap'] is not None and other['ap'] is not None
            ends = [percent_cell(other['ap']), signed(other['ap'] - row['ap']) if known else percent_cell(None)]
        else:
            ends = [drawing]
        group = [row['group']] if content.scores.groups else []
        rows.append((row['name'], *group, row['videos'], percent_cell(row['ap']), *ends))
    measured = [Column('AP, %'), Column('drawn', 'the same as a bar')]
    if content.other is not None:
        measured = _measured(content, 'AP')
    columns: List[Any] = [
        'class',
        *(['group'] if content.scores.groups else []),
        Column('videos', 'that show it'),
        *measured,
    ]
    lead = (
        'Average precision of each class: how well its probability puts the videos that show it in front of the '
        'others (not interpolated, as in scikit-learn).'
    )
    return Section('classes', 'Classes', table(columns, rows, name='class-table'), lead)
