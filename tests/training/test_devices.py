"""Devices of the ranks of a job, with made-up GPUs: one for each rank, or the CPU for all, else a line."""

import mxnet as mx
import pytest

from gluon_fg.errors import UserError
from gluon_fg.training import devices
from gluon_fg.training.devices import Device, check_devices
from gluon_fg.training.distributed import World
from gluon_fg.training.run import choose_context
from gluon_fg.training.sections import TrainConfig


class Job(World):
    """A rank that meets others with the given devices."""

    size = 3

    def __init__(self, others, nccl=True):
        self.others, self.nccl = others, nccl

    def gather_objects(self, value):
        return [value, *(self.others if isinstance(value, Device) else [None] * len(self.others))]


@pytest.mark.parametrize('gpus, visible, device, local_rank, expected', [
    (8, None, 'auto', 3, 'gpu(3)'),
    (1, '5', 'auto', 3, 'gpu(0)'),  # Slurm, or a wrapper, shows each rank its own
    (1, 'GPU-8f1c', 'gpu', 7, 'gpu(0)'),
    (1, None, 'auto', 3, 'cpu(0)'),
    (1, ' ', 'auto', 1, 'cpu(0)'),
    (2, '0,1', 'auto', 1, 'gpu(1)'),
    (0, '', 'auto', 0, 'cpu(0)'),
    (8, None, 'cpu', 3, 'cpu(0)'),
])  # fmt: skip
def test_a_rank_takes_the_gpu_that_it_is_shown(gpus, visible, device, local_rank, expected, monkeypatch):
    monkeypatch.setattr(mx.context, 'num_gpus', lambda: gpus)
    monkeypatch.setattr(mx.runtime, 'Features', lambda: type('Built', (), {'is_enabled': lambda self, name: True})())
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if visible is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    assert str(choose_context(device, local_rank)) == expected


def test_each_ranks_device_is_said_once():
    others = [Device('b', 'cpu(0)', None), Device('c', 'cpu(0)', None)]
    lines = check_devices(Job(others, nccl=False), mx.cpu())
    assert [line.split(' on ')[0] for line in lines] == [f'rank {i}: cpu(0)' for i in range(3)]
    assert check_devices(World(), mx.cpu()) == []


@pytest.mark.parametrize('others, nccl, message', [
    ([('a', 'gpu(1)', '0000:02'), ('b', 'gpu(0)', '0000:01')], True, None),
    ([('a', 'gpu(1)', '0000:02'), ('b', 'gpu(0)', '0000:01')], False, 'without NCCL'),
    ([('a', 'gpu(1)', '0000:02'), ('b', 'cpu(0)', None)], True, 'rank 2 on b has no GPU, while 2 of 3'),
    ([('a', 'gpu(0)', '0000:01'), ('b', 'gpu(0)', '0000:01')], True, 'ranks 0 and 1 on a have the same'),
    ([('a', 'gpu(0)', '0000:02'), ('a', 'gpu(0)', '0000:03')], True, None),  # each sees its own as 0
])  # fmt: skip
def test_ranks_that_would_wait_in_vain_are_refused(others, nccl, message, monkeypatch):
    monkeypatch.setattr(devices, 'bus_id', lambda number: f'0000:0{number + 1}')
    monkeypatch.setattr(devices, 'capability', lambda number: '8.6')
    monkeypatch.setattr(devices.platform, 'node', lambda: 'a')
    job = Job([Device(*other, '8.6') for other in others], nccl)
    if message:
        with pytest.raises(UserError, match=message) as caught:
            check_devices(job, mx.gpu(0))
        assert '\n' not in str(caught.value)
    if not message or not nccl:
        lines = check_devices(job, mx.gpu(0), without_nccl=True)
        assert len(lines) == 3 + (not nccl) and (nccl or 'warning: this Horovod is built without NCCL' in lines[-1])


@pytest.mark.parametrize('capability, runs', [('9.0', False), ('12.0', False), ('3.7', False), ('8.9', True)])
def test_a_gpu_that_mxnet_has_no_code_for_is_refused_on_every_rank(capability, runs, monkeypatch):
    monkeypatch.setattr(devices.platform, 'node', lambda: 'a')
    monkeypatch.setattr(devices, 'capability', lambda number: '5.0')
    job = Job([Device('b', 'gpu(0)', '0000:01', '8.0'), Device('c', 'gpu(0)', '0000:01', capability)])
    if runs:
        assert len(check_devices(job, mx.gpu(0))) == 3
    else:
        with pytest.raises(UserError, match=f'rank 2 on c cannot be used: compute capability {capability}.*device=cpu'):
            check_devices(job, mx.gpu(0))
        monkeypatch.setattr(devices, 'capability', lambda number: capability)
        with pytest.raises(UserError, match='rank 0 on a cannot be used'):
            check_devices(World(), mx.gpu(0))


def test_a_gpu_whose_capability_is_not_told_is_used_with_a_warning(monkeypatch):
    monkeypatch.setattr(devices, 'capability', lambda number: None)
    (alone,) = check_devices(World(), mx.gpu(0))
    assert alone.startswith('warning: the driver does not tell the compute capability of the GPU of rank 0; ')
    job = Job([Device('b', 'gpu(0)', '0000:01', '8.0'), Device('c', 'gpu(0)', '0000:01')])
    *named, warning = check_devices(job, mx.gpu(0))
    assert len(named) == 3 and 'of rank 0, 2; MXNet' in warning


class Problems(World):
    """A rank beside another that has the given problem, or none."""

    size = 2

    def __init__(self, problem):
        self.problem = problem

    def gather_objects(self, value):
        return [value, self.problem if value is None or isinstance(value, str) else value._replace(host='b')]


@pytest.mark.parametrize('train, other, message', [
    ({'device': 'gpu'}, None, 'this MXNet sees 0 GPUs, rank 0 needs one'),
    ({}, 'rank 1 needs one', 'rank 1 needs one'),
    ({'precision': 'float16'}, None, 'train.precision float16 needs a GPU'),
])  # fmt: skip
def test_what_one_rank_cannot_do_is_said_on_every_rank(train, other, message):
    with pytest.raises(UserError, match=message):
        devices.take_device(Problems(other), TrainConfig(**train))


class Driver:
    """CUDA's driver with one GPU of compute capability 8.6."""

    def cuInit(self, flags):
        return 0

    def cuDeviceGet(self, device, number):
        device._obj.value = 7
        return 0 if number == 0 else 101

    def cuDeviceGetAttribute(self, value, attribute, device):
        assert device.value == 7
        value._obj.value = {75: 8, 76: 6}[attribute]
        return 0

    def cuDeviceGetName(self, text, length, device):
        text.value = b'A made-up GPU'
        return 0

    def cuDeviceGetPCIBusId(self, text, length, device):
        text.value = b'0000:3b:00.0'
        return 0


def test_the_driver_tells_name_place_and_capability(monkeypatch):
    monkeypatch.setattr(devices.ctypes, 'CDLL', lambda name: Driver())
    assert (devices.gpu_name(0), devices.bus_id(0), devices.capability(0)) == ('A made-up GPU', '0000:3b:00.0', '8.6')
    assert (devices.gpu_name(1), devices.bus_id(1), devices.capability(1)) == (None, None, None)


def test_without_a_driver_nothing_is_known(monkeypatch):
    def load(name):
        raise OSError(name)

    monkeypatch.setattr(devices.ctypes, 'CDLL', load)
    assert (devices.gpu_name(0), devices.bus_id(0), devices.capability(0)) == (None, None, None)
