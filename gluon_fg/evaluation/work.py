"""The work of scoring a list: which videos are to be done, which are done already, and what came of each."""

from __future__ import annotations

import contextlib
import itertools
import logging
from pathlib import Path
from typing import Any, ContextManager, Dict, Iterable, Iterator, List, NamedTuple, Optional, Set

import mxnet as mx
from mxnet.gluon import HybridBlock

from ..data.datasets import VideoDataset
from ..data.scans import Stamp
from ..deploy.predictor import Computation
from ..errors import VideoError
from .batching import Merged
from .partial import Done, Partial, of_rank
from .progress import Progress
from .protocol import Protocol
from .provenance import Provenance, network_sha256
from .sharing import WHOLE, Shard

logger = logging.getLogger(__name__)


class Work(NamedTuple):
    """What of a list is scored, and how that is kept while it is under way.

    Parameters
    ----------
    shard
        the part of the list that is scored
    partial
        a file for the scores of the videos that are done, from which the next evaluation goes on (`partial`)
    force
        begin anew where that file is of something else
    """

    shard: Shard = WHOLE
    partial: Optional[Path] = None
    force: bool = False


def provenance(net: HybridBlock, dataset: VideoDataset, shard: Shard, first: int) -> Provenance:
    """Say what scores of a part of a dataset are made of."""
    threshold = None if net.threshold is None else float(net.threshold)
    return Provenance(network_sha256(net), dataset.fingerprint, len(dataset), first, shard, threshold)


def opened(
    work: Work, rank: int, dataset: VideoDataset, made: Provenance, settings: Dict[str, Any]
) -> ContextManager[Optional[Partial]]:
    """Open the file of a rank, with the groups of those videos whose files are as they were; None where there is none.

    Parameters
    ----------
    settings
        what else the last bits of the scores depend on, by names for people

    Raises
    ------
    UserError
        it is of something else, and not `work.force`
    """
    if work.partial is None:
        return contextlib.nullcontext()
    key = {'network, or of other weights': made.network, 'list of videos': made.videos, **settings}
    kept = Partial(of_rank(work.partial, rank), key, work.force)
    kept.keep_fresh(lambda place: stamp(dataset, place))
    return kept


def settings_of(
    protocol: Protocol, execution: Optional[Computation], ctx: Optional[mx.Context], batch_size: int
) -> Dict[str, Any]:
    """Name what the last bits of a network's scores of a video depend on."""
    return {
        'protocol': protocol.key,
        'runtime or precision': execution.text if execution else 'own graph',
        'device': (ctx or mx.cpu()).device_type,
        'batch size': batch_size,
    }


def stamp(dataset: VideoDataset, place: int) -> List[int]:
    """Take what changes when the file of a video is written anew, and its stretch of it."""
    with contextlib.suppress(OSError):
        return list(Stamp.of(dataset.path(place)))
    return [0, 0]


def noted(merged: Iterable[Merged], progress: Progress, told: Set[str]) -> Iterator[Merged]:
    """Pass on what comes of videos; errors are logged, and counted."""
    for outcome in merged:
        if isinstance(outcome.result, VideoError):
            say_once(told, logging.WARNING, f'not scored: {outcome.result}')
        progress.update()
        yield outcome


def say_once(told: Set[str], level: int, text: str) -> None:
    """Log what was not told before, and add it to what was."""
    if text not in told:
        logger.log(level, '%s', text)
        told.add(text)


def by_group(merged: Iterable[Merged], groups: List[range]) -> Iterator[List[Done]]:
    """Collect what comes of the videos of each group, in the order of the list."""
    merged = iter(merged)
    places = list(itertools.chain.from_iterable(groups))
    for group in groups:
        videos = [_done(places[outcome.position], outcome) for outcome in itertools.islice(merged, len(group))]
        yield sorted(videos, key=lambda video: video.place)


def _done(place: int, outcome: Merged) -> Done:
    if isinstance(outcome.result, VideoError):
        return Done(place, None, None, outcome.result.reason)
    assert outcome.logits is not None
    return Done(place, outcome.result.astype('float32'), outcome.logits.astype('float32'), None, outcome.seconds)
