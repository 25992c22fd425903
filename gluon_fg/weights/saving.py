"""Writing parameter files that are whole: MXNet does not look whether the disk took the last few kilobytes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Dict, Iterator, Union

import mxnet as mx

from .. import files
from .params_file import check_layout


def save_params(path: Union[str, os.PathLike], arrays: Dict[str, mx.nd.NDArray]) -> None:
    """Write named arrays as MXNet's parameter file, all of it or an error.

    Raises
    ------
    OSError
        the disk refuses; it names the file
    """
    with whole(path):
        mx.nd.save(os.fspath(path), arrays)


@contextlib.contextmanager
def whole(path: Union[str, os.PathLike]) -> Iterator[None]:
    """Let MXNet write a parameter file within, and see that all of it came to the disk.

    On a full one MXNet 1.9.1 leaves a file that is cut short and says nothing where less than its buffer is missing
    (4 kB), else it raises an MXNetError that does not say why.

    Raises
    ------
    OSError
        the disk refuses; it names the file
    """
    with files.naming(path), files.asking(path):
        yield
        check_layout(Path(path))
