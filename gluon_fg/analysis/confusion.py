"""Confusion inside each group of look-alike classes (DFB sec. 5.2, fig. 3)."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

import numpy as np

from ..evaluation.metrics import confusion
from ..evaluation.score import Scores

MOST = 60  # classes without groups, in one matrix
SHOWN = 30  # of them, where there are more


def group_matrices(scores: Scores, chosen_by: Optional[Scores] = None) -> Dict[str, Tuple[List[str], np.ndarray]]:
    """Matrices of each group: group -> (its classes, (m, m) counts: row true class, column predicted class).

    Groups are in order of appearance. Videos predicted to be of another group are in no cell: the rows show what is
    confused inside the group. Classes without groups are one group, 'all classes'; of more than can be read (60) the 30
    that take part in the most mistakes, which `chosen_by` (None: these scores) made.
    """
    matrix = confusion(scores)
    if scores.groups is None and len(scores.classes) > MOST:
        wrong = matrix if chosen_by is None else confusion(chosen_by)
        mistakes = wrong.sum(axis=0) + wrong.sum(axis=1) - 2 * np.diag(wrong)
        members = np.sort(np.argsort(-mistakes, kind='stable')[:SHOWN]).tolist()
        names = [scores.classes[i] for i in members]
        return {f'the {SHOWN} classes with the most mistakes': (names, matrix[np.ix_(members, members)])}
    if scores.groups is None:
        return {'all classes': (list(scores.classes), matrix)}
    result = {}
    for group in dict.fromkeys(scores.groups):
        inside = [i for i, name in enumerate(scores.groups) if name == group]
        result[group] = [scores.classes[i] for i in inside], matrix[np.ix_(inside, inside)]
    return result
