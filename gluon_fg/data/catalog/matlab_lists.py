"""Lists of images with labels in MATLAB files, as Stanford Cars and Stanford Dogs have them."""

from __future__ import annotations

import functools
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from ...errors import UserError, printable, unknown
from ..datasets import VideoRecord
from . import matlab_child
from .entry import DatasetInfo, Request

_MEMORY = 4 << 30  # bytes that reading a file may take
_SECONDS = 60


def split_folder(info: DatasetInfo, asked: Request) -> Tuple[Path, str]:
    """Check the root and the split that were asked for."""
    root = info.folder(asked.root)
    if asked.split not in info.splits:
        hint = '(data.val_split=test to validate on it)'
        raise UserError(f'{unknown(f"split of {info.name}", asked.split, info.splits)} {hint}')
    return root, asked.split


def labeled(path: Path, files: Sequence[str], labels: Sequence[Any], classes: int = 0) -> List[VideoRecord]:
    """Pair files with their labels, counted from 0; `classes` 0: not more than files."""
    valid = range(1, (classes or len(files)) + 1)
    for number, (file, label) in enumerate(zip(files, labels), 1):
        if label not in valid:  # a whole number of any type
            raise UserError(
                f'{path}, image {number} ({file[:60]}): label {str(label)[:40]} is not one of 1..{valid[-1]}'
            )
    return [VideoRecord(file, int(label) - 1) for file, label in zip(files, labels)]


def read_variables(
    root: Path, places: Sequence[str], names: Sequence[str], hint: str
) -> Tuple[Path, Dict[str, Dict[str, list]]]:
    """Read variables of the first file that is there, in a process of its own (`matlab_child`).

    Returns
    -------
    The file's path, and for each variable its fields: lists of numbers and texts; one field '' where it has none.

    Raises
    ------
    UserError
        no such file, one that cannot be read, or that lacks a variable
    """
    path = next((root / place for place in places if (root / place).is_file()), None)
    if path is None:
        raise UserError(f'{root}: no {places[0]}; {hint}')
    status = os.stat(path)
    content = _read(path, (status.st_size, status.st_mtime_ns), tuple(names))
    absent = [name for name in names if name not in content]
    if absent:
        raise UserError(f'{path}: holds no variable {absent[0]!r}')
    return path, {name: value if isinstance(value, dict) else {'': value} for name, value in content.items()}


@functools.lru_cache(maxsize=4)
def _read(path: Path, stamp: Tuple[int, int], names: Tuple[str, ...]) -> Dict[str, Any]:
    """The variables of a file that it has; once for each state of it (`stamp`), as a process takes a second."""
    _check_whole(path)
    # by its path, as its folder has a csv.py; from '/', so that no file of the user's is taken for a library
    command = [sys.executable, '-c', 'import runpy, sys; runpy.run_path(sys.argv[1], run_name="__main__")']
    command += [os.path.abspath(matlab_child.__file__), os.path.abspath(path), str(_MEMORY), *names]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, cwd='/')
    except subprocess.TimeoutExpired:
        raise UserError(f'{path}: is not a MATLAB file that can be read (no end after {_SECONDS} s)') from None
    if done.returncode:
        said = done.stderr.decode('utf-8', 'replace').split('\n')
        reason = next(
            (' '.join(line.split()) for line in reversed(said) if line.strip()), 'reading it ends the process'
        )
        raise UserError(f'{path}: is not a MATLAB file that can be read ({printable(reason)[:200]})')
    return json.loads(done.stdout)


def _check_whole(path: Path) -> None:
    """Refuse a file whose elements do not end where it ends, as where a download was cut (MAT-file format, level 5)."""
    with open(path, 'rb') as stream:
        size, head = os.fstat(stream.fileno()).st_size, stream.read(128)
        order = {b'IM': '<', b'MI': '>'}.get(head[126:128])
        at = len(head)
        while order and at < size:
            stream.seek(at)
            tag = stream.read(8)
            at += 8 + (struct.unpack(f'{order}II', tag)[1] if len(tag) == 8 else 0)
    if at > size or not order and size < 128:
        raise UserError(f'{path}: is not a MATLAB file that can be read (it is cut short)')
