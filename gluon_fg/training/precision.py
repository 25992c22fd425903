"""Mixed precision: float16 with dynamic loss scaling on a GPU or emulated, bfloat16 on a CPU, or plain float32.

Not run on a GPU by us: the float16 path follows MXNet's own AMP sources. On a CPU bfloat16 trains to the same losses
within about one percent and was no faster than float32 when measured, so it is offered for its numerics, not for speed.
"""

from __future__ import annotations

import contextlib
from typing import List

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.contrib import amp

from ..errors import UserError
from . import emulation

_BFLOAT16 = np.dtype([('bfloat16', np.uint16)])  # MXNet's own name for it
_enabled: List[str] = []  # the precision of this process, once AMP has wrapped MXNet's operators: nothing undoes that


def enable(precision: str, ctx: mx.Context) -> None:
    """Switch this process to a precision; must come before the network is built (AMP wraps MXNet's operators once).

    Raises
    ------
    UserError
        float16 on a CPU (MXNet has no float16 convolution there), bfloat16 or emulated float16 on a GPU, bfloat16 on a
        CPU without AVX-512 (oneDNN has none there); another precision than the one below float32 that this process has
        trained in
    """
    on_cpu = ctx.device_type == 'cpu'
    if precision == 'float16' and on_cpu:
        raise UserError('train.precision float16 needs a GPU; choose float32 or bfloat16 on a CPU')
    if precision == 'float16_emulated' and not on_cpu:
        raise UserError('train.precision float16_emulated is for the CPU; choose float16 on a GPU')
    if precision == 'bfloat16' and not on_cpu:
        raise UserError('train.precision bfloat16 is for the CPU; choose float32 or float16 on a GPU')
    if precision == 'bfloat16' and not computes_bfloat16():
        raise UserError('train.precision bfloat16 needs a CPU with AVX-512, which this one lacks; choose float32')
    if _enabled and _enabled != [precision]:
        raise UserError(
            f'train.precision {precision}: this process has trained in {_enabled[0]}, which MXNet cannot switch off; '
            'start another one'
        )
    if precision != 'float32' and not _enabled:
        if precision == 'float16_emulated':
            emulation.start()
        else:
            amp.init(target_dtype=precision)
        _enabled.append(precision)


def computes_bfloat16() -> bool:
    """Whether oneDNN has a bfloat16 convolution for this processor; tried, as no list of instruction sets is final."""
    x, weight = (mx.nd.ones(shape).astype(_BFLOAT16) for shape in ((1, 16, 4, 8, 8), (16, 16, 1, 3, 3)))
    try:
        mx.nd.Convolution(x, weight, kernel=(1, 3, 3), num_filter=16, no_bias=True).wait_to_read()
    except mx.MXNetError:
        return False
    return True


class Scaler:
    """Scales the loss in float16 so that small gradients survive, and carries the scale's state through checkpoints.

    Does nothing in float32 and bfloat16, whose exponent range needs no scaling.
    """

    _FIELDS = ('_loss_scale', '_next_loss_scale', '_unskipped')

    def __init__(self, precision: str, trainer: mx.gluon.Trainer):
        self._trainer, self.active = trainer, precision in ('float16', 'float16_emulated')
        if self.active:
            amp.init_trainer(trainer)  # after construction: it keeps the trainer's own scale (1 / ranks)

    def backward(self, losses: List[mx.nd.NDArray]) -> None:
        """Back-propagate; call inside `autograd.record()`."""
        scaled = amp.scale_loss(losses, self._trainer) if self.active else contextlib.nullcontext(losses)
        with scaled as heads:
            autograd.backward(heads)

    def unscale(self) -> None:
        """Bring reduced gradients back to their own scale, before clipping."""
        if self.active:
            amp.unscale(self._trainer)

    @property
    def scale(self) -> float:
        """What the next loss is multiplied with; 1 where nothing is scaled."""
        return float(self._trainer._amp_loss_scaler._next_loss_scale) if self.active else 1.0

    @property
    def skipped(self) -> bool:
        """Whether the last update was left out, because a gradient had become infinite: its scale was halved then."""
        return self.active and self.scale < self._trainer._amp_loss_scaler._loss_scale

    def state(self) -> dict:
        """What a checkpoint must keep; MXNet's `save_states` does not."""
        return {name: getattr(self._trainer._amp_loss_scaler, name) for name in self._FIELDS} if self.active else {}

    def load_state(self, state: dict) -> None:
        """Restore `state()`."""
        for name, value in state.items():
            setattr(self._trainer._amp_loss_scaler, name, value)
