"""ImageNet weights for backbones: GluonCV's files, inflated where the backbone takes clips."""

from __future__ import annotations

import logging
from typing import Optional

from ..backbones import Backbone
from ..errors import UserError
from .gluoncv_names import our_name
from .gluoncv_store import gluoncv_file
from .inflate import inflate_all
from .params_file import read_params

log = logging.getLogger(__name__)


def load(backbone: Backbone, root: Optional[str] = None) -> None:
    """Put GluonCV's ImageNet weights into an initialized backbone (`backbone.imagenet` names them).

    Inflated for clips; a stem for other channels than RGB (flow) gets their mean. Non-local blocks, which start as the
    identity, stay as they are.

    Raises
    ------
    UserError
        the file is neither in `root` nor to be fetched, or does not hold exactly the backbone's parameters
    """
    if backbone.imagenet is None:
        raise UserError('no ImageNet weights are published for this backbone; use pretrained_base=False')
    try:
        path = gluoncv_file(backbone.imagenet, root)
    except UserError as error:
        raise UserError(f'ImageNet weights: {error}, or start from random ones with pretrained_base=False') from None
    named = ((our_name(name, backbone.family), array) for name, array in read_params(path).items())
    given = {name[len('backbone.') :]: array for name, array in named if name and name.startswith('backbone.')}
    params = {n: p for n, p in backbone._collect_params_with_prefix().items() if '.non_local.' not in n}
    for names, what in ((set(params) - set(given), 'lacks'), (set(given) - set(params), 'holds an unknown')):
        if names:
            raise UserError(
                f'{path} {what} {sorted(names)[0]} ({len(names)} in all); delete it to have it fetched anew'
            )
    try:
        values = inflate_all(given, {name: p.shape for name, p in params.items()}, backbone.stem_weight)
    except UserError as error:
        raise UserError(f'{path}: {error}') from None
    for name, p in params.items():
        p.set_data(values[name])
    log.info('backbone starts from ImageNet weights %s', path)
