"""Accuracy from saved scores: top-k, per class, per group, and the split of errors into between and within groups.

Fractions here, percent in printed tables. Videos without a label and videos that could not be decoded are counted
apart and are in no accuracy. **Ties** go to the class with the lower number, as in `numpy.argmax`, so that nothing
depends on sorting.
"""

from __future__ import annotations

import csv
import os
from typing import Any, Dict, List, Optional, Union

import numpy as np

from ..errors import UserError
from ..files import atomic_write
from .precision import format_targets, summarize_targets
from .score import Scores
from .tables import columns, percent

TOPK = 5
_ACCURACIES = 'correct top1 top5 mean_class group_correct group_top1 top1_given_group within_group per_class per_group'


def true_rank(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count the classes placed before the true one, (N,): 0 means that the prediction is right.

    These are the classes with a higher probability, and those of a lower number with the same.
    """
    own = probabilities[np.arange(len(labels)), labels][:, None]
    before = np.arange(probabilities.shape[1])[None] < labels[:, None]
    return ((probabilities > own) | ((probabilities == own) & before)).sum(axis=1)


def group_index(groups: Any) -> np.ndarray:
    """Number the groups in the order of first appearance, and give each class its group's number: (M,)."""
    numbers = {name: i for i, name in enumerate(dict.fromkeys(groups))}
    return np.array([numbers[name] for name in groups], np.int64)


def within_group_predictions(probabilities: np.ndarray, labels: np.ndarray, groups: Any) -> np.ndarray:
    """Predict each video's class among those of its true class's group alone: (N,)."""
    group = group_index(groups)
    return np.where(group[None] == group[labels][:, None], probabilities, -1.0).argmax(axis=1)


def correct(scores: Scores, metric: str, branch: Union[str, int, None] = None) -> np.ndarray:
    """Say whether each labeled video is right by 'top1', 'top5' or 'within_group': (labeled videos,) bool.

    Raises
    ------
    UserError
        unknown branch; 'within_group' of classes without groups; videos with several labels
    """
    _check_single(scores)
    known = scores.labels >= 0
    p, labels = scores.branch(branch)[known], scores.labels[known]
    if metric == 'within_group':
        if scores.groups is None:
            raise UserError('these classes have no groups, so there is no accuracy within the group')
        return within_group_predictions(p, labels, scores.groups) == labels
    return true_rank(p, labels) < {'top1': 1, 'top5': TOPK}[metric]


def _check_single(scores: Scores) -> None:
    if scores.targets is not None:
        raise UserError(
            f'{scores.model} on {scores.dataset}: its videos have several labels, so that none is the right one'
        )


def summarize(scores: Scores, branch: Union[str, int, None] = None) -> dict:
    """Compute every accuracy of a score file, ready for JSON.

    Parameters
    ----------
    scores
        saved or fresh scores
    branch
        the branch the numbers are of; None is the fused prediction

    Returns
    -------
    dict
        `listed`, `scored`, `failed`, `labelled` (scored ones with a label): counts of videos;
        `top1`, `top5`: fractions of `labelled`, None when there is none; `topk`: 5, or the number of classes where
        these are fewer (then `top5` is 1 by necessity); `mean_class`: mean over the classes of their top-1;
        `branches`: name -> {top1, top5, within_group};
        `per_class`: a dict for each class, see `per_class`; and where the classes have groups

        - `group_top1`: the predicted class is of the true group; `top1_given_group`: of those, the class is right
          too. Their product is `top1`, exactly: they are `correct` / `group_correct` / `labelled`
        - `within_group`: the likeliest class of the true group is the true one, whatever the other groups got
        - `per_group`: a dict for each group, see `per_group`

        else None for these; where videos have several labels, `map` and what else `summarize_targets` lists
    """
    count, classes = int((scores.labels >= 0).sum()), len(scores.classes)
    result: Dict[str, Any] = {
        'model': scores.model,
        'dataset': scores.dataset,
        'protocol': scores.protocol,
        'listed': scores.listed,
        'scored': len(scores.ids),
        'failed': len(scores.failed),
        'labelled': count,
        'classes': classes,
        'topk': min(TOPK, classes),
        **dict.fromkeys(_ACCURACIES.split()),
        'branches': {},
    }
    if scores.targets is not None:
        return {**result, 'labelled': len(scores.ids), **summarize_targets(scores, branch)}
    if count:
        result['branches'] = {name: _branch(scores, name) for name in scores.branch_names}
        result.update(_branch(scores, branch))
        result['correct'] = int(correct(scores, 'top1', branch).sum())
        result['per_class'] = per_class(scores, branch)
        result['mean_class'] = float(np.mean([row['top1'] for row in result['per_class'] if row['videos']]))
        if scores.groups is not None:
            result.update(_of_groups(scores, branch, result['correct']))
    return result


def chosen_by(metrics: Dict[str, Any]) -> str:
    """The number by which the best weights of a run are chosen: 'map' where videos have several labels, else 'top1'."""
    return 'map' if metrics.get('map') is not None else 'top1'


def _of_groups(scores: Scores, branch: Union[str, int, None], right: int) -> dict:
    """The numbers of `summarize` that only classes with groups have; `right`: how many videos are right."""
    known = scores.labels >= 0
    group = group_index(scores.groups)
    predicted, labels = scores.branch(branch)[known].argmax(axis=1), scores.labels[known]
    in_group = int((group[predicted] == group[labels]).sum())
    return {
        'group_correct': in_group,
        'group_top1': in_group / len(labels),
        'top1_given_group': right / in_group if in_group else 0.0,
        'per_group': per_group(scores, branch),
    }


def _branch(scores: Scores, branch: Any) -> Dict[str, Optional[float]]:
    names = ('top1', 'top5') + (('within_group',) if scores.groups is not None else ())
    values = {name: float(correct(scores, name, branch).mean()) for name in names}
    return {'within_group': None, **values}


def per_class(scores: Scores, branch: Union[str, int, None] = None) -> List[dict]:
    """Say for each class how many of its videos are right, and which class takes most of the others.

    Dicts with `label`, `name`, `group`, `videos`, `correct`, `top1` (None without videos), and `confused_with`,
    `confused`: the class that most of its wrong videos went to, and how many (ties: the lower number).
    """
    matrix = confusion(scores, branch)
    rows = []
    for label, name in enumerate(scores.classes):
        videos, right = int(matrix[label].sum()), int(matrix[label, label])
        wrong = matrix[label].copy()
        wrong[label] = 0
        other = int(wrong.argmax())
        rows.append(
            {
                'label': label,
                'name': name,
                'group': scores.groups[label] if scores.groups else None,
                'videos': videos,
                'correct': right,
                'top1': right / videos if videos else None,
                'confused_with': scores.classes[other] if wrong[other] else None,
                'confused': int(wrong[other]),
            }
        )
    return rows


def per_group(scores: Scores, branch: Union[str, int, None] = None) -> List[dict]:
    """Say for each group how many of its videos get the right class, in the order of first appearance.

    Dicts with `name`, `classes`, `videos`, `top1` (mean of its classes' top-1, as in DFB sec. 5.2) and `within_group`
    (fraction of its videos), None without videos.
    """
    rows = per_class(scores, branch)
    within = correct(scores, 'within_group', branch)
    group = group_index(scores.groups)
    of_video = group[scores.labels[scores.labels >= 0]]
    result = []
    for number, name in enumerate(dict.fromkeys(scores.groups or ())):
        accuracies = [row['top1'] for row in rows if row['group'] == name and row['videos']]
        mine = within[of_video == number]
        result.append(
            {
                'name': name,
                'classes': int((group == number).sum()),
                'videos': len(mine),
                'top1': float(np.mean(accuracies)) if accuracies else None,
                'within_group': float(mine.mean()) if len(mine) else None,
            }
        )
    return result


def confusion(scores: Scores, branch: Union[str, int, None] = None) -> np.ndarray:
    """Count the labeled videos of each true class (row) that are taken for each class (column): (M, M).

    Raises
    ------
    UserError
        videos with several labels
    """
    _check_single(scores)
    known = scores.labels >= 0
    matrix = np.zeros((len(scores.classes),) * 2, np.int64)
    np.add.at(matrix, (scores.labels[known], scores.branch(branch)[known].argmax(axis=1)), 1)
    return matrix


def write_per_class(scores: Scores, path: Union[str, os.PathLike], branch: Union[str, int, None] = None) -> None:
    """Write the rows of `per_class`, of videos with several labels of `summarize_targets`, as CSV, atomically."""
    rows = per_class(scores, branch) if scores.targets is None else summarize_targets(scores, branch)['per_class']
    with atomic_write(path) as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)


def format_table(summary: dict, worst: int = 5) -> str:
    """Set `summarize`'s numbers as text, in percent; `worst` is how many of the worst classes to list."""
    lines = [
        f'{summary["model"]} on {summary["dataset"]}, protocol {summary["protocol"]}',
        f'{summary["listed"]} videos listed = {summary["scored"]} scored + {summary["failed"]} failed; '
        f'{summary["labelled"]} with a label',
    ]
    if not summary['labelled']:
        return '\n'.join([*lines, 'no video has a label, so there is no accuracy'])
    if 'map' in summary:
        return '\n'.join([*lines, *format_targets(summary, worst)])
    topk = f'top{summary["topk"]}'
    grouped = summary['group_top1'] is not None
    lines += [
        '',
        columns(
            ['branch', 'top1 %', f'{topk} %'] + ['within group %'] * grouped,
            [
                [name, percent(row['top1']), percent(row['top5'])] + [percent(row['within_group'])] * grouped
                for name, row in summary['branches'].items()
            ],
        ),
    ]
    if summary['topk'] < TOPK:
        lines.append(
            f'(only {summary["topk"]} classes: top{summary["topk"]} stands in for top{TOPK} and is always 100)'
        )
    lines += ['', f'mean over classes  {percent(summary["mean_class"])} %']
    if grouped:
        lines += [
            f'top1 {percent(summary["top1"])} % = right group {percent(summary["group_top1"])} % x right class in it '
            f'{percent(summary["top1_given_group"])} %',
            '',
            columns(
                ['group', 'classes', 'videos', 'top1 % (mean of classes)', 'within group %'],
                [
                    [row['name'], row['classes'], row['videos'], percent(row['top1']), percent(row['within_group'])]
                    for row in summary['per_group']
                ],
            ),
        ]
    seen = [row for row in summary['per_class'] if row['confused']]
    seen = sorted(seen, key=lambda row: (row['top1'], row['label']))[:worst]
    if seen:
        lines += [
            '',
            columns(
                ['worst classes', 'top1 %', 'videos', 'most taken for'],
                [
                    [
                        row['name'],
                        percent(row['top1']),
                        row['videos'],
                        f'{row["confused_with"]} ({row["confused"]})' if row['confused'] else '-',
                    ]
                    for row in seen
                ],
            ),
        ]
    return '\n'.join(lines)
