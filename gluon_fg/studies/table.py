"""A study's results as a Markdown table, and the files that hold them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import List, Optional, Union

import numpy as np

from .. import safe_json
from ..errors import UserError
from ..evaluation.statistics import holm, mean_and_spread
from ..files import atomic_write

ENOUGH_SEEDS = 8  # from which on an effect may be claimed: Student's t of 7 degrees of freedom is 2.4, of 2 it is 4.3
_MARKED = 0.05


def markdown_table(results: dict) -> str:
    """The study as Markdown, in percent: mean and spread (sample standard deviation) over seeds; pairs; subsets;
    what a flat gate changes; and a line that says how to read the differences.

    Raises
    ------
    UserError
        results of version 0.1.0, whose intervals were too narrow
    """
    study = results['study']
    if any('p_value' not in row['difference'] for row in results['rows'].values()):
        raise UserError(
            'results of version 0.1.0, whose intervals over seeds were too narrow; gluon-fg study NAME with the '
            'same --out makes them anew from the finished runs'
        )
    focus = ' and '.join(study.get('focus') or [])
    lines = _rows(results, focus)
    if results.get('pairs'):
        head = ['', 'within group'] + ([focus] if focus else [])
        lines += [None, head, ['---'] * len(head)]
        parts = [[pair[key] for pair in results['pairs']] for key in (['all', 'focus'] if focus else ['all'])]
        names = [f'{pair["methods"][0]} minus {pair["methods"][1]}' for pair in results['pairs']]
        lines += map(list, zip(names, *map(_differences, parts)))
    for name, subsets in (results.get('subsets') or {}).items():
        head = [f'{name}, mean of', 'within group', f'minus {study["reference"]}']
        lines += [None, head, ['---'] * len(head)]
        differences = _differences([part['difference'] for part in subsets.values()])
        lines += [
            [key, _spread(part['within_group']), difference]
            for (key, part), difference in zip(subsets.items(), differences)
        ]
    lines += _gates(results['rows'])
    return ''.join(_line(cells) for cells in lines) + f'\n{_how_to_read(len(study["seeds"]))}\n'


def _rows(results: dict, focus: str) -> List[Optional[list]]:
    """Head and cells of the table of all rows."""
    study, rows = results['study'], results['rows']
    reference, equal_time = study['reference'], study['equal_time']
    groups = list(next(iter(rows.values()))['within_group_by_group'])
    trained = all('training_top1' in row for row in rows.values())  # results of before have none
    head = [
        '',
        'epochs',
        'CPU s',
        'lr',
        *(['training'] if trained else []),
        *groups,
        'within group',
        f'minus {reference}, equal epochs',
    ]
    head += [f'minus {reference}, equal time'] if equal_time else []
    head += [focus, f'{focus}: minus {reference}'] if focus else []
    # The reference with more epochs is not at equal epochs.
    drawn = {*study['methods'], *(study.get('fusions') or {})}
    compared = [name in drawn and name != reference for name in rows]
    equal_epochs = _differences([row['difference'] if c else None for row, c in zip(rows.values(), compared)])
    at_equal_time = _differences([row.get('difference_equal_time') for row in rows.values()])
    of_focus = _differences([row.get('difference_focus') if c else None for row, c in zip(rows.values(), compared)])
    lines: List[Optional[list]] = [head, ['---'] * len(head)]
    for i, (name, row) in enumerate(rows.items()):
        fused = row['lr'] is None  # of runs that are rows themselves
        cells = [name, '' if fused else row['epochs'], f'{np.mean(row["cpu_seconds"]):.0f}']
        cells += ['' if fused else f'{row["lr"]:g}']
        cells += ['' if fused else f'{100 * np.mean(row["training_top1"]):.1f}'] if trained else []
        cells += [f'{100 * np.mean(row["within_group_by_group"][g]):.1f}' for g in groups]
        cells += [_spread(row['within_group']), equal_epochs[i]]
        cells += [at_equal_time[i]] if equal_time else []
        cells += [_spread(row['focus']), of_focus[i]] if focus else []
        lines.append(cells)
    return lines


def _gates(rows: dict) -> List[Optional[list]]:
    """The table of what a flat gate changes, for the rows whose networks have one."""
    gated = {name: row['flat_gate'] for name, row in rows.items() if row.get('flat_gate')}
    if not gated:
        return []
    branches = list(next(iter(gated.values())))
    head = ['with a flat gate', *(f'{b}: {measure}' for b in branches for measure in ('changed', 'top-1', 'flat'))]
    keys = ('changed', 'top1', 'flat_top1')
    cells = [[name, *(_spread(gate[b][key]) for b in branches for key in keys)] for name, gate in gated.items()]
    return [None, head, ['---'] * len(head), *cells]


def _line(cells: Optional[list]) -> str:
    """A table's row, its rule, or the empty line between two tables."""
    if cells is None:
        return '\n'
    if set(cells) == {'---'}:
        return f'|{"---|" * len(cells)}\n'
    return f'| {" | ".join(map(str, cells))} |\n'.replace('|  | ', '| | ', 1 if cells[0] == '' else 0)


def _spread(values: List[float]) -> str:
    mean, spread = mean_and_spread(values)
    return f'{100 * mean:.1f}' + (f' ± {100 * spread:.1f}' if len(values) > 1 else '')


def _differences(column: List[Optional[dict]]) -> List[str]:
    """Cells of a column: differences with their intervals, and a mark where Holm's correction over the column's rows
    leaves them below 5 %."""
    there = [d for d in column if d and d['p_value'] is not None]
    corrected = {id(d): p for d, p in zip(there, holm([d['p_value'] for d in there]))}
    cells = []
    for d in column:
        interval = f' ({100 * d["low"]:+.1f} to {100 * d["high"]:+.1f})' if d and d['low'] is not None else ''
        mark = '*' if corrected.get(id(d), 1) < _MARKED else ''
        cells.append(f'{100 * d["mean"]:+.1f}{interval}{mark}' if d else '')
    return cells


def _how_to_read(seeds: int) -> str:
    if seeds < 2:
        return 'One seed: no interval, and nothing is said of others.'
    text = (
        f"Differences: 95 % intervals, paired over {seeds} seeds (Student's t), test videos resampled inside. `*`: "
        f"p < {_MARKED:g} after Holm's correction over the rows of the column."
    )
    pilot = f'\n{seeds} seeds: read it as a pilot; an effect takes {ENOUGH_SEEDS} or more.'
    return text + (pilot if seeds < ENOUGH_SEEDS else '')


def save_results(results: dict, path: Union[str, os.PathLike]) -> None:
    """Write results as JSON, and the table beside it as Markdown."""
    with atomic_write(path) as stream:
        json.dump(results, stream, separators=(',', ':'))
        stream.write('\n')
    with atomic_write(Path(path).with_suffix('.md')) as stream:
        stream.write(markdown_table(results))


def load_results(path: Union[str, os.PathLike]) -> dict:
    """The results that `save_results` wrote.

    Raises
    ------
    UserError
        no such file, or it is not a study's results
    """
    if not Path(path).is_file():
        raise UserError(f'no file {path}')
    try:
        results = safe_json.load(path, 'make it anew')
        rows, methods = results['rows'], results['study']['methods']
        understood = all(isinstance(part, dict) for part in (rows, *rows.values(), *methods.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        understood = False
    if not understood:
        raise UserError(f"{path}: not a study's results, written by gluon-fg study")
    return results
