"""Every video that was scored, in a table that is searched and sorted."""

from __future__ import annotations

from typing import Any, List

import numpy as np

from ...errors import printable
from ...evaluation.metrics import true_rank
from ...evaluation.score import Scores
from ..pages import Cell, Column, Section, table
from .content import Content

LABEL, PREDICTED = 2, (3, 7)  # columns of the table, from 1: the label, and what each network predicted
_MARKS = ('wrong', 'right', '')


def sections(content: Content) -> List[Section]:
    """One row a video: label, prediction and its probability; of two score files the predictions of both."""
    each = [_predicted(scores) for _, scores in content.both]
    rows = [
        (printable(name), names_of(content.scores, place), *(cell for columns in each for cell in columns[place]))
        for place, name in enumerate(content.scores.ids)
    ]
    columns: List[Column] = []
    for title, _ in content.both:
        of = '' if content.other is None else f', {title}'
        columns += [
            Column(f'predicted{of}'),
            Column(f'probability, %{of}', 'of the predicted class'),
            Column(f'true class{of}', 'how many classes are likelier than the true one, plus 1'),
            Column(f'{of[2:]}' or 'answer'),
        ]
    lead = (
        'Words filter the table: all of them have to be in a row. Those in quotes have to be a whole cell, as in '
        '"class" "another", which shows the videos of a class that were taken for another; wrong shows the wrong ones.'
    )
    body = table([Column('video'), Column('label'), *columns], rows, name='video-table')
    return [Section('videos', 'Videos', body, lead)]


def names_of(scores: Scores, place: int) -> str:
    """The classes that a video shows, as its label or labels say; '' where they are unknown."""
    if scores.targets is not None:
        return ' | '.join(scores.classes[label] for label in scores.targets[place].nonzero()[0])
    return scores.classes[scores.labels[place]] if scores.labels[place] >= 0 else ''


def _predicted(scores: Scores) -> List[List[Any]]:
    """Of each video: the predicted class, its probability, the rank of the true class, and whether it is right."""
    p = scores.branch()
    best = p.argmax(axis=1)
    likely = p[np.arange(len(p)), best]
    if scores.targets is None:
        ranks = np.where(scores.labels >= 0, true_rank(p, np.maximum(scores.labels, 0)) + 1, 0)
        right = np.where(scores.labels >= 0, best == scores.labels, 2)
    else:
        known = scores.targets.any(axis=1)
        shown = np.where(scores.targets, p, -1).argmax(axis=1)  # the likeliest of the video's classes
        ranks = np.where(known, true_rank(p, shown) + 1, 0)
        right = np.where(known, scores.targets[np.arange(len(p)), best], 2)
    return [
        [
            scores.classes[best[i]],
            Cell(f'{100 * likely[i]:.1f}', float(likely[i])),
            Cell(str(ranks[i]) if ranks[i] else '\u2013', int(ranks[i]) or None),
            _MARKS[int(right[i])],
        ]
        for i in range(len(p))
    ]
