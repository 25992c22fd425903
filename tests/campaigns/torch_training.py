"""Training of a network's own graph in PyTorch, on any device: an independent computation of what MXNet trains.

It needs neither MXNet nor its operators' code: the graph is read from JSON as `graph_files.describe` writes it, with
the casts that AMP put into it. Gradients are PyTorch's; losses, clipping, the update and the loss scale are written
here.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gluon_fg.deploy.peers import torch_network

MOMENTUM, CLIP = 0.9, 10.0
FIRST_SCALE, GROWTH = 2.0**16, 2000  # of the loss, and after how many updates in a row it doubles


class Plan(NamedTuple):
    """How a network is trained.

    Parameters
    ----------
    rate
        the highest learning rate, which falls to zero as a cosine
    updates
        how many
    batch
        clips of one
    """

    rate: float
    updates: int
    batch: int

    def rate_of(self, number: int) -> float:
        """The learning rate of update `number`, from 0."""
        return self.rate * 0.5 * (1 + math.cos(math.pi * number / self.updates))


class Course(NamedTuple):
    """What a training was: the mean loss of each update, the updates left out, from 1, and the last loss scale."""

    losses: List[float]
    left_out: List[int]
    scale: float


def dealt(clips: int, plan: Plan, seed: int) -> List[np.ndarray]:
    """Which clips each update sees: one permutation after the other."""
    rng, order = np.random.default_rng(seed), np.zeros(0, int)
    while len(order) < plan.updates * plan.batch:
        order = np.concatenate([order, rng.permutation(clips)])
    return np.split(order[: plan.updates * plan.batch], plan.updates)


# The graph ---------------------------------------------------------------------------------------------------------


class _Extreme(torch.autograd.Function):
    """The largest of some axes; every position that holds it gets the gradient, as in MXNet's `max`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axes: Tuple[int, ...], keepdim: bool) -> Tensor:
        kept = x.amax(axes, keepdim=True)
        ctx.save_for_backward(x == kept)
        ctx.size = kept.shape
        return kept if keepdim else kept.reshape([n for axis, n in enumerate(kept.shape) if axis not in axes])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tuple[Tensor, None, None]:
        (where,) = ctx.saved_tensors
        return gradient.reshape(ctx.size) * where, None, None


def _axes(x: Tensor, axes: Tuple[int, ...]) -> Tuple[int, ...]:
    return tuple(sorted(axis % x.dim() for axis in axes)) or tuple(range(x.dim()))


def _largest(x: Tensor, axes: Tuple[int, ...], keepdim: bool) -> Tensor:
    return _Extreme.apply(x, _axes(x, axes), keepdim)


def _smallest(x: Tensor, axes: Tuple[int, ...], keepdim: bool) -> Tensor:
    return -_Extreme.apply(-x, _axes(x, axes), keepdim)


def _batch_norm(node: Any, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    if node.get('use_global_stats') in (True, 1):
        return functional.batch_norm(x, mean, variance, gamma, beta, False, 0.0, float(node.get('eps')))
    return functional.batch_norm(x, None, None, gamma, beta, True, 0.0, float(node.get('eps')))


def _cast(node: Any, x: Tensor) -> Tensor:
    return x.to(getattr(torch, node.get('dtype')))


def _multicast(node: Any, *inputs: Tensor) -> List[Tensor]:
    widest = torch.float32 if any(x.dtype == torch.float32 for x in inputs) else inputs[0].dtype
    return [x.to(widest) for x in inputs]


def _topk(node: Any, x: Tensor) -> Tensor:
    """By `topk`, which gives the gradient to one position, where `amax` shares it among equal ones."""
    return x.topk(node.get('k', 1), node.get('axis', -1)).values


def _dropout(node: Any, x: Tensor) -> Tensor:
    return functional.dropout(x, float(node.get('p', 0.5)), True)


# Where training differs from prediction, for which `torch_network` has the operators.
OPERATORS = {
    **torch_network.OPERATORS,
    'BatchNorm': _batch_norm,
    'BlockGrad': lambda node, x: x.detach(),
    'Cast': _cast,
    'Dropout': _dropout,
    'amp_cast': _cast,
    'amp_multicast': _multicast,
    'max': torch_network._reduce(_largest),
    'min': torch_network._reduce(_smallest),
    'topk': _topk,
}


class TrainingGraph(torch_network.TorchNetwork):
    """A network's training graph as a PyTorch module, from the variable 'data' to the tuple of its outputs.

    Parameters
    ----------
    graph
        as `graph_files.describe` has it, and 'trained': names of the parameters that have gradients; 'losses': of each
        term its output, 'cross_entropy' or 'mean', and its weight
    parameters
        name -> array; left out: seeded random ones, of a spread that keeps activations in bounds
    """

    def __init__(self, graph: Mapping[str, Any], parameters: Any = None):
        super().__init__(graph, parameters)
        self._losses = graph['losses']

    def operators(self) -> Dict[str, Callable[..., Any]]:
        """Those of training."""
        return OPERATORS

    def hold(self, key: str, node: Any, graph: Mapping[str, Any], parameters: Any) -> None:
        """As PyTorch's parameters, with gradients where they are trained."""
        array = _random(node, key) if parameters is None else torch.from_numpy(parameters[node.name])
        self.register_parameter(key, nn.Parameter(array.clone(), node.name in graph['trained']))

    def loss(self, outputs: Sequence[Tensor], label: Tensor) -> Tensor:
        """(N,) in float32."""
        total = torch.zeros(len(label), device=label.device)
        for output, kind, weight in self._losses:
            value = outputs[output].float()
            term = functional.cross_entropy(value, label, reduction='none') if kind == 'cross_entropy' else value.mean()
            total = total + weight * term
        return total

    def learned(self) -> List[nn.Parameter]:
        """Parameters that have gradients."""
        return [p for p in self.parameters() if p.requires_grad]

    def by_name(self) -> Dict[str, nn.Parameter]:
        """Name in the graph -> parameter, of those that have gradients."""
        named = ((self._nodes[int(key[1:])].name, p) for key, p in self.named_parameters())
        return {name: p for name, p in named if p.requires_grad}


def _random(node: Any, key: str) -> Tensor:
    shape, generator = node.shape, torch.Generator().manual_seed(int(key[1:]))
    if len(shape) > 1:
        return torch.randn(shape, generator=generator) * math.sqrt(2 / math.prod(shape[1:]))
    return torch.full(shape, 1.0 if node.name.endswith(('gamma', 'running_var')) else 0.0)


# Training ----------------------------------------------------------------------------------------------------------


class LossScale:
    """MXNet's dynamic loss scale (contrib/amp/loss_scaler.py): what it decides counts from the update after next."""

    def __init__(self, active: bool):
        self._active, self.now, self._next, self._unskipped = active, FIRST_SCALE if active else 1.0, FIRST_SCALE, 0

    def overflowed(self, gradients: Sequence[Tensor]) -> bool:
        """Whether a gradient is not finite; the scale follows. Without scaling never."""
        if not self._active:
            return False
        over = not all(bool(torch.isfinite(g).all()) for g in gradients)
        self.now = self._next
        self._unskipped = 0 if over else self._unskipped + 1
        if over:
            self._next = self.now / 2
        elif self._unskipped == GROWTH:
            self._unskipped, self._next = 0, self.now * 2
        return over

    @property
    def last(self) -> float:
        """What is decided for now."""
        return self._next if self._active else 1.0


def trained(
    module: TrainingGraph,
    data: Tuple[Tensor, Tensor],
    batches: Sequence[np.ndarray],
    plan: Plan,
    scaled: bool = False,
    left_out: Sequence[int] = (),
) -> Course:
    """Train by SGD with momentum and clipping; leaves the module changed.

    Parameters
    ----------
    module
        the graph, of batches of `plan.batch` clips
    data
        inputs as the network takes them, and labels, on the module's device
    batches
        clips of each update
    plan
        rate and numbers
    scaled
        scale the loss, and leave out updates that overflow
    left_out
        updates to leave out besides, counted from 1
    """
    params, scale = module.learned(), LossScale(scaled)
    velocities = [torch.zeros_like(p) for p in params]
    losses, skipped = [], []
    for number, batch in enumerate(batches):
        chosen = torch.from_numpy(batch).to(data[1].device)
        loss = module.loss(module(data[0][chosen]), data[1][chosen])
        losses.append(loss.detach().mean())
        factor = scale.now
        gradients = torch.autograd.grad((loss * factor).sum(), params)
        gradients = [g / factor for g in gradients]
        norm = torch.sqrt(sum((g.double() ** 2).sum() for g in gradients)) / plan.batch
        limited = min(1.0, CLIP / (float(norm) + 1e-8))
        gradients = [g * limited for g in gradients]
        if scale.overflowed(gradients) or number + 1 in left_out:
            skipped.append(number + 1)
            continue
        with torch.no_grad():
            for p, v, g in zip(params, velocities, gradients):
                v.mul_(MOMENTUM).add_(g, alpha=-plan.rate_of(number) / plan.batch)
                p.add_(v)
    return Course([float(value) for value in losses], skipped, scale.last)
