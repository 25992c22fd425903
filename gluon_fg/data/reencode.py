"""Encoding a whole dataset anew into another folder, with lists and a manifest of its own (`encoding.encode`)."""

from __future__ import annotations

import collections
import contextlib
import csv
import glob
import hashlib
import io
import os
import posixpath
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Union

import numpy as np

from ..errors import UserError
from ..files import atomic_write
from .datasets import VideoDataset, VideoRecord
from .encoding import Job, encode
from .health import FileHealth
from .manifest import FILE, FOLDER, Manifest, Row
from .pool import in_processes, progress_bar, worker_count
from .prepare import write_manifest
from .survey import Journal, unchanged

JOURNAL = 'encoded.jsonl'
_OUTSIDE = 'outside'  # folder for what does not lie in the dataset's own


class Reencoded(NamedTuple):
    """The manifest of the new folder, where it lies, and why a video is not in it, by its path."""

    manifest: Manifest
    file: Path
    left_out: Dict[str, str]


def reencode(
    manifest: Manifest, folder: Union[str, os.PathLike], workers: Optional[int] = None, progress: bool = False
) -> Reencoded:
    """Encode all videos of a dataset anew, under their names with the suffix .mp4; the sources are not touched.

    Stopped, in whatever way, it goes on where it was. A source that has changed since is encoded again. What cannot be
    decoded to its end is left out. The folder gets a list of each split, as the dataset 'csv' and most others read it,
    and a manifest, by which it is the same dataset.

    Parameters
    ----------
    manifest
        of the dataset, as `prepare` made it
    folder
        where the videos are to lie, neither in the dataset's folder nor around it
    workers, progress
        as for `prepare`

    Raises
    ------
    UserError
        a folder that is the dataset's or has files in the way; a dataset of images; not one video that can be encoded;
        a full disk
    """
    top = Path(folder)
    home = top / FOLDER / manifest.dataset
    check_target(manifest.dataset, manifest.root, top)
    rows = [row for row in manifest.rows() if row.kind != 'image']
    if not rows:
        raise UserError(f'{manifest.root}: {manifest.dataset} has images; videos alone are encoded anew')
    left_out = {row.file: '; '.join(row.problems) for row in rows if not row.frames}
    names = _names([row.file for row in rows if row.file not in left_out])
    files = {row.file: row for row in rows if row.file in names}
    with Journal(home / JOURNAL) as journal:
        known = journal.entries()
        jobs = {}
        for path, row in files.items():
            source, target = os.path.join(manifest.root, path), top / names[path]
            if not (path in known and unchanged(source, known[path]) and target.exists()):
                _clear(target)
                jobs[path] = Job(source, str(target), row.scan)
        for path in jobs:  # noted before: what is there under its name is then ours, and whole
            row = files[path]
            journal.add(path, FileHealth(row.kind, bytes=row.bytes, mtime_ns=row.mtime_ns, sha256=row.sha256))
        left_out.update(_encoded(jobs, len(files), workers, progress))
    opened = _datasets(manifest, top, names, left_out)
    if not opened:
        raise UserError(f'{manifest.root}: not one video could be encoded; {next(iter(left_out.values()))}')
    for key, videos in opened.items():
        _write_list(top / f'{key}.csv', videos, top)
    made = write_manifest(manifest.dataset, top, opened, home, workers, progress=progress)
    return Reencoded(made, home / FILE, left_out)


def check_target(dataset: str, root: Union[str, os.PathLike], folder: Union[str, os.PathLike]) -> None:
    """Refuse a folder for `reencode` that is the source's, lies in it or around it, or holds other files."""
    a, b = os.path.realpath(root), os.path.realpath(folder)
    if os.path.commonpath([a, b]) in (a, b):
        raise UserError(f'{folder}: choose a folder outside the dataset ({root})')
    top = Path(folder)
    if top.is_dir() and any(top.iterdir()) and not (top / FOLDER / dataset / JOURNAL).is_file():
        raise UserError(f'{folder} holds other files; choose an empty folder')


def _names(files: List[str]) -> Dict[str, str]:
    """File -> its name in the new folder: .mp4 in place of its own suffix, or behind it where two would meet."""
    names: Dict[str, str] = {}
    for file in files:
        path = posixpath.normpath(Path(file).as_posix())
        if posixpath.isabs(path) or path.startswith('..'):
            digest = hashlib.sha256(os.fsencode(path)).hexdigest()
            path = f'{_OUTSIDE}/{digest[:12]}_{posixpath.basename(path)}'
        names[file] = path
    plain = {file: f'{posixpath.splitext(path)[0]}.mp4' for file, path in names.items()}
    counts = collections.Counter(path.lower() for path in plain.values())
    return {file: path if counts[path.lower()] == 1 else f'{names[file]}.mp4' for file, path in plain.items()}


def _clear(target: Path) -> None:
    """Remove a former file, and what a kill has left of one."""
    for left in [target, *target.parent.glob(f'.{glob.escape(target.name)}.*')]:
        with contextlib.suppress(FileNotFoundError):
            left.unlink()


def _encoded(jobs: Mapping[str, Job], files: int, workers: Optional[int], progress: bool) -> Dict[str, str]:
    """Encode; gives what failed, with the reason."""
    failed = {}
    with progress_bar('encoded', 'video', files, files - len(jobs), progress) as bar:
        count = worker_count(workers, len(jobs))
        for path, reason in in_processes(encode, jobs, count, lambda job: 'decoding it ends the process'):
            if reason:
                failed[path] = reason
            bar.update()
    return failed


def _datasets(
    manifest: Manifest, top: Path, names: Mapping[str, str], left_out: Mapping[str, str]
) -> Dict[str, VideoDataset]:
    """The splits as they are in the new folder; one of which nothing is left is left out."""
    kept: Dict[str, List[Row]] = collections.defaultdict(list)
    for row in manifest.rows():
        if row.file not in left_out and row.frames:
            kept[row.split].append(row)
    opened = {}
    for key, split in manifest.splits.items():
        rows = kept[split.same_as or key]
        paths = [names[row.file] for row in rows]
        base = split.base if split.base and all(path.startswith(f'{split.base}/') for path in paths) else ''
        records = [
            VideoRecord(path[len(base) + 1 if base else 0 :], row.label, row.start, row.end)
            for path, row in zip(paths, rows)
        ]
        targets = None
        if rows and rows[0].labels is not None:
            targets = np.zeros((len(rows), len(split.labels)), bool)
            for target, row in zip(targets, rows):
                target[row.labels] = True
        name = posixpath.splitext(posixpath.basename(key))[0] if os.path.isabs(key) else key
        if rows:
            opened[name] = VideoDataset(records, split.labels, top / base, split.name, targets=targets)
    return opened


def _write_list(path: Path, videos: VideoDataset, top: Path) -> None:
    """Write a split as a list that `from_csv` (or `from_label_list`) reads."""
    base = Path(os.path.relpath(videos.root, top)).as_posix()
    labels, groups = videos.labels, videos.labels.groups
    lines: List[List[Any]] = []
    for place, record in enumerate(videos.records):
        where = record.path if base == '.' else f'{base}/{record.path}'
        times = ['' if time is None else repr(time) for time in (record.start, record.end)]
        if videos.targets is not None:
            shown = '|'.join(labels.classes[label] for label in np.flatnonzero(videos.targets[place]))
            lines.append([where, shown, *times])
            continue
        known = record.label >= 0
        class_name = labels.classes[record.label] if known else ''
        lines.append([where, record.label, class_name, groups[record.label] if known and groups else '', *times])
    columns = ['path', 'labels'] if videos.targets is not None else ['path', 'label', 'class', 'group']
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows([[*columns, 'start', 'end'], *lines])
    with atomic_write(path, 'wb') as stream:
        stream.write(text.getvalue().encode('utf-8', 'surrogateescape'))
