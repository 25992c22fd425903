"""Numbers and tables in plain text."""

from __future__ import annotations

from typing import List, Optional


def percent(value: Optional[float], sign: bool = False) -> str:
    """Write a fraction in percent: '81.2' for 0.812, '-' for None; with `sign` always '+' or '-' in front."""
    return '-' if value is None else f'{100 * value:{"+" if sign else ""}.1f}'


def columns(header: List[str], rows: List[list]) -> str:
    """Set a table in plain text: the first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        '  '.join(
            cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in cells
    ]
    return '\n'.join([lines[0], '-' * len(lines[0]), *lines[1:]])
