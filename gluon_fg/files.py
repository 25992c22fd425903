"""Writing files so that a reader, or a run killed half way, never meets half a file.

What is not complete yet lies beside its place under a name of its own, `.gluon-fg-HOST-RANDOM`, and is locked (`flock`)
for as long as its writer lives. So whatever of that name nobody holds was left by a kill, and the next command that
writes into the folder removes it (`sweep`).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import IO, Callable, Iterable, Iterator, Set, Tuple, Union

from .errors import UserError, disk_error

_HOST = hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:6]
_OURS = re.compile(r'\.gluon-fg-(?P<host>[0-9a-f]{6})-[0-9a-f]{8}(\.[^./]*)?')
# As former versions named what they wrote, without a lock: .NAME.xxxxxxxx.SUFFIX for NAME.SUFFIX, and folders of three
# kinds. Names that may be anybody's are not among them.
_FORMER = re.compile(
    r'\..+(?P<suffix>\.[^.]+)\.[a-z0-9_]{8}(?P=suffix)|\.(import|publish)-[a-z0-9_]{8}|\.checkpoint-\d{8}\.partial',
    re.DOTALL,
)
_OLD = 24 * 3600  # seconds; what shows no lock of this host may be in use on another, but not for so long
_swept: Set[str] = set()
_held: Set[int] = set()  # what holds the locks of this process


def check_free(
    path: Union[str, os.PathLike], force: bool = False, flag: str = '--out', inputs: Iterable[object] = ()
) -> None:
    """Refuse to write where the user has something: a file that is there already, or one of those that are read.

    Parameters
    ----------
    path
        the file that is to be written
    force
        whether the user allows to replace it
    flag
        the option that gave its name, for the message
    inputs
        files that the command reads, which even `force` does not allow to replace; None among them is skipped

    Raises
    ------
    UserError
        naming the file and what to do
    """
    real = os.path.realpath(path)
    if real in [os.path.realpath(str(given)) for given in inputs if given is not None]:
        raise UserError(f'{path} is one of the given files; choose another {flag}')
    if os.path.exists(path) and not force:
        raise UserError(f'{path} is there already; use --force to replace it, or another {flag}')


@contextlib.contextmanager
def atomic_path(path: Union[str, os.PathLike]) -> Iterator[str]:
    """Give a temporary path beside `path`; on success it takes `path`'s place, on an error it is removed.

    For writers that want a file name rather than a file object. The file is there, locked, and they write into it.

    Raises
    ------
    OSError
        the disk refuses; it names `path`, whatever the writer made of the refusal (zipfile, for one, a ValueError)
    UserError
        `path` is a device or a pipe, whose place a file must not take
    """
    path = Path(path)
    with naming(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UserError(f'{path} is a device or a pipe; choose the name of a file')
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(path.parent)
        temporary, lock = _locked(path.parent, path.suffix if len(os.fsencode(path.suffix)) < 20 else '', _new_file)
        try:
            with asking(temporary):
                yield temporary
            with open(temporary, 'rb') as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        finally:
            _release(lock)


@contextlib.contextmanager
def atomic_write(path: Union[str, os.PathLike], mode: str = 'w') -> Iterator[IO]:
    """`open` for writing, with the file appearing under its name only when it is complete."""
    with atomic_path(path) as temporary, open(temporary, mode) as stream:
        yield stream
        stream.flush()


@contextlib.contextmanager
def atomic_folder(path: Union[str, os.PathLike]) -> Iterator[Path]:
    """Give an empty temporary folder beside `path`; on success it takes `path`'s place, on an error it is removed.

    Its files are flushed to the disk before. Another folder at `path` gives way.

    Raises
    ------
    OSError
        the disk refuses; it names `path` or a file in it
    """
    path = Path(path)
    with temporary_folder(path.parent) as temporary, naming(path):
        yield temporary
        for file in temporary.rglob('*'):
            if file.is_file():
                with open(file, 'rb') as written:
                    os.fsync(written.fileno())
        if not path.is_dir():
            os.replace(temporary, path)
            return
        with temporary_folder(path.parent) as former:  # removing it takes a while, and half of it must not be met
            os.replace(path, former / path.name)
            os.replace(temporary, path)


@contextlib.contextmanager
def temporary_folder(folder: Union[None, str, os.PathLike] = None) -> Iterator[Path]:
    """Give an empty folder in another (None: the system's for temporary files), which is removed in the end."""
    parent = Path(tempfile.gettempdir() if folder is None else folder)
    with naming(parent):
        parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(parent)
        temporary, lock = _locked(parent, '', _new_folder)
    try:
        yield Path(temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        _release(lock)


@contextlib.contextmanager
def naming(path: Union[str, os.PathLike]) -> Iterator[None]:
    """Let errors of the disk say what was being written: those of `write` have no name, others a temporary file's.

    Raises
    ------
    OSError
        with `path` as its file name, in place of an error that names none, or of what a library made of one
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        refused = disk_error(error)
        if refused is None:
            raise
        names = [os.fsdecode(name) for name in (refused.filename2, refused.filename) if isinstance(name, (str, bytes))]
        place, mark, below = _OURS.sub('\0', names[0]).partition('\0') if names else ('', '\0', '')
        if not mark:  # of another file, and named
            raise
        raise OSError(refused.errno, os.strerror(refused.errno or 0), f'{os.fspath(path)}{below}') from error


@contextlib.contextmanager
def asking(path: Union[str, os.PathLike]) -> Iterator[None]:
    """Where writing a file fails for no reason that is told, as in C++, ask the disk: write on, as it can answer.

    Raises
    ------
    OSError
        its answer, in place of an error that has none
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if disk_error(error) is None and os.path.exists(path):
            with open(path, 'ab', buffering=0) as stream:
                for _ in range(64):  # 1 MiB: more than a disk keeps in hand for a file
                    stream.write(bytes(1 << 14))
                os.fsync(stream.fileno())
        raise


def sweep(folder: Union[str, os.PathLike]) -> None:
    """Remove what killed commands have left in a folder. What somebody is writing stays, and all that is not ours.

    Temporary files of former versions, and those of other hosts, whose locks may not be seen here, are left alone for a
    day. Where the disk refuses, they stay.
    """
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            ours = _OURS.fullmatch(name)
            if ours or _FORMER.fullmatch(name):
                with contextlib.suppress(OSError):
                    _remove(os.path.join(folder, name), 0 if ours and ours['host'] == _HOST else _OLD)


def is_temporary(name: str) -> bool:
    """Tell whether a file or folder of this name is one that is not complete yet, or that a kill has left."""
    return bool(_OURS.fullmatch(name) or _FORMER.fullmatch(name))


def _sweep_once(folder: Path) -> None:
    """`sweep`, before the first file that this process writes into a folder."""
    real = os.path.realpath(folder)
    if real not in _swept:
        _swept.add(real)
        sweep(real)


def _remove(path: str, age: float) -> None:
    """Remove a file or folder that nobody holds, and that was last changed so many seconds ago."""
    flags = os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        handle = os.open(path, os.O_RDWR | flags)  # on network drives a lock needs the right to write
    except IsADirectoryError:
        handle = os.open(path, os.O_RDONLY | flags)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(handle)
        if time.time() - status.st_mtime < age:
            return
        if stat.S_ISDIR(status.st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    finally:
        os.close(handle)


def _locked(folder: Path, suffix: str, make: Callable[[str], int]) -> Tuple[str, int]:
    """Make a file or folder under a new temporary name, and lock it: its path, and what holds the lock while open."""
    while True:
        path = os.path.join(folder, f'.gluon-fg-{_HOST}-{secrets.token_hex(4)}{suffix}')
        handle = make(path)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            swept = not os.path.exists(path)
        except BlockingIOError:
            swept = True  # or about to be: `sweep` came between its making and its lock
        except OSError:
            swept = False  # a file system without locks: nobody sweeps there either
        if not swept:
            _held.add(handle)
            return path, handle
        os.close(handle)


def _release(handle: int) -> None:
    if handle in _held:  # not in a child of the process that holds it
        _held.remove(handle)
        os.close(handle)


def _forget() -> None:
    """In a child process: what outlives its parent must not keep the parent's files locked."""
    for handle in tuple(_held):
        _release(handle)


os.register_at_fork(after_in_child=_forget)


def _new_file(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)


def _new_folder(path: str) -> int:
    os.mkdir(path)
    return os.open(path, os.O_RDONLY)


def sha256(path: Union[str, os.PathLike]) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    return digest(path, 'sha256')


def digest(path: Union[str, os.PathLike], algorithm: str) -> str:
    """Hexadecimal digest of a file's bytes by one of hashlib's algorithms."""
    state = hashlib.new(algorithm)
    with open(path, 'rb') as stream:
        for block in iter(lambda: stream.read(1 << 20), b''):
            state.update(block)
    return state.hexdigest()
