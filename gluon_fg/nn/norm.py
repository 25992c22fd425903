"""Batch normalization of clips that trains under oneDNN, its form for inference, and freezing."""

from __future__ import annotations

import contextlib
import threading
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import mxnet as mx
from mxnet.gluon import Block, HybridBlock, nn

from .tracing import TRACING


class _Form(threading.local):
    """How this thread traces: another may be training meanwhile."""

    deploy = False
    converted = False


_form = _Form()


@contextlib.contextmanager
def deploy_mode(converted: bool = False) -> Iterator[None]:
    """While open, `BatchNorm3D` is traced as one plain BatchNorm operator: the form that fuses and converts.

    Read when a graph is traced, by this thread: graphs that exist already keep their form. Not for training.

    Parameters
    ----------
    converted
        whether the graph is for another runtime than MXNet: what is fast differs, not the result
    """
    with TRACING:
        before = _form.deploy, _form.converted
        _form.deploy, _form.converted = True, converted
        try:
            yield
        finally:
            _form.deploy, _form.converted = before


def deploying() -> bool:
    """Whether this thread traces the form for inference: see `deploy_mode`."""
    return _form.deploy


def converting() -> bool:
    """Whether this thread traces the form for inference in another runtime than MXNet: see `deploy_mode`."""
    return _form.deploy and _form.converted


class BatchNorm3D(nn.BatchNorm):
    """Batch normalization over (N, C, T, H, W), with the parameters and parameter names of Gluon's `BatchNorm`.

    oneDNN's backward pass of BatchNorm fails on 5-D data behind a convolution (MXNet 1.9.1: `Check failed: !is_view`),
    so time and height are seen as one axis; the result is the same, and the reshape is free in a static graph.

    Inputs:
        - **x**: (N, C, T, H, W)

    Outputs:
        - **y**: (N, C, T, H, W)
    """

    def _alias(self) -> str:
        return 'batchnorm'  # full names as Gluon's: GluonCV's tools look for 'batchnorm' in them

    def hybrid_forward(self, F, x, gamma, beta, running_mean, running_var):
        if deploying():
            return super().hybrid_forward(F, x, gamma, beta, running_mean, running_var)
        y = F.reshape(x, shape=(0, 0, -3, 0))  # (N, C, T*H, W)
        y = super().hybrid_forward(F, y, gamma, beta, running_mean, running_var)
        return F.reshape_like(y, x)


def batch_norm(ndim: int, in_channels: int, epsilon: float = 1e-5) -> nn.BatchNorm:
    """The batch norm for images (`ndim` 2) or clips (3); chosen when built: symbols have no dimensions."""
    return (BatchNorm3D if ndim == 3 else nn.BatchNorm)(in_channels=in_channels, epsilon=epsilon)


def batch_norms(net: Block) -> List[nn.BatchNorm]:
    """All batch norm layers of a network, in the order in which they were added (the stem's first), each once."""
    layers: Dict[int, nn.BatchNorm] = {}

    def visit(block: Block) -> None:
        if isinstance(block, nn.BatchNorm):
            layers.setdefault(id(block), block)
        for child in block._children.values():
            visit(child)

    visit(net)
    return list(layers.values())


def has_statistics(layer: nn.BatchNorm) -> bool:
    """Whether a batch norm layer's running statistics are of some data: not the mean 0 and variance 1 of a new one."""
    mean, var = (p.data(p.list_ctx()[0]).asnumpy() for p in (layer.running_mean, layer.running_var))
    return bool((mean != 0).any() or (var != 1).any())


def freeze_batch_norm(
    net: Block, keep_first: bool = False, only: Optional[Callable[[nn.BatchNorm], bool]] = None
) -> List[nn.BatchNorm]:
    """Let batch norm use its running statistics in training too, and keep its gamma and beta as they are.

    Parameters
    ----------
    net
        a network; graphs that it has traced already are dropped
    keep_first
        True: partial batch norm (TSN), the first layer goes on learning
    only
        which layers to freeze (None: all). With `has_statistics` those of new branches go on learning: with a mean of 0
        and a variance of 1 they would normalize nothing

    Returns
    -------
    The frozen layers.
    """
    mx.nd.waitall()  # a pass still under way may be about to update what is frozen here
    layers = batch_norms(net)[1 if keep_first else 0 :]
    layers = [layer for layer in layers if only is None or only(layer)]
    for layer in layers:
        layer._kwargs['use_global_stats'] = True
        layer.gamma.grad_req = layer.beta.grad_req = 'null'
    clear_cached_graphs(net)
    return layers


def freeze(*blocks: Block) -> Callable[[], None]:
    """Keep all parameters of some blocks as they are, and let their batch norm use its running statistics.

    Returns
    -------
    A function that undoes it. Both drop the graphs that the blocks have traced; a network around them has its own to
    drop (`clear_cached_graphs`).
    """
    mx.nd.waitall()  # as in `freeze_batch_norm`
    layers = [layer for block in blocks for layer in batch_norms(block)]
    params = [p for block in blocks for p in block.collect_params().values()]
    requests = [p.grad_req for p in params]
    statistics = [layer._kwargs['use_global_stats'] for layer in layers]

    def set_all(frozen: List[bool], wanted: List[str]) -> None:
        for layer, value in zip(layers, frozen):
            layer._kwargs['use_global_stats'] = value
        for p, request in zip(params, wanted):
            p.grad_req = request
        for block in blocks:
            clear_cached_graphs(block)

    set_all([True] * len(layers), ['null'] * len(params))
    return lambda: set_all(statistics, requests)


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
    return symbol, parameters_of(net, symbol)


def parameters_of(net: HybridBlock, symbol: mx.sym.Symbol) -> Dict[str, mx.nd.NDArray]:
    """The parameters of a network that a graph of it reads: 'arg:name' or 'aux:name' -> NDArray."""
    auxiliary = set(symbol.list_auxiliary_states())
    used = auxiliary.union(symbol.list_arguments())
    return {
        ('aux:' if name in auxiliary else 'arg:') + name: p.data()
        for name, p in net.collect_params().items()
        if name in used
    }
