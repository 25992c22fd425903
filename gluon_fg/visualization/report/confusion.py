"""Which classes are taken for which: the whole confusion matrix, to be asked cell by cell, and the pairs in a table."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Tuple

import numpy as np
from markupsafe import Markup

from ...analysis.class_clusters import WEAK, cluster, confusion_distances
from ...errors import UserError
from ...evaluation.metrics import confusion, group_index
from ...evaluation.score import Scores
from ..pages import Column, Section, json_data, percent_cell, picture, table
from .classes import signed, wrong_link
from .content import Content
from .videos import LABEL, PREDICTED

_RIGHT, _WRONG = (40, 150, 230), (230, 75, 60)  # RGB of `figures.COLORS`, as its reds and blues
_NAMED = 40  # classes whose names stand beside the matrix
_CELLS, _SIDE = (18, 36), 840  # pixels of a cell there; of a whole matrix, at most
_LEAST = 11  # pixels of a group that still has its name beside it


class Order(NamedTuple):
    """In which order classes stand: their numbers (M,), the stretches that are framed, as (name, start, length), and
    a sentence that says where both come from."""

    classes: np.ndarray
    stretches: Tuple[Tuple[str, int, int], ...]
    said: str


def sections(content: Content) -> List[Section]:
    """The matrix of each of the scores, and the pairs; nothing where videos have several labels, or none has one."""
    if content.scores.targets is not None or not (content.scores.labels >= 0).any():
        return []
    order = order_of(content.scores)
    matrices = [confusion(scores) for _, scores in content.both]
    drawings = Markup('').join(
        _matrix(matrix, content.scores, order, title if content.other else '', place)
        for place, (title, matrix) in enumerate(zip(content.titles, matrices))
    )
    lead = (
        'Rows are the true classes, columns the predicted ones, in the same order; off the diagonal is wrong. '
        f'{order.said} Point at a cell, or move with the arrow keys, to see what it is; a click shows its videos.'
    )
    body = Markup('<div class="drawings">{}</div>').format(drawings) + _pairs(content, matrices)
    return [Section('confusion', 'Confusion', body, lead)]


def order_of(scores: Scores) -> Order:
    """Classes by their groups; without groups look-alikes next to each other (`analysis.class_clusters`)."""
    count = len(scores.classes)
    if scores.groups is not None:
        index = group_index(scores.groups)
        names, classes = list(dict.fromkeys(scores.groups)), np.argsort(index, kind='stable')
        said = 'Frames are the groups of look-alikes.'
    else:
        try:
            made = cluster(confusion_distances(scores), scores.classes)
        except UserError:  # classes that are all equally far apart
            return Order(np.arange(count), (), 'Classes stand in the order of their labels.')
        beside = 'The classes have no groups: those stand side by side which get much of each other\u2019s probability'
        if made.silhouette < WEAK:
            return Order(made.order, (), f'{beside}.')
        index, names, classes = made.labels, list(made.names), made.order
        said = f'{beside}; frames are the clusters that they make.'
    lengths = np.bincount(index, minlength=len(names))
    first = {int(group): place for place, group in reversed(list(enumerate(index[classes])))}
    stretches = tuple((names[group], place, int(lengths[group])) for group, place in sorted(first.items()))
    return Order(classes, stretches if 1 < len(names) < count else (), said if len(names) > 1 else '')


def _matrix(counts: np.ndarray, scores: Scores, order: Order, title: str, network: int) -> Markup:
    """A picture of a matrix, a pixel a cell, with what the script needs to tell what each cell is."""
    ordered, size = counts[np.ix_(order.classes, order.classes)], len(counts)
    names = [scores.classes[label] for label in order.classes]
    cell = min(max(480 // size, _CELLS[0]), _CELLS[1]) if size <= _NAMED else max(1, _SIDE // size)
    side = cell * size
    rows, columns = np.nonzero(ordered)
    cells = np.stack([rows, columns, ordered[rows, columns]], axis=1).tolist()
    asked = {'list': 'video-table', 'columns': [LABEL, PREDICTED[network]]}
    data = {'classes': names, 'totals': ordered.sum(axis=1).tolist(), 'cells': cells, **asked}
    wrong = int(ordered.sum() - np.trace(ordered))
    said = f'confusion matrix of {size} classes: {wrong} of {ordered.sum()} videos are off the diagonal'
    frames = Markup('').join(
        Markup('<i style="left:{0:.3f}%;top:{0:.3f}%;width:{1:.3f}%;height:{1:.3f}%"></i>').format(
            100 * start / size, 100 * length / size
        )
        for _, start, length in order.stretches
    )
    beside = _beside(names, order, side)
    return Markup(
        '<figure class="confusion{bare}" style="--side:{side}px">{head}<div class="ruled">{beside}'
        '<div class="matrix" tabindex="0" role="application" aria-label="{said}">{image}{frames}<b hidden></b></div>'
        '</div><output>{asks}</output>{data}</figure>'
    ).format(
        side=side,
        bare='' if beside else ' bare',
        head=Markup('<figcaption>{}</figcaption>').format(title) if title else '',
        beside=beside,
        said=said,
        image=picture(_pixels(ordered), said, side, exact=True),
        frames=frames,
        asks=said[0].upper() + said[1:] + '.',
        data=json_data(data),
    )


def _beside(names: List[str], order: Order, side: int) -> Markup:
    """Names beside the rows: of the classes, where there is room, else of the groups that are large enough."""
    size = len(names)
    labels = [(name, place, 1) for place, name in enumerate(names)]
    if size > _NAMED:
        labels = [stretch for stretch in order.stretches if stretch[2] * side / size >= _LEAST]
    spans = Markup('').join(
        Markup('<span style="top:{:.3f}%" title="{}">{}</span>').format(100 * (start + length / 2) / size, name, name)
        for name, start, length in labels
    )
    return spans and Markup('<div class="names" aria-hidden="true">{}</div>').format(spans)


def _pixels(counts: np.ndarray) -> np.ndarray:
    """uint8 (M, M, 4): the share of each row as opacity, so that the page's paper, light or dark, is 0."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    pixels = np.empty((*counts.shape, 4), np.uint8)
    pixels[..., :3] = np.where(np.eye(len(counts), dtype=bool)[..., None], _RIGHT, _WRONG)
    least = 0.2 if len(counts) <= _NAMED else 0.5  # opacity; a single video is to be seen, also in a small cell
    pixels[..., 3] = np.where(counts > 0, np.round(255 * (least + (1 - least) * np.sqrt(share))), 0)
    return pixels


def _pairs(content: Content, matrices: List[np.ndarray]) -> Markup:
    """Every pair of a true and a predicted class that is mixed up, the most frequent first."""
    scores, total = content.scores, np.maximum(matrices[0].sum(axis=1), 1)
    wrong = np.max(matrices, axis=0)
    np.fill_diagonal(wrong, 0)
    places = [np.unravel_index(i, wrong.shape) for i in np.argsort(-wrong, axis=None, kind='stable') if wrong.flat[i]]
    if not places:
        return Markup('<p>No video is taken for one of another class.</p>')
    several = content.other is not None
    of = [f'videos, {title}' for title in content.titles] if several else ['videos']
    columns: List[Any] = ['true class', 'taken for', *of, Column('of', 'videos of the true class')]
    columns.append(
        Column('difference, %', f'{content.titles[-1]} minus {content.titles[0]}') if several else 'share, %'
    )
    columns += ['groups'] if scores.groups else []
    rows: List[Any] = []
    for i, j in places:
        counts = [int(matrix[i, j]) for matrix in matrices]
        share = signed((counts[-1] - counts[0]) / total[i]) if several else percent_cell(counts[0] / total[i])
        within = ['same' if scores.groups[i] == scores.groups[j] else 'different'] if scores.groups else []
        rows.append(
            (
                scores.classes[i],
                wrong_link(scores.classes[i], scores.classes[j], int(not matrices[0][i, j])),
                *counts,
                int(matrices[0][i].sum()),
                share,
                *within,
            )
        )
    return Markup('<h3>Pairs that are mixed up</h3>') + table(columns, rows, name='pair-table', shown=25)
