"""What `benchmark_models` measured, as text."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from .execution import PRECISIONS
from .machine import describe


def table(result: Dict[str, Any]) -> str:
    """All networks of a run: facts about the machine, then a block for each network and size of batch."""
    lines = [describe(result['machine'])]
    for model in result['models']:
        shape = 'x'.join(map(str, model['input']))
        lines += [
            '',
            f'{model["model"]}, input {shape}: {model["flops"] / 1e9:.2f} GFLOPs, '
            f'{model["parameters"] / 1e6:.2f} M parameters',
        ]
        for batch in dict.fromkeys(row['batch'] for row in result['rows'] if row['model'] == model['model']):
            chosen = [row for row in result['rows'] if row['model'] == model['model'] and row['batch'] == batch]
            lines += block(chosen)
            rates = [
                f'{limit["precision"]} {limit["gflops"]:.0f} GFLOP/s ({limit["library"]})'
                for limit in result['limits']
                if limit['model'] == model['model'] and limit['batch'] == batch
            ]
            lines += [f'  fastest matrix product: {", ".join(rates)}'] if rates else []
    return '\n'.join(lines)


def block(rows: Sequence[Dict[str, Any]]) -> List[str]:
    """Rows of one network and size of batch, fastest first within each precision; what failed comes last."""
    if not rows:
        return []
    title = f'batch {rows[0]["batch"]}'
    heads = ('ms', 'p90', 'clips/s', 'GFLOP/s', '/GluonCV', '/limit', 'peak MB', 'ready s', 'deviation')
    lines = [f'  {title:24s} {"":9s} ' + ' '.join(f'{head:>9s}' for head in heads)]
    order = {name: place for place, name in enumerate(PRECISIONS)}
    for row in sorted((r for r in rows if 'ms' in r), key=lambda r: (order[r['precision']], r['ms'])):
        figures = (
            f'{row["ms"]:9.1f} {row["p90_ms"]:9.1f} {row["clips_per_s"]:9.2f} {row["gflops"]:9.1f} '
            f'{_number(row["over_gluoncv"], ".2f")} {_number(row["over_limit"], ".2f")} '
            f'{_number(row["peak_mb"], ".0f")} {row["ready_s"]:9.1f} {_number(row["deviation"], ".0e")}'
        )
        lines.append(f'  {_label(row):24s} {row["precision"]:9s} {figures}')
    lines += [f'  {_label(row)} {row["precision"]}: {row["problem"]}' for row in rows if 'problem' in row]
    return lines


def verdicts(result: Dict[str, Any]) -> str:
    """A line for each promise: whether it is kept, the ratio, the most that it may be, and what was compared."""
    lines = []
    for verdict in result['verdicts']:
        word = {True: 'yes', False: 'NO', None: '-'}[verdict['kept']]
        figure = f'{_number(verdict["ratio"], ".2f")} (at most {verdict["most"]:.2f})'
        lines.append(f'{word:3s} {figure}  {verdict["promise"]}: {verdict["detail"]}')
    kept = [verdict['kept'] for verdict in result['verdicts']]
    lines.append(f'{kept.count(True)} of {len(kept)} promises kept here, {kept.count(None)} not measured')
    return '\n'.join(lines)


def _label(row: Dict[str, Any]) -> str:
    return f'{row["by"]} {row["runtime"]}'.strip() + (' (auto)' if row['auto'] else '')


def _number(value: Optional[float], form: str) -> str:
    return f'{"-" if value is None else format(value, form):>9s}'
