"""Fetching a published file: several sources in turn, resumed where it was cut, verified before it takes its place.

Beside `FILE` lies `FILE.part` while it is fetched: what has arrived so far, and the lock that keeps a second process
waiting. A file under its own name is always whole and verified.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import sys
import time
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, Dict, Iterator, Optional, Sequence, Union

import portalocker
from tqdm import tqdm

from .. import files
from ..errors import UserError
from .disk import algorithm, append, is_html, is_verified, plain_name, save, what_is_wrong, writing
from .transport import PLAIN, Access, SourceError, opened, shown

log = logging.getLogger(__name__)

WHOLE = 60  # seconds for all of a small text
LARGEST = 1 << 32  # bytes of a file of unknown size; the largest weights have a sixth of it
ATTEMPTS = 4  # rounds over the sources whose trouble may pass


def fetch(
    file: str,
    digest: str,
    folder: Union[str, os.PathLike],
    sources: Sequence[str],
    size: Optional[int] = None,
    unpack: bool = False,
    timeout: float = 30,
    attempts: int = ATTEMPTS,
    wait: float = 1,
    access: Access = PLAIN,
) -> Path:
    """The verified `file` in `folder`, fetched where it is not there yet or is damaged.

    Parameters
    ----------
    file
        a plain name
    digest
        hexadecimal SHA-256 (64 digits), or SHA-1 (40) where the publisher gives no other
    folder
        made where there is none
    sources
        full addresses (http, https, file), tried in turn
    size
        bytes of the file, where known
    unpack
        the sources are zip archives that hold `file`
    timeout
        seconds without an answer after which a try is given up
    attempts, wait
        rounds over the sources whose trouble may pass (timeouts, HTTP 5xx, cut connections), and the seconds before
        the second round, doubled for each further one
    access
        proxy, certificates

    Raises
    ------
    UserError
        one line that names the file, each source with what was wrong, and the folder to put the file into by hand.
        A good file is never touched, a damaged one only replaced by a good one
    """
    target = Path(folder) / plain_name(file)
    if is_verified(target, digest):
        return target
    with writing(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
    with locked_part(target) as part:
        if is_verified(target, digest):  # by the process that we waited for
            os.unlink(part.name)
            return target
        if target.exists():
            log.warning('%s: %s; it is fetched anew', target, what_is_wrong(target, digest, size))
        wrong: Dict[str, str] = {}
        hopeful = list(dict.fromkeys(sources))
        for attempt in range(attempts):
            if attempt and hopeful:
                time.sleep(wait * 2 ** (attempt - 1))
            for source in tuple(hopeful):
                try:
                    _fetch_from(source, part, target, digest, size, unpack, timeout, access)
                    log.info('%s fetched from %s', target, shown(source))
                    return target
                except SourceError as error:
                    wrong[shown(source)] = str(error)
                    if not error.passes:
                        hopeful.remove(source)
        if not part.tell():
            os.unlink(part.name)
    reasons = '; '.join(f'{source}: {reason}' for source, reason in wrong.items()) or 'no source is known'
    raise UserError(
        f'cannot fetch {file} ({reasons}); put the file ({algorithm(digest)} {digest}) into {folder} by hand'
    )


def read_text(
    url: str, limit: int = 1 << 20, timeout: float = 10, access: Access = PLAIN, accept: Optional[str] = None
) -> str:
    """A small UTF-8 text file, such as the index.yaml of a repository.

    Parameters
    ----------
    limit
        bytes; a longer file is refused
    timeout
        seconds without an answer after which it is given up; all of it has to come within WHOLE seconds
    access
        proxy, certificates
    accept
        kinds of content that are asked for, a web page among them; None: any but a web page

    Raises
    ------
    UserError
        one line: the address and what is wrong with it
    """
    data = bytearray()
    try:
        with opened(url, 0, timeout, access, accept, WHOLE) as reply:
            for block in reply.blocks:
                data += block
                if len(data) > limit:
                    raise SourceError(f'longer than {limit} bytes')
        reply.check_length(len(data))
        if is_html(bytes(data[:512])) and not accept:
            raise SourceError('a web page (HTML)')
        return data.decode('utf-8')
    except UnicodeDecodeError:
        raise UserError(f'cannot read {shown(url)}: no text in UTF-8') from None
    except SourceError as error:
        raise UserError(f'cannot read {shown(url)}: {error}') from None


def _fetch_from(
    source: str,
    part: BinaryIO,
    target: Path,
    digest: str,
    size: Optional[int],
    unpack: bool,
    timeout: float,
    access: Access,
) -> None:
    """Fetch from one source and put the file in place.

    What an earlier try has left may be of other content: if the sum of both is not the file, once more from the start.
    """
    resumed = part.tell() > 0
    _transfer(source, part, target.name, None if unpack else size, timeout, access)
    try:
        _put_in_place(part, target, digest, size, unpack)
    except SourceError:
        _start_over(part)
        if not resumed:
            raise
        _fetch_from(source, part, target, digest, size, unpack, timeout, access)


def _transfer(source: str, part: BinaryIO, name: str, size: Optional[int], timeout: float, access: Access) -> None:
    """Append what is missing in `part`; at most one block beyond `size`, so that no source can fill the disk."""
    folder = os.path.dirname(part.name)
    if size is not None and part.tell() == size:  # a process was killed before it could take a look
        return
    with opened(source, part.tell(), timeout, access) as reply:
        if reply.start != part.tell():
            _start_over(part)
        with tqdm(
            desc=name,
            initial=part.tell(),
            total=reply.total,
            unit='B',
            unit_scale=True,
            disable=not sys.stderr.isatty(),
        ) as bar:
            for block in reply.blocks:
                with writing(folder, part):
                    append(part, block)
                bar.update(len(block))
                if size is not None and part.tell() > size:
                    return
                if part.tell() > LARGEST:
                    _start_over(part)
                    raise SourceError(f'is longer than {LARGEST} bytes')
        reply.check_length(part.tell())


def _start_over(part: BinaryIO) -> None:
    with writing(os.path.dirname(part.name)):
        part.seek(0)
        part.truncate()


def _put_in_place(part: BinaryIO, target: Path, digest: str, size: Optional[int], unpack: bool) -> None:
    """Verify what has been fetched and rename it (or the file that it holds); raises SourceError for a wrong file."""
    if not unpack:
        if not is_verified(part.name, digest):
            raise SourceError(what_is_wrong(part.name, digest, size))
        with writing(target.parent):
            os.fsync(part.fileno())
            os.replace(part.name, target)
        return
    try:
        with zipfile.ZipFile(part.name) as archive, archive.open(target.name) as packed:
            if archive.getinfo(target.name).file_size > LARGEST:
                raise SourceError(f'{target.name} in the zip is longer than {LARGEST} bytes')
            with writing(target.parent, part), files.atomic_path(target) as temporary:
                save(packed, temporary, part)
                if not is_verified(temporary, digest):
                    raise SourceError(f'in the zip, {what_is_wrong(temporary, digest, size)}')
    except KeyError:
        raise SourceError(f'the zip does not hold {target.name}') from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, UnicodeError, struct.error):
        with open(part.name, 'rb') as stream:
            html = is_html(stream.read(512))
        raise SourceError('it is a web page (HTML), not the zip' if html else 'it is no whole zip') from None
    os.unlink(part.name)


@contextlib.contextmanager
def locked_part(target: Path) -> Iterator[BinaryIO]:
    """`FILE.part`, open at its end, unbuffered (what has arrived survives a kill), and ours alone: others wait here."""
    path = target.with_name(target.name + '.part')
    while True:
        with writing(target.parent):
            part = open(path, 'a+b', buffering=0)
        with part:
            try:
                portalocker.lock(part, portalocker.LOCK_EX | portalocker.LOCK_NB)
            except portalocker.LockException:
                log.warning('%s: another process is fetching it; waiting', target)
                _wait_for_lock(part, target)
            # The former holder has renamed or removed the file that we opened: what we hold is not FILE.part any more.
            if os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(part.fileno())):
                part.seek(0, os.SEEK_END)
                yield part
                return


def _wait_for_lock(part: BinaryIO, target: Path) -> None:
    try:
        portalocker.lock(part, portalocker.LOCK_EX)
    except portalocker.LockException as error:
        raise UserError(f'{target.parent} cannot be locked ({error}); choose a folder on another file system') from None
