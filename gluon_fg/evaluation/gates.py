"""What a network's gate over its features is good for: its answers against those with a flat gate."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np
from mxnet.gluon import HybridBlock

from ..errors import UserError
from .score import Scores


class GateEffect(NamedTuple):
    """How a branch's answers change when the gate is replaced by its own mean over a clip's positions.

    Parameters
    ----------
    branch
        its name; the first of a network's branches is the fused prediction
    videos
        number of scored videos
    changed
        share of them whose predicted class changes, 0 to 1
    top1, flat_top1
        accuracy with the gate and with the flat one, 0 to 1, over the videos with a label; None where none has one
    """

    branch: str
    videos: int
    changed: float
    top1: Optional[float]
    flat_top1: Optional[float]


def gate_effects(net: HybridBlock, score: Callable[[], Scores], scores: Optional[Scores] = None) -> List[GateEffect]:
    """Score a network as it is and with flat gates: the fused prediction's effect, and each branch's behind a gate.

    Parameters
    ----------
    net
        a recognizer with a gate (`Recognizer.gates`)
    score
        scores the network on some videos, the same at every call
    scores
        what it gives for the network as it is, where that is known already

    Raises
    ------
    UserError
        a network without a gate
    """
    with net.flat_gates():
        flat = score()
    whole = score() if scores is None else scores
    if whole.ids != flat.ids:
        raise UserError(f'{len(whole.ids)} videos were scored with the gate, {len(flat.ids)} without; try again')
    return [_effect(whole, flat, name) for name in (net.branch_names[0], *net.gated_branches)]


def _effect(scores: Scores, flat: Scores, branch: str) -> GateEffect:
    predicted, without = (x.branch(branch).argmax(axis=1) for x in (scores, flat))
    known = scores.labels >= 0
    top1, flat_top1 = (
        float(np.mean(x[known] == scores.labels[known])) if known.any() else None for x in (predicted, without)
    )
    return GateEffect(branch, len(predicted), float(np.mean(predicted != without)), top1, flat_top1)


def as_dict(effects: Sequence[GateEffect]) -> Dict[str, Dict[str, Any]]:
    """Branch -> its other fields, for JSON."""
    return {effect.branch: {k: v for k, v in effect._asdict().items() if k != 'branch'} for effect in effects}


def describe(effects: Sequence[GateEffect]) -> str:
    """One line: 'a flat gate changes 3.1 % of the predictions of fused (top-1 85.0 -> 84.2 %), ...'."""
    parts = []
    for effect in effects:
        accuracy = '' if effect.top1 is None else f' (top-1 {100 * effect.top1:.1f} -> {_percent(effect.flat_top1)} %)'
        parts.append(f'{100 * effect.changed:.1f} % of the predictions of {effect.branch}{accuracy}')
    return f'a flat gate changes {", ".join(parts)}'


def table(effects: Sequence[GateEffect]) -> str:
    """A line for each branch, in percent."""
    lines = [f'{"branch":12s} {"changed":>8s} {"top-1":>7s} {"flat":>7s}']
    for effect in effects:
        numbers = (_percent(effect.top1), _percent(effect.flat_top1))
        lines.append(f'{effect.branch:12s} {100 * effect.changed:8.1f} {numbers[0]:>7s} {numbers[1]:>7s}')
    return '\n'.join(lines)


def _percent(share: Optional[float]) -> str:
    return '' if share is None else f'{100 * share:.1f}'
