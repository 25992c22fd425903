"""Groups of look-alike classes in a file of their own: `groups.csv`, which lies beside the classes.

A table with the header `class,group` and a row for each class; commas, semicolons or tabs between the columns, as
spreadsheets have them. A dataset folder or a run that has such a file is read with its groups.
"""

from __future__ import annotations

import csv
import io
import logging
import os
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Set, Tuple, Union

from ..errors import UserError, printable, unknown
from ..files import atomic_write
from .labels import LabelSet
from .tables import DELIMITERS, cells_of
from .text_files import lines_of, read_text

logger = logging.getLogger(__name__)

FILE = 'groups.csv'
COLUMNS = ['class', 'group']
_said: Set[str] = set()


def read_groups(path: Union[str, os.PathLike], classes: Sequence[str]) -> Tuple[str, ...]:
    """Read the group of each class from a `groups.csv`: M names in the order of the classes.

    A class may be spelled in another way where no other can be meant (`LabelSet.find`). Rows of classes that are not
    in the list are passed over, as long as every class of the list has its own: a part of a dataset's classes can so be
    read by the file of all of them.

    Parameters
    ----------
    path
        the file
    classes
        names of the M classes

    Raises
    ------
    UserError
        one line that names the file and the line in it: no such file, no text, another header, a row without class or
        group, a class in two groups, or one that has none
    """
    path, labels = Path(path), LabelSet(tuple(classes))
    groups: Dict[int, str] = {}
    strange: List[str] = []
    for line, name, group in _rows(path):
        if not name or not group:
            raise UserError(f'{path} line {line}: no {"group" if name else "class"}; write class,group')
        if printable(group) != group:
            raise UserError(f"{path} line {line}: group '{printable(group)}' has a control character; rename it")
        label = labels.find(name)
        if label is None:
            strange.append(name)
        elif groups.setdefault(label, group) != group:
            raise UserError(
                f'{path} line {line}: class {name!r} is in group {group!r} here, {groups[label]!r} before; '
                'a class has one group'
            )
    without = [name for label, name in enumerate(labels.classes) if label not in groups]
    if without:
        hint = f' ({unknown("class", strange[0], without)})' if strange else ''
        raise UserError(
            f'{path}: {len(without)} of {len(labels)} classes have no group, such as {without[0]!r}{hint}; '
            'give each class a row class,group'
        )
    return tuple(groups[label] for label in range(len(labels)))


def _rows(path: Path) -> List[Tuple[int, str, str]]:
    """Each row's line, from 1, its class and its group."""
    lines = lines_of(read_text(path))
    start = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith(('# ', 'sep='))), -1)
    first = lines[start] if start >= 0 else ''
    for delimiter in DELIMITERS:
        header = [cell.lower() for cell in cells_of(first, delimiter)]
        if set(COLUMNS) <= set(header):
            break
    else:
        shown = printable(first)[:60]
        raise UserError(f"{path}: its first line is '{shown}', not a header with the columns class and group")
    name, group = (header.index(column) for column in COLUMNS)
    stream = io.StringIO('\n'.join(lines[start + 1 :]), newline='')
    reader = csv.reader(stream, delimiter=delimiter, strict=True, skipinitialspace=True)
    rows: List[Tuple[int, str, str]] = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                cells += [''] * (len(header) - len(cells))
                rows.append((start + 1 + reader.line_num, cells[name].strip(), cells[group].strip()))
    except csv.Error as error:
        raise UserError(f'{path} line {start + 1 + reader.line_num}: {error}') from error
    return rows


def write_groups(path: Union[str, os.PathLike], classes: Sequence[str], groups: Sequence[str]) -> None:
    """Write what `read_groups` reads, atomically: a row for each class, in the order of the classes."""
    with atomic_write(path) as stream:
        writer = csv.writer(stream, lineterminator='\n')
        writer.writerow(COLUMNS)
        writer.writerows(zip(classes, groups))


def with_groups_beside(labels: LabelSet, *folders: Union[str, os.PathLike, None]) -> LabelSet:
    """Give classes without groups those of the `groups.csv` in the first of some folders that has one.

    A log line says so once. A file of that name that does not fit these classes is another's, or has a mistake: the
    log says that, too, and the classes stay without groups.

    Parameters
    ----------
    labels
        the classes; where they have groups, these stay
    folders
        where to look, the first that has a file taken; None among them is skipped
    """
    groups: Optional[Tuple[str, ...]] = None
    path = next((Path(folder, FILE) for folder in folders if folder and Path(folder, FILE).is_file()), None)
    if labels.groups is not None or path is None:
        return labels
    try:
        groups = read_groups(path, labels.classes)
        line = f'{path}: {len(set(groups))} groups of {len(labels)} classes are taken'
    except UserError as error:
        line = f'{error}; the classes stay without groups'
    if line not in _said:
        _said.add(line)
        logger.warning('%s', line)
    return LabelSet(labels.classes, groups, labels.flip_map)
