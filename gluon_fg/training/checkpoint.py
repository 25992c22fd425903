"""Checkpoints as whole folders: a reader sees all of one or none of it, whenever the writer is killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Iterator, Optional, Tuple

import mxnet as mx
from mxnet.gluon import HybridBlock

from ..errors import UserError
from .average import WeightAverage

_AVERAGE = 'average.params'
_NAME = re.compile(r'checkpoint-(\d{8})$')


def save_checkpoint(
    run_dir: Path,
    step: int,
    net: HybridBlock,
    trainer: mx.gluon.Trainer,
    state: dict,
    keep: int,
    average: Optional[WeightAverage] = None,
) -> Path:
    """Write `run_dir/checkpoint-<step>` and remove the oldest beyond `keep`.

    Holds parameters, their average where there is one, optimizer state (momentum) and `state`, anything JSON can carry.
    Written under a temporary name,
    flushed to disk and renamed, so that a kill at any moment leaves the former checkpoints whole.
    """
    final = Path(run_dir) / f'checkpoint-{step:08d}'
    partial = final.with_name(f'.{final.name}.partial')
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    net.save_parameters(str(partial / 'net.params'))
    if average:
        mx.nd.save(str(partial / _AVERAGE), average.values)
    trainer.save_states(str(partial / 'trainer.states'))
    (partial / 'state.json').write_text(json.dumps({'step': step, **state}, indent=1))
    for path in partial.iterdir():
        with open(path, 'rb') as stream:
            os.fsync(stream.fileno())
    if final.exists():  # the same step again, after a resume that replayed nothing
        shutil.rmtree(final)
    os.replace(partial, final)
    for old in sorted(_checkpoints(run_dir))[:-keep]:
        shutil.rmtree(old[1])
    return final


def latest_checkpoint(run_dir: Path) -> Optional[Path]:
    """The newest complete checkpoint of a run, or None."""
    complete = sorted(_checkpoints(run_dir))
    return complete[-1][1] if complete else None


def _checkpoints(run_dir: Path) -> Iterator[Tuple[int, Path]]:
    for path in Path(run_dir).glob('checkpoint-*'):
        match = _NAME.fullmatch(path.name)
        if match:
            yield int(match.group(1)), path


def load_network(path: Path, net: HybridBlock, ctx: mx.Context) -> None:
    """Restore the network alone from a checkpoint folder; see `load_checkpoint`."""
    with _told_of(path):
        net.load_parameters(str(path / 'net.params'), ctx=ctx)


def load_checkpoint(
    path: Path, net: HybridBlock, trainer: mx.gluon.Trainer, ctx: mx.Context, average: Optional[WeightAverage] = None
) -> dict:
    """Restore network, optimizer and average from a checkpoint folder; returns the `state` it was saved with.

    Raises
    ------
    UserError
        a file of the checkpoint is missing or damaged, or belongs to another network
    """
    load_network(path, net, ctx)
    with _told_of(path):
        if average:
            values = mx.nd.load(str(path / _AVERAGE))
            average.values = {name: value.as_in_context(ctx) for name, value in values.items()}
        trainer.load_states(str(path / 'trainer.states'))
        return json.loads((path / 'state.json').read_text())


@contextlib.contextmanager
def _told_of(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, AssertionError, mx.MXNetError) as error:
        raise UserError(
            f'checkpoint {path} cannot be loaded ({" ".join(str(error).split())[:200]}); '
            f'remove that folder to resume from the one before it'
        ) from error
