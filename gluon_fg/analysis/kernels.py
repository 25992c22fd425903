"""What kernels over time have learned: how much they tell frames apart, and which of them differ most."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Sequence, Tuple

import numpy as np
from mxnet.gluon import HybridBlock

from ..errors import UserError

FLAT = 0.05  # a kernel whose weights differ by less within its rows, of a range of 2, is as good as a mean


class KernelFacts(NamedTuple):
    """What one layer's kernels are like.

    Parameters
    ----------
    title
        which layer
    weights, seen
        as `TimeKernels` has them: (C, T', T), (T', T)
    spread
        (C,) standard deviation of a channel's weights within a row, over the frames that the row sees, averaged over
        the rows that see more than one. 0: every row is a mean, blind to the order of what it sees
    """

    title: str
    weights: np.ndarray
    seen: np.ndarray
    spread: np.ndarray

    @property
    def flat(self) -> int:
        """How many channels hardly tell frames apart."""
        return int((self.spread < FLAT).sum())


def kernel_facts(net: HybridBlock) -> Tuple[KernelFacts, ...]:
    """Measure the kernels over time of each layer of a network.

    Raises
    ------
    UserError
        the network has none
    """
    kernels = net.kernels()
    if not kernels:
        raise UserError(f'{net.name} has no kernels that span a clip in time; choose a network such as *_cidc')
    return tuple(KernelFacts(each.title, each.weights, each.seen, _spread(each)) for each in kernels)


def _spread(kernel: Any) -> np.ndarray:
    rows = [kernel.weights[:, row, seen].std(axis=1) for row, seen in enumerate(kernel.seen) if seen.sum() > 1]
    return np.mean(rows, axis=0) if rows else np.zeros(len(kernel.weights))


def unlike(weights: np.ndarray, count: int) -> List[int]:
    """Choose the channels whose kernels differ most: first the farthest from the mean, then from all chosen ones.

    Parameters
    ----------
    weights
        (C, T', T)
    count
        how many channels; all of them where there are fewer
    """
    flat = weights.reshape(len(weights), -1)
    distance = ((flat - flat.mean(axis=0)) ** 2).sum(axis=1)
    chosen: List[int] = []
    for _ in range(min(count, len(flat))):
        chosen.append(int(distance.argmax()))
        away = ((flat - flat[chosen[-1]]) ** 2).sum(axis=1)
        distance = away if len(chosen) == 1 else np.minimum(distance, away)
        distance[chosen] = -1
    return chosen


def describe(facts: Sequence[KernelFacts]) -> List[str]:
    """Say a line for each layer."""
    return [
        f'{each.title}: {len(each.weights)} kernels of {each.seen.shape[0]} outputs x {each.seen.shape[1]} frames, '
        f'weights in a row differ by {each.spread.mean():.2f} ({each.flat} kernels hardly tell frames apart)'
        for each in facts
    ]
