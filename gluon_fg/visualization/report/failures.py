"""Videos that could not be scored, with their reasons, and those that took longest to decode."""

from __future__ import annotations

from typing import List, Tuple, Union

import numpy as np
from markupsafe import Markup

from ...errors import printable
from ...evaluation.score import Scores
from ..pages import Cell, Column, Section, table
from .content import Content
from .films import Films
from .videos import names_of

SLOWEST = 20  # videos of the table


def sections(content: Content) -> List[Section]:
    """A table of the failed videos and one of the slowest, where there are some."""
    films = Films(content, ask=False)
    failed, slowest = _failed(content, films), _slowest(content.scores, films)
    if not failed and not slowest:
        return []
    title = 'Failed and slow videos' if failed and slowest else 'Failed videos' if failed else 'Slow videos'
    return [Section('failures', title, failed + slowest)]


def _failed(content: Content, films: Films) -> Markup:
    rows: List[Tuple[Markup, ...]] = []
    for title, scores in content.both:
        named = [Markup('{}').format(title)] if content.other is not None else []
        rows += [
            (films.link(name), Markup('{}').format(printable(reason)), *named) for name, reason in scores.failed.items()
        ]
    if not rows:
        return Markup('')
    lead = Markup('<p>These were listed, but could not be decoded. They are in no accuracy.</p>')
    heads = ['video', 'reason', *(['scores'] if content.other is not None else [])]
    return lead + table(heads, rows, name='failed-table')


def _slowest(scores: Scores, films: Films) -> Markup:
    if scores.seconds is None or not len(scores.seconds):
        return Markup('')
    seconds = scores.seconds.astype(np.float64)
    order = np.argsort(-seconds, kind='stable')[:SLOWEST]
    total, middle = float(seconds.sum()), float(np.median(seconds))
    rows = [
        (
            films.link(scores.ids[place]),
            names_of(scores, place),
            Cell(f'{seconds[place]:.3f}', float(seconds[place])),
            Cell(f'{seconds[place] / middle:.1f}', float(seconds[place] / middle)) if middle else Cell('', None),
        )
        for place in map(int, order)
    ]
    lead = Markup(
        '<p>Decoding and cutting views took {} in all, {:.3f} s for the video in the middle; the {} slowest took '
        '{:.0f} % of it. Several threads decode side by side, so that the whole took less time.</p>'
    ).format(_spent(total), middle, len(order), 100 * float(seconds[order].sum()) / total if total else 0.0)
    heads: List[Union[str, Column]] = [
        'slowest videos',
        'label',
        Column('seconds'),
        Column('times the middle', 'seconds over their median'),
    ]
    return lead + table(heads, rows, name='slow-table')


def _spent(seconds: float) -> str:
    if seconds < 120:
        return f'{seconds:.1f} s'
    return f'{seconds / 60:.0f} min' if seconds < 7200 else f'{seconds / 3600:.1f} h'
