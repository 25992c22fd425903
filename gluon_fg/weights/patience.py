"""Servers that answer without end: a byte now and then keeps every time limit of a socket from running out."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time
from types import TracebackType
from typing import Any, Callable, Optional, Tuple, Type


class Watch:
    """Shuts a connection that takes too long: a context for the time in which it is read.

    Parameters
    ----------
    descriptor
        tells the file descriptor of the connection's socket; where it has none any more, nothing is watched
    each, whole
        seconds at most from one `passed` to the next, and for everything; None: any time
    """

    def __init__(self, descriptor: Callable[[], int], each: float, whole: Optional[float] = None):
        self.each, self.end = each, None if whole is None else time.monotonic() + whole
        self.last, self.expired = time.monotonic(), False
        self.done = threading.Event()
        self.socket: Optional[socket.socket] = None
        with contextlib.suppress(OSError, ValueError, AttributeError):  # all has come, and the connection is closed
            self.socket = socket.socket(fileno=os.dup(descriptor()))

    def passed(self) -> None:
        """Say that something has come."""
        self.last = time.monotonic()

    def __enter__(self) -> Watch:
        if self.socket is not None:
            threading.Thread(target=self._watch, name='patience', daemon=True).start()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.done.set()

    def _watch(self) -> None:
        assert self.socket is not None
        with self.socket:
            while not self.done.wait(min(self.each / 4, 1)):
                now = time.monotonic()
                if now - self.last > self.each or (self.end is not None and now > self.end):
                    self.expired = True
                    with contextlib.suppress(OSError):  # it has just been closed
                        self.socket.shutdown(socket.SHUT_RDWR)  # wakes whoever waits for its bytes
                    return


def within(seconds: float, ask: Callable[[], Any]) -> Any:
    """Return what `ask` returns, or raise what it raises; TimeoutError where that takes longer.

    It then goes on in a thread of its own, which keeps no process from ending, and what it returns is closed.
    """
    answers: queue.Queue[Tuple[Any, Optional[BaseException]]] = queue.Queue(1)
    late = threading.Event()

    def run() -> None:
        try:
            answer, error = ask(), None
        except BaseException as raised:  # for the thread that waits
            answer, error = None, raised
        answers.put((answer, error))
        if late.is_set() and answer is not None:
            answer.close()

    threading.Thread(target=run, name='asking', daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        late.set()
        raise TimeoutError from None
    if error is not None:
        raise error
    return answer
