"""How far other runtimes are from MXNet on whole networks: random weights that hide nothing."""

from __future__ import annotations

import gc
import importlib
from typing import Dict, Iterator, NamedTuple, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock, nn

from .. import factory
from ..nn.norm import batch_norms
from .execution import thread_count
from .exporting import expected
from .flops import input_shape

RUNTIMES = ('onnxruntime', 'openvino')
CLASSES = 5  # of a network that has none of its own


class Converted(NamedTuple):
    """What a network gives in another runtime, beside MXNet, on one random input.

    Parameters
    ----------
    name
        of the network
    runtime
        'onnxruntime' or 'openvino'
    outputs
        number of outputs compared: logits of all branches, and all that the network shows
    worst
        name of the output that deviates most
    deviation
        its largest difference, as a part of its own largest value; infinite where a shape or a number is wrong
    scale
        its largest value in MXNet
    """

    name: str
    runtime: str
    outputs: int
    worst: str
    deviation: float
    scale: float


def settle(net: HybridBlock, x: np.ndarray) -> HybridBlock:
    """Give an initialized network random parameters for which all layers' outputs are of usual size; returns it.

    Statistics of batch norms are random around the mean square of what each layer is given for `x`. Without regard to
    it, signals grow with each sum of a residual network, to 10**5, where a softmax is all or nothing. With each
    channel's own mean and variance it is differences that grow from layer to layer, and with them those by rounding.
    """
    rng = np.random.default_rng(0)
    for key, p in net.collect_params().items():
        if key.endswith('gamma'):
            p.set_data(mx.nd.array(rng.uniform(0.5, 1.5, p.shape)))
        if key.endswith(('beta', 'bias')):
            p.set_data(mx.nd.array(rng.uniform(-0.3, 0.3, p.shape)))

    def adjust(layer: nn.BatchNorm, inputs: Sequence[mx.nd.NDArray]) -> None:
        square = float((inputs[0] ** 2).mean().asscalar())
        layer.running_mean.set_data(mx.nd.array(square**0.5 * rng.uniform(-0.3, 0.3, layer.running_mean.shape)))
        layer.running_var.set_data(mx.nd.array(square * rng.uniform(0.5, 1.5, layer.running_var.shape)))

    handles = [layer.register_forward_pre_hook(adjust) for layer in batch_norms(net)]
    net.branches(mx.nd.array(x))
    mx.nd.waitall()
    for handle in handles:
        handle.detach()
    return net


def compare(name: str, runtimes: Sequence[str] = RUNTIMES, threads: Optional[int] = None) -> Iterator[Converted]:
    """Compute a network with random weights in MXNet and in other runtimes, with all that it shows.

    Raises
    ------
    UserError
        no such network, an operator that cannot be converted
    """
    from .onnx import network_onnx, view_names  # an extra: everything else works without it

    entry, _ = factory.resolve(name)
    mx.random.seed(0)
    net = factory.get_model(name, nclass=None if entry.dataset else CLASSES, pretrained_base=False)
    x = np.random.default_rng(0).standard_normal(input_shape(net.input_spec), 'float32')
    settle(net, x)
    model = network_onnx(net, view_names(net))
    names = [output.name for output in model.graph.output]
    wanted = dict(zip(names, expected(net, x, names)))
    content = model.SerializeToString()
    del model, net
    for runtime in runtimes:
        module = importlib.import_module(f'.runtimes.{runtime}', __package__)
        given = module.opened(content, 'float32', thread_count(threads))(x.shape)(x)
        yield Converted(name, runtime, len(names), *_worst(dict(zip(names, given)), wanted))
        del given
        gc.collect()  # a compiled network holds a copy of its weights


def _worst(given: Dict[str, np.ndarray], wanted: Dict[str, np.ndarray]) -> Tuple[str, float, float]:
    parts = []
    for name, value in wanted.items():
        scale = float(np.abs(value).max())
        alike = given[name].shape == value.shape and np.isfinite(given[name]).all()
        apart = float(np.abs(given[name] - value).max()) if alike else float('inf')
        parts.append((apart / scale if scale else apart, name, scale))
    deviation, name, scale = max(parts)
    return name, deviation, scale
