"""Memory that two processes share, for frames on their way from the one to the other."""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Optional, Tuple

import numpy as np

from ..files import naming

KEPT = 2**26  # bytes that are kept for the next frames


class Shared:
    """Memory behind a file that has no name: each process maps it for itself, and it is gone with the last of them.

    Parameters
    ----------
    file
        its descriptor, which is closed with this
    """

    def __init__(self, file: int):
        self.file = file
        self._map: Optional[mmap.mmap] = None

    @classmethod
    def new(cls) -> Shared:
        """Memory of no size yet; raises OSError."""
        if hasattr(os, 'memfd_create'):
            return cls(os.memfd_create('gluon_fg'))
        with tempfile.TemporaryFile() as stream:  # outside Linux
            return cls(os.dup(stream.fileno()))

    def grow(self, size: int) -> None:
        """Make sure of so many bytes."""
        if self._map is None or len(self._map) < size:
            self.unmap()
            with naming('memory for decoded frames'):  # which counts as a file: ulimit -f
                if os.fstat(self.file).st_size < size:
                    os.ftruncate(self.file, size)
                self._map = mmap.mmap(self.file, size)

    def frames(self, shape: Tuple[int, ...]) -> np.ndarray:
        """The first bytes as frames; not to be held."""
        assert self._map is not None
        return np.frombuffer(self._map, np.uint8, int(np.prod(shape))).reshape(shape)

    def unmap(self) -> None:
        """Let go of the memory, but not of what is in it."""
        if self._map is not None:
            self._map.close()
            self._map = None

    def shrink(self, size: int) -> None:
        """Give the memory back to the system where there are more bytes than these."""
        if os.fstat(self.file).st_size > size:
            self.unmap()
            os.ftruncate(self.file, 0)

    def close(self) -> None:
        """Let go of all; harmless when done twice."""
        self.unmap()
        if self.file >= 0:
            os.close(self.file)
            self.file = -1
