"""Loads MXNet, decord and GluonCV, in that order, and what they need before them. `gluon_fg` imports this first.

decord before MXNet crashes the process at import. Horovod's MXNet library before decord crashes or hangs it later, when
a video is decoded; then decord stays unloaded and PyAV reads the videos. MXNet 1.9.1 needs `numpy.bool`. Its CUDA build
needs CUDA 11 libraries, taken from the nvidia-*-cu11 packages where those are installed (this was not run on a GPU).
GluonCV refuses to be imported where PyTorch 2 is installed.

Attributes
----------
DECORD_SAFE
    whether decord is loaded and may decode in this process
"""

from __future__ import annotations

from .interrupts import running_command, running_doctor  # isort: skip  (first: Ctrl-C may come while the rest loads)

import ctypes
import importlib.util
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Callable, List, Optional, Sequence

log = logging.getLogger(__name__)

INSTALL_MXNET = "pip install -c constraints.txt -e '.[cpu]' (or '.[gpu]')"

# In this order: each needs some of those before it.
CUDA_LIBRARIES = (
    'libcudart.so.11.0',
    'libnvToolsExt.so.1',
    'libnvrtc.so.11.2',
    'libcublasLt.so.11',
    'libcublas.so.11',
    'libcurand.so.10',
    'libcufft.so.10',
    'libcusolver.so.11',
    'libnccl.so.2',
    'libcudnn.so.8',
)

DECORD_SAFE = False


def running_decoder() -> bool:
    """Whether this is a process that only decodes (`data.isolated`, `data.streams`): it needs no MXNet, and starts in a
    moment.
    """
    return sys.argv[:1] == ['-c'] and sys.argv[1:2] in (
        ['gluon_fg.data.decoder_process'],
        ['gluon_fg.data.stream_process'],
    )


def running_benchmark() -> bool:
    """Whether this is a process that measures one thing (`deploy.measuring`) that needs no MXNet."""
    return sys.argv[:2] == ['-c', 'gluon_fg.deploy.worker']


def check_order() -> None:
    """Refuse to load MXNet after decord.

    Raises
    ------
    ImportError
        decord is loaded and MXNet is not
    """
    if 'decord' in sys.modules and 'mxnet' not in sys.modules:
        raise ImportError('decord was imported before MXNet, which crashes; import gluon_fg (or mxnet) before decord')


def supply_numpy_bool() -> None:
    """Give NumPy 1.24 to 1.26 the name that MXNet 1.9.1 uses.

    Raises
    ------
    ImportError
        NumPy is 2 or newer
    """
    import numpy as np

    major, minor = (int(part) for part in np.__version__.split('.')[:2])
    if major > 1:
        raise ImportError(f'MXNet 1.9.1 cannot run with NumPy {np.__version__}; pip install numpy==1.23.5')
    if minor >= 24 and 'mxnet' not in sys.modules:
        np.bool = bool  # type: ignore[attr-defined]
        log.warning('NumPy %s is newer than MXNet 1.9.1 knows; it loads, but numpy==1.23.5 is safer', np.__version__)


def cuda_library_paths(names: Sequence[str] = CUDA_LIBRARIES) -> List[Path]:
    """The nvidia-*-cu11 packages' files, for the CUDA build of MXNet; none for its CPU build."""
    mxnet, nvidia = importlib.util.find_spec('mxnet'), importlib.util.find_spec('nvidia')
    if mxnet is None or nvidia is None:
        return []
    if not mxnet.submodule_search_locations or not nvidia.submodule_search_locations:
        return []
    site = Path(mxnet.submodule_search_locations[0]).parent
    if not any(site.glob('mxnet_cu*.dist-info')):
        return []
    folders = [Path(folder) for folder in nvidia.submodule_search_locations]
    matches = [sorted(path for folder in folders for path in folder.glob(f'*/lib/{name}')) for name in names]
    return [paths[0] for paths in matches if paths]


def preload_cuda() -> None:
    """Load MXNet's CUDA libraries so that the loader finds them by name, without a system CUDA.

    Raises
    ------
    ImportError
        one of the installed libraries cannot be loaded
    """
    for path in cuda_library_paths():
        try:
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise ImportError(
                f"MXNet's CUDA library {path} cannot be loaded ({error}); reinstall the nvidia-*-cu11 "
                "packages of gluon_fg's gpu extra"
            ) from error


def load_mxnet() -> None:
    """Import MXNet.

    Raises
    ------
    ImportError
        it is not installed, or its libraries are incomplete
    """
    try:
        import mxnet  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != 'mxnet':
            raise
        raise ImportError(f'MXNet is not installed; {INSTALL_MXNET}') from None
    except OSError as error:
        hint = (
            "install the NVIDIA driver, or MXNet's CPU build"
            if 'libcuda.so' in str(error)
            else f"install what gluon_fg's extra brings: {INSTALL_MXNET}"
        )
        raise ImportError(f'MXNet cannot be loaded ({error}); {hint}') from error


def load_decord() -> bool:
    """Import decord where that is safe. Returns whether it may be used; PyAV reads the videos otherwise."""
    order = list(sys.modules)
    horovod: Optional[int] = order.index('horovod.mxnet') if 'horovod.mxnet' in order else None
    if horovod is not None and ('decord' not in order or horovod < order.index('decord')):
        log.warning(
            'horovod.mxnet was imported before decord, which then crashes; PyAV decodes instead '
            '(import gluon_fg before horovod to have decord)'
        )
        return False
    try:
        import decord  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != 'decord':
            raise
        return False  # nothing is published for this platform: PyAV is the normal reader there
    except (OSError, RuntimeError) as error:
        log.warning('decord cannot be loaded (%s); PyAV decodes instead', error)
        return False
    return True


def load_gluoncv() -> None:
    """Import GluonCV where PyTorch is installed, hiding that from it.

    GluonCV has a part for PyTorch, not used here, and raises RuntimeError where it finds version 2 or newer; without
    PyTorch it does without that part.
    """
    if 'gluoncv' in sys.modules or ('torch' not in sys.modules and importlib.util.find_spec('torch') is None):
        return
    loaded = sys.modules.get('torch')
    sys.modules['torch'] = None  # type: ignore[assignment]  # `import torch` then fails as where there is none
    try:
        import gluoncv  # noqa: F401
    finally:
        del sys.modules['torch']
        if loaded is not None:
            sys.modules['torch'] = loaded


def load() -> None:
    """Load all of it; again, it does nothing new."""
    global DECORD_SAFE
    check_order()
    supply_numpy_bool()
    preload_cuda()
    load_mxnet()
    DECORD_SAFE = load_decord()
    load_gluoncv()


# Whoever starts so calls `load` when it needs MXNet, or never does.
LATER = running_doctor() or running_command() or running_decoder() or running_benchmark()
if not LATER:
    load()


def end_with(parent: int, end: Callable[[], None]) -> None:
    """Call `end`, on a thread, once this process's parent is gone: it was killed, and nobody waits for this one."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        end()

    threading.Thread(target=watch, daemon=True).start()


def load_in_child(parent: int) -> None:
    """Begin a process of a pool: load all of it, leave Ctrl-C to the parent, and end when the parent was killed.

    Parameters
    ----------
    parent
        the parent's process number, which a child has another of once its parent is gone
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    end_with(parent, lambda: os._exit(1))
    load()
