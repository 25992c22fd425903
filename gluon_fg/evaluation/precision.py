"""Average precision: how well the probabilities of a class put the videos that show it in front of the others."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Union

import numpy as np

from ..errors import UserError
from .score import Scores
from .tables import columns, percent


def average_precision(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Average precision of a class: the sum over thresholds of precision times the gain in recall, not interpolated.

    Videos of equal probability are taken in together, so that the order in which they are listed does not matter. It
    is scikit-learn's `average_precision_score`.

    Inputs:
        - **targets**: (N,) whether each video shows the class
        - **probabilities**: (N,)

    Returns
    -------
    0 to 1; NaN where no video shows the class
    """
    targets, probabilities = np.asarray(targets, bool), np.asarray(probabilities, np.float64)
    if not targets.any():
        return float('nan')
    order = np.argsort(-probabilities, kind='stable')
    hits, sorted_p = np.cumsum(targets[order]), probabilities[order]
    last = np.append(np.flatnonzero(sorted_p[1:] != sorted_p[:-1]), len(order) - 1)  # of each run of equal ones
    precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
    return float(np.sum(precision * np.diff(recall, prepend=0.0)))


def targets_of(scores: Scores) -> np.ndarray:
    """(N, M) bool, which classes each video shows; raises UserError for scores of single labels."""
    if scores.targets is None:
        raise UserError(f'these scores of {scores.dataset or "a dataset"} are of videos with a single label each')
    return scores.targets


def class_precisions(scores: Scores, branch: Union[str, int, None] = None) -> List[Optional[float]]:
    """Average precision of each class, None where no video shows it."""
    targets, p = targets_of(scores), scores.branch(branch)
    values = (average_precision(targets[:, label], p[:, label]) for label in range(len(scores.classes)))
    return [None if np.isnan(value) else value for value in values]


def summarize_targets(scores: Scores, branch: Union[str, int, None] = None) -> Dict[str, Any]:
    """The numbers of videos with several labels, ready for JSON.

    Returns
    -------
    dict
        `map`: mean average precision over the classes that some video shows; `map_classes`: how many these are;
        `top1`, `top5`: share of the videos whose likeliest class, or one of the five likeliest, is among theirs, of
        those that show any; `branches`: name -> {map, top1, top5}; `per_class`: a dict for each class with `label`,
        `name`, `group`, `videos` (that show it) and `ap`
    """
    rows = [
        {
            'label': label,
            'name': name,
            'group': scores.groups[label] if scores.groups else None,
            'videos': int(targets_of(scores)[:, label].sum()),
            'ap': value,
        }
        for label, (name, value) in enumerate(zip(scores.classes, class_precisions(scores, branch)))
    ]
    return {
        **_of_branch(scores, branch),
        'map_classes': sum(row['ap'] is not None for row in rows),
        'branches': {name: _of_branch(scores, name) for name in scores.branch_names},
        'per_class': rows,
    }


def _of_branch(scores: Scores, branch: Union[str, int, None]) -> Dict[str, Optional[float]]:
    known = [value for value in class_precisions(scores, branch) if value is not None]
    return {
        'map': float(np.mean(known)) if known else None,
        'top1': _hits(scores, branch, 1),
        'top5': _hits(scores, branch, 5),
    }


def _hits(scores: Scores, branch: Union[str, int, None], k: int) -> Optional[float]:
    """The share of the videos that show any class of which one of the k likeliest is shown; None without such."""
    targets = targets_of(scores)
    shown = targets.any(axis=1)
    if not shown.any():
        return None
    best = np.argsort(-scores.branch(branch)[shown], axis=1, kind='stable')[:, :k]
    return float(np.take_along_axis(targets[shown], best, axis=1).any(axis=1).mean())


def format_targets(summary: dict, worst: int = 5) -> List[str]:
    """Set the numbers of `summarize_targets` as lines of text, in percent; `worst`: how many classes to list."""
    lines = [
        '',
        columns(
            ['branch', 'mAP %', 'top1 %', f'top{summary["topk"]} %'],
            [
                [name, percent(row['map']), percent(row['top1']), percent(row['top5'])]
                for name, row in summary['branches'].items()
            ],
        ),
        "(top1: the likeliest class is one of the video's)",
    ]
    absent = summary['classes'] - summary['map_classes']
    if absent:
        lines.append(f'mAP is over {summary["map_classes"]} classes; {absent} that no video shows are left out')
    seen = sorted((row for row in summary['per_class'] if row['ap'] is not None), key=lambda row: row['ap'])[:worst]
    rows = [[row['name'], percent(row['ap']), row['videos']] for row in seen]
    return [*lines, '', columns(['worst classes', 'AP %', 'videos'], rows)] if rows else lines
