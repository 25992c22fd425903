"""The manifest of a folder of flow: one file, a line of JSON with the settings, then a line for each video.

A line is added when a video's fields lie under their name, so that whatever is listed is whole, at any moment and after
any kill; a last line that a kill tore is left out. When an extraction ends, the lines are brought in order.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Union

import portalocker

from ... import safe_json
from ...errors import UserError
from ...files import atomic_write
from .fields import FlowSettings

FILE = 'flow.jsonl'
FORMAT, VERSION = 'gluon_fg.flow', 1
LAYOUTS = ('zip', 'pairs', 'uv')


class Entry(NamedTuple):
    """One video: its path, below the folder that was gone through, and what its fields are called.

    `fields` of `width` x `height` pixels; `bytes` of the video's file, 0 of a folder of frames; `problem`: why it has
    no fields
    """

    path: str
    file: str
    fields: int = 0
    width: int = 0
    height: int = 0
    bytes: int = 0
    problem: str = ''


class Header(NamedTuple):
    """What holds for all videos of a folder of flow: `LAYOUTS` has the layouts; the quality is JPEG's, 1 to 100."""

    algorithm: str
    bound: float
    short_side: Optional[int]
    layout: str
    quality: int

    @property
    def settings(self) -> FlowSettings:
        """How the fields were computed."""
        return FlowSettings(self.algorithm, self.bound, self.short_side)

    def line(self) -> str:
        """The manifest's first line."""
        return json.dumps({'format': FORMAT, 'version': VERSION, **self._asdict()})


class Listing(NamedTuple):
    """What a manifest says: its header, and the videos by path."""

    header: Header
    entries: Dict[str, Entry]

    def find(self, path: str) -> Optional[Entry]:
        """Look a video up: by its path below the folder that was gone through, or by its absolute path.

        An absolute path is that of the entry with the longest common end whose file had as many bytes.
        """
        path = Path(os.path.normpath(path)).as_posix()
        if not os.path.isabs(path) or path in self.entries:
            return self.entries.get(path)
        size = None
        for end in ends(path):
            entry = self.entries.get(end)
            if entry is not None:
                size = bytes_of(path) if size is None else size
                if size == entry.bytes:
                    return entry
        return None


def ends(path: str) -> List[str]:
    """The ends of a path, the longest first: 'a/b/c', 'b/c', 'c'."""
    parts = [part for part in Path(os.path.normpath(path)).parts if part not in (os.sep, '..', '.')]
    return ['/'.join(parts[place:]) for place in range(len(parts))]


def bytes_of(path: Union[str, os.PathLike]) -> int:
    """Bytes of a video's file; of a folder of frames 0; -1 where there is none."""
    try:
        return 0 if os.path.isdir(path) else os.stat(path).st_size
    except OSError:
        return -1


def entry_line(entry: Entry) -> str:
    """The line of a video; bytes of its name that are no Unicode are kept."""
    return json.dumps(list(entry), separators=(',', ':'))


def read_listing(folder: Union[str, os.PathLike]) -> Optional[Listing]:
    """Read the manifest of a folder of flow; None where it has none. Again, it is read only if it has changed.

    Raises
    ------
    UserError
        it is no manifest, or of a later version
    """
    path = os.path.join(folder, FILE)
    try:
        status = os.stat(path)
    except OSError:
        return None
    return _read(path, status.st_mtime_ns, status.st_size) if status.st_size else None


@functools.lru_cache(maxsize=8)
def _read(path: str, mtime_ns: int, size: int) -> Listing:
    with open(path, 'rb') as stream:
        lines = stream.read().split(b'\n')
    header = header_of(path, lines[0])
    entries = {}
    for line in lines[1:]:
        entry = _entry(line)
        if entry is not None:
            entries[entry.path] = entry
    return Listing(header, entries)


def header_of(path: str, line: bytes) -> Header:
    """Read the first line of a manifest; raises UserError where it is none of ours."""
    try:
        values: Dict[str, Any] = safe_json.parse(line)
        if values.pop('format') != FORMAT:
            raise KeyError
        version = values.pop('version')
        if version != VERSION:
            raise UserError(f'{path}: made by another version of gluon_fg (format {version}, this reads {VERSION})')
        header = Header(**values)
        if header.layout not in LAYOUTS:
            raise KeyError
        return header
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f'{path}: is no manifest of flow; gluon-fg data flow writes one into a folder of its own'
        ) from None


class Recording:
    """Writes the manifest of a folder of flow while fields are computed into it. A context manager.

    Parameters
    ----------
    folder
        the folder; made where there is none
    header
        what holds for all its videos

    Raises
    ------
    UserError
        on entering: the folder has flow made otherwise, another process is at it, or it cannot be written
    """

    def __init__(self, folder: Union[str, os.PathLike], header: Header):
        self.path, self.header = Path(folder) / FILE, header
        self.entries: Dict[str, Entry] = {}

    def __enter__(self) -> Recording:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = open(self.path, 'a+b')
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f'{self.path.parent}: cannot be written ({reason}); choose another --out') from None
        try:
            portalocker.lock(self._stream, portalocker.LOCK_EX | portalocker.LOCK_NB)
            for left in self.path.parent.glob(f'.{FILE}.*'):  # by a kill
                left.unlink()
            self._stream.seek(0)
            lines = self._stream.read().split(b'\n')
            if len(lines) > 1:
                _check_same(self.path.parent, header_of(str(self.path), lines[0]), self.header)
                entries = filter(None, map(_entry, lines[1:]))
                self.entries = {entry.path: entry for entry in entries}
            else:  # a first line that a kill tore has no end, and nothing was computed then
                self._stream.truncate(0)
        except portalocker.LockException:
            self._stream.close()
            raise UserError(
                f'{self.path.parent}: another process computes flow there now; wait for it, or choose another --out'
            ) from None
        except BaseException:
            self._stream.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._stream.seek(0, os.SEEK_END):  # nothing was computed: the folder is as it was
            self.path.unlink()
        self._stream.close()

    def add(self, entries: Iterable[Entry]) -> None:
        """Add videos; of one that is listed already the last line counts."""
        new = {entry.path: entry for entry in entries}
        self.entries.update(new)
        if new:
            self._append(*map(entry_line, new.values()))

    def _append(self, *lines: str) -> None:
        end = self._stream.seek(0, os.SEEK_END)
        torn = False
        if end:
            self._stream.seek(end - 1)
            torn = self._stream.read(1) != b'\n'  # what is written next must not become a part of it
        else:
            lines = (self.header.line(), *lines)
        self._stream.write(('\n' * torn + '\n'.join(lines) + '\n').encode())
        self._stream.flush()

    def finish(self) -> None:
        """Bring the lines in order: the same, however the work was interrupted."""
        with atomic_write(self.path) as stream:
            for line in (self.header.line(), *(entry_line(self.entries[path]) for path in sorted(self.entries))):
                stream.write(line + '\n')


def _check_same(folder: Path, there: Header, asked: Header) -> None:
    for name, own, new in zip(Header._fields, there, asked):
        if own != new:
            raise UserError(f'{folder}: holds flow of {name.replace("_", " ")} {own}, not {new}; choose another --out')


def _entry(line: bytes) -> Optional[Entry]:
    try:
        entry = Entry(*safe_json.parse(line))
        return entry if isinstance(entry.path, str) and isinstance(entry.file, str) else None
    except (ValueError, TypeError):
        return None
