"""The mean of a network's accuracies over the splits of a dataset, as UCF101 and HMDB51 are reported.

Each split has a network of its own, trained on its training list and tested on its test list, and counts the same.
"""

from __future__ import annotations

import math
import re
from typing import Any, Dict, List, Optional, Sequence

from ..errors import UserError
from . import metrics
from .score import Scores

_NUMBERED = re.compile(r'.*[A-Za-z](\d)$')


def split_mean(scores: Sequence[Scores], names: Sequence[str], branch: Optional[str] = None) -> Dict[str, Any]:
    """Compute each split's accuracies, and their mean over the splits.

    Parameters
    ----------
    scores, names
        a score file of each split, two or more, and what errors call it
    branch
        the branch that the numbers are of; None: the fused prediction

    Returns
    -------
    dict
        `model`, `protocol`, `dataset`, `branch`, `classes`; `splits`: for each {file, split, listed, failed, labelled,
        correct, top1, top5, mean_class}; `mean`: {top1, top5, mean_class}. Fractions

    Raises
    ------
    UserError
        fewer than two files, a split twice, other networks, protocols, datasets, classes or branches, no labels
    """
    if len(scores) < 2:
        raise UserError(f'a mean takes the score files of two splits or more, got {len(scores)}')
    first = scores[0]
    for other, name in zip(scores[1:], names[1:]):
        _check_alike(first, other, names[0], name)
    for i, name in enumerate(names):
        for j in range(i):
            if set(scores[i].ids) == set(scores[j].ids) or _same_split(scores[i].dataset, scores[j].dataset):
                raise UserError(
                    f'{names[j]} and {name} are of the same split ({scores[i].dataset}); give a score file of each'
                )
    keys = ('listed', 'failed', 'labelled', 'correct', 'top1', 'top5', 'mean_class')
    rows: List[Dict[str, Any]] = []
    for part, name in zip(scores, names):
        summary = metrics.summarize(part, branch)
        if not summary['labelled']:
            raise UserError(f'{name}: no video has a label, so there is no accuracy')
        rows.append({'file': name, 'split': part.dataset, **{key: summary[key] for key in keys}})
    return {
        'model': first.model,
        'protocol': first.protocol,
        'dataset': _dataset(first),
        'branch': branch or first.branch_names[0],
        'classes': len(first.classes),
        'splits': rows,
        'mean': {key: math.fsum(row[key] for row in rows) / len(rows) for key in ('top1', 'top5', 'mean_class')},
    }


def format_mean(result: Dict[str, Any]) -> str:
    """Set `split_mean`'s numbers as a table, in percent."""
    topk = f'top{min(metrics.TOPK, result["classes"])}'
    rows = [
        [row['split'], row['labelled'], row['correct'], *_accuracies(row), row['failed'] or '-']
        for row in result['splits']
    ]
    rows.append([f'mean of {len(rows)} splits', '', '', *_accuracies(result['mean']), ''])
    title = f'{result["model"]} on {result["dataset"]}, protocol {result["protocol"]}, branch {result["branch"]}'
    header = ['split', 'videos', 'right', 'top1 %', f'{topk} %', 'mean of classes %', 'failed']
    return f'{title}\n\n{metrics.columns(header, rows)}'


def _accuracies(row: Dict[str, Any]) -> List[str]:
    return [f'{100 * row[key]:.2f}' for key in ('top1', 'top5', 'mean_class')]


def _dataset(scores: Scores) -> str:
    return scores.dataset.split(' ')[0]


def _same_split(a: str, b: str) -> bool:
    """Whether two names say the same numbered split, 'ucf101 test2'; others, such as 'csv val', may be of two lists."""
    return a == b and _NUMBERED.match(a) is not None


def _check_alike(a: Scores, b: Scores, first: str, second: str) -> None:
    """Refuse scores whose accuracies mean other things."""
    pairs = {
        'network': (a.model, b.model),
        'protocol': (a.protocol, b.protocol),
        'dataset': (_dataset(a), _dataset(b)),
        'branches': (', '.join(a.branch_names), ', '.join(b.branch_names)),
        'number of classes': (len(a.classes), len(b.classes)),
    }
    for kind, (mine, others) in pairs.items():
        if mine != others:
            raise UserError(
                f'{first} and {second} differ in the {kind}, {mine} and {others}; the mean is of one network that is '
                'trained on each split'
            )
    if a.classes != b.classes:
        place = next(i for i, (x, y) in enumerate(zip(a.classes, b.classes)) if x != y)
        raise UserError(
            f'{first} has class {a.classes[place]!r} as number {place}, {second} has {b.classes[place]!r}; the mean is '
            'of the same classes'
        )
