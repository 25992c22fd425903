"""Published weights: files verified against the index."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Optional

from .. import files
from ..errors import UserError
from .index import check_fits, find, index, zoo_folder


def model_root(root: Optional[str] = None) -> Path:
    """The folder of weight files: `root`, else `$MXNET_HOME/models`, else `~/.mxnet/models` (MXNet's own rule)."""
    if root is None:
        root = os.path.join(os.environ.get('MXNET_HOME') or os.path.join('~', '.mxnet'), 'models')
    return Path(root).expanduser()


def weights_file(name: str, root: Optional[str] = None) -> Path:
    """The verified weight file of a model.

    Raises
    ------
    UserError
        nothing is published for the name, or its file is in none of the folders or has another checksum
    """
    entry = find(name)
    if entry is None:
        others = ', '.join(sorted(index())) or 'none so far'
        raise UserError(f'no weights are published for {name}; published: {others}. Train it from pretrained=False')
    folders = [model_root(root), zoo_folder()]
    found = [folder / entry.file for folder in folders if (folder / entry.file).is_file()]
    if not found:
        raise UserError(f'weights of {name}: put {entry.file} into {" or ".join(map(str, folders))}')
    for path in found:
        if files.sha256(path) == entry.sha256:
            return path
    raise UserError(f'{found[0]} is damaged: its SHA-256 is not {entry.sha256[:12]}... of the index; replace the file')


def load(net, path: Path, ctx) -> None:
    """Load a published file and take over the input description that it was trained with.

    Raises
    ------
    UserError
        the network was built with other options or another number of classes than the weights; see also `check_fits`
    """
    from .warm_start import read_params

    entry = find(net.name)
    check_fits(entry, net)
    given, params = read_params(path), net._collect_params_with_prefix()
    misfits: List[str] = sorted(set(given) ^ set(params)) or sorted(
        n for n, p in params.items() if p.shape != given[n].shape
    )
    if misfits:
        raise UserError(
            f'{path.name} does not fit {net.name} as built ({misfits[0]}); leave out nclass and options, '
            f'or use pretrained=False and start from the file with model.params'
        )
    net.load_parameters(str(path), ctx=ctx, cast_dtype=True)
    net.input_spec = net.input_spec.replace(**entry.input)
