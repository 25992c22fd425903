"""The manifest of a dataset: one Parquet file with what its lists say and what a check of all its files saw.

`gluon-fg data prepare` writes it, as ROOT/.gluon_fg/DATASET/manifest.parquet. `build_dataset` takes it in place of the
lists and folders while it is fresh, so that nothing is walked, parsed or scanned; the dataset is the same.

It is fresh while the sizes and times of change of the list files, and the times of change of the folders that hold the
videos, are those of when the lists were read: a file that was added, removed or renamed changes its folder's. A video
that was written anew in its place is told by its own size and time when it is opened: it is then scanned as without a
manifest. A manifest that is damaged, stale, or of another version is left aside with a line, never half believed: a
digest of everything in it stands in it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Set, Tuple, Union

import av
import numpy as np

from ..errors import UserError
from ..files import atomic_path
from . import bitstreams, counting, orientation, packets, tracks
from .datasets import VideoDataset, VideoRecord
from .freshness import changed, relative
from .known_scans import KnownScans
from .labels import LabelSet
from .scans import ScanCache

if TYPE_CHECKING:
    import pyarrow

logger = logging.getLogger(__name__)

VERSION = 1
FOLDER, FILE = '.gluon_fg', 'manifest.parquet'
_META, _DIGEST = b'gluon_fg.manifest', b'gluon_fg.sha256'
_said: Set[str] = set()


class Row(NamedTuple):
    """One listed video: what its list says, then what the check of its file saw (`health.FileHealth`).

    `path` starts from the manifest's root; `name` holds its bytes where they are no Unicode. `class_name` and `group`
    are None for a label of -1. `labels` are all classes that a video shows, None where each has one label. `frames`
    counts those between `start` and `end`, which are None for a whole file. `problems` are 'missing', 'broken: ...',
    'no video: ...', 'no label', 'no frame in its clip'.
    """

    split: str
    path: str
    name: Optional[bytes]
    label: int
    labels: Optional[List[int]]
    class_name: Optional[str]
    group: Optional[str]
    start: Optional[float]
    end: Optional[float]
    kind: str
    frames: int
    fps: float
    width: int
    height: int
    turns: int
    problems: List[str]
    bytes: int
    mtime_ns: int
    sha256: str
    looks: List[int]
    scan: str

    @property
    def file(self) -> str:
        """Its path as the disk has it."""
        return self.path if self.name is None else os.fsdecode(self.name)

    def shown(self, labels: LabelSet) -> List[str]:
        """Names of all its classes."""
        if self.labels is None:
            return [] if self.class_name is None else [self.class_name]
        return [labels.classes[label] for label in self.labels]


class Split(NamedTuple):
    """A split of the dataset: how messages call it, the folder its paths start from (below the root), its classes.

    `left_out` counts files by suffix that are no videos; `same_as` names another split that is this one: a folder
    without splits is all of them.
    """

    name: str
    base: str
    labels: LabelSet
    left_out: Dict[str, int]
    same_as: str = ''


@dataclasses.dataclass
class Manifest:
    """What a manifest file holds; `read_manifest` reads one, `save` writes it.

    Parameters
    ----------
    dataset
        the dataset's name in the catalog
    root
        its folder
    splits
        by name; of a split that is a list file, by its absolute path
    sources
        sizes and times of what was read to list the videos: see `freshness.sources_of`
    table
        an Arrow table of `schema()`
    scanner
        `scanner()` of the program that scanned the files: the scans of another are not used
    gone
        by split, what its list has and the disk has not, where the dataset leaves that out
    """

    dataset: str
    root: str
    splits: Dict[str, Split]
    sources: Dict[str, List[int]]
    table: pyarrow.Table
    scanner: str = ''
    gone: Dict[str, List[str]] = dataclasses.field(default_factory=dict)

    def rows(self) -> List[Row]:
        """All rows, splits one after another."""
        return [Row(*values) for values in zip(*(column.to_pylist() for column in self.table.columns))]

    def stale(self) -> str:
        """Say what has changed since the lists were read; '' where nothing has."""
        return changed(self.root, self.sources)

    def build(self, split: str, root: Union[str, os.PathLike], cache: str = 'none') -> VideoDataset:
        """Make the dataset of a split: the one that its lists and folders give, with the scans of its files."""
        import pyarrow.compute as pc

        told = self.splits[split]
        part = self.table.filter(pc.equal(self.table['split'], told.same_as or split))
        base = os.path.join(os.fspath(root), told.base) if told.base else os.fspath(root)
        paths = [
            path if name is None else os.fsdecode(name)
            for path, name in zip(part['path'].to_pylist(), part['name'].to_pylist())
        ]
        if told.base:
            above = f'{told.base}/'
            paths = [path[len(above) :] if path.startswith(above) else path for path in paths]
        records = list(map(VideoRecord, paths, *(part[name].to_pylist() for name in ('label', 'start', 'end'))))
        scans = KnownScans(base, paths, part) if self.scanner == scanner() else ScanCache()
        targets = None
        several = part['labels'].to_pylist()
        if several and several[0] is not None:
            targets = np.zeros((len(records), len(told.labels)), bool)
            for target, shown in zip(targets, several):
                target[shown] = True
        videos = VideoDataset(records, told.labels, base, told.name, cache, scans, targets)
        videos.left_out = dict(told.left_out)
        videos.gone = tuple(self.gone.get(told.same_as or split, ()))
        if videos.gone:
            _say(f'{told.name}: {len(videos.gone)} videos of its list are not on disk, such as {videos.gone[0]}')
        return videos

    def save(self, path: Union[str, os.PathLike]) -> None:
        """Write it, atomically; the same content gives the same bytes."""
        import pyarrow.parquet as pq

        labels: List[Any] = []
        for split in self.splits.values():
            value = _plain(split.labels)
            if value not in labels:
                labels.append(value)
        meta = {
            'version': VERSION,
            'dataset': self.dataset,
            'root': relative(self.root, os.path.dirname(os.path.abspath(path))),
            'splits': {
                key: [s.name, s.base, labels.index(_plain(s.labels)), s.left_out, s.same_as]
                for key, s in self.splits.items()
            },
            'labels': labels,
            'sources': self.sources,
            'scanner': self.scanner,
            'gone': self.gone,
        }
        text = json.dumps(meta).encode()
        table = self.table.replace_schema_metadata({_META: text, _DIGEST: _digest(self.table, text)})
        with atomic_path(path) as temporary:
            pq.write_table(table, temporary, compression='zstd')


def read_manifest(path: Union[str, os.PathLike]) -> Manifest:
    """Read a manifest; scans that another version made mean something else, and are left out.

    Raises
    ------
    UserError
        no such file, another version's, or one that is damaged: whatever it says is then not believed
    """
    import pyarrow.parquet as pq

    if not os.path.isfile(path):
        raise UserError(f'{path}: no such manifest; gluon-fg data prepare makes it')
    try:
        table = pq.read_table(os.fspath(path), use_threads=False, partitioning=None)
        metadata = table.schema.metadata or {}
        meta = json.loads(metadata[_META])
        version = meta['version']
    except Exception as error:  # Arrow raises its own errors, OSError, ValueError, and more on damaged files
        reason = ' '.join(str(error).split())[:120]
        raise UserError(f'{path}: is not a manifest that can be read ({reason})') from None
    if version != VERSION:
        raise UserError(f'{path}: is a manifest of version {version}, this program reads {VERSION}; prepare it again')
    table = table.replace_schema_metadata(None)
    if table.schema != schema() or metadata.get(_DIGEST) != _digest(table, metadata[_META]):
        raise UserError(f'{path}: is damaged (its digest is of other content); prepare it again')
    labels = [LabelSet(classes, groups, np.array(flips)) for classes, groups, flips in meta['labels']]
    splits = {
        key: Split(name, base, labels[place], left_out, same)
        for key, (name, base, place, left_out, same) in meta['splits'].items()
    }
    if meta['scanner'] != scanner():
        place = table.schema.get_field_index('scan')
        table = table.set_column(place, schema().field(place), [[''] * len(table)])
    root = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(path)), meta['root']))
    return Manifest(meta['dataset'], root, splits, meta['sources'], table, meta['scanner'], meta.get('gone', {}))


def manifest_path(root: Union[str, os.PathLike], dataset: str) -> Path:
    """Tell where the manifest of a dataset is looked for: in its folder; a name that ends in .parquet is one."""
    return Path(root) if os.fspath(root).endswith('.parquet') else Path(root) / FOLDER / dataset / FILE


def open_manifest(
    dataset: str, split: str, root: Optional[Union[str, os.PathLike]], cache: str = 'none'
) -> Tuple[Optional[VideoDataset], Optional[Union[str, os.PathLike]]]:
    """Open a split by its manifest where that is there and fresh.

    Returns
    -------
    videos
        the dataset, or None: its lists have to be read
    root
        the folder that they lie in: as given, or that of the manifest which was given in its place

    Raises
    ------
    UserError
        `root` is itself a manifest, and is none that can be read or is of another dataset
    """
    path = None if root is None else manifest_path(root, dataset)
    given = os.fspath(root or '').endswith('.parquet')
    if path is None or not (given or path.is_file()):
        return None, root
    try:
        manifest = read_manifest(path)
    except UserError as error:
        if given:
            raise
        _say(f'{error}; the lists of {dataset} are read instead')
        return None, root
    if manifest.dataset != dataset:
        raise UserError(f'{path} is the manifest of dataset {manifest.dataset!r}, not of {dataset!r}')
    folder = manifest.root if given else root
    key = split if split in manifest.splits else os.path.abspath(split)
    stale = manifest.stale()
    if stale:
        _say(f'{path}: {stale} has changed since; the lists are read instead. gluon-fg data prepare makes it anew')
    if stale or key not in manifest.splits or folder is None:
        return None, folder
    return manifest.build(key, folder, cache), folder


@functools.lru_cache(maxsize=None)
def scanner() -> str:
    """A digest of the code that scans files, and PyAV's version: what another has scanned may mean something else."""
    code = ''.join(inspect.getsource(module) for module in (bitstreams, counting, orientation, packets, tracks))
    return hashlib.sha256((code + av.__version__).encode()).hexdigest()[:16]


def schema() -> pyarrow.Schema:
    """Columns of a manifest and their types, in the order of `Row`."""
    import pyarrow as pa

    text, whole, number = pa.string(), pa.int32(), pa.float64()
    types = {
        'split': text, 'path': text, 'name': pa.binary(), 'label': whole, 'labels': pa.list_(whole), 'class': text,
        'group': text, 'start': number, 'end': number, 'kind': text, 'frames': whole, 'fps': number, 'width': whole,
        'height': whole, 'turns': whole, 'problems': pa.list_(text), 'bytes': pa.int64(), 'mtime_ns': pa.int64(),
        'sha256': text, 'looks': pa.list_(pa.int64()), 'scan': text,
    }  # fmt: skip
    return pa.schema(list(types.items()))


def table_of(rows: List[Row]) -> pyarrow.Table:
    """Make the table of a manifest."""
    import pyarrow as pa

    columns = list(zip(*rows)) if rows else [()] * len(Row._fields)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema())], schema=schema())


def _plain(labels: LabelSet) -> List[Any]:
    return [list(labels.classes), labels.groups and list(labels.groups), labels.flip_map.tolist()]


def _say(line: str) -> None:
    """Warn once in a process: each split opens the same manifest."""
    if line not in _said:
        _said.add(line)
        logger.warning('%s', line)


def _digest(table: pyarrow.Table, meta: bytes) -> bytes:
    """SHA-256 of all values and of the text that goes with them, whatever Arrow's version and chunks."""
    digest = hashlib.sha256(meta)
    for name, column in zip(table.schema.names, table.columns):
        digest.update(name.encode())
        _update(digest, column.combine_chunks())
    return digest.hexdigest().encode()


def _update(digest: Any, values: Any) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pa.concat_arrays(values.chunks) if isinstance(values, pa.ChunkedArray) else values
    digest.update(np.ascontiguousarray(values.is_valid().to_numpy(zero_copy_only=False)).tobytes())
    if pa.types.is_list(values.type):
        digest.update(pc.list_value_length(values).fill_null(0).to_numpy(zero_copy_only=False).tobytes())
        _update(digest, values.flatten())
    elif pa.types.is_string(values.type) or pa.types.is_binary(values.type):
        lengths = pc.binary_length(values).fill_null(0).to_numpy(zero_copy_only=False)
        digest.update(lengths.tobytes())
        _, offsets, data = values.buffers()
        if data is not None and len(values):
            edges = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
            digest.update(memoryview(data)[edges[0] : edges[-1]])
    else:
        digest.update(values.fill_null(0).to_numpy(zero_copy_only=False).tobytes())
