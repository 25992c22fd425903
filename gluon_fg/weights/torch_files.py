"""PyTorch's checkpoints, both formats, read without PyTorch: the tensors are views of the file's bytes.

To version 1.5 a file was five pickles (a magic number, a version, the machine's sizes, the content, the keys of the
storages) and the storages one after another, each behind its count. Since then it is a zip archive that holds the
content's pickle and one member a storage.
"""

from __future__ import annotations

import functools
import io
import math
import struct
import zipfile
import zlib
from typing import Any, Callable, Dict, Iterator, NamedTuple, Tuple

import numpy as np

from ..errors import UserError, printable
from .numpy_pickles import NUMPY, NumpyArray, are_sizes, mapping
from .pickled import Calls, Refused, load

MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of the former format

_WRAPPERS = ('state_dict', 'model_state_dict', 'model')

# name of a storage -> type on disk; bfloat16 is float32 without its lower half
_STORAGES = {
    'FloatStorage': '<f4',
    'DoubleStorage': '<f8',
    'HalfStorage': '<f2',
    'BFloat16Storage': '<u2',
    'LongStorage': '<i8',
    'IntStorage': '<i4',
    'ShortStorage': '<i2',
    'CharStorage': '|i1',
    'ByteStorage': '|u1',
    'BoolStorage': '|b1',
}


class _Storage(NamedTuple):
    """Where a tensor's numbers are: a key of the file, their type and count."""

    key: str
    kind: str
    length: int


class _Tensor(NamedTuple):
    """A part of a storage."""

    storage: _Storage
    offset: int
    shape: Tuple[int, ...]
    strides: Tuple[int, ...]

    def array(self, numbers: np.ndarray) -> np.ndarray:
        """The tensor of its storage's numbers; a view of them."""
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides))
        if math.prod(self.shape) and last >= len(numbers) or math.prod(self.shape) > len(numbers):
            raise Refused('has a tensor that is larger than its storage')
        itemsize = numbers.itemsize
        numbers = numbers[self.offset :]
        view = np.lib.stride_tricks.as_strided(
            numbers, self.shape, [s * itemsize for s in self.strides], writeable=False
        )
        if self.storage.kind != 'BFloat16Storage':
            return view
        return (view.astype(np.uint32) << 16).view(np.float32)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    sizes = are_sizes(shape) and are_sizes(strides) and len(shape) == len(strides) and are_sizes((offset,))
    if not isinstance(storage, _Storage) or not sizes:
        raise Refused('has a tensor without a storage or a shape')
    return _Tensor(storage, offset, shape, strides)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _size(sizes: Any) -> Tuple[int, ...]:
    if not are_sizes(sizes):
        raise Refused('has a shape that is none')
    return sizes


_TORCH: Calls = {
    **NUMPY,
    **{('torch', name): None for name in _STORAGES},
    ('torch._utils', '_rebuild_tensor_v2'): _tensor,
    ('torch._utils', '_rebuild_parameter'): _parameter,
    ('torch', 'Size'): _size,
    ('collections', 'Counter'): mapping,
}


class _Storages:
    """What a file says of its storages: ('storage', type, key, device, count), and in old ones a view of another."""

    def __init__(self) -> None:
        self.named: Dict[str, _Storage] = {}

    def __call__(self, reference: Any) -> _Storage:
        word, kind, key, _, count, *view = reference
        if word != 'storage' or kind.name not in _STORAGES or type(key) is not str or type(count) is not int:
            raise Refused('has a storage that is none')
        storage = _Storage(key, kind.name, count)
        if count < 0 or any(view) or self.named.setdefault(key, storage) != storage:
            raise Refused('has a storage that is another at a second place')
        return storage


def from_former(data: bytes, stream: io.BytesIO) -> Iterator[Tuple[str, np.ndarray]]:
    """Read a file of PyTorch's former format, whose magic number has been read: (name, array) of each tensor."""
    if load(stream, {}) != 1001 or load(stream, {})['little_endian'] is not True:
        raise Refused('of another version or byte order')
    storages = _Storages()
    content, keys = load(stream, _TORCH, storages), load(stream, {})
    place = stream.tell()
    numbers: Dict[str, np.ndarray] = {}
    for key in keys:
        storage = storages.named[key]
        if struct.unpack_from('<q', data, place) != (storage.length,):
            raise Refused('has a storage of another size than it says')
        numbers[key] = np.frombuffer(data, _STORAGES[storage.kind], storage.length, place + 8)
        place += 8 + numbers[key].nbytes
    yield from _state_dict(content, numbers.__getitem__)


def from_zip(data: bytes) -> Iterator[Tuple[str, np.ndarray]]:
    """Read a file of PyTorch's format, a zip archive without compression: (name, array) of each tensor."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: info for info in archive.infolist()}
            (pickled,) = (name for name in members if name.endswith('/data.pkl') or name == 'data.pkl')
            folder = pickled[: -len('data.pkl')]
            if any(info.compress_type != zipfile.ZIP_STORED for info in members.values()):
                raise Refused('is a compressed archive, which PyTorch does not write')
            order = f'{folder}byteorder'
            if order in members and archive.read(order) != b'little':
                raise Refused('of another byte order')
            if sum(info.file_size for info in members.values()) > len(data):
                raise Refused('is an archive whose members overlap')
            storages = _Storages()
            content = load(io.BytesIO(archive.read(pickled)), _TORCH, storages)

            def numbers(key: str) -> np.ndarray:
                storage = storages.named[key]
                return np.frombuffer(archive.read(f'{folder}data/{key}'), _STORAGES[storage.kind], storage.length)

            yield from _state_dict(content, numbers)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, OSError, RuntimeError, NotImplementedError):
        raise Refused('is no whole archive') from None


def _state_dict(content: Any, numbers: Callable[[str], np.ndarray]) -> Iterator[Tuple[str, np.ndarray]]:
    """(name, array) of a network's tensors, which may be kept under another name beside an optimizer's and others.

    `numbers` gives a storage's by its key.
    """
    for _ in _WRAPPERS:
        inside = [content[key] for key in _WRAPPERS if isinstance(content, dict) and isinstance(content.get(key), dict)]
        if inside and not _has_tensors(content):
            content = inside[0]
    if not _has_tensors(content):
        raise UserError(f'holds no tensors by name, neither outermost nor under {", ".join(_WRAPPERS)}')
    read = functools.lru_cache(maxsize=None)(numbers)
    for name, tensor in content.items():
        if not isinstance(tensor, _Tensor):
            kind = 'NumPy array' if isinstance(tensor, NumpyArray) else type(tensor).__name__
            raise UserError(f'{printable(str(name)[:80])} is no tensor but a {kind}')
        yield str(name), tensor.array(read(tensor.storage.key))


def _has_tensors(content: Any) -> bool:
    return isinstance(content, dict) and any(isinstance(value, _Tensor) for value in content.values())
