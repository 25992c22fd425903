"""Whether the numbers of a list can be labels as they stand: counted from 0, without gaps, of the right class."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Iterable, List, Sequence, Tuple

from ..errors import UserError
from .datasets import VideoDataset, VideoRecord

logger = logging.getLogger(__name__)

FREE = 10_000  # classes that any list may have
_SHARE = 100  # ... beyond which it has at most so many for each of its videos
_MANY = 50  # videos that are hardly of one class by chance


def check_numbers(name: str, numbers: Sequence[Tuple[int, int]], named: bool = False) -> None:
    """Look at the labels of a list that says of its classes little but numbers.

    Parameters
    ----------
    name
        what errors call the list
    numbers
        (line, label) of its videos
    named
        whether it has names of classes beside the numbers, which say what these mean

    Raises
    ------
    UserError
        labels counted from 1, or one so large that most classes would have no video
    """
    largest = max((label for _, label in numbers), default=-1)
    if largest >= max(FREE, _SHARE * len(numbers)):
        line = next(line for line, label in numbers if label == largest)
        raise UserError(
            f'{name} line {line}: label {largest} in a list of {len(numbers)} videos; labels are numbers of classes, '
            'counted from 0'
        )
    there = {label for _, label in numbers if label >= 0}
    if named:
        return
    if there and from_one(there):
        raise UserError(
            f'{name}: labels run from 1 to {largest} and none is 0; classes are counted from 0 here: subtract 1, or '
            'name the classes in the lists, or in order in classes.txt beside them'
        )
    absent = sorted(set(range(largest + 1)) - there)
    if absent:
        shown = ', '.join(map(str, absent[:5])) + (', ...' if len(absent) > 5 else '')
        logger.warning('%s: no video has label %s, but others have up to %d', name, shown, largest)


def from_one(labels: Iterable[int]) -> bool:
    """Whether labels run from 1 to some number, without 0."""
    there = set(labels)
    return there == set(range(1, len(there) + 1))


def folder_mismatches(dataset: VideoDataset) -> Tuple[int, List[Tuple[VideoRecord, str]]]:
    """Compare labels with the folders that videos lie in, where these are called like classes.

    Returns
    -------
    How many videos lie in such folders, and those of them whose label is another class, each with the folder's class.
    """
    classes = dataset.labels.classes
    if all(name.isdigit() for name in classes):
        return 0, []
    names = {_plain(name): name for name in classes}
    compared, wrong = 0, []
    for record in dataset.records:
        said = [names[_plain(part)] for part in Path(record.path).parent.parts if _plain(part) in names]
        if said and record.label >= 0:
            compared += 1
            if classes[record.label] not in said:
                wrong.append((record, said[-1]))
    return compared, wrong


def check_known(dataset: VideoDataset) -> None:
    """Refuse a list of a known dataset whose numbers mean other classes, as UCF101's own lists would.

    Raises
    ------
    UserError
        most videos lie in the folder of another class than their label says; or nothing tells, and labels run from 1
    """
    compared, wrong = folder_mismatches(dataset)
    classes = dataset.labels.classes
    if 2 * len(wrong) > compared:
        record, folder = wrong[0]
        shifts = {record.label - classes.index(said) for record, said in wrong}
        hint = 'the list counts classes from 1, not from 0' if shifts == {1} else 'correct the list'
        raise UserError(
            f'{dataset.name}: label {record.label} of {record.path} is {classes[record.label]!r}, not {folder!r}, and '
            f'so {len(wrong)} of {compared} labels contradict the folders; {hint}'
        )
    labels = {record.label for record in dataset.records if record.label >= 0}
    if labels == {0} and len(dataset) >= _MANY:
        logger.warning('%s: all %d videos have label 0; a list without labels?', dataset.name, len(dataset))
    if not compared and len(labels) > 1 and from_one(labels):
        raise UserError(
            f'{dataset.name}: labels run from 1 to {max(labels)} and none is 0 ({classes[0]!r}); classes are counted '
            'from 0 here: subtract 1, or write names in place of numbers'
        )


def _plain(name: str) -> str:
    """A class's name without what datasets write in different ways: case, blanks and signs."""
    return re.sub(r'[\W_]+', '', name).lower()
