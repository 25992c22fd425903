"""Decoded videos kept in memory, never more than a budget of bytes."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from typing import Any, Callable, Dict, Hashable, Optional
from weakref import WeakValueDictionary

logger = logging.getLogger(__name__)


class MemoryCache:
    """Things by key, until `limit` bytes are full; what comes later is not kept, and nothing is thrown out.

    So every epoch finds the same share of the videos: one that throws out what was least recently used would, in an
    order that is shuffled anew, keep throwing out what comes next. Each is made once, however many threads ask.

    Parameters
    ----------
    limit
        bytes; None: no limit
    """

    def __init__(self, limit: Optional[int] = None):
        self.limit, self.bytes = limit, 0
        self._made: Dict[Hashable, Future] = {}
        self._full = False
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._made)

    def get(self, key: Hashable) -> Any:
        """What is kept, or None; waits where another thread is making it, and raises what that one raises."""
        with self._lock:
            made = self._made.get(key)
        return None if made is None else made.result()

    def keep(self, key: Hashable, size: int, make: Callable[[], Any]) -> Any:
        """Make a thing of `size` bytes and keep it, if there is room; None where there is none, and nothing is made."""
        with self._lock:
            known = self._made.get(key)
            if known is None:
                if self.limit is not None and self.bytes + size > self.limit:
                    if not self._full:
                        self._full = True
                        logger.info('%d videos fill the %.3g GB of memory; others are read anew', len(self), self._gb)
                    return None
                made: Future = Future()
                self._made[key] = made
                self.bytes += size
        if known is not None:
            return known.result()
        try:
            made.set_result(make())
        except BaseException as error:
            with self._lock:
                del self._made[key]
                self.bytes -= size
            made.set_exception(error)
        return made.result()

    @property
    def _gb(self) -> float:
        return (self.limit or 0) / 1e9


_SHARED: WeakValueDictionary = WeakValueDictionary()  # limit -> cache


def shared_cache(gigabytes: float) -> MemoryCache:
    """One cache for all datasets of this process that ask for the same budget, in 10**9 bytes."""
    limit = int(gigabytes * 1e9)
    cache = _SHARED.get(limit)
    if cache is None:
        cache = _SHARED[limit] = MemoryCache(limit)
    return cache
