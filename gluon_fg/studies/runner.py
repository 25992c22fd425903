"""Small studies that can be trusted: one start per seed, one search for all, equal epochs and equal time, intervals.

Every run is `gluon-fg train` in a process of its own, so a study stopped at any moment goes on where it was.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Dict, List, Optional, Union

import numpy as np

from ..errors import UserError
from .results import equal_time_row, gather
from .runs import Job, Progress, Runs
from .spec import StudyConfig

logger = logging.getLogger(__name__)


class Study:
    """Runs a study into a folder and gathers its table.

    Parameters
    ----------
    study
        what to run
    root
        folder of the runs; jobs that are finished there are not run again
    jobs
        runs at a time, each on one thread
    common
        settings for every run (a data root, smaller sets), as key -> value
    """

    def __init__(
        self, study: StudyConfig, root: Union[str, os.PathLike], jobs: int = 1, common: Optional[Dict[str, Any]] = None
    ):
        self.study, self.runs = study, Runs(study.config, root, jobs, common)

    def run(self) -> dict:
        """Warm-ups, search of the learning rate, all seeds, equal time; returns the results as plain data.

        Raises
        ------
        UserError
            a setting of a method that cannot be, a run in the folder with other settings, or a run that failed
        """
        study = self.study
        progress = self._plan()
        warmups = self.warmups()
        self._train(warmups, progress)
        self._train(self._searched(), progress)
        search = self._search()
        chosen = {m: _best(search[m]) if m in search else self._rates(m)[0] for m in study.methods}
        logger.info('learning rates chosen: ' + ', '.join(f'{m} {lr:g}' for m, lr in chosen.items()))
        self._train([self.job(m, chosen[m], s) for s in study.seeds for m in study.methods], progress)
        columns = {study.warmup_row: warmups} if study.warmup_row else {}
        columns.update({m: [self.job(m, chosen[m], s) for s in study.seeds] for m in study.methods})
        for m in study.equal_time:
            columns[equal_time_row(study.reference, m)] = self._as_long_as(columns[m], chosen[study.reference])
        rest = [job for jobs in columns.values() for job in jobs if not self.runs.is_done(job)]
        progress.add(len(rest), sum(map(self.runs.epochs_of, rest)))
        self._train(rest, progress)
        return gather(study, self.runs, columns, search)

    def warmups(self) -> List[Job]:
        """The runs that the others start from, one for each seed; none where the study has no warm-up."""
        if not self.study.warmup:
            return []
        reference = self.study.methods[self.study.reference]
        own = {f'train.{key}': value for key, value in self.study.warmup.items()}
        return [Job(f'warmup-seed{s}', {**reference, **own, 'train.seed': s}) for s in self.study.seeds]

    def job(self, method: str, lr: float, seed: int, epochs: Optional[int] = None) -> Job:
        """The run of a method at a learning rate on a seed; `epochs` None: the method's own, else the study's."""
        settings = self.study.methods[method]
        epochs = epochs or settings.get('train.epochs', self.study.epochs)
        slug = ''.join(c if c.isalnum() else '_' for c in method)
        start = self.runs.root / f'warmup-seed{seed}' / 'final.params'
        return Job(
            f'{slug}-lr{lr:g}-epochs{epochs}-seed{seed}',
            {
                **({'model.params': str(start)} if self.study.warmup else {}),
                **settings,
                'train.lr': lr,
                'train.seed': seed,
                'train.epochs': epochs,
            },
        )

    def _plan(self) -> Progress:
        """Say what is about to be done; every method's settings are checked before the first run."""
        study = self.study
        first = {f'method {m!r}': self.job(m, self._rates(m)[0], study.seeds[0]) for m in study.methods}
        warmups = self.warmups()
        for name, job in {**first, **({'warmup': warmups[0]} if warmups else {})}.items():
            try:
                self.runs.config_of(job)
            except UserError as error:
                raise UserError(f'{name}: {error}') from None
        # Which learning rates will be chosen is not known yet; what a run of the first one takes is what any takes.
        final = [self.job(m, self._rates(m)[0], s) for s in study.seeds for m in study.methods]
        jobs = list({job.name: job for job in [*warmups, *self._searched(), *final]}.values())
        left = [job for job in jobs if not (self.runs.root / job.name / 'summary.json').is_file()]
        seeds = _count(len(study.seeds), 'seed')
        words = [f'a warm-up of {_count(self.runs.epochs_of(warmups[0]), "epoch")} each'] if warmups else []
        words += [f'{_count(len(study.lr), "learning rate")} a method']
        words[-1] += f' in runs of {_count(study.search_epochs, "epoch")}' if study.search_epochs else ''
        words += [f'{_count(study.epochs, "epoch")} a run']
        words += [f'{study.reference} for as long as {", ".join(study.equal_time)}'] if study.equal_time else []
        logger.info(f'{_count(len(study.methods), "method")} on {seeds} into {self.runs.root}: {"; ".join(words)}')
        logger.info(f'{_count(len(jobs), "run")}, {len(jobs) - len(left)} of them finished; {self.runs.jobs} at a time')
        return Progress(len(left), sum(map(self.runs.epochs_of, left)))

    def _train(self, jobs: List[Job], progress: Progress) -> None:
        self.runs.run(jobs, self.study.select, progress)

    def _rates(self, method: str) -> List[float]:
        """The learning rates that a method chooses from: the study's, or those or the one of its own."""
        own = self.study.methods[method].get('train.lr', self.study.lr)
        return own if isinstance(own, list) else [own]

    def _searching(self) -> Dict[str, Dict[float, List[Job]]]:
        """method -> learning rate -> the runs that search it; methods with a rate of their own are left out."""
        study, seeds = self.study, self.study.seeds[: self.study.search_seeds]
        return {
            m: {lr: [self.job(m, lr, s, study.search_epochs) for s in seeds] for lr in self._rates(m)}
            for m in study.methods
            if isinstance(study.methods[m].get('train.lr', study.lr), list)
        }

    def _searched(self) -> List[Job]:
        return [job for rates in self._searching().values() for jobs in rates.values() for job in jobs]

    def _search(self) -> Dict[str, Dict[float, float]]:
        """method -> learning rate -> validation score, the mean over the seeds that search."""
        return {
            m: {lr: float(np.mean([self._score(job) for job in jobs])) for lr, jobs in rates.items()}
            for m, rates in self._searching().items()
        }

    def _score(self, job: Job) -> float:
        score = self.runs.summary(job).get(self.study.select)
        if score is None:
            raise UserError(f'{job.name} has no validation {self.study.select}; choose another metric for select')
        return score

    def _as_long_as(self, jobs: List[Job], lr: float) -> List[Job]:
        """The reference's runs with as much computing time as these took."""
        study = self.study
        own = [self.job(study.reference, lr, s) for s in study.seeds]
        ratio = np.mean([self.runs.cost(j) for j in jobs]) / np.mean([self.runs.cost(j) for j in own])
        epochs = int(round(study.epochs * ratio))
        return [self.job(study.reference, lr, s, epochs) for s in study.seeds]


def _best(scores: Dict[float, float]) -> float:
    """The learning rate of the highest score; of equal ones the first."""
    return max(scores, key=lambda lr: scores[lr])


def _count(number: int, noun: str) -> str:
    return f'{number} {noun}' + ('' if number == 1 else 's')
