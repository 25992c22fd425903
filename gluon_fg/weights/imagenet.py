"""ImageNet weights for backbones: GluonCV's files, inflated where the backbone takes clips."""

from __future__ import annotations

import logging
from typing import Optional

from ..errors import UserError
from .gluoncv_names import our_name
from .gluoncv_store import gluoncv_file
from .inflate import inflate
from .params_file import read_params

log = logging.getLogger(__name__)


def load(backbone, root: Optional[str] = None) -> None:
    """Put GluonCV's ImageNet weights into an initialized backbone (`backbone.imagenet` names them).

    Raises
    ------
    UserError
        the file is neither in `root` nor to be fetched, or does not hold exactly the backbone's parameters
    """
    try:
        path = gluoncv_file(backbone.imagenet, root)
    except UserError as error:
        raise UserError(f'ImageNet weights: {error}, or start from random ones with pretrained_base=False') from None
    given = {our_name(name, backbone.family): array for name, array in read_params(path).items()}
    given = {name[len('backbone.') :]: array for name, array in given.items() if name and name.startswith('backbone.')}
    params = backbone._collect_params_with_prefix()
    for names, what in ((set(params) - set(given), 'lacks'), (set(given) - set(params), 'holds an unknown')):
        if names:
            raise UserError(
                f'{path} {what} {sorted(names)[0]} ({len(names)} in all); delete it to have it fetched anew'
            )
    values = {
        name: inflate(given[name], p.shape[2]) if len(p.shape) == 5 else given[name] for name, p in params.items()
    }
    for name, p in params.items():
        if values[name].shape != p.shape:
            raise UserError(f'{path}: {name} has shape {values[name].shape}, the backbone needs {p.shape}')
    for name, p in params.items():
        p.set_data(values[name])
    log.info('backbone starts from ImageNet weights %s', path)
