"""A study's numbers, gathered from its runs' scores on the test videos."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from typing import Any, Dict, List, Optional

import numpy as np

from ..errors import unknown
from ..evaluation.fusion import fuse_scores
from ..evaluation.metrics import correct, summarize, within_group_predictions
from ..evaluation.score import Scores
from ..evaluation.statistics import interval_over_videos_and_seeds
from .runs import Job, Runs
from .spec import StudyConfig


def gather(study: StudyConfig, runs: Runs, columns: Dict[str, List[Job]], search: dict) -> dict:
    """The results of a study as plain data, which `table.save_results` writes.

    Parameters
    ----------
    study, runs
        what was run
    columns
        row of the table -> its finished runs, one for each seed
    search
        method -> learning rate -> validation score

    Raises
    ------
    UserError
        a group in focus that the classes do not have
    """
    rows = _with_fusions(study, runs, columns, {name: _row(runs, jobs, study.select) for name, jobs in columns.items()})
    scores = runs.scores(next(iter(columns.values()))[0])
    comparison = _Comparison(study, scores, rows)
    for name, row in rows.items():
        if study.focus:
            row['focus'] = comparison.hits[name][:, comparison.focus].mean(1).tolist()
        against = comparison.difference(name, study.reference)
        row['difference'], row['difference_focus'] = against['all'], against.get('focus')
        if name in study.equal_time:
            row['difference_equal_time'] = comparison.difference(name, equal_time_row(study.reference, name))['all']
    reference = comparison.hits[study.reference]
    return {
        'pairs': [{'methods': list(pair), **comparison.difference(*pair)} for pair in study.pairs],
        'subsets': {name: _by_subsets(runs, columns[name], reference) for name in study.subsets},
        'study': as_published(study),
        'metric': 'accuracy within the true group, test videos, last epoch',
        'search': {m: {f'{lr:g}': score for lr, score in rates.items()} for m, rates in search.items()},
        'rows': rows,
        'labels': scores.labels.tolist(),
    }


def as_published(study: StudyConfig) -> Dict[str, Any]:
    """What results say of their study: its values, the config by its name alone."""
    return dataclasses.asdict(dataclasses.replace(study, config=os.path.basename(study.config)))


def is_published(study: StudyConfig, theirs: Dict[str, Any]) -> bool:
    """Whether results say of their study what it is; a key that they lack, being older, has its default."""
    ours = json.loads(json.dumps(as_published(study)))
    defaults = {
        field.name: field.default_factory() if callable(field.default_factory) else field.default
        for field in dataclasses.fields(study)
    }
    return all((theirs.get(key, defaults[key]) or None) == (value or None) for key, value in ours.items())


def equal_time_row(reference: str, method: str) -> str:
    """What the table calls the reference that was trained for as long as a method."""
    return f'{reference}, time of {method}'


def _row(runs: Runs, jobs: List[Job], select: str) -> Dict[str, Any]:
    """A row's numbers: a list has one for each seed."""
    gates = [runs.flat_gate(job) for job in jobs]
    return {
        'epochs': runs.epochs(jobs[0]),
        'lr': runs.learning_rate(jobs[0]),
        'cpu_seconds': [runs.cost(job) for job in jobs],
        'training_top1': [runs.training_accuracy(job) for job in jobs],
        'validation': [runs.summary(job)[select] for job in jobs],
        **_measured([runs.scores(job) for job in jobs]),
        **({'flat_gate': {b: _of_seeds([gate[b] for gate in gates]) for b in gates[0]}} if gates[0] else {}),
    }


def _with_fusions(
    study: StudyConfig, runs: Runs, columns: Dict[str, List[Job]], rows: Dict[str, dict]
) -> Dict[str, dict]:
    """The rows, each fusion behind the last of its methods: it was not trained, and costs what they cost together."""
    behind: Dict[str, Dict[str, dict]] = {}
    for name, methods in study.fusions.items():
        jobs = [columns[method] for method in methods]  # of each method, one for each seed
        scores = [fuse_scores([runs.scores(job) for job in of_seed], names=methods) for of_seed in zip(*jobs)]
        cost = np.sum([rows[method]['cpu_seconds'] for method in methods], axis=0).tolist()
        unknown_part = {'epochs': None, 'lr': None, 'training_top1': None, 'validation': None}
        last = max(methods, key=list(rows).index)
        behind.setdefault(last, {})[name] = {**unknown_part, 'cpu_seconds': cost, **_measured(scores)}
    ordered = {}
    for name, row in rows.items():
        ordered.update({name: row, **behind.get(name, {})})
    return ordered


def _measured(scores: List[Scores]) -> Dict[str, Any]:
    """What the scores on the test videos tell, one for each seed."""
    metrics = [summarize(s) for s in scores]
    return {
        **{key: [m[key] for m in metrics] for key in ('top1', 'group_top1', 'within_group')},
        'within_group_by_group': {g: [_within(s, g) for s in scores] for g in dict.fromkeys(scores[0].groups or ())},
        'branch_within_group': {b: [_within(s, branch=b) for s in scores] for b in scores[0].branch_names},
        'predictions_within_group': [within_group_predictions(s.branch(), s.labels, s.groups).tolist() for s in scores],
    }


def _of_seeds(effects: List[Dict[str, Any]]) -> Dict[str, list]:
    """Key -> a value for each seed."""
    return {key: [effect[key] for effect in effects] for key in ('changed', 'top1', 'flat_top1')}


class _Comparison:
    """Differences between rows, over all test videos and over those of the groups in focus."""

    def __init__(self, study: StudyConfig, scores: Scores, rows: Dict[str, dict]):
        groups = np.asarray(scores.groups)
        for group in study.focus:
            if group not in groups:
                raise unknown('group in focus', group, dict.fromkeys(scores.groups or ()))
        self.focus = np.isin(groups[scores.labels], study.focus) if study.focus else None
        self.hits = {
            name: np.array(row['predictions_within_group']) == scores.labels[None] for name, row in rows.items()
        }

    def difference(self, name: str, other: str) -> Dict[str, dict]:
        hits, others = self.hits[name], self.hits[other]
        parts = {'all': interval_over_videos_and_seeds(hits, others)}
        if self.focus is not None:
            parts['focus'] = interval_over_videos_and_seeds(hits[:, self.focus], others[:, self.focus])
        return parts


def _by_subsets(runs: Runs, jobs: List[Job], reference: np.ndarray) -> dict:
    """Every set of branches -> accuracies of the mean of their softmax scores; difference to `reference`."""
    scores, subsets = [runs.scores(job) for job in jobs], {}
    names = scores[0].branch_names[1:]  # without the network's own mean
    for count in range(1, len(names) + 1):
        for chosen in itertools.combinations(names, count):
            predictions = np.stack([_ensemble(s, chosen) for s in scores])
            hits = predictions == scores[0].labels
            subsets[' + '.join(chosen)] = {
                'within_group': hits.mean(1).tolist(),
                'predictions_within_group': predictions.tolist(),
                'difference': interval_over_videos_and_seeds(hits, reference),
            }
    return subsets


def _ensemble(scores: Scores, branches: Any) -> np.ndarray:
    """Predictions within the true group by the mean of some branches' scores."""
    mean = np.mean([scores.branch(name) for name in branches], axis=0)
    return within_group_predictions(mean, scores.labels, scores.groups)


def _within(scores: Scores, group: Optional[str] = None, branch: Optional[str] = None) -> float:
    hit = correct(scores, 'within_group', branch)
    return float(hit[np.asarray(scores.groups)[scores.labels] == group].mean() if group else hit.mean())
