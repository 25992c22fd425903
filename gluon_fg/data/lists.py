"""Reading a list of videos: CSV with a header, or paths with numbers behind them (`plain_lists`)."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..errors import UserError, printable
from .labels import LabelSet
from .list_labels import check_numbers, check_numeric_names, check_texts
from .plain_lists import integer, plain_rows
from .tables import cell, check_one_split, read_table, times


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


def read_rows(path: Path, text: str) -> List[Row]:
    """Read the rows of a list (`readers.from_csv` describes its forms); errors name the line."""
    table = read_table(path, text)
    if table is None:
        return _numbered_rows(path, text)
    columns, header = table.columns, table.header
    if columns.label is None and len(header) > 1:
        several = ', or set data.dataset=multilabel' if columns.labels is not None else ''
        raise UserError(f'{table.where}: no column label; the header has {printable(", ".join(header))[:200]}{several}')
    rows: List[Row] = []
    splits: Dict[str, int] = {}
    for line, cells in table.rows():
        where = f'{path.name} line {line}'
        label = '-1' if columns.label is None else cells[columns.label]
        if not cells[columns.path] or not label:
            raise UserError(f'{where}: an empty path or label')
        if columns.split is not None:
            splits.setdefault(cells[columns.split], line)
        start, end = times(where, table, cells)
        class_name, group = cell(cells, columns.class_name), cell(cells, columns.group)
        rows.append(Row(line, cells[columns.path], label, class_name, group, start, end))
    check_one_split(path.name, splits)
    return rows


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
    if classes is not None:
        placed = ((row.line, number) for row, number in zip(rows, numbers) if number is not None and not row.class_name)
        check_numeric_names(path.name, classes, placed)
    if classes is None and all(number is None for number in numbers):
        check_texts(path.name, ((row.line, row.label) for row in rows))
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
            example = rows[0].path[:60]
            raise UserError(
                f'{path.name}: no video has a label and no class is named (it lists {example!r} and so on); give '
                'labels, or the class names'
            )
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
