"""Pretrained weights of a name that has none of its own: those that GluonCV published for the network within it."""

from __future__ import annotations

import logging
import os
from typing import Any, Mapping, Union

from mxnet.gluon import HybridBlock

from .warm_start import warm_start

log = logging.getLogger(__name__)


def start(net: HybridBlock, path: Union[str, os.PathLike], sibling: str, trained_with: Mapping[str, Any]) -> None:
    """Load GluonCV's file into backbone and global classifier; one warning says what differs from GluonCV's network.

    The branches that GluonCV does not have are set aside (`net.trained_branches`): `net(x)` is GluonCV's. With another
    number of classes nothing can be said yet: every classifier is as initialized. With options other than those of
    `trained_with` the weights are loaded all the same, to start from, and the scores are others than GluonCV's.

    Parameters
    ----------
    net
        an initialized recognizer that has not run yet
    path, sibling
        the file, and GluonCV's name of its network (or the file's)
    trained_with
        option -> value that the weights were trained with, for each option that was given another value

    Raises
    ------
    UserError
        the file cannot be read, or does not hold exactly this backbone and a classifier; the network is unchanged
    """
    report = warm_start(net, path)
    net.backbone_loaded('pretrained' if report.resized else 'trained')
    net.weights_source = f'GluonCV {sibling}'
    net.untrained = frozenset(set(net._collect_params_with_prefix()) - set(report.loaded))
    notes = [f'it was trained with {name}={value}: scores differ from its own' for name, value in trained_with.items()]
    untrained = [name for name in net.branch_names[1:] if name not in net.trained_branches]
    if report.resized:
        notes.append(f'its classifier has other classes than these {net.nclass}: every classifier still needs training')
    elif untrained:
        notes.append(
            f'branches {", ".join(untrained)} still need training: '
            f'until then the scores are those of {", ".join(net.trained_branches)}'
        )
    if notes:
        log.warning('%s starts from GluonCV %s; %s', net.name, sibling, '; '.join(notes))
