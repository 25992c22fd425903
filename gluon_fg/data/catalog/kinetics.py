"""How Kinetics lies on disk, the same for all its sizes: official lists, trees of clips, and whole videos.

Lists, where a root has any, say which clips a split has. For the split `val` (`validate` and `validation` are the same)
they are called, in this order,

    val.csv   kinetics-400_val.csv   kinetics_400_val.csv   kinetics400_val.csv   kinetics_val.csv   val.txt
    kinetics400_val_list_videos.txt   kinetics400_val_list_rawframes.txt
    val.json   kinetics-400_val.json   kinetics_400_val.json   kinetics400_val.json   kinetics_val.json

(or the same with `validate`) and lie in the root, annotations/, annotations/deepmind/, labels/, lists/, or a folder
with the dataset's name (kinetics400/, as its archive unpacks). Official ones have the columns label, youtube_id,
time_start, time_end, split and is_cc, the last two not always; lists for testing have no labels, which are -1 then.
Others are lists of your own (columns path and label), GluonCV's and mmaction2's; their paths start from the root,
mmaction2's from the split's folder.

Videos are looked for in val/, val_256/, videos_val/, videos/val/, compress/val_256/, kinetics400_val/,
rawframes_val/, and before that in replacement/, where CVDF's copy keeps those that were broken; where none of them is
there, in the whole root. A list finds its clips whatever folders they lie in. A file is

- a clip, 0wR5jVB-WPk_000417_000427.mp4, or a folder of frames of such a name: it is read as it is
- a whole video, 0wR5jVB-WPk.mp4: it is cut by the times of the list. Where clips are called so, leave the list away

Without a list, folders are the classes: val/<class>/<any video>. Class folders and labels may be spelled as in the
official lists ('hurling (sport)'), with underscores ('hurling_(sport)', mmaction2) or as GluonCV has them
('hurling_-sport-'); torchvision's, 'hurling_sport', is read, too.

A file classes.txt in the root names the classes of a subset, one a line: clips of others are left out. Without it, and
without a list, the folders of the splits are the subset. Its classes keep their order and their groups.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import FrozenSet, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ...errors import UserError, printable, unknown
from ..datasets import VideoDataset, VideoRecord
from ..folders import class_folders
from ..labels import LabelSet
from ..readers import from_csv, videos_in
from .entry import DatasetInfo, Request
from .kinetics_files import ID, Clips, Row, read_list
from .layouts import read_lines, those_there

logger = logging.getLogger(__name__)

SPELLINGS = {'train': ('train',), 'val': ('val', 'validate', 'validation'), 'test': ('test',)}
_LIST_FOLDERS = ('.', 'annotations', 'annotations/deepmind', 'labels', 'lists', '{name}', '{name}_2020')
_MMACTION = {  # list -> folder that its paths start from
    'kinetics{size}_{part}_list_videos.txt': 'videos_{part}',
    'kinetics{size}_{part}_list_rawframes.txt': 'rawframes_{part}',
}
_LISTS = (
    '{part}.csv',
    'kinetics-{size}_{part}.csv',
    'kinetics_{size}_{part}.csv',
    'kinetics{size}_{part}.csv',
    'kinetics_{part}.csv',
    '{part}.txt',
    *_MMACTION,
    '{part}.json',
    'kinetics-{size}_{part}.json',
    'kinetics_{size}_{part}.json',
    'kinetics{size}_{part}.json',
    'kinetics_{part}.json',
)
_VIDEO_FOLDERS = (
    '{part}',
    '{part}_256',
    'videos_{part}',
    'videos/{part}',
    'compress/{part}_256',
    '{name}_{part}',
    'rawframes_{part}',
)


class Place(NamedTuple):
    """Where a split of a size of Kinetics is looked for; `size` is 400, 600 or 700."""

    root: Path
    name: str
    size: Optional[int]
    split: str

    def paths(self, *patterns: str) -> Iterator[Path]:
        """Give what the patterns may be, in order, for every spelling of the split."""
        for pattern in patterns:
            for part in SPELLINGS[self.split]:
                yield self.root / pattern.format(part=part, name=self.name, size=self.size)

    def list(self) -> Optional[Path]:
        """Return the split's list, None where there is none."""
        patterns = (os.path.join(folder, name) for folder in _LIST_FOLDERS for name in _LISTS)
        return next((path for path in self.paths(*patterns) if path.is_file()), None)

    def folders(self) -> List[Path]:
        """List the folders there are for the split's videos."""
        return [path for path in self.paths(*_VIDEO_FOLDERS) if path.is_dir()]

    def start_of(self, path: Path) -> Path:
        """Return the folder that the paths of a list start from, which is not an official one."""
        for file, folder in _MMACTION.items():
            if path.name in {other.name for other in self.paths(file)}:
                return next((there for there in self.paths(folder) if there.is_dir()), self.root)
        return self.root

    def tree(self) -> Optional[Path]:
        """Return the first of them that has folders, None where none has."""
        return next((path for path in self.folders() if class_folders(path)), None)


class Subset(NamedTuple):
    """What is wanted of a size of Kinetics: classes, None for those of the list or folders; videos, None for all."""

    labels: Optional[LabelSet]
    videos: Optional[FrozenSet[str]] = None

    def has(self, video: str) -> bool:
        """Whether a video, by its name at YouTube, is wanted."""
        return self.videos is None or video in self.videos


def gluoncv_name(name: str) -> str:
    """Spell an official name of a class as GluonCV does: without blanks and brackets, and without most apostrophes."""
    return re.sub(r"[()']", '-', name.replace(' ', '_'))


def open_kinetics(info: DatasetInfo, asked: Request) -> VideoDataset:
    """Open a split of Kinetics; the module says which files are looked for.

    Clips of a list that are not on disk are left out, and counted in a warning.

    Raises
    ------
    UserError
        no root, an unknown split, no list and no folder for it, no clip on disk, or a line or class that is wrong
    """
    place, known = find_place(info, asked), info.label_set()
    assert known is not None  # every size's classes are in the catalog
    return open_split(place, known, asked, Subset(chosen_classes(place.root, known)))


def open_split(place: Place, known: LabelSet, asked: Request, subset: Subset) -> VideoDataset:
    """Open a split of which the classes, the place and the part that is wanted are known; errors as `open_kinetics`."""
    path = Path(asked.split) if os.path.isfile(asked.split) else place.list()
    if path is None:
        return _tree(place, known, asked, subset)
    labels = subset.labels or known
    name = f'{place.name} {asked.split}'
    rows = read_list(path)
    if rows is None:
        return from_csv(path, place.start_of(path), labels, name, asked.cache, known=True)
    wanted = [row for row in rows if subset.has(row.video)]
    if path != Path(asked.split):
        wanted = [row for row in wanted if row.split.lower() in ('', *SPELLINGS[place.split])]
    pairs = labeled(path, wanted, known, labels)
    if not pairs:
        raise UserError(f'{path}: lists no clip of split {asked.split!r} and of the {len(labels)} classes')
    folders = place.folders()
    clips = Clips(place.root, [place.root / 'replacement', *folders] if folders else [place.root])
    unlisted = clips.unlisted(rows) if folders else 0
    if unlisted:
        logger.warning(
            '%s: %d clips in %s are not in %s', name, unlisted, printable(_joined(folders)), printable(path.name)
        )
    listed = [(_called(row), _record(clips, row, label)) for row, label in pairs]
    records, gone = those_there(name, str(path), _joined(folders or [place.root]), listed)
    videos = VideoDataset(records, labels, place.root, name, asked.cache)
    videos.gone = gone
    return videos


def _joined(folders: Sequence[Path]) -> str:
    return ', '.join(map(str, folders))


def _called(row: Row) -> str:
    return f'{row.video}_{int(row.start):06d}_{int(row.end):06d}.mp4, or the whole {row.video}.mp4'


def _record(clips: Clips, row: Row, label: int) -> Optional[VideoRecord]:
    file = clips.find(row)
    return None if file is None else VideoRecord(file[0], label, *file[1:])


def find_place(info: DatasetInfo, asked: Request) -> Place:
    """Tell where a split is looked for; a list that is given by its path is of the split that its name says."""
    if os.path.isfile(asked.split):
        folder, file = os.path.split(asked.split)
        split = next((part for part in SPELLINGS if part in file.lower()), 'train')
        return Place(Path(asked.root or folder or '.'), info.name, info.nclass, split)
    for split, names in SPELLINGS.items():
        if asked.split in names:
            return Place(info.folder(asked.root), info.name, info.nclass, split)
    raise unknown(f'split of {info.name}', asked.split, info.splits)


def chosen_classes(root: Path, known: LabelSet) -> Optional[LabelSet]:
    """Read the classes of a subset from classes.txt in the root; None where there is none."""
    path = root / 'classes.txt'
    if not path.is_file():
        return None
    return known.only([_label(f'{path.name} line {line}:', known, name) for line, name in read_lines(path)])


def _label(where: str, labels: LabelSet, name: str) -> int:
    label = labels.find(name)
    if label is None:
        raise UserError(f'{where} {unknown("class", name, labels.classes)}')
    return label


def labeled(path: Path, rows: Sequence[Row], known: LabelSet, labels: LabelSet) -> List[Tuple[Row, int]]:
    """Give each clip its label, -1 where the list has none; those of classes that are not wanted are left out."""
    position = {known.find(name): label for label, name in enumerate(labels.classes)}
    pairs = []
    for row in rows:
        label = position.get(_label(f'{path.name} line {row.line}:', known, row.label)) if row.label else -1
        if label is not None:
            pairs.append((row, label))
    return pairs


def _tree(place: Place, known: LabelSet, asked: Request, subset: Subset) -> VideoDataset:
    """Open a folder for each class, where no list says what a split has."""
    trees = {split: place._replace(split=split).tree() for split in SPELLINGS}
    if not any(trees.values()) and any(known.find(folder) is not None for folder in class_folders(place.root)):
        logger.warning(
            '%s: no folder for a split (train, val, test); %s is all of it', printable(str(place.root)), asked.split
        )
        trees[place.split] = place.root
    tree = trees[place.split]
    if tree is None:
        raise UserError(
            f'{place.root}: no list and no folder for split {asked.split!r} of {place.name}; expected annotations/'
            f'{place.split}.csv as it is published, or {place.split}/<class>/<video>'
        )
    labels = subset.labels
    if labels is None:  # of all splits, so that the same label means the same class
        folders = [(path, folder) for path in filter(None, trees.values()) for folder in class_folders(path)]
        labels = known.only([_label(f'{path}:', known, folder) for path, folder in folders])
    records = []
    for folder in class_folders(tree):
        label = labels.find(known.classes[_label(f'{tree}:', known, folder)])
        if label is not None:
            videos = (path for path in videos_in(place.root, tree / folder) if subset.has(os.path.basename(path)[:ID]))
            records += [VideoRecord(path, label) for path in videos]
    if not records:
        raise UserError(f'{tree}: no video of the {len(labels)} classes in its class folders')
    return VideoDataset(records, labels, place.root, f'{place.name} {asked.split}', asked.cache)
