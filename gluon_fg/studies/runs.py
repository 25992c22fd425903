"""The training runs of a study: each a process of its own, kept when it is finished, resumed when it was stopped."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

from mxnet.gluon import HybridBlock

from .. import safe_json
from ..deploy.execution import REFERENCE
from ..errors import UserError
from ..evaluation.gates import as_dict, gate_effects
from ..evaluation.protocol import get_protocol
from ..evaluation.score import Scores, score_dataset
from ..files import atomic_write
from ..training.claim import changed_settings
from ..training.config import Config, load_config, stage_configs
from ..training.log import read_metrics
from ..training.run import PARENT, load_run, split_of

logger = logging.getLogger(__name__)

TRAIN = (sys.executable, '-m', 'gluon_fg', 'train')


@dataclasses.dataclass(frozen=True)
class Job:
    """One training run of the study: the name of its folder, and its settings over the study's config."""

    name: str
    overrides: Dict[str, Any]


class Runs:
    """The runs in a folder, on one config.

    Parameters
    ----------
    config
        path of the training config that they share
    root
        their folder; runs that are finished there are not run again
    jobs
        runs at a time, each on one thread
    common
        settings for every run (a data root, smaller sets), as key -> value
    """

    def __init__(
        self, config: str, root: Union[str, os.PathLike], jobs: int = 1, common: Optional[Dict[str, Any]] = None
    ):
        self.config, self.root, self.jobs, self.common = config, Path(root), jobs, dict(common or {})
        self._processes: List[subprocess.Popen] = []
        self._lock, self._closed = threading.Lock(), False  # closed: no run may begin

    def config_of(self, job: Job) -> Config:
        """The checked config of a run; UserError for a setting that cannot be."""
        return load_config(self.config, self._settings(job))

    def epochs_of(self, job: Job) -> int:
        """How many epochs a run will have, those of its stages together."""
        config = self.config_of(job)
        return sum(part.train.epochs for part in stage_configs(config).values()) or config.train.epochs

    def is_done(self, job: Job) -> bool:
        """Whether a run is there and finished; a run of its name with other settings is an error."""
        run = self.root / job.name
        if not (run / 'summary.json').is_file():
            return False
        changed = changed_settings(self.config_of(job), run)
        if changed:
            raise UserError(f'{run} holds a run with other settings ({"; ".join(changed[:3])}); choose another --out')
        return True

    def run(self, jobs: Sequence[Job], select: str, progress: Progress) -> None:
        """Train those of the jobs that are not done.

        Interrupted, it asks the runs to write a checkpoint and waits for them; a run that fails lets the others that
        have begun come to their end, and no more begin.
        """
        self._closed = False
        waiting = list({job.name: job for job in jobs if not self.is_done(job)}.values())
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            futures = {pool.submit(self.start, job): job for job in waiting}
            try:
                for future in concurrent.futures.as_completed(futures):
                    if not future.result():
                        continue
                    job, score = futures[future], self.summary(futures[future]).get(select)
                    words = f'validation {select} ' + ('-' if score is None else f'{100 * score:.1f} %')
                    logger.info(progress.line(job, self.epochs_of(job), words))
            except BaseException as error:
                for future in futures:
                    future.cancel()
                if isinstance(error, KeyboardInterrupt):
                    self._interrupt()
                raise

    def _interrupt(self) -> None:
        """Ask what runs to stop at a checkpoint. SIGTERM: a second SIGINT (the terminal has sent one) would not."""
        with self._lock:
            self._closed = True
            for process in self._processes:
                process.terminate()
        logger.info('stops at the next checkpoint; the same command goes on from there')

    def start(self, job: Job) -> bool:
        """Train one run, in a process, its words in `NAME.log`; UserError where it fails.

        Returns
        -------
        Whether it was begun: after a failure or an interruption no run is.
        """
        if self._closed:
            return False
        log = self.root / f'{job.name}.log'
        log.parent.mkdir(parents=True, exist_ok=True)
        out = ['--config', self.config, '--out', str(self.root / job.name), '--set', *self._settings(job)]
        with open(log, 'a') as stream:
            with self._lock:
                if self._closed:
                    return False
                process = subprocess.Popen(
                    [*TRAIN, *out],
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, 'OMP_NUM_THREADS': '1', PARENT: str(os.getpid())},
                )
                self._processes.append(process)
            code = process.wait()
        with self._lock:  # at once: the pool's next run would begin before the failure is heard of
            self._processes.remove(process)
            self._closed = self._closed or code != 0
        if code:
            last = log.read_text().strip().splitlines()[-1:] or ['']
            raise UserError(f'run {job.name} ended with exit code {code}: {last[0]} (all of it in {log})')
        return True

    def _settings(self, job: Job) -> List[str]:
        return [
            f'{k}={v if isinstance(v, str) else json.dumps(v)}' for k, v in {**self.common, **job.overrides}.items()
        ]

    def summary(self, job: Job) -> dict:
        """What a finished run says of itself."""
        path = self.root / job.name / 'summary.json'
        return safe_json.load_mapping(path, f'remove it, and the study trains {job.name} to its end again')

    def cost(self, job: Job) -> float:
        """Seconds of computing that a finished run took, on all threads together."""
        return self.summary(job)['cpu_seconds']

    def epochs(self, job: Job) -> int:
        """Epochs that a finished run had, those of its stages together."""
        summary = self.summary(job)
        return sum(stage['epochs'] for stage in summary.get('stages', {'': summary}).values())

    def training_accuracy(self, job: Job) -> float:
        """Top-1 accuracy of the prediction on the training clips of a finished run's last epoch, as they were shown."""
        records = read_metrics(self.root / job.name / 'metrics.jsonl')
        last = next(record for record in reversed(records) if record['event'] == 'epoch')
        return next(value for name, value in last.items() if name.startswith('top1_'))  # the fused branch is the first

    def learning_rate(self, job: Job) -> float:
        """The learning rate that a run was given."""
        return load_config(str(self.root / job.name / 'config.yaml'), saved=True).train.lr

    def scores(self, job: Job) -> Scores:
        """A finished run's scores on the test split, with its last weights; made once."""
        path = self.root / job.name / 'test_scores.npz'
        if not path.is_file():
            logger.info(f'{job.name}: scores the test videos')
            self._scorer(job)[1]().save(path)
        return Scores.load(path)

    def flat_gate(self, job: Job) -> Dict[str, Dict[str, Any]]:
        """Branch -> `GateEffect` of a finished run on the test split; empty without a gate. Made once."""
        path = self.root / job.name / 'test_flat_gate.json'
        if not path.is_file():
            net, score = self._scorer(job)
            effects = gate_effects(net, score, self.scores(job)) if net.gates else []
            with atomic_write(path) as stream:
                json.dump(as_dict(effects), stream)
        return safe_json.load_mapping(path, 'remove it, and the study makes it anew')

    def _scorer(self, job: Job) -> Tuple[HybridBlock, Callable[[], Scores]]:
        """A finished run's network with its last weights, and what scores the test split by it."""
        run = self.root / job.name
        net, config = load_run(run, str(run / 'final.params'))
        config.data.features = None  # a whole network, whatever it was trained on: it is scored on videos
        protocol, test = get_protocol(config.test.val_protocol), split_of(config, 'test')
        return net, lambda: score_dataset(net, test, protocol, batch_size=16, progress=False, execution=REFERENCE)


class Progress:
    """How much of a study is done and how long the rest will take, by the epochs that it has trained itself.

    Parameters
    ----------
    runs, epochs
        how many there are to train
    """

    def __init__(self, runs: int, epochs: int):
        self.runs, self.epochs, self.done, self.trained = runs, epochs, 0, 0
        self._began = time.monotonic()

    def add(self, runs: int, epochs: int) -> None:
        """Further runs have turned out to be needed."""
        self.runs, self.epochs = self.runs + runs, self.epochs + epochs

    def line(self, job: Job, epochs: int, news: str) -> str:
        """What to say of a run that has just finished."""
        self.done, self.trained = self.done + 1, self.trained + epochs
        left = (time.monotonic() - self._began) / max(self.trained, 1) * max(self.epochs - self.trained, 0)
        rest = f'; about {_duration(left)} left' if self.done < self.runs else ''
        return f'[{self.done}/{self.runs}] {job.name}: {news}{rest}'


def _duration(seconds: float) -> str:
    """'40 s', '12 min' or '2.5 h'."""
    if seconds < 90:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} min' if seconds < 5400 else f'{seconds / 3600:.1f} h'
