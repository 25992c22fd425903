"""Confusion inside each group of look-alike classes (DFB sec. 5.2, fig. 3)."""

from __future__ import annotations

from typing import Dict, List, Tuple

import numpy as np

from ..errors import UserError
from ..evaluation.metrics import confusion
from ..evaluation.score import Scores

MOST = 60  # classes without groups, in one matrix


def group_matrices(scores: Scores) -> Dict[str, Tuple[List[str], np.ndarray]]:
    """Matrices of each group: group -> (its classes, (m, m) counts: row true class, column predicted class).

    Groups are in order of appearance. Videos predicted to be of another group are in no cell: the rows show what is
    confused inside the group. Classes without groups are one group, 'all classes'.

    Raises
    ------
    UserError
        more than 60 classes without groups
    """
    matrix = confusion(scores)
    if scores.groups is None:
        if len(scores.classes) > MOST:
            raise UserError(
                f'the classes of {scores.dataset or "these scores"} have no groups, and {len(scores.classes)} in one '
                f'matrix are more than can be read (at most {MOST})'
            )
        return {'all classes': (list(scores.classes), matrix)}
    result = {}
    for group in dict.fromkeys(scores.groups):
        members = [i for i, name in enumerate(scores.groups) if name == group]
        result[group] = [scores.classes[i] for i in members], matrix[np.ix_(members, members)]
    return result
