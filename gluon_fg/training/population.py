"""Batch norm's statistics: one set of them for all ranks, or measured anew on the training set (precise batch norm)."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any, Callable, Dict, Iterable, Iterator, List

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.gluon import HybridBlock, nn

from ..data.loader import Batch
from ..data.transforms import to_input
from ..nn.norm import batch_norms
from .distributed import World


def share_statistics(net: HybridBlock, world: World) -> None:
    """Give every rank rank 0's running statistics of batch norm: those that are saved are those that are measured.

    Each rank's are of its own clips. Rank 0's are taken, as PyTorch's DistributedDataParallel does, and not their mean:
    so they are what they would be without the other ranks, however often and whenever they are shared, and a run that
    was stopped between two validations ends in the same bits. `measure_statistics` has those of all ranks' clips.

    Collective; nothing is done in a single process.
    """
    if world.size > 1:
        mx.nd.waitall()  # running statistics are written without the engine's knowing: see `Recognizer.save_parameters`
        layers = batch_norms(net)
        world.broadcast_parameters({p.name: p for layer in layers for p in (layer.running_mean, layer.running_var)})


def measure_statistics(
    net: HybridBlock,
    batches: Iterable[Batch],
    mean_over_ranks: Callable[[np.ndarray], np.ndarray],
    ctx: mx.Context,
) -> int:
    """Replace batch norm's running statistics by those of some training batches (Wu and Johnson 2021, sec. 3.2).

    Each batch runs through the network as in training, normalized by its own mean and variance; the population's are
    the mean of the batches' means, and the mean of their variances and squared means less its square. So the result
    does not depend on how weights have changed on the way here. The variance is the biased one, as MXNet's.

    Parameters
    ----------
    net
        a recognizer; layers whose statistics are frozen keep them, and so do those that no batch comes to
    batches
        this rank's training batches, the same number on every rank
    mean_over_ranks
        collective: mean of a float64 array over the ranks, so that all have the statistics of all batches
    ctx
        where the network is

    Returns
    -------
    The number of layers that were measured.
    """
    layers = [layer for layer in batch_norms(net) if not layer._kwargs['use_global_stats']]
    if not layers:
        return 0
    seen: Dict[int, List[np.ndarray]] = {}
    with _watched(net, layers, seen):
        for batch in batches:
            x = to_input(batch.clips, net.input_spec, ctx)
            with autograd.train_mode():  # nothing is recorded: MXNet writes running statistics in backward passes alone
                outputs = net.branches(x, mx.nd.array(batch.labels, ctx=ctx)) if net.takes_labels else net.branches(x)
            for output in outputs:
                output.wait_to_read()
    measured = [layer for layer in layers if id(layer) in seen]
    for layer in measured:
        moments = mean_over_ranks(np.mean(seen[id(layer)], axis=0))  # (2, C)
        variance = np.maximum(moments[1] - moments[0] ** 2, 0)
        layer.running_mean.set_data(mx.nd.array(moments[0], ctx=ctx))
        layer.running_var.set_data(mx.nd.array(variance, ctx=ctx))
    return len(measured)


@contextlib.contextmanager
def _watched(net: HybridBlock, layers: List[nn.BatchNorm], seen: Dict[int, List[np.ndarray]]) -> Iterator[None]:
    """While open every pass adds each layer's moments to `seen`; without a graph, as that calls no hooks."""

    def look(layer: nn.BatchNorm, inputs: Any) -> None:
        x = inputs[0].astype('float32')
        mean = mx.nd.mean(x, axis=1, exclude=True)
        centered = mx.nd.broadcast_sub(x, mean.reshape((1, -1) + (1,) * (x.ndim - 2)))
        variance = mx.nd.mean(mx.nd.square(centered), axis=1, exclude=True)
        mean, variance = (value.asnumpy().astype(np.float64) for value in (mean, variance))
        seen.setdefault(id(layer), []).append(np.stack([mean, variance + mean**2]))

    mx.nd.waitall()
    net.hybridize(False)
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.detach()
        net.hybridize(static_alloc=True, static_shape=True)


def first_batches(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    """The first `count` of an epoch's batches, or all; the loader's threads end with them."""
    with contextlib.closing(batches):  # type: ignore[type-var]
        yield from itertools.islice(batches, count)
