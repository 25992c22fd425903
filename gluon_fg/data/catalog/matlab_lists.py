"""Lists of images with labels in MATLAB files, as Stanford Cars and Stanford Dogs have them."""

from __future__ import annotations

from pathlib import Path
from typing import List, Sequence, Tuple

import numpy as np

from ...errors import UserError, unknown
from ..datasets import VideoRecord
from .entry import DatasetInfo, Request


def split_folder(info: DatasetInfo, asked: Request) -> Tuple[Path, str]:
    """Check the root and the split that were asked for."""
    root = info.folder(asked.root)
    if asked.split not in info.splits:
        hint = '(data.val_split=test to validate on it)'
        raise UserError(f'{unknown(f"split of {info.name}", asked.split, info.splits)} {hint}')
    return root, asked.split


def labeled(path: Path, files: Sequence[str], labels: np.ndarray, classes: int = 0) -> List[VideoRecord]:
    """Pair files with their labels, counted from 0; `classes` 0: not more than files."""
    valid = range(1, (classes or len(files)) + 1)
    for number, (file, label) in enumerate(zip(files, labels), 1):
        if label not in valid:  # an integer of any type
            raise UserError(f'{path}, image {number} ({file}): label {label} is not one of 1..{valid[-1]}')
    return [VideoRecord(file, int(label) - 1) for file, label in zip(files, labels)]


def strings(values: np.ndarray) -> List[str]:
    """Turn the values of a cell array into text."""
    return [str(value) for value in values]


def read_variable(root: Path, places: Sequence[str], variable: str, hint: str) -> Tuple[Path, np.ndarray]:
    """Read a variable of the first file that is there: the file's path, and an array of one dimension."""
    from scipy.io import loadmat  # slow: only for those who read such files

    path = next((root / place for place in places if (root / place).is_file()), None)
    if path is None:
        raise UserError(f'{root}: no {places[0]}; {hint}')
    try:
        content = loadmat(str(path), squeeze_me=True)
    except Exception as error:  # a damaged file fails in many ways
        raise UserError(f'{path}: is not a MATLAB file that can be read ({" ".join(str(error).split())})') from None
    if variable not in content:
        raise UserError(f'{path}: holds no variable {variable!r}')
    return path, np.atleast_1d(content[variable])
