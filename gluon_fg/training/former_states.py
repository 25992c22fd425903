"""Optimizer states as checkpoints of former versions kept them: a pickle of MXNet's, which is read and never run."""

from __future__ import annotations

import io
import math
import struct
from typing import Any, Dict, List, Tuple

import numpy as np

from ..weights.pickled import Calls, Refused, load
from .optimizer import AdamW

# In front of an array: MXNet's mark of an array, no sparse storage, number of dimensions; then the sizes, the device
# and its number, and the number of the type.
_HEAD, _DENSE, _FLOATS = struct.Struct('<Iii'), (0xF993FAC9, 0), {0: 'f4', 1: 'f8', 2: 'f2'}


class _Array:
    """mxnet.ndarray.ndarray.NDArray: made empty, and told its bytes afterwards."""

    def __init__(self, handle: Any = None):
        self.array = np.empty(0, np.float32)

    def set_state(self, state: Any) -> None:
        data = state['handle']
        try:
            mark, storage, dims = _HEAD.unpack_from(data)
            if (mark, storage) != _DENSE or not 0 < dims <= 32:
                raise Refused('holds an array of another kind')
            shape = struct.unpack_from(f'<{dims}q', data, _HEAD.size)
            *_, kind = struct.unpack_from('<iii', data, _HEAD.size + 8 * dims)
        except struct.error:
            raise Refused('has an array that is cut short') from None
        if kind not in _FLOATS or min(shape) < 0:
            raise Refused('holds an array of another kind')
        numbers = memoryview(data)[_HEAD.size + 8 * dims + 12 :]
        if math.prod(shape) * np.dtype(_FLOATS[kind]).itemsize != len(numbers):
            raise Refused('has an array of another size than it says')
        self.array = np.frombuffer(numbers, _FLOATS[kind]).reshape(shape)


class _Optimizer:
    """An optimizer, of which its numbers of updates are wanted alone."""

    def __init__(self) -> None:
        self.num_update = 0

    def set_state(self, state: Any) -> None:
        self.num_update = state['num_update']
        if type(self.num_update) is not int or self.num_update < 0:
            raise Refused('has no number of updates')


def _bytes_of(data: Any) -> bytes:
    if not isinstance(data, bytes):
        raise Refused('has an array without numbers')
    return data


_CALLS: Calls = {
    ('mxnet.ndarray.ndarray', 'NDArray'): _Array,
    ('builtins', 'bytearray'): _bytes_of,
    ('mxnet.optimizer.optimizer', 'SGD'): _Optimizer,
    (AdamW.__module__, AdamW.__name__): _Optimizer,
}


def read_states(data: bytes) -> Tuple[Dict[int, List[np.ndarray]], int]:
    """Read the content of a trainer.states file; nothing in it is executed.

    Returns
    -------
    number of a trained parameter -> the optimizer's arrays of it, none to two; and how many updates were made

    Raises
    ------
    Refused
        it is no such file, damaged, or asks for more than arrays and numbers
    """
    content = load(io.BytesIO(data), _CALLS)
    if not (isinstance(content, tuple) and len(content) == 2 and isinstance(content[0], dict)):
        raise Refused('is of another kind')
    states, optimizer = content
    if not isinstance(optimizer, _Optimizer):
        raise Refused('names no optimizer')
    arrays: Dict[int, List[np.ndarray]] = {}
    for index, state in states.items():
        parts = state if isinstance(state, tuple) else () if state is None else (state,)
        if type(index) is not int or not all(isinstance(part, _Array) for part in parts):
            raise Refused('holds something else than arrays')
        arrays[index] = [part.array for part in parts]
    return arrays, optimizer.num_update
