"""How far a pass over videos is: a bar where somebody looks at it, else a line now and then."""

from __future__ import annotations

import logging
import sys
import time

from tqdm import tqdm

logger = logging.getLogger(__name__)

EVERY = 60.0  # seconds between lines


class Progress:
    """Counts videos; a context manager.

    In a terminal it draws a bar with the time that is left. In a log it says so a line a minute, and nothing of what is
    quicker than that.

    Parameters
    ----------
    total, done
        videos, and how many of them were there before
    title
        what is being done
    shown
        whether to tell at all
    """

    def __init__(self, total: int, done: int, title: str, shown: bool):
        terminal = shown and sys.stderr.isatty()
        self._bar = tqdm(total=total, initial=done, desc=title, unit='video', disable=not terminal, dynamic_ncols=True)
        self._lines, self._title, self._total = shown and not terminal, title, total
        self._before, self._done, self._began = done, done, time.monotonic()
        self._told = self._began

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.close()

    def update(self) -> None:
        """Count another one."""
        self._bar.update()
        self._done += 1
        now = time.monotonic()
        if self._lines and now - self._told >= EVERY and self._done < self._total:
            self._told = now
            left = (now - self._began) / (self._done - self._before) * (self._total - self._done)
            line = '%s: %d of %d videos, %s left'
            logger.warning(line, self._title, self._done, self._total, tqdm.format_interval(left))
