"""How the videos of a list are shared out, so that parts of the work put together give the numbers of the whole.

The last bits of a score depend on which views share a forward pass. So a list is cut into groups of so many videos that
their views fill whole batches, batches never reach beyond a group, and what is shared out is whole groups: among ranks,
among shards (jobs, machines), and between an evaluation that was killed and the one that goes on from it.
"""

from __future__ import annotations

import math
import re
from typing import List, NamedTuple

from ..errors import UserError

_PATTERN = re.compile(r'(\d{1,9})/(\d{1,9})')


class Shard(NamedTuple):
    """Part `number` of so many of a list: 1 of 1 is all of it."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read 'i/n', as in --shard 2/8; raises UserError for anything else."""
        match = _PATTERN.fullmatch(text)
        shard = cls(*map(int, match.groups())) if match else cls(0, 0)
        if not 1 <= shard.number <= shard.of:
            raise UserError(f'--shard takes i/n, the number of a part and of how many, from 1/n to n/n; got {text!r}')
        return shard

    @property
    def text(self) -> str:
        """'i/n'."""
        return f'{self.number}/{self.of}'


WHOLE = Shard()


def group_size(views: int, batch_size: int) -> int:
    """Tell how many videos of so many views each fill whole batches, the fewest: 4 of 10 views for batches of 8.

    Raises
    ------
    UserError
        a batch size below 1
    """
    if batch_size < 1:
        raise UserError(f'batch_size must be at least 1, got {batch_size}')
    return batch_size // math.gcd(views, batch_size)


def groups(listed: int, size: int, shard: Shard = WHOLE) -> List[range]:
    """Cut the places 0..listed - 1 of a list into groups of `size`, the last one perhaps of fewer; those of a shard.

    Shards are stretches of the list, of the same number of groups but for one.

    Raises
    ------
    UserError
        more shards than groups
    """
    cut = [range(first, min(first + size, listed)) for first in range(0, listed, size)]
    if shard.of > len(cut):
        raise UserError(
            f'--shard {shard.text}: {listed} videos make {len(cut)} groups of {size}, which is how many fill whole '
            f'batches; choose at most {len(cut)} parts'
        )
    first, last = ((shard.number - end) * len(cut) // shard.of for end in (1, 0))
    return cut[first:last]
