"""Arrays out of other projects' files, read by NumPy alone: PyTorch checkpoints and pickles of NumPy arrays.

Neither `pickle` nor PyTorch is used: `pickled` reads the structure of a file, and nothing in it is run.
"""

from __future__ import annotations

import io
import struct
from typing import Dict, Iterable, Tuple

import numpy as np

from ..errors import UserError, printable
from .numpy_pickles import NUMPY, flat
from .pickled import Foreign, Refused, load
from .torch_files import MAGIC, from_former, from_zip

Arrays = Dict[str, np.ndarray]

_SHARED = 4  # a file's arrays may be this many times its size: some networks name a layer twice
_NO_CHECKPOINT = 'no checkpoint of PyTorch or of NumPy arrays, or damaged'


def read_arrays(data: bytes, source: object) -> Arrays:
    """Read the named arrays of a checkpoint; nothing in the file is run.

    Returns name -> array, float32 for all floating-point types, others as in the file.

    Parameters
    ----------
    data
        the whole file
    source
        what errors call it

    Raises
    ------
    UserError
        it is of another kind or damaged, holds more than arrays, none, or a number that is not finite
    """
    arrays: Arrays = {}
    total = 0
    try:
        for name, array in _read(data):
            total += array.nbytes
            if total > _SHARED * len(data):
                raise Refused('has more numbers than it has room for')
            arrays[name] = array.astype(np.float32, copy=False) if array.dtype.kind == 'f' else array
            if not np.isfinite(arrays[name]).all():
                raise UserError(f'{printable(name[:80])} holds a number that is not finite')
        if not arrays:
            raise UserError('holds no arrays')
    except Foreign as error:
        raise UserError(
            f'{source} holds more than tensors ({error.name}), and only tensors are read; '
            f"where you trust it, save them alone: torch.save(checkpoint['state_dict'], FILE)"
        ) from None
    except Refused as error:
        raise UserError(f'{source} is {_NO_CHECKPOINT} (it {error})') from None
    except UserError as error:
        raise UserError(f'{source}: {error}') from None
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError, struct.error):
        raise UserError(f'{source} is {_NO_CHECKPOINT} (it does not hold what it says)') from None
    return arrays


def _read(data: bytes) -> Iterable[Tuple[str, np.ndarray]]:
    if data[:2] == b'PK':
        return from_zip(data)
    if data[:1] != b'\x80':
        raise Refused('is of another kind')
    stream = io.BytesIO(data)
    content = load(stream, NUMPY)
    return from_former(data, stream) if content == MAGIC else flat(content)
