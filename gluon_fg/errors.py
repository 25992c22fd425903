"""What the user sees when something they gave is wrong: one line that names the thing, the value and a valid choice."""

from __future__ import annotations

import difflib
import sys
from typing import Callable, Iterable, Optional


class UserError(ValueError):
    """A mistake in what the user gave (name, value, file); its text is the whole message, on one line."""


class VideoError(UserError):
    """A video that cannot be read.

    Parameters
    ----------
    path
        the file, as the user named it
    reason
        what is wrong with it, without the path
    """

    def __init__(self, path: str, reason: str):
        super().__init__(printable(f'{path}: {reason}'))
        self.path, self.reason = str(path), reason


def printable(text: str) -> str:
    """Write what a terminal would obey, or does not show, as Python writes it in strings.

    Names of files and classes come from others: an escape sequence in one could rename the window or worse, and marks
    of direction turn around what follows them.
    """
    return ''.join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def unknown(kind: str, value: object, choices: Iterable[str]) -> UserError:
    """The error for a name that does not exist: suggests the closest one, or lists all where they are few."""
    choices = sorted(choices)
    close = difflib.get_close_matches(str(value), choices, n=3, cutoff=0.6)
    if close:
        hint = 'did you mean ' + ' or '.join(repr(c) for c in close) + '?'
    elif len(choices) <= 12:
        hint = 'choose from ' + ', '.join(choices)
    else:
        hint = f'there are {len(choices)}, for example {", ".join(choices[:4])}'
    return UserError(f'unknown {kind} {str(value)!r}; {hint}')


def run(main: Callable[[], Optional[int]]) -> None:
    """Call a script's `main` and exit: 2 and one line for a user's mistake, 130 when interrupted.

    Any other exception is a defect of ours and keeps its traceback.
    """
    try:
        code = main()
    except UserError as error:
        print(f'error: {printable(" ".join(str(error).split()))}', file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        code = 130
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        sys.stderr.close()
        code = 1
    sys.exit(code or 0)
