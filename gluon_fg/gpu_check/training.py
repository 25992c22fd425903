"""Training below float32: the methods' tiny networks beside float32, from the same random start on the same clips."""

from __future__ import annotations

from typing import Iterator

import numpy as np

from .outcome import Outcome, Target
from .trained import Training, called, plan, read, words

# Emulated, losses differ by 0.2 to 0.5 % over the first updates, and then by chance more and more, up to 8 % at once.
# By gradients of half or twice their size, or none of all convolutions or dense layers, two networks of three or all
# differ by 1.6 to 6 %.
FIRST, TOLERANCE = 20, 0.015
LAST_TOLERANCE = 0.1  # of the mean of the last sixth, which was within 1 %
MOST_LEFT_OUT = 15  # updates that may overflow before the loss scale has settled
_ADVICE = 'train in float32, and send the report to the project'


def checks(target: Target) -> Iterator[Outcome]:
    """Each network of configs/gpu_check.yaml for 60 updates, or 24."""
    epochs = 2 if target.quick else 5
    for name, (config, *settings) in plan()['networks'].items():
        further = (f'train.epochs={epochs}', *settings)
        half, single = (f'{name}-{precision}' for precision in (target.precision, 'float32'))
        called(words(target, config, half, f'train.precision={target.precision}', *further), target.folder)
        below = read(target.folder / half)
        same = words(target, config, single, 'train.precision=float32', *further, left_out=below.left_out)
        called(same, target.folder)
        yield compared(f'{name} in {target.precision}', read(target.folder / single), below)


def compared(name: str, single: Training, half: Training) -> Outcome:
    """Whether a training below float32 has finite losses near those of one in float32, and leaves out few updates.

    `single`: in float32, which left out the same ones
    """
    facts = {'float32': single.losses, 'losses': half.losses, 'left_out': half.left_out, 'scale': half.scale}
    if not single.losses or len(half.losses) != len(single.losses) or None in [*half.losses, *single.losses]:
        return Outcome(name, False, 'losses that are not finite, or are missing', _ADVICE, facts)
    ours, theirs = (np.array(losses, float) for losses in (half.losses, single.losses))
    apart = float(np.mean(np.abs(ours / theirs - 1)[:FIRST]))
    last = max(1, len(theirs) // 6)
    off = ours[-last:].mean() / theirs[-last:].mean() - 1
    right = apart <= TOLERANCE and abs(off) <= LAST_TOLERANCE and len(half.left_out) <= MOST_LEFT_OUT
    said = (
        f'losses of the first {len(ours[:FIRST])} updates differ from those of float32 by {100 * apart:.2f} %, of the '
        f'last {last} ({ours[-last:].mean():.3f}) by {100 * off:+.1f} %; {len(half.left_out)} of {len(ours)} updates '
        f'left out in both, loss scale {half.scale:g}'
    )
    return Outcome(name, bool(right), said, _ADVICE, facts)
