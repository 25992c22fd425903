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
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

import mxnet as mx
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
from .updates import Clock, Update, add_up, one_update, pace, settle

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
    world, run_dir = world or distributed.init(config.train.fusion_threshold_mb), Path(run_dir)
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

    A run that was stopped behind an epoch's last update has none left to do, and goes on with its validation. What
    comes of an update is waited for while the next one is computed already: the device never idles for the host.
    """
    train, first = run.config.train, state.updates - epoch * run.updates_per_epoch
    pending: List[Update] = []  # updates whose readings still lie on the device
    with contextlib.closing(run.loader.batches(epoch, start=first * train.accumulate)) as batches:
        with _bar(run, epoch, first) as bar:
            for _ in range(first, run.updates_per_epoch):
                clock = Clock()
                done = one_update(run, state, epoch, batches)
                stopping = bool(pending) and settle(run, pending[-1], stop)
                pending.append(done)
                due = train.checkpoint_steps and state.updates % train.checkpoint_steps == 0
                last = state.updates % run.updates_per_epoch == 0
                read = state.updates % train.log_steps == 0 or stopping or due or last
                if read:
                    stopping = settle(run, done, stop) or stopping
                clock.stop(state, done)
                _show(bar, run, state, pending)
                if read:
                    fields = {**pace(run, pending), **add_up(run, state, pending)}
                    pending = []
                    if run.log and state.updates % train.log_steps == 0:
                        epochs = state.updates / run.updates_per_epoch
                        run.log.write('train', state.updates, epoch=epochs, lr=run.rate(state.updates - 1), **fields)
                if stopping or due or last and _is_validated(run.config, epoch):  # which may take long
                    save(run, state)
                if stopping:
                    raise Interrupted(f'stopped; start the same command again to resume {run.run_dir}')
    _write_epoch(run, state, epoch)


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


def _show(bar: tqdm, run: Run, state: TrainState, pending: List[Update]) -> None:
    """Move the progress bar on by an update; the loss it shows is the last one that is known."""
    losses = [done.loss for done in pending if done.loss is not None]
    loss = f'loss {losses[-1]:.3f}, ' if losses else ''
    timing = pace(run, pending)
    waiting = 100 * timing['data_seconds'] / timing['seconds']
    rate, clips = run.rate(state.updates - 1), timing['clips_per_second']
    text = f'{loss}lr {rate:.2g}, {clips:.1f} clips/s, {waiting:.0f} % waiting for data'
    bar.set_postfix_str(text, refresh=False)
    bar.update()


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
        sums = dict(state.sums)
        count, norms = sums.pop('updates'), sums.pop('norms', 0)
        totals = {name: sums.pop(name) for name in ('seconds', 'data_seconds')}
        means = {name: value / (norms if name == 'grad_norm' else count) for name, value in sums.items()}
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
