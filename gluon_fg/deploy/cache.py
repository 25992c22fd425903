"""Converted models on disk, so that a second start need not convert a network again."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Callable, List, Tuple

from ..errors import UserError
from ..files import atomic_write

logger = logging.getLogger(__name__)

FOLDER = 'GLUON_FG_CACHE'
LIMIT = 2 << 30  # bytes, of all entries; and of all folders of a kind
_IN_USE = 3600  # seconds
_BEGIN = b'gluon_fg cache 1\n'  # then the SHA-256 of what follows it, in hexadecimal and a line of its own


def folder() -> Path:
    """Where models are kept: `GLUON_FG_CACHE`, or gluon_fg in the user's folder of caches."""
    own = os.environ.get('XDG_CACHE_HOME') or os.path.join('~', '.cache')
    return Path(os.environ.get(FOLDER) or os.path.join(own, 'gluon_fg')).expanduser()


def kept(key: str, make: Callable[[], bytes]) -> bytes:
    """Read a model from the cache, or make it and put it there.

    An entry that is damaged is made anew. Where none can be written, the model is used all the same. A line tells of
    either. Entries that were not used for longest go where all together are larger than `LIMIT`.

    Parameters
    ----------
    key
        hexadecimal digest of everything that the model depends on
    make
        takes nothing and returns the model
    """
    path = folder() / f'{key}.onnx'
    model, problem = _read(path)
    if problem:
        logger.warning('%s: %s; it is made anew', path, problem)
    if model:
        return model
    model = make()
    try:
        with atomic_write(path, 'wb') as stream:
            stream.write(_BEGIN + hashlib.sha256(model).hexdigest().encode() + b'\n')
            stream.write(model)
        _trim(path)
    except OSError as error:
        logger.warning('%s: converted models cannot be kept there (%s); %s=FOLDER names another', path.parent,
                       error.strerror, FOLDER)  # fmt: skip
    return model


def folder_of(kind: str, key: str) -> Path:
    """A folder of the cache for what takes minutes to make; it is there, empty or as it was left.

    Folders of the kind that were not used for longest go where all together are larger than `LIMIT`, but for those used
    within the last hour, by this process or another.

    Parameters
    ----------
    kind
        name of a folder in the cache
    key
        hexadecimal digest of everything that its content depends on

    Raises
    ------
    UserError
        it cannot be made
    """
    own = folder() / kind / key[:16]
    try:
        own.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f'{own}: no folder can be made there ({error.strerror}); {FOLDER}=FOLDER names another'
        ) from error
    os.utime(own)
    others = sorted((path.stat().st_mtime, path) for path in own.parent.iterdir() if path.is_dir())
    room = LIMIT - sum(_size(path) for _, path in others)
    for used, path in others:
        if room >= 0 or used > time.time() - _IN_USE:
            break
        room += _size(path)
        shutil.rmtree(path, ignore_errors=True)
    return own


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob('*') if file.is_file())


def code_digest(*patterns: str) -> str:
    """SHA-256 of files of this package's code, which changes more often than its version: paths or globs within it."""
    state = hashlib.sha256()
    package = Path(__file__).parents[1]
    for path in sorted(path for pattern in patterns for path in package.glob(pattern)):
        state.update(path.read_bytes())
    return state.hexdigest()


def _read(path: Path) -> Tuple[bytes, str]:
    """An entry's model, b'' if there is none, and why it cannot be used, '' if it can."""
    try:
        written = path.read_bytes()
        os.utime(path)
    except FileNotFoundError:
        return b'', ''
    except OSError as error:
        return b'', f'cannot be read ({error.strerror})'
    begin = len(_BEGIN) + 65
    head, model = written[:begin], written[begin:]
    if head != _BEGIN + hashlib.sha256(model).hexdigest().encode() + b'\n':
        return b'', 'no model of this cache, or damaged'
    return model, ''


def _trim(newest: Path) -> None:
    """Remove the entries that were not used for longest; never the newest, which may be larger than all may be."""
    entries: List[Tuple[float, int, Path]] = []
    for path in newest.parent.glob('*.onnx'):
        try:
            facts = path.stat()
        except FileNotFoundError:  # another process removes them, too
            continue
        if path != newest:
            entries.append((facts.st_mtime, facts.st_size, path))
    room = LIMIT - newest.stat().st_size - sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if room >= 0:
            break
        path.unlink(missing_ok=True)
        room += size
