"""Lists as tables: CSV as spreadsheets and scripts write it, with a header that names the columns."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from ..errors import UserError, printable
from .text_files import lines_of

DELIMITERS = (',', ';', '\t')

# What columns are called, the first that is there taken. Names with `frame` are refused where they would be times.
_PATHS: Tuple[str, ...] = ('path', 'video_path', 'file_path', 'filepath', 'clip_path', 'image_path', 'filename')
_PATHS = (*_PATHS, 'file_name', 'file', 'video', 'image', 'video_file', 'video_name', 'clip_name')
_NUMBERS = ('label_id', 'class_id', 'label_idx', 'class_idx', 'label_index', 'class_index', 'target')
_NAMES = ('class_name', 'label_name', 'class', 'category', 'action', 'tag')
_SEVERAL = ('labels', 'label_indices', 'label_ids')
_STARTS = ('start', 'start_time', 'start_seconds', 'start_sec', 'time_start', 't_start')
_ENDS = ('end', 'end_time', 'end_seconds', 'end_sec', 'time_end', 't_end')
_FRAMES = ('start_frame', 'end_frame', 'stop_frame')
_SPLITS = ('split', 'subset')


class Columns(NamedTuple):
    """Where a table has what: the place of each column, None where there is none."""

    path: int
    label: Optional[int]
    class_name: Optional[int]
    labels: Optional[int]
    group: Optional[int]
    start: Optional[int]
    end: Optional[int]
    split: Optional[int]


class Table:
    """A list with a header: its columns, and the rows below.

    Parameters
    ----------
    name
        of the file, for messages
    text
        all of it
    header
        names of the columns, small letters
    delimiter
        what stands between them
    line
        the header's, from 1
    """

    def __init__(self, name: str, text: str, header: List[str], delimiter: str, line: int):
        self.name, self.header, self._text, self._delimiter, self._line = name, header, text, delimiter, line
        self.where = f'{name} line {line}'  # of the header
        self.columns = _columns(self.where, header)

    def rows(self) -> Iterator[Tuple[int, List[str]]]:
        """Give each row's line, from 1, and its cells without blanks around them; raises UserError by line."""
        stream = io.StringIO(self._text, newline='')
        for _ in range(self._line):
            stream.readline()
        reader = csv.reader(stream, delimiter=self._delimiter, strict=True, skipinitialspace=True)
        try:
            for cells in reader:
                cells = [cell.strip() for cell in cells]
                if any(cells):
                    line = self._line + reader.line_num
                    yield line, self._whole(f'{self.name} line {line}', cells)
        except csv.Error as error:
            raise UserError(f'{self.name} line {self._line + reader.line_num}: {error}') from error

    def _whole(self, where: str, cells: List[str]) -> List[str]:
        count = len(self.header)
        if len(cells) > count and not any(cells[count:]):  # as spreadsheets end lines
            return cells[:count]
        if len(cells) != count:
            quoted = ' (a path with a comma stands in quotes)' if self._delimiter == ',' else ''
            raise UserError(f'{where}: {len(cells)} columns, the header has {count}{quoted}')
        return cells


def read_table(path: Path, text: str) -> Optional[Table]:
    """Read a list's header; None where its first line is none, as in lists with a path and numbers on each line.

    What stands between columns is a comma, a semicolon or a tab. Comments (#) before the header and a spreadsheet's
    line 'sep=;' are passed over.

    Raises
    ------
    UserError
        a header that lacks a column, or has one twice; or that of an official list that is read by its dataset
    """
    for number, line in enumerate(lines_of(text), 1):
        plain = line.strip().strip('\ufeff')
        if not plain or plain.startswith('# ') or re.fullmatch(r'sep=.', plain):
            continue
        for delimiter in DELIMITERS:
            header = [cell.lower().replace(' ', '_') for cell in cells_of(plain.lstrip('#'), delimiter)]
            _check_official(f'{path.name} line {number}', header)
            named = 'path' in header or (set(_PATHS) & set(header) and _label_columns(header))
            if named and (len(header) > 1 or delimiter == DELIMITERS[-1]):
                return Table(path.name, text, header, delimiter, number)
        return None
    return None


def cells_of(line: str, delimiter: str) -> List[str]:
    """A line's cells, without blanks around them; none where its quotes do not close, or it is endless."""
    try:
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []
    return [cell.strip() for cell in cells]


def _check_official(where: str, header: List[str]) -> None:
    """Refuse lists whose rows only their dataset's reader understands, by their headers."""
    video = {'youtube_id', 'youtube_identifier', 'video-id'} & set(header)
    if video and {'time_start', 'start_time', 'start-time'} & set(header) and 'path' not in header:
        raise UserError(
            f'{where}: this is an official list of Kinetics; set data.dataset=kinetics400 (or 600, 700) and '
            'data.root to its folder'
        )
    if {'narration_id', 'video_id'} <= set(header):
        raise UserError(
            f'{where}: this is an official list of EPIC-KITCHENS; write one with the header path,label,start,end '
            '(seconds), its verb_class or noun_class as label'
        )


def _label_columns(header: List[str]) -> List[str]:
    return [name for name in ('label', *_SEVERAL, *_NUMBERS, *_NAMES) if name in header]


def _columns(where: str, header: List[str]) -> Columns:
    twice = sorted({name for name in header if name and header.count(name) > 1 and name in _KNOWN})
    if twice:
        raise UserError(f'{where}: the column {twice[0]} stands twice in the header')
    frames = [name for name in _FRAMES if name in header]
    start, end = _first(header, _STARTS), _first(header, _ENDS)
    if frames and start is None and end is None:
        raise UserError(
            f'{where}: the column {frames[0]} counts frames; give seconds in columns start and end, or leave it out '
            'where files are to be read whole'
        )
    label = _first(header, ('label', *_NUMBERS, *_NAMES))
    names = [name for name in ('class', 'class_name', 'label_name') if name in header]
    named = next((header.index(name) for name in names if header.index(name) != label), None)
    place = _first(header, _PATHS)
    assert place is not None
    several, group, split = (_first(header, names) for names in (_SEVERAL, ('group',), _SPLITS))
    return Columns(place, label, named, several, group, start, end, split)


_KNOWN = {'label', 'group', *_PATHS, *_NUMBERS, *_NAMES, *_SEVERAL, *_STARTS, *_ENDS, *_SPLITS}


def _first(header: List[str], names: Tuple[str, ...]) -> Optional[int]:
    return next((header.index(name) for name in names if name in header), None)


def cell(cells: List[str], place: Optional[int]) -> str:
    """A row's cell in a column, '' where the table has none."""
    return '' if place is None else cells[place]


def check_one_split(name: str, splits: Dict[str, int]) -> None:
    """Refuse a table of several splits, whose rows would all be one.

    Parameters
    ----------
    name
        of the list
    splits
        what stands in its column of splits -> the first line
    """
    if len(splits) > 1:
        shown = ', '.join(map(printable, sorted(splits)))
        raise UserError(
            f'{name} line {max(splits.values())}: the list has videos of the splits {shown[:100]}; write a list for '
            'each, train.csv, val.csv and so on'
        )


def times(where: str, table: Table, cells: List[str]) -> Tuple[Optional[float], Optional[float]]:
    """Read a row's start and end in seconds, None where they are not given; raises UserError."""
    columns = table.columns
    start, end = (
        _seconds(where, table.header[place], cells[place]) if place is not None else None
        for place in (columns.start, columns.end)
    )
    if start is not None and end is not None and start >= end:
        raise UserError(f'{where}: the clip ends at {end:g} s, before it starts at {start:g} s')
    return start, end


def _seconds(where: str, column: str, text: str) -> Optional[float]:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UserError(f'{where}: {column} {text[:40]!r} is not a time in seconds, such as 12.5')
    return seconds
