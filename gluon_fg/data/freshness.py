"""Whether the lists and folders of a dataset are as they were: what a manifest's freshness is known by."""

from __future__ import annotations

import os
import posixpath
from typing import Dict, List, Mapping, Optional, Union

_LISTS = ('.csv', '.txt', '.json', '.mat', '.tsv', '.lst', '.list', '.xml', '.yaml', '.yml')
_MANY, _FOLDERS = 1000, 20_000  # list files in a folder, folders


def sources_of(root: Union[str, os.PathLike], paths: List[str], lists: List[str]) -> Dict[str, List[int]]:
    """Note what tells whether a dataset's lists would say the same again.

    Parameters
    ----------
    root
        the dataset's folder
    paths
        of its videos, from the root on, or absolute
    lists
        list files outside

    Returns
    -------
    dict
        path -> [size, time of change in ns] of each list file, [0, time of change] of each folder; where there are very
        many, of those alone that videos or lists lie in, and of those above them
    """
    root = os.fspath(root)
    videos = {os.path.normpath(os.path.join(root, path)) for path in paths}
    folders = {os.path.dirname(path) for path in videos}
    files = [os.path.abspath(path) for path in lists]
    visited = []
    for folder, below, names in os.walk(root):
        below[:] = [
            n for n in below if not n.startswith('.') and os.path.normpath(os.path.join(folder, n)) not in videos
        ]
        listed = [name for name in names if name.lower().endswith(_LISTS) and not name.startswith('.')]
        if len(listed) <= _MANY:  # else they are annotations, a file a video
            files += [os.path.join(folder, name) for name in listed]
        visited.append(os.path.normpath(folder))
        folders |= {visited[-1]} if listed else set()
    top = visited[0]
    folders |= set(visited) if len(visited) <= _FOLDERS else {top}  # one that is empty now may get a video
    for folder in sorted(folders):
        while folder.startswith(top + os.sep) and os.path.dirname(folder) not in folders:
            folder = os.path.dirname(folder)
            folders.add(folder)
    noted = {path: _stamp(path) for path in sorted(folders) + sorted(files)}
    return {relative(path, root): stamp for path, stamp in noted.items() if stamp is not None}


def changed(root: str, sources: Mapping[str, List[int]]) -> str:
    """Name the first of the sources (`sources_of`) that is not as it was; '' where all are."""
    for path, stamp in sources.items():
        if _stamp(os.path.join(root, path)) != stamp:
            return 'its folder' if path == '.' else path
    return ''


def _stamp(path: str) -> Optional[List[int]]:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [0 if os.path.isdir(path) else status.st_size, status.st_mtime_ns]


def relative(path: str, folder: str) -> str:
    """Write a path from a folder on where it lies in it or above, absolute where it lies elsewhere; with slashes."""
    steps = os.path.relpath(path, folder).split(os.sep)
    return posixpath.join(*steps) if '..' not in steps or set(steps) == {'..'} else os.path.abspath(path)
