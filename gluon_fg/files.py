"""Writing files so that a reader, or a run killed half way, never meets half a file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import IO, Iterable, Iterator, Union

from .errors import UserError


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

    For writers that want a file name rather than a file object.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.', suffix=path.suffix)
    os.close(handle)
    try:
        yield temporary
        with open(temporary, 'rb') as written:
            os.fsync(written.fileno())
        umask = os.umask(0)  # mkstemp makes private files; ours get what open() would have given
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def atomic_write(path: Union[str, os.PathLike], mode: str = 'w') -> Iterator[IO]:
    """`open` for writing, with the file appearing under its name only when it is complete."""
    with atomic_path(path) as temporary, open(temporary, mode) as stream:
        yield stream
        stream.flush()


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
