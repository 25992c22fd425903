"""Accuracy of each class and of each group, with intervals; of two score files side by side."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from markupsafe import Markup

from ...evaluation.metrics import per_class, per_group
from ...evaluation.precision import summarize_targets
from ...evaluation.statistics import wilson
from ..pages import Cell, Column, Section, bar, interval, percent_cell, table
from .content import Content

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
        *_measured(content),
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


def _measured(content: Content) -> List[Column]:
    """The columns of an accuracy, with its interval or, of two score files, with their difference."""
    if content.other is None:
        return [
            Column('top-1, %'),
            Column('95 % interval', 'Wilson: from, to, in percent'),
            Column('', 'the same, drawn'),
        ]
    a, b = content.titles
    return [Column(f'{a}, %'), Column(f'{b}, %'), Column('difference', f'{b} minus {a}, in percent of the videos')]


def _class_row(content: Content, row: dict, other: Optional[dict]) -> Tuple[Any, ...]:
    wrong = '' if row['confused_with'] is None else wrong_link(row['name'], row['confused_with'])
    return (
        row['name'],
        *([row['group']] if content.scores.groups else []),
        row['videos'],
        *_accuracy(row['top1'], row['correct'], row['videos'], other['top1'] if other else None),
        wrong,
        row['confused'] or None,
    )


def _accuracy(value: Optional[float], right: int, videos: int, other: Optional[float]) -> List[Cell]:
    if other is not None and value is not None:
        return [percent_cell(value), percent_cell(other), signed(other - value)]
    if value is None:
        return [percent_cell(None)] * 3
    low, high = wilson(right, videos)
    return [
        percent_cell(value),
        Cell(f'{100 * low:.1f}\u2013{100 * high:.1f}', low),
        Cell(interval(value, low, high), value),
    ]


def signed(difference: float) -> Cell:
    """A cell with a difference of two fractions, in percent with its sign."""
    return Cell(f'{100 * difference:+.1f}'.replace('-', '\u2212'), difference)


def wrong_link(true: str, predicted: str) -> Markup:
    """The name of a class, which shows in the table of videos those of another class that were taken for it."""
    return Markup('<a href="#videos" data-find="video-table" data-words="{}">{}</a>').format(
        f'"{true}" "{predicted}"', predicted
    )


def _groups(content: Content) -> Section:
    first = per_group(content.scores)
    second = _nothing(first)
    if content.other is not None and content.other.groups:
        second = per_group(content.other)
    rows = []
    for row, other in zip(first, second):
        rows.append(
            (
                row['name'],
                row['classes'],
                row['videos'],
                percent_cell(row['top1']),
                *([percent_cell(other['top1'])] if other else []),
                *_accuracy(
                    row['within_group'],
                    round((row['within_group'] or 0) * row['videos']),
                    row['videos'],
                    other['within_group'] if other else None,
                ),
            )
        )
    tops = [Column('top-1, %', "mean of its classes' top-1")]
    if second[0]:
        tops = [Column(f'top-1 of {title}, %', "mean of its classes' top-1") for title in content.titles]
    within = [column._replace(title=f'within: {column.title}' if column.title else '') for column in _measured(content)]
    lead = (
        'Top-1 is the mean over the classes of the group. Within the group: the likeliest class of the true group '
        'alone is the true one, so that look-alikes are told apart, whatever other groups got.'
    )
    return Section('groups', 'Groups', table(['group', 'classes', 'videos', *tops, *within], rows), lead)


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
    measured = [Column('AP, %'), Column('', 'the same, drawn')]
    if content.other is not None:
        measured = _measured(content)
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
