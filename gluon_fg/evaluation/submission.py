"""The file that Something-Something's test servers take: a line for each video of the test list, which has no labels.

Forms as TSM's test_models.py writes them: V2 'number;label;label;label;label;label', the five likeliest classes by
their official numbers, V1 'number;class', the likeliest by its name.
"""

from __future__ import annotations

import os
from typing import Callable, Dict, List

import numpy as np

from ..data import label_set
from ..errors import UserError, unknown
from .score import Scores

TOPK = 5


def _five_numbers(order: np.ndarray, numbers: Dict[str, int], classes: List[str]) -> str:
    return ';'.join(str(numbers[classes[i]]) for i in order[:TOPK])


def _name(order: np.ndarray, numbers: Dict[str, int], classes: List[str]) -> str:
    return classes[order[0]]


_FORMS: Dict[str, Callable[[np.ndarray, Dict[str, int], List[str]], str]] = {
    'sthsthv1': _name,
    'sthsthv2': _five_numbers,
}


def submission_lines(scores: Scores) -> List[str]:
    """Write the lines of a submission, in the order of the scores.

    A video that could not be decoded gets the classes that are likeliest over all others, since servers refuse files
    that lack a video; `Scores.failed` says which these are.

    Raises
    ------
    UserError
        scores of another dataset, of other classes, or of two videos of one number
    """
    dataset = scores.dataset.split(' ')[0]
    if dataset not in _FORMS:
        raise unknown('dataset with a test server', dataset, _FORMS)
    known = label_set(dataset)
    assert known is not None  # both have their classes in the catalog
    numbers = {name: number for number, name in enumerate(known.classes)}
    strange = [name for name in scores.classes if name not in numbers]
    if strange:
        raise UserError(f'these scores are of other classes than {dataset}: {unknown("class", strange[0], numbers)}')
    probabilities = scores.branch()
    answers = dict(zip(scores.ids, probabilities))
    answers.update(dict.fromkeys(scores.failed, probabilities.mean(axis=0)))
    lines, seen = [], set()
    for video, p in answers.items():
        number = os.path.splitext(os.path.basename(video))[0]
        if number in seen:
            raise UserError(f'these scores have video {number} twice; score the test list as it is')
        seen.add(number)
        order = np.argsort(-p, kind='stable')  # ties: the lower number, as everywhere
        lines.append(f'{number};{_FORMS[dataset](order, numbers, list(scores.classes))}')
    return lines
