"""Dropout: masks obey the seed, differ between ranks, and go on where a resumed run takes up the seed again."""

from __future__ import annotations

from typing import Iterator, List

import mxnet as mx
import numpy as np
from mxnet import autograd

from ..nn import Dropout
from .outcome import Outcome, Target

_RATE, _SIZE = 0.5, 4096
_ADVICE = 'runs cannot be repeated, and ranks may draw the same masks; send the report to the project'


def checks(target: Target) -> Iterator[Outcome]:
    """The same seed gives the same masks, another seed others, and the share that is dropped is the rate."""
    first, again, other = (masks(target.ctx, seed) for seed in (7, 7, 8))
    same = all(np.array_equal(a, b) for a, b in zip(first, again))
    yield Outcome('masks of the same seed', same, 'equal' if same else 'differ', _ADVICE)
    apart = not any(np.array_equal(a, b) for a, b in zip(first, other))
    yield Outcome('masks of another seed, as of another rank', apart, 'differ' if apart else 'are equal', _ADVICE)
    moving = not np.array_equal(first[0], first[1])
    yield Outcome('masks of two updates', moving, 'differ' if moving else 'are equal', _ADVICE)
    share = float(np.mean([np.mean(mask == 0) for mask in first]))
    right = abs(share - _RATE) < 0.05
    yield Outcome('share that is dropped', right, f'{share:.3f} at a rate of {_RATE}', _ADVICE)


def masks(ctx: mx.Context, seed: int) -> List[np.ndarray]:
    """Two masks that are drawn one after another behind a seed, hybridized as in training."""
    net = Dropout(_RATE)
    net.hybridize(static_alloc=True, static_shape=True)
    mx.random.seed(seed, ctx=ctx)
    x = mx.nd.ones((_SIZE,), ctx=ctx)
    drawn = []
    for _ in range(2):
        with autograd.record():
            drawn.append(net(x).asnumpy())
    return drawn
