"""ImageNet weights for backbones: GluonCV's files or the index's, inflated where the backbone takes clips."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Optional, Tuple

import mxnet as mx

from ..backbones import Backbone
from ..errors import UserError
from .download import ATTEMPTS
from .gluoncv_names import our_name
from .gluoncv_store import gluoncv_file, gluoncv_here
from .index import find
from .inflate import inflate_all
from .params_file import read_params
from .streams import streams_of
from .zoo import entry_file

# GluonCV's network -> the model of this zoo that is the same one, whose weights are taken where GluonCV's are not here
_SAME = {'mobilenetv2_1.0': 'mobilenetv2_imagenet1k'}


def load(backbone: Backbone, root: Optional[str] = None, attempts: int = ATTEMPTS) -> str:
    """Put ImageNet weights into an initialized backbone; returns the name that they are published under.

    `backbone.imagenet` names them: GluonCV's, or a model of this zoo for ImageNet's classes. Inflated for clips; a stem
    for other channels than RGB (flow) gets their mean; of several streams each gets them all. Non-local blocks, which
    start as the identity, stay as they are.

    Raises
    ------
    UserError
        the file is neither in `root` nor to be fetched, or does not hold exactly the backbone's parameters
    """
    if backbone.imagenet is None:
        raise UserError('no ImageNet weights are published for this backbone')
    try:
        name, path = file_of(backbone.imagenet, root, attempts)
    except UserError as error:
        raise UserError(f'ImageNet weights: {error}') from None
    arrays = read_params(path)
    fitting = [(part, _fitting(arrays, part, path)) for part in streams_of(backbone).values()]
    for part, values in fitting:
        params = part._collect_params_with_prefix()
        for n, value in values.items():
            params[n].set_data(value)
    return name


def _fitting(arrays: Dict[str, mx.nd.NDArray], backbone: Backbone, path: Path) -> Dict[str, mx.nd.NDArray]:
    """A file's arrays as the parameters of a single network, with its shapes."""
    given = _backbone(arrays, backbone.family)
    params = {n: p for n, p in backbone._collect_params_with_prefix().items() if '.non_local.' not in n}
    for names, fault in ((set(params) - set(given), 'lacks'), (set(given) - set(params), 'holds an unknown')):
        if names:
            raise UserError(
                f'{path} {fault} {sorted(names)[0]} ({len(names)} in all); delete it to have it fetched anew'
            )
    try:
        return inflate_all(given, {name: p.shape for name, p in params.items()}, backbone.stem_weight)
    except UserError as error:
        raise UserError(f'{path}: {error}') from None


def file_of(imagenet: str, root: Optional[str] = None, attempts: int = ATTEMPTS) -> Tuple[str, Path]:
    """Name and file of what is to be had."""
    ours = _SAME.get(imagenet, imagenet)
    entry = find(ours, root) if ours.endswith('_imagenet1k') else None  # GluonCV's names are in no index of ours
    if entry is None or (ours != imagenet and gluoncv_here(imagenet, root)):
        return imagenet, gluoncv_file(imagenet, root, attempts)
    return ours, entry_file(entry, root, attempts)


def _backbone(arrays: Dict[str, mx.nd.NDArray], family: str) -> Dict[str, mx.nd.NDArray]:
    """A file's arrays under the backbone's own names; GluonCV's names are `family`'s."""
    ours = ((name[len('branches.') :] if _is_ours(name) else our_name(name, family), a) for name, a in arrays.items())
    return {name[len('backbone.') :]: array for name, array in ours if name and name.startswith('backbone.')}


def _is_ours(name: str) -> bool:
    return name.startswith('branches.')
