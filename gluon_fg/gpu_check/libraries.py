"""Libraries: whether this build of MXNet can use the GPU, and by which versions of CUDA, cuDNN, NCCL and Horovod."""

from __future__ import annotations

from typing import Iterator

import mxnet as mx

from ..doctor import capability_problem
from ..training.devices import capability
from ..training.distributed import World
from ..training.environment import environment
from .outcome import Outcome, Target

_SETUP = 'see CONTRIBUTING.md on set-up for GPUs'


def checks(target: Target) -> Iterator[Outcome]:
    """The versions of everything, whether MXNet holds code for the GPU, and whether Horovod averages by NCCL."""
    known = {key: value for key, value in environment(World(), target.ctx, target.precision).items()}
    known.pop('command')  # may name files of the user's
    shown = ', '.join(f'{key} {known[key]}' for key in ('gluon_fg', 'mxnet', 'numpy', 'horovod') if known[key])
    yield Outcome('versions', True, shown, facts=known)
    if not target.on_gpu:
        yield Outcome('device', True, 'no GPU that this MXNet can use: the CPU is checked against itself')
        return
    code = capability(target.ctx.device_id)
    problem = capability_problem(code or '')
    said = ', '.join(f'{key} {known[key]}' for key in ('gpu', 'driver', 'cuda_runtime', 'cudnn', 'nccl') if known[key])
    said += f', compute capability {code or "unknown, as the driver does not tell it"}'
    yield Outcome('device', not problem, problem or said, 'use the CPU, or another GPU')
    for key in ('cuda_runtime', 'cudnn'):
        if known[key] is None:
            yield Outcome(key, False, 'its library does not tell its version', _SETUP)
    if mx.context.num_gpus() > 1:
        yield _averaging()


def _averaging() -> Outcome:
    try:
        import horovod.mxnet as hvd
    except ImportError as error:
        return Outcome(
            'horovod', False, f'cannot be loaded ({error})', f'one process can train, several cannot; {_SETUP}'
        )
    by_nccl = bool(hvd.nccl_built())
    said = 'averages gradients by NCCL' if by_nccl else 'is built without NCCL: gradients go through the host'
    return Outcome('horovod', by_nccl, said, _SETUP)
