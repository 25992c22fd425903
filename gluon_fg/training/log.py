"""A run's record: lines for the user, metrics.jsonl (a JSON object a line), TensorBoard events, a picture of curves."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from pathlib import Path
from typing import Any, Callable, List, Optional

from .. import safe_json
from ..files import atomic_path, atomic_write, naming
from .board import Board


def show_lines() -> None:
    """Print what the package logs, from INFO on, as plain lines on standard output: for commands, called once."""
    logger = logging.getLogger('gluon_fg')
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter('%(message)s'))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def read_metrics(path: Path) -> List[dict]:
    """Every record of a metrics.jsonl; lines that are none, as a last one cut by a kill, are left out."""
    records = []
    if Path(path).is_file():
        for line in Path(path).read_text(encoding='utf-8', errors='replace').splitlines():
            try:
                record = safe_json.parse(line)
            except ValueError:
                continue
            if isinstance(record, dict) and isinstance(record.get('event'), str) and type(record.get('step')) is int:
                records.append(record)
    return records


class RunLog:
    """Appends records to `run_dir/metrics.jsonl` and their numbers to TensorBoard.

    Parameters
    ----------
    run_dir
        the run's folder
    step
        updates already done; records of later updates (from a run killed after its last checkpoint) are dropped,
        so that a resumed run's record has every update once. A run that has none done begins its record anew
    count
        records that were there when these updates were done, where that is known; those behind them are dropped
    check
        called before anything is written: raises where that is not to be

    Attributes
    ----------
    lost
        how many of `count` are no longer there
    """

    def __init__(
        self, run_dir: Path, step: int = 0, count: Optional[int] = None, check: Callable[[], None] = lambda: None
    ):
        self.path = Path(run_dir) / 'metrics.jsonl'
        kept = [r for r in read_metrics(self.path) if r['step'] <= step][:count] if step else []
        self.lost = max(0, (count or 0) - len(kept))
        self._count, self._check = len(kept), check
        with atomic_write(self.path) as stream:
            stream.writelines(json.dumps(r) + '\n' for r in kept)
        self._stream = open(self.path, 'a')
        self._board = Board(Path(run_dir) / 'tensorboard', step + 1 if step else 0)

    def write(self, event: str, step: int, **values: Any) -> None:
        """Record `values` under an event name ('train', 'epoch', 'val', ...) at `step` updates done.

        Numbers that are not finite, which JSON has no word for, become null.
        """
        self._check()
        known = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}
        with naming(self.path):
            self._stream.write(json.dumps({'event': event, 'step': step, **known}) + '\n')
            self._stream.flush()
        self._count += 1
        numbers = {name: v for name, v in values.items() if isinstance(v, (int, float)) and math.isfinite(v)}
        self._board.add({f'{event}/{name}': value for name, value in numbers.items()}, step)

    def settle(self) -> int:
        """Bring the records down to the disk, before a checkpoint says how many there are; returns their number."""
        with naming(self.path):
            os.fsync(self._stream.fileno())
        return self._count

    def close(self) -> None:
        """Flush everything to disk."""
        with naming(self.path):
            self._stream.close()
        self._board.close()


def plot_curves(records: List[dict], path: Path) -> None:
    """Draw loss and accuracy over epochs, every branch in its own color, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    epochs = [r for r in records if r['event'] == 'epoch']
    vals = [r for r in records if r['event'] == 'val']
    figure = Figure(figsize=(11, 4))  # no pyplot: the run may be a thread of another program
    figure.subplots_adjust(0.07, 0.13, 0.99, 0.97, wspace=0.17)  # to find these out takes as long as the picture
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for name in [n for n in (epochs[-1] if epochs else {}) if n.startswith('loss')]:
        left.plot([r['epoch'] for r in epochs], [r.get(name) for r in epochs], label=name.replace('loss_', ''))
    left.set(xlabel='epoch', ylabel='training loss', yscale='log')
    for name in [n for n in (epochs[-1] if epochs else {}) if n.startswith('top1')]:
        right.plot(
            [r['epoch'] for r in epochs],
            [100 * r[name] for r in epochs],
            '--',
            alpha=0.6,
            label=f'training {name.replace("top1_", "")}',
        )
    for name, label in (
        ('map', 'validation, mAP'),
        ('top1', 'validation'),
        ('within_group', 'validation, within the group'),
    ):
        if vals and name in vals[-1]:
            right.plot([r['epoch'] for r in vals], [100 * r[name] for r in vals], linewidth=2, label=label)
    right.set(xlabel='epoch', ylabel='top-1 (%)', ylim=(0, 102))
    for axis in (left, right):
        axis.grid(alpha=0.3)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format='png')
