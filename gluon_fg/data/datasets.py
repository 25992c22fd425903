"""Videos or images with labels, to be opened one by one."""

from __future__ import annotations

import copy
import functools
import hashlib
import logging
import math
import os
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from mxnet.gluon.data import Dataset

from ..errors import UserError, VideoError, printable, unknown
from ..input_spec import InputSpec
from . import video
from .flow.computed import ArrayFlow, all_fields
from .flow.place import FlowPlace
from .flow.sources import part_flow
from .flow.stored import FlowReader
from .isolated import open_isolated
from .kept import MemoryCache
from .labels import LabelSet
from .scans import ScanCache
from .segments import cut, times

logger = logging.getLogger(__name__)

# Containers, what cameras and recorders of television call them, and streams without one; all are decoded.
VIDEO_SUFFIXES = tuple(
    '.mp4 .avi .mkv .webm .mov .m4v .mpg .mpeg .flv .wmv .ts .3gp .mts .m2ts .ogv .gif .vob .asf '
    '.3g2 .f4v .m2t .trp .mod .tod .mpe .m1v .m2v .ogm .qt .mxf .divx .rm .rmvb .dv .wtv .nut .amv '
    '.y4m .h264 .264 .hevc .265 .mjpeg .mjpg'.split()
)
CACHES = ('none', 'memory')


class VideoRecord(NamedTuple):
    """One listed video or image: its path (relative to the dataset's root, or absolute) and label, -1 where unknown.

    `start` and `end` say which stretch of the file is meant, in seconds: from the first frame at or after `start` to
    the last before `end`. None: the file's beginning, its end.
    """

    path: str
    label: int = -1
    start: Optional[float] = None
    end: Optional[float] = None

    @property
    def name(self) -> str:
        """Its path, followed by its times where it has any: 'match.mp4 [10-20 s]'."""
        if self.start is None and self.end is None:
            return self.path
        return f'{self.path} [{times(self.start, self.end)}]'


class VideoDataset(Dataset):
    """Videos and their labels, as a dataset for Gluon: `dataset[i]` is (frames, label).

    Training and evaluation use `open`, which decodes only the frames that are asked for.

    Parameters
    ----------
    records
        the videos, in the order of the list
    labels
        names, groups and mirror rules of the classes
    root
        folder that relative paths start from
    name
        how messages call the dataset
    cache
        'none', or 'memory': decoded frames are kept after the first opening, whole videos in uint8 (a 10 s clip of
        340x256 takes 65 MB), until the budget of `kept` is full; without one, as long as there is memory
    scans
        scans of the files that are known already, which also takes up the others; None: each file is scanned when it is
        first opened
    targets
        (videos, M) bool, where videos have several labels (or none of them): which classes each shows. A record's label
        is then its first class, or -1. None: a video has the label of its record alone

    Raises
    ------
    UserError
        an empty list, a label outside 0..M-1 (-1 is "unknown"), a clip that ends before it starts, an unknown cache, or
        targets of another shape
    """

    isolated = True  # films are decoded in processes of their own: one whose decoder crashes costs itself alone

    def __init__(
        self,
        records: Sequence[VideoRecord],
        labels: LabelSet,
        root: Union[str, os.PathLike] = '',
        name: str = 'dataset',
        cache: str = 'none',
        scans: Optional[ScanCache] = None,
        targets: Optional[np.ndarray] = None,
    ):
        if cache not in CACHES:
            raise unknown('cache', cache, CACHES)
        if not records:
            raise UserError(f'{name} lists no video')
        for number, record in enumerate(records):
            if not -1 <= record.label < len(labels):
                raise UserError(f'{name}, video {number} ({record.path}): {outside(record.label, len(labels))}')
            if not (record.start or 0) < (math.inf if record.end is None else record.end):
                raise UserError(f'{name}, video {number}: {record.name} ends before it starts')
        self.records: Tuple[VideoRecord, ...] = tuple(
            VideoRecord(str(path), int(label), *clip) for path, label, *clip in records
        )
        self.labels, self.root, self.name, self.cache = labels, os.fspath(root), printable(name), cache
        self.targets = None if targets is None else np.asarray(targets, bool)
        if self.targets is not None and self.targets.shape != (len(records), len(labels)):
            raise UserError(
                f'{name}: targets have shape {self.targets.shape}, {len(records)} videos of {len(labels)} classes take '
                f'{(len(records), len(labels))}'
            )
        self.left_out: Dict[str, int] = {}  # suffix -> files in the folders that were read that are no videos by it
        self.gone: Tuple[str, ...] = ()  # what its list has and the disk has not, where that is left out of the records
        self.kept = MemoryCache()  # where `cache` says so; may be set to one that has a limit (`kept.shared_cache`)
        self.scans = ScanCache() if scans is None else scans
        self.flow: Optional[str] = None  # where optical flow comes from, for networks that see it: `flow.place`
        self.keeps_frames = True  # with `cache` 'memory': False keeps fields of flow alone

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Tuple[np.ndarray, int]:
        """Decode a whole video: uint8 (T, H, W, 3), RGB, and its label, -1 where unknown.

        Raises
        ------
        VideoError
            it cannot be read
        """
        label = self.records[index].label
        with self.open(index) as reader:
            return reader.get_batch(np.arange(len(reader))), label

    @property
    def nclass(self) -> int:
        """Number of classes, M."""
        return len(self.labels)

    @property
    def counts(self) -> np.ndarray:
        """(M,) videos of each class; one with several labels counts for each of them."""
        if self.targets is not None:
            return self.targets.sum(axis=0)
        known = [record.label for record in self.records if record.label >= 0]
        return np.bincount(np.array(known, np.int64), minlength=self.nclass)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the classes and of every name and label in order: equal for equal lists, whatever the root."""
        lines = [self.labels.fingerprint] + [f'{_one_line(record.name)}\t{record.label}' for record in self.records]
        if self.targets is not None:
            lines += [' '.join(map(str, np.flatnonzero(row))) for row in self.targets]
        return hashlib.sha256('\n'.join(lines).encode('utf-8', 'surrogateescape')).hexdigest()

    def path(self, index: int) -> str:
        """Return where the file of a record is."""
        return os.path.join(self.root, self.records[index].path)

    def open(self, index: int) -> video.VideoReader:
        """Open a record's video for reading; the caller closes it (a context manager). Safe from several threads.

        The reader has only the frames of the record's stretch of the file, where it names one.

        Raises
        ------
        VideoError
            it cannot be read, or has no frame in the record's stretch
        """
        path, (_, _, start, end) = self.path(index), self.records[index]
        key = (path, start, end)
        kept = None if self.cache == 'none' else self.kept.get(key)
        if kept is None:
            reader = self.from_disk(index)
            if self.cache == 'none':
                return reader
            reader.flow = FlowPlace(keep=functools.partial(self._kept_flow, index))
            if not self.keeps_frames:
                return reader
            kept = self.kept.keep(key, 3 * len(reader) * reader.size[0] * reader.size[1], lambda: _all_of(reader))
            if kept is None:  # no room: of the others only the frames that are asked for are decoded
                return reader
            reader.close()
        held = video.ArrayReader(path, *kept)
        held.flow = FlowPlace(keep=functools.partial(self._kept_flow, index))
        return held

    def from_disk(self, index: int) -> video.VideoReader:
        """A record's stretch of its file, read from the disk."""
        path, (_, _, start, end) = self.path(index), self.records[index]
        film = (open_isolated if self.isolated else video.open_video)(path, scans=self.scans)
        film.flow = FlowPlace(self.flow, self.root)
        return cut(film, start, end)

    def _kept_flow(self, index: int, spec: InputSpec) -> FlowReader:
        """The fields of a record's stretch, kept in memory where there is room for all of them."""
        key = (self.path(index), *self.records[index][2:], self.flow, spec.flow, spec.flow_bound)
        kept = self.kept.get(key)
        if kept is None:
            flow = part_flow(self.from_disk(index), spec)
            width, height = flow.size
            kept = self.kept.keep(key, 2 * len(flow) * width * height, lambda: all_fields(flow))
            if kept is None:
                return flow
        return ArrayFlow(*kept)

    def parted(self, share: float) -> Tuple[VideoDataset, Optional[VideoDataset]]:
        """The videos without a share of them, and that share; None where the share is 0.

        A hash of each path decides, so that it is the same share for every order of the list, root and run, and a
        larger share contains a smaller one. Videos cut from one recording may come to lie on both sides.

        Raises
        ------
        UserError
            nothing would be left in one of the two
        """
        if not share:
            return self, None
        held = [_place(record.path) < share for record in self.records]
        if all(held) or not any(held):
            raise UserError(
                f'{self.name}: a share of {share:g} of its {len(self)} videos, by a hash of their paths, is '
                f'{"all" if all(held) else "none"} of them; choose another share, or 0'
            )
        parts = []
        for wanted, name in ((False, self.name), (True, f'{self.name}, held out')):
            part = copy.copy(self)  # the same files, and the same frames kept in memory
            part.records = tuple(record for record, is_held in zip(self.records, held) if is_held == wanted)
            part.targets = None if self.targets is None else self.targets[np.array(held) == wanted]
            part.name = name
            parts.append(part)
        return parts[0], parts[1]

    def relabeled(self, labels: LabelSet) -> VideoDataset:
        """The same videos with the labels of another set that has all of its classes by name.

        Raises
        ------
        UserError
            it lacks one
        """
        absent = [name for name in self.labels.classes if name not in labels.classes]
        if absent:
            raise UserError(f'{self.name}: {unknown("class", absent[0], labels.classes)}')
        place = [labels.classes.index(name) for name in self.labels.classes]
        other = copy.copy(self)  # the same files, and the same frames kept in memory
        other.labels = labels
        other.records = tuple(
            record._replace(label=place[record.label]) if record.label >= 0 else record for record in self.records
        )
        if self.targets is not None:
            other.targets = np.zeros((len(self), len(labels)), bool)
            other.targets[:, place] = self.targets
        return other

    def require_classes(self, nclass: int, model: str = 'the model') -> None:
        """Refuse a model made for another number of classes."""
        if nclass != self.nclass:
            raise UserError(f'{model} has {nclass} classes, {self.name} has {self.nclass}; choose nclass={self.nclass}')

    def probe(self, n: int = 3) -> List[VideoError]:
        """Open the first `n` videos; errors of some are logged and returned, errors of all raised as one.

        To be called before hours are spent: a wrong root or list format fails here, with its reason.
        """
        errors, tried = [], range(min(n, len(self)))
        for index in tried:
            try:
                with self.from_disk(index) as reader:
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


def _all_of(reader: video.VideoReader) -> Tuple[np.ndarray, float, Optional[np.ndarray]]:
    """All frames of a video, frames per second and times, for an `ArrayReader`; closes it where that fails."""
    try:
        return reader.get_batch(np.arange(len(reader))), reader.fps, reader.times
    except BaseException:
        reader.close()
        raise


def _place(path: str) -> float:
    """A number from 0 to 1, below 1, that depends on a path alone, evenly spread over paths."""
    digest = hashlib.sha256(Path(path).as_posix().encode('utf-8', 'surrogateescape')).digest()
    return int.from_bytes(digest[:6], 'big') / 2**48


def _one_line(name: str) -> str:
    """A name in which no line ends and no tab stands but at its beginning, so that no two lists are written alike."""
    return '\t' + name.translate(_ESCAPED) if '\n' in name or '\t' in name else name


_ESCAPED = str.maketrans({'\\': '\\\\', '\t': '\\t', '\n': '\\n'})


def outside(label: int, classes: int) -> str:
    """Say what is wrong with a label that is not one of the classes."""
    return f'label {label} is outside 0..{classes - 1}'


def some_suffixes(suffixes: Sequence[str]) -> str:
    """Name the suffixes of files that were looked for: the common ones, where there are many."""
    return ', '.join(suffixes[:10]) + (' and others' if len(suffixes) > 10 else '')


def existing_folder(path: Union[str, os.PathLike]) -> Path:
    """Check that a folder exists, and return its path; raises UserError where there is none."""
    path = Path(path)
    if not path.is_dir():
        raise UserError(f'{path}: ' + ('is not a folder' if path.exists() else 'no such folder'))
    return path
