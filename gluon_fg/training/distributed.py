"""Several processes as one training job, through Horovod where it is installed; one process without it.

In training each rank normalizes its own clips: Horovod has no synchronized batch norm for MXNet. The network that is
validated and saved has rank 0's running statistics (`population.share_statistics`). Dropout masks differ between ranks.
So only with `train.batch_norm=frozen` and no dropout does a job on n ranks follow the single-process one to rounding.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List

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


class HorovodWorld(World):
    """A job started by `horovodrun -np N`."""

    def __init__(self, hvd: Any):
        self._hvd = hvd
        self.rank, self.size, self.local_rank = hvd.rank(), hvd.size(), hvd.local_rank()

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


def launched_ranks() -> int:
    """How many ranks the launcher announced in the environment; 1 outside a launcher."""
    return int(os.environ.get('HOROVOD_SIZE') or os.environ.get('OMPI_COMM_WORLD_SIZE') or 1)


def init() -> World:
    """Join the job this process was launched in.

    Raises
    ------
    UserError
        launched as one of several ranks, but Horovod's MXNet part is missing
    """
    if launched_ranks() == 1 and 'HOROVOD_RANK' not in os.environ:
        return World()
    try:
        import horovod.mxnet as hvd
    except ImportError as error:
        raise UserError(
            f'launched as one of {launched_ranks()} ranks, but Horovod for MXNet cannot be loaded '
            f'({error}); run one process, or install Horovod built with HOROVOD_WITH_MXNET=1'
        ) from error
    hvd.init()
    return HorovodWorld(hvd)
