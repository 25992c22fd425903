"""GluonCV's published weight files: its own names, checksums and addresses, through our downloads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, Optional, Union
from urllib.parse import quote

from mxnet.gluon import HybridBlock

from ..errors import UserError
from ..files import digest
from .disk import is_verified
from .download import ATTEMPTS, fetch
from .index import model_root


def gluoncv_has(name: str) -> bool:
    """Whether GluonCV has published weights under a name."""
    return name in _sha1()


def gluoncv_here(name: str, root: Optional[str] = None) -> bool:
    """Tell whether the file of GluonCV's weights for a name lies in `root`, and is right."""
    sha1 = _sha1()[name]
    return is_verified(model_root(root) / f'{name}-{sha1[:8]}.params', sha1)


def gluoncv_file(name: str, root: Optional[str] = None, attempts: int = ATTEMPTS) -> Path:
    """The file of GluonCV's weights for a name, verified by its SHA-1: GluonCV publishes no other checksum.

    It is fetched where it is not in `root` (default: MXNet's folder) yet, from GluonCV's store or, as with GluonCV
    itself, from the copy of it (http, https or file) that `MXNET_GLUON_REPO` names. A file put in place by hand is
    taken where its checksum is right.

    Raises
    ------
    UserError
        nothing is published under the name, or the file is neither there nor to be fetched
    """
    if not gluoncv_has(name):
        raise UserError(f'GluonCV has published no weights for {name!r}')
    sha1 = _sha1()[name]
    source = gluoncv_source(name)
    return fetch(f'{name}-{sha1[:8]}.params', sha1, model_root(root), [source], unpack=True, attempts=attempts)


def gluoncv_source(name: str) -> str:
    """Address of the zip archive with GluonCV's weights for a name that it has published some for."""
    from gluoncv.model_zoo import model_store

    repository = os.environ.get('MXNET_GLUON_REPO') or model_store.apache_repo_url
    stem = f'{name}-{_sha1()[name][:8]}'
    return model_store._url_format.format(repo_url=repository.rstrip('/') + '/', file_name=quote(stem))


def gluoncv_name(path: Union[str, os.PathLike]) -> Optional[str]:
    """GluonCV's name for the weights in a file, by its checksum, whatever it is called here; None for any other."""
    own = digest(path, 'sha1')
    return next((name for name, published in _sha1().items() if published == own), None)


def check_dataset(path: Union[str, os.PathLike], net: HybridBlock) -> None:
    """Refuse a published file, known by its checksum, of another dataset than the one whose classes `net` predicts.

    Two datasets may have equally many classes: see `index.check_fits`, which does the same for our own files.

    Raises
    ------
    UserError
        naming both
    """
    name = gluoncv_name(path) if net.dataset else None
    if name and not name.endswith(f'_{net.dataset}'):
        raise UserError(
            f"{path} is GluonCV's {name}, whose classes are not those of {net.dataset} that {net.name} predicts; "
            f'use it with a model of its own dataset, or train a *_custom model from it (model.params)'
        )


def gluoncv_digests() -> Dict[str, str]:
    """File name -> SHA-1 of everything that GluonCV has published."""
    return {f'{name}-{sha1[:8]}.params': sha1 for name, sha1 in _sha1().items()}


def _sha1() -> Dict[str, str]:
    from gluoncv.model_zoo import model_store

    return model_store._model_sha1
