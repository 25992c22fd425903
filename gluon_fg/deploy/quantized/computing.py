"""Computing with the INT8 form of a network that is stored beside its weights."""

from __future__ import annotations

from typing import Any, Optional, Set, Tuple

import mxnet as mx
from mxnet.gluon import HybridBlock

from ..compiled import Compiled
from ..fused import Forward, with_segments
from ..graph import Shape
from .store import load


class Stored(Compiled):
    """The INT8 form for OpenVINO, as a function of arrays; arguments as of `mxnet_forward`, and threads."""

    def __init__(self, net: HybridBlock, segments: int, threads: int):
        super().__init__(_no_trace, 'openvino', 'int8', threads, segments)
        self._net, self._segments = net, segments
        with with_segments(net, _of_images(net, segments)):
            load(net, 'openvino')  # what is wrong is said before anything is read

    def _model(self, shape: Shape) -> str:
        with with_segments(self._net, _of_images(self._net, self._segments)):
            return str(load(self._net, 'openvino', shape).model.path)


def _no_trace(shape: Shape) -> Any:
    raise NotImplementedError


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
