"""Before the first update: every branch is brought in, and the method makes what it needs of the training set."""

from __future__ import annotations

import time
import warnings
from typing import Any, Callable, Iterator, List, Optional, Tuple

import mxnet as mx
import numpy as np

from ..data.datasets import VideoDataset
from ..evaluation.metrics import summarize
from ..evaluation.score import Scores, class_names
from ..evaluation.views import dataset_views
from ..files import atomic_write
from ..recognizers.contract import PrepareContext
from .parts import Run
from .run import Interrupted, StopFlag
from .state import TrainState

OfBranch = Callable[[str], Tuple[np.ndarray, np.ndarray]]  # name -> probabilities (videos, M), labels (videos,)
Measure = Callable[[Run, TrainState, int, str], Tuple[dict, Scores]]


def prepare(run: Run, state: TrainState, stop: StopFlag, measure: Measure) -> None:
    """Let all branches count from the first update on, and the method prepare itself (`Recognizer.prepare`).

    A run that starts with untrained branches set aside is validated so before: that is its baseline's accuracy, and no
    candidate for best.params, which could not say that some branches are untrained.

    Parameters
    ----------
    run, state
        the run as it was set up; nothing is done where it has made updates already
    stop
        whether it was asked to stop: `Interrupted` is raised then
    measure
        (run, state, epochs done, when in words) -> metrics and scores of the validation set
    """
    net = run.net
    trained, net.trained_branches = net.trained_branches, None
    if state.updates:
        return
    measuring = 0.0

    def once(score: Callable[[], Scores]) -> OfBranch:
        """The scores of a branch, of the network as it starts: measured when they are first asked for."""
        measured: List[Scores] = []

        def of_branch(branch: str) -> Tuple[np.ndarray, np.ndarray]:
            nonlocal measuring
            if not measured:
                began = time.perf_counter()
                net.trained_branches = trained
                measured.append(score())
                net.trained_branches = None
                measuring += time.perf_counter() - began
            known = measured[0].labels >= 0
            return measured[0].branch(branch)[known], measured[0].labels[known]

        return of_branch

    validation = once(lambda: measure(run, state, 0, f'before training, by {", ".join(trained)} alone')[1])
    apart = run.held_out
    held_out = None if apart is None else once(lambda: _score_apart(run, apart))
    if trained != net.trained_branches:
        validation(net.branch_names[0])
        measuring = 0.0
    began, cpu_began = time.perf_counter(), time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always', UserWarning)
        net.prepare(_context(run, validation, held_out, stop))
    spent = time.perf_counter() - began
    state.seconds += spent - measuring  # validation is not counted anywhere
    state.cpu_seconds += (time.process_time() - cpu_began) * (spent - measuring) / max(spent, 1e-9)
    for warning in caught:
        run.say(f'warning: {warning.message}')


def _score_apart(run: Run, videos: VideoDataset) -> Scores:
    """Scores of the training videos that are held out; their accuracy is said and logged."""
    scores = run.score(videos)
    top1 = summarize(scores)['top1']
    if run.log:
        run.log.write('held_out', 0, videos=len(videos), top1=top1)
    run.say(f'training videos that are held out: top1 {100 * top1:.1f} %')
    return scores


def _context(run: Run, validation: OfBranch, held_out: Optional[OfBranch], stop: StopFlag) -> PrepareContext:
    world = run.world

    def record(event: str, **values: Any) -> None:
        if run.log:
            run.log.write(event, 0, **values)

    def save(name: str, **arrays: Any) -> None:
        if world.rank == 0:
            with atomic_write(run.run_dir / name, 'wb') as stream:
                np.savez_compressed(stream, **arrays)

    return PrepareContext(
        untrained=run.start.untrained,
        class_names=class_names(run.net),
        training_batches=lambda: training_batches(run.train_set, run, lambda: stop.set),
        validation=validation,
        add_over_ranks=lambda array: np.sum(world.gather_objects(array), axis=0),
        say=run.say,
        record=record,
        save=save,
        held_out=held_out,
    )


def training_batches(
    dataset: VideoDataset, run: Run, stopping: Callable[[], bool]
) -> Iterator[Tuple[mx.nd.NDArray, np.ndarray]]:
    """See `PrepareContext.training_batches`; all ranks give up together once one of them is asked to stop."""
    world, config = run.world, run.config
    mine, stopped = range(world.rank, len(dataset), world.size), False
    views = dataset_views(dataset, run.net.input_spec, mine, run.ctx, config.test.batch_size, config.data.workers)
    for batch in views:
        yield batch.x, batch.labels
        stopped = stopping()
        if stopped:
            views.close()
            break
    if any(world.gather_objects(stopped)):
        raise Interrupted(f'stopped; start the same command again to resume {run.run_dir}')
