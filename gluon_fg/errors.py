"""What the user sees when something they gave is wrong: one line that names the thing, the value and a valid choice."""

from __future__ import annotations

import contextlib
import difflib
import errno
import functools
import io
import os
import signal
import stat
import sys
import threading
from typing import Any, Callable, Iterable, Iterator, List, Optional

from . import interrupts

# What a disk answers, by the number of the error: what is to be done about it.
_FREE = 'free some space, or choose another folder'
_CHOOSE = 'choose a folder that can be written'
DISK_ERRORS = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: _FREE,
    errno.EFBIG: 'it would be larger than files may be there; see ulimit -f, or choose another folder',
    errno.EROFS: _CHOOSE,
    errno.EACCES: 'choose another place, or allow it (chmod)',
    errno.EPERM: 'choose another place, or allow it (chmod)',
    errno.EIO: 'the disk fails, or is gone',
    errno.ESTALE: 'the disk fails, or is gone',
    errno.ENODEV: 'the disk fails, or is gone',
    errno.ENXIO: 'the disk fails, or is gone',
    errno.ENAMETOOLONG: 'choose a shorter name',
    errno.ENOTDIR: 'a part of it is a file; choose another folder',
    errno.EEXIST: 'choose another folder',
    errno.EMFILE: 'see ulimit -n',
    errno.ENFILE: 'see ulimit -n',
}
_thread_hook = threading.excepthook  # as Python has it; it gives it a name from 3.10 on
_NO_MEMORY = ('Failed to allocate', 'bad_alloc', 'Resource temporarily unavailable', 'out of memory')
_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


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


def disk_error(error: BaseException) -> Optional[OSError]:
    """The answer of the disk in an exception, or in what it was raised from or after; None where there is none.

    Libraries make others of it: zipfile a ValueError. What FFmpeg says of a damaged film (PyAV: EIO, EPERM) is none.
    """
    return next((link for link in _chain(error) if isinstance(link, OSError) and _is_disks(link)), None)


def refused_writing(error: BaseException) -> Optional[OSError]:
    """What says that a disk is full, or takes nothing; None for all else, as for one file that may not be read."""
    refused = disk_error(error)
    return refused if refused and refused.errno in _OF_WRITING else None


def _is_disks(error: OSError) -> bool:
    return error.errno in DISK_ERRORS and (error.errno in _OF_WRITING or not type(error).__module__.startswith('av.'))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and those that it was raised from or after."""
    link: Optional[BaseException] = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def disk_line(error: OSError) -> str:
    """One line on an answer of the disk: the file, what is wrong, and what to do."""
    names = [name for name in (error.filename2, error.filename) if name is not None]
    place = os.fsdecode(names[0]) if names and not isinstance(names[0], int) else _nameless()
    advice = DISK_ERRORS.get(error.errno or 0)
    return f'{place}: {error.strerror or error}' + (f'; {advice}' if advice else '')


def _nameless() -> str:
    """Where was written, if the error does not say: files have names, standard output has none."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # there is none
        kind = os.fstat(sys.stdout.fileno()).st_mode
        if stat.S_ISREG(kind) or stat.S_ISCHR(kind) and not sys.stdout.isatty():
            return 'standard output'
    return 'the disk'


def run(main: Callable[[], Optional[int]]) -> None:
    """Call a command's `main` and exit: 2 and one line for a user's mistake, 130 when interrupted.

    What the disk refuses, or too little memory, is a user's matter, too. Any other exception is a defect of ours and
    keeps its traceback.
    """
    in_threads: List[BaseException] = []
    hooks = sys.unraisablehook, threading.excepthook
    sys.unraisablehook, threading.excepthook = _unraisable, functools.partial(_of_thread, in_threads)
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):  # what it cannot show ends no command
            sys.stdout.reconfigure(errors='backslashreplace')
        code = main() or 0
        if in_threads and code == 0:
            raise in_threads[0]
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        code = _end('interrupted', 130)
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        code = _end('', 1)
    except Exception as error:
        line = _line_of(error)
        if line is None:
            raise
        code = _end(line, 130 if line == 'interrupted' else 2)
    finally:
        if not interrupts.COMMAND:  # else the process ends now, and what is thrown away then may still complain
            sys.unraisablehook, threading.excepthook = hooks
    interrupts.end_at_once()
    sys.exit(code)


def _line_of(error: BaseException) -> Optional[str]:
    """The line of an exception that is no defect of ours."""
    if isinstance(error, UserError):
        return f'error: {error}'
    if any(isinstance(link, KeyboardInterrupt) for link in _chain(error)):  # in an import, or while we asked
        return 'interrupted'
    if isinstance(error, OSError) and (_is_disks(error) or error.filename is not None):  # the latter: a missing file
        return f'error: {disk_line(error)}'
    if isinstance(error, FileNotFoundError) and not _works_somewhere():
        return 'error: the folder that the command was started in is gone; change to another'
    if _is_memorys(error):
        return 'error: not enough memory; do less at a time (smaller batches, fewer workers), or allow more (ulimit -v)'
    if isinstance(error, RuntimeError) and str(error) == "can't start new thread":
        return 'error: no more threads, or not enough memory for one; allow more (ulimit -u, ulimit -v)'
    return None


def _is_memorys(error: BaseException) -> bool:
    """Whether memory was too little, the computer's or a GPU's; MXNet tells its own error by the text alone."""
    told = str(error) if type(error).__name__ == 'MXNetError' else ''
    return (
        isinstance(error, MemoryError)
        or getattr(error, 'errno', None) == errno.ENOMEM
        or any(text in told for text in _NO_MEMORY)
    )


def _works_somewhere() -> bool:
    try:
        return bool(os.getcwd())
    except FileNotFoundError:
        return False


def _end(line: str, code: int) -> int:
    """Print the last line, and see that nothing comes after it."""
    interrupts.end_at_once()
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:  # full, or closed: Python would try again at its end, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if line and sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(printable(' '.join(line.split())), file=sys.stderr, flush=True)
    return code


def _unraisable(unraisable: Any) -> None:
    """For what is raised where nothing can be, as in the destructor of a file that was not closed."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):  # else it was lost, and the command went on
        again = (threading.main_thread().ident, signal.SIGINT)
        threading.Timer(0.05, signal.pthread_kill, again).start()
    elif isinstance(unraisable.exc_value, ValueError) and 'closed file' in str(unraisable.exc_value):
        pass  # of an archive whose file was closed since writing it failed
    elif unraisable.exc_value is None or _line_of(unraisable.exc_value) is None:  # else it comes on its proper way, too
        sys.__unraisablehook__(unraisable)


def _of_thread(refused: List[BaseException], args: Any) -> None:
    """For what a thread raises: the disk's answers end the command with a line when it is done, if it comes so far."""
    if args.exc_value is not None and disk_error(args.exc_value) is not None:
        refused.append(args.exc_value)
    else:
        _thread_hook(args)
