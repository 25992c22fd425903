"""Updates of a run, one after another: queued, waited for while the next one is computed, and added up."""

from __future__ import annotations

import time
from typing import Dict, Iterator, List, Optional

import mxnet as mx
import numpy as np

from . import guards
from .parts import Run
from .run import StopFlag
from .state import TrainState
from .step import Readings, check_finite, forward_backward, mean_of, means_of, update


class Update:
    """What comes out of an update.

    Parameters
    ----------
    passes, norm
        its readings, pass by pass, and the norm of its gradient, or None, still on the device
    waited
        seconds that videos were waited for
    place, seen
        which update it is, and some of its videos, in words

    Attributes
    ----------
    loss
        once it is known
    extra
        its timings, and where it is clipped and was not left out `grad_norm` and `norms`, 1
    """

    def __init__(
        self, passes: List[Readings], norm: Optional[mx.nd.NDArray], waited: float, place: str, seen: List[str]
    ):
        self.passes, self.norm, self.place, self.seen = passes, norm, place, seen
        self.loss: Optional[float] = None
        self.extra = {'seconds': 0.0, 'data_seconds': waited}


class Clock:
    """Time from an update's beginning to the next one's, which waits for what is computed meanwhile."""

    def __init__(self) -> None:
        self._began, self._cpu_began = time.perf_counter(), time.process_time()

    def stop(self, state: TrainState, done: Update) -> None:
        """Add the time to the run's, and to what is known of the update."""
        done.extra['seconds'] = time.perf_counter() - self._began
        state.seconds += done.extra['seconds']
        state.cpu_seconds += time.process_time() - self._cpu_began  # does not grow when the machine is shared


def one_update(run: Run, state: TrainState, epoch: int, batches: Iterator) -> Update:
    """Queue forward and backward passes and the optimizer's step; nothing but the videos is waited for."""
    train, waited, passes = run.config.train, 0.0, []
    # Reseeding from the update's number makes dropout the same in a resumed run: MXNet's generator cannot be saved.
    mx.random.seed((train.seed * 1_000_003 + state.updates * 64 + run.world.rank) % 2**31, ctx=run.ctx)
    for _ in range(train.accumulate):
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        passes.append(forward_backward(run.net, batch, run.scaler, run.ctx, run.targets))
    run.trainer.set_learning_rate(run.rate(state.updates))
    norm = update(run.trainer, run.params, run.scaler, train.batch_size * train.accumulate, train.clip)
    state.updates += 1
    state.count_skip(run.scaler.skipped)
    guards.check_loss_scale(run.scaler.scale, state.skipped_in_a_row, run.run_dir)
    norm = None if run.scaler.skipped else norm  # which is infinite then
    if run.average:
        run.average.update(state.updates)
    videos = [str(run.train_set.records[int(i)].path) for i in batch.indices[:3]]
    return Update(passes, norm, waited, f'epoch {epoch + 1}, update {state.updates}', videos)


def settle(run: Run, done: Update, stop: StopFlag) -> bool:
    """Wait for an update's loss, once, and say whether a rank was asked to stop.

    Raises
    ------
    UserError
        the loss is NaN or infinite: the weights are spoiled, of which nothing has been saved
    """
    if done.loss is not None:
        return False
    # One small exchange an update: every rank sees the same loss, and all stop together.
    done.loss, asked = run.world.mean(np.array([mean_of(done.passes, 'loss'), float(stop.set)])).tolist()
    if not np.isfinite(done.loss):
        means = means_of(done.passes)
        values = dict(zip(means, run.world.mean(np.array(list(means.values()))).tolist()))
        check_finite(values, done.place, done.seen, run.run_dir)
    return asked > 0


def pace(run: Run, updates: List[Update]) -> Dict[str, float]:
    """Timings of some updates in a row, of which one may have waited for what another computed: their means.

    Returns
    -------
    `clips_per_second` of all ranks; `seconds` and `data_seconds` an update
    """
    clips = run.config.train.batch_size * run.config.train.accumulate * run.world.size
    names = ('seconds', 'data_seconds')
    means = {name: sum(done.extra[name] for done in updates) / len(updates) for name in names}
    return {'clips_per_second': clips / means['seconds'], **means}


def add_up(run: Run, state: TrainState, updates: List[Update]) -> Dict[str, float]:
    """Bring the readings of some updates to the host, as means over all ranks, and add them to the epoch's sums.

    Returns
    -------
    The last update's: `loss`, `loss_<branch>`, `top1_<branch>`, and `grad_norm` where gradients are clipped; in float16
    the `loss_scale` of the next one, and how many updates of the run were `skipped`
    """
    names = list(updates[0].passes[0])
    for done in updates:
        norm = None if done.norm is None else float(done.norm.asscalar())
        if norm is not None and np.isfinite(norm):
            done.extra.update(grad_norm=norm, norms=1)
    own = np.array([list(means_of(done.passes).values()) for done in updates])
    values: Dict[str, float] = {}
    for done, row in zip(updates, run.world.mean(own).tolist()):
        values = dict(zip(names, row))
        for name, value in {**values, 'updates': 1, **done.extra}.items():
            state.sums[name] = state.sums.get(name, 0.0) + value
    last = {name: value for name, value in updates[-1].extra.items() if name == 'grad_norm'}
    scaling = {'loss_scale': run.scaler.scale, 'skipped': state.skipped} if run.scaler.active else {}
    return {**last, **values, **scaling}
