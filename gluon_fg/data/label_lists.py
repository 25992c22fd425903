"""Reading lists of videos with several labels each: CSV with a column of labels, or MMAction2's lists.

CSV: columns `path` and `labels`, whose cell names classes or gives their numbers, `|` between them, and is empty where
a video shows none of them; `start` and `end` as in other lists. MMAction2's: 'path label label ...' on each line, and
for folders of frames 'path frames label label ...'.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import UserError, unknown
from .datasets import VideoDataset, VideoRecord, outside
from .labels import LabelSet
from .lists import read_names, read_text, seconds
from .plain_lists import integer, mended_path, split_line

SEPARATOR = '|'


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
    rows = read_labeled_rows(path, read_text(path))
    if not rows:
        raise UserError(f'{path}: lists no video')
    beside = path.parent / 'classes.txt'
    if classes is None and beside.is_file():
        classes = read_names(beside)
    labels = classes if isinstance(classes, LabelSet) else LabelSet(tuple(classes or _named(path, rows)))
    numbers: Dict[str, int] = {name: i for i, name in reversed(list(enumerate(labels.classes)))}
    targets, records = np.zeros((len(rows), len(labels)), bool), []
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
        records.append(VideoRecord(row.path, first, row.start, row.end))
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
    largest = max(map(int, texts))
    if largest >= 100 * len(rows):
        raise UserError(
            f'{path.name}: label {largest} in a list of {len(rows)} videos; give the class names in classes.txt'
        )
    return [str(number) for number in range(largest + 1)]


def read_labeled_rows(path: Path, text: str) -> List[LabeledRow]:
    """Read the rows of a list of either form; errors name the line."""
    first = next((line for line in text.splitlines() if line.strip()), '')
    header = [cell.strip().lower() for cell in next(csv.reader([first]), [])]
    if 'path' not in header:
        return [_plain_row(path, number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    column = next((name for name in ('labels', 'label') if name in header), None)
    if column is None:
        raise UserError(f'{path.name} line 1: no column labels; the header has {", ".join(header)}')
    reader = csv.reader(io.StringIO(text, newline=''), strict=True)
    rows: List[LabeledRow] = []
    try:
        next(cells for cells in reader if any(cells))  # the header
        for cells in reader:
            if any(cell.strip() for cell in cells):
                where = f'{path.name} line {reader.line_num}'
                if len(cells) != len(header):
                    raise UserError(f'{where}: {len(cells)} columns, the header has {len(header)}')
                row = dict(zip(header, cells))
                if not row['path'].strip():
                    raise UserError(f'{where}: an empty path')
                labels = tuple(dict.fromkeys(cell.strip() for cell in row[column].split(SEPARATOR) if cell.strip()))
                times = [seconds(where, name, row.get(name, '')) for name in ('start', 'end')]
                rows.append(LabeledRow(reader.line_num, row['path'].strip(), labels, *times))
    except csv.Error as error:
        raise UserError(f'{path.name} line {reader.line_num}: {error}') from error
    return rows


def _plain_row(path: Path, number: int, line: str) -> LabeledRow:
    """A line of MMAction2's: the numbers at its end are labels, of a folder of frames the first is their count."""
    name, numbers, is_file = split_line(line.strip())
    frames = 0 if is_file else 1
    if not name or len(numbers) < 1 + frames:
        raise UserError(
            f'{path.name} line {number}: {line.strip()[:60]!r} is neither "path label label ..." (a folder of frames: '
            '"path frames label ...") nor CSV, which starts with the header path,labels'
        )
    place = mended_path(f'{path.name} line {number}', name)
    return LabeledRow(number, place, tuple(dict.fromkeys(numbers[frames:])))
