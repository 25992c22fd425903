"""The batch-normalized LSTM of Cooijmans et al., "Recurrent Batch Normalization" (ICLR 2017, arXiv:1603.09025).

    i, f, g, o = BN(W_x x_t; gamma_x) + BN(W_h h_(t-1); gamma_h) + b
    c_t = sigmoid(f) * c_(t-1) + sigmoid(i) * tanh(g)
    h_t = sigmoid(o) * tanh(BN(c_t; gamma_c, beta_c))

Every step has population statistics of its own, as activations take long to settle; gammas, beta_c and b are shared by
all steps. Steps behind the last that has statistics use that one's. gamma starts at 0.1, so that the tanh does not
saturate (their sec. 4), b of the forget gate at 1 and W_h orthogonal, as in their published code.

Our choices: h_0 and c_0 are zero and not learned, so that there is nothing to normalize of h_0; running statistics with
the momentum of all batch norms here, 0.9; gates in the order of MXNet's own LSTM.
"""

from __future__ import annotations

from typing import Any, Iterator, List

import mxnet as mx
from mxnet.gluon import Block, HybridBlock, Parameter, nn

from ..errors import UserError

_GAMMA = 0.1


class StepNorm(nn.BatchNorm):
    """Batch norm of one time step: it has statistics of its own, while gamma and beta are another block's.

    It counts as a batch norm layer wherever these are listed, frozen or measured.

    Parameters
    ----------
    gamma, beta
        parameters (C,) that the steps share; not among this block's own
    epsilon
        added to the variance

    Inputs:
        - **x**: (N, C)
        - **gamma**, **beta**: (C,), their values

    Outputs:
        - **y**: (N, C)
    """

    def __init__(self, gamma: Parameter, beta: Parameter, epsilon: float = 1e-5, **kwargs: Any):
        HybridBlock.__init__(self, **kwargs)  # Gluon's own would make a gamma and a beta of its own
        self._kwargs = {'axis': 1, 'eps': epsilon, 'momentum': 0.9, 'fix_gamma': False, 'use_global_stats': False}
        self.fuse_relu = False
        object.__setattr__(self, 'gamma', gamma)  # past Gluon, which would list them as this block's
        object.__setattr__(self, 'beta', beta)
        for name, init in (('running_mean', 'zeros'), ('running_var', 'ones')):
            statistic = self.params.get(name, grad_req='null', shape=gamma.shape, init=init, differentiable=False)
            setattr(self, name, statistic)


class BatchNormLSTM(HybridBlock):
    """An LSTM whose sums and cell are batch-normalized, each step with statistics of its own: see this file's top.

    A traced graph is unrolled and holds for sequences of one length, `length`: the last that was seen, at first
    `steps`. Blocks around it have to trace anew where that changes (`set_length`, `PerLength`).

    Parameters
    ----------
    channels
        of the input, C
    units
        width of the state, U
    steps
        time steps that have statistics: as many as the sequences of training

    Inputs:
        - **x**: (N, T, C), any T

    Outputs:
        - **h**: (N, T, U), the state behind each step, between -1 and 1

    Raises
    ------
    UserError
        a count below 1, or a single step
    """

    def __init__(self, channels: int, units: int = 512, steps: int = 25, **kwargs: Any):
        super().__init__(**kwargs)
        for name, count, least in (('channels', channels, 1), ('units', units, 1), ('steps', steps, 2)):
            if count < least:
                raise UserError(f'{name} must be at least {least}, got {count!r}')
        self.steps, self.length = steps, steps
        self._units = units
        gates, small = 4 * units, mx.init.Constant(_GAMMA)
        with self.name_scope():
            self.i2h_weight = self.params.get('i2h_weight', shape=(gates, channels))
            self.h2h_weight = self.params.get('h2h_weight', shape=(gates, units), init=mx.init.Orthogonal(1.0))
            self.bias = self.params.get('bias', shape=(gates,), init=mx.init.LSTMBias(1.0))
            self.input_gamma = self.params.get('input_gamma', shape=(gates,), init=small)
            self.hidden_gamma = self.params.get('hidden_gamma', shape=(gates,), init=small)
            # always zero: the bias is the input's
            self.hidden_beta = self.params.get(
                'hidden_beta', shape=(gates,), init='zeros', grad_req='null', differentiable=False
            )
            self.cell_gamma = self.params.get('cell_gamma', shape=(units,), init=small)
            self.cell_beta = self.params.get('cell_beta', shape=(units,), init='zeros')
            self.input_norms = _norms(steps, self.input_gamma, self.bias)
            self.hidden_norms = _norms(steps - 1, self.hidden_gamma, self.hidden_beta)
            self.cell_norms = _norms(steps, self.cell_gamma, self.cell_beta)

    def __call__(self, x):
        if isinstance(x, mx.nd.NDArray) and x.shape[1] != self.length:
            self.length = x.shape[1]
            self._clear_cached_op()
        return super().__call__(x)

    def hybrid_forward(self, F, x, i2h_weight, h2h_weight, bias, **shared):
        units, c = self._units, None
        states: List[Any] = []
        sums = F.FullyConnected(x, i2h_weight, num_hidden=4 * units, no_bias=True, flatten=False)  # (N, T, 4U)
        # Also a check: a graph that is fed another length fails here.
        steps = F.split(sums, num_outputs=self.length, axis=1, squeeze_axis=True)
        for t in range(self.length):
            gates = _at(self.input_norms, t)(steps[t] if self.length > 1 else steps, shared['input_gamma'], bias)
            if t > 0:
                hidden = F.FullyConnected(states[-1], h2h_weight, num_hidden=4 * units, no_bias=True)
                gates = gates + _at(self.hidden_norms, t - 1)(hidden, shared['hidden_gamma'], shared['hidden_beta'])
            i, f, g, o = F.split(gates, num_outputs=4, axis=1)
            new = F.sigmoid(i) * F.tanh(g)
            c = new if t == 0 else F.sigmoid(f) * c + new
            normal = _at(self.cell_norms, t)(c, shared['cell_gamma'], shared['cell_beta'])
            states.append(F.sigmoid(o) * F.tanh(normal))
        return F.stack(*states, axis=1)


class PerLength(HybridBlock):
    """Mixed into a block of clips (N, C, T, H, W) with a `BatchNormLSTM` inside: a graph is of clips of one length.

    One of another length has it traced anew.
    """

    _traced_length = 0

    def __call__(self, x):
        if isinstance(x, mx.nd.NDArray) and x.ndim == 5:
            if x.shape[2] != self._traced_length:
                mx.nd.waitall()  # a static graph still writes running statistics, unannounced
                self._clear_cached_op()
                self._traced_length = x.shape[2]
            set_length(self, x.shape[2])
        return super().__call__(x)


def set_length(block: Block, length: int) -> bool:
    """Let graphs that are traced from now on be for sequences of a length; says whether there is a layer to tell."""
    layers = list(_lstms(block))
    for layer in layers:
        if layer.length != length:
            layer.length = length
            layer._clear_cached_op()
    return bool(layers)


def _lstms(block: Block) -> Iterator[BatchNormLSTM]:
    if isinstance(block, BatchNormLSTM):
        yield block
    for child in block._children.values():
        yield from _lstms(child)


def _norms(steps: int, gamma: Parameter, beta: Parameter) -> HybridBlock:
    norms = nn.HybridSequential()
    with norms.name_scope():
        norms.add(*(StepNorm(gamma, beta) for _ in range(steps)))
    return norms


def _at(norms: HybridBlock, step: int) -> StepNorm:
    """The layer of a step, the last one behind it."""
    return norms[min(step, len(norms) - 1)]
