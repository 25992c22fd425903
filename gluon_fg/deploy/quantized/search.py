"""Which layers stay in float32: as few as it takes for the scores of clips to stay what they were."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

PARTS = 12  # groups of neighboring layers that are tried alone
Scores = Callable[[Any], np.ndarray]  # a quantized network -> its probabilities of clips, (clips, M)


class Agreement(NamedTuple):
    """How alike two networks answer the same clips.

    Parameters
    ----------
    scores
        share of the probability that both give to the same classes, mean over clips: 1 where all are equal
    top1
        share of the clips whose likeliest class is the same
    """

    scores: float
    top1: float


def agreement(a: np.ndarray, b: np.ndarray, multi_label: bool = False) -> Agreement:
    """Compare two (clips, M) arrays of probabilities; of several labels a video, by the mean over classes."""
    apart = np.abs(a - b)
    scores = 1 - (apart.mean() if multi_label else apart.sum(axis=1).mean() / 2)
    return Agreement(float(scores), float((a.argmax(axis=1) == b.argmax(axis=1)).mean()))


class Choice(NamedTuple):
    """What the search chose: the network, the layers left in float32, their agreement, and how many it tried."""

    model: Any
    excluded: Tuple[str, ...]
    agreement: Agreement
    tried: int


def search(
    quantizer: Any,
    scores: Scores,
    reference: np.ndarray,
    target: float,
    excluded: Sequence[str] = (),
    multi_label: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Choice:
    """Find layers to leave in float32 until a quantized network agrees with the float one.

    All layers are quantized first. Where that agrees too little, groups of neighboring layers are left out one at a
    time; then those that helped most are left out together, one group, two, four, ... until the agreement is reached or
    all that help are out. The best that was seen is taken.

    Parameters
    ----------
    quantizer
        has `layers` and `quantized(excluded)`
    scores
        gives a quantized network's probabilities of clips that it was not calibrated on
    reference
        (clips, M) the float network's
    target
        agreement of scores that is enough
    excluded
        layers that stay in float32 in any case
    multi_label
        whether probabilities are each class's own
    tell
        takes a line on each trial
    """
    tried: Dict[Tuple[str, ...], Agreement] = {}
    best: List[Choice] = []

    def attempt(names: Sequence[str]) -> Agreement:
        left = tuple(name for name in quantizer.layers if name in (*excluded, *names))
        if left not in tried:
            model = quantizer.quantized(left)
            tried[left] = agreement(scores(model), reference, multi_label)
            tell(f'{len(left)} of {len(quantizer.layers)} layers in float32: scores agree to {tried[left].scores:.4f}')
            if not best or tried[left].scores > best[0].agreement.scores:
                best[:] = [Choice(model, left, tried[left], 0)]
        return tried[left]

    start = attempt(())
    if start.scores < target:
        names = [name for name in quantizer.layers if name not in excluded]
        groups = [list(group) for group in np.array_split(names, min(PARTS, len(names)))] if names else []
        gains = [attempt(group).scores - start.scores for group in groups]
        helping = [i for i in np.argsort([-gain for gain in gains], kind='stable') if gains[i] > 0]
        count = 2
        while best[0].agreement.scores < target and count < 2 * len(helping):
            attempt([name for i in helping[:count] for name in groups[i]])
            count *= 2
    return best[0]._replace(tried=len(tried))
