"""Several processes as one training job, through Horovod where it is installed; one process without it.

In training each rank normalizes its own clips: Horovod has no synchronized batch norm for MXNet. The network that is
validated and saved has rank 0's running statistics (`population.share_statistics`). Dropout masks differ between ranks.
So only with `train.batch_norm=frozen` and no dropout does a job on n ranks follow the single-process one to rounding.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np

from .. import _runtime  # noqa: F401  (mxnet and decord must be loaded before horovod)
from ..errors import UserError

import mxnet as mx  # isort: skip


class World:
    """This process's place in the job, and the few exchanges training needs.

    `rank`, `size`, `local_rank`: 0, 1, 0 without Horovod. All methods are collective: every rank must call them, in the
    same order.
    """

    rank, size, local_rank = 0, 1, 0
    nccl = True  # whether gradients on GPUs are averaged by NCCL, where there are several ranks

    def trainer(self, params: Any, optimizer: str, options: Dict[str, Any]) -> mx.gluon.Trainer:
        """The Gluon trainer; over several ranks gradients are averaged before the update."""
        return mx.gluon.Trainer(params, optimizer, options, kvstore=None)

    def broadcast_parameters(self, params: Any) -> None:
        """Give every rank rank 0's values."""

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean over the ranks of a small float array."""
        return values

    def gather_objects(self, value: Any) -> List[Any]:
        """Every rank's value, in rank order, on every rank."""
        return [value]

    def barrier(self) -> None:
        """Wait until every rank has come here."""
        self.gather_objects(None)

    def agree(self, problem: Optional[str]) -> None:
        """Go on where no rank has a problem; else raise the first one on every rank, so that none waits for another."""
        problems = [told for told in self.gather_objects(problem) if told]
        if problems:
            raise UserError(problems[0])


class HorovodWorld(World):
    """A job started by `horovodrun -np N`."""

    def __init__(self, hvd: Any):
        self._hvd = hvd
        self.rank, self.size, self.local_rank = hvd.rank(), hvd.size(), hvd.local_rank()
        self.nccl = bool(hvd.nccl_built())

    def trainer(self, params: Any, optimizer: str, options: Dict[str, Any]) -> mx.gluon.Trainer:
        return self._hvd.DistributedTrainer(params, optimizer, options)

    def broadcast_parameters(self, params: Any) -> None:
        self._hvd.broadcast_parameters(params, root_rank=0)

    def mean(self, values: np.ndarray) -> np.ndarray:
        # Through float64 the sum of a few ranks' float32 values is exact enough to compare loss curves.
        values = mx.nd.array(values, dtype='float64')
        return self._hvd.allreduce(values, average=True, name='gluon_fg.mean').asnumpy()

    def gather_objects(self, value: Any) -> List[Any]:
        return self._hvd.allgather_object(value, name='gluon_fg.gather')


# Launcher -> where it says in the environment how many processes it started, and what tells that it started this one.
# The innermost comes first: horovodrun and mpirun work inside of a Slurm job, whose variables they pass on.
_LAUNCHERS = {
    'horovodrun': ('HOROVOD_SIZE', 'HOROVOD_RANK'),
    'Open MPI': ('OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_RANK'),
    'MVAPICH': ('MV2_COMM_WORLD_SIZE', 'MV2_COMM_WORLD_RANK'),
    'MPICH or another launcher by PMI': ('PMI_SIZE', 'PMI_RANK'),
    'srun': ('SLURM_STEP_NUM_TASKS', 'SLURM_PROCID'),
}


class Launch(NamedTuple):
    """Which launcher started this process, as one of how many, and the variable that tells so."""

    by: str
    ranks: int
    variable: str


def launched() -> Optional[Launch]:
    """What a launcher announced in the environment; None where none did.

    Slurm counts the tasks of a step: a batch script and `salloc`'s shell are none, however many the job has.
    """
    for name, (size, rank) in _LAUNCHERS.items():
        text = os.environ.get(size, '')
        if rank in os.environ and text.isdigit():
            return Launch(name, int(text), rank)
    return None


def init(fusion_threshold_mb: Optional[int] = None) -> World:
    """Join the job this process was launched in.

    Parameters
    ----------
    fusion_threshold_mb
        megabytes of arrays that Horovod may average at once, of the job that is joined first; None: as it was launched.
        What is averaged together depends on timing, and with three ranks or more the order of sums on that; with 0
        each array is averaged alone, and a job repeats itself to the bit

    Raises
    ------
    UserError
        launched as one of several ranks, but Horovod's MXNet part is missing, or sees another number of ranks: each of
        them would train alone, in the same folder
    """
    launch = launched()
    if launch is None or launch.ranks == 1 and 'HOROVOD_RANK' not in os.environ:
        return World()
    try:
        import horovod.mxnet as hvd
    except ImportError as error:
        raise UserError(
            f'launched as one of {launch.ranks} ranks by {launch.by}, but Horovod for MXNet cannot be loaded '
            f'({error}); run one process, or install Horovod built with HOROVOD_WITH_MXNET=1; where they are to work '
            f'apart, unset {launch.variable}'
        ) from error
    if fusion_threshold_mb is not None:
        os.environ['HOROVOD_FUSION_THRESHOLD'] = str(fusion_threshold_mb << 20)  # read by hvd.init
    hvd.init()
    if hvd.size() != launch.ranks:
        raise UserError(
            f'{launch.by} started {launch.ranks} processes, of which Horovod sees {hvd.size()}: each would train '
            f'alone; use horovodrun -np {launch.ranks}, or a Horovod that is built for {launch.by} (see gluon-fg '
            f'doctor); where they are to work apart, unset {launch.variable}'
        )
    return HorovodWorld(hvd)
