"""Lists with a video on each line and numbers behind it, as GluonCV, MMAction2 and TSM write them.

'path label', 'path frames label', and where videos have several labels 'path label label ...' of files and 'path frames
label label ...' of folders of frames. Paths keep their blanks.
"""

from __future__ import annotations

import functools
import logging
import re
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Set, Tuple

from ..errors import UserError, printable
from .datasets import VIDEO_SUFFIXES
from .tables import DELIMITERS, cells_of
from .text_files import said_lines
from .video import IMAGE_SUFFIXES

logger = logging.getLogger(__name__)

_SUFFIXES = (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)
DIGITS = 18  # of a number in a list
_INTEGER = re.compile(rf'[-+]?[0-9]{{1,{DIGITS}}}')
_FILE = rf'\S.*(?:{"|".join(map(re.escape, _SUFFIXES))})'
_NAMED = re.compile(rf'({_FILE})\s+(\S.*)', re.IGNORECASE)
_LABEL_FIRST = re.compile(rf'([-+]?[0-9]{{1,18}})\s*[,;\t](?!\s*[-+]?[0-9]+\s*[,;\t])\s*({_FILE})', re.IGNORECASE)


class PlainRow(NamedTuple):
    """A line of such a list: its number from 1, the path, and its labels as they stand there; none: unknown."""

    line: int
    path: str
    labels: Tuple[str, ...]


def plain_rows(path: Path, text: str) -> List[PlainRow]:
    """Read the lines; errors name theirs.

    How many numbers stand behind the paths says what they are: two behind every path are frames and label, and one is
    the label. Where lines have three or more, or one and two of which the first is no count of frames, they are several
    labels, behind the frames of a folder. A list of paths alone has no labels. Commas, semicolons or tabs may stand in
    place of blanks, and behind files the name of a class in place of its number.

    Raises
    ------
    UserError
        a line that is none of this, three numbers behind every folder (MMAction2's lists with an offset), or labels on
        some lines alone
    """
    lines = plain_lines(path, text)
    if lines and lines[0].class_name:
        return [PlainRow(line.number, line.path, (line.class_name,)) for line in lines]
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
        rows.append(PlainRow(line.number, line.path, line.numbers[first:]))
    if counts == {2} and not several:
        _check_frames(path, lines)
        _tell_column(path, lines)
    return rows


class Line(NamedTuple):
    """A line taken apart: its number, the path, the numbers behind it, whether the path is a file's; a class's name."""

    number: int
    path: str
    numbers: Tuple[str, ...]
    is_file: bool
    class_name: str = ''


def plain_lines(path: Path, text: str) -> List[Line]:
    """Take the lines of a list apart, all in the way of the first; comments, which begin with '# ', are left out.

    Raises
    ------
    UserError
        a line of another form, named by its number
    """
    said = [(number, line) for number, line in said_lines(text) if not line.startswith('# ') and line != '#']
    split = _way(said[0][1]) if said else _by_blanks
    lines = []
    for number, text_of in said:
        parts = split(text_of)
        if parts is None:
            if text_of[0] in '{[':
                raise UserError(f'{path.name} line {number}: JSON is no list; write CSV with the header path,label')
            raise UserError(
                f'{path.name} line {number}: {text_of[:60]!r} is neither "path frames label" nor CSV, which '
                'starts with the header path,label'
            )
        lines.append(Line(number, *parts))
    return lines


Parts = Tuple[str, Tuple[str, ...], bool, str]  # path, numbers, whether it is a file's, name of a class
Way = Callable[[str], Optional[Parts]]


def has_label(line: str) -> bool:
    """Whether a line of a list says more than a path."""
    parts = _way(line)(line)
    return parts is not None and bool(parts[1] or parts[3])


def _way(first: str) -> Way:
    """How the lines of a list are taken apart, by its first one."""
    if _LABEL_FIRST.fullmatch(first):
        return _by_label
    ways: List[Way] = [functools.partial(_by_delimiter, delimiter) for delimiter in DELIMITERS]
    ways.append(_by_names)
    return next((way for way in ways if _by_blanks(first) is None and way(first)), _by_blanks)


def _by_blanks(line: str) -> Optional[Parts]:
    name, numbers, is_file = split_line(line)
    if not name or name.endswith(DELIMITERS) or not (is_file or numbers):
        return None
    return name, numbers, is_file, ''


def _by_delimiter(delimiter: str, line: str) -> Optional[Parts]:
    name, *cells = cells_of(line, delimiter) or ['']
    if not name or not cells or not all(cells):
        return None
    is_file = name.lower().endswith(_SUFFIXES)
    if all(integer(cell) is not None for cell in cells):
        return name, tuple(cells), is_file, ''
    return (name, (), True, cells[0]) if is_file and len(cells) == 1 else None


def _by_label(line: str) -> Optional[Parts]:
    """Of '0, a.mp4', where all lines begin with a number."""
    match = _LABEL_FIRST.fullmatch(line)
    return (match.group(2), (match.group(1),), True, '') if match else None


def _by_names(line: str) -> Optional[Parts]:
    """Of 'run/a b.mp4 running', which no number follows."""
    match = _NAMED.fullmatch(line)
    return (match.group(1), (), True, match.group(2)) if match else None


def _several(lines: List[Line], counts: Set[int]) -> bool:
    """Whether the numbers are several labels."""
    if max(counts) > 2:
        return True
    pairs = [(int(line.numbers[0]), int(line.numbers[1])) for line in lines if line.is_file and len(line.numbers) == 2]
    if not pairs:
        return False
    if min(first for first, _ in pairs) < 1:
        return True  # no film has 0 frames
    return counts == {1, 2} and min(pair[0] for pair in pairs) <= max(int(line.numbers[-1]) for line in lines)


def split_line(line: str) -> Tuple[str, Tuple[str, ...], bool]:
    """Take a line apart: the path ('' where there is none), the numbers behind it, and whether the path is a file's."""
    words = line.rsplit(None, 2)
    if len(words) == 3 and integer(words[1]) is None and integer(words[2]) is not None:  # most lines, in less time
        name, numbers = line[: -len(words[2])].strip(), [words[2]]
    else:
        places = list(re.finditer(r'\S+', line))
        count = len(places)
        while count > 1 and integer(places[count - 1].group()) is not None:
            count -= 1
        name = line[places[0].start() : places[count - 1].end()] if places else ''
        numbers = [place.group() for place in places[count:]]
    if len(name) > 2 and name[0] == name[-1] and name[0] in '"\'' and name[1:-1].lower().endswith(_SUFFIXES):
        name = name[1:-1]
    return name, tuple(numbers), name.lower().endswith(_SUFFIXES)


def _check_frames(path: Path, lines: List[Line]) -> None:
    """Refuse counts of frames that differ for one film: they say where clips of it begin, as in lists made for C3D."""
    frames: Dict[str, str] = {}
    for line in lines:
        first = frames.setdefault(line.path, line.numbers[0])
        if first != line.numbers[0]:
            raise UserError(
                f'{path.name} line {line.number}: {line.path[:60]!r} was listed with {first} frames, now '
                f'with {line.numbers[0]}; where these are the first frames of clips, write a CSV list '
                'with the header path,label,start,end (seconds), or each film once'
            )


def _tell_column(path: Path, lines: List[Line]) -> None:
    """Say which of two numbers is the label where the other could be one, too."""
    if max(int(line.numbers[0]) for line in lines) <= max(int(line.numbers[1]) for line in lines) + 1:
        logger.warning(
            '%s: of two numbers behind each path the first is taken as the count of frames, the second as the label; '
            'for several labels of a video set data.dataset=multilabel',
            printable(path.name),
        )


def integer(text: str) -> Optional[int]:
    """Read a number as lists have it; None for any other text ('1_0' and digits of other scripts, too)."""
    if text.isdecimal() and text.isascii():  # most of them, in less time
        return int(text) if len(text) <= DIGITS else None
    return int(text) if _INTEGER.fullmatch(text) else None
