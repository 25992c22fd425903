"""What started this process: variables of launchers, and a Horovod that sees another number of ranks."""

import sys
import types

import pytest

from gluon_fg.errors import UserError
from gluon_fg.training import distributed

# Variables as each launcher sets them: Open MPI 4 and MPICH (hydra) by their manuals, Slurm 23 by `man srun`
LAUNCHERS = [
    ({'HOROVOD_SIZE': '2', 'HOROVOD_RANK': '1', 'SLURM_STEP_NUM_TASKS': '1', 'SLURM_PROCID': '0'}, 'horovodrun', 2),
    ({'OMPI_COMM_WORLD_SIZE': '8', 'OMPI_COMM_WORLD_RANK': '3', 'PMIX_RANK': '3'}, 'Open MPI', 8),
    ({'PMI_SIZE': '8', 'PMI_RANK': '0', 'PMI_FD': '9'}, 'MPICH or another launcher by PMI', 8),
    ({'MV2_COMM_WORLD_SIZE': '4', 'MV2_COMM_WORLD_RANK': '0', 'PMI_SIZE': '4', 'PMI_RANK': '0'}, 'MVAPICH', 4),
    ({'SLURM_NTASKS': '8', 'SLURM_STEP_NUM_TASKS': '8', 'SLURM_PROCID': '5', 'SLURM_STEP_ID': '0'}, 'srun', 8),
]
ALONE = [
    {},
    {'SLURM_NTASKS': '8', 'SLURM_PROCID': '0', 'SLURM_JOB_ID': '7'},  # a batch script, before it calls srun
    {'SLURM_NTASKS': '1', 'SLURM_STEP_NUM_TASKS': '1', 'SLURM_PROCID': '0', 'SLURM_STEP_ID': '0'},
    {'OMPI_COMM_WORLD_SIZE': '8'},  # left over from a shell
    {'PMI_SIZE': 'many', 'PMI_RANK': '0'},
]


@pytest.fixture
def launched(monkeypatch):
    """Set the variables of a launcher, and a Horovod that sees `size` ranks (None: there is none)."""
    for names in distributed._LAUNCHERS.values():
        for name in names:
            monkeypatch.delenv(name, raising=False)

    def launch(variables, size):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        hvd = None
        if size is not None:
            hvd = types.ModuleType('horovod.mxnet')
            hvd.nccl_built = lambda: 0
            hvd.init, hvd.size, hvd.rank, hvd.local_rank = (lambda: None), (lambda: size), (lambda: 0), (lambda: 0)
        monkeypatch.setitem(sys.modules, 'horovod', types.SimpleNamespace(mxnet=hvd, __path__=[]))
        monkeypatch.setitem(sys.modules, 'horovod.mxnet', hvd)
        return distributed.init()

    return launch


@pytest.mark.parametrize('variables, by, ranks', LAUNCHERS)
def test_what_a_launcher_announced_is_what_horovod_must_see(variables, by, ranks, launched):
    world = launched(variables, ranks)
    assert (type(world), world.size) == (distributed.HorovodWorld, ranks)
    assert distributed.launched()[:2] == (by, ranks)
    with pytest.raises(
        UserError, match=f'{by} started {ranks} processes, of which Horovod sees 1: .* unset '
    ) as caught:
        launched(variables, 1)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('variables', ALONE)
def test_a_process_that_nothing_launched_is_alone(variables, launched):
    assert type(launched(variables, None)) is distributed.World


@pytest.mark.parametrize('variables, by, ranks', LAUNCHERS)
def test_ranks_without_horovod_are_refused(variables, by, ranks, launched):
    with pytest.raises(UserError, match=f'one of {ranks} ranks by {by}, but Horovod for MXNet cannot be loaded'):
        launched(variables, None)


def test_the_size_of_what_is_averaged_at_once_is_set_before_horovod_begins(launched, monkeypatch):
    monkeypatch.setenv('HOROVOD_FUSION_THRESHOLD', '67108864')  # as horovodrun sets its own option
    launched(*LAUNCHERS[0][::2])
    assert distributed.os.environ['HOROVOD_FUSION_THRESHOLD'] == '67108864'
    sys.modules['horovod.mxnet'].init = lambda: seen.append(distributed.os.environ['HOROVOD_FUSION_THRESHOLD'])
    seen = []
    distributed.init(fusion_threshold_mb=0)
    distributed.init(fusion_threshold_mb=2)
    assert seen == ['0', '2097152']
