"""Computing and storing the optical flow of many videos, in several processes, so that it goes on after any kill."""

from __future__ import annotations

import collections
import hashlib
import os
import posixpath
from pathlib import Path
from typing import Dict, Iterable, Iterator, Mapping, NamedTuple, Optional, Union

from ...errors import UserError
from ..datasets import VIDEO_SUFFIXES
from ..pool import in_processes, progress_bar
from .fields import check_algorithm
from .listing import Entry, Header, Recording, bytes_of
from .writing import Job, Made, extract, taken

UNFINISHED = 'computing it was stopped; the same gluon-fg data flow goes on with it'
_OUTSIDE = 'outside'  # folder for what does not lie in the folder that is gone through


class Extracted(NamedTuple):
    """What an extraction did.

    Parameters
    ----------
    entries
        all videos that were asked for, as the manifest lists them, by path
    computed
        how many were computed now; the others were there, or could not be
    """

    entries: Dict[str, Entry]
    computed: int

    @property
    def left_out(self) -> Dict[str, str]:
        """Why a video has no flow, by path."""
        return {path: entry.problem for path, entry in self.entries.items() if entry.problem}


def extract_flow(
    root: Union[str, os.PathLike],
    paths: Iterable[str],
    out: Union[str, os.PathLike],
    header: Header,
    workers: Optional[int] = None,
    progress: bool = False,
) -> Extracted:
    """Compute the flow of videos and store it in a folder, with a manifest (`listing`).

    Stopped, in whatever way, it goes on with the videos that it has not finished; the result is the same. Those whose
    file has another size since, or whose fields somebody removed, are computed again. What cannot be read to its end is
    listed with its reason, and tried again the next time. Fields are called like their video without its suffix; with
    it where others would be called so.

    Parameters
    ----------
    root
        folder that relative paths start from, and that videos will be looked up below
    paths
        the videos: files or folders of frames; a path that is named twice is computed once
    out
        the folder for the fields; that of the frames to have them beside these, with the layout 'pairs'
    header
        how they are computed and stored
    workers
        processes; 0: this one does it all; None: one for each processor
    progress
        show a bar with the time left

    Raises
    ------
    UserError
        an algorithm that cannot be had; no video; a folder with flow made otherwise, with files of others in the way,
        or that cannot be written; a full disk
    """
    check_algorithm(header.algorithm)
    top, folder = os.path.abspath(root), Path(out)
    sources = {listed_as(top, path): os.path.join(top, path) for path in paths}
    if not sources:
        raise UserError(f'{root}: no video to compute the flow of')
    with Recording(folder, header) as recording:
        known = recording.entries
        names = _names(sources, {path: entry.file for path, entry in known.items()})
        sizes = {path: bytes_of(source) for path, source in sources.items()}
        there_now = {path: taken(header, folder, names[path]) for path in sources}
        whole = {p for p, e in known.items() if not e.problem and e.bytes == sizes.get(p) and there_now[p]}
        todo = [path for path in sources if path not in whole]
        for path in todo:
            there = there_now[path] if path not in known else None
            if there is not None:
                raise UserError(f'{there} is there already, and no flow that was computed here; choose another --out')
        recording.add(Entry(path, names[path], bytes=sizes[path], problem=UNFINISHED) for path in todo)
        jobs = {path: Job(sources[path], str(folder), names[path], header) for path in todo}
        count = min(len(os.sched_getaffinity(0)), len(jobs)) if workers is None else workers
        with progress_bar('flow', 'video', len(sources), len(sources) - len(todo), progress) as bar:
            for path, made in in_processes(extract, jobs, count, _crashed):
                recording.add(
                    [Entry(path, names[path], made.fields, made.width, made.height, sizes[path], made.problem)]
                )
                bar.update()
        recording.finish()
        entries = {path: recording.entries[path] for path in sources}
        return Extracted(entries, sum(not entries[path].problem for path in todo))


def _crashed(job: Job) -> Made:
    return Made(problem='decoding it ends the process')


def listed_as(top: str, path: str) -> str:
    """The path that a video is listed by: below the folder that is gone through, else absolute."""
    path = os.path.normpath(os.path.join(top, path))
    below = os.path.relpath(path, top)
    return Path(path if below.split(os.sep)[0] == os.pardir else below).as_posix()


def _names(paths: Iterable[str], known: Mapping[str, str]) -> Dict[str, str]:
    """What the fields of each video are called: without its suffix, with it where two would meet.

    Fields of a.mp4 are not called a where there is a/b.mp4, either: they would lie in one folder. Names that were given
    before stay.
    """
    whole = {path: _below(path) for path in paths}
    plain = {path: _stem(name) for path, name in whole.items()}
    counts = collections.Counter(name.lower() for name in plain.values())
    counts.update({name.lower() for path, name in whole.items() if name != plain[path]})
    counts.update({folder for name in whole.values() for folder in _folders(name.lower())})
    used = {name.lower() for name in known.values()}
    names: Dict[str, str] = {}
    for path, name in plain.items():
        if path not in known:
            name = name if counts[name.lower()] == 1 and name.lower() not in used else whole[path]
            while name.lower() in used and name in known.values():
                name += '_'
            used.add(name.lower())
        names[path] = known.get(path, name)
    return names


def _below(path: str) -> str:
    if not posixpath.isabs(path):
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()
    return f'{_OUTSIDE}/{digest[:12]}_{posixpath.basename(path)}'


def _stem(name: str) -> str:
    return posixpath.splitext(name)[0] if name.lower().endswith(VIDEO_SUFFIXES) else name


def _folders(name: str) -> Iterator[str]:
    while posixpath.dirname(name):
        name = posixpath.dirname(name)
        yield name
