"""Long short-term memory over the frames of a feature volume."""

from __future__ import annotations

from typing import Any

from mxnet.gluon import HybridBlock, rnn

from ..errors import UserError


class FrameLSTM(HybridBlock):
    """Reads a clip's frames, each averaged over space, in their order (CIDC sec. 4.3); its last state is the answer.

    Gluon's LSTM, whose first state is given here: one that it makes itself breaks when mixed precision is on.

    Parameters
    ----------
    channels
        C
    units, layers
        width of each layer, U, and their number

    Inputs:
        - **x**: (N, C, T, H, W), any T

    Outputs:
        - **h**: (N, U), output of the last layer behind the last frame, between -1 and 1

    Raises
    ------
    UserError
        a count below 1
    """

    def __init__(self, channels: int, units: int = 512, layers: int = 2, **kwargs: Any):
        super().__init__(**kwargs)
        for name, count in (('channels', channels), ('units', units), ('layers', layers)):
            if count < 1:
                raise UserError(f'{name} must be at least 1, got {count!r}')
        self._state = dict(axis=(0, 2), size=(layers, units))
        with self.name_scope():
            self.lstm = rnn.LSTM(units, layers, input_size=channels)

    def hybrid_forward(self, F, x):
        frames = F.transpose(F.mean(x, axis=(3, 4)), axes=(2, 0, 1))  # (T, N, C)
        zero = F.zeros_like(F.slice(frames, begin=(0, 0, 0), end=(1, None, 1)))  # (1, N, 1): symbols know no N
        outputs, _ = self.lstm(frames, [F.broadcast_axis(zero, **self._state) for _ in range(2)])
        return F.squeeze(F.slice_axis(outputs, axis=0, begin=-1, end=None), axis=0)
