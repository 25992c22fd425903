"""Offline bundles: weight files, and the index that describes them, in one tar or folder for where no network is.

A bundle holds plain `.params` files, ours and GluonCV's, and `index.yaml` for ours. A folder or tar put together by
hand is one too: without an index, its files must be known here by their names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union, cast

from .. import files
from ..checking import one_line
from ..errors import UserError, printable, unknown
from .disk import is_verified, locked, plain_name, save, what_is_wrong, writing
from .entries import Entry, dump_index, parse_index, save_index
from .gluoncv_store import gluoncv_digests, gluoncv_file
from .index import INDEX, entries_in, find, index, model_root
from .zoo import entry_file

_INDEX_BYTES = 1 << 20  # more is no index
_MEMBERS = 10_000  # files in a tar; GluonCV has published some 500

# name of a file in a bundle -> a call that opens it
_Members = Dict[str, Callable[[], BinaryIO]]

# a published file: name, digest, bytes (None: not known)
Published = Tuple[str, str, Optional[int]]


def published_file(name: str, root: Optional[str] = None) -> Path:
    """The verified file of a name of the index or, where that has none, of GluonCV's; fetched where it is not here yet.

    Raises
    ------
    UserError
        neither has published weights under the name, or the file is not to be had
    """
    entry = find(name, root)
    if entry is not None:
        return entry_file(entry, root)
    file_of(name, root)
    return gluoncv_file(name, root)


def file_of(name: str, root: Optional[str] = None) -> Published:
    """What is published under a name of the index or, where that has none, of GluonCV's; raises UserError for neither.

    Nothing is fetched, and the file need not be here.
    """
    entry = find(name, root)
    if entry is not None:
        return entry.file, entry.sha256, entry.bytes
    theirs = gluoncv_digests()
    for file, digest in theirs.items():
        if file.rpartition('-')[0] == name:
            return file, digest, None
    raise unknown('weights', name, {*index(root), *(file.rpartition('-')[0] for file in theirs)})


def known_files(root: Optional[str] = None) -> List[Published]:
    """Everything that our index knows and that GluonCV has published."""
    ours = [(entry.file, entry.sha256, entry.bytes) for entry in index(root).values()]
    return ours + [(file, digest, None) for file, digest in gluoncv_digests().items()]


def write_bundle(out: Union[str, os.PathLike], names: Sequence[str], root: Optional[str] = None) -> List[str]:
    """Pack the weights of some names (`published_file`) into a tar; the names of its files.

    The same names give the same bytes.

    Raises
    ------
    UserError
        as `published_file`, or `out` cannot be written
    """
    paths = {path.name: path for path in (published_file(name, root) for name in dict.fromkeys(names))}
    entries_of = (find(name, root) for name in names)
    # Configs and logs stay behind.
    entries = {e.name: dataclasses.replace(e, config=None, log=None) for e in entries_of if e is not None}
    with writing(Path(out).parent), files.atomic_path(out) as temporary, tarfile.open(temporary, 'w') as tar:
        text = dump_index(entries).encode()
        tar.addfile(_member(INDEX, len(text)), io.BytesIO(text))
        for file in sorted(paths):
            with open(paths[file], 'rb') as stream:
                tar.addfile(_member(file, os.fstat(stream.fileno()).st_size), stream)
    return sorted(paths)


@dataclasses.dataclass(frozen=True)
class Imported:
    """What an import did: files that are new in `root`, files that were there, names known from the bundle alone."""

    root: Path
    new: List[str]
    present: List[str]
    noted: List[str]


def import_bundle(path: Union[str, os.PathLike], root: Optional[str] = None) -> Imported:
    """Put the weights of a bundle (an uncompressed tar, or a folder) into `root`: all of them, or none.

    Each file is verified against our own index, or GluonCV's checksums. A name that we do not have is verified against
    the bundle's index, and noted in the one of `root`, where `get_model` finds it. A good file in `root` stays as is.

    Raises
    ------
    UserError
        one line: it is no bundle, has a link or a path that leads out of it, lacks a file that its index names, or
        holds one that is damaged, of another version than ours, or in no index
    """
    source, folder = Path(path), model_root(root)
    with _opened(source) as members:
        theirs = _index_of(source, members)
        expected, noted = _expected(source, theirs, [name for name in members if name != INDEX], folder)
        with writing(folder), files.temporary_folder(folder) as stage:
            new = {file: stage / file for file, digest in expected.items() if not is_verified(folder / file, digest)}
            for file, staged in new.items():
                with _reading(source), members[file]() as stream:
                    save(stream, staged)
                if not is_verified(staged, expected[file]):
                    wrong = what_is_wrong(staged, expected[file])
                    raise UserError(f'{source}: {file} is damaged: {wrong}; nothing was imported')
            _put_in_place(folder, new, noted)
    return Imported(folder, sorted(new), sorted(set(expected) - set(new)), sorted(noted))


def _expected(
    source: Path, theirs: Dict[str, Entry], given: List[str], folder: Path
) -> Tuple[Dict[str, str], Dict[str, Entry]]:
    """(file -> digest of all that is to be imported, entries of the bundle for names that we do not have)."""
    imported = entries_in(folder)
    # What former bundles have brought may be renewed by this one.
    ours = {name: entry for name, entry in index(str(folder)).items() if imported.get(name) != entry}
    expected: Dict[str, str] = {}
    for name, entry in theirs.items():
        known = ours.get(name, entry)
        if known.sha256 != entry.sha256:
            raise UserError(
                f'{source}: {entry.file} (SHA-256 {entry.sha256[:12]}...) is another version of {name} than '
                f'{known.file} ({known.sha256[:12]}...) of our index; nothing was imported'
            )
        if entry.file not in given:
            raise UserError(f'{source} lacks {entry.file}, which its {INDEX} names; nothing was imported')
        expected[entry.file] = known.sha256
    by_file = {**gluoncv_digests(), **{entry.file: entry.sha256 for entry in ours.values()}}
    for file in given:
        if file not in expected and file not in by_file:
            raise UserError(f'{source}: no index knows {file}; take it out of the bundle (nothing was imported)')
        expected.setdefault(file, by_file.get(file, ''))
    if not expected:
        raise UserError(f'{source} holds no .params files')
    # Configs and logs do not come along.
    noted = {n: dataclasses.replace(e, config=None, log=None) for n, e in theirs.items() if n not in ours}
    return expected, noted


def _put_in_place(folder: Path, new: Dict[str, Path], noted: Dict[str, Entry]) -> None:
    """Rename verified files, then note entries in the folder's index; one process at a time."""
    with writing(folder), locked(folder):
        before = entries_in(folder)
        for file, staged in new.items():
            os.replace(staged, folder / file)
        if noted:
            save_index({**before, **noted}, folder / INDEX, 'Weights imported by gluon-fg zoo import')


@contextlib.contextmanager
def _opened(source: Path) -> Iterator[_Members]:
    """The .params files and the index of a bundle; all else in it is left alone."""
    with contextlib.ExitStack() as stack:
        with _reading(source):
            if source.is_dir():
                members = _files_in(source)
            else:
                members = _files_of(source, stack.enter_context(tarfile.open(source, 'r:')))
        yield {name: members[name] for name in sorted(members) if name == INDEX or name.endswith('.params')}


def _files_in(folder: Path) -> _Members:
    return {path.name: functools.partial(_open, path) for path in folder.iterdir() if path.is_file()}


def _open(path: Path) -> BinaryIO:
    return open(path, 'rb')


def _files_of(source: Path, tar: tarfile.TarFile) -> _Members:
    members: _Members = {}
    for count, member in enumerate(tar):
        if member.size < 0 or count == _MEMBERS:  # tarfile goes back by it, and never ends
            raise tarfile.ReadError('a file of a size below zero' if member.size < 0 else f'over {_MEMBERS} files')
        path = PurePosixPath(member.name)
        if path.is_absolute() or '..' in path.parts:
            raise UserError(f'{source}: {member.name!r} leads out of the folder; nothing was imported')
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            raise UserError(f'{source}: {member.name!r} is a link or no plain file; nothing was imported')
        if path.name in members and (path.name == INDEX or path.suffix == '.params'):
            raise UserError(f'{source} holds {path.name} twice; nothing was imported')
        try:
            members[plain_name(path.name)] = functools.partial(_extracted, tar, member)
        except UserError as error:
            raise UserError(f'{source}: {error}; nothing was imported') from None
    return members


def _extracted(tar: tarfile.TarFile, member: tarfile.TarInfo) -> BinaryIO:
    stream = tar.extractfile(member)
    assert stream is not None  # it is a plain file
    return cast(BinaryIO, stream)


def _index_of(source: Path, members: _Members) -> Dict[str, Entry]:
    if INDEX not in members:
        return {}
    with _reading(source), members[INDEX]() as stream:
        text = stream.read(_INDEX_BYTES + 1)
    if len(text) > _INDEX_BYTES:
        raise UserError(f'{source}: its {INDEX} is longer than {_INDEX_BYTES} bytes')
    try:
        return parse_index(text.decode('utf-8'), f'{source}: {INDEX}')
    except UnicodeDecodeError:
        raise UserError(f'{source}: its {INDEX} is no text in UTF-8') from None


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


@contextlib.contextmanager
def _reading(source: Path) -> Iterator[None]:
    """Tell in one line that a bundle cannot be read."""
    try:
        yield
    except UserError:
        raise
    except (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError, KeyError) as error:
        # What tarfile lets through of headers that claim what cannot be.
        reason = 'headers of headers' if isinstance(error, RecursionError) else printable(one_line(error))
        raise UserError(f'{source}: no whole, uncompressed tar ({reason}); get it anew') from None
    except OSError as error:
        raise UserError(f'{source}: {error.strerror or error}; give a tar or a folder of weight files') from None
