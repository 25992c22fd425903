"""Whether the numbers of a list can be labels as they stand: counted from 0, without gaps, of the right class."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Dict, Iterable, List, Sequence, Tuple

from ..errors import UserError, printable
from .datasets import VideoDataset, VideoRecord
from .labels import spelled

logger = logging.getLogger(__name__)

FREE = 10_000  # classes that any list may have; beyond, at most as many as it has videos
MAX_TARGETS = 1 << 31  # videos x classes where videos have several labels, a byte each
_NUMBER = re.compile(r'[-+]?(?:[0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,3})?')
_UCF101 = re.compile(r'v_(\w+)_g\d\d_c\d\d')  # the names of its files
_MANY = 50  # videos that are hardly of one class by chance


def check_numbers(name: str, numbers: Sequence[Tuple[int, int]], named: bool = False, several: bool = False) -> None:
    """Look at the labels of a list that says of its classes little but numbers.

    Parameters
    ----------
    name
        what errors call the list
    numbers
        (line, label) of its videos
    named
        whether it has names of classes beside the numbers, which say what these mean
    several
        whether videos have any number of labels, so that one that all have is no sign of counting from 1

    Raises
    ------
    UserError
        labels counted from 1, or one so large that most classes would have no video
    """
    largest = max((label for _, label in numbers), default=-1)
    if largest >= max(FREE, len(numbers)):
        line = next(line for line, label in numbers if label == largest)
        videos = len({line for line, _ in numbers})
        raise UserError(
            f'{name} line {line}: label {largest} in a list of {videos} videos; labels are numbers of classes, counted '
            'from 0'
        )
    there = {label for _, label in numbers if label >= 0}
    if named:
        return
    if from_one(there) and len(there) > several:
        raise UserError(
            f'{name}: labels run from 1 to {largest} and none is 0; classes are counted from 0 here: subtract 1, or '
            'name the classes in the lists, or in order in classes.txt beside them'
        )
    absent = sorted(set(range(largest + 1)) - there)
    if absent:
        shown = ', '.join(map(str, absent[:5])) + (', ...' if len(absent) > 5 else '')
        logger.warning('%s: no video has label %s, but others have up to %d', printable(name), shown, largest)


def check_size(name: str, videos: int, classes: int) -> None:
    """Refuse several labels a video of so many classes that telling which each shows takes gigabytes."""
    if videos * classes > MAX_TARGETS:
        raise UserError(
            f'{name}: {videos} videos of {classes} classes take {videos * classes >> 30} GB to keep which video shows '
            f'which; {MAX_TARGETS >> 30} GB at most'
        )


def check_texts(name: str, labels: Iterable[Tuple[int, str]]) -> None:
    """Refuse names of classes that are numbers of another form, as where a program wrote 1 as 1.0.

    Parameters
    ----------
    name
        what errors call the list
    labels
        (line, label) of its videos
    """
    for line, label in labels:
        if _NUMBER.fullmatch(label):
            raise UserError(
                f'{name} line {line}: label {label[:40]!r} is neither a whole number, such as 1, nor the name of a '
                'class'
            )


def check_numeric_names(name: str, classes: Sequence[str], labels: Iterable[Tuple[int, int]]) -> None:
    """Refuse numbers in place of classes that are called by other numbers: they could be names or places.

    Parameters
    ----------
    name
        what errors call the list
    classes
        names, in order
    labels
        (line, label) of its videos
    """
    if not all(each.isdecimal() for each in classes):
        return
    places = {each: place for place, each in enumerate(classes)}
    for line, label in labels:
        if places.get(str(label), label) != label:
            raise UserError(
                f'{name} line {line}: classes are called {", ".join(classes[:3])}, ...: label {label} may be the name '
                'of one or its place, counted from 0; add the column class, or names with letters'
            )


def check_order(path: Path, names: Sequence[str]) -> None:
    """Refuse a file of class names that numbers them otherwise than its lines do, as lists of two columns may.

    Raises
    ------
    UserError
        lines '3 run', '1 sit' and so on, which are not in the order of their numbers
    """
    starts = [re.match(r'([0-9]{1,9})[\s:.,;)]+\S', name) for name in names]
    numbers = [int(start.group(1)) for start in starts if start]
    if len(numbers) == len(names) > 1 and numbers != sorted(numbers):
        if sorted(numbers) in (list(range(len(names))), list(range(1, len(names) + 1))):
            raise UserError(
                f'{path}: its lines begin with numbers, which are not in order; write the names alone, in the order of '
                'the labels'
            )


def tell_alike(name: str, classes: Sequence[str]) -> None:
    """Say which names of classes may be one class: they differ in capitals, blanks and signs alone."""
    names: Dict[str, str] = {}
    for each in classes:
        key = spelled(each)
        if key and key in names:
            logger.warning(
                '%s: classes %r and %r differ in capitals, blanks or signs alone; is it one class?',
                printable(name),
                names[key],
                each,
            )
            return
        names[key] = each


def tell_contradictions(name: str, dataset: VideoDataset, lines: Sequence[int]) -> None:
    """Say that a list gives a video two labels, where videos have one.

    Parameters
    ----------
    name
        what the warning calls the list
    dataset, lines
        its videos, and the line of each
    """
    labels: Dict[VideoRecord, int] = {}
    contradictions = []
    for i, record in enumerate(dataset.records):
        first = labels.setdefault(record._replace(label=-1), i)
        if dataset.records[first].label != record.label:
            contradictions.append((first, i))
    if contradictions:
        first, other = contradictions[0]
        said = [dataset.records[i].label for i in (first, other)]
        logger.warning(
            '%s: %d videos are listed with two labels, such as %s with %d in line %d and %d in line %d',
            printable(name),
            len(contradictions),
            printable(dataset.records[first].path),
            said[0],
            lines[first],
            said[1],
            lines[other],
        )


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
    names = {spelled(name): name for name in classes}
    compared, wrong = 0, []
    for record in dataset.records:
        said = [names[key] for key in map(spelled, _folders(record.path)) if key in names]
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


def _folders(path: str) -> List[str]:
    """The folders that a video lies in, and the class in its own name where it is one of UCF101's."""
    folders, name = list(Path(path).parent.parts), _UCF101.match(Path(path).name)
    return [*folders, name.group(1)] if name else folders
