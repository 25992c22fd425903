"""Inference on MXNet's fused oneDNN graph (CPU): convolution, batch norm, ReLU and addition become one operator.

About twice as fast as the plain hybridized network, if batch norm is traced in its deploy form: the form that trains on
clips does not fuse.
"""

from __future__ import annotations

import warnings
from typing import Callable, Dict, Optional, Tuple

import mxnet as mx
from mxnet import gluon

from ..nn.batch_norm_lstm import set_length
from ..nn.norm import deploy_symbol

Forward = Callable[[mx.nd.NDArray], Tuple[mx.nd.NDArray, ...]]


def fused_symbol(net: gluon.HybridBlock) -> mx.sym.Symbol:
    """The fused inference graph of a recognizer's logits, branch by branch, of the variable 'data'."""
    outputs = deploy_symbol(net.branches)[0]
    logits = mx.sym.Group([outputs[i] for i in range(len(net.branch_names))])  # without auxiliary outputs
    return logits.get_backend_symbol('MKLDNN')


def fuse(net: gluon.HybridBlock, ctx: Optional[mx.Context] = None) -> Forward:
    """All branches of a recognizer as one function for inference.

    On the CPU: the fused graph over the network's own parameters, equal to the network to float rounding, with the
    `num_segments` and `trained_branches` that it has now. Make it anew after training: it may keep weights in oneDNN's
    layout that it has seen. Any input size may follow any other: one plan of memory is held, made anew when the shape
    changes.
    On a GPU, where there is no such graph: the network itself, hybridized.

    Parameters
    ----------
    net
        a recognizer with initialized parameters
    ctx
        where the network lies (default: CPU)

    Returns
    -------
    A function from a batch (N, 3, T, H, W), or (N * num_segments, 3, H, W), to the tuple of the branches' logits (N,
    M).
    """
    if not _has_fused_graphs(ctx):
        net.hybridize(static_alloc=True, static_shape=True)
        return lambda x: net.branches(x)[: len(net.branch_names)]
    return _compiled(fused_symbol(net), net.collect_params()) if _takes_any_length(net) else _of_one_length(net)


def _takes_any_length(net: gluon.HybridBlock) -> bool:
    return not set_length(net, net.input_spec.frames)


def _of_one_length(net: gluon.HybridBlock) -> Forward:
    """A recognizer whose graph is of clips of one length, as a function of clips of any: the last graph is held."""
    held: Dict[int, Forward] = {}

    def forward(x: mx.nd.NDArray) -> Tuple[mx.nd.NDArray, ...]:
        frames = x.shape[2]
        if frames not in held:
            set_length(net, frames)
            held.clear()
            held[frames] = _compiled(fused_symbol(net), net.collect_params())
        return held[frames](x)

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

    def forward(x: mx.nd.NDArray) -> Tuple[mx.nd.NDArray, ...]:
        outputs = block(x)
        return tuple(outputs) if isinstance(outputs, (list, tuple)) else (outputs,)

    return forward
