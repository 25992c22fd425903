"""Published weights: the index `model_zoo/index.yaml`, and files verified against it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Optional

from .. import files
from ..errors import UserError

_REPO_ZOO = Path(__file__).resolve().parents[2] / 'model_zoo'
_PACKAGED_ZOO = Path(__file__).resolve().parents[1] / 'model_zoo'


def model_root(root: Optional[str] = None) -> Path:
    """The folder of weight files: `root`, else `$MXNET_HOME/models`, else `~/.mxnet/models` (MXNet's own rule)."""
    if root is None:
        root = os.path.join(os.environ.get('MXNET_HOME') or os.path.join('~', '.mxnet'), 'models')
    return Path(root).expanduser()


def zoo_folder() -> Path:
    """`model_zoo` of the repository, or the copy in an installed package."""
    return _REPO_ZOO if (_REPO_ZOO / 'index.yaml').is_file() else _PACKAGED_ZOO


def index() -> Dict[str, dict]:
    """name -> entry of the index (weights, config, input, metrics, origin); empty where nothing is published."""
    path = zoo_folder() / 'index.yaml'
    if not path.is_file():
        return {}
    import yaml

    return yaml.safe_load(path.read_text(encoding='utf-8')) or {}


def weights_file(name: str, root: Optional[str] = None) -> Path:
    """The verified weight file of a model.

    Raises
    ------
    UserError
        nothing is published for the name, or its file is in none of the folders or has another checksum
    """
    published = index()
    if name not in published:
        others = ', '.join(sorted(published)) or 'none so far'
        raise UserError(f'no weights are published for {name}; published: {others}. Train it from pretrained=False')
    weights = published[name]['weights']
    folders = [model_root(root), zoo_folder()]
    found = [folder / weights['file'] for folder in folders if (folder / weights['file']).is_file()]
    if not found:
        raise UserError(f'weights of {name}: put {weights["file"]} into {" or ".join(map(str, folders))}')
    for path in found:
        if files.sha256(path) == weights['sha256']:
            return path
    raise UserError(
        f'{found[0]} is damaged: its SHA-256 is not {weights["sha256"][:12]}... of the index; replace the file'
    )


def load(net, path: Path, ctx) -> None:
    """Load a published file and take over the input description that it was trained with.

    Raises
    ------
    UserError
        the network was built with other options or another number of classes than the weights
    """
    from .warm_start import read_params

    given, params = read_params(path), net._collect_params_with_prefix()
    misfits: List[str] = sorted(set(given) ^ set(params)) or sorted(
        n for n, p in params.items() if p.shape != given[n].shape
    )
    if misfits:
        raise UserError(
            f'{path.name} does not fit {net.name} as built ({misfits[0]}); leave out nclass and options, '
            f'or use pretrained=False and start from the file with model.params'
        )
    net.load_parameters(str(path), ctx=ctx)
    described = index()[net.name].get('input')
    if described:
        net.input_spec = net.input_spec.replace(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in described.items()}
        )
