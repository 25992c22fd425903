"""Inference on MXNet's fused oneDNN graph (CPU): convolution, batch norm, ReLU and addition become one operator.

About twice as fast as the plain hybridized network, if batch norm is traced in its deploy form: the form that trains on
clips does not fuse.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from typing import Callable, Dict, Iterator, Optional, Sequence, Tuple

import mxnet as mx
from mxnet import gluon

from ..nn.batch_norm_lstm import set_length
from ..nn.norm import deploy_symbol
from ..nn.tracing import TRACING

Forward = Callable[[mx.nd.NDArray], Tuple[mx.nd.NDArray, ...]]


def fused_symbol(net: gluon.HybridBlock) -> mx.sym.Symbol:
    """The fused inference graph of a recognizer's logits, branch by branch, of the variable 'data'."""
    return _logits(net, deploy_symbol(net.branches)[0]).get_backend_symbol('MKLDNN')


def _logits(net: gluon.HybridBlock, outputs: Sequence[mx.sym.Symbol]) -> mx.sym.Symbol:
    return mx.sym.Group([outputs[i] for i in range(len(net.branch_names))])  # without auxiliary outputs


def fuse(net: gluon.HybridBlock, ctx: Optional[mx.Context] = None, num_segments: Optional[int] = None) -> Forward:
    """All branches of a recognizer as one function for inference.

    On the CPU: the fused graph over the network's own parameters, equal to the network to float rounding, with the
    `trained_branches` that it has now. Make it anew after training: it may keep weights in oneDNN's
    layout that it has seen. Any input size may follow any other: one plan of memory is held, made anew when the shape
    changes.
    On a GPU, where there is none: a graph of the network as it is.

    Several threads may make such functions of one network, call them, and share one; training it is not for several.

    Parameters
    ----------
    net
        a recognizer with initialized parameters
    ctx
        where the network lies (default: CPU)
    num_segments
        frames of a video, for a network on images; None: as many as it has now

    Returns
    -------
    A function from a batch (N, 3, T, H, W), or (N * num_segments, 3, H, W), to the tuple of the branches' logits (N,
    M).
    """
    make = fused_symbol if _has_fused_graphs(ctx) else _plain_symbol
    with TRACING, with_segments(net, num_segments):
        if set_length(net, net.input_spec.frames):
            return _of_one_length(net, make)
        return _compiled(make(net), net.collect_params())


@contextlib.contextmanager
def with_segments(net: gluon.HybridBlock, segments: Optional[int]) -> Iterator[None]:
    """While open, a network on images has so many `num_segments` (None: its own); where they differ, graphs drop."""
    before = net.num_segments
    changed = segments is not None and segments != before
    if changed:
        net.num_segments = segments
    try:
        yield
    finally:
        if changed:
            net.num_segments = before


def _plain_symbol(net: gluon.HybridBlock) -> mx.sym.Symbol:
    return _logits(net, net.branches(mx.sym.var('data')))


def _of_one_length(net: gluon.HybridBlock, make: Callable[[gluon.HybridBlock], mx.sym.Symbol]) -> Forward:
    """A recognizer whose graph is of clips of one length, as a function of clips of any: the last graph is held."""
    held: Dict[int, Forward] = {}

    def forward(x: mx.nd.NDArray) -> Tuple[mx.nd.NDArray, ...]:
        frames = x.shape[2]
        with TRACING:
            if frames not in held:
                set_length(net, frames)
                held.clear()
                held[frames] = _compiled(make(net), net.collect_params())
            forward = held[frames]
        return forward(x)

    return forward


def fuse_layers(layers: gluon.HybridBlock, ctx: Optional[mx.Context] = None) -> Forward:
    """A block of one input and one output, such as the first stages of a backbone, as `fuse` makes a network.

    Returns
    -------
    A function from a batch to a tuple of the one output.
    """
    if not _has_fused_graphs(ctx):
        layers.hybridize(static_alloc=True, static_shape=True)
        return lambda x: (layers(x),)
    return _compiled(deploy_symbol(layers)[0].get_backend_symbol('MKLDNN'), layers.collect_params())


def _has_fused_graphs(ctx: Optional[mx.Context]) -> bool:
    return (ctx or mx.cpu()).device_type == 'cpu' and mx.runtime.Features().is_enabled('MKLDNN')


def _compiled(symbol: mx.sym.Symbol, params: mx.gluon.ParameterDict) -> Forward:
    """A graph over parameters that exist, of the variable 'data', as a function."""
    data = mx.sym.var('data', dtype='float32')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # types of the parameters: they have theirs already
        block = gluon.SymbolBlock(symbol, data, params=params)
    block.hybridize(static_alloc=True, static_shape=True)
    lock = threading.Lock()  # its plan of memory serves one call after another

    def forward(x: mx.nd.NDArray) -> Tuple[mx.nd.NDArray, ...]:
        with lock:
            outputs = block(x)
        return tuple(outputs) if isinstance(outputs, (list, tuple)) else (outputs,)

    return forward
