"""Train the methods' tiny networks for 210 updates in emulated float16 and beside it in float32, from the same start.

    make float16-test                                           minutes on two cores; prints a table, writes JSON
    PYTHONPATH=tests python -m campaigns.float16 --out float16.json --folder /tmp/float16 --only dfb

The first updates overflow in float16 and are left out, so that its learning begins late: a second run in float32 leaves
out the same ones. A run in float16 is right where all its losses are finite and the mean of the last 50 is within 5 %
of that run's. Runs that lie finished in `--folder` are taken as they are. Ends with exit code 1 if one is not right.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, Sequence

from gluon_fg.gpu_check.trained import Training, read

REPO = Path(__file__).resolve().parents[2]
LAST, TOLERANCE, TIMEOUT = 50, 0.05, 1200  # updates that are averaged, share, seconds for a run
_STAGES = (
    '{universal: {model: {name: topheavy_tiny_synthfg}, train: {epochs: 4}}, '
    'specific: {train: {stage: specific, epochs: 3}}, joint: {train: {stage: joint, epochs: 3, lr_scale: 0.1}}}'
)
METHODS = {
    'dfb': ('configs/dfb/i3d_tiny_synthfg_dfb.yaml',),
    'cidc': ('configs/cidc/i3d_tiny_synthfg_cidc.yaml',),
    'u2s': ('configs/u2s/topheavy_tiny_synthfg_u2s.yaml', f'stages={_STAGES}'),
}
# 21 updates of 8 clips in an epoch, 10 epochs
_SHARED = (
    'train.epochs=10',
    'train.batch_size=8',
    'train.lr=0.01',
    'train.log_steps=1',
    'test.val_epochs=0',
    'data.workers=0',
)
_SIZES = 'data.sizes={train: 168, val: 48, test: 48}'


def trained(method: str, precision: str, folder: Path, left_out: Sequence[int] = ()) -> Training:
    """Train a method's network, or take it as it lies finished in its folder."""
    config, *settings = METHODS[method]
    out = folder / f'{method}-{precision}{"-late" if left_out else ""}'
    words = [json.dumps(list(left_out)), config, str(out), f'data.root={folder / "synthfg"}']
    words += [*_SHARED, _SIZES, f'train.precision={precision}', *settings]
    env = {**os.environ, 'PYTHONPATH': str(REPO), 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, '-m', 'gluon_fg.gpu_check.late', *words]
    done = subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode:
        raise RuntimeError(f'{" ".join(words)}: {done.stderr[-2000:]}')
    return read(out)


def measured(method: str, folder: Path) -> dict:
    """A method's row: means of the last losses, the updates that float16 left out, and whether that is right."""
    half = trained(method, 'float16_emulated', folder)
    late = trained(method, 'float32', folder, half.left_out)
    return compared(half, trained(method, 'float32', folder), late)


def compared(half: Training, single: Training, late: Training) -> dict:
    """Hold a run in float16 against float32's and against float32's that left out the same updates."""
    numbers = [[math.nan if loss is None else loss for loss in run.losses] for run in (half, single, late)]
    mean16, mean32, mean_late = (sum(losses[-LAST:]) / LAST for losses in numbers)
    off = mean16 / mean_late - 1
    return {
        'updates': len(half.losses),
        'left_out': half.left_out,
        'loss_scale': half.scale,
        'float16': mean16,
        'float32': mean32,
        'float32_late': mean_late,
        'off': off,
        'right': all(map(math.isfinite, numbers[0])) and abs(off) <= TOLERANCE,
    }


def table(rows: Dict[str, dict]) -> str:
    """The rows as Markdown."""
    lines = ['| method | left out | loss scale | float16 | float32 | float32, same left out | float16 is off by |']
    lines.append('|---|---|---|---|---|---|---|')
    for method, row in rows.items():
        numbers = f'{row["float16"]:.3f} | {row["float32"]:.3f} | {row["float32_late"]:.3f} | {row["off"]:+.1%}'
        lines.append(f'| {method} | {len(row["left_out"])} of {row["updates"]} | {row["loss_scale"]:g} | {numbers} |')
    return '\n'.join(lines)


def main() -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', default='float16.json')
    parser.add_argument('--folder', help='of the runs, which are kept then')
    parser.add_argument('--only', nargs='*', choices=list(METHODS), default=list(METHODS))
    parser.add_argument('--jobs', type=int, default=2)
    asked = parser.parse_args()
    from gluon_fg.data import synthfg

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(asked.folder or scratch).resolve()
        synthfg.generate(folder / 'synthfg', train=168, val=48, test=48, seed=0, progress=False)
        with concurrent.futures.ThreadPoolExecutor(asked.jobs) as pool:
            rows = dict(zip(asked.only, pool.map(lambda method: measured(method, folder), asked.only)))
    print(table(rows))
    Path(asked.out).write_text(json.dumps(rows, indent=1) + '\n')
    return 0 if all(row['right'] for row in rows.values()) else 1


if __name__ == '__main__':
    sys.exit(main())
