"""What a run was computed with: versions of the project and of all libraries, processor or GPU, precision, ranks."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Optional

import mxnet as mx
import numpy as np

from .. import __version__
from .devices import gpu_name
from .distributed import World

_REPOSITORY = Path(__file__).resolve().parents[2]
_DRIVER = Path('/proc/driver/nvidia/version')


def environment(world: World, ctx: mx.Context, precision: str) -> Dict[str, Any]:
    """What a run depends on beside its config, as environment.json keeps it; None where something is not there.

    Parameters
    ----------
    world, ctx, precision
        the job, this rank's device, and what is computed in (`train.precision`)
    """
    features, on_gpu = mx.runtime.Features(), ctx.device_type == 'gpu'
    return {
        'command': sys.argv,
        'gluon_fg': __version__,
        'commit': commit(_REPOSITORY),
        'python': platform.python_version(),
        'mxnet': mx.__version__,
        'numpy': np.__version__,
        'platform': platform.platform(),
        'onednn': features.is_enabled('MKLDNN'),
        'cuda': features.is_enabled('CUDA'),
        'omp_threads': os.environ.get('OMP_NUM_THREADS'),
        'ranks': world.size,
        'precision': precision,
        'device': str(ctx),
        'gpu': gpu_name(ctx.device_id) if on_gpu else None,
        'driver': driver() if on_gpu else None,
        'cuda_runtime': library_version('libcudart.so.11.0', 'cudaRuntimeGetVersion') if on_gpu else None,
        'cudnn': library_version('libcudnn.so.8', 'cudnnGetVersion') if on_gpu else None,
        'nccl': library_version('libnccl.so.2', 'ncclGetVersion') if on_gpu else None,
        'horovod': _installed('horovod'),
    }


def commit(folder: Path) -> Optional[str]:
    """The commit of a checkout of the project, with '+' where files differ from it; None where it is none."""
    if not (folder / '.git').exists():
        return None
    told = []
    for words in (('rev-parse', 'HEAD'), ('status', '--porcelain', '--untracked-files=no')):
        try:
            done = subprocess.run(('git', '-C', str(folder), *words), capture_output=True, text=True, timeout=30)
        except (OSError, subprocess.TimeoutExpired):  # no git, or a folder far away
            return None
        if done.returncode:
            return None
        told.append(done.stdout.strip())
    return told[0] + ('+' if told[1] else '')


def driver() -> Optional[str]:
    """The version of the NVIDIA driver."""
    try:
        match = re.search(r'Kernel Module.*?\s(\d+\.[\d.]+)', _DRIVER.read_text(errors='replace'))
    except OSError:
        return None
    return match.group(1) if match else None


def library_version(library: str, function: str) -> Optional[str]:
    """The version that a library of NVIDIA's tells of itself: '11.8', '8.9.6', '2.18.3'; None where it is not there.

    cuDNN returns its number, the others write it; CUDA counts in thousands, the others in thousands or, for NCCL from
    2.9 on, in ten thousands, and hundreds.
    """
    try:
        told = getattr(ctypes.CDLL(library), function)
    except (OSError, AttributeError):
        return None
    if function == 'cudnnGetVersion':
        told.restype = ctypes.c_size_t
        number = int(told())
        return f'{number // 1000}.{number % 1000 // 100}.{number % 100}'
    number_there = ctypes.c_int()
    if told(ctypes.byref(number_there)):
        return None
    number = number_there.value
    if function == 'cudaRuntimeGetVersion':
        return f'{number // 1000}.{number % 1000 // 10}'
    major = 10000 if number >= 10000 else 1000
    return f'{number // major}.{number % major // 100}.{number % 100}'


def _installed(name: str) -> Optional[str]:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
