"""Accuracy against a numeric setting in which the methods of a study differ, such as the number of filters."""

from __future__ import annotations

import csv
import math
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Union

import numpy as np

from ..errors import UserError
from ..evaluation.statistics import mean_and_spread
from ..evaluation.tables import columns
from ..files import atomic_path
from .table import load_results

METRICS = {
    'top1': 'top-1',
    'top5': 'top-5',
    'within_group': 'within the true group',
    'group_top1': 'the right group',
    'focus': 'within the groups in focus',
}


class Curve(NamedTuple):
    """One metric against a setting.

    Parameters
    ----------
    metric
        its name
    setting
        the setting's name, the last word of its key
    runs
        the setting's value -> fractions, one for each run (seed), values increasing
    others
        name -> fractions of methods without the setting
    """

    metric: str
    setting: str
    runs: Dict[float, List[float]]
    others: Dict[str, List[float]]

    @property
    def values(self) -> List[float]:
        return list(self.runs)

    @property
    def mean(self) -> np.ndarray:
        return np.array([np.mean(values) for values in self.runs.values()])

    @property
    def spread(self) -> np.ndarray:
        """Sample standard deviation of the runs at each value; NaN for a single one."""
        return np.array([mean_and_spread(values)[1] for values in self.runs.values()])

    @property
    def best(self) -> float:
        """The setting's value of the highest mean; of equal ones the smallest."""
        return self.values[int(self.mean.argmax())]


def read_curves(
    path: Union[str, os.PathLike], over: Optional[str] = None, metrics: Optional[Sequence[str]] = None
) -> List[Curve]:
    """Curves of a study's results (.json), or of a list of records (.csv).

    A study's methods that have the setting are the points, the others and its warm-up lines to compare with. A CSV file
    has a column for the setting and one for each metric, a line for each run, fractions between 0 and 1; lines
    without the setting are of what to compare with.

    Parameters
    ----------
    path
        the file
    over
        the setting's key, such as model.options.filters_per_class, of which the last word counts (a key's section may
        have changed since the study), or a CSV file's column. None: the one number in which a study's methods differ;
        a CSV file's first column
    metrics
        which metrics; None: those of a CSV file, of a study top1 and, where its classes have groups, within_group

    Raises
    ------
    UserError
        no such file, another kind of file, an unknown setting or metric, no point, or a value that is no fraction
    """
    if not os.path.isfile(path):
        raise UserError(f'no file {path}')
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in ('.json', '.csv'):
        raise UserError(f"{path}: choose a study's results (.json) or a list of records (.csv)")
    curves = _of_study(path, over, metrics) if suffix == '.json' else _of_records(path, over, metrics)
    if not curves or not curves[0].runs:
        raise UserError(f'{path}: no line has {curves[0].setting if curves else "a metric"}')
    for curve in curves:
        for values in [*curve.runs.values(), *curve.others.values()]:
            if not all(0 <= v <= 1 for v in values):
                raise UserError(f'{path}: {curve.metric} {max(values):g}; accuracies are fractions between 0 and 1')
    return curves


def _of_study(path: Union[str, os.PathLike], over: Optional[str], metrics: Any) -> List[Curve]:
    results = load_results(path)
    rows, methods = results['rows'], results['study']['methods']
    name = _swept(methods, over, path)
    drawn = {*methods, results['study'].get('warmup_row')}  # not the reference with more epochs
    value_of = {row: _numbers(methods.get(row, {})).get(name) for row in rows if row in drawn}
    there = [m for m in METRICS if all(isinstance(row.get(m), list) for row in rows.values())]
    curves = []
    for metric in list(metrics) if metrics else [m for m in ('top1', 'within_group') if m in there]:
        if metric not in there:
            raise UserError(f'{path}: the study has no {metric}; choose from {", ".join(there)}')
        runs: Dict[float, List[float]] = {}
        others: Dict[str, List[float]] = {}
        for row, value in value_of.items():
            if value is None:
                others[row] = rows[row][metric]
            else:
                runs.setdefault(value, []).extend(rows[row][metric])
        curves.append(Curve(metric, name, dict(sorted(runs.items())), others))
    return curves


def _numbers(settings: dict) -> Dict[str, float]:
    """The numeric settings of a method by the last words of their keys."""
    return {
        key.split('.')[-1]: float(value)
        for key, value in settings.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def _swept(methods: Dict[str, dict], over: Optional[str], path: Union[str, os.PathLike]) -> str:
    """The name of the setting that is drawn over."""
    values: Dict[str, set] = {}
    for settings in methods.values():
        for name, value in _numbers(settings).items():
            values.setdefault(name, set()).add(value)
    choices = [name for name, different in values.items() if len(different) > 1]
    hint = f'choose from {", ".join(choices)}' if choices else 'none of them differ in a number'
    if over is not None:
        name = over.split('.')[-1]
        if name not in values:
            raise UserError(f'{path}: no method has {over} in its settings; {hint}')
        return name
    if len(choices) != 1:
        raise UserError(f"{path}: which of its methods' settings is drawn over? --over KEY: {hint}")
    return choices[0]


def _of_records(path: Union[str, os.PathLike], over: Optional[str], metrics: Any) -> List[Curve]:
    try:
        with open(path, encoding='utf-8-sig', newline='') as stream:
            reader = csv.DictReader(stream)
            head, lines = [name for name in reader.fieldnames or () if name != 'seed'], list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f'{path}: not a CSV file') from error
    name = over.split('.')[-1] if over else (head or [''])[0]
    there = [column for column in head if column != name]
    if name not in head or not there:
        raise UserError(
            f'{path}: its first line must name the column {name if over else "of a setting"} and one for each metric, '
            f'for example {name or "n"},top1'
        )
    curves = []
    for metric in metrics or there:
        if metric not in there:
            raise UserError(f'{path} has no column {metric}; choose from {", ".join(there)}')
        runs: Dict[float, List[float]] = {}
        others: List[float] = []
        for number, line in enumerate(lines, 2):
            try:
                value, result = float(line[name] or 'nan'), float(line[metric])
            except (TypeError, ValueError):
                raise UserError(
                    f'{path}, line {number}: {name} and {metric} must be numbers ({name} may be empty)'
                ) from None
            (others if math.isnan(value) else runs.setdefault(value, [])).append(result)
        compared = {f'without {name}': others} if others else {}
        curves.append(Curve(metric, name, dict(sorted(runs.items())), compared))
    return curves


def plot_curves(curves: Sequence[Curve], path: Union[str, os.PathLike], title: str = '', label: str = '') -> None:
    """Draw each metric's mean against the setting with the spread of its runs (one sample standard deviation) and the
    runs themselves as dots; methods without it are dashed lines. PNG.

    Parameters
    ----------
    curves, path
        what to draw and where
    title, label
        of the picture and of the horizontal axis, in place of the setting's name
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(curves), 4), layout='constrained')
    for axis, curve in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves):
        _draw(axis, curve, label or curve.setting)
    runs = {len(values) for values in curves[0].runs.values()}
    band = '' if runs == {1} else f'; band: one standard deviation of {" or ".join(map(str, sorted(runs)))} runs'
    figure.suptitle((title or f'Accuracy against {curves[0].setting}') + band, fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format='png')


def _draw(axis: Any, curve: Curve, label: str) -> None:
    mean, spread = 100 * curve.mean, 100 * np.nan_to_num(curve.spread)
    axis.fill_between(curve.values, mean - spread, mean + spread, color='#2a6fbb', alpha=0.18, linewidth=0)
    axis.plot(curve.values, mean, 'o-', color='#2a6fbb', linewidth=1.6, markersize=5, label='mean', zorder=3)
    for value, results in curve.runs.items():
        if len(results) > 1:
            axis.plot([value] * len(results), 100 * np.array(results), '.', color='#2a6fbb', alpha=0.5, markersize=5)
    for number, (name, results) in enumerate(curve.others.items()):
        color = ('#b33a2c', '#1b7f5c', '#7b4fa3', '#666666')[number % 4]
        axis.axhline(100 * np.mean(results), color=color, linestyle='--', linewidth=1.2, label=name)
    axis.set_xticks(curve.values, [f'{value:g}' for value in curve.values])
    axis.set_xlabel(label, fontsize=9)
    axis.set_ylabel(f'{METRICS.get(curve.metric, curve.metric)}, %', fontsize=9)
    axis.grid(color='#e4e4e4', linewidth=0.6)
    axis.tick_params(length=0, labelsize=8)
    for side in ('top', 'right'):
        axis.spines[side].set_visible(False)
    if curve.others:
        axis.legend(fontsize=8, frameon=False)


def format_curves(curves: Sequence[Curve]) -> str:
    """A table: the setting, runs, and each metric's mean and spread in percent; then the methods without it."""
    head = [curves[0].setting, 'runs', *(f'{curve.metric} %' for curve in curves)]
    rows: List[list] = []
    for group in ('runs', 'others'):
        for key, values in getattr(curves[0], group).items():
            name = f'{key:g}' if group == 'runs' else key
            rows.append([name, len(values), *(_spread(getattr(curve, group)[key]) for curve in curves)])
    return columns(head, rows)


def _spread(values: Sequence[float]) -> str:
    mean, spread = mean_and_spread(values)
    return f'{100 * mean:.1f}' + (f' ± {100 * spread:.1f}' if len(values) > 1 else '')
