"""A training step in PyTorch, of the same network with the same weights: what ours is timed beside.

The small 3-D network (`i3d_tiny_synthfg`) as a user of PyTorch would write it: `Conv3d`, `BatchNorm3d`, SGD with
momentum. Nothing else of the package needs PyTorch.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict

import numpy as np
from mxnet.gluon import Block, HybridBlock
from mxnet.gluon.nn import BatchNorm
from mxnet.gluon.nn.conv_layers import _Conv, _Pooling

from ..errors import UserError

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ImportError as error:
    raise UserError(f'a step in PyTorch needs PyTorch ({error}); pip install torch, or leave these rows out') from error


def twin(net: HybridBlock) -> nn.Module:
    """A recognizer's branches in PyTorch, its weights copied.

    Returns
    -------
    A module in training mode, whose output are the logits

    Raises
    ------
    UserError
        a network of another kind than the small ones on clips
    """
    backbone = net.branches.backbone
    if backbone.ndim != 3 or len(net.branch_names) != 1:
        raise UserError(f'{net.name} has no twin in PyTorch; choose i3d_tiny_synthfg')
    return _Twin({name: _converted(child) for name, child in backbone._children.items()}, net.branches.classifier)


class _Twin(nn.Module):
    """A backbone and a classifier over the mean of its last features."""

    def __init__(self, parts: Dict[str, nn.Module], classifier: Block):
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        dense = nn.Linear(classifier.weight.shape[1], classifier.weight.shape[0])
        self.classifier = _filled(dense, weight=classifier.weight, bias=classifier.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name in ('stem', 'res2', 'res3', 'res4', 'res5'):
            x = self.parts[name](x)
        return self.classifier(x.mean((2, 3, 4)))


class _Residual(nn.Module):
    """`backbones.residual.ResidualBlock`, of two convolutions."""

    def __init__(self, block: Block):
        super().__init__()
        self.first = nn.Sequential(_converted(block.conv1), _converted(block.bn1), nn.ReLU())
        self.second = nn.Sequential(_converted(block.conv2), _converted(block.bn2))
        self.shortcut = nn.Identity() if block.downsample is None else _converted(block.downsample)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.second(self.first(x)) + self.shortcut(x))


def _converted(block: Block) -> nn.Module:
    """A layer of ours as one of PyTorch's, with its weights."""
    if hasattr(block, 'conv1'):
        return _Residual(block)
    if isinstance(block, _Conv):
        sizes = block._kwargs
        out, into = block.weight.shape[:2]
        made = nn.Conv3d(into, out, sizes['kernel'], sizes['stride'], sizes['pad'], bias=block.bias is not None)
        return _filled(made, weight=block.weight, **({} if block.bias is None else {'bias': block.bias}))
    if isinstance(block, _Pooling):
        sizes = block._kwargs
        return nn.MaxPool3d(sizes['kernel'], sizes['stride'], sizes['pad'])
    if isinstance(block, BatchNorm):
        made = nn.BatchNorm3d(block.gamma.shape[0], block._kwargs['eps'], 1 - block._kwargs['momentum'])
        return _filled(made, weight=block.gamma, bias=block.beta)
    if block._children:
        return nn.Sequential(*(_converted(child) for child in block._children.values()))
    return nn.ReLU()


def _filled(module: Any, **params: Any) -> Any:
    for name, p in params.items():
        getattr(module, name).data = torch.from_numpy(p.data().asnumpy().copy())
    return module


def training_step(net: HybridBlock, x: np.ndarray, rate: float, momentum: float) -> Callable[[], None]:
    """A function that runs one forward, backward and update by SGD, as `torch.optim.SGD` computes it.

    Layouts are channels-last, the faster ones there; as many threads as `OMP_NUM_THREADS` says.
    """
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS') or torch.get_num_threads()))
    module = twin(net).to(memory_format=torch.channels_last_3d)
    data = torch.from_numpy(x).to(memory_format=torch.channels_last_3d)
    label, params = torch.arange(len(x)), list(module.parameters())
    velocities = [torch.zeros_like(p) for p in params]

    def run() -> None:
        functional.cross_entropy(module(data), label, reduction='sum').backward()
        with torch.no_grad():
            torch._foreach_mul_(velocities, momentum)
            torch._foreach_add_(velocities, [p.grad for p in params], alpha=1 / len(x))
            torch._foreach_add_(params, velocities, alpha=-rate)
        for p in params:
            p.grad = None

    return run
