"""How Ctrl-C ends a command: while it only loads or leaves at once, while it works by KeyboardInterrupt.

Python raises KeyboardInterrupt wherever it is, in the middle of an import too, where libraries make other errors of
it, or none. So a command starts with a handler of its own, as the first thing that `import gluon_fg` does. In a program
that imports gluon_fg nothing is changed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any, Iterator


def starting_module() -> str:
    """The module that `python -m` is about to run, while its package is imported; '' at any other time."""
    if sys.argv[:1] != ['-m']:  # runpy puts the module's path there once the package is imported
        return ''
    words = getattr(sys, 'orig_argv', None)
    if words is None:  # Python 3.8 and 3.9
        import ctypes

        count, pointer = ctypes.c_int(), ctypes.POINTER(ctypes.c_wchar_p)()
        ctypes.pythonapi.Py_GetArgcArgv(ctypes.byref(count), ctypes.byref(pointer))
        words = pointer[: count.value]
    for i, word in enumerate(words):
        if word == '-m' and i + 1 < len(words):
            return words[i + 1]
        if word.startswith('-m'):
            return word[len('-m') :]
    return ''


def running_doctor() -> bool:
    """Whether this is `python -m gluon_fg.doctor` importing its package: it must start where nothing else does."""
    return starting_module() == 'gluon_fg.doctor'


def running_command() -> bool:
    """Whether this is the command importing its package: its help must not wait for MXNet, nor need it."""
    return starting_module() == 'gluon_fg' or os.path.basename(sys.argv[0] if sys.argv else '') == 'gluon-fg'


def _end(number: int, frame: Any) -> None:
    os.write(2, b'interrupted\n')
    os._exit(130)


def end_at_once() -> None:
    """Let Ctrl-C end a command with its line and code 130, whatever runs: nothing that matters may be half done."""
    if COMMAND and signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # nohup's commands ignore it
        signal.signal(signal.SIGINT, _end)


def raise_again() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, so that what is half done can be put in order."""
    if COMMAND and signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def kept_from_children() -> Iterator[None]:
    """Processes that are started while this is open never get Ctrl-C, which a terminal sends to all: we end them.

    Else one that is still loading would print where it was. What comes to this process meanwhile comes when it is over.
    """
    resource_tracker = sys.modules.get('multiprocessing.resource_tracker')
    if resource_tracker is not None:
        resource_tracker.ensure_running()  # it would let signals through again when it is started inside
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


COMMAND = running_command() or running_doctor()
end_at_once()
