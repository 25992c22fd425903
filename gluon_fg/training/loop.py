"""The training loop: one plain pass over epochs and updates, the same alone and on every rank of a Horovod job.

    set up -> resume -> prepare -> (train_one_epoch -> validate -> save) x epochs -> finish

It knows recognizers only through their contract (`gluon_fg.recognizers.base`); what one method needs beyond that lives
in its recognizer.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

import mxnet as mx
import numpy as np
from tqdm import tqdm

from ..errors import UserError
from ..evaluation import gates
from ..evaluation.metrics import chosen_by, summarize
from ..evaluation.score import Scores
from ..evaluation.threshold import choose_threshold
from ..files import atomic_write
from . import distributed, guards
from .finished import finished_summary, last_metrics
from .lock import run_lock
from .log import plot_curves, read_metrics
from .parts import Run, set_up
from .population import first_batches, measure_statistics
from .preparation import prepare
from .run import Interrupted, StopFlag
from .sections import Config
from .state import TrainState, resume, save
from .step import Readings, check_finite, forward_backward, mean_of, means_of, update

logger = logging.getLogger(__name__)


def train(
    config: Config,
    run_dir: Union[str, Path],
    world: Optional[distributed.World] = None,
    progress: bool = True,
    start: Optional[Path] = None,
) -> dict:
    """Train a recognizer as a config says; called again after an interruption, it goes on where it was.

    Where `config.stages` may hold several runs call `stages.train` instead. What happens is told to the logger
    `gluon_fg`, line by line, on rank 0 alone (`log.show_lines` prints it).

    Parameters
    ----------
    config
        a checked config
    run_dir
        the run's folder: config.yaml, classes.txt, metrics.jsonl, tensorboard/, checkpoint-<update>/, best.params,
        final.params, curves.png, summary.json, and what the method saves when it prepares itself
    world
        the job this process belongs to; None joins the one it was launched in
    progress
        whether to draw progress bars
    start
        parameters to start from, in place of `config.model.params`

    Returns
    -------
    The last validation's metrics with `epochs` that were done, whether it `stopped_early`, `updates`, and `seconds` and
    `cpu_seconds` spent in updates, and in the method's preparation, over all its starts; empty on ranks other than 0.

    Raises
    ------
    UserError
        config and run folder, network, data or machine do not fit together; a loss became NaN or infinite
    Interrupted
        SIGINT or SIGTERM arrived; the state is saved
    """
    world, run_dir = world or distributed.init(), Path(run_dir)
    summary = finished_summary(config, run_dir, world)
    if summary is not None:
        return summary
    with _lost_ranks_explained(world, run_dir), run_lock(run_dir, world) as lock:
        run = set_up(config, run_dir, world, progress, start, lock)
        state = resume(run)
        scores: Optional[Scores] = None  # of the network as it is
        with StopFlag() as stop:
            prepare(run, state, stop, measure)
            for epoch in range(state.epochs(run.updates_per_epoch), config.train.epochs):
                if _ends_early(config, state, epoch):
                    break
                train_one_epoch(run, state, epoch, stop)
                if _is_validated(config, epoch):
                    with run.as_saved():
                        measure_batch_norm(run, epoch)
                        scores = validate(run, state, epoch)
                save(run, state)
        with run.as_saved():
            return finish(run, state, gate_effects(run, scores))


def train_one_epoch(run: Run, state: TrainState, epoch: int, stop: StopFlag) -> None:
    """All updates of an epoch that are not done yet, and its line in the log.

    A run that was stopped behind an epoch's last update has none left to do, and goes on with its validation.
    """
    train, first = run.config.train, state.updates - epoch * run.updates_per_epoch
    pending: List[_Update] = []  # updates whose readings still lie on the device
    with contextlib.closing(run.loader.batches(epoch, start=first * train.accumulate)) as batches:
        with _bar(run, epoch, first) as bar:
            for _ in range(first, run.updates_per_epoch):
                done = one_update(run, state, epoch, batches, stop)
                pending.append(done)
                rate, clips = run.rate(state.updates - 1), _clips_per_second(run, done)
                waiting = 100 * done.extra['data_seconds'] / done.extra['seconds']
                bar.set_postfix_str(
                    f'loss {done.loss:.3f}, lr {rate:.2g}, {clips:.1f} clips/s, {waiting:.0f} % waiting for data',
                    refresh=False,
                )
                bar.update()
                due = train.checkpoint_steps and state.updates % train.checkpoint_steps == 0
                last = state.updates % run.updates_per_epoch == 0
                if state.updates % train.log_steps == 0 or done.stopping or due or last:
                    values, pending = add_up(run, state, pending), []
                    if run.log and state.updates % train.log_steps == 0:
                        epochs = state.updates / run.updates_per_epoch
                        fields = {'epoch': epochs, 'lr': rate, 'clips_per_second': clips, **done.extra, **values}
                        run.log.write('train', state.updates, **fields)
                if done.stopping or due or last and _is_validated(run.config, epoch):  # which may take long
                    save(run, state)
                if done.stopping:
                    raise Interrupted(f'stopped; start the same command again to resume {run.run_dir}')
    _write_epoch(run, state, epoch)


class _Update:
    """What came out of an update: its readings, pass by pass, its loss, its timings, and whether to stop."""

    def __init__(self, passes: List[Readings], loss: float, extra: Dict[str, float], stopping: bool):
        self.passes, self.loss, self.extra, self.stopping = passes, loss, extra, stopping


def one_update(run: Run, state: TrainState, epoch: int, batches: Iterator, stop: StopFlag) -> _Update:
    """Forward and backward passes and the optimizer's step. Of its readings the loss alone is waited for."""
    train, world = run.config.train, run.world
    began, cpu_began, waited, passes = time.perf_counter(), time.process_time(), 0.0, []
    # Reseeding from the update's number makes dropout the same in a resumed run: MXNet's generator cannot be saved.
    mx.random.seed((train.seed * 1_000_003 + state.updates * 64 + world.rank) % 2**31, ctx=run.ctx)
    for _ in range(train.accumulate):
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        passes.append(forward_backward(run.net, batch, run.scaler, run.ctx, run.targets))
    # One small exchange an update: every rank sees the same loss, and all stop together.
    loss, asked = world.mean(np.array([mean_of(passes, 'loss'), float(stop.set)])).tolist()
    if not np.isfinite(loss):
        videos = [str(run.train_set.records[int(i)].path) for i in batch.indices[:3]]
        values = dict(zip(passes[0], world.mean(np.array(list(means_of(passes).values()))).tolist()))
        check_finite(values, f'epoch {epoch + 1}, update {state.updates + 1}', videos, run.run_dir)
    run.trainer.set_learning_rate(run.rate(state.updates))
    norm = update(run.trainer, run.params, run.scaler, train.batch_size * train.accumulate, train.clip)
    state.updates += 1
    if run.average:
        run.average.update(state.updates)
    extra = {'seconds': time.perf_counter() - began, 'data_seconds': waited}
    state.seconds += extra['seconds']
    state.cpu_seconds += time.process_time() - cpu_began  # does not grow when the machine is shared
    return _Update(passes, loss, extra if norm is None else {**extra, 'grad_norm': norm}, asked > 0)


def add_up(run: Run, state: TrainState, updates: List[_Update]) -> Dict[str, float]:
    """Bring the readings of some updates to the host, as means over all ranks, and add them to the epoch's sums.

    Returns
    -------
    The last update's: `loss`, `loss_<branch>`, `top1_<branch>`
    """
    names = list(updates[0].passes[0])
    own = np.array([list(means_of(done.passes).values()) for done in updates])
    values: Dict[str, float] = {}
    for done, row in zip(updates, run.world.mean(own).tolist()):
        values = dict(zip(names, row))
        for name, value in {**values, 'updates': 1, **done.extra}.items():
            state.sums[name] = state.sums.get(name, 0.0) + (value or 0.0)
    return values


def measure_batch_norm(run: Run, epoch: int) -> None:
    """Measure batch norm's statistics on batches of the epoch that is done, where the config asks for it."""
    count = run.config.train.precise_bn
    if count:
        batches = first_batches(run.loader.batches(epoch), count)
        measure_statistics(run.net, batches, run.world.mean, run.ctx)


def validate(run: Run, state: TrainState, epoch: int) -> Scores:
    """Measure the network after an epoch, and keep its parameters where they are the best so far."""
    metrics, scores = measure(run, state, epoch + 1, f'epoch {epoch + 1}/{run.config.train.epochs}')
    run.warn('constant', guards.constant_prediction(scores))
    by = chosen_by(metrics)
    if state.best is None or metrics[by] > state.best[by]:
        state.best = {by: metrics[by], 'epoch': epoch + 1}
        if run.world.rank == 0:
            run.save_parameters('best.params')
            if run.config.test.refuse is not None:
                choose_threshold(scores, run.config.test.refuse).save(run.run_dir)
    state.metrics = metrics
    return scores


def measure(run: Run, state: TrainState, epoch: int, when: str) -> Tuple[dict, Scores]:
    """Accuracy on the validation split after so many epochs, logged and said; and the scores that it is from."""
    scores = run.score(run.val_set)
    guards.check_measured(run.config, scores)
    metrics = {k: v for k, v in summarize(scores).items() if isinstance(v, (int, float))}
    if run.log:
        run.log.write('val', state.updates, epoch=epoch, protocol=run.protocol.name, **metrics)
    shown = [
        f'{name} {100 * metrics[name]:.1f} %' for name in ('map', 'top1', 'top5', 'within_group') if name in metrics
    ]
    run.say(f'{when}: validation {", ".join(shown)}')
    return metrics, scores


def gate_effects(run: Run, scores: Optional[Scores]) -> Dict[str, Any]:
    """What the gates of the trained network are good for on the validation split, said and for the summary.

    Nothing for a network without one. `scores`: what the network as it is gives, where that is known.
    """
    if not run.net.gates:
        return {}
    effects = gates.gate_effects(run.net, functools.partial(run.score, run.val_set), scores)
    run.say(f'validation: {gates.describe(effects)}')
    return {'flat_gate': gates.as_dict(effects)}


def finish(run: Run, state: TrainState, effects: dict) -> dict:
    """The last files of a run: final.params, curves.png, summary.json; `effects` are those of gates."""
    if run.log is None:
        return {}
    run.save_parameters('final.params')
    run.log.close()
    records = read_metrics(run.log.path)
    plot_curves(records, run.run_dir / 'curves.png')
    epochs = state.updates // run.updates_per_epoch
    summary = {
        **(state.metrics or last_metrics(records)),
        **effects,
        'epochs': epochs,
        'stopped_early': epochs < run.config.train.epochs,
        'updates': state.updates,
        'seconds': state.seconds,
        'cpu_seconds': state.cpu_seconds,
        'best': state.best,
        'failed_videos': run.loader.failed,
    }
    with atomic_write(run.run_dir / 'summary.json') as stream:
        json.dump(summary, stream, indent=1)
    best = state.best or {}
    if epochs < run.config.train.epochs:
        run.say(f'stopped after epoch {epochs}: none of {run.config.train.early_stop} epochs was better')
    by = chosen_by(best)
    name = {'map': 'mAP', 'top1': 'top-1'}[by]
    run.say(
        f'trained {state.updates} updates in {state.seconds:.0f} s; best validation {name} '
        f'{100 * best[by]:.1f} % (epoch {best["epoch"]}); see {run.run_dir / "curves.png"}'
    )
    return summary


def _ends_early(config: Config, state: TrainState, done: int) -> bool:
    """Whether, after `done` epochs, the last validation is as long past the best as `train.early_stop` says."""
    validated = [epoch + 1 for epoch in range(done) if _is_validated(config, epoch)]
    if not (config.train.early_stop and state.best and validated):
        return False
    return validated[-1] - state.best['epoch'] >= config.train.early_stop


def _is_validated(config: Config, epoch: int) -> bool:
    every = config.test.val_epochs
    return epoch + 1 == config.train.epochs or bool(every and (epoch + 1) % every == 0)


def _clips_per_second(run: Run, done: _Update) -> float:
    return run.config.train.batch_size * run.config.train.accumulate * run.world.size / done.extra['seconds']


def _bar(run: Run, epoch: int, first: int) -> tqdm:
    return tqdm(
        total=run.updates_per_epoch,
        initial=first,
        desc=f'epoch {epoch + 1}/{run.config.train.epochs}',
        unit='update',
        disable=not run.progress,
        dynamic_ncols=True,
    )


def _write_epoch(run: Run, state: TrainState, epoch: int) -> None:
    """The epoch's means, and the sums begin anew."""
    if run.log:
        count, totals = state.sums['updates'], {name: state.sums[name] for name in ('seconds', 'data_seconds')}
        means = {name: value / count for name, value in state.sums.items() if name not in ('updates', *totals)}
        fields = {'epoch': epoch + 1, 'lr': run.rate(state.updates - 1), **totals}
        run.log.write('epoch', state.updates, **fields, failed_videos=len(run.loader.failed), **means)
    state.sums = {}


@contextlib.contextmanager
def _lost_ranks_explained(world: distributed.World, run_dir: Path) -> Iterator[None]:
    """Turn the error that a rank gets when another has ended into a line."""
    try:
        yield
    except mx.MXNetError as error:
        if world.size > 1 and any(word in str(error) for word in ('Horovod', 'horovod', 'gloo', 'by peer')):
            raise UserError(
                f'rank {world.rank}: another rank of the job has ended; '
                f'start the same command again to resume {run_dir}'
            ) from error
        raise
