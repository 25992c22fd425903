"""Reading parameter files: MXNet's own binary format alone, from which nothing is ever executed."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO, Dict, Tuple, Union

import mxnet as mx
import numpy as np

from ..errors import UserError
from ..npz import are_finite
from .disk import is_html

_MAGIC = struct.pack('<Q', 0x112)  # a list of arrays, as mx.nd.save writes it
_ARRAY, _FORMER, _NUMPY = 0xF993FAC9, 0xF993FAC8, 0xF993FACA  # before each array, by the version that wrote it
_DIMS = 32  # at most; an array of the first versions begins with their number in place of a mark
_NAME = 1024  # bytes of a parameter's name at most
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
        the file is missing, unreadable, cut short or of another format, or holds anything but named arrays of finite
        floating-point numbers
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
    except UserError:
        raise
    except (mx.MXNetError, ValueError) as error:
        raise UserError(f'{path}: not an MXNet parameter file, or cut short') from error
    if not isinstance(arrays, dict) or not arrays:
        raise UserError(f'{path}: holds no named parameters')
    for name, array in arrays.items():
        kind = np.dtype(array.dtype).name
        if kind not in _DTYPES:
            raise UserError(f'{path}: {name} is {kind}; parameters are {", ".join(_DTYPES[:-1])} or {_DTYPES[-1]}')
        if not are_finite(array.asnumpy()):
            raise UserError(
                f'{path}: {name} holds values that are not finite; the training that wrote it has failed, or the file '
                'is damaged: take an earlier one'
            )
    short = {name.split(':', 1)[-1]: array for name, array in arrays.items()}
    if len(short) < len(arrays):
        raise UserError(f'{path}: holds a parameter twice, as arg: and as aux:')
    return short


class _Damaged(ValueError):
    """Why a file is no parameter file, in a few words."""


def check_layout(path: Path) -> None:
    """Raise ValueError where sizes in the file are not its own: MXNet would end the process for some that cannot be."""
    with open(path, 'rb') as stream:
        file = _Reader(stream, path.stat().st_size)
        *_, count = file.read('<QQQ')
        for _ in range(count):
            _pass_array(file)
        (names,) = file.read('<Q')
        if names not in (0, count):  # 0: a list of arrays, which is told of later
            raise _Damaged(f'{names} names for {count} arrays')
        seen = set()
        for _ in range(names):
            (length,) = file.read('<Q')
            if not 0 < length <= _NAME:
                raise _Damaged(f'a name of {length} bytes')
            name = file.take(length).decode('utf-8', 'replace')
            if not name.isprintable() or '\ufffd' in name or name in seen:
                raise _Damaged('a name that is no text, or stands twice')
            seen.add(name)
        if file.left:
            raise _Damaged(f'{file.left} bytes after its end')


def _pass_array(file: _Reader) -> None:
    """Pass over an array, as any version of MXNet has written it (src/ndarray/ndarray.cc: Load, LegacyLoad)."""
    (mark,) = file.read('<I')
    if mark == _NUMPY:
        raise UserError(f'{file.stream.name}: was saved under npx.set_np(), whose arrays are others; save it without')
    if mark == _ARRAY and file.read('<i') != (0,):
        raise _Damaged('a sparse array, or none')
    if mark not in (_ARRAY, _FORMER) and mark > _DIMS:
        raise _Damaged('no array')
    dims = file.read('<i')[0] if mark in (_ARRAY, _FORMER) else mark
    if not 0 < dims <= _DIMS:
        raise _Damaged(f'an array of {dims} dimensions')
    shape = file.read(f'<{dims}q' if mark in (_ARRAY, _FORMER) else f'<{dims}I')
    *_, dtype = file.read('<iii')  # where it was, which is no matter, and its type
    if min(shape) < 1 or dtype not in _BYTES:
        raise _Damaged('an array without a size, or of no type')
    file.skip(math.prod(shape) * _BYTES[dtype])


class _Reader:
    """A file of which no more than its bytes can be asked for."""

    def __init__(self, stream: BinaryIO, left: int):
        self.stream, self.left = stream, left

    def skip(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise _Damaged('it says that it is longer than it is')
        self.stream.seek(count, 1)

    def take(self, count: int) -> bytes:
        self.skip(count)
        self.stream.seek(-count, 1)
        data = self.stream.read(count)
        if len(data) < count:  # a file that shrinks meanwhile
            raise _Damaged('cut short')
        return data

    def read(self, layout: str) -> Tuple[Any, ...]:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))


def _kind(head: bytes) -> str:
    if not head:
        return 'empty'
    if is_html(head):
        return 'a web page (HTML), which a server sent in its place'
    return next((kind for magic, kind in _OTHERS if head.startswith(magic)), 'something else')
