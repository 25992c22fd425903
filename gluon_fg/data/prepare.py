"""Preparing a dataset: its lists are read, every file is checked, and the manifest is written."""

from __future__ import annotations

import contextlib
import os
import posixpath
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import UserError, VideoError
from .catalog.entry import DatasetInfo, Request, dataset_info
from .datasets import VideoDataset, VideoRecord
from .freshness import sources_of
from .health import BROKEN, MISSING, SOUND, FileHealth
from .manifest import FILE, FOLDER, Manifest, Row, Split, read_manifest, scanner, table_of
from .packets import load_scan
from .pool import worker_count
from .segments import frame_range
from .survey import Journal, survey
from .video import PyAVReader

JOURNAL = 'journal.jsonl'


class Prepared(NamedTuple):
    """A manifest, the folder that it lies in, and why a split of the dataset's usual ones is not in it."""

    manifest: Manifest
    folder: Path
    absent: Dict[str, str]


def prepare(
    dataset: str,
    root: Union[str, os.PathLike],
    splits: Sequence[str] = (),
    out: Optional[Union[str, os.PathLike]] = None,
    workers: Optional[int] = None,
    again: bool = False,
    progress: bool = False,
) -> Prepared:
    """Read a dataset's lists, check every file that they name, and write the manifest.

    A check that was stopped, in whatever way, goes on where it was; files that have not changed since they were
    checked are not checked again. The manifest is the same in the end.

    Parameters
    ----------
    dataset
        its name in the catalog
    root
        its folder
    splits
        those to read, also paths of lists where the dataset takes them; none: those of its usual ones that are there
    out
        folder for the manifest; None: ROOT/.gluon_fg/DATASET, where `build_dataset` looks for it
    workers
        processes; 0: this one alone; None: one for each processor, at most 8
    again
        check all files, whatever is known of them
    progress
        show a bar with the time left

    Raises
    ------
    UserError
        an unknown dataset, or one that is rendered; no such folder; no split in it; a named split that cannot be read;
        a folder that cannot be written, or has other files in it
    """
    info = dataset_info(dataset)
    if info.rendered:
        raise UserError(f'{dataset} is rendered here, not prepared; gluon-fg data prepare synthfg makes its files')
    top = info.folder(root)
    folder = Path(out) if out is not None else top / FOLDER / dataset
    if out is not None and folder.is_dir() and not _ours(folder):
        raise UserError(f'{folder} holds other files; choose an empty folder')
    opened, absent = _open_splits(info, os.fspath(root), splits)
    manifest = write_manifest(dataset, root, opened, folder, workers, again, progress)
    return Prepared(manifest, folder, absent)


def write_manifest(
    dataset: str,
    root: Union[str, os.PathLike],
    opened: Dict[str, VideoDataset],
    folder: Path,
    workers: Optional[int] = None,
    again: bool = False,
    progress: bool = False,
) -> Manifest:
    """Check the files of splits that were opened, and write their manifest into a folder; as `prepare`.

    Parameters
    ----------
    opened
        dataset of each split, by its name or, of a list file, its absolute path
    """
    with Journal(folder / JOURNAL) as journal:
        split_of = {key: _split(videos, str(root), opened) for key, videos in opened.items()}
        bases = {key: split.base for key, split in split_of.items() if not split.same_as}
        paths = [_joined(base, record.path) for key, base in bases.items() for record in opened[key].records]
        sources = sources_of(root, paths, [key for key in opened if os.path.isfile(key)])
        if again:  # without what is known, even if this check is stopped
            journal.clear()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(folder / FILE)
        known = _known(folder / FILE)
        count = worker_count(workers, len(paths))
        health = survey(os.fspath(root), paths, journal, known, count, progress)
        rows = [row for key, base in bases.items() for row in _rows(key, base, opened[key], health)]
        gone = {key: list(videos.gone) for key, videos in opened.items() if videos.gone and not split_of[key].same_as}
        manifest = Manifest(dataset, os.path.abspath(root), split_of, sources, table_of(rows), scanner(), gone)
        manifest.save(folder / FILE)
        journal.done()
    return manifest


def _ours(folder: Path) -> bool:
    """Whether a folder is empty, or was written to by a check before."""
    return not any(folder.iterdir()) or any((folder / name).is_file() for name in (FILE, JOURNAL))


def _open_splits(info: DatasetInfo, root: str, splits: Sequence[str]) -> Tuple[Dict[str, VideoDataset], Dict[str, str]]:
    """The datasets of the splits that can be read, and what was wrong with the others."""
    opened, wrong = {}, {}
    for split in splits or info.splits:
        try:
            key = os.path.abspath(split) if os.path.isfile(split) else split
            opened[key] = info.open(info, Request(split, root))
        except UserError as error:
            if splits:
                raise
            wrong[split] = error
    if not opened:
        raise next(iter(wrong.values()))
    return opened, {split: str(error) for split, error in wrong.items()}


def _split(videos: VideoDataset, root: str, opened: Dict[str, VideoDataset]) -> Split:
    base = os.path.relpath(videos.root, root) if videos.root else os.path.relpath('.', root)
    base = '' if base == '.' else Path(base).as_posix()
    for key, other in opened.items():
        if other is videos:
            break
        if (other.root, other.fingerprint) == (videos.root, videos.fingerprint):
            return Split(videos.name, base, videos.labels, videos.left_out, key)
    return Split(videos.name, base, videos.labels, videos.left_out)


def _joined(base: str, path: str) -> str:
    return posixpath.join(base, path) if base else path


def _known(path: Path) -> Dict[str, FileHealth]:
    """What a former manifest tells of files, by path; nothing where it cannot be read or scanned otherwise."""
    try:
        manifest = read_manifest(path)
    except UserError:
        return {}
    if manifest.scanner != scanner():
        return {}
    known = {}
    for row in manifest.rows():
        problem = next((text for text in row.problems if text.startswith((MISSING, BROKEN, SOUND))), '')
        seen: Dict[str, Any] = {**row._asdict(), 'problem': problem, 'looks': tuple(row.looks)}
        health = FileHealth(**{name: seen[name] for name in FileHealth._fields})
        known[row.file] = health._replace(frames=_length(row))
    return known


def _length(row: Row) -> int:
    """Frames of a row's whole file."""
    return load_scan(row.scan).length if row.scan else row.frames


def _rows(key: str, base: str, videos: VideoDataset, health: Dict[str, FileHealth]) -> List[Row]:
    rows = []
    for place, record in enumerate(videos.records):
        path = _joined(base, record.path)
        seen, label = health[path], record.label
        problems = [seen.problem] if seen.problem else []
        frames = seen.frames
        if not problems and (record.start, record.end) != (None, None):
            frames = _frames_in(path, seen, record)
            problems += [] if frames else ['no frame in its clip']
        known = label >= 0
        shown_classes = None if videos.targets is None else np.flatnonzero(videos.targets[place]).tolist()
        shown = path.encode('utf-8', 'backslashreplace').decode()
        rows.append(
            Row(
                key,
                shown,
                None if shown == path else os.fsencode(path),
                label,
                shown_classes,
                videos.labels.classes[label] if known else None,
                videos.labels.groups[label] if known and videos.labels.groups else None,
                record.start,
                record.end,
                seen.kind,
                frames,
                seen.fps,
                seen.width,
                seen.height,
                seen.turns,
                problems + ([] if known or shown_classes is not None else ['no label']),
                seen.bytes,
                seen.mtime_ns,
                seen.sha256,
                list(seen.looks),
                seen.scan,
            )
        )
    return rows


def _frames_in(path: str, seen: FileHealth, record: VideoRecord) -> int:
    """Frames of a file that are shown between a record's times."""
    if not seen.scan:
        return seen.frames
    try:
        with PyAVReader(path, load_scan(seen.scan)) as reader:  # which opens nothing until it decodes
            first, stop = frame_range(reader, record.start, record.end)
    except VideoError:
        return 0
    return max(0, stop - first)
