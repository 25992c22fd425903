"""Scores of a dataset whose views are altered: one file for each alteration, and an evaluation that can be broken off.

A folder holds `forward.npz`, `reversed.npz`, ...: score files as `gluon-fg evaluate` writes them. One that is there
already is taken, if it is of the same network, videos and protocol.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Set

import mxnet as mx
from mxnet.gluon import HybridBlock

from ..data.datasets import VideoDataset
from ..deploy.predictor import Computation, text_of
from ..errors import UserError
from . import partial
from .altered import Alteration, altered
from .protocol import Protocol
from .provenance import Provenance
from .score import Scores, known_to, score_dataset
from .sharing import WHOLE
from .work import Work, provenance


def score_altered(
    net: HybridBlock,
    dataset: VideoDataset,
    protocol: Protocol,
    wanted: Sequence[Alteration],
    folder: Path,
    force: bool = False,
    say: Callable[[str], None] = print,
    ctx: Optional[mx.Context] = None,
    execution: Optional[Computation] = None,
    **passing: Any,
) -> Dict[Alteration, Scores]:
    """Score a dataset with its views as they are and altered, each into a file of `folder`.

    Parameters
    ----------
    net, dataset, protocol, ctx, execution
        as for `score_dataset`
    wanted
        the alterations, in the order in which they are scored
    folder
        where NAME.npz of each is, or will be; while one is made, NAME.partial is there, from which it goes on
    force
        replace files of something else
    say
        takes a line for the user
    passing
        `batch_size`, `workers` and `progress` of `score_dataset`

    Raises
    ------
    UserError
        a file that is of something else, without `force`; what `score_dataset` raises
    """
    execution = execution and execution.decided(net, ctx)
    computed = text_of(None if net.takes_labels else execution)
    made = provenance(net, known_to(net, dataset), WHOLE, 0)
    scores: Dict[Alteration, Scores] = {}
    taken: List[str] = []
    told: Set[str] = set()
    for alteration in wanted:
        path, views = folder / f'{alteration.name}.npz', altered(protocol, alteration)
        kept = Scores.load(path) if path.is_file() else None
        other = kept is not None and _difference(kept, made, views.name, computed)
        if kept is not None and not other:
            scores[alteration] = kept
            taken.append(alteration.name)
            continue
        if other and not force:
            raise UserError(f'{path}: holds scores {other}; choose another --out, or --force')
        part = Work(WHOLE, path.with_suffix('.partial'), force)
        passing.update(execution=execution, told=told, part=part)  # what is told of a video is told once
        scores[alteration] = score_dataset(net, dataset, views, ctx, **passing)
        folder.mkdir(parents=True, exist_ok=True)
        scores[alteration].save(path)
        partial.remove(path.with_suffix('.partial'))
    if taken:
        say(f'{folder}: {", ".join(taken)}: scored already')
    return scores


def _difference(kept: Scores, made: Provenance, protocol: str, computed: str) -> str:
    """How scores differ from those that are wanted, in words; '' where they are those."""
    if kept.made is None or kept.made.network != made.network:
        return 'of another network, or of other weights'
    if kept.made != made:
        return 'of another list of videos'
    if kept.protocol != protocol:
        return f'by protocol {kept.protocol}, not {protocol}'
    return '' if kept.execution == computed else f'computed in {kept.execution}, not {computed}'
