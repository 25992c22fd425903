"""Inference on MXNet's fused oneDNN graph (CPU): convolution, batch norm, ReLU and addition become one operator.

About twice as fast as the plain hybridized network, if batch norm is traced in its deploy form: the form that trains on
clips does not fuse.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from typing import Callable, Dict, Iterator, Mapping, Optional, Sequence, Tuple

import mxnet as mx
from mxnet import gluon

from ..nn.batch_norm_lstm import set_length
from ..nn.norm import deploy_symbol
from ..nn.tracing import TRACING
from .folding import fold

Graph = Tuple[mx.sym.Symbol, gluon.ParameterDict]
Forward = Callable[[mx.nd.NDArray], Tuple[mx.nd.NDArray, ...]]


def fused_graph(net: gluon.HybridBlock) -> Graph:
    """The fused inference graph of a recognizer's logits, branch by branch, of the variable 'data'; what it reads."""
    outputs, arrays = deploy_symbol(net.branches)
    return _fused(_logits(net, outputs), arrays, net.collect_params())


def _fused(symbol: mx.sym.Symbol, arrays: Mapping[str, mx.nd.NDArray], own: gluon.ParameterDict) -> Graph:
    """Fuse a graph in which what depends on weights alone is a constant; the weights stay the network's own."""
    symbol, arrays = fold(symbol, dict(arrays))
    params = gluon.ParameterDict()
    params.update(own)
    for key, array in arrays.items():
        name = key.split(':', 1)[1]
        if name not in params:
            params.get_constant(name, array).initialize()
    return symbol.get_backend_symbol('MKLDNN'), params


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
    make = fused_graph if _has_fused_graphs(ctx) else _plain_graph
    with TRACING, with_segments(net, num_segments):
        if set_length(net, net.input_spec.frames):
            return _of_one_length(net, make)
        return compiled(*make(net))


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


def _plain_graph(net: gluon.HybridBlock) -> Graph:
    return _logits(net, net.branches(mx.sym.var('data'))), net.collect_params()


def _of_one_length(net: gluon.HybridBlock, make: Callable[[gluon.HybridBlock], Graph]) -> Forward:
    """A recognizer whose graph is of clips of one length, as a function of clips of any: the last graph is held."""
    held: Dict[int, Forward] = {}

    def forward(x: mx.nd.NDArray) -> Tuple[mx.nd.NDArray, ...]:
        frames = x.shape[2]
        with TRACING:
            if frames not in held:
                set_length(net, frames)
                held.clear()
                held[frames] = compiled(*make(net))
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
    return compiled(*_fused(*deploy_symbol(layers), layers.collect_params()))


def _has_fused_graphs(ctx: Optional[mx.Context]) -> bool:
    return (ctx or mx.cpu()).device_type == 'cpu' and mx.runtime.Features().is_enabled('MKLDNN')


def compiled(symbol: mx.sym.Symbol, params: gluon.ParameterDict) -> Forward:
    """A graph over parameters that exist, of the variable 'data', as a function that threads may share."""
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
