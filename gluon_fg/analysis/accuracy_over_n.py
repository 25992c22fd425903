"""Accuracy against n, how many classes a prediction may be confused with on average (U2S sec. IV-E, fig. 8)."""

from __future__ import annotations

import csv
import json
import math
import os
from typing import Dict, List, NamedTuple, Optional, Sequence, Union

import numpy as np

from ..errors import UserError
from ..evaluation.metrics import columns
from ..files import atomic_path

N_KEY = 'csm_n'  # the setting's name; a study's method may have it in any section
METRICS = {
    'top1': 'top-1',
    'top5': 'top-5',
    'within_group': 'within the true group',
    'group_top1': 'the right group',
    'focus': 'within the groups in focus',
}


class Curve(NamedTuple):
    """One metric against n.

    Parameters
    ----------
    metric
        its name
    runs
        n -> fractions, one for each run (seed), n increasing
    others
        name -> fractions of methods without n, such as one-pass networks
    """

    metric: str
    runs: Dict[float, List[float]]
    others: Dict[str, List[float]]

    @property
    def n(self) -> List[float]:
        return list(self.runs)

    @property
    def mean(self) -> np.ndarray:
        return np.array([np.mean(values) for values in self.runs.values()])

    @property
    def spread(self) -> np.ndarray:
        """Sample standard deviation of the runs at each n; NaN for a single one."""
        return np.array([np.std(v, ddof=1) if len(v) > 1 else math.nan for v in self.runs.values()])

    @property
    def best(self) -> float:
        """The n of the highest mean; of equal ones the smallest."""
        return self.n[int(self.mean.argmax())]


def read_curves(path: Union[str, os.PathLike], metrics: Optional[Sequence[str]] = None) -> List[Curve]:
    """Curves of a study's results (.json), or of a list of records (.csv).

    A study's methods with `csm_n` are the points, the others and its warm-up lines to compare with. A CSV file has
    the columns `n` and one for each metric, a line for each run, fractions between 0 and 1; lines without n are of the
    network to compare with.

    Parameters
    ----------
    path
        the file
    metrics
        which metrics; None: those of a CSV file, of a study top1 and, where its classes have groups, within_group

    Raises
    ------
    UserError
        no such file, another kind of file, an unknown metric, no point, or a value that is no fraction
    """
    if not os.path.isfile(path):
        raise UserError(f'no file {path}')
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in ('.json', '.csv'):
        raise UserError(f"{path}: choose a study's results (.json) or a list of records (.csv)")
    found = _of_study(path, metrics) if suffix == '.json' else _of_records(path, metrics)
    if not found or not found[0].runs:
        raise UserError(
            f'{path}: no method has {N_KEY} in its settings' if suffix == '.json' else f'{path}: no line has n'
        )
    for curve in found:
        for values in [*curve.runs.values(), *curve.others.values()]:
            if not all(0 <= v <= 1 for v in values):
                raise UserError(f'{path}: {curve.metric} {max(values):g}; accuracies are fractions between 0 and 1')
    return found


def _of_study(path, metrics) -> List[Curve]:
    try:
        with open(path, encoding='utf-8') as stream:
            results = json.load(stream)
        rows, methods = results['rows'], results['study']['methods']
        drawn = {*methods, results['study'].get('warmup_row')}  # not the reference with more epochs
        n_of = {name: _n(methods.get(name, {})) for name in rows if name in drawn}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a study's results, written by study.py") from error
    there = [m for m in METRICS if all(isinstance(row.get(m), list) for row in rows.values())]
    chosen = list(metrics) if metrics else [m for m in ('top1', 'within_group') if m in there]
    curves = []
    for metric in chosen:
        if metric not in there:
            raise UserError(f'{path}: the study has no {metric}; choose from {", ".join(there)}')
        runs, others = {}, {}
        for name, n in n_of.items():
            if n is None:
                others[name] = rows[name][metric]
            else:
                runs.setdefault(n, []).extend(rows[name][metric])
        curves.append(Curve(metric, dict(sorted(runs.items())), others))
    return curves


def _n(settings: dict) -> Optional[float]:
    for key, value in settings.items():
        if key.split('.')[-1] == N_KEY:
            return None if value is None else float(value)
    return None


def _of_records(path, metrics) -> List[Curve]:
    try:
        with open(path, encoding='utf-8-sig', newline='') as stream:
            reader = csv.DictReader(stream)
            head, lines = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f'{path}: not a CSV file') from error
    there = [name for name in head if name not in ('n', 'seed')]
    if 'n' not in head or not there:
        raise UserError(f'{path}: its first line must name the column n and one for each metric, for example n,top1')
    curves = []
    for metric in metrics or there:
        if metric not in there:
            raise UserError(f'{path} has no column {metric}; choose from {", ".join(there)}')
        runs, others = {}, []
        for number, line in enumerate(lines, 2):
            try:
                n, value = float(line['n'] or 'nan'), float(line[metric])
            except (TypeError, ValueError):
                raise UserError(f'{path}, line {number}: n and {metric} must be numbers (n may be empty)') from None
            others.append(value) if math.isnan(n) else runs.setdefault(n, []).append(value)
        curves.append(Curve(metric, dict(sorted(runs.items())), {'one-pass': others} if others else {}))
    return curves


def plot_curves(curves: Sequence[Curve], path: os.PathLike, title: str = '') -> None:
    """Draw each metric's mean against n with the spread of its runs (one sample standard deviation) and the runs
    themselves as dots; methods without n are dashed lines. PNG.
    """
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(curves), figsize=(5.2 * len(curves), 4), squeeze=False, layout='constrained')
    for axis, curve in zip(axes[0], curves):
        mean, spread = 100 * curve.mean, 100 * np.nan_to_num(curve.spread)
        axis.fill_between(curve.n, mean - spread, mean + spread, color='#2a6fbb', alpha=0.18, linewidth=0)
        axis.plot(curve.n, mean, 'o-', color='#2a6fbb', linewidth=1.6, markersize=5, label='mean', zorder=3)
        for n, values in curve.runs.items():
            if len(values) > 1:
                axis.plot([n] * len(values), 100 * np.array(values), '.', color='#2a6fbb', alpha=0.5, markersize=5)
        for number, (name, values) in enumerate(curve.others.items()):
            colour = ('#b33a2c', '#1b7f5c', '#7b4fa3', '#666666')[number % 4]
            axis.axhline(100 * np.mean(values), color=colour, linestyle='--', linewidth=1.2, label=name)
        axis.set_xticks(curve.n, [f'{n:g}' for n in curve.n])
        axis.set_xlabel('n: classes that a prediction selects, on average', fontsize=9)
        axis.set_ylabel(f'{METRICS.get(curve.metric, curve.metric)}, %', fontsize=9)
        axis.grid(color='#e4e4e4', linewidth=0.6)
        axis.tick_params(length=0, labelsize=8)
        for side in ('top', 'right'):
            axis.spines[side].set_visible(False)
        if curve.others:
            axis.legend(fontsize=8, frameon=False)
    runs = {len(values) for values in curves[0].runs.values()}
    band = '' if runs == {1} else f'; band: one standard deviation of {" or ".join(map(str, sorted(runs)))} runs'
    figure.suptitle((title or 'Accuracy against n') + band, fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format='png')
    plt.close(figure)


def format_curves(curves: Sequence[Curve]) -> str:
    """A table: n, runs, and each metric's mean and spread in percent; then the methods without n."""
    head = ['n', 'runs', *(f'{curve.metric} %' for curve in curves)]
    rows: List[list] = []
    for group in ('runs', 'others'):
        for key, values in getattr(curves[0], group).items():
            name = f'{key:g}' if group == 'runs' else key
            rows.append([name, len(values), *(_spread(getattr(curve, group)[key]) for curve in curves)])
    return columns(head, rows)


def _spread(values: Sequence[float]) -> str:
    spread = f' ± {100 * np.std(values, ddof=1):.1f}' if len(values) > 1 else ''
    return f'{100 * np.mean(values):.1f}{spread}'
