"""How far a training run has come: kept in checkpoints, taken up again from them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Dict, Optional

from ..errors import UserError
from ..evaluation.metrics import chosen_by
from ..files import atomic_write
from . import checkpoint
from .environment import environment
from .log import RunLog
from .parts import Run


@dataclasses.dataclass
class TrainState:
    """How far a run has come: all that a checkpoint keeps beside parameters, optimizer and loss scale.

    Parameters
    ----------
    updates
        updates done
    best
        the best validation: top1 (a fraction) and epoch, or None before the first
    seconds, cpu_seconds
        time spent in updates and in the method's preparation, over all starts
    sums
        of what was read from the updates of an epoch that is under way; empty once it is validated
    metrics
        of the last validation
    failed
        training videos that could not be read, with the reason
    records
        lines of metrics.jsonl
    skipped, skipped_in_a_row
        updates that were left out, a gradient in float16 being infinite: all, and those since the last that was not
    """

    updates: int = 0
    best: Optional[dict] = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    sums: Dict[str, float] = dataclasses.field(default_factory=dict)
    metrics: Dict[str, Any] = dataclasses.field(default_factory=dict)
    failed: Dict[str, str] = dataclasses.field(default_factory=dict)
    records: Optional[int] = None
    skipped: int = 0
    skipped_in_a_row: int = 0

    def count_skip(self, skipped: bool) -> None:
        """Count an update that was left out, or was not."""
        self.skipped += skipped
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if skipped else 0

    def epochs(self, updates_per_epoch: int) -> int:
        """Epochs that are done, their validation included: a run may have been stopped in front of that."""
        return (self.updates - bool(self.sums)) // updates_per_epoch


def resume(run: Run) -> TrainState:
    """The state of a run: of its last checkpoint, which is loaded, or of one that has done nothing; opens its log."""
    world, state = run.world, TrainState()
    path = world.gather_objects(checkpoint.latest_checkpoint(run.run_dir))[0]  # rank 0's, should storage lag
    if path:
        saved = checkpoint.load_checkpoint(path, run.net, run.trainer, run.ctx, run.average)
        state = _state_of(saved, path)
        run.scaler.load_state(saved['scaler'])
        run.loader.failed.update(state.failed)
        epoch, total = state.updates // run.updates_per_epoch, run.config.train.epochs * run.updates_per_epoch
        run.say(f'resumes from {path} (epoch {epoch}, update {state.updates} of {total})')
    if world.rank == 0:
        checkpoint.remove_old(run.run_dir, run.config.train.keep_checkpoints)
        run.log = RunLog(run.run_dir, state.updates, state.records, run.lock.check)
        if run.log.lost:
            run.say(
                f'warning: {run.log.path} lacks {run.log.lost} of the {state.records} lines that it had at update '
                f'{state.updates}; curves and totals of those are gone, the training is not'
            )
        with atomic_write(run.run_dir / 'environment.json') as stream:
            json.dump(environment(world, run.ctx, run.config.train.precision), stream, indent=1)
    return state


def _state_of(saved: Dict[str, Any], path: Path) -> TrainState:
    """What a checkpoint keeps as it is to go on; what a former version did not keep is as if nothing had been."""
    try:
        best, metrics, records = saved['best'], saved.get('metrics', {}), saved.get('records')
        if best is not None and not (type(best['epoch']) is int and isinstance(best[chosen_by(best)], (int, float))):
            raise ValueError('no best epoch')
        if not isinstance(metrics, dict) or not isinstance(saved['scaler'], dict):
            raise ValueError('no state of a run')
        seconds, cpu_seconds = float(saved['seconds']), float(saved['cpu_seconds'])
        sums = {str(name): float(value) for name, value in saved['sums'].items()}
        if 'grad_norm' in sums:
            sums.setdefault('norms', sums['updates'])  # former versions counted every update's
        failed = {str(path): str(reason) for path, reason in saved.get('failed', {}).items()}
        skips = (int(saved.get(name, 0)) for name in ('skipped', 'skipped_in_a_row'))
        records = records and int(records)
        return TrainState(saved['step'], best, seconds, cpu_seconds, sums, metrics, failed, records, *skips)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f'checkpoint {path} cannot be loaded (state.json: {error}); remove that folder to resume from the one '
            'before it'
        ) from None


def save(run: Run, state: TrainState) -> None:
    """Write a checkpoint; nobody goes on before it exists."""
    if run.world.rank == 0:
        run.lock.check()
        state.failed, state.records = dict(run.loader.failed), run.log.settle() if run.log else None
        values = {name: value for name, value in vars(state).items() if name != 'updates'}
        values['scaler'] = run.scaler.state()
        keep = run.config.train.keep_checkpoints
        checkpoint.save_checkpoint(run.run_dir, state.updates, run.net, run.trainer, values, keep, run.average)
    run.world.barrier()
