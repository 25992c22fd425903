"""Telling whether two networks have the same first stages: by their layers, and by the values of their parameters."""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

import mxnet as mx

from ..backbones import Backbone


class Fingerprint(NamedTuple):
    """SHA-256 of what a backbone's layers up to a stage are, and of their parameters' values."""

    layers: str
    weights: str


def fingerprint(backbone: Backbone, stage: int) -> Fingerprint:
    """Equal where two backbones' features of a stage are equal: one of another network differs in both parts.

    Layers: names and shapes of the parameters, strides, receptive field and its offset. Weights: these and the values.
    """
    mx.nd.waitall()  # running statistics may still be under way, unannounced
    blocks = ('stem.', *(f'res{number}.' for number in range(2, stage + 1)))
    params = {n: p for n, p in sorted(backbone._collect_params_with_prefix().items()) if n.startswith(blocks)}
    geometry = backbone.geometry(stage)
    described = [stage, geometry.stride, geometry.field, geometry.offset, {n: p.shape for n, p in params.items()}]
    layers = hashlib.sha256(json.dumps(described).encode())
    weights = layers.copy()
    for p in params.values():
        weights.update(p.data(p.list_ctx()[0]).astype('float32').asnumpy().tobytes())
    return Fingerprint(layers.hexdigest(), weights.hexdigest())
