"""Reading lists of videos with several labels each: CSV with a column of labels, or MMAction2's lists.

CSV: columns `path` and `labels`, whose cell names classes or gives their numbers, `|` between them, and is empty where
a video shows none of them; `start` and `end` as in other lists. MMAction2's: 'path label label ...' on each line, and
for folders of frames 'path frames label label ...'.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import UserError, printable, unknown
from .datasets import VideoDataset, VideoRecord, outside
from .labels import LabelSet
from .list_labels import check_numbers, check_size
from .listed_paths import ListedPaths
from .plain_lists import Line, integer, plain_lines
from .tables import check_one_split, read_table, times
from .text_files import read_names, read_text

SEPARATOR = '|'
_NUMBERS = re.compile(r'\[?[0-9]+(?:[|,;\s]+[0-9]+)*\]?')  # '0,2,4' and '[0, 2, 4]', as scripts write them
_SEPARATORS = re.compile(r'[^0-9]+')


class LabeledRow(NamedTuple):
    """One listed video as it stands in the file: its line, from 1, and its labels, names or numbers."""

    line: int
    path: str
    labels: Tuple[str, ...]
    start: Optional[float] = None
    end: Optional[float] = None


def from_label_list(
    path: Union[str, os.PathLike],
    root: Optional[Union[str, os.PathLike]] = None,
    classes: Optional[Union[Sequence[str], LabelSet]] = None,
    name: Optional[str] = None,
    cache: str = 'none',
) -> VideoDataset:
    """Read a list of videos that have any number of labels each.

    Class names come from `classes`; else from the file `classes.txt` beside the list (one a line, in order); else they
    are the names in the list, sorted, or the numbers up to the largest.

    Parameters
    ----------
    root
        folder that relative paths start from; the list's own by default
    classes
        class names in order, or a whole `LabelSet`

    Raises
    ------
    UserError
        no such file, no row, or a row that is wrong, named by its line
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'{path}: no such list of videos')
    rows = read_labeled_rows(path, read_text(path, keep_bytes=True))
    if not rows:
        raise UserError(f'{path}: lists no video')
    beside = path.parent / 'classes.txt'
    if classes is None and beside.is_file():
        classes = read_names(beside)
    labels = classes if isinstance(classes, LabelSet) else LabelSet(tuple(classes or _named(path, rows)))
    numbers: Dict[str, int] = {name: i for i, name in reversed(list(enumerate(labels.classes)))}
    check_size(path.name, len(rows), len(labels))
    targets, records = np.zeros((len(rows), len(labels)), bool), []
    places = ListedPaths(Path(path.parent if root is None else root))
    for row, target in zip(rows, targets):
        for text in row.labels:
            number = integer(text)
            label = numbers.get(text) if number is None else number
            if label is None:
                raise UserError(f'{path.name} line {row.line}: {unknown("class", text, labels.classes)}')
            if not 0 <= label < len(labels):
                raise UserError(f'{path.name} line {row.line}: {outside(label, len(labels))}')
            target[label] = True
        first = int(target.argmax()) if target.any() else -1
        place = places.find(f'{path.name} line {row.line}', row.path)
        records.append(VideoRecord(place, first, row.start, row.end))
    return VideoDataset(
        records, labels, path.parent if root is None else root, name or str(path), cache, targets=targets
    )


def _named(path: Path, rows: List[LabeledRow]) -> List[str]:
    """The classes that a list names: its names, sorted, or the numbers up to the largest."""
    texts = sorted({text for row in rows for text in row.labels})
    if not texts:
        raise UserError(f'{path.name}: no video has a label and no class is named; give the class names in classes.txt')
    numbers = [integer(text) is not None for text in texts]
    if any(numbers) != all(numbers):
        raise UserError(
            f'{path.name}: {texts[numbers.index(True)]!r} is a number and {texts[numbers.index(False)]!r} a name; '
            'give the class names in classes.txt beside the list, or names alone'
        )
    if not all(numbers):
        return texts
    pairs = [(row.line, int(text)) for row in rows for text in row.labels]
    check_numbers(path.name, pairs, several=True)
    largest = max(number for _, number in pairs)
    return [str(number) for number in range(largest + 1)]


def read_labeled_rows(path: Path, text: str) -> List[LabeledRow]:
    """Read the rows of a list of either form; errors name the line."""
    table = read_table(path, text)
    if table is None:
        return [_plain_row(path, line) for line in plain_lines(path, text)]
    columns = table.columns
    column = columns.label if columns.labels is None else columns.labels
    if column is None:
        raise UserError(f'{table.where}: no column labels; the header has {printable(", ".join(table.header))[:200]}')
    rows: List[LabeledRow] = []
    splits: Dict[str, int] = {}
    for line, cells in table.rows():
        where = f'{path.name} line {line}'
        if not cells[columns.path]:
            raise UserError(f'{where}: an empty path')
        if columns.split is not None:
            splits.setdefault(cells[columns.split], line)
        texts = (
            _SEPARATORS.split(cells[column]) if _NUMBERS.fullmatch(cells[column]) else cells[column].split(SEPARATOR)
        )
        labels = tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))
        rows.append(LabeledRow(line, cells[columns.path], labels, *times(where, table, cells)))
    check_one_split(path.name, splits)
    return rows


def _plain_row(path: Path, line: Line) -> LabeledRow:
    """A line of MMAction2's: the numbers at its end are labels, of a folder of frames the first is their count."""
    frames = 0 if line.is_file else 1
    labels = tuple(line.class_name.split(SEPARATOR)) if line.class_name else line.numbers[frames:]
    if not labels:
        said = ' '.join((line.path, *line.numbers))[:60]
        raise UserError(
            f'{path.name} line {line.number}: {said!r} is neither "path label label ..." (a folder of frames: "path '
            'frames label ...") nor CSV, which starts with the header path,labels'
        )
    return LabeledRow(line.number, line.path, tuple(dict.fromkeys(labels)))
