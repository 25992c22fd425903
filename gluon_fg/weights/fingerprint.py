"""Telling networks, and the first stages of networks, from each other: by layers, and by the values of parameters."""

from __future__ import annotations

import hashlib
import json
from typing import Any, List, NamedTuple, Set

import mxnet as mx
from mxnet.gluon import HybridBlock

from ..backbones import Backbone


class Fingerprint(NamedTuple):
    """SHA-256 of what a backbone's layers up to a stage are, and of their parameters' values."""

    layers: str
    weights: str


def fingerprint(backbone: Backbone, stage: int) -> Fingerprint:
    """Equal where two backbones' features of a stage are equal: one of another network differs in both parts.

    Layers: names and shapes of the parameters, strides, receptive field and its offset, and kinds of layers of our own,
    which without parameters, as a shift in time, leave no other trace. Weights: these and the values.
    """
    mx.nd.waitall()  # running statistics may still be under way, unannounced
    blocks = {'stem', *(f'res{number}' for number in range(2, stage + 1))}
    named = sorted(backbone._collect_params_with_prefix().items())
    params = {n: p for n, p in named if blocks.intersection(n.split('.')[:2])}  # the second one where it has streams
    geometry = backbone.geometry(stage)
    described: List[Any] = [
        stage,
        geometry.stride,
        geometry.field,
        geometry.offset,
        {n: p.shape for n, p in params.items()},
    ]
    kinds = sorted(_kinds(backbone.path(stage)) - {'BatchNorm3D'})  # which is Gluon's in another form
    described += [kinds] if kinds else []
    layers = hashlib.sha256(json.dumps(described).encode())
    weights = layers.copy()
    for p in params.values():
        weights.update(p.data(p.list_ctx()[0]).astype('float32').asnumpy().tobytes())
    return Fingerprint(layers.hexdigest(), weights.hexdigest())


def weights_sha256(net: HybridBlock) -> str:
    """SHA-256 of the values of all parameters under their names in the network: the same in every process."""
    mx.nd.waitall()  # as in `fingerprint`
    state = hashlib.sha256()
    for name, p in sorted(net._collect_params_with_prefix().items()):
        values = p.data(p.list_ctx()[0]).asnumpy()
        state.update(f'{name} {values.dtype.str} {values.shape}\n'.encode())
        state.update(values.tobytes())
    return state.hexdigest()


def _kinds(blocks: List[HybridBlock]) -> Set[str]:
    """Names of the classes of `gluon_fg.nn` among some blocks and all that they consist of."""
    kinds = {type(block).__name__ for block in blocks if type(block).__module__.startswith('gluon_fg.nn.')}
    return kinds.union(*(_kinds(list(block._children.values())) for block in blocks))
