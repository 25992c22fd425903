"""Which classes turn into another when their videos are played backward: opening into closing, and back.

Price and Damen (Retro-Actions, ICCV workshops 2019) call two classes that exchange their labels under reversal
equivariant, and a class that keeps its label invariant. Here a network's answers show it, with a test for each turn.
"""

from __future__ import annotations

from typing import List, NamedTuple, Tuple

import numpy as np

from ..evaluation.compare import check_same_videos
from ..evaluation.metrics import confusion
from ..evaluation.score import Scores
from ..evaluation.statistics import holm, mcnemar

_LEVEL = 0.05


class Turn(NamedTuple):
    """A class whose reversed videos are taken for another one.

    `source`, `target`: names of the classes; `videos`: those of the source; `before`, `after`: how many of them are
    taken for the target as they are, and reversed; `p_value`: exact McNemar test of the two; `p_holm`: corrected for
    all ordered pairs of classes that have videos (`holm`).
    """

    source: str
    target: str
    videos: int
    before: int
    after: int
    p_value: float
    p_holm: float


class Reversal(NamedTuple):
    """What `reversal` returns.

    Parameters
    ----------
    classes
        names of the M classes
    matrix
        (M, M) int64: reversed videos of each class (row) that are taken for each class (column)
    turns
        turns that are more than chance (after correction, at 5 %), the surest first
    swaps
        pairs of those that go both ways
    kept, videos
        videos whose answer stays the same, and all with a label
    """

    classes: Tuple[str, ...]
    matrix: np.ndarray
    turns: List[Turn]
    swaps: List[Tuple[Turn, Turn]]
    kept: int
    videos: int


def reversal(forward: Scores, backward: Scores) -> Reversal:
    """Compare a network's answers to videos as they are with those to the same videos reversed.

    Raises
    ------
    UserError
        scores of other videos, or of videos with several labels
    """
    backward = check_same_videos(forward, backward, ('forward', 'reversed'))
    matrix = confusion(backward)
    known = forward.labels >= 0
    labels = forward.labels[known]
    before, after = (scores.branch()[known].argmax(axis=1) for scores in (forward, backward))
    seen = np.unique(labels)
    tests = len(seen) * (len(forward.classes) - 1)
    turns = [turn for label in seen for turn in _turns(forward.classes, label, before[labels == label],
                                                       after[labels == label])]  # fmt: skip
    corrected = holm([turn.p_value for turn in turns] + [1.0] * (tests - len(turns)))
    turns = [turn._replace(p_holm=p) for turn, p in zip(turns, corrected) if p < _LEVEL]
    turns.sort(key=lambda turn: (turn.p_holm, -turn.after / turn.videos))
    by_ends = {(turn.source, turn.target): turn for turn in turns}
    swaps = [
        (turn, by_ends[turn.target, turn.source])
        for turn in turns
        if (turn.target, turn.source) in by_ends
        and forward.classes.index(turn.source) < forward.classes.index(turn.target)
    ]
    return Reversal(forward.classes, matrix, turns, swaps, int((before == after).sum()), len(labels))


def _turns(classes: Tuple[str, ...], label: int, before: np.ndarray, after: np.ndarray) -> List[Turn]:
    """The other classes that more videos of a class are taken for when reversed than as they are."""
    turns = []
    for target in np.setdiff1d(np.unique(after), [label]):
        gained = int(((after == target) & (before != target)).sum())
        lost = int(((after != target) & (before == target)).sum())
        if gained > lost:
            counts = int((before == target).sum()), int((after == target).sum())
            turns.append(Turn(classes[label], classes[target], len(after), *counts, mcnemar(lost, gained), 1.0))
    return turns
