"""Stanford Cars (Krause et al. 2013) and Stanford Dogs (Khosla et al. 2011): the images of U2S sec. IV-E.

Read from where their archives unpack to, under one root:

    cars    cars_train/00001.jpg ...   cars_test/00001.jpg ...   devkit/cars_meta.mat   devkit/cars_train_annos.mat
            cars_test_annos_withlabels.mat (a download of its own; also found in devkit/)
    dogs    Images/n02085620-Chihuahua/n02085620_10074.jpg ...   train_list.mat   test_list.mat

Labels in the files count from 1, ours from 0. 196 makes and models, 8144 images for training and 8041 for testing;
120 breeds, 12000 and 8580. Neither has a split for validation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np

from ..errors import UserError, unknown
from .labels import LabelSet

SPLITS = ('train', 'test')
Listed = List[Tuple[str, int]]


def cars(root: Path, split: str) -> Tuple[Listed, LabelSet]:
    """Stanford Cars: (path below the root, label) of each image, and the classes.

    Raises
    ------
    UserError
        an unknown split, a file that is missing or of another form, or a label without a class
    """
    _check_split('stanfordcars', split)
    names = _strings(_read(root, ('devkit/cars_meta.mat',), 'class_names', 'Stanford Cars')[1])
    found = ('devkit/cars_train_annos.mat',)
    if split == 'test':
        found = ('cars_test_annos_withlabels.mat', 'devkit/cars_test_annos_withlabels.mat')
    path, rows = _read(root, found, 'annotations', 'Stanford Cars')
    for field in ('fname', 'class'):
        if field not in (rows.dtype.names or ()):
            hint = '; take cars_test_annos_withlabels.mat' if split == 'test' else ''
            raise UserError(f'{path}: its annotations have no field {field!r}{hint}')
    files = [f'cars_{split}/{name}' for name in _strings(rows['fname'])]
    return _labelled(path, files, rows['class'], len(names)), _labels(names)


def dogs(root: Path, split: str) -> Tuple[Listed, LabelSet]:
    """Stanford Dogs: (path below the root, label) of each image, and the classes, named like their folders.

    Raises
    ------
    UserError
        an unknown split, a file that is missing or of another form, or labels and folders that do not agree
    """
    _check_split('stanforddogs', split)
    names: Dict[int, str] = {}
    listed: Dict[str, Listed] = {}
    for part in SPLITS:  # a class that only one of them has keeps its label
        path, files = _read(root, (f'{part}_list.mat',), 'file_list', 'Stanford Dogs')
        labels = _read(root, (f'{part}_list.mat',), 'labels', 'Stanford Dogs')[1]
        files = _strings(files)
        if len(files) != len(labels):
            raise UserError(f'{path}: {len(files)} images and {len(labels)} labels')
        listed[part] = [(f'Images/{file}', label) for file, label in _labelled(path, files, labels)]
        for file, label in listed[part]:
            folder = file.split('/')[1]
            if names.setdefault(label, folder) != folder:
                raise UserError(f'{path}: label {label + 1} is of {folder} here, of {names[label]} before')
    missing = set(range(len(names))) - set(names)
    if missing:
        raise UserError(f'{root}: no image has label {min(missing) + 1}, but others have {max(names) + 1}')
    return listed[split], _labels([names[label].partition('-')[2] or names[label] for label in range(len(names))])


def _check_split(dataset: str, split: str) -> None:
    if split not in SPLITS:
        raise UserError(f'{unknown(f"split of {dataset}", split, SPLITS)} (data.val_split=test to validate on it)')


def _labels(names: Sequence[str]) -> LabelSet:
    """A car or dog seen in a mirror is of the same kind, whatever its name."""
    return LabelSet(tuple(names), flip_map=np.arange(len(names)))


def _labelled(path: Path, files: Sequence[str], labels: np.ndarray, classes: int = 0) -> Listed:
    """Files with their labels from 0; `classes` 0: not more than files."""
    valid = range(1, (classes or len(files)) + 1)
    for number, (file, label) in enumerate(zip(files, labels), 1):
        if label not in valid:  # an integer of any type
            raise UserError(f'{path}, image {number} ({file}): label {label} is not one of 1..{valid[-1]}')
    return [(file, int(label) - 1) for file, label in zip(files, labels)]


def _strings(values: np.ndarray) -> List[str]:
    return [str(value) for value in values]


def _read(root: Path, places: Sequence[str], variable: str, title: str) -> Tuple[Path, np.ndarray]:
    """A variable of the first file that is there, as an array of one dimension, and the file's path."""
    from scipy.io import loadmat  # slow: only for those who read such files

    path = next((root / place for place in places if (root / place).is_file()), None)
    if path is None:
        raise UserError(
            f'{root}: no {places[0]}; {title} lies there as its archives unpack: see gluon_fg.data.stanford'
        )
    try:
        content = loadmat(str(path), squeeze_me=True)
    except Exception as error:  # a damaged file fails in many ways
        raise UserError(f'{path}: is not a MATLAB file that can be read ({" ".join(str(error).split())})') from None
    if variable not in content:
        raise UserError(f'{path}: holds no variable {variable!r}')
    return path, np.atleast_1d(content[variable])
