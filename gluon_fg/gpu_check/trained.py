"""Trainings that are checked: each a process of its own, as one has one precision, and may end with its device."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import yaml

from ..data import synthfg
from ..errors import UserError
from ..named_configs import config_folder
from ..training.log import read_metrics
from .outcome import Target

SECONDS = 600  # for a training
CLIPS = 96  # videos that are rendered, on which an epoch of batches of 8 has 12 updates


class Training(NamedTuple):
    """What metrics.jsonl says of each update of a run, over all of its stages.

    `losses`: None: not finite; `left_out`: numbers of the updates that overflowed, from 1; `scale`: the last loss
    scale, 1 in float32
    """

    losses: List[Optional[float]]
    left_out: List[int]
    scale: float


def plan() -> Dict[str, Any]:
    """What is trained: configs/gpu_check.yaml."""
    return yaml.safe_load((config_folder() / 'gpu_check.yaml').read_text(encoding='utf-8'))


def videos(target: Target) -> Path:
    """The folder of rendered videos; they are made by the first section that needs them."""
    root = target.folder / 'synthfg'
    synthfg.generate(root, train=CLIPS, val=24, test=24, seed=0, progress=False)
    return root


def words(target: Target, config: str, out: str, *settings: str, left_out: Sequence[int] = ()) -> List[str]:
    """The command that trains a config on the rendered videos, on the device that is checked.

    `left_out`: numbers of updates that are not done, see `late`
    """
    given = [f'data.root={videos(target)}', f'train.device={target.ctx.device_type}', *plan()['shared'], *settings]
    given.insert(0, f'data.sizes={{train: {CLIPS}, val: 24, test: 24}}')
    out = str(target.folder / out)
    if left_out:
        return [sys.executable, '-m', 'gluon_fg.gpu_check.late', json.dumps(list(left_out)), config, out, *given]
    return [sys.executable, '-m', 'gluon_fg', 'train', '--config', config, '--out', out, '--set', *given]


def called(command: Sequence[str], folder: Path, seconds: float = SECONDS) -> str:
    """Run a command and give what it printed.

    Raises
    ------
    UserError
        it ended with an error, which is the last line of what it printed, or not in time
    """
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path)), 'OMP_NUM_THREADS': '1'}
    try:
        job = subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # the launcher's ranks end with it
        )
    except OSError as error:
        raise UserError(f'{command[0]} cannot be started ({error})') from None
    try:
        printed, _ = job.communicate(timeout=seconds)
    except BaseException as error:
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise UserError(f'{command[0]} did not end in {seconds:.0f} s') from None
        raise
    if job.returncode:
        lines = [line for line in printed.splitlines() if line.strip()] or ['no word']
        told = [line for line in lines if 'error: ' in line] or lines
        raise UserError(f'ended with {job.returncode}: {told[-1][:300]}')
    return printed


def read(folder: Path) -> Training:
    """Read a run, or the runs of its stages in the order of their training."""
    losses: List[Optional[float]] = []
    left_out: List[int] = []
    scale = 1.0
    stages = sorted(folder.glob('*/metrics.jsonl'), key=lambda path: path.stat().st_mtime)
    for path in stages or [folder / 'metrics.jsonl']:  # beside stages' there is one that holds them all
        before = 0
        for record in read_metrics(path):
            if record['event'] == 'train':
                losses.append(record.get('loss'))
                scale = float(record.get('loss_scale', 1))
                if record.get('skipped', 0) > before:
                    before = record['skipped']
                    left_out.append(len(losses))
    return Training(losses, left_out, scale)
