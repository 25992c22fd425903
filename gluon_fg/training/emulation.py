"""Float16 on a CPU: numbers are rounded to float16 where a GPU would hold them so, and computed in float32 between.

MXNet has no float16 convolution on CPUs. Emulation shows there what float16's range and digits do to a training: which
updates overflow, how the loss scale settles, how far losses move. It is slower than float32 and says nothing of a GPU's
own sums, which have another order.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any, Callable, Optional

import mxnet as mx
from mxnet.contrib import amp

# operator -> how many of its first inputs AMP holds in float16 on a GPU (None: all). From the lists of MXNet 1.9.1,
# contrib/amp/lists/symbol_fp16.py; batch norm follows its data, and keeps scale, shift and statistics in float32.
# The zoo's transposed convolutions up-sample by constant taps, which float16 holds exactly: theirs are left alone, as
# oneDNN cannot go back through a 2-D one whose filter is no parameter ("could not execute a primitive")
ROUNDED = {
    'Convolution': None,
    'Deconvolution': 1,
    'FullyConnected': None,
    'RNN': None,
    'BatchNorm': 1,
    'Pooling': 1,
}
_FIRST = 'data'  # the name of each one's first input


def start() -> None:
    """Round in this process from now on; MXNet's loss scaling can be used then. Cannot be undone, as AMP itself."""
    amp.init('float16', target_precision_ops=[], conditional_fp32_ops=[], fp32_ops=[])  # for its loss scaling alone
    for module in (mx.nd, mx.sym):
        for name, inputs in ROUNDED.items():
            rounding = _rounding(getattr(module, name), module, inputs)
            setattr(module, name, rounding)
            setattr(module.op, name, rounding)


def rounded(array: Any, module: ModuleType = mx.nd) -> Any:
    """Round an array, or a symbol by `mx.sym`, to float16 and return it as float32; its gradient is rounded as well.

    Beyond 65,504 either becomes infinite, as on a GPU.
    """
    return module.amp_cast(module.amp_cast(array, dtype='float16'), dtype='float32')


def _rounding(operator: Callable, module: ModuleType, inputs: Optional[int]) -> Callable:
    """The operator with its first inputs (None: all) and its outputs rounded."""

    def held(value: Any) -> Any:
        return rounded(value, module) if isinstance(value, (mx.nd.NDArray, mx.sym.Symbol)) else value

    @functools.wraps(operator)
    def call(*args: Any, **kwargs: Any) -> Any:
        args = tuple(held(value) if inputs is None or i < inputs else value for i, value in enumerate(args))
        kwargs = {key: held(value) if inputs is None or key == _FIRST else value for key, value in kwargs.items()}
        outputs = operator(*args, **kwargs)
        if isinstance(outputs, mx.sym.Symbol) and len(outputs) > 1:
            outputs = list(outputs)
        return [held(output) for output in outputs] if isinstance(outputs, (list, tuple)) else held(outputs)

    return call
