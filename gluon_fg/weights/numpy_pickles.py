"""Pickles of NumPy arrays in dictionaries, by NumPy 1 and 2, as ports of networks to JAX are kept."""

from __future__ import annotations

import math
import re
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np

from ..errors import UserError, printable
from .pickled import Calls, Refused

_DEPTH, _COUNT = 32, 100_000  # of dictionaries within each other, of arrays: one within itself would have no end


def flat(content: Any) -> Iterator[Tuple[str, np.ndarray]]:
    """Walk through dictionaries within each other: (names put together with slashes, array) of each array."""
    count = 0
    waiting: List[Tuple[Tuple[str, ...], Any]] = [((), content)]
    while waiting:
        path, value = waiting.pop()
        count += len(value) if isinstance(value, dict) else 0
        if count > _COUNT or len(path) > _DEPTH:
            raise Refused('has no end of arrays')
        name = '/'.join(path)
        value = value.array() if isinstance(value, NumpyArray) else value
        if isinstance(value, dict):
            parts = [part if isinstance(part, tuple) else (part,) for part in value]
            if not all(isinstance(word, str) for part in parts for word in part):
                raise Refused('has a key that is no name')
            waiting += [((*path, *part), below) for part, below in zip(parts, value.values())][::-1]
        elif isinstance(value, np.ndarray) and name:
            yield name, value
        else:
            raise UserError(f'{printable(name[:80]) or "the whole"} is no array but a {type(value).__name__}')


class _Dtype:
    """numpy.dtype('f4') and the byte order that is told later."""

    def __init__(self, code: str, *_: Any):
        if not isinstance(code, str) or not re.fullmatch('[<>=|]?(b1|[iu][1248]|f[248])', code):
            raise Refused('holds arrays of something that is no number')
        self.dtype: np.dtype = np.dtype(code)

    def set_state(self, state: Tuple[Any, ...]) -> None:
        if state[1] not in ('<', '>', '=', '|') or any(state[2:5]):
            raise Refused('holds arrays of something that is no number')
        self.dtype = self.dtype.newbyteorder(state[1])


class NumpyArray:
    """An array that is told its shape and bytes after it was made."""

    def __init__(self, *_: Any):
        self.state: Optional[Tuple[Any, ...]] = None

    def set_state(self, state: Tuple[Any, ...]) -> None:
        self.state = state

    def array(self) -> np.ndarray:
        if self.state is None:
            raise Refused('has an array without numbers')
        _, shape, kind, by_columns, content = self.state
        return _array(content, kind, shape, 'F' if by_columns else 'C')


def _array(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    if isinstance(content, str):  # of Python 2
        content = content.encode('latin-1')
    if not isinstance(kind, _Dtype) or not isinstance(content, (bytes, bytearray)) or not are_sizes(shape):
        raise Refused('has an array of something that is no number')
    if math.prod(shape) * kind.dtype.itemsize != len(content):
        raise Refused('has an array of another size than it says')
    return np.frombuffer(content, kind.dtype).reshape(shape, order=order)


def _scalar(kind: Any, content: Any) -> np.ndarray:
    return _array(content, kind, (), 'C')


def _bytes_of(text: Any, encoding: Any = '') -> bytes:
    """_codecs.encode: how pickles of Python 2's age write bytes."""
    if not isinstance(text, str) or encoding not in ('latin1', 'latin-1'):
        raise Refused('has bytes that are none')
    return text.encode('latin-1')


def are_sizes(values: Any) -> bool:
    """Tell whether a value of a file is the shape of an array: a tuple of at most 32 whole numbers, none negative."""
    return isinstance(values, tuple) and len(values) <= 32 and all(type(v) is int and v >= 0 for v in values)


def mapping(items: Any = ()) -> Dict[Any, Any]:
    """Make the dictionary that an OrderedDict in a file stands for.

    Parameters
    ----------
    items
        a dictionary, or its pairs of key and value

    Raises
    ------
    Refused
        a key that is neither a text nor a whole number
    """
    if isinstance(items, dict):
        return dict(items)
    pairs: Dict[Any, Any] = {}
    for key, value in items:
        if not isinstance(key, (str, int)):
            raise Refused('has a key that is no name')
        pairs[key] = value
    return pairs


# NumPy 2 has moved its core.
NUMPY: Calls = {
    ('numpy', 'ndarray'): None,
    ('numpy', 'dtype'): _Dtype,
    **{(f'numpy.{core}.multiarray', '_reconstruct'): NumpyArray for core in ('core', '_core')},
    **{(f'numpy.{core}.multiarray', 'scalar'): _scalar for core in ('core', '_core')},
    **{(f'numpy.{core}.numeric', '_frombuffer'): _array for core in ('core', '_core')},
    ('_codecs', 'encode'): _bytes_of,
    ('collections', 'OrderedDict'): mapping,
}
