"""A moving average of the weights, which is measured and saved in their place."""

from __future__ import annotations

import contextlib
from typing import Dict, Iterator

import mxnet as mx
from mxnet.gluon import HybridBlock

Values = Dict[str, mx.nd.NDArray]


class WeightAverage:
    """Exponential moving average of a network's parameters (Polyak and Juditsky 1992, as TensorFlow has it).

    After update t: average = keep * average + (1 - keep) * parameters, where keep is the lesser of `decay` and
    (1 + t) / (10 + t), so that a short training is not an average with its random start. Running statistics of batch
    norm are averaged like weights: they belong to the networks that are averaged. `population` measures them anew where
    that is wanted.

    Parameters
    ----------
    net
        the network that is trained
    decay
        share that an update leaves of the average, in the long run

    Attributes
    ----------
    values
        structural name -> average; empty before the first update. May be assigned
    """

    def __init__(self, net: HybridBlock, decay: float):
        self._net, self.decay, self.values = net, decay, {}  # type: HybridBlock, float, Values

    def update(self, updates: int) -> None:
        """Take in the parameters as the update number `updates`, from 1, left them."""
        mx.nd.waitall()  # running statistics are written without the engine's knowing: see `Recognizer.save_parameters`
        keep = min(self.decay, (1 + updates) / (10 + updates))
        for name, value in self._now().items():
            if name in self.values:
                self.values[name] += (1 - keep) * (value - self.values[name])  # exact where nothing changes
            else:
                self.values[name] = value.copy()

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """While open the network has the average for its parameters; what is changed in them then is changed in it."""
        mx.nd.waitall()
        trained = {name: value.copy() for name, value in self._now().items()}
        self._put(self.values)
        try:
            yield
        finally:
            mx.nd.waitall()
            self.values = {name: value.copy() for name, value in self._now().items()}
            self._put(trained)

    def on_cpu(self) -> Values:
        """The average as files keep it."""
        return {name: value.as_in_context(mx.cpu()) for name, value in self.values.items()}

    def _now(self) -> Values:
        return {name: p.data(p.list_ctx()[0]) for name, p in self._net._collect_params_with_prefix().items()}

    def _put(self, values: Values) -> None:
        for name, p in self._net._collect_params_with_prefix().items():
            # Not `set_data`: a pass without gradients leaves weights in oneDNN's own layout, which it cannot write to.
            mx.nd.identity(values[name], out=p.data(values[name].context))
