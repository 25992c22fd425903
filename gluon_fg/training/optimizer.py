"""Which parameters are trained, by which optimizer, and at which share of the learning rate."""

from __future__ import annotations

import math
from typing import Any, Collection, Dict, FrozenSet, Optional, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..errors import UserError, unknown
from ..nn.norm import clear_cached_graphs, freeze, freeze_batch_norm, has_statistics
from .distributed import World
from .sections import TrainConfig

BACKBONE = 'branches.backbone.'
State = Tuple[mx.nd.NDArray, mx.nd.NDArray]
_TOGETHER = 45  # parameters that one operator updates, 60 at most; MXNet's default is 4


@mx.optimizer.register
class AdamW(mx.optimizer.Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, alg. 2), the decay scaled by the rate.

    MXNet 1.9.1 has no such optimizer, and its operator for it (`multi_adamw_update`) rounds the squared mean to a few
    digits. Its operator for Adam, which knows no bias, gets a rate and an epsilon that correct it.

    Parameters
    ----------
    beta1, beta2
        shares of the running means of gradient and squared gradient that each update keeps
    epsilon
        added to the root of the latter
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        **kwargs: Any,
    ):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon

    def create_state(self, index: int, weight: mx.nd.NDArray) -> State:
        """The two running means, zeros at first."""
        return mx.nd.zeros_like(weight), mx.nd.zeros_like(weight)

    def update(self, index: int, weight: mx.nd.NDArray, grad: mx.nd.NDArray, state: State) -> None:
        """One step of one parameter."""
        self._update_count(index)
        lr, wd, count = self._get_lr(index), self._get_wd(index), self._index_update_count[index]
        beta1, beta2 = (float(np.float32(beta)) for beta in (self.beta1, self.beta2))  # as the operator has them
        first, second = 1 - beta1**count, math.sqrt(1 - beta2**count)
        if wd:
            weight *= 1 - lr * wd
        rates = dict(lr=lr * second / first, beta1=beta1, beta2=beta2, epsilon=self.epsilon * second)
        mx.nd.adam_update(weight, grad, *state, out=weight, rescale_grad=self.rescale_grad, lazy_update=False, **rates)


def freeze_parts(net: HybridBlock, train: TrainConfig, statistics: Optional[Collection[str]] = None) -> int:
    """Keep batch norm and stages of the backbone as they are, as a config says; returns how many layers are frozen.

    Of batch norm only the layers whose statistics were loaded are frozen: those of new branches have none yet. Stages
    up to one whose features are given are kept as well.
    `statistics` has the structural names of these layers' running means; None: what the network has now tells.
    """
    frozen = 0
    if train.batch_norm != 'train':
        names = {p.name: name for name, p in net._collect_params_with_prefix().items()}
        only = has_statistics if statistics is None else lambda layer: names[layer.running_mean.name] in statistics
        frozen = len(freeze_batch_norm(net, keep_first=train.batch_norm == 'partial', only=only))
    backbone = net.branches.backbone
    stages = ('stem', *(f'res{number}' for number in range(2, 6)))
    for name in train.freeze:
        if name not in stages:
            raise unknown('stage in train.freeze', name, stages)
    kept = [name for name in stages if name in train.freeze or name in stages[: backbone.given]]
    if kept:
        freeze(*(getattr(part, name) for part in backbone.parts for name in kept))
        clear_cached_graphs(net)
    return frozen


def trained_parameters(
    net: HybridBlock, train: TrainConfig, untrained: FrozenSet[str]
) -> Dict[str, mx.gluon.Parameter]:
    """The parameters that have a gradient, by Gluon's names, with their shares of the learning rate in place.

    Parameters
    ----------
    net
        a recognizer, its frozen parts frozen
    train
        `lr_backbone`: for all of the backbone; `lr_new`: for what is outside and was given no value by loaded weights
    untrained
        structural names of those that were given none
    """
    params = {}
    for name, p in net._collect_params_with_prefix().items():
        if p.grad_req == 'null':
            continue
        p.grad_req = 'add' if train.accumulate > 1 else 'write'
        p.lr_mult = train.lr_backbone if name.startswith(BACKBONE) else train.lr_new if name in untrained else 1.0
        params[p.name] = p
    if not params:
        raise UserError(f'train.freeze {list(train.freeze)} leaves nothing of {net.name} to train; leave out a stage')
    return {name: params[name] for name in net.collect_params() if name in params}  # in Gluon's order


def make_trainer(
    world: World, params: Dict[str, mx.gluon.Parameter], train: TrainConfig, lr: float
) -> mx.gluon.Trainer:
    """The trainer of a run: SGD with momentum, or AdamW; over several ranks it averages gradients."""
    options = {'learning_rate': lr, 'wd': train.wd}
    if train.optimizer == 'sgd':
        options['momentum'] = train.momentum
    trainer = world.trainer(params, train.optimizer, options)
    if train.optimizer == 'sgd':
        trainer._optimizer.aggregate_num = _TOGETHER
    return trainer
