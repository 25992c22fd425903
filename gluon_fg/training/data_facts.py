"""What the data are, said before the first update: classes, videos of each, files left out, names that say a side."""

from __future__ import annotations

from typing import List, Sequence

import numpy as np

from ..data.datasets import VideoDataset
from ..errors import UserError

NAMES = 5  # names listed in a line, at most
_LETTERS = 60  # of a name that is shown: of Something-Something they are sentences


def class_lines(train_set: VideoDataset, val_set: VideoDataset) -> List[str]:
    """How many classes and videos there are, and which classes have no video to learn or be tested by, or only one.

    Raises
    ------
    UserError
        there is one class alone, which every video would be taken for
    """
    counts, classes = train_set.counts, train_set.labels.classes
    val_counts = val_set.counts if val_set.labels.classes == classes else None
    with_videos = counts[counts > 0]
    if len(classes) == 1 and train_set.targets is None:
        raise UserError(
            f'{train_set.name}: {classes[0]!r} is the only class, so that nothing can be told apart; classes are the '
            'names in the list, or the folders that the videos lie in'
        )
    lines = [f'{len(classes)} classes: {_some(classes)}']
    if len(with_videos):
        lines.append(
            f'training videos of a class: {_spread(counts, classes)}'
            + ('' if val_counts is None or not val_counts.any() else f'; validation: {_spread(val_counts, classes)}')
        )
    if len(with_videos) == 1 and len(classes) > 1:
        lines.append(
            f'warning: every training video is of class {classes[int(counts.argmax())]!r}: the network can only learn '
            f'to say so; check the labels of {train_set.name}'
        )
    empty = [classes[i] for i in np.flatnonzero(counts == 0)]
    single = [classes[i] for i in np.flatnonzero(counts == 1)]
    if empty:
        lines.append(f'warning: {len(empty)} of {len(classes)} classes have no training video: {_some(empty)}')
    if single:
        lines.append(f'warning: {len(single)} of {len(classes)} classes have one training video alone: {_some(single)}')
    if val_counts is not None:
        untested = [classes[i] for i in np.flatnonzero((val_counts == 0) & (counts > 0))]
        if untested:
            lines.append(
                f'warning: {len(untested)} of {len(classes)} classes have no validation video: {_some(untested)}'
            )
    return lines


def mirror_lines(train_set: VideoDataset) -> List[str]:
    """Which classes change in a mirror, or are never mirrored, by their names."""
    labels = train_set.labels
    names, never = labels.mirrored_names(), [labels.classes[i] for i in np.flatnonzero(labels.flip_map < 0)]
    lines = [f'names that say a side: {_some(names)} (data.flip=0 mirrors nothing)'] if names else []
    if never and len(names) > NAMES:  # they may be among those not shown
        lines.append(f'{len(never)} classes are never mirrored, by their names: {_some(never)}')
    return lines


def left_out_lines(*datasets: VideoDataset) -> List[str]:
    """How many files of each suffix lie in the class folders and are no videos by their names."""
    lines = []
    for dataset in datasets:
        if dataset.left_out:
            shown = [f'{count} {suffix or "without a suffix"}' for suffix, count in sorted(dataset.left_out.items())]
            lines.append(f'{dataset.name}: files left out by their suffix: {_some(shown)}')
    return lines


def check_validation_labels(val_set: VideoDataset) -> None:
    """Refuse a validation split of which no video has a label: there would be nothing to choose weights by."""
    if not any(record.label >= 0 for record in val_set.records):
        raise UserError(
            f'{val_set.name}: none of its {len(val_set)} videos has a label, so that nothing can be validated; give a '
            'list with labels as data.val_split, or hold out a part of the training videos'
        )


def _some(names: Sequence[str]) -> str:
    """A few names of a list, and how many more there are."""
    more = f', ... ({len(names) - NAMES} more)' if len(names) > NAMES else ''
    return ', '.join(map(_short, names[:NAMES])) + more


def _spread(counts: np.ndarray, classes: Sequence[str]) -> str:
    """How many videos the classes have: of each where they are few, else the fewest and the most."""
    if len(classes) <= NAMES:
        return ', '.join(f'{_short(name)} {count}' for name, count in zip(classes, counts))
    there = np.flatnonzero(counts)
    low, high = (int(there[place]) for place in (counts[there].argmin(), counts[there].argmax()))
    if counts[low] == counts[high]:
        return str(counts[low])
    return (
        f'{counts[low]} ({_short(classes[low])}) to {counts[high]} ({_short(classes[high])}), '
        f'median {np.median(counts[there]):g}'
    )


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f'{name[: _LETTERS - 3]}...'
