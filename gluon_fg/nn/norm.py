"""Batch normalization of clips that trains under oneDNN, its form for inference, and freezing."""

from __future__ import annotations

import contextlib
from typing import Dict, Iterator, List, Tuple

import mxnet as mx
from mxnet.gluon import Block, HybridBlock, nn

_deploy = False


@contextlib.contextmanager
def deploy_mode() -> Iterator[None]:
    """While open, `BatchNorm3D` is traced as one plain BatchNorm operator: the form that fuses and converts.

    Read when a graph is traced: graphs that exist already keep their form. Not for training, nor for several threads.
    """
    global _deploy
    before, _deploy = _deploy, True
    try:
        yield
    finally:
        _deploy = before


class BatchNorm3D(nn.BatchNorm):
    """Batch normalization over (N, C, T, H, W), with the parameters and parameter names of Gluon's `BatchNorm`.

    oneDNN's backward pass of BatchNorm fails on 5-D data behind a convolution (MXNet 1.9.1: `Check failed: !is_view`),
    so time and height are seen as one axis; the result is the same, and the reshape is free in a static graph.

    Inputs:
        - **x**: (N, C, T, H, W)

    Outputs:
        - **y**: (N, C, T, H, W)
    """

    def _alias(self):
        return 'batchnorm'  # full names as Gluon's: GluonCV's tools look for 'batchnorm' in them

    def hybrid_forward(self, F, x, gamma, beta, running_mean, running_var):
        if _deploy:
            return super().hybrid_forward(F, x, gamma, beta, running_mean, running_var)
        y = F.reshape(x, shape=(0, 0, -3, 0))  # (N, C, T*H, W)
        y = super().hybrid_forward(F, y, gamma, beta, running_mean, running_var)
        return F.reshape_like(y, x)


def batch_norm(ndim: int, in_channels: int, epsilon: float = 1e-5) -> nn.BatchNorm:
    """The batch norm for images (`ndim` 2) or clips (3); chosen when built: symbols have no dimensions."""
    return (BatchNorm3D if ndim == 3 else nn.BatchNorm)(in_channels=in_channels, epsilon=epsilon)


def batch_norms(net: Block) -> List[nn.BatchNorm]:
    """All batch norm layers of a network, in the order in which they were added (the stem's first), each once."""
    found = {}

    def visit(block):
        if isinstance(block, nn.BatchNorm):
            found.setdefault(id(block), block)
        for child in block._children.values():
            visit(child)

    visit(net)
    return list(found.values())


def freeze_batch_norm(net: Block, keep_first: bool = False) -> int:
    """Let every batch norm use its running statistics in training too, and keep its gamma and beta as they are.

    Parameters
    ----------
    net
        a network; graphs that it has traced already are dropped
    keep_first
        True: partial batch norm (TSN), the first layer goes on learning

    Returns
    -------
    The number of layers frozen.
    """
    mx.nd.waitall()  # a pass still under way may be about to update what is frozen here
    layers = batch_norms(net)[1 if keep_first else 0 :]
    for layer in layers:
        layer._kwargs['use_global_stats'] = True
        layer.gamma.grad_req = layer.beta.grad_req = 'null'
    clear_cached_graphs(net)
    return len(layers)


def clear_cached_graphs(net: Block) -> None:
    """Make hybridized blocks trace themselves anew at their next call, after a change of what a graph has baked in."""
    net.apply(lambda block: block._clear_cached_op() if isinstance(block, HybridBlock) else None)


def deploy_symbol(net: HybridBlock) -> Tuple[mx.sym.Symbol, Dict[str, mx.nd.NDArray]]:
    """The inference graph of a network and its parameters; the network's own cached graphs are not touched.

    Parameters
    ----------
    net
        an initialized network of one input. A recognizer gives its fused logits, its `.branches` all of them

    Returns
    -------
    symbol
        graph of the variable 'data'; a group where the network has several outputs
    params
        'arg:name' or 'aux:name' -> NDArray, as `mx.nd.save` and `mx.model.load_params` have them
    """
    mx.nd.waitall()  # running statistics may still be under way, unannounced
    with deploy_mode():
        out = net(mx.sym.var('data'))
    symbol = mx.sym.Group(list(out)) if isinstance(out, (list, tuple)) else out
    auxiliary = set(symbol.list_auxiliary_states())
    used = auxiliary.union(symbol.list_arguments())
    params = {
        ('aux:' if name in auxiliary else 'arg:') + name: p.data()
        for name, p in net.collect_params().items()
        if name in used
    }
    return symbol, params
