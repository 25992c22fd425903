"""MiniKinetics: the part of Kinetics-400 that transfer is often studied with, by a list that you give.

Two are in use: that of 213 classes (Carreira and Zisserman 2017, arXiv:1705.07750), and Mini-Kinetics-200 (Xie et al.
2018, arXiv:1712.04851). The root is that of Kinetics-400 (`gluon_fg.data.catalog.kinetics` says what may lie there) and
has one or both of

    classes.txt                                       the classes, one a line
    train_ytid_list.txt   val_ytid_list.txt           the videos by their names at YouTube, as Xie et al. publish them

With videos alone the classes are those that Kinetics-400's official lists give them. Classes keep the order and the
groups of Kinetics-400.
"""

from __future__ import annotations

from pathlib import Path
from typing import FrozenSet, List, Optional

from ...errors import UserError
from ..datasets import VideoDataset
from ..labels import LabelSet
from .entry import DatasetInfo, Request, label_set, register_dataset
from .kinetics import Place, Subset, chosen_classes, find_place, labeled, open_split
from .kinetics_files import read_list
from .layouts import folder_with, read_lines

_LISTS = ('.', 'annotations', 'labels', 'lists')


def open_minikinetics(info: DatasetInfo, asked: Request) -> VideoDataset:
    """Open a split.

    Raises
    ------
    UserError
        neither classes nor videos are given, and all that `open_kinetics` raises
    """
    place, known = find_place(info, asked)._replace(size=400), label_set('kinetics400')
    assert known is not None
    labels, videos = chosen_classes(place.root, known), _videos(place)
    if labels is None and videos is None:
        raise UserError(
            f'{place.root}: no list that says what {info.name} is; put its classes, one a line, into classes.txt, or '
            f'{place.split}_ytid_list.txt'
        )
    return open_split(place, known, asked, Subset(labels or _classes_of_videos(place, known), videos))


def _videos(place: Place) -> Optional[FrozenSet[str]]:
    file = f'{place.split}_ytid_list.txt'
    folder = folder_with(place.root, _LISTS, file)
    return None if folder is None else frozenset(video for _, video in read_lines(folder / file))


def _classes_of_videos(place: Place, known: LabelSet) -> Optional[LabelSet]:
    """The classes of the videos of all splits by the official lists; None where there are none of these."""
    labels: List[int] = []
    for other in (place._replace(split='train'), place._replace(split='val')):
        path: Optional[Path] = other.list()
        videos, rows = _videos(other), None if path is None else read_list(path)
        if path is not None and rows is not None and videos is not None:
            labels += [label for _, label in labeled(path, [row for row in rows if row.video in videos], known, known)]
    return known.only(label for label in labels if label >= 0) if labels else None


register_dataset(DatasetInfo('minikinetics', None, open_minikinetics))
