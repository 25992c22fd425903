"""Reading a list of videos: CSV with a header, or paths with numbers behind them (`plain_lists`)."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..errors import UserError
from .labels import LabelSet
from .list_labels import check_numbers
from .plain_lists import integer, plain_rows


class Row(NamedTuple):
    """One listed video as it stands in the file: its line, from 1; class name and group '' where not given.

    `start` and `end` are seconds, None where not given; `others` are further labels of a video that has several.
    """

    line: int
    path: str
    label: str
    class_name: str
    group: str
    start: Optional[float] = None
    end: Optional[float] = None
    others: Tuple[str, ...] = ()


def label_of(row: Row, labels: LabelSet) -> Optional[int]:
    """Tell a row's label: the number that stands there, else that of the class of that name, else None."""
    number = integer(row.label)
    return labels.find(row.label) if number is None else number


def read_text(path: Path) -> str:
    """Read a text file in UTF-8; raises UserError for any other."""
    try:
        text = path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError:
        text = '\0'
    except OSError as error:
        raise UserError(f'{path}: {error.strerror or error}') from None
    if '\0' in text:  # which no path has, and a text in UTF-16 is full of
        raise UserError(f'{path}: is not a text file in UTF-8')
    return text


def read_names(path: Path) -> List[str]:
    """Read class names, one a line in the order of the labels; raises UserError for a file that is no text in UTF-8."""
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def read_rows(path: Path, text: str) -> List[Row]:
    """Read the rows of a list (`readers.from_csv` describes its forms); errors name the line."""
    first = next((line for line in text.splitlines() if line.strip()), '')
    header = [cell.strip().lower() for cell in next(csv.reader([first]), [])]
    if 'youtube_id' in header and 'path' not in header:
        raise UserError(
            f'{path.name} line 1: this is an official list of Kinetics; set data.dataset=kinetics400 (or 600, 700) and '
            'data.root to its folder'
        )
    if 'path' not in header:
        return _numbered_rows(path, text)
    if 'label' not in header:
        raise UserError(f'{path.name} line 1: no column label; the header has {", ".join(header)}')
    reader = csv.reader(io.StringIO(text, newline=''), strict=True)
    rows: List[Row] = []
    try:
        next(cells for cells in reader if any(cells))  # the header
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append(_csv_row(f'{path.name} line {reader.line_num}', reader.line_num, header, cells))
    except csv.Error as error:
        raise UserError(f'{path.name} line {reader.line_num}: {error}') from error
    return rows


def _csv_row(where: str, line: int, header: List[str], cells: List[str]) -> Row:
    if len(cells) != len(header):
        raise UserError(
            f'{where}: {len(cells)} columns, the header has {len(header)} (a path with a comma stands in quotes)'
        )
    row = dict(zip(header, cells))
    if not row['path'].strip() or not row['label'].strip():
        raise UserError(f'{where}: an empty path or label')
    start, end = (seconds(where, name, row.get(name, '')) for name in ('start', 'end'))
    if start is not None and end is not None and start >= end:
        raise UserError(f'{where}: the clip ends at {end:g} s, before it starts at {start:g} s')
    class_name, group = row.get('class', '').strip(), row.get('group', '').strip()
    return Row(line, row['path'].strip(), row['label'].strip(), class_name, group, start, end)


def seconds(where: str, column: str, text: str) -> Optional[float]:
    """Read a time of the columns `start` and `end`; None for an empty cell."""
    if not text.strip():
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UserError(f'{where}: {column} {text.strip()!r} is not a time in seconds, such as 12.5')
    return seconds


def _numbered_rows(path: Path, text: str) -> List[Row]:
    rows = []
    for line, place, labels in plain_rows(path, text):
        first, *others = labels or ('-1',)
        rows.append(Row(line, place, first, '', '', others=tuple(others)))
    return rows


def labels_of(path: Path, rows: List[Row], classes: Optional[Union[Sequence[str], LabelSet]]) -> LabelSet:
    """Make the `LabelSet` of a list: given, or read from its columns; a whole column `group` gives the groups."""
    if isinstance(classes, LabelSet):
        groups = _groups(path, rows, classes)
        return classes if groups is None else LabelSet(classes.classes, groups, classes.flip_map)
    numbers = [integer(row.label) for row in rows]
    if classes is None and all(number is None for number in numbers):
        classes = sorted({row.label for row in rows})
    if classes is None:
        named: Dict[int, str] = {}
        for row, number in zip(rows, numbers):
            if number is None or number < -1:
                raise UserError(f'{path.name} line {row.line}: label {row.label[:40]!r} is not a number from 0')
            if row.class_name and number >= 0 and named.setdefault(number, row.class_name) != row.class_name:
                raise UserError(
                    f'{path.name} line {row.line}: label {number} is class {row.class_name!r} here, '
                    f'{named[number]!r} before'
                )
        pairs = [(row.line, int(text)) for row in rows for text in (row.label, *row.others)]
        check_numbers(path.name, pairs, named=bool(named))
        size = max(number for _, number in pairs) + 1
        if size < 1:
            raise UserError(f'{path.name}: no video has a label and no class is named; give the class names')
        classes = [named.get(number, str(number)) for number in range(size)]
    labels = LabelSet(tuple(classes))
    return LabelSet(labels.classes, _groups(path, rows, labels), labels.flip_map)


def _groups(path: Path, rows: List[Row], labels: LabelSet) -> Optional[Tuple[str, ...]]:
    """The group of each class by the column `group`; None where a class has none."""
    groups: Dict[int, str] = {}
    for row in rows:
        label = label_of(row, labels)
        if row.group and label is not None and groups.setdefault(label, row.group) != row.group:
            raise UserError(
                f'{path.name} line {row.line}: label {row.label} is in group {row.group!r} here, '
                f'{groups[label]!r} before'
            )
    complete = all(label in groups for label in range(len(labels)))
    return tuple(groups[label] for label in range(len(labels))) if complete else None
