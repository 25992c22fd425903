"""Checking every file of a dataset, in several processes, so that a check that was stopped goes on where it was."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Callable, Dict, Iterable, Mapping, Union

import portalocker

from .. import safe_json
from ..errors import UserError
from .health import BROKEN, FileHealth, bytes_of, check_file
from .pool import in_processes, progress_bar

logger = logging.getLogger(__name__)

_CRASHED = f'{BROKEN}: decoding it ends the process'


class Journal:
    """A file of what was checked so far, a line for each file, so that nothing is lost when the check is killed.

    A context manager: inside, no other process may check into the same journal.

    Parameters
    ----------
    path
        the journal's file; made where there is none

    Raises
    ------
    UserError
        on entering: another process is at it, or it cannot be written
    """

    def __init__(self, path: Union[str, os.PathLike]):
        self.path = Path(path)

    def __enter__(self) -> Journal:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = open(self.path, 'a+b')
            portalocker.lock(self._stream, portalocker.LOCK_EX | portalocker.LOCK_NB)
        except portalocker.LockException:
            self._stream.close()
            raise UserError(
                f'{self.path.parent}: another check writes there now; wait for it, or choose --out'
            ) from None
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f'{self.path.parent}: cannot be written ({reason}); choose a folder with --out') from None
        return self

    def __exit__(self, *exc: object) -> None:
        self._stream.close()

    def entries(self) -> Dict[str, FileHealth]:
        """What was checked, by path; lines that a kill or a damage made unreadable are left out."""
        self._stream.seek(0)
        entries, whole = {}, 0
        for line in self._stream:
            try:
                path, *values = safe_json.parse(line)
                health = FileHealth(*values)
                entries[os.fsdecode(bytes.fromhex(path))] = health._replace(looks=tuple(health.looks))
                whole += 1
            except (ValueError, TypeError):
                logger.debug('%s: line %d is left out', self.path, whole)
        return entries

    def add(self, path: str, health: FileHealth) -> None:
        """Write what was seen of a file; a former line of it is replaced."""
        line = json.dumps([os.fsencode(path).hex(), *health], separators=(',', ':'))
        self._stream.write(b'\n' + line.encode() if self._torn() else line.encode())
        self._stream.write(b'\n')
        self._stream.flush()

    def _torn(self) -> bool:
        """Whether the last line has no end: what is written next must not become a part of it."""
        end = self._stream.seek(0, os.SEEK_END)
        if not end:
            return False
        self._stream.seek(end - 1)
        return self._stream.read(1) != b'\n'

    def clear(self) -> None:
        """Forget all of it."""
        self._stream.truncate(0)

    def done(self) -> None:
        """Remove it, once its content stands elsewhere."""
        self.path.unlink()


def survey(
    root: str,
    paths: Iterable[str],
    journal: Journal,
    known: Mapping[str, FileHealth],
    workers: int,
    progress: bool = False,
    check: Callable[[str], FileHealth] = check_file,
) -> Dict[str, FileHealth]:
    """Check the files of a dataset (`check_file`), leaving out those that were checked already and have not changed.

    Parameters
    ----------
    root, paths
        folder that relative paths start from, and the paths
    journal
        where every result is written at once, and those of a check that was stopped are read from
    known
        results of a former check
    workers
        processes that check; 0: this one does, and a file that ends it ends the check
    progress
        show a bar with the time left
    check
        what looks at a file: a function that the processes can import

    Returns
    -------
    dict
        path -> `FileHealth`, in the order of `paths`
    """
    paths = list(dict.fromkeys(paths))
    former = {**known, **journal.entries()}
    files = {path: os.path.join(root, path) for path in paths}
    results = {path: former[path] for path in paths if path in former and unchanged(files[path], former[path])}
    todo = [path for path in paths if path not in results]
    with progress_bar('checked', 'file', len(paths), len(results), progress) as bar:
        for path, health in in_processes(check, {path: files[path] for path in todo}, workers, _crashed):
            journal.add(path, health)
            results[path] = health
            bar.update()
    return {path: results[path] for path in paths}


def unchanged(file: str, health: FileHealth) -> bool:
    """Tell whether a file is as it was when it was checked. What was missing is looked for again."""
    try:
        status = os.stat(file)
    except OSError:
        return False
    same_size = health.kind == 'frames' or status.st_size == health.bytes
    return health.mtime_ns == status.st_mtime_ns and same_size and bool(health.sha256)


def _crashed(file: str) -> FileHealth:
    """The result of a file whose decoder ends its process."""
    return bytes_of(file)._replace(problem=_CRASHED)
