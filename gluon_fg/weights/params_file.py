"""Reading parameter files: MXNet's own binary format alone, from which nothing is ever executed."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any, Dict, Tuple, Union

import mxnet as mx
import numpy as np

from ..errors import UserError
from .disk import is_html

_MAGIC = struct.pack('<Q', 0x112)  # a list of arrays, as mx.nd.save writes it
_ARRAY, _FORMER = 0xF993FAC9, (0xF993FAC8, 0xF993FACA)  # before each array; of other versions and NumPy semantics
_BYTES = {0: 4, 1: 8, 2: 2, 3: 1, 4: 4, 5: 1, 6: 8, 7: 1, 12: 2}  # of a value, by MXNet's number of its type
_DTYPES = ('float16', 'float32', 'float64')
_CONVERT = 'gluon-fg zoo convert makes parameter files of PyTorch checkpoints'

# first bytes -> what such a file is
_OTHERS = (
    (b'PK', f'a zip archive, as PyTorch and NumPy write; {_CONVERT}'),
    (b'\x80', f'a Python pickle; {_CONVERT}'),
    (b'\x93NUMPY', 'a NumPy array'),
    (b'\x89HDF', 'an HDF5 file'),
    (b'\x1f\x8b', 'a gzip archive'),
)


def read_params(path: Union[str, os.PathLike]) -> Dict[str, mx.nd.NDArray]:
    """name -> array of a Gluon .params file, or of an exported one without its arg: and aux: prefixes.

    Raises
    ------
    UserError
        the file is missing, unreadable, cut short or of another format, or holds anything but named floating-point
        arrays
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'no parameter file {path}')
    try:
        with open(path, 'rb') as stream:
            head = stream.read(512)
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error.strerror or error}') from None
    if not head.startswith(_MAGIC):
        raise UserError(f'{path}: not an MXNet parameter file, but {_kind(head)}')
    try:
        check_layout(path)
        arrays = mx.nd.load(str(path))
    except (mx.MXNetError, ValueError):  # the latter for names that are no text
        raise UserError(f'{path}: not an MXNet parameter file, or cut short') from None
    if not isinstance(arrays, dict) or not arrays:
        raise UserError(f'{path}: holds no named parameters')
    for name, array in arrays.items():
        if np.dtype(array.dtype).name not in _DTYPES:
            kind = np.dtype(array.dtype).name
            raise UserError(f'{path}: {name} is {kind}; parameters are {", ".join(_DTYPES[:-1])} or {_DTYPES[-1]}')
    return {name.split(':', 1)[-1]: array for name, array in arrays.items()}


def check_layout(path: Path) -> None:
    """Raise ValueError where sizes in the file are not its own: MXNet would end the process for some that cannot be."""
    with open(path, 'rb') as stream:
        left = path.stat().st_size

        def read(layout: str) -> Tuple[Any, ...]:
            nonlocal left
            data = stream.read(struct.calcsize(layout))
            left -= len(data)
            try:
                return struct.unpack(layout, data)
            except struct.error:
                raise ValueError('cut short') from None

        def skip(count: int) -> None:
            nonlocal left
            left -= count
            if count < 0 or left < 0:
                raise ValueError('longer than the file')
            stream.seek(count, 1)

        *_, count = read('<QQQ')
        for _ in range(count):
            (kind,) = read('<I')
            if kind in _FORMER or kind <= 32:  # the last began with their number of dimensions
                return
            if kind != _ARRAY:
                raise ValueError('no array')
            storage, dims = read('<ii')
            if storage or not 0 <= dims <= 32:
                raise ValueError('sparse, or no number of dimensions')
            shape = read(f'<{dims}q')
            if not dims:  # an array that was never given a shape
                continue
            *_, dtype = read('<iii')
            if min(shape) < 0 or dtype not in _BYTES:
                raise ValueError('no size or type of an array')
            skip(math.prod(shape) * _BYTES[dtype])
        (names,) = read('<Q')
        for _ in range(names):
            skip(*read('<Q'))


def _kind(head: bytes) -> str:
    if not head:
        return 'empty'
    if is_html(head):
        return 'a web page (HTML), which a server sent in its place'
    return next((kind for magic, kind in _OTHERS if head.startswith(magic)), 'something else')
