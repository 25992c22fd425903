"""Weight files on disk: named, verified, and written, with one clear line for what the disk refuses."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from pathlib import Path
from typing import IO, BinaryIO, Iterator, Optional, Union

from .. import files
from ..errors import UserError

_ALGORITHMS = {64: 'SHA-256', 40: 'SHA-1'}  # by hexadecimal digits


def plain_name(file: str) -> str:
    """`file` itself; raises UserError where it is more than a file's name (a folder, '..', a control character)."""
    if file in ('', '.', '..') or re.search(r'[/\\:\x00-\x1f\x7f]', file) or len(os.fsencode(file)) > 200:
        raise UserError(f'{file!r} is no plain file name; give one without folders')
    return file


def is_verified(path: Union[str, os.PathLike], digest: str) -> bool:
    """Whether a file is there and has this digest; raises UserError where it cannot be read."""
    try:
        return _digest(path, digest) == digest.lower()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error.strerror or error}') from None


def what_is_wrong(path: Union[str, os.PathLike], digest: str, size: Optional[int] = None) -> str:
    """A few words on a file that has another digest than it should have."""
    with open(path, 'rb') as stream:
        head = stream.read(512)
    actual = os.path.getsize(path)
    if not head:
        return 'it is empty'
    if is_html(head):
        return 'it is a web page (HTML), not the file'
    if size is not None and actual < size:
        return f'it is cut short, {actual} of {size} bytes'
    return f'its {algorithm(digest)} is {_digest(path, digest)[:12]}..., not {digest[:12]}...'


def is_html(head: bytes) -> bool:
    """Whether bytes begin as a web page does: what servers and hotel networks send in place of a file."""
    return bool(re.match(rb'(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml|!--)', head, re.IGNORECASE))


def algorithm(digest: str) -> str:
    """Name of the algorithm that makes such hexadecimal digests: SHA-256, or SHA-1, which is GluonCV's."""
    return _ALGORITHMS[len(digest)]


def _digest(path: Union[str, os.PathLike], like: str) -> str:
    return files.digest(path, algorithm(like).replace('-', '').lower())


@contextlib.contextmanager
def writing(folder: Union[str, os.PathLike], part: Optional[BinaryIO] = None) -> Iterator[None]:
    """Tell what the disk refuses as one line. On a full one, `part` gives back its space: others need it too."""
    try:
        yield
    except OSError as error:
        elsewhere = error.filename and Path(folder).absolute() not in Path(str(error.filename)).absolute().parents
        place = error.filename if elsewhere else folder
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            if part is not None:
                os.unlink(part.name)
            raise UserError(f'{place}: no space left; free some, or choose another folder') from None
        raise UserError(f'{place}: {error.strerror or error}; choose a folder that can be written') from None


@contextlib.contextmanager
def locked(folder: Union[str, os.PathLike]) -> Iterator[None]:
    """One process at a time in a folder. The lock is on the folder itself: a lock file would be served, too."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def append(out: BinaryIO, block: bytes) -> None:
    """Write all of a block: an unbuffered file may take less at a time."""
    left = memoryview(block)
    while left:
        left = left[out.write(left) :]


def save(stream: IO[bytes], path: Union[str, os.PathLike], part: Optional[BinaryIO] = None) -> None:
    """Write all that a stream gives, down to the disk. Errors of the disk are `writing`'s, the stream's are its own."""
    folder = Path(path).parent
    with writing(folder, part):
        out = open(path, 'wb', buffering=0)
    with out:
        for block in iter(lambda: stream.read(1 << 20), b''):
            with writing(folder, part):
                append(out, block)
        with writing(folder, part):
            os.fsync(out.fileno())
