"""Lists with a video on each line and numbers behind it, as GluonCV, MMAction2 and TSM write them.

'path label', 'path frames label', and where videos have several labels 'path label label ...' of files and 'path frames
label label ...' of folders of frames. Paths keep their blanks.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Set, Tuple

from ..errors import UserError
from .datasets import VIDEO_SUFFIXES
from .video import IMAGE_SUFFIXES

logger = logging.getLogger(__name__)

_SUFFIX = '|'.join(re.escape(suffix) for suffix in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES))
_NUMBERS = r'((?:\s+[-+]?[0-9]{1,18})*)'
_FILE = re.compile(rf'(.*(?:{_SUFFIX})){_NUMBERS}', re.IGNORECASE)
_FOLDER = re.compile(rf'(.*?\S){_NUMBERS}')


class PlainRow(NamedTuple):
    """A line of such a list: its number from 1, the path, and its labels as they stand there; none: unknown."""

    line: int
    path: str
    labels: Tuple[str, ...]


def plain_rows(path: Path, text: str) -> List[PlainRow]:
    """Read the lines; errors name theirs.

    How many numbers stand behind the paths says what they are: two behind every path are frames and label, and one is
    the label. Where lines have three or more, or one and two of which the first is no count of frames, they are several
    labels, behind the frames of a folder. A list of paths alone has no labels.

    Raises
    ------
    UserError
        a line that is none of this, three numbers behind every folder (MMAction2's lists with an offset), or labels on
        some lines alone
    """
    lines = [_split(path, number, line.strip()) for number, line in _said(text)]
    counts = {len(line.numbers) for line in lines}
    if counts <= {0}:
        return [PlainRow(line.number, line.path, ()) for line in lines]
    for line in lines:
        if not line.numbers:
            raise UserError(f'{path.name} line {line.number}: no label behind the path, but other lines have one')
    several = _several(lines, counts)
    if counts == {3} and not any(line.is_file for line in lines):
        raise UserError(
            f'{path.name} line {lines[0].number}: three numbers behind every path, as of clips with an offset; write a '
            'CSV list with the header path,label,start,end (seconds)'
        )
    rows = []
    for line in lines:
        first = len(line.numbers) - 1 if not several else 0 if line.is_file else 1
        if first == len(line.numbers):
            raise UserError(f'{path.name} line {line.number}: no label behind the count of frames')
        rows.append(PlainRow(line.number, line.path, tuple(line.numbers[first:])))
    if counts == {2} and not several:
        _tell_column(path, lines)
    return rows


class _Line(NamedTuple):
    """A line taken apart: its number, the path, the numbers behind it, whether the path is a file's."""

    number: int
    path: str
    numbers: List[str]
    is_file: bool


def _said(text: str) -> Iterator[Tuple[int, str]]:
    return ((number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip())


def _several(lines: List[_Line], counts: Set[int]) -> bool:
    """Whether the numbers are several labels."""
    if max(counts) > 2:
        return True
    pairs = [(int(line.numbers[0]), int(line.numbers[1])) for line in lines if line.is_file and len(line.numbers) == 2]
    if not pairs:
        return False
    if min(first for first, _ in pairs) < 1:
        return True  # no film has 0 frames
    return counts == {1, 2} and min(pair[0] for pair in pairs) <= max(int(line.numbers[-1]) for line in lines)


def split_line(line: str) -> Tuple[str, List[str], bool]:
    """Take a line apart: the path ('' where there is none), the numbers behind it, and whether the path is a file's."""
    file = _FILE.fullmatch(line)
    match = file or _FOLDER.fullmatch(line)
    return (match.group(1), match.group(2).split(), file is not None) if match else ('', [], False)


def _split(path: Path, number: int, line: str) -> _Line:
    name, numbers, is_file = split_line(line)
    if not name or name.endswith(',') or (not is_file and not numbers):
        raise UserError(
            f'{path.name} line {number}: {line[:60]!r} is neither "path frames label" nor CSV, which starts with the '
            'header path,label'
        )
    return _Line(number, name, numbers, is_file)


def _tell_column(path: Path, lines: List[_Line]) -> None:
    """Say which of two numbers is the label where the other could be one, too."""
    if max(int(line.numbers[0]) for line in lines) <= max(int(line.numbers[1]) for line in lines) + 1:
        logger.warning(
            '%s: of two numbers behind each path the first is taken as the count of frames, the second as the label; '
            'for several labels of a video set data.dataset=multilabel',
            path.name,
        )


def mended_path(where: str, text: str) -> str:
    """Turn a path as Windows writes it into one with slashes; raises UserError where it begins with a drive."""
    if '\\' not in text or '/' in text:
        return text
    if re.match(r'[A-Za-z]:', text) or text.startswith('\\'):
        raise UserError(f'{where}: {text[:60]!r} is a path on another machine; write paths from the root folder on')
    return text.replace('\\', '/')


def integer(text: str) -> Optional[int]:
    """Read a number as lists have it; None for any other text ('1_0' and digits of other scripts, too)."""
    return int(text) if re.fullmatch(r'[-+]?[0-9]{1,18}', text) else None
