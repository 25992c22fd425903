"""A study's results as a Markdown table, and the files that hold them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import List, Optional, Union

import numpy as np

from ..errors import UserError
from ..evaluation.statistics import mean_and_spread
from ..files import atomic_write


def markdown_table(results: dict) -> str:
    """The study as Markdown, in percent: mean and spread (sample standard deviation) over seeds; pairs; subsets."""
    study = results['study']
    focus = ' and '.join(study.get('focus', []))
    lines = _rows(results, focus)
    if results.get('pairs'):
        head = ['', 'within group'] + ([focus] if focus else [])
        lines += [None, head, ['---'] * len(head)]
        for pair in results['pairs']:
            parts = [pair['all']] + ([pair['focus']] if focus else [])
            lines.append([f'{pair["methods"][0]} minus {pair["methods"][1]}', *map(_interval, parts)])
    for name, subsets in results.get('subsets', {}).items():
        head = [f'{name}, mean of', 'within group', f'minus {study["reference"]}']
        lines += [None, head, ['---'] * len(head)]
        lines += [[key, _spread(part['within_group']), _interval(part['difference'])] for key, part in subsets.items()]
    return ''.join(_line(cells) for cells in lines)


def _rows(results: dict, focus: str) -> List[Optional[list]]:
    """Head and cells of the table of all rows."""
    study = results['study']
    reference, equal_time = study['reference'], study['equal_time']
    groups = list(next(iter(results['rows'].values()))['within_group_by_group'])
    head = ['', 'epochs', 'CPU s', 'lr', *groups, 'within group', f'minus {reference}, equal epochs']
    head += [f'minus {reference}, equal time'] if equal_time else []
    head += [focus, f'{focus}: minus {reference}'] if focus else []
    lines: List[Optional[list]] = [head, ['---'] * len(head)]
    for name, row in results['rows'].items():
        # The reference with more epochs is not at equal epochs.
        compared = name in study['methods'] and name != reference
        cells = [name, row['epochs'], f'{np.mean(row["cpu_seconds"]):.0f}', f'{row["lr"]:g}']
        cells += [f'{100 * np.mean(row["within_group_by_group"][g]):.1f}' for g in groups]
        cells += [_spread(row['within_group']), _interval(row['difference']) if compared else '']
        cells += [_interval(row.get('difference_equal_time'))] if equal_time else []
        cells += [_spread(row['focus']), _interval(row['difference_focus']) if compared else ''] if focus else []
        lines.append(cells)
    return lines


def _line(cells: Optional[list]) -> str:
    """A table's row, its rule, or the empty line between two tables."""
    if cells is None:
        return '\n'
    if set(cells) == {'---'}:
        return f'|{"---|" * len(cells)}\n'
    return f'| {" | ".join(map(str, cells))} |\n'.replace('|  | ', '| | ', 1 if cells[0] == '' else 0)


def _spread(values: List[float]) -> str:
    mean, spread = mean_and_spread(values)
    return f'{100 * mean:.1f} ± {100 * spread:.1f}'


def _interval(d: Optional[dict]) -> str:
    return f'{100 * d["mean"]:+.1f} ({100 * d["low"]:+.1f} to {100 * d["high"]:+.1f})' if d else ''


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
        results = json.loads(Path(path).read_text(encoding='utf-8'))
        rows, methods = results['rows'], results['study']['methods']
        understood = all(isinstance(part, dict) for part in (rows, *rows.values(), *methods.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        understood = False
    if not understood:
        raise UserError(f"{path}: not a study's results, written by gluon-fg study")
    return results
