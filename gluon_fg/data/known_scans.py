"""Scans that a manifest holds, looked up when a file is opened."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Sequence

from .scans import ScanCache, Stamp

if TYPE_CHECKING:
    import pyarrow


class KnownScans(ScanCache):
    """Scans of a manifest's files while they have the size and time of change that the manifest says; others as usual.

    Parameters
    ----------
    root
        folder that the paths start from
    paths
        of the files, row by row
    table
        the manifest's columns bytes, mtime_ns and scan; '' where a file has none
    """

    def __init__(self, root: str, paths: Sequence[str], table: pyarrow.Table):
        super().__init__()
        self._root = os.path.join(root, '')
        self._rows = dict(zip(paths, range(len(paths))))
        self._sizes, self._times = (table[name].to_numpy() for name in ('bytes', 'mtime_ns'))
        self._texts_known = table['scan']

    def known(self, path: str, stamp: Stamp) -> str:
        inside = path[len(self._root) :] if path.startswith(self._root) else path
        row = self._rows.get(inside)
        same = row is not None and stamp == (self._sizes[row], self._times[row])
        return (self._texts_known[row].as_py() if same else '') or super().known(path, stamp)
