"""Features of videos on disk: one file a video, a manifest that says what they are, and the dataset that they make.

FOLDER/manifest.json          network, weights, stage, views, classes, and the list of videos
FOLDER/<path of video>.npz    features of its views, and where in the video each view comes from
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from .. import safe_json
from ..errors import UserError, VideoError
from ..files import atomic_write
from ..input_spec import InputSpec
from ..npz import NpzError, are_finite, read_npz
from .datasets import VideoDataset, VideoRecord
from .labels import LabelSet
from .transforms import Cut, View, Window
from .video import VideoReader

logger = logging.getLogger(__name__)

FORMAT = 1  # of manifest and files; raised when a reader of today could misread them
MANIFEST = 'manifest.json'
_KINDS = {'features': 'f', 'frames': 'iu', 'resized': 'iu', 'window': 'iu', 'mirrored': 'b'}  # of a video's file
NETWORK = 'network.params'  # in the folder of the features, or of all splits: the network that made them


@dataclasses.dataclass(frozen=True)
class FeatureSettings:
    """What features are of. Folders are gone on with, and put together, only where all of it agrees.

    Parameters
    ----------
    model
        name of the network
    layers, weights
        SHA-256 of the layers up to the stage, and of their parameters' values (`weights.fingerprint`)
    network_sha256
        of the file of the whole network's parameters (`NETWORK`); '' where none is kept
    stage
        3, 4 or 5
    pooled
        whether each view's features are averaged over all positions to one vector
    dtype
        'float16' or 'float32'
    input
        fields of the `InputSpec` of the views
    views
        which views: {'protocol': name}, or {'random': how many, 'seed': ..., 'augment': ..., 'flip': ...}
    dataset
        what the videos are called
    classes, groups, flip_map
        as in `LabelSet`
    precision
        in which the network was computed (`deploy.execution`), whatever `dtype` they are kept in
    """

    model: str
    layers: str
    weights: str
    network_sha256: str
    stage: int
    pooled: bool
    dtype: str
    input: Dict[str, Any]
    views: Dict[str, Any]
    dataset: str
    classes: List[str]
    groups: Optional[List[str]]
    flip_map: List[int]
    precision: str = 'float32'

    @property
    def spec(self) -> InputSpec:
        """The views that the features are of."""
        values: Dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in self.input.items()}
        return InputSpec(**values)

    @property
    def labels(self) -> LabelSet:
        """The classes."""
        groups = None if self.groups is None else tuple(self.groups)
        return LabelSet(tuple(self.classes), groups, np.array(self.flip_map, np.int64))

    def differences(self, other: FeatureSettings) -> List[str]:
        """What differs from others, as 'name: this -> other' lines; other layers or weights are said where all else is
        equal.
        """
        mine, theirs = dataclasses.asdict(self), dataclasses.asdict(other)
        changed = [key for key in mine if mine[key] != theirs[key]]
        hashes = ('layers', 'weights', 'network_sha256')
        lines = [f'{key}: {_short(mine[key])} -> {_short(theirs[key])}' for key in changed if key not in hashes]
        return lines or [f'other {key}' for key in changed[:1]]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The list of a folder's videos, and what their features are.

    Parameters
    ----------
    settings
        what the features are of
    source
        where the network's weights come from, in words
    records
        path of each video (as its file is named) and its label, -1 where unknown
    failed
        path of each video that could not be decoded -> reason
    complete
        whether every video has its file, or has failed
    """

    settings: FeatureSettings
    source: str
    records: Tuple[VideoRecord, ...]
    failed: Dict[str, str] = dataclasses.field(default_factory=dict)
    complete: bool = False

    def save(self, folder: Union[str, os.PathLike]) -> None:
        """Write it into a folder, atomically."""
        values = {'format': FORMAT, 'kind': 'features', **dataclasses.asdict(self)}
        values['records'] = [record[:2] for record in self.records]
        with atomic_write(Path(folder) / MANIFEST) as stream:
            json.dump(values, stream, indent=1)

    @classmethod
    def load(cls, folder: Union[str, os.PathLike]) -> Manifest:
        """Read a folder's; raises UserError where there is none, or anything else."""
        path = Path(folder) / MANIFEST
        if not path.is_file():
            raise UserError(f'{folder}: no features there (no {MANIFEST}); make them with gluon-fg features')
        try:
            values = safe_json.load(path, 'make the features anew')
            if (values.pop('format'), values.pop('kind')) != (FORMAT, 'features'):
                raise UserError(f'{path}: of another format than {FORMAT}, which this version reads')
            values['settings'] = FeatureSettings(**values['settings'])
            values['records'] = tuple(VideoRecord(str(name), int(label)) for name, label, *_ in values['records'])
            manifest = cls(**values)
            assert manifest.settings.spec and manifest.settings.labels
            return manifest
        except UserError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
            raise UserError(f'{path}: not a manifest written by gluon-fg features') from error


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f'{text[:57]}...'


def file_of(folder: Union[str, os.PathLike], name: str) -> Path:
    """Return where a video's features lie."""
    return Path(folder) / f'{name}.npz'


def file_names(ids: Sequence[str]) -> List[str]:
    """Name each video's file below the folder: by its own path, without what leads out of the folder; all different."""
    names: List[str] = []
    taken = set()
    for video in ids:
        parts = [part for part in Path(video).parts if part not in ('..', os.sep, Path(video).anchor)]
        name, count = os.path.join(*parts), 1
        while name in taken:
            count += 1
            name = f'{os.path.join(*parts)}#{count}'
        taken.add(name)
        names.append(name)
    return names


def save_views(path: Path, views: Sequence[View]) -> None:
    """Write the features of a video's views, and where these come from, atomically: a .npz without pickles.

    Arrays: `features` (views, C, T, H, W), or (views, frames, C, H, W) of a network on images, or (views, C) pooled;
    `frames` (views, T), numbers of the video's frames; `resized` (views, 2), height and width of the frame that
    `window` (views, 4: top, left, height, width) is a part of; `mirrored` (views,).
    """
    with atomic_write(path, 'wb') as stream:
        np.savez(
            stream,
            features=np.stack([view.pixels for view in views]),
            frames=np.stack([view.frames for view in views]).astype(np.int64),
            resized=np.array([view.cut.resized for view in views], np.int32),
            window=np.array([view.cut.window for view in views], np.int32),
            mirrored=np.array([view.cut.mirrored for view in views], bool),
        )


def load_views(path: Union[str, os.PathLike]) -> List[View]:
    """Read what `save_views` wrote; raises VideoError for a missing file, or anything else."""
    try:
        arrays = read_npz(path, _KINDS)
        features, frames, mirrored = arrays['features'], arrays['frames'], arrays['mirrored']
        resized, windows = arrays['resized'].tolist(), arrays['window'].tolist()
        cuts = [Cut(tuple(size), Window(*w), bool(m)) for size, w, m in zip(resized, windows, mirrored)]
        if features.dtype not in (np.float16, np.float32) or not len(features) == len(frames) == len(cuts) > 0:
            raise ValueError('arrays of other sizes or types')
        if not are_finite(features):
            raise ValueError('a number that is not finite')
    except (NpzError, ValueError, TypeError) as error:
        if not os.path.exists(path):
            raise VideoError(str(path), 'no such file of features') from None
        raise VideoError(
            str(path), f'not a file of features, or cut short ({error}); remove it and make it anew'
        ) from None
    return [View(*each) for each in zip(features, frames, cuts)]


class FeatureReader(VideoReader):
    """Gives the stored views of a video, whose `pixels` are features; of frames there are none."""

    backend = 'features'

    def __init__(self, path: str, views: List[View]):
        super().__init__(path, 0, 0.0, (0, 0))
        self.views = views

    def draw(self, rng: np.random.Generator) -> View:
        """Choose one of the views, each as likely as the others."""
        return self.views[int(rng.integers(len(self.views)))]


class FeatureDataset(VideoDataset):
    """The videos of a folder of features, with their labels; `open` gives a `FeatureReader`.

    Parameters
    ----------
    folder
        what `gluon-fg features` wrote for one list or split
    cache
        'none', or 'memory': features are kept after they were read once

    Raises
    ------
    UserError
        no or unfinished features there, or vectors, which no network goes on from
    """

    def __init__(self, folder: Union[str, os.PathLike], cache: str = 'none'):
        self.manifest = Manifest.load(folder)
        settings = self.manifest.settings
        if not self.manifest.complete:
            there = sum(file_of(folder, record.path).is_file() for record in self.manifest.records)
            raise UserError(
                f'{folder} has features of {there} of {len(self.manifest.records)} videos; start the gluon-fg features '
                'that made them again, it goes on'
            )
        if settings.pooled:
            raise UserError(f'{folder} holds vectors (--pool), which no network goes on from; make them without --pool')
        records = [record for record in self.manifest.records if record.path not in self.manifest.failed]
        super().__init__(records, settings.labels, folder, f'{settings.dataset} ({folder})', cache)

    def path(self, index: int) -> str:
        return str(file_of(self.root, self.records[index].path))

    def open(self, index: int) -> FeatureReader:
        path = self.path(index)
        views = None if self.cache == 'none' else self.kept.get(path)
        if views is None:
            views = load_views(path)
            if self.cache == 'memory':
                self.kept.keep(path, sum(view.pixels.nbytes for view in views), lambda: views)
        return FeatureReader(path, views)

    def __getitem__(self, index: int) -> Tuple[np.ndarray, int]:
        """Features of all views of a video, (views, C, T, H, W), and its label, -1 where unknown."""
        return np.stack([view.pixels for view in self.open(index).views]), self.records[index].label

    def probe(self, n: int = 3) -> List[VideoError]:
        """Read the first `n` files; raises UserError where one of them is not there or broken."""
        for index in range(min(n, len(self))):
            load_views(self.path(index))
        return []
