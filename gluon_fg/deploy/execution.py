"""How a network is computed: by which runtime, in which precision, on how many threads."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import os
from typing import Any, List, Optional

from ..errors import UserError, unknown
from .machine import cores, has_bfloat16

logger = logging.getLogger(__name__)

ON_PROCESSOR = ('mxnet', 'openvino', 'onnxruntime')  # MXNet also on a GPU: where the network lies
ON_GPU = ('onnxruntime_cuda',)  # wherever the network lies
RUNTIMES = (*ON_PROCESSOR, *ON_GPU)
PRECISIONS = ('float32', 'bfloat16', 'float16', 'int8')
VARIABLE = 'GLUON_FG_RUNTIME'

# I3D ResNet-50, 1x3x32x224x224, AVX-512, 2 cores: 340, 393 and 499 ms in float32; tiny networks in the same order
_FASTEST_FIRST = ('openvino', 'mxnet', 'onnxruntime')
_PRECISIONS_OF = {
    'mxnet': ('float32', 'int8'),
    'openvino': ('float32', 'bfloat16', 'int8'),
    'onnxruntime': ('float32',),
    'onnxruntime_cuda': ('float32', 'float16'),
}
_NEEDED = {
    'mxnet': ('mxnet',),
    'openvino': ('openvino', 'onnx'),
    'onnxruntime': ('onnxruntime', 'onnx'),
    'onnxruntime_cuda': ('onnxruntime', 'onnx'),
}


@dataclasses.dataclass(frozen=True)
class Execution:
    """How a network is to be computed, as a user asks for it.

    Parameters
    ----------
    runtime
        one of `RUNTIMES`, or 'auto' for the fastest of those installed; never one of `ON_GPU` by itself
    precision
        one of `PRECISIONS`
    threads
        threads of the processor that compute; None: all

    Raises
    ------
    UserError
        an unknown name, or a number of threads below 1
    """

    runtime: str = 'auto'
    precision: str = 'float32'
    threads: Optional[int] = None

    def __post_init__(self) -> None:
        if self.runtime not in ('auto', *RUNTIMES):
            raise unknown('runtime', self.runtime, ('auto', *RUNTIMES))
        if self.precision not in PRECISIONS:
            raise unknown('precision', self.precision, PRECISIONS)
        if self.threads is not None and self.threads < 1:
            raise UserError(f'threads must be at least 1, got {self.threads}')

    @property
    def text(self) -> str:
        """Runtime and precision as files name them, for example 'openvino bfloat16'."""
        return f'{self.runtime} {self.precision}'

    @property
    def named(self) -> str:
        """The runtime, or where it is 'auto' the one that the environment variable GLUON_FG_RUNTIME names."""
        if self.runtime != 'auto':
            return self.runtime
        wanted = os.environ.get(VARIABLE, 'auto')
        if wanted not in ('auto', *RUNTIMES):
            raise unknown(f'runtime in {VARIABLE}', wanted, ('auto', *RUNTIMES))
        return wanted

    def decided(self, net: Any, ctx: Any = None) -> Execution:
        """Say what computes a network: the same runtime on every start, 'auto' no more.

        'auto' is MXNet on a GPU and for a network that takes labels; else the one that the environment variable
        GLUON_FG_RUNTIME names; else the fastest that is installed, has the precision and knows the network's operators,
        for int8 one for which the network was quantized.

        Parameters
        ----------
        net
            a recognizer
        ctx
            where it lies (default: CPU)

        Raises
        ------
        UserError
            the runtime is not installed, or cannot do this
        """
        if self.runtime != 'auto':
            _check(self.runtime, self.precision)
            if self.runtime != 'mxnet' and _needs_mxnet(net, ctx, self.runtime):
                raise UserError(f'runtime {self.runtime}: {net.name} is computed by mxnet there; choose auto or mxnet')
            return self._checked_threads()
        wanted = self.named
        if _needs_mxnet(net, ctx, wanted):
            wanted = 'mxnet'
        elif wanted == 'auto':
            wanted = _fastest(net, self.precision)
        _check(wanted, self.precision)
        return dataclasses.replace(self, runtime=wanted)._checked_threads()

    def _checked_threads(self) -> Execution:
        """Refuse a number of threads that MXNet, which asks once, does not have."""
        if self.runtime == 'mxnet' and self.threads not in (None, thread_count()):
            raise UserError(
                f'threads {self.threads}: MXNet takes their number when it is loaded; start with '
                f'OMP_NUM_THREADS={self.threads}, or choose the runtime openvino'
            )
        return self


# What numbers that are published are made by: it is the same wherever the package is installed.
REFERENCE = Execution('mxnet')


def chosen(precision: str) -> str:
    """Name the fastest runtime that is installed and computes in a precision; '' where none does."""
    return next((runtime for runtime in _FASTEST_FIRST if not _problem(runtime, precision)), '')


def installed(runtime: str) -> bool:
    """Whether the packages of a runtime are here; none is imported."""
    return all(importlib.util.find_spec(package) is not None for package in _NEEDED[runtime])


def runtimes_of(precision: str) -> List[str]:
    """List the runtimes that compute in a precision, installed or not."""
    return [runtime for runtime in RUNTIMES if precision in _PRECISIONS_OF[runtime]]


def _fastest(net: Any, precision: str) -> str:
    """The runtime that `auto` is for a network on the processor."""
    if precision == 'int8':
        from .quantized.store import FACTS, folder_of

        able = [name for name in _FASTEST_FIRST if not _problem(name, precision)]
        return next((name for name in able if (folder_of(net, name) / FACTS).is_file()), able[0])
    wanted = chosen(precision) or 'mxnet'
    if wanted == 'mxnet':
        return wanted
    from .onnx.convert import unknown_operators

    missing = unknown_operators(net)
    if not missing:
        return wanted
    logger.warning('%s: computed by mxnet, as %s cannot be converted for %s', net.name, missing[0], wanted)
    return 'mxnet'


def _needs_mxnet(net: Any, ctx: Any, runtime: str) -> bool:
    on_gpu = ctx is not None and ctx.device_type != 'cpu'
    return bool(net.takes_labels) or (on_gpu and runtime not in ON_GPU)


def _check(runtime: str, precision: str) -> None:
    problem = _problem(runtime, precision)
    if problem:
        raise UserError(problem)


def _problem(runtime: str, precision: str) -> str:
    """Why a runtime cannot compute in a precision here; '' if it can."""
    if precision not in _PRECISIONS_OF[runtime]:
        others = ' or '.join(runtimes_of(precision))
        return f'precision {precision}: {runtime} has none; choose ' + (
            f'the runtime {others}' if others else 'float32'
        )
    if not installed(runtime):
        extra = 'deploy-gpu' if runtime in ON_GPU else 'deploy'
        return f"runtime {runtime} is not installed: pip install 'gluon_fg[{extra}]', or choose mxnet"
    if runtime in ON_GPU:
        from .runtimes.onnxruntime_cuda import problem

        return problem()
    if precision == 'bfloat16' and not has_bfloat16():
        return 'precision bfloat16: this processor does not compute in it (avx512_bf16, amx_bf16); choose float32'
    return ''


def thread_count(asked: Optional[int] = None) -> int:
    """How many threads compute: as asked, as OMP_NUM_THREADS says, or one for each core."""
    if asked is not None:
        return asked
    said = os.environ.get('OMP_NUM_THREADS', '').split(',')[0].strip()
    return int(said) if said.isdecimal() and int(said) > 0 else max(1, int(cores()))
