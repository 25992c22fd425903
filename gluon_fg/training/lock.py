"""One job at a time in a run's folder: a lock that ends with the process that holds it, however it ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import logging
import os
import platform
import threading
import time
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple, Union

from ..errors import UserError, printable
from .distributed import World

logger = logging.getLogger(__name__)

LOCK = '.lock'  # in the run's folder; who holds it stands in it
_SHOWN_WITHIN = 30.0  # seconds
_RUN = 'config.yaml'  # what makes a folder a run's
_TAKEN = (errno.EAGAIN, errno.EACCES)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what file systems without locks answer

_held: Dict[Tuple[int, str], RunLock] = {}  # thread and folder -> its lock


class RunLock:
    """A folder that this process has for itself; on ranks other than 0 it stands for what rank 0 has.

    Parameters
    ----------
    path
        the folder
    """

    def __init__(self, path: Path):
        self.path = path
        self._made: List[Path] = []  # folders that were made for it, the innermost first
        self._folder: Optional[int] = None
        self._lock: Optional[int] = None

    def take(self) -> None:
        """Lock the folder, which is made where there is none.

        Raises
        ------
        UserError
            another process has it, or there can be no such folder
        """
        try:
            self._make()
            self._folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            while not self._try():  # whoever had it removed its file meanwhile
                pass
        except OSError as error:
            raise UserError(f'{self.path}: {error.strerror or error}; choose another --out') from None

    def _make(self) -> None:
        missing = list(itertools.takewhile(lambda path: not path.exists(), (self.path, *self.path.parents)))
        self.path.mkdir(parents=True, exist_ok=True)
        self._made = missing

    def _try(self) -> bool:
        """Lock the lock's file; False where what was locked is that file no longer."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        self._lock = handle = os.open(LOCK, flags, 0o666, dir_fd=self._folder)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                logger.warning('%s: no locks on this file system; see that no second job uses it', self.path)
                return True
            holder = _holder(handle)
            os.close(handle)
            self._lock = None
            if error.errno in _TAKEN:
                raise UserError(
                    f'{self.path} is in use by {holder}; wait for its end, or choose another --out'
                ) from None
            raise
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(LOCK, dir_fd=self._folder, follow_symlinks=False)):
                with contextlib.suppress(OSError):  # on a full disk: the lock holds all the same
                    os.ftruncate(handle, 0)
                    os.pwrite(handle, f'process {os.getpid()} on {platform.node()}\n'.encode(), 0)
                return True
        os.close(handle)
        self._lock = None
        return False

    def check(self) -> None:
        """Make sure that the folder is still there, before something is written to it.

        Raises
        ------
        UserError
            it was deleted, emptied or moved since it was locked
        """
        if self._folder is None:
            return
        try:
            there = os.path.samestat(os.fstat(self._folder), os.stat(self.path)) and (self.path / _RUN).is_file()
        except (FileNotFoundError, NotADirectoryError):
            there = False
        if not there:
            raise UserError(f'{self.path} was deleted or moved while it was in use; nothing more is written')

    def release(self) -> None:
        """Let others have it, and remove what was made for it where nothing has come into it."""
        if self._lock is not None:
            with contextlib.suppress(OSError):  # wherever the folder is now
                os.unlink(LOCK, dir_fd=self._folder)
        self.close()
        for path in self._made:
            with contextlib.suppress(OSError):
                path.rmdir()

    def close(self) -> None:
        """Close its files; the lock goes with the last process that has them open."""
        for handle in (self._lock, self._folder):
            if handle is not None:
                os.close(handle)
        self._lock = self._folder = None


@contextlib.contextmanager
def run_lock(run_dir: Union[str, os.PathLike], world: Optional[World] = None) -> Iterator[RunLock]:
    """While open no other job uses a run's folder; collective, every rank raises alike.

    Ranks on several machines need one folder: the others resume from the checkpoint that rank 0 writes there. A thread
    that has the folder already may take it again, as `gluon-fg finetune` does around its training.

    Raises
    ------
    UserError
        another process has it: which, and on which machine; there can be no such folder; or a rank has another one
    """
    world, path = world or World(), Path(os.path.abspath(run_dir))
    key = (threading.get_ident(), os.path.realpath(path))
    if key in _held:
        yield _held[key]
        return
    lock, problem = _held.setdefault(key, RunLock(path)), None
    try:
        if world.rank == 0:
            try:
                lock.take()
            except UserError as error:
                problem = str(error)
        problem = world.gather_objects(problem)[0]
        if problem:
            raise UserError(problem)
        _check_shared(path, world)
        yield lock
    finally:
        _held.pop(key, None)
        lock.release()


def _check_shared(path: Path, world: World) -> None:
    """Make sure that every rank sees the folder that rank 0 has locked, by what stands in the lock's file.

    Network file systems may show a file some seconds after it was written: a rank waits for it that long.
    """
    if world.size == 1:
        return
    mark, end = world.gather_objects(_mark(path) if world.rank == 0 else None)[0], time.monotonic() + _SHOWN_WITHIN
    while _mark(path) != mark and time.monotonic() < end:
        time.sleep(0.1)
    world.agree(
        None
        if _mark(path) == mark
        else f'rank {world.rank} on {platform.node()} does not see in {path} what rank 0 wrote: the ranks of a job '
        'need one folder; choose an --out on a disk that all machines share'
    )


def _mark(path: Path) -> Optional[str]:
    try:
        return (path / LOCK).read_text(encoding='utf-8', errors='replace')
    except OSError:
        return None


def remove_left(run_dir: Path) -> None:
    """Remove the file of a lock whose job was killed; where somebody has the folder, or nobody may write, it stays."""
    if (run_dir / LOCK).exists():
        lock = RunLock(run_dir)
        with contextlib.suppress(UserError):
            lock.take()
        lock.release()


def _holder(handle: int) -> str:
    return printable(os.read(handle, 300).decode('utf-8', 'replace').strip()) or 'another process'


def _forget() -> None:
    """In a child process: a decoder that outlives its parent must not keep the folder locked."""
    for lock in _held.values():
        lock.close()
    _held.clear()


os.register_at_fork(after_in_child=_forget)
