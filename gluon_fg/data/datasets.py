"""Lists of videos or images with labels: a folder per class, a CSV file, GluonCV's list format, or a known dataset."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import UserError, VideoError, unknown
from . import stanford, video
from .label_sets import label_set
from .labels import LabelSet
from .lists import label_of, labels_of, read_rows

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.webm', '.mov', '.m4v', '.mpg', '.mpeg', '.flv', '.wmv', '.ts', '.3gp')
SPLITS = ('train', 'val', 'test')
KNOWN = ('kinetics400', 'sthsthv1', 'sthsthv2', 'ucf101', 'hmdb51')  # classes and their order: GluonCV's, but for V1
RENDERED = ('synthfg', 'synthfg_order', 'synthfg_images')
IMAGES = {'stanfordcars': stanford.cars, 'stanforddogs': stanford.dogs}
DATASETS = (*RENDERED, 'folder', 'image_folder', 'csv', *KNOWN, *IMAGES)
CACHES = ('none', 'memory')


class VideoRecord(NamedTuple):
    """One listed video or image: its path (relative to the dataset's root, or absolute) and label, -1 where unknown."""

    path: str
    label: int = -1


class VideoDataset:
    """Videos and their labels.

    Parameters
    ----------
    records
        the videos, in the order of the list
    labels
        what the labels mean
    root
        folder that relative paths start from
    name
        how messages call the dataset
    cache
        'none', or 'memory': decoded frames are kept after the first opening, whole videos in uint8 (a 10 s clip of
        340x256 takes 65 MB: meant for small sets)

    Raises
    ------
    UserError
        an empty list, a label outside 0..M-1 (-1 is "unknown"), or an unknown cache
    """

    def __init__(
        self,
        records: Sequence[VideoRecord],
        labels: LabelSet,
        root: Union[str, os.PathLike] = '',
        name: str = 'dataset',
        cache: str = 'none',
    ):
        if cache not in CACHES:
            raise unknown('cache', cache, CACHES)
        if not records:
            raise UserError(f'{name} lists no video')
        for number, record in enumerate(records):
            if not -1 <= record.label < len(labels):
                raise UserError(f'{name}, video {number} ({record.path}): {_outside(record.label, len(labels))}')
        self.records: Tuple[VideoRecord, ...] = tuple(VideoRecord(str(path), int(label)) for path, label in records)
        self.labels, self.root, self.name, self.cache = labels, os.fspath(root), name, cache
        self._frames: Dict[str, Tuple[np.ndarray, float]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.records)

    @property
    def nclass(self) -> int:
        """Number of classes, M."""
        return len(self.labels)

    @property
    def counts(self) -> np.ndarray:
        """(M,) videos of each class."""
        known = [record.label for record in self.records if record.label >= 0]
        return np.bincount(np.array(known, np.int64), minlength=self.nclass)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the classes and of every path and label in order: equal for equal lists, whatever the root."""
        lines = [self.labels.fingerprint] + [f'{record.path}\t{record.label}' for record in self.records]
        return hashlib.sha256('\n'.join(lines).encode('utf-8', 'surrogateescape')).hexdigest()

    def path(self, index: int) -> str:
        """Where the file of a record is."""
        return os.path.join(self.root, self.records[index].path)

    def open(self, index: int) -> video.VideoReader:
        """A reader of a record's video, to be closed by the caller (a context manager); safe from several threads.

        Raises
        ------
        VideoError
            it cannot be read
        """
        path = self.path(index)
        if self.cache == 'none':
            return video.open_video(path)
        with self._lock:
            known = self._frames.get(path)
        if known is None:
            with video.open_video(path) as reader:
                known = (reader.get_batch(np.arange(len(reader))), reader.fps)
            with self._lock:
                known = self._frames.setdefault(path, known)  # another thread may have been first
        return video.ArrayReader(path, *known)

    def require_classes(self, nclass: int, what: str = 'the model') -> None:
        """Refuse a model made for another number of classes."""
        if nclass != self.nclass:
            raise UserError(f'{what} has {nclass} classes, {self.name} has {self.nclass}; choose nclass={self.nclass}')

    def probe(self, n: int = 3) -> List[VideoError]:
        """Open the first `n` videos; errors of some are logged and returned, errors of all raised as one.

        To be called before hours are spent: a wrong root or list format fails here, with its reason.
        """
        errors, tried = [], range(min(n, len(self)))
        for index in tried:
            try:
                with video.open_video(self.path(index)) as reader:
                    reader.get_batch([0])
            except VideoError as error:
                errors.append(error)
                logger.warning('%s: %s', self.name, error)
        if len(errors) == len(tried):
            raise UserError(
                f'{self.name}: none of the first {len(tried)} videos can be read; {errors[0]} '
                f'(paths start from {self.root or os.getcwd()})'
            ) from errors[0]
        return errors


def _outside(label: int, classes: int) -> str:
    return f'label {label} is outside 0..{classes - 1}'


def _folder(path: Union[str, os.PathLike]) -> Path:
    path = Path(path)
    if not path.is_dir():
        raise UserError(f'{path}: ' + ('is not a folder' if path.exists() else 'no such folder'))
    return path


def _class_folders(root: Path) -> List[str]:
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith('.'))


def from_folder(
    root: Union[str, os.PathLike],
    classes: Optional[Sequence[str]] = None,
    name: Optional[str] = None,
    cache: str = 'none',
    suffixes: Tuple[str, ...] = VIDEO_SUFFIXES,
) -> VideoDataset:
    """One folder per class, the class named like the folder; videos may lie deeper in it.

    Classes are in alphabetical order unless `classes` gives them. Files that do not end like a video (or with one of
    `suffixes`: `video.IMAGE_SUFFIXES` for images), and hidden ones, are left out. Folders of frames are not looked for:
    list them in a CSV file.

    Raises
    ------
    UserError
        no such folder, no class folder or video in it, or a folder that is not among `classes`
    """
    root = _folder(root)
    found = _class_folders(root)
    if not found:
        raise UserError(f'{root}: no class folder in it; expected {root}/<class>/<video>')
    classes = list(found if classes is None else classes)
    records = []
    for folder in found:
        if folder not in classes:
            raise unknown(f'class folder in {root}:', folder, classes)
        label = classes.index(folder)
        for directory, below, files in os.walk(root / folder):
            below[:] = sorted(entry for entry in below if not entry.startswith('.'))
            for file in sorted(files, key=video.natural):
                if file.lower().endswith(suffixes) and not file.startswith('.'):
                    records.append(VideoRecord(os.path.relpath(os.path.join(directory, file), root), label))
    if not records:
        what = 'video' if suffixes == VIDEO_SUFFIXES else 'image'
        raise UserError(f'{root}: no {what} in its class folders (looked for {", ".join(suffixes)})')
    return VideoDataset(records, LabelSet(tuple(classes)), root, name or str(root), cache)


def from_csv(
    path: Union[str, os.PathLike],
    root: Optional[Union[str, os.PathLike]] = None,
    classes: Optional[Union[Sequence[str], LabelSet]] = None,
    name: Optional[str] = None,
    cache: str = 'none',
) -> VideoDataset:
    """A list of videos: CSV with a header, or GluonCV's list.

    CSV: columns `path` and `label`, and `class` and `group` if wanted, in any order; a path with commas stands in
    quotes. The label is a number from 0, -1 for unknown, or a class name (where nothing else names the classes, the
    names found, sorted, are the classes). GluonCV: 'path frames label' or 'path label' on each line, split from the
    right, so that paths keep their spaces. A path is a video, or a folder of frames.

    Class names come from `classes`; else from the file `classes.txt` beside the list (one a line, in order); else from
    the column `class`; else they are the numbers up to the largest label.

    Parameters
    ----------
    root
        folder that relative paths start from; the list's own by default
    classes
        class names in order, or a whole `LabelSet`

    Raises
    ------
    UserError
        no such file, no row, or a row that is wrong, named by its line
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'{path}: ' + ('is a folder, not a list' if path.is_dir() else 'no such list of videos'))
    try:
        text = path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError:
        raise UserError(f'{path}: is not a text file in UTF-8') from None
    rows = read_rows(path, text)
    if not rows:
        raise UserError(f'{path}: lists no video')
    if classes is None and (path.parent / 'classes.txt').is_file():
        lines = (path.parent / 'classes.txt').read_text(encoding='utf-8-sig').splitlines()
        classes = [line.strip() for line in lines if line.strip()]
    labels = labels_of(path, rows, classes)
    records = []
    for row in rows:
        label = label_of(row, labels.classes)
        if label is None:
            raise UserError(f'{path.name} line {row.line}: {unknown("class", row.label, labels.classes)}')
        if not -1 <= label < len(labels):
            raise UserError(f'{path.name} line {row.line}: {_outside(label, len(labels))}')
        if row.class_name and label >= 0 and labels.classes[label] != row.class_name:
            raise UserError(
                f'{path.name} line {row.line}: label {label} is class {labels.classes[label]!r}, not {row.class_name!r}'
            )
        records.append(VideoRecord(row.path, label))
    return VideoDataset(records, labels, path.parent if root is None else root, name or str(path), cache)


def build_dataset(
    name: str,
    split: str,
    root: Optional[Union[str, os.PathLike]] = None,
    cache: str = 'none',
    sizes: Optional[Mapping[str, int]] = None,
) -> VideoDataset:
    """A dataset by name.

    - 'synthfg': the built-in one, rendered under `root` on first use
    - 'synthfg_order': the 16 of its classes whose groups differ in the order of events, from the same files
    - 'synthfg_images': images of the 8 others, rendered under a root of their own
    - 'folder': root/<split>/<class>/<video>. Where root has no folder for any split, root/<class>/<video>, all of it
      whatever the split (a warning says so)
    - 'image_folder': the same with images, root/<split>/<class>/<image>
    - 'csv': root/<split>.csv, else root/<split>.txt; or `split` is itself the path of a list. See `from_csv`
    - 'kinetics400', 'sthsthv2', 'ucf101', 'hmdb51': the same lists, with the dataset's own classes in GluonCV's order;
      'sthsthv1', whose videos are folders of frames: GluonCV has no list of its classes, they are those of the lists

    - 'stanfordcars', 'stanforddogs': images, as their archives unpack (`gluon_fg.data.stanford`)

    Classes of every split of folders and of 'csv' are those of the training split, where there is one, so that the same
    label means the same class.

    Parameters
    ----------
    split
        'train', 'val' or 'test'
    root
        folder of the dataset; None is MXNet's dataset folder for those rendered here
    sizes
        those rendered here only: clips (images) for each split, {'train': 2400, ...}; None accepts what is there

    Raises
    ------
    UserError
        an unknown name or split, no root, and everything that reading the list can find
    """
    if name not in DATASETS:
        raise unknown('dataset', name, DATASETS)
    if name in RENDERED:
        return _synthfg(name, split, root, cache, sizes or {})
    if sizes:
        raise UserError(f'sizes are for the dataset synthfg, which is rendered; {name!r} is what it is')
    if name in IMAGES:
        listed, labels = IMAGES[name](_folder(_needed(name, root)), split)
        return VideoDataset([VideoRecord(*one) for one in listed], labels, root, f'{name} {split}', cache)
    classes = label_set(name)  # None for a folder or list of one's own
    folders = {'folder': VIDEO_SUFFIXES, 'image_folder': video.IMAGE_SUFFIXES}
    if name not in folders and os.path.isfile(split):
        return from_csv(split, root, classes, f'{name} {split}', cache)
    root = _folder(_needed(name, root))
    if name not in folders:
        path, train = _list_file(root, split), _list_file(root, 'train')
        if path is None:
            raise UserError(f'{root}: no list for split {split!r}; expected {split}.csv or {split}.txt')
        if classes is None and train and train != path:
            classes = from_csv(train, root).labels  # a list that lacks a class could else mean other classes
        return from_csv(path, root, classes, f'{name} {split}', cache)
    splits = [entry for entry in SPLITS if (root / entry).is_dir()]
    if split in splits:
        classes = _class_folders(root / 'train') if 'train' in splits else None
        return from_folder(root / split, classes, f'{name} {split}', cache, folders[name])
    if splits or split not in SPLITS:
        raise unknown(f'split of {root}:', split, splits or SPLITS)
    logger.warning('%s: no folder for a split (train, val, test); %s is all of it', root, split)
    return from_folder(root, None, f'{name} {split}', cache, folders[name])


def _needed(name: str, root: Optional[Union[str, os.PathLike]]) -> Union[str, os.PathLike]:
    if root is None:
        raise UserError(f'dataset {name!r} needs a root folder; set data.root')
    return root


def _list_file(root: Path, split: str) -> Optional[Path]:
    paths = (root / f'{split}{suffix}' for suffix in ('.csv', '.txt'))
    return next((path for path in paths if path.is_file()), None)


def _synthfg(
    name: str, split: str, root: Optional[Union[str, os.PathLike]], cache: str, sizes: Mapping[str, int]
) -> VideoDataset:
    from . import synthfg

    for entry in (split, *sizes):
        if entry not in SPLITS:
            raise unknown('split', entry, SPLITS)
    files = 'synthfg' if name == 'synthfg_order' else name
    folder = Path(synthfg.ensure(root, dataset=files, **sizes))
    whole = from_csv(folder / f'{split}.csv', folder, label_set(files), f'{name} {split}', cache)
    if name == files:
        return whole
    kept = [
        VideoRecord(r.path, synthfg.ORDER_LABELS[r.label]) for r in whole.records if r.label in synthfg.ORDER_LABELS
    ]
    return VideoDataset(kept, synthfg.order_label_set(), folder, whole.name, cache)
