"""Stopping and going on: a run that is interrupted and started again ends with the weights of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Iterator, List

from ..errors import UserError
from ..files import sha256
from .outcome import Outcome, Target
from .trained import SECONDS, called, plan, words

_UPDATES = 24  # of two epochs
_ADVICE = (
    'kernels of cuDNN that add up in any order differ in the last bits; MXNET_ENFORCE_DETERMINISM=1 chooses others'
)


def checks(target: Target) -> Iterator[Outcome]:
    """Two epochs of the first network, without a break and with one."""
    config, *settings = next(iter(plan()['networks'].values()))
    further = (f'train.precision={target.precision}', 'train.epochs=2', 'train.checkpoint_steps=4', *settings)
    called(words(target, config, 'whole', *further), target.folder)
    stopped = words(target, config, 'stopped', *further)
    at = _interrupted(stopped, target.folder / 'stopped')
    if not 0 < at < _UPDATES:
        yield Outcome('a run that was interrupted', False, f'it could not be stopped: it ended at update {at}')
        return
    called(stopped, target.folder)
    same = sha256(target.folder / 'whole' / 'final.params') == sha256(target.folder / 'stopped' / 'final.params')
    said = f'stopped at update {at} of {_UPDATES} it ends with {"the same bits" if same else "other weights"}'
    yield Outcome('a run that was interrupted', same, said, _ADVICE)


def _interrupted(command: List[str], out: Path) -> int:
    """Start a training, ask it to stop once it has a checkpoint, and give the update that it stopped at.

    Raises UserError where it ended by itself.
    """
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as job:
        end = time.monotonic() + SECONDS
        while job.poll() is None and not list(out.glob('checkpoint-*/state.json')):
            if time.monotonic() > end:
                job.kill()
                raise UserError(f'no checkpoint in {SECONDS} s')
            time.sleep(0.02)
        if job.poll() is None:
            job.send_signal(signal.SIGINT)
        if job.wait() != 130:  # what a command that was interrupted ends with
            raise UserError(f'the training ended with {job.returncode} before it could be interrupted')
    return max((int(path.name.rpartition('-')[-1]) for path in out.glob('checkpoint-*')), default=0)
