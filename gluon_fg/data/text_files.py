"""Text files as other people's programs leave them: of any line ends, with a byte order mark or not, or no text."""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path
from typing import List, Tuple

from ..errors import UserError, printable

MAX_BYTES = 1 << 30  # of a list; one of ten million videos has less
_LOOKED_AT = 1 << 16  # bytes that are looked at before a whole file is read: most that is no text shows here
_LINE_END = re.compile('\r\n|\n|\r')


def read_text(path: Path, keep_bytes: bool = False) -> str:
    """Read a text file: UTF-8, or UTF-16 where a byte order mark says so, as some spreadsheets save it.

    Parameters
    ----------
    path
        of the file
    keep_bytes
        whether bytes that are no UTF-8 are kept as Python keeps those of file names (`os.fsencode` gives them back)

    Raises
    ------
    UserError
        it cannot be read, is no text in these encodings, or has more than `MAX_BYTES`
    """
    try:
        with open(path, 'rb') as stream:
            content = stream.read(_LOOKED_AT)
            wide = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            if not wide and b'\0' in content:  # which no path has
                raise UserError(f'{path}: is not a text file in UTF-8')
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_BYTES:
                raise UserError(f'{path}: has {size >> 20} MB; a list has {MAX_BYTES >> 20} MB at most')
            content += stream.read()
    except OSError as error:
        raise UserError(f'{path}: {error.strerror or error}') from None
    lost = 'surrogateescape' if keep_bytes and not wide else 'strict'
    try:
        text = content.decode('utf-16' if wide else 'utf-8', lost).lstrip('\ufeff')
    except UnicodeDecodeError as error:
        raise UserError(f'{path}: is not a text file in UTF-8{_place(content, error, wide)}') from None
    if '\0' in text or wide and '\ufeff' in text:  # chance has it that bytes are such a mark
        raise UserError(f'{path}: is not a text file in UTF-8')
    return text


def _place(content: bytes, error: UnicodeDecodeError, wide: bool) -> str:
    """Where a text stops being one: the line and what stands there; '' where lines cannot be told."""
    if wide:
        return ''
    line = len(_LINE_END.findall(content[: error.start].decode('latin-1'))) + 1
    start = max(content.rfind(b'\n', 0, error.start), content.rfind(b'\r', 0, error.start)) + 1
    shown = printable(os.fsdecode(content[start : error.end][:60]))
    return f" (line {line}: '{shown}'); save it in UTF-8"


def lines_of(text: str) -> List[str]:
    """Split a text where lines end on any system, and nowhere else: titles of films may have other separators."""
    lines = _LINE_END.split(text)
    return lines[:-1] if lines and not lines[-1] else lines


def said_lines(text: str) -> List[Tuple[int, str]]:
    """The lines that say something, without blanks around them, each with its number from 1."""
    return [(number, line.strip()) for number, line in enumerate(lines_of(text), 1) if line.strip()]


def read_names(path: Path) -> List[str]:
    """Read class names, one a line in the order of the labels; raises UserError for a file that is no text."""
    return [line for _, line in said_lines(read_text(path))]
