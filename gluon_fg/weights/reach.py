"""Which sources of pretrained weights can be reached from here, found out without downloading any weights."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import List, NamedTuple, Optional

from ..errors import UserError
from . import pip_index
from .download import read_text, shown
from .entries import Entry
from .gluoncv_store import gluoncv_source
from .index import INDEX, index, model_root, repositories, zoo_folder
from .transport import SourceError, opened

_SAMPLE = 'resnet50_v1b'  # what is asked for in GluonCV's store: the start of most backbones


class Source(NamedTuple):
    """A source of weights: what it has, and why it cannot be reached ('' where it can)."""

    name: str
    has: str
    wrong: str = ''


def sources(timeout: float = 5) -> List[Source]:
    """Ask all sources at the same time: the index's packages, one by one, our repositories and GluonCV's store.

    Parameters
    ----------
    timeout
        seconds without an answer after which a server is given up
    """
    packaged = [entry for entry in index().values() if entry.package]
    with ThreadPoolExecutor(8) as pool:
        repository = [pool.submit(_repository, url, timeout) for url in repositories()]
        store = pool.submit(_store, timeout)
        try:
            where: Optional[pip_index.Configuration] = pip_index.configuration()
            wrong = ''
        except UserError as error:
            where, wrong = None, str(error)
        packages = [pool.submit(_package, entry, where, wrong, timeout) for entry in packaged]
        return [task.result() for task in (*packages, *repository, store)]


def here(entry: Entry) -> bool:
    """Tell whether an entry's file, or one of that name and size, lies in the root or beside the index."""
    paths = [folder / entry.file for folder in (model_root(), zoo_folder())]
    return any(path.is_file() and path.stat().st_size == entry.bytes for path in paths)


def _package(entry: Entry, where: Optional[pip_index.Configuration], wrong: str, timeout: float) -> Source:
    package = entry.package
    assert package is not None
    name = f'{package.name} {package.version}'
    has = f'{entry.name}, {package.archive_bytes / 1e6:.0f} MB'
    if here(entry):
        return Source(name, f'{entry.name}, already here')
    reasons = [wrong] if wrong else []
    for release in pip_index.find(package, where, timeout) if where else ():
        if release.url:
            return Source(name, has)
        reasons.append(release.wrong)
    return Source(name, has, '; '.join(reasons) or 'pip is configured to look nowhere')


def _repository(url: str, timeout: float) -> Source:
    try:
        read_text(f'{url}/{INDEX}', timeout=timeout)
    except UserError as error:
        return Source(shown(url), 'what its index names', str(error))
    return Source(shown(url), 'what its index names')


def _store(timeout: float) -> Source:
    source = gluoncv_source(_SAMPLE)
    name, has = "GluonCV's store", 'weights of GluonCV and ImageNet starts'
    try:
        with opened(source, 0, timeout):  # the answer's beginning; no block of it is read
            return Source(name, has)
    except SourceError as error:
        return Source(name, has, f'{shown(source)}: {error}')
