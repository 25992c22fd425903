"""Small studies that can be trusted: one warm-up per seed, one search for all, equal epochs and equal time, intervals.

Every run is `gluon-fg train` in a process of its own, so a study stopped at any moment goes on where it was.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import numpy as np
from omegaconf import OmegaConf

from ..errors import UserError, unknown
from ..evaluation.metrics import correct, summarize, within_group_predictions
from ..evaluation.protocol import get_protocol
from ..evaluation.score import Scores, score_dataset
from ..evaluation.statistics import interval_over_videos_and_seeds
from ..files import atomic_write
from .config import load_config
from .run import changed_settings, load_run, split_of


@dataclasses.dataclass
class StudyConfig:
    """A study's YAML; see configs/studies/."""

    config: str
    warmup: Dict[str, Any]  # epochs, and any train.* key of the warm-up run
    epochs: int
    seeds: List[int]
    lr: List[float]
    methods: Dict[str, Dict[str, Any]]  # name in the table -> config overrides; epochs and model.params among them win
    reference: str
    select: str = 'within_group'
    search_epochs: Optional[int] = None  # length of the runs that search the learning rate; None: `epochs`
    equal_time: List[str] = dataclasses.field(default_factory=list)
    focus: List[str] = dataclasses.field(default_factory=list)  # groups that are reported apart as well
    pairs: List[List[str]] = dataclasses.field(
        default_factory=list
    )  # methods to compare with each other, not `reference`
    warmup_row: Optional[str] = None  # what the table calls the warm-ups, as they are; None: they are no row
    subsets: List[str] = dataclasses.field(default_factory=list)  # methods to report by all subsets of their branches


@dataclasses.dataclass(frozen=True)
class Job:
    """One training run of the study."""

    name: str  # folder
    overrides: Dict[str, Any]


def load_study(path: str) -> StudyConfig:
    """Read a study's YAML; UserError for a missing file, unknown key, or a method that is not in the list."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f'no study file {path}')
    raw = OmegaConf.to_object(OmegaConf.load(path))
    known = {f.name for f in dataclasses.fields(StudyConfig)}
    if set(raw) - known:
        raise UserError(f'{path}: unknown key {sorted(set(raw) - known)[0]}; choose from {", ".join(sorted(known))}')
    missing = {
        f.name
        for f in dataclasses.fields(StudyConfig)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    } - set(raw)
    if missing:
        raise UserError(f'{path}: {sorted(missing)[0]} is missing')
    study = StudyConfig(**raw)
    study.config = str((path.parent / study.config).resolve())
    if any(len(pair) != 2 for pair in study.pairs):
        raise UserError(f'{path}: pairs must name two methods each, got {study.pairs}')
    if study.warmup_row in study.methods:
        raise UserError(f'{path}: warmup_row is {study.warmup_row!r}, which is a method; choose another name')
    for name in [study.reference, *study.equal_time, *study.subsets]:
        if name not in study.methods:
            raise UserError(f'{path}: {name!r} is no method; choose from {", ".join(study.methods)}')
    rows = [*study.methods, *([study.warmup_row] if study.warmup_row else [])]
    for name in itertools.chain(*study.pairs):
        if name not in rows:
            raise UserError(f'{path}: {name!r} is no method; choose from {", ".join(rows)}')
    if study.equal_time and 'stages' in study.methods[study.reference]:
        raise UserError(f'{path}: equal_time lengthens {study.reference!r}, which has stages of its own; leave it out')
    for name, settings in study.methods.items():
        if study.search_epochs and {'stages', 'train.epochs'}.intersection(settings):
            raise UserError(f'{path}: search_epochs cannot shorten {name!r}, which has epochs of its own; leave it out')
    return study


class Study:
    """Runs a study into `root` and gathers its table.

    Parameters
    ----------
    study
        what to run
    root
        folder of the runs; jobs found finished there are not run again
    jobs
        runs at a time, each on one thread
    common
        overrides for every run (a data root, smaller sets), as key -> value
    """

    def __init__(
        self,
        study: StudyConfig,
        root,
        jobs: int = 1,
        common: Optional[Dict[str, Any]] = None,
        say: Callable[[str], None] = print,
    ):
        self.study, self.root, self.jobs, self.common, self.say = study, Path(root), jobs, dict(common or {}), say

    def run(self) -> dict:
        """Warm-ups, learning-rate search, all seeds, equal time; returns the results as plain data."""
        study, first = self.study, self.study.seeds[0]
        reference = study.methods[study.reference]
        warmups = [
            Job(f'warmup-seed{s}', {**reference, **_train_keys(study.warmup), 'train.seed': s}) for s in study.seeds
        ]
        self._all(warmups)
        self._all([self._job(m, lr, first, study.search_epochs) for lr in study.lr for m in study.methods])
        search = {
            m: {lr: self._summary(self._job(m, lr, first, study.search_epochs))[study.select] for lr in study.lr}
            for m in study.methods
        }
        chosen = {m: max(found, key=found.get) for m, found in search.items()}
        self.say('learning rates chosen: ' + ', '.join(f'{m} {lr:g}' for m, lr in chosen.items()))
        self._all([self._job(m, chosen[m], s) for s in study.seeds for m in study.methods])
        columns = {study.warmup_row: warmups} if study.warmup_row else {}
        columns.update({m: [self._job(m, chosen[m], s) for s in study.seeds] for m in study.methods})
        for m in study.equal_time:
            ratio = np.mean([self._cost(j) for j in columns[m]]) / np.mean(
                [self._cost(j) for j in columns[study.reference]]
            )
            epochs = int(round(study.epochs * ratio))
            columns[_equal_time(study.reference, m)] = [
                self._job(study.reference, chosen[study.reference], s, epochs) for s in study.seeds
            ]
        self._all([job for jobs in columns.values() for job in jobs])
        return self._results(columns, search)

    def _job(self, method: str, lr: float, seed: int, epochs: Optional[int] = None) -> Job:
        settings = self.study.methods[method]
        epochs = epochs or settings.get('train.epochs', self.study.epochs)
        slug = ''.join(c if c.isalnum() else '_' for c in method)
        return Job(
            f'{slug}-lr{lr:g}-epochs{epochs}-seed{seed}',
            {
                'model.params': str(self.root / f'warmup-seed{seed}' / 'final.params'),
                **settings,
                'train.lr': lr,
                'train.seed': seed,
                'train.epochs': epochs,
            },
        )

    def _all(self, jobs: List[Job]) -> None:
        waiting = [job for job in jobs if not self._is_done(job)]
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            for future in concurrent.futures.as_completed([pool.submit(self._start, job) for job in waiting]):
                future.result()

    def _is_done(self, job: Job) -> bool:
        """Whether its run is there and finished; a run of its name with other settings is an error."""
        run = self.root / job.name
        if not (run / 'summary.json').is_file():
            return False
        changed = changed_settings(load_config(self.study.config, self._settings(job)), run)
        if changed:
            raise UserError(f'{run} holds a run with other settings ({"; ".join(changed[:3])}); choose another --out')
        return True

    def _settings(self, job: Job) -> List[str]:
        return [
            f'{k}={v if isinstance(v, str) else json.dumps(v)}' for k, v in {**self.common, **job.overrides}.items()
        ]

    def _start(self, job: Job) -> None:
        began, log = time.time(), self.root / f'{job.name}.log'
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            '-m',
            'gluon_fg',
            'train',
            '--config',
            self.study.config,
            '--out',
            str(self.root / job.name),
            '--set',
            *self._settings(job),
        ]
        with open(log, 'a') as stream:
            code = subprocess.call(
                command, stdout=stream, stderr=subprocess.STDOUT, env={**os.environ, 'OMP_NUM_THREADS': '1'}
            )
        if code:
            last = log.read_text().strip().splitlines()[-1:] or ['']
            raise UserError(f'run {job.name} ended with exit code {code}: {last[0]} (all of it in {log})')
        self.say(
            f'{job.name}: validation {self.study.select} {100 * self._summary(job)[self.study.select]:.1f} %, '
            f'{time.time() - began:.0f} s'
        )

    def _summary(self, job: Job) -> dict:
        return json.loads((self.root / job.name / 'summary.json').read_text())

    def _cost(self, job: Job) -> float:
        return self._summary(job)['cpu_seconds']

    def _epochs(self, job: Job) -> int:
        summary = self._summary(job)
        return sum(stage['epochs'] for stage in summary.get('stages', {'': summary}).values())

    def _scores(self, job: Job) -> Scores:
        path = self.root / job.name / 'test_scores.npz'
        if not path.is_file():
            run = self.root / job.name
            net, config = load_run(run, run / 'final.params')
            protocol = get_protocol(config.test.val_protocol)
            score_dataset(net, split_of(config, 'test'), protocol, batch_size=16, progress=False, fused=True).save(path)
        return Scores.load(path)

    def _results(self, columns: Dict[str, List[Job]], search) -> dict:
        study, rows = self.study, {}
        for name, jobs in columns.items():
            scores = [self._scores(job) for job in jobs]
            metrics = [summarize(s) for s in scores]
            rows[name] = {
                'epochs': self._epochs(jobs[0]),
                'lr': load_config(str(self.root / jobs[0].name / 'config.yaml'), saved=True).train.lr,
                'cpu_seconds': [self._cost(job) for job in jobs],
                'validation': [self._summary(job)[study.select] for job in jobs],
                **{key: [m[key] for m in metrics] for key in ('top1', 'group_top1', 'within_group')},
                'within_group_by_group': {g: [_within(s, g) for s in scores] for g in dict.fromkeys(scores[0].groups)},
                'branch_within_group': {b: [_within(s, branch=b) for s in scores] for b in scores[0].branch_names},
                'predictions_within_group': [
                    within_group_predictions(s.branch(), s.labels, s.groups).tolist() for s in scores
                ],
            }
        scores = self._scores(next(iter(columns.values()))[0])
        labels, groups = scores.labels, np.asarray(scores.groups)
        for group in study.focus:
            if group not in groups:
                raise unknown('group in focus', group, dict.fromkeys(scores.groups))
        focus = np.isin(groups[labels], study.focus)
        hits = {name: _correct(row, labels) for name, row in rows.items()}

        def differences(name, other):
            found = {'all': interval_over_videos_and_seeds(hits[name], hits[other])}
            if study.focus:
                found['focus'] = interval_over_videos_and_seeds(hits[name][:, focus], hits[other][:, focus])
            return found

        for name, row in rows.items():
            if study.focus:
                row['focus'] = hits[name][:, focus].mean(1).tolist()
            against = differences(name, study.reference)
            row['difference'], row['difference_focus'] = against['all'], against.get('focus')
            if name in study.equal_time:
                row['difference_equal_time'] = differences(name, _equal_time(study.reference, name))['all']
        return {
            'pairs': [{'methods': list(pair), **differences(*pair)} for pair in study.pairs],
            'subsets': {name: self._by_subsets(columns[name], hits[study.reference]) for name in study.subsets},
            'study': dataclasses.asdict(dataclasses.replace(study, config=os.path.basename(study.config))),
            'metric': 'accuracy within the true group, test videos, last epoch',
            'search': {m: {f'{lr:g}': score for lr, score in found.items()} for m, found in search.items()},
            'rows': rows,
            'labels': labels.tolist(),
        }

    def _by_subsets(self, jobs: List[Job], reference: np.ndarray) -> dict:
        """Every set of branches -> accuracies of the mean of their softmax scores; difference to `reference`."""
        scores, found = [self._scores(job) for job in jobs], {}
        names = scores[0].branch_names[1:]  # without the network's own mean
        for count in range(1, len(names) + 1):
            for chosen in itertools.combinations(names, count):
                hits = np.stack([_ensemble(s, chosen) == s.labels for s in scores])
                found[' + '.join(chosen)] = {
                    'within_group': hits.mean(1).tolist(),
                    'difference': interval_over_videos_and_seeds(hits, reference),
                }
        return found


def _ensemble(scores: Scores, branches) -> np.ndarray:
    """Predictions within the true group by the mean of some branches' scores."""
    mean = np.mean([scores.branch(name) for name in branches], axis=0)
    return within_group_predictions(mean, scores.labels, scores.groups)


def _within(scores: Scores, group: Optional[str] = None, branch: Optional[str] = None) -> float:
    hit = correct(scores, 'within_group', branch)
    return float(hit[np.asarray(scores.groups)[scores.labels] == group].mean() if group else hit.mean())


def _equal_time(reference: str, method: str) -> str:
    return f'{reference}, time of {method}'


def _correct(row: dict, labels: np.ndarray) -> np.ndarray:
    return np.array(row['predictions_within_group']) == np.asarray(labels)[None]


def markdown_table(results: dict) -> str:
    """The study as Markdown, in percent: mean and spread (sample standard deviation) over seeds; pairs; subsets."""
    study = results['study']
    reference, focus = study['reference'], ' and '.join(study.get('focus', []))
    groups = list(next(iter(results['rows'].values()))['within_group_by_group'])
    head = ['', 'epochs', 'CPU s', 'lr', *groups, 'within group', f'minus {reference}, equal epochs']
    head += [f'minus {reference}, equal time'] if study['equal_time'] else []
    head += [focus, f'{focus}: minus {reference}'] if focus else []
    lines = [head, ['---'] * len(head)]
    for name, row in results['rows'].items():
        # The reference with more epochs is not at equal epochs.
        compared = name in study['methods'] and name != reference
        cells = [name, row['epochs'], f'{np.mean(row["cpu_seconds"]):.0f}', f'{row["lr"]:g}']
        cells += [f'{100 * np.mean(row["within_group_by_group"][g]):.1f}' for g in groups]
        cells += [_spread(row['within_group']), _interval(row['difference']) if compared else '']
        cells += [_interval(row.get('difference_equal_time'))] if study['equal_time'] else []
        cells += [_spread(row['focus']), _interval(row['difference_focus']) if compared else ''] if focus else []
        lines.append(cells)
    if results.get('pairs'):
        head = ['', 'within group'] + ([focus] if focus else [])
        lines += [None, head, ['---'] * len(head)]
        for pair in results['pairs']:
            parts = [pair['all']] + ([pair['focus']] if focus else [])
            lines.append([f'{pair["methods"][0]} minus {pair["methods"][1]}', *map(_interval, parts)])
    for name, subsets in results.get('subsets', {}).items():
        head = [f'{name}, mean of', 'within group', f'minus {reference}']
        lines += [None, head, ['---'] * len(head)]
        lines += [[key, _spread(one['within_group']), _interval(one['difference'])] for key, one in subsets.items()]
    return ''.join(_line(cells) for cells in lines)


def _line(cells: Optional[list]) -> str:
    """A table's row, its rule, or the empty line between two tables."""
    if cells is None:
        return '\n'
    if set(cells) == {'---'}:
        return f'|{"---|" * len(cells)}\n'
    return f'| {" | ".join(map(str, cells))} |\n'.replace('|  | ', '| | ', 1 if cells[0] == '' else 0)


def _spread(values: List[float]) -> str:
    spread = np.std(values, ddof=1) if len(values) > 1 else float('nan')
    return f'{100 * np.mean(values):.1f} ± {100 * spread:.1f}'


def _interval(d: Optional[dict]) -> str:
    return f'{100 * d["mean"]:+.1f} ({100 * d["low"]:+.1f} to {100 * d["high"]:+.1f})' if d else ''


def save_results(results: dict, path) -> None:
    """Write results as JSON, and the table beside it as Markdown."""
    with atomic_write(path) as stream:
        json.dump(results, stream, separators=(',', ':'))
        stream.write('\n')
    with atomic_write(Path(path).with_suffix('.md')) as stream:
        stream.write(markdown_table(results))


def _train_keys(values: Dict[str, Any]) -> Dict[str, Any]:
    return {f'train.{key}': value for key, value in values.items()}
