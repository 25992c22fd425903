"""Published weights by name: which there are, whose file a file is, and which networks they may be loaded into.

`index.yaml` lies beside the files that it names: in `model_zoo/`, in the folder of weight files (`model_root`) for what
was imported from bundles, or in a repository that `GLUON_FG_REPO` points at.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import time
from pathlib import Path
from typing import Dict, List, Optional, Tuple, Union

from mxnet.gluon import HybridBlock

from .. import files
from ..errors import UserError
from .entries import Entry, load_index, parse_index

log = logging.getLogger(__name__)

INDEX = 'index.yaml'

_SLOW, _WHILE = 5.0, 300.0  # seconds that a server took to fail, and for how long it is then left alone
_given_up: Dict[str, Tuple[float, str]] = {}  # address -> until when, and what was wrong

_REPO_ZOO = Path(__file__).resolve().parents[2] / 'model_zoo'
_PACKAGED_ZOO = Path(__file__).resolve().parents[1] / 'model_zoo'


# Where indices lie


def model_root(root: Optional[str] = None) -> Path:
    """The folder of weight files: `root`, else `$MXNET_HOME/models`, else `~/.mxnet/models` (MXNet's own rule)."""
    if root is None:
        root = os.path.join(os.environ.get('MXNET_HOME') or os.path.join('~', '.mxnet'), 'models')
    return Path(root).expanduser()


def zoo_folder() -> Path:
    """`model_zoo` of the repository, or the copy in an installed package."""
    return _REPO_ZOO if (_REPO_ZOO / INDEX).is_file() else _PACKAGED_ZOO


def entries_in(folder: Path) -> Dict[str, Entry]:
    """The index of a folder; empty where there is none."""
    return load_index(folder / INDEX) if (folder / INDEX).is_file() else {}


def repositories() -> List[str]:
    """Addresses in `GLUON_FG_REPO` (http, https or file), separated by commas or spaces; without a slash at the end.

    A folder of this machine may stand there as it is, in place of its file address.
    """
    named = [url for url in re.split(r'[,\s]+', os.environ.get('GLUON_FG_REPO', '')) if url]
    return [Path(url).resolve().as_uri() if os.path.isdir(url) else url.rstrip('/') for url in named]


def index(root: Optional[str] = None) -> Dict[str, Entry]:
    """name -> entry: those of `zoo_folder()`, and the names that `root` and the repositories in `GLUON_FG_REPO` add.

    Of a name that several have, the first one's is taken. A repository whose index cannot be read, or is wrong, is
    logged and left out: nobody's server may keep what is here from being used. `find` is for a name that must be there.

    Raises
    ------
    UserError
        an index on disk is wrong
    """
    entries = _local(root)
    for url in repositories():
        try:
            entries = {**_remote(url), **entries}
        except UserError as error:
            log.warning('only the weights in %s are listed: %s', zoo_folder(), error)
    return entries


def find(name: str, root: Optional[str] = None) -> Optional[Entry]:
    """The entry of a name, or None. Repositories are asked, in turn, for a name that `zoo_folder()` and `root` lack.

    Raises
    ------
    UserError
        the name is in neither of them and no repository can be read; or an index is wrong
    """
    entries = _local(root)
    if name in entries:
        return entries[name]
    problems = []
    for url in repositories():
        try:
            theirs = _remote(url)
        except UserError as error:
            problems.append(str(error))
            continue
        if name in theirs:
            return theirs[name]
    if problems and len(problems) == len(repositories()):
        raise UserError('; '.join(problems))
    return None


def entry_of_file(path: Union[str, os.PathLike]) -> Optional[Entry]:
    """The entry whose file this is, by its checksum, whatever it is called here; None for any other file."""
    path = Path(path)
    size = path.stat().st_size
    alike = [entry for entry in index().values() if entry.bytes == size]
    digest = files.sha256(path) if alike else None
    return next((entry for entry in alike if entry.sha256 == digest), None)


def _local(root: Optional[str]) -> Dict[str, Entry]:
    return {**entries_in(model_root(root)), **entries_in(zoo_folder())}


def _remote(url: str) -> Dict[str, Entry]:
    """The index of a repository. One that was slow to fail is not asked again for a while: a command asks often."""
    until, problem = _given_up.get(url, (0.0, ''))
    start = time.monotonic()
    if start < until:
        raise UserError(problem)
    try:
        return parse_index(_remote_text(url), f'{url}/{INDEX}')
    except UserError as error:
        if time.monotonic() - start > _SLOW:
            _given_up[url] = (time.monotonic() + _WHILE, str(error))
        raise


@functools.lru_cache(maxsize=16)
def _remote_text(url: str) -> str:
    """Text of the index of a repository; asked for once in a process."""
    from .download import read_text

    return read_text(f'{url}/{INDEX}')


# What weights are for


def other_classes(entry: Entry, net: HybridBlock) -> bool:
    """Whether a network's outputs are known to mean other classes than the entry's.

    Compared by the ordered names where the network knows them, else by the name of its dataset; a network that knows
    neither (a `*_custom` one before it has met data) contradicts nothing.
    """
    if net.labels is not None:
        return net.labels.fingerprint != entry.fingerprint
    return net.dataset is not None and net.dataset != entry.dataset


def check_fits(entry: Entry, net: HybridBlock) -> None:
    """Refuse weights for predicting with a network whose classes or protocol are not theirs.

    Two datasets may have equally many classes (Something-Something V1 and V2 have 174): the shapes fit, and every
    answer is wrong. A network without a dataset of its own (`*_custom`, or a class count of the user's) has no protocol
    to differ in, and differs in its classes only where it has been told their names.
    Training from the weights is `warm_start`'s affair, which takes over what still means the same.

    Raises
    ------
    UserError
        naming both class lists, or both protocols
    """
    if other_classes(entry, net):
        raise wrong_classes(entry, net)
    if net.dataset is not None and net.protocol != entry.protocol:
        raise UserError(
            f'{entry.file} was made for protocol {entry.protocol}, {net.name} for {net.protocol}; '
            f'use the file with {entry.name}'
        )


def wrong_classes(entry: Entry, net: HybridBlock) -> UserError:
    """The error that names both class lists."""
    theirs = _class_list(entry.dataset, entry.classes, entry.fingerprint)
    ours = _class_list(net.dataset, net.classes, net.labels.fingerprint if net.labels else None)
    return UserError(
        f'{entry.file} predicts {theirs}, {net.name} {ours}; use the file with {entry.name}, '
        f'or train a *_custom model from it (model.params)'
    )


def _class_list(dataset: Optional[str], names: Optional[Tuple[str, ...]], fingerprint: Optional[str]) -> str:
    count = f' ({len(names)} classes, {names[0]!r} first)' if names else ''
    digest = f' [{fingerprint[:8]}]' if fingerprint else ''
    return f'the classes of {dataset or "its own list"}{count}{digest}'
