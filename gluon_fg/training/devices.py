"""Which device each rank of a job computes on: one GPU for each of them, or the CPU for all.

What the driver tells of a GPU was read on one (an H100); the rest has not been run on any: the tests give ranks
made-up devices.
"""

from __future__ import annotations

import ctypes
import platform
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import mxnet as mx

from ..deploy.execution import ON_GPU, Execution
from ..doctor import capability_problem
from ..errors import UserError
from . import precision
from .distributed import World
from .run import choose_context
from .sections import TrainConfig

_CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


class Device(NamedTuple):
    """A rank's device: the computer, 'cpu(0)' or 'gpu(0)', and what the driver tells of a GPU.

    `bus`: its place on the PCI bus; `capability`: its compute capability, '8.6'
    """

    host: str
    name: str
    bus: Optional[str]
    capability: Optional[str] = None

    @property
    def on_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.name.startswith('gpu')


def take_device(world: World, train: TrainConfig) -> Tuple[mx.Context, List[str]]:
    """Choose this rank's device as the config says, and see that the job can compute there; every rank raises alike.

    Returns
    -------
    The device, and lines for the user: what each rank computes on, where there are several

    Raises
    ------
    UserError
        no GPU where one is asked for, or the config's precision cannot be computed there; see `check_devices`
    """
    ctx, problem = mx.cpu(), None
    try:
        ctx = choose_context(train.device, world.local_rank)
    except UserError as error:
        problem = str(error)
    world.agree(problem)
    lines = check_devices(world, ctx, train.without_nccl)
    try:
        precision.enable(train.precision, ctx)  # before the network exists
    except UserError as error:
        problem = str(error)
    world.agree(problem)
    return ctx, lines


def computing_device(device: str, local_rank: int = 0, execution: Optional[Execution] = None) -> mx.Context:
    """The device that a trained network lies on to be computed: the CPU beside a runtime that takes the GPU itself.

    Parameters
    ----------
    device, local_rank
        as `choose_context` takes them
    execution
        what is to compute it, as it is asked for; None: MXNet

    Raises
    ------
    UserError
        no GPU where one is asked for, MXNet holds no code for it, or a runtime on a GPU is to compute on the CPU
    """
    runtime = execution.named if execution else 'mxnet'
    if runtime in ON_GPU:
        if device == 'cpu':
            raise UserError(f'device cpu: {runtime} computes on a GPU; choose the device auto, or another runtime')
        return mx.cpu()
    ctx = choose_context(device, local_rank)
    problem = capability_problem(capability(ctx.device_id) or '') if ctx.device_type == 'gpu' else ''
    if problem:
        other = f'--runtime {ON_GPU[0]}, or ' if execution else ''
        raise UserError(f'MXNet cannot use the GPU: {problem}; choose {other}--device cpu')
    return ctx


def check_devices(world: World, ctx: mx.Context, without_nccl: bool = False) -> List[str]:
    """Refuse a job whose ranks would wait for each other in vain, or crash, and say what each computes on.

    Parameters
    ----------
    world, ctx
        the job, and this rank's device; every rank calls this
    without_nccl
        whether gradients may go through the memory of the host

    Returns
    -------
    Lines for the user: each rank's device, none where a process is alone, and warnings

    Raises
    ------
    UserError
        MXNet holds no code for a GPU, some ranks have a GPU and others none, two of them share one, or Horovod is built
        without NCCL; on every rank
    """
    here = Device(platform.node(), str(ctx), None)
    if ctx.device_type == 'gpu':
        here = here._replace(bus=bus_id(ctx.device_id), capability=capability(ctx.device_id))
    devices: List[Device] = world.gather_objects(here)
    problem = next(filter(None, (check(devices) for check in (_without_code, _mixed, _shared))), None)
    if problem:
        raise UserError(problem)
    lines = [f'rank {rank}: {device.name} on {device.host}' for rank, device in enumerate(devices)]
    lines = [*(lines if world.size > 1 else []), *_untold(devices)]
    if world.size > 1 and devices[0].on_gpu and not world.nccl:
        slow = 'this Horovod is built without NCCL, so that all gradients would go through the memory of the host'
        how = 'build it with HOROVOD_GPU_OPERATIONS=NCCL (see CONTRIBUTING.md)'
        if not without_nccl:
            raise UserError(f'{slow}; {how}, or set train.without_nccl=true to train slowly')
        lines.append(f'warning: {slow}, which is slow; {how}')
    return lines


def _without_code(devices: List[Device]) -> Optional[str]:
    for rank, device in enumerate(devices):
        problem = capability_problem(device.capability or '')
        if problem:
            return f'the GPU of rank {rank} on {device.host} cannot be used: {problem}; set train.device=cpu'
    return None


def _untold(devices: List[Device]) -> List[str]:
    ranks = [str(rank) for rank, device in enumerate(devices) if device.on_gpu and device.capability is None]
    if not ranks:
        return []
    return [
        f'warning: the driver does not tell the compute capability of the GPU of rank {", ".join(ranks)}; MXNet 1.9.1 '
        'holds code for 5.0 to 8.9 alone: if training ends with "no kernel image", set train.device=cpu'
    ]


def _mixed(devices: List[Device]) -> Optional[str]:
    without = [rank for rank, device in enumerate(devices) if not device.on_gpu]
    if len(without) in (0, len(devices)):
        return None
    return (
        f'rank {without[0]} on {devices[without[0]].host} has no GPU, while {len(devices) - len(without)} of '
        f'{len(devices)} ranks have one; start as many ranks as there are GPUs, or set train.device=cpu'
    )


def _shared(devices: List[Device]) -> Optional[str]:
    first: Dict[Tuple[str, str], int] = {}
    for rank, device in enumerate(devices):
        place = (device.host, device.bus or device.name)
        if device.on_gpu and place in first:
            return (
                f'ranks {first[place]} and {rank} on {device.host} have the same GPU ({device.bus or device.name}); '
                'start as many ranks as there are GPUs, or show each rank one of its own by CUDA_VISIBLE_DEVICES'
            )
        first[place] = rank
    return None


def bus_id(number: int) -> Optional[str]:
    """The place on the PCI bus of a GPU that this process sees, by CUDA's driver; None where that does not tell."""
    return _text(number, 'cuDeviceGetPCIBusId')


def gpu_name(number: int) -> Optional[str]:
    """The name of a GPU that this process sees, by CUDA's driver; None where that does not tell."""
    return _text(number, 'cuDeviceGetName')


def capability(number: int) -> Optional[str]:
    """The compute capability of a GPU that this process sees, '8.6', by CUDA's driver; None where it does not tell."""
    driver, device = _driver(number)
    if driver is None:
        return None
    parts = [ctypes.c_int(), ctypes.c_int()]
    for part, attribute in zip(parts, _CAPABILITY):
        if driver.cuDeviceGetAttribute(ctypes.byref(part), attribute, device):
            return None
    return '.'.join(str(part.value) for part in parts)


def _text(number: int, function: str) -> Optional[str]:
    driver, device = _driver(number)
    text = ctypes.create_string_buffer(256)
    if driver is None or getattr(driver, function)(text, len(text), device):
        return None
    return text.value.decode(errors='replace')


def _driver(number: int) -> Tuple[Any, ctypes.c_int]:
    """CUDA's driver and its own number of a GPU that this process sees; None where there is none."""
    device = ctypes.c_int()
    try:
        driver = ctypes.CDLL('libcuda.so.1')
    except OSError:
        return None, device
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), number):
        return None, device
    return driver, device
