"""Operators: each that the zoo is made of, output and gradients, on the device beside the CPU.

The device computes the graph that training computes, hybridized and in float32; the reference is imperative and in
float64, for which MXNet has kernels of its own. Shapes are odd, or of 16 and 32 channels, whose layouts are blocked.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Tuple

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.gluon import HybridBlock, nn

from ..nn import BatchNorm3D, BilinearUpsample, FrameLSTM, GlobalMaxPool, NonLocal, SelfAttention
from .outcome import Outcome, Target

# Of a number's share of the largest: Ampere's tensor cores round float32 to 10 bits unless they are told not to
TOLERANCE = {'gpu': 5e-3, 'cpu': 2e-4}
_ADVICE = 'do not train on this device; send the report to the project'


class Case(NamedTuple):
    """An operator: its name, how a block of it is built, the shape of its input, and whether it is in training.

    `reference`: the type of the CPU's numbers; MXNet has no 3-D deconvolution in float64
    """

    name: str
    build: Callable[[], HybridBlock]
    shape: Tuple[int, ...]
    training: bool = True
    reference: str = 'float64'


class _Operator(HybridBlock):
    """A function of `F` and a clip, without parameters; or with one weight of the given shape."""

    def __init__(self, function: Callable[..., Any], weight: Optional[Tuple[int, ...]] = None):
        super().__init__()
        self._function = function
        if weight:
            with self.name_scope():
                self.weight = self.params.get('weight', shape=weight)

    def hybrid_forward(self, F: Any, x: Any, **weights: Any) -> Any:
        return self._function(F, x, **weights)


def _grouped(channels: int, frames: int) -> HybridBlock:
    """Each channel's own products over time: a convolution of as many groups as channels."""

    def convolve(F: Any, x: Any, weight: Any) -> Any:
        return F.Convolution(
            x, weight, kernel=(frames, 1), num_filter=frames * channels, num_group=channels, no_bias=True
        )

    return _Operator(convolve, (frames * channels, 1, frames, 1))


CASES = (
    Case('convolution, 3-D', lambda: nn.Conv3D(32, 3, padding=1, in_channels=16), (2, 16, 4, 7, 5)),
    Case('convolution, 3-D, strided', lambda: nn.Conv3D(7, (3, 1, 1), (2, 1, 1), in_channels=5), (2, 5, 7, 5, 3)),
    Case('convolution, 2-D', lambda: nn.Conv2D(16, 3, 2, 1, in_channels=16), (3, 16, 9, 7)),
    Case('convolution of each channel over time', lambda: _grouped(32, 4), (2, 32, 4, 15)),
    Case('up-sampling of clips', lambda: BilinearUpsample(32), (2, 32, 3, 5, 4), reference='float32'),
    Case('up-sampling of clips and time', lambda: BilinearUpsample(7, time=True), (2, 7, 3, 5, 4), reference='float32'),
    Case('up-sampling of images', lambda: BilinearUpsample(16, 2), (2, 16, 5, 4), reference='float32'),
    Case('batch norm, trained', lambda: BatchNorm3D(in_channels=16), (3, 16, 4, 5, 3)),
    Case('batch norm, frozen', lambda: BatchNorm3D(in_channels=16, use_global_stats=True), (3, 16, 4, 5, 3)),
    Case('batch norm, predicting', lambda: BatchNorm3D(in_channels=7), (3, 7, 4, 5, 3), False),
    Case('top-k', lambda: _Operator(lambda F, x: F.topk(x, k=3, ret_typ='value')), (5, 37)),
    Case('top-1', lambda: _Operator(lambda F, x: F.topk(x, k=1, ret_typ='value')), (5, 400)),
    Case('LSTM', lambda: FrameLSTM(16, 24, 2), (2, 16, 5, 3, 2)),
    Case('non-local', lambda: NonLocal(16, subsample=True), (2, 16, 2, 5, 4)),
    Case('self-attention', lambda: SelfAttention(16, heads=4), (2, 16, 2, 3, 4)),
    Case('max pooling, 3-D', lambda: nn.MaxPool3D((1, 3, 3), (1, 2, 2), (0, 1, 1)), (2, 16, 3, 9, 7)),
    Case('largest response', lambda: GlobalMaxPool(3), (2, 32, 3, 5, 4)),
    Case('dense', lambda: nn.Dense(37, in_units=33), (5, 33)),
    Case('softmax', lambda: _Operator(lambda F, x: F.log_softmax(4 * x)), (5, 37)),
    Case('layer norm', lambda: nn.LayerNorm(in_channels=33), (5, 33)),
)  # fmt: skip


def checks(target: Target) -> Iterator[Outcome]:
    """Every case of `CASES`."""
    for case in CASES:
        yield check(case, target.ctx)


def check(case: Case, ctx: mx.Context) -> Outcome:
    """Compare a case's output and gradients on a device with those of the CPU in float64."""
    given, expected = computed(case, ctx, 'float32'), computed(case, mx.cpu(), case.reference, hybrid=False)
    tolerance = TOLERANCE[ctx.device_type]
    largest = max(float(np.abs(reference).max()) for _, reference in expected)
    worst, errors = 0.0, {}
    for (name, array), (_, reference) in zip(given, expected):
        scale = max(float(np.abs(reference).max()), 0.05 * largest)  # some gradients are nothing but rounding
        same = array.shape == reference.shape
        error = float(np.abs(array - reference).max()) / scale if same else np.inf
        errors[name] = error
        worst = max(worst, error if np.isfinite(error) else np.inf)
    said = f'differs from the CPU by {worst:.1e} of the largest number'
    where = max(errors, key=lambda name: errors[name] if np.isfinite(errors[name]) else np.inf)
    if worst <= tolerance:
        return Outcome(case.name, True, said, facts=errors)
    return Outcome(case.name, False, f'{said} (in {where}; at most {tolerance:g} is right)', _ADVICE, errors)


def computed(case: Case, ctx: mx.Context, dtype: str, hybrid: bool = True) -> List[Tuple[str, np.ndarray]]:
    """Names and values of output and gradients: the same weights and input on every device, in every type."""
    net = case.build()
    net.initialize()
    rng = np.random.default_rng(len(case.name))
    for parameter in net.collect_params().values():
        if parameter.grad_req != 'null' and 'running' not in parameter.name:
            spread = np.sqrt(2 / max(1, int(np.prod(parameter.shape[1:]))))
            parameter.set_data(mx.nd.array(rng.normal(0, spread, parameter.shape)))
    values = rng.standard_normal(case.shape)
    net.cast(dtype)
    net.collect_params().reset_ctx(ctx)
    if hybrid:
        net.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.array(values.astype('float32'), ctx=ctx, dtype=dtype)
    x.attach_grad()
    with autograd.record(train_mode=case.training):
        y = net(x)
        weights = mx.nd.array(rng.standard_normal(y.shape), ctx=ctx, dtype=dtype)
        loss = (y * weights).sum()
    loss.backward(train_mode=case.training)
    arrays = [('output', y), ('gradient of the input', x.grad)]
    for name, parameter in net._collect_params_with_prefix().items():
        if parameter.grad_req != 'null':
            arrays.append((f'gradient of {name}', parameter.grad(ctx)))
    return [(name, array.asnumpy().astype('float64')) for name, array in arrays]
