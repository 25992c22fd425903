"""A folder of published weights, as a static web server can serve it: files, and the index that names them.

`model_zoo/` is one, what `GLUON_FG_REPO` points at another. The index is replaced last and names only files that are
there, so that a reader, or a writer killed half way, meets a whole zoo.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Dict, Iterator, List, Union

from .. import files
from ..errors import UserError, disk_line
from .disk import locked
from .entries import Entry, dump_index, load_index
from .index import INDEX, entries_in

_HEADING = '# The zoo, one entry a model, as gluon-fg zoo publish writes it; paths start here.\n'


def files_of(entry: Entry) -> List[str]:
    """Paths of all that belongs to an entry, below its index; what a package has does not lie there."""
    return [path for path in (None if entry.package else entry.file, entry.config, entry.log) if path]


def refuse_known(folder: Path, name: str) -> None:
    """Raise UserError where a folder has weights under a name."""
    known = entries_in(folder).get(name)
    if known:
        raise UserError(
            f'{folder / INDEX} has weights of {name} already ({known.file}); give --replace to replace them, or --name'
        )


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A folder on the same disk for files that are not complete yet."""
    try:
        with files.temporary_folder(folder) as stage, files.naming(folder):
            yield stage
    except OSError as error:
        raise UserError(disk_line(error)) from error


def add(folder: Path, entries: Dict[str, Entry], written: Dict[str, Path], replace: bool) -> None:
    """Put files into a folder, then the index that names them; one process at a time.

    Parameters
    ----------
    entries
        what the index gains, or, with `replace`, changes; files that no entry names any more are then removed
    written
        path in the folder -> file to copy there

    Raises
    ------
    UserError
        without `replace`: a name is in the index already, or another file is in the way
    """
    with locked(folder):
        before = entries_in(folder)
        for name in entries:
            if name in before and not replace:
                refuse_known(folder, name)  # published by another process meanwhile
        for path, new in written.items():
            target = folder / path
            if target.exists() and not replace and files.sha256(target) != files.sha256(new):
                raise UserError(f'{target} is there, in no entry, and another file; remove it or give --replace')
        for path, new in written.items():
            with files.atomic_path(folder / path) as temporary:
                shutil.copyfile(new, temporary)
        after = {**before, **entries}
        with files.atomic_write(folder / INDEX) as stream:
            stream.write(_HEADING + dump_index(after))
        kept = {path for entry in after.values() for path in files_of(entry)}
        for path in {path for entry in before.values() for path in files_of(entry)} - kept:
            (folder / path).unlink(missing_ok=True)


def mirror(zoo: Union[str, os.PathLike], folder: Union[str, os.PathLike], replace: bool = False) -> Dict[str, Entry]:
    """Copy a zoo, every file verified, into a folder that a static web server can serve; returns what was added.

    Raises
    ------
    UserError
        a file of the zoo is missing or damaged, or the folder has other weights under a name and `replace` is False
    """
    zoo, folder = Path(zoo), Path(folder)
    entries, there = load_index(zoo / INDEX), entries_in(folder)
    entries = {name: entry for name, entry in entries.items() if entry != there.get(name)}
    for entry in entries.values():
        own = entry.file in files_of(entry)
        if own and (not (zoo / entry.file).is_file() or files.sha256(zoo / entry.file) != entry.sha256):
            raise UserError(f'{zoo / entry.file} is missing or not what {zoo / INDEX} says; put the right file there')
        if not replace:
            refuse_known(folder, entry.name)
    with staged(folder) as stage:
        written = {}
        for path in {p for entry in entries.values() for p in files_of(entry)}:
            if not (zoo / path).is_file():
                raise UserError(f'{zoo / path} is missing, which {zoo / INDEX} names')
            written[path] = stage / path.replace('/', '-')
            shutil.copyfile(zoo / path, written[path])
        add(folder, entries, written, replace)
    return entries
