"""Where listed files lie: lists come from other systems, whose paths and letters are written otherwise."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from typing import Iterator, Optional

from ..errors import UserError


class ListedPaths:
    """The paths of one list, as they are called on this disk.

    A path is taken as it stands wherever it can be: only one that has a backslash, a letter outside ASCII or a slash at
    its beginning is looked for, and another way to write it is taken where nothing is called so and a file is called
    that.

    Parameters
    ----------
    folder
        that relative paths start from
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._from_root: Optional[bool] = None  # whether '/train/a.mp4' means a file below the folder

    def find(self, where: str, text: str) -> str:
        """Tell where a listed file lies, as a path from the folder, or absolute.

        Raises
        ------
        UserError
            a URL, a path on another machine, or bytes that are no text and no file's name
        """
        if text.isascii() and '\\' not in text and text[0] != '~' and '://' not in text:
            return self._absolute(text) if text[0] == '/' else text
        if re.match(r'[A-Za-z][A-Za-z0-9+.-]+://', text):
            raise UserError(f'{where}: {text[:60]!r} is an address; write paths of files on this machine')
        if os.path.lexists(self.folder / text):
            return text
        for other in _spellings(text):
            if os.path.lexists(self.folder / other):
                return other
        if any('\ud800' <= letter <= '\udfff' for letter in text):
            raise UserError(
                f'{where}: {text[:60]!r} is not UTF-8, and no file is called by these bytes; save the list in UTF-8'
            )
        return _with_slashes(where, text)

    def _absolute(self, text: str) -> str:
        """Of a path with a slash at its beginning; the first one of a list says what it means there."""
        below = text.lstrip('/')
        if self._from_root is None and not os.path.lexists(text):
            self._from_root = bool(below) and os.path.lexists(self.folder / below)
        return below if self._from_root else text


def _spellings(text: str) -> Iterator[str]:
    """Other ways to write a path: with slashes, accents in one letter or two, from the user's folder."""
    for path in dict.fromkeys((text, text.replace('\\', '/'))):
        for form in ('NFC', 'NFD'):
            yield unicodedata.normalize(form, path)
        if path.startswith('~'):
            yield os.path.expanduser(path)


def _with_slashes(where: str, text: str) -> str:
    """Turn a path as Windows writes it into one with slashes; raises UserError where it begins with a drive."""
    if '\\' not in text or '/' in text:
        return text
    if re.match(r'[A-Za-z]:', text) or text.startswith('\\'):
        raise UserError(f'{where}: {text[:60]!r} is a path on another machine; write paths from the root folder on')
    return text.replace('\\', '/')
