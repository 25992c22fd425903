"""What a command writes to a terminal: names of files and classes come from others, and a terminal obeys what it gets.

An escape sequence in a name could rename the window, recolor what follows or worse, and marks of direction turn it
around. Everything that commands print goes through here, so that none of them has to think of it.
"""

from __future__ import annotations

import contextlib
import re
import sys
from typing import Any, Iterator, TextIO

from ..errors import printable

# All control characters but the end of a line and the tabulator, marks of direction, separators of lines.
_OBEYED = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]')
# Progress bars go back to the beginning of their line, and up to another's.
_OF_BARS = re.compile('(\r|\x1b\\[A)')


class _Plain:
    """A stream of text that writes obeyed characters as Python writes them in strings; else the stream itself."""

    def __init__(self, stream: TextIO, bars: bool):
        self._stream, self._bars = stream, bars

    def write(self, text: str) -> int:
        if _OBEYED.search(text):
            parts = _OF_BARS.split(text) if self._bars else [text]
            text = ''.join(
                part if place % 2 else _OBEYED.sub(lambda match: printable(match.group()), part)
                for place, part in enumerate(parts)
            )
        return self._stream.write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def plain_output() -> Iterator[None]:
    """Within it, neither standard output nor standard error says anything that a terminal obeys."""
    streams = sys.stdout, sys.stderr
    if sys.stdout is not None:
        sys.stdout = _Plain(sys.stdout, bars=False)
    if sys.stderr is not None:
        sys.stderr = _Plain(sys.stderr, bars=True)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
