"""Transfer from Kinetics-400 (Carreira and Zisserman, CVPR 2017, arXiv:1705.07750, sec. 4): `model.transfer`.

A network meets a dataset in three ways: `original`, trained on it alone (from ImageNet's weights where its backbone has
some); `fixed`, the features of a network that was trained on Kinetics-400 with a new classifier over them; `full`,
everything trained from there.
"""

from __future__ import annotations

from typing import FrozenSet

import numpy as np
from mxnet.gluon import HybridBlock

from .. import factory
from ..nn.norm import batch_norms, clear_cached_graphs
from .sections import ModelConfig


def start_of(model: ModelConfig) -> str:
    """What `model.transfer` starts a network from, of `STARTS`, where `model.start` leaves it open."""
    if model.transfer != 'original':
        return 'kinetics400'
    net = factory.build(model.name, nclass=model.nclass or 2, **model.options)
    return 'none' if net.branches.backbone.imagenet is None else 'imagenet'


def keep_features(net: HybridBlock, given: FrozenSet[str]) -> str:
    """Keep all that trained weights gave a value as it is, running statistics included, but for the classifiers.

    What these weights lack is trained: a new classifier, and layers of a method that the network they are of did not
    have. Dropout works as in any training.

    Parameters
    ----------
    net
        a recognizer with its start's weights; graphs that it has traced already are dropped
    given
        structural names of the parameters that got a value: see `start.Start`

    Returns
    -------
    A line for the user.
    """
    params, own = net._collect_params_with_prefix(), set(net.class_parameters())
    kept = {name for name in given if name not in own}
    for name in kept:
        params[name].grad_req = 'null'
    full_names = {params[name].name for name in kept}
    for layer in batch_norms(net):
        if layer.running_mean.name in full_names:
            layer._kwargs['use_global_stats'] = True
    clear_cached_graphs(net)
    trained = {name: p for name, p in params.items() if p.grad_req != 'null'}
    blocks = sorted({'.'.join(name.split('.')[:-1]) for name in trained})
    shown = ', '.join([*blocks[:4], '...'] if len(blocks) > 4 else blocks)
    count = sum(int(np.prod(p.shape)) for p in trained.values())
    return f'transfer fixed: {len(kept)} parameters stay as they are loaded; trained: {shown} ({count:,} numbers)'
