"""Devices of the ranks of a job, with made-up GPUs: one for each rank, or the CPU for all, else a line."""

import mxnet as mx
import pytest

from gluon_fg.errors import UserError
from gluon_fg.training import devices
from gluon_fg.training.devices import Device, check_devices
from gluon_fg.training.distributed import World
from gluon_fg.training.run import choose_context


class Job(World):
    """A rank that meets others with the given devices."""

    size = 3

    def __init__(self, others, nccl=True):
        self.others, self.nccl = others, nccl

    def gather_objects(self, value):
        return [value, *self.others]


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
    ([Device('a', 'gpu(1)', '0000:02'), Device('b', 'gpu(0)', '0000:01')], True, None),
    ([Device('a', 'gpu(1)', '0000:02'), Device('b', 'gpu(0)', '0000:01')], False, 'without NCCL'),
    ([Device('a', 'gpu(1)', '0000:02'), Device('b', 'cpu(0)', None)], True, 'rank 2 on b has no GPU, while 2 of 3'),
    ([Device('a', 'gpu(0)', '0000:01'), Device('b', 'gpu(0)', '0000:01')], True, 'ranks 0 and 1 on a have the same'),
    ([Device('a', 'gpu(0)', '0000:02'), Device('a', 'gpu(0)', '0000:03')], True, None),  # each sees its own as 0
])  # fmt: skip
def test_ranks_that_would_wait_in_vain_are_refused(others, nccl, message, monkeypatch):
    monkeypatch.setattr(devices, 'bus_id', lambda number: f'0000:0{number + 1}')
    monkeypatch.setattr(devices.platform, 'node', lambda: 'a')
    job = Job(others, nccl)
    if message and nccl:
        with pytest.raises(UserError, match=message) as caught:
            check_devices(job, mx.gpu(0))
        assert '\n' not in str(caught.value)
    else:
        lines = check_devices(job, mx.gpu(0))
        assert len(lines) == 3 + (not nccl) and (nccl or 'without NCCL' in lines[-1])


def test_without_a_driver_no_place_on_the_bus_is_known(monkeypatch):
    def load(name):
        raise OSError(name)

    monkeypatch.setattr(devices.ctypes, 'CDLL', load)
    assert devices.bus_id(0) is None
