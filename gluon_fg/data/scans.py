"""Scans of video files, kept so that the packets of a file are read once and not at every opening."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import NamedTuple, Tuple

from .packets import Scan, load_scan, scan

LIMIT = 256 * 2**20  # bytes: about half a million files whose frames come at a steady rate
_OVERHEAD = 400  # bytes of Python's objects for an entry, about


class Stamp(NamedTuple):
    """What changes when a file is written anew: its size in bytes, and the time of its last change in ns."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str) -> Stamp:
        """Take it from a file; raises OSError where there is none."""
        status = os.stat(path)
        return cls(status.st_size, status.st_mtime_ns)


class ScanCache:
    """Scans by path, each as a short text, at most `limit` bytes of them; those least recently used go first.

    A file whose size or time of change is another is scanned anew. Safe from several threads.
    """

    def __init__(self, limit: int = LIMIT):
        self.limit, self.bytes = limit, 0
        self._texts: OrderedDict[str, Tuple[Stamp, str]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._texts)

    def get(self, path: str) -> Scan:
        """The scan of a file as it is now.

        Raises
        ------
        VideoError
            it cannot be read as a video
        """
        try:
            stamp = Stamp.of(path)
        except OSError:
            return scan(path)  # which says why
        text = self.known(path, stamp)
        if text:
            return load_scan(text)
        info = scan(path)
        self.put(path, stamp, info.dump())
        return info

    def known(self, path: str, stamp: Stamp) -> str:
        """The text of a file's scan, if it is kept and was made when the file was as `stamp` says; else ''."""
        with self._lock:
            known = self._texts.get(path)
            if known is not None:
                self._texts.move_to_end(path)
        return known[1] if known is not None and known[0] == stamp else ''

    def put(self, path: str, stamp: Stamp, text: str) -> None:
        """Keep what `Scan.dump` gave for a file that was as `stamp` says."""
        with self._lock:
            self._drop(path)
            self._texts[path] = (stamp, text)
            self.bytes += _size(path, text)
            while self.bytes > self.limit:
                self._drop(next(iter(self._texts)))

    def _drop(self, path: str) -> None:
        known = self._texts.pop(path, None)
        if known is not None:
            self.bytes -= _size(path, known[1])


def _size(path: str, text: str) -> int:
    return len(path) + len(text) + _OVERHEAD
