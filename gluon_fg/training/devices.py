"""Which device each rank of a job computes on: one GPU for each of them, or the CPU for all.

Nothing here has been run on a GPU by us; the tests give ranks made-up devices.
"""

from __future__ import annotations

import ctypes
import platform
from typing import Dict, List, NamedTuple, Optional, Tuple

import mxnet as mx

from ..errors import UserError
from .distributed import World


class Device(NamedTuple):
    """A rank's device: the computer, 'cpu(0)' or 'gpu(0)', and the GPU's place on the bus where the driver tells it."""

    host: str
    name: str
    bus: Optional[str]

    @property
    def on_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.name.startswith('gpu')


def check_devices(world: World, ctx: mx.Context) -> List[str]:
    """Refuse a job whose ranks would wait for each other in vain, and say what each computes on.

    Parameters
    ----------
    world, ctx
        the job, and this rank's device; every rank calls this

    Returns
    -------
    Lines for the user; none where a process is alone

    Raises
    ------
    UserError
        some ranks have a GPU and others none, or two of them share one; on every rank
    """
    if world.size == 1:
        return []
    bus = bus_id(ctx.device_id) if ctx.device_type == 'gpu' else None
    devices: List[Device] = world.gather_objects(Device(platform.node(), str(ctx), bus))
    without = [rank for rank, device in enumerate(devices) if not device.on_gpu]
    if 0 < len(without) < len(devices):
        rank = without[0]
        raise UserError(
            f'rank {rank} on {devices[rank].host} has no GPU, while {len(devices) - len(without)} of {len(devices)} '
            'ranks have one; start as many ranks as there are GPUs, or set train.device=cpu'
        )
    first: Dict[Tuple[str, str], int] = {}
    for rank, device in enumerate(devices):
        place = (device.host, device.bus or device.name)
        if device.on_gpu and place in first:
            raise UserError(
                f'ranks {first[place]} and {rank} on {device.host} have the same GPU ({device.bus or device.name}); '
                'start as many ranks as there are GPUs, or show each rank one of its own by CUDA_VISIBLE_DEVICES'
            )
        first[place] = rank
    lines = [f'rank {rank}: {device.name} on {device.host}' for rank, device in enumerate(devices)]
    if devices[0].on_gpu and not world.nccl:
        lines.append(
            'warning: this Horovod is built without NCCL, so that all gradients go through the memory of the host, '
            'which is slow; build it with HOROVOD_GPU_OPERATIONS=NCCL (see CONTRIBUTING.md)'
        )
    return lines


def bus_id(number: int) -> Optional[str]:
    """The place on the PCI bus of a GPU that this process sees, by CUDA's driver; None where that does not tell."""
    try:
        driver = ctypes.CDLL('libcuda.so.1')
    except OSError:
        return None
    device, text = ctypes.c_int(), ctypes.create_string_buffer(64)
    done = driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), number)
    done = done or driver.cuDeviceGetPCIBusId(text, len(text), device)
    return None if done else text.value.decode()
