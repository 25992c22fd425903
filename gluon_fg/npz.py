"""Reading .npz files of ours that may be damaged or made to harm: nothing is unpickled, and no header is believed.

The header of an array is some hundred bytes and may claim any number of values. Here it has to agree with what the
archive says of the member, and that with what the file's bytes can unpack to, before memory is asked for.
"""

from __future__ import annotations

import fnmatch
import math
import os
import re
import struct
import zipfile
import zlib
from typing import IO, Dict, Mapping, Sequence, Tuple, Union

import numpy as np

_DEFLATE = 1032  # bytes at most that one byte of a deflated member unpacks to
_FREE, _TIMES = 1 << 28, 50  # all arrays have no more bytes than this, or so many times the file's
_DESCRIPTOR = 24  # bytes that may follow a member
_MAGIC, _HEADER = b'\x93NUMPY', 1 << 14  # bytes; a header is some 128 long
_FIELDS = re.compile(
    rb"\{'descr': '([<>|=][a-zA-Z]\d{1,9})', 'fortran_order': (True|False), 'shape': \(([\d, ]{0,400})\),? ?\}\s*"
)
_DAMAGE = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError),
    *(NotImplementedError, KeyError, ValueError, OverflowError, MemoryError),
)


class NpzError(Exception):
    """Why a file of arrays is not read, in a few words."""


def read_npz(
    path: Union[str, os.PathLike], kinds: Mapping[str, str], optional: Sequence[str] = ()
) -> Dict[str, np.ndarray]:
    """Read all arrays of a .npz file, as `np.savez` and `np.savez_compressed` write them.

    Parameters
    ----------
    path
        the file
    kinds
        name (or pattern, 'matrix_*') -> the kinds of values that it may have, by NumPy's letters: f, i, u, b, U
    optional
        names that may be missing

    Returns
    -------
    dict
        name -> array in the machine's byte order

    Raises
    ------
    NpzError
        it cannot be read, is no such file, cut short or damaged, lacks an array, has another one, or one of another
        kind, or arrays that are larger than the file can hold
    """
    try:
        stream = open(path, 'rb')
    except OSError as error:
        raise NpzError(error.strerror or str(error)) from None
    try:
        with stream, zipfile.ZipFile(stream) as archive:
            arrays = _all_of(archive, kinds, os.fstat(stream.fileno()).st_size)
    except _DAMAGE:
        raise NpzError('no whole archive of arrays') from None
    for name in kinds:
        if '*' not in name and name not in arrays and name not in optional:
            raise NpzError(f'it has no {name}')
    return arrays


def _all_of(archive: zipfile.ZipFile, kinds: Mapping[str, str], size: int) -> Dict[str, np.ndarray]:
    arrays: Dict[str, np.ndarray] = {}
    _check_whole(archive)
    left = max(_FREE, _TIMES * size)
    for member in archive.infolist():
        name = member.filename[: -len('.npy')]
        pattern = next((pattern for pattern in kinds if fnmatch.fnmatchcase(name, pattern)), None)
        if not member.filename.endswith('.npy') or pattern is None:
            raise NpzError('it holds something else')
        if name in arrays:
            raise NpzError(f'it has {name} twice')
        packed = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: _DEFLATE}.get(member.compress_type, 0)
        left -= member.file_size
        if member.file_size > packed * min(member.compress_size, size) or left < 0:
            raise NpzError(f'{name} is larger than the file can hold')
        arrays[name] = _one_of(archive, member, name, kinds[pattern])
    return arrays


def _check_whole(archive: zipfile.ZipFile) -> None:
    """Refuse an archive with room for a member that its directory does not name: one wrong byte there hides one."""
    end, stream = 0, archive.fp
    assert stream is not None  # it is open
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    for start, member in [*((m.header_offset, m) for m in members), (archive.start_dir, None)]:
        if not 0 <= start - end <= _DESCRIPTOR:
            raise NpzError('it holds something else')
        if member is not None:
            stream.seek(start + 26)
            end = start + 30 + sum(struct.unpack('<HH', stream.read(4))) + member.compress_size


def _one_of(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, kinds: str) -> np.ndarray:
    with archive.open(member) as stream:
        dtype, shape, by_columns, header = _header(stream.read(10), stream)
        if dtype.kind not in kinds:
            raise NpzError(f'{name} is {dtype.name}')
        size = math.prod(shape) * dtype.itemsize
        if not dtype.itemsize or header + size != member.file_size:
            raise NpzError(f'{name} is not of the size that it says')
        data = stream.read(size + 1)  # to its end, where the archive's own checksum is tested
    if len(data) != size:
        raise NpzError(f'{name} is cut short')
    array = np.frombuffer(data, dtype, math.prod(shape)) if size else np.zeros(math.prod(shape), dtype)
    return array.reshape(shape, order='F' if by_columns else 'C').astype(dtype.newbyteorder('='))


def _header(start: bytes, stream: IO[bytes]) -> Tuple[np.dtype, Tuple[int, ...], bool, int]:
    """(type, shape, whether columns come first, bytes of the header) at the beginning of an array's member."""
    if start[:6] != _MAGIC or start[6:8] not in (b'\x01\x00', b'\x02\x00'):
        raise NpzError('it holds something that is no array')
    count = 2 if start[6] == 1 else 4
    (length,) = struct.unpack('<H' if count == 2 else '<I', start[8:10] + stream.read(count - 2))
    fields = _FIELDS.fullmatch(stream.read(length)) if length <= _HEADER else None
    if fields is None:
        raise NpzError('it holds something that is no array')
    shape = tuple(int(number) for number in fields.group(3).replace(b',', b' ').split())
    if len(shape) > 32 or math.prod(shape) >= 1 << 62:
        raise NpzError('it holds an array of no size that can be')
    return np.dtype(fields.group(1).decode()), shape, fields.group(2) == b'True', 8 + count + length


def are_finite(array: np.ndarray) -> bool:
    """Tell whether an array of floating-point numbers holds neither NaN nor infinite ones."""
    if array.dtype == np.float16:  # NumPy takes eight times as long for it as for its bits
        return not array.size or bool((array.view(np.uint16) & 0x7C00).max() < 0x7C00)
    return bool(np.isfinite(array).all())
