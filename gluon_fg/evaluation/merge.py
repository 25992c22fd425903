"""One score file of the parts that `gluon-fg evaluate --shard i/n` writes."""

from __future__ import annotations

import dataclasses
from typing import List, Sequence, Tuple

import numpy as np

from ..errors import UserError
from .provenance import Provenance
from .score import Scores
from .sharing import WHOLE, Shard

_Part = Tuple[Provenance, Scores, str]


def merge(parts: Sequence[Scores], names: Sequence[str]) -> Scores:
    """Put the parts of an evaluation together, in any order: equal to what it gives undivided.

    Parameters
    ----------
    parts, names
        every part of one list once, and what errors call it

    Raises
    ------
    UserError
        a part is missing, is there twice or overlaps another one, or they differ in anything that scores depend on
    """
    known = [_known(scores, name) for scores, name in zip(parts, names)]
    for other in known[1:]:
        _check_alike(known[0], other)
    known.sort(key=lambda part: part[0].shard)
    made, first, _ = known[0]
    _check_complete(known)
    ordered = [scores for _, scores, _ in known]
    timed = all(scores.seconds is not None for scores in ordered)
    return dataclasses.replace(
        first,
        ids=tuple(name for scores in ordered for name in scores.ids),
        labels=np.concatenate([scores.labels for scores in ordered]),
        probabilities=np.concatenate([scores.probabilities for scores in ordered]),
        failed={name: reason for scores in ordered for name, reason in scores.failed.items()},
        targets=None if first.targets is None else np.concatenate([scores.targets for scores in ordered]),
        logits=None if first.logits is None else np.concatenate([scores.logits for scores in ordered]),
        seconds=np.concatenate([scores.seconds for scores in ordered]) if timed else None,
        made=dataclasses.replace(made, shard=WHOLE, first=0),
    )


def _known(scores: Scores, name: str) -> _Part:
    if scores.made is None or scores.made.shard == WHOLE:
        raise UserError(f'{name} is no part of a list: make the parts with gluon-fg evaluate --shard 1/2, 2/2')
    return scores.made, scores, name


def _check_alike(first: _Part, other: _Part) -> None:
    """Refuse parts of different evaluations."""
    (made, a, name), (others, b, other_name) = first, other
    pairs = {
        'network': (a.model, b.model),
        'dataset': (a.dataset, b.dataset),
        'protocol': (a.protocol, b.protocol),
        'runtime or precision': (a.execution, b.execution),
        'number of parts': (made.shard.of, others.shard.of),
        'length of their lists': (made.listed, others.listed),
        'weights of the network': (made.network, others.network),
        'list of videos': (made.videos, others.videos),
        'classes': (a.fingerprint, b.fingerprint),
        'threshold': (made.threshold, others.threshold),
    }
    for kind, values in pairs.items():
        if values[0] != values[1]:
            told = '' if max(len(str(value)) for value in values) > 60 else ', {} and {}'.format(*values)
            raise UserError(f'{name} and {other_name} differ in the {kind}{told}; they are of different evaluations')


def _check_complete(parts: List[_Part]) -> None:
    """Refuse parts, in the order of their numbers, that are not the whole list, each video once."""
    count, listed = parts[0][0].shard.of, parts[0][0].listed
    numbers = [made.shard.number for made, *_ in parts]
    for (made, _, name), (other, _, other_name) in zip(parts, parts[1:]):
        if made.shard.number == other.shard.number:
            raise UserError(f'{name} and {other_name} are both part {made.shard.text}; give each part once')
    missing = [Shard(number, count).text for number in range(1, count + 1) if number not in numbers]
    if missing:
        shown = ', '.join(missing[:5]) + (', ...' if len(missing) > 5 else '')
        raise UserError(
            f'of {count} parts {len(missing)} are missing ({shown}): gluon-fg evaluate --shard {missing[0]}'
        )
    ends = [made.first + scores.listed for made, scores, _ in parts]
    for (made, _, name), before, end in zip(parts, [0, *ends], ends):
        if made.first != before or (made.shard.number == count and end != listed):
            raise UserError(
                f'{name} has videos {made.first + 1} to {end} of {listed}, and {before + 1} comes next: the parts were '
                'made with different batch sizes; make them anew with one'
            )
