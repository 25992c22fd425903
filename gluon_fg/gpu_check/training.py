"""Training below float32: the methods' tiny networks beside float32, from the same random start on the same clips."""

from __future__ import annotations

from typing import Iterator

from .outcome import Outcome, Target
from .trained import Training, called, plan, read, words

# Random networks overflow at the first loss scale, and learn that much later: losses are near, not the same
TOLERANCE, MOST_SKIPPED = 0.2, 15
_ADVICE = 'train in float32, and send the report to the project'


def checks(target: Target) -> Iterator[Outcome]:
    """Each network of configs/gpu_check.yaml for 60 updates, or 24."""
    epochs = 2 if target.quick else 5
    for name, (config, *settings) in plan()['networks'].items():
        runs = []
        for precision in ('float32', target.precision):
            further = (f'train.precision={precision}', f'train.epochs={epochs}', *settings)
            called(words(target, config, f'{name}-{precision}', *further), target.folder)
            runs.append(read(target.folder / f'{name}-{precision}'))
        yield compared(f'{name} in {target.precision}', *runs)


def compared(name: str, single: Training, half: Training) -> Outcome:
    """Whether a training below float32 has finite losses that end near float32's, and leaves out few updates."""
    facts = {'float32': single.losses, 'losses': half.losses, 'skipped': half.skipped, 'scale': half.scale}
    last = max(1, len(single.losses) // 6)
    mine, theirs = half.losses[-last:], single.losses[-last:]
    if len(half.losses) != len(single.losses) or None in mine or None in theirs:
        return Outcome(name, False, 'losses that are not finite, or are missing', _ADVICE, facts)
    of_half, of_single = (sum(filter(None, losses)) / last for losses in (mine, theirs))
    off = of_half / of_single - 1
    said = (
        f'loss {of_half:.3f} after {len(half.losses)} updates, {of_single:.3f} in float32 ({100 * off:+.1f} %); '
        f'{half.skipped} updates left out, loss scale {half.scale:g}'
    )
    return Outcome(name, abs(off) <= TOLERANCE and half.skipped <= MOST_SKIPPED, said, _ADVICE, facts)
