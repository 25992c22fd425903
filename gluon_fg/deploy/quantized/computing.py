"""Computing with the INT8 form of a network that is stored beside its weights."""

from __future__ import annotations

from typing import Optional, Set, Tuple

import mxnet as mx
from mxnet.gluon import HybridBlock

from ..compiled import Compiled
from ..fused import Forward, with_segments
from ..graph import Shape
from .store import load


def openvino_compiled(net: HybridBlock, segments: int, threads: int) -> Compiled:
    """The INT8 form for OpenVINO as a function of arrays; arguments as of `mxnet_forward`, and threads."""

    def source(shape: Optional[Shape] = None) -> str:
        with with_segments(net, _of_images(net, segments)):
            return str(load(net, 'openvino', shape).model.path)

    source()  # what is wrong is said before anything is read
    return Compiled(source, 'openvino', 'int8', threads, segments)


def mxnet_forward(net: HybridBlock, segments: int) -> Forward:
    """The INT8 form for MXNet as a function from a batch to the logits of all branches.

    Parameters
    ----------
    net
        a recognizer with its weights
    segments
        frames of a video, for a network on images

    Raises
    ------
    UserError
        as `store.load`; the function raises it for inputs that the form was not made for
    """
    with with_segments(net, _of_images(net, segments)):
        loaded = load(net, 'mxnet')
    compute = loaded.model.forward()
    known: Set[Tuple[int, ...]] = set()

    def forward(x: mx.nd.NDArray) -> Tuple[mx.nd.NDArray, ...]:
        if x.shape[1:] not in known:
            loaded.check(net, segments, x.shape)
            known.add(x.shape[1:])
        outputs: Tuple[mx.nd.NDArray, ...] = compute(x)
        return outputs

    return forward


def _of_images(net: HybridBlock, segments: int) -> Optional[int]:
    return segments if net.input_spec.ndim == 2 else None
