"""Scores of a network on a dataset: shared over ranks, every video accounted for, saved to disk."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
from typing import Any, Callable, Dict, List, Optional, Set, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..data.datasets import VideoDataset
from ..data.labels import LabelSet
from ..deploy.predictor import Computation, text_of
from ..errors import UserError
from . import score_file, work
from .partial import Done
from .progress import Progress
from .protocol import Protocol
from .provenance import Provenance
from .sharing import group_size, groups
from .views import merge_views

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """What a network said of every video of a dataset.

    Parameters
    ----------
    ids
        N names of the scored videos, in the dataset's order: path below the dataset's folder; all different
    labels
        (N,) int64, -1 where unknown
    probabilities
        (N, branches, M) float32, averaged over views; the prediction is branch 0
    branch_names, classes, groups
        names of the branches and of the M classes; group of each class, or None
    protocol
        name of the view protocol
    failed
        name of each video that could not be decoded -> reason; listed videos = scored + failed
    model
        name of the network
    dataset
        name of the dataset
    targets
        (N, M) bool, where videos have several labels: which classes each shows; `labels` has the first of each then.
        None: one label a video
    logits
        (N, M) float32, of the prediction, averaged over views. No probability that is a mean over views tells them
        (`fusion`). None: not kept, as in files from before they were
    execution
        runtime and precision that computed them, for example 'mxnet float32'; '': not known
    made
        what they are made of; None: not told
    seconds
        (N,) float32, how long it took to decode each video and cut its views, with all that the machine did beside.
        None: not kept
    """

    ids: Tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    branch_names: Tuple[str, ...]
    classes: Tuple[str, ...]
    groups: Optional[Tuple[str, ...]]
    protocol: str
    failed: Dict[str, str]
    model: str = ''
    dataset: str = ''
    targets: Optional[np.ndarray] = None
    logits: Optional[np.ndarray] = None
    execution: str = ''
    made: Optional[Provenance] = None
    seconds: Optional[np.ndarray] = None

    def __post_init__(self) -> None:
        videos, branches, classes = len(self.ids), len(self.branch_names), len(self.classes)
        if self.probabilities.shape != (videos, branches, classes) or self.labels.shape != (videos,):
            raise ValueError(
                f'{videos} videos, {branches} branches, {classes} classes, but probabilities '
                f'{self.probabilities.shape} and labels {self.labels.shape}'
            )
        if self.targets is not None and (self.targets.shape != (videos, classes) or self.targets.dtype != bool):
            raise ValueError(
                f'targets {self.targets.dtype} {self.targets.shape} for {videos} videos, {classes} classes'
            )
        if self.logits is not None and self.logits.shape != (videos, classes):
            raise ValueError(f'logits {self.logits.shape} for {videos} videos, {classes} classes')
        if self.seconds is not None and self.seconds.shape != (videos,):
            raise ValueError(f'seconds {self.seconds.shape} for {videos} videos')
        if self.groups is not None and len(self.groups) != classes:
            raise ValueError(f'{len(self.groups)} groups for {classes} classes')

    @property
    def listed(self) -> int:
        """Videos in the dataset: scored + failed."""
        return len(self.ids) + len(self.failed)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the ordered class names: `LabelSet.fingerprint`."""
        return LabelSet(self.classes).fingerprint

    def branch(self, name: Union[str, int, None] = None) -> np.ndarray:
        """(N, M) probabilities of a branch by name or position; None is the fused prediction. Raises UserError."""
        if name is None or isinstance(name, int):
            return self.probabilities[:, name or 0]
        if name not in self.branch_names:
            raise UserError(f'no branch {name!r} in these scores; choose from {", ".join(self.branch_names)}')
        return self.probabilities[:, self.branch_names.index(name)]

    def save(self, path: Union[str, os.PathLike]) -> None:
        """Write a compressed .npz with arrays `probabilities`, `labels`, where there are some `targets` and `logits`,
        and a JSON text `meta`; atomic, nothing pickled. Readers from before `logits` read it, too.
        """
        names, texts = ('ids', 'branch_names', 'classes', 'fingerprint', 'groups'), ('model', 'dataset', 'execution')
        meta: Dict[str, Any] = {key: getattr(self, key) for key in (*names, 'protocol', 'failed', *texts)}
        meta['made'] = None if self.made is None else self.made.as_dict()
        if self.seconds is not None:
            meta['seconds'] = score_file.shortest(self.seconds)
        arrays: Dict[str, np.ndarray] = {
            'probabilities': self.probabilities.astype(np.float32),
            'labels': self.labels.astype(np.int64),
        }
        if self.targets is not None:
            arrays['targets'] = self.targets
        if self.logits is not None:
            arrays['logits'] = self.logits.astype(np.float32)
        score_file.write(path, meta, arrays)

    @classmethod
    def load(cls, path: Union[str, os.PathLike]) -> Scores:
        """Read what `save` wrote; raises UserError for a missing file, anything else, and numbers that cannot be."""
        meta, arrays = score_file.read(path)
        try:
            scores = cls(
                ids=tuple(meta['ids']),
                labels=arrays['labels'].astype(np.int64),
                probabilities=arrays['probabilities'].astype(np.float32, copy=False),
                branch_names=tuple(meta['branch_names']),
                classes=tuple(meta['classes']),
                groups=None if meta['groups'] is None else tuple(meta['groups']),
                protocol=meta['protocol'],
                failed=meta['failed'],
                model=meta['model'],
                dataset=meta['dataset'],
                targets=arrays.get('targets'),
                logits=arrays.get('logits'),
                execution=meta.get('execution', ''),
                made=Provenance.read(meta.get('made')),
                seconds=None if meta.get('seconds') is None else np.array(meta['seconds'], np.float32),
            )
            score_file.check_unchanged(path, meta, arrays, scores.fingerprint)
        except UserError as error:  # of the class names, which do not know the file
            raise UserError(str(error) if str(path) in str(error) else f'{path}: {error}') from None
        return scores


def score_dataset(
    net: HybridBlock,
    dataset: VideoDataset,
    protocol: Protocol,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 8,
    workers: int = 2,
    rank: int = 0,
    size: int = 1,
    gather: Optional[Callable[[list], List[list]]] = None,
    progress: bool = True,
    execution: Optional[Computation] = None,
    told: Optional[Set[str]] = None,
    part: Optional[work.Work] = None,
) -> Scores:
    """Score every video of a dataset, or of a part of it; to float rounding the same for any batch size.

    What shares a forward pass depends on the batch size alone (`sharing`): a video's scores are the same to the last
    bit for any number of workers, ranks and shards, and where this goes on from what a former call has left. Rank r
    takes the groups r, r + size, r + 2 size, ... of videos; all ranks must call this, and all get the whole result.

    Parameters
    ----------
    net, dataset, protocol, ctx, batch_size, workers, execution
        as for `merge_views`; labels may be -1 (unknown), which gives scores but no accuracy
    rank, size, gather
        this process among how many; `gather(list)` returns every rank's list, in rank order, on every rank
    progress
        whether rank 0 draws a progress bar, or says a line a minute where there is no terminal
    told
        what the log was told by former calls, which is not told again; it takes up what is new. None: tell all
    part
        which part of the list, and where what is done is kept; the scores then tell what they are made of. None: all

    Raises
    ------
    UserError
        the dataset's classes are not the network's, none of its videos can be decoded, or what `part` raises
    """
    if not 0 <= rank < size or (size > 1 and gather is None):
        raise UserError(f'rank {rank} of {size} ranks needs 0 <= rank < size, and a gather function when size > 1')
    dataset = known_to(net, dataset)
    labels = check_classes(net, dataset.labels, dataset.name)
    told = set() if told is None else told
    execution = execution and execution.decided(net, ctx)
    length = group_size(protocol.count(labels), batch_size)
    shared = groups(len(dataset), length, *([part.shard] if part else []))
    made = part and work.provenance(net, dataset, part.shard, shared[0].start)
    settings = work.settings_of(protocol, execution, ctx, batch_size)
    mine = shared[rank::size]
    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(work.opened(part, rank, dataset, made, settings)) if part and made else None
        before = kept.groups if kept else {}
        done = [video for group in mine for video in before.get(group, ())]
        missing = [group for group in mine if group not in before]
        if kept and done and rank == 0:
            logger.warning('%s: %d videos are scored already; going on from there', kept.path, len(done))
        count = stack.enter_context(Progress(sum(map(len, mine)), len(done), protocol.name, progress and rank == 0))
        ids = video_ids(dataset)
        places = [place for group in missing for place in group]
        sources = [(ids[i], functools.partial(dataset.open, i)) for i in places]
        truth = [dataset.records[i].label for i in places]
        merged = merge_views(net, sources, protocol, labels, ctx, batch_size, workers, execution, truth, told, length)
        for group, videos in zip(missing, work.by_group(work.noted(merged, count, told), missing)):
            done += videos
            if kept:
                kept.add(group, videos, [work.stamp(dataset, place) for place in group])
    everything = gather(done) if gather and size > 1 else [done]
    scores = _gathered(net, dataset, range(shared[0].start, shared[-1].stop), labels, protocol, everything)
    scores = dataclasses.replace(scores, made=made, execution=text_of(execution))
    counted = f'{scores.listed} videos listed = {len(scores.ids)} scored + {len(scores.failed)} failed'
    work.say_once(told, logging.INFO, counted)
    return scores


def _gathered(
    net: HybridBlock,
    dataset: VideoDataset,
    wanted: range,
    labels: LabelSet,
    protocol: Protocol,
    parts: List[List[Done]],
) -> Scores:
    """The scores of all ranks' parts."""
    ids = video_ids(dataset)
    everything = sorted((video for part in parts for video in part), key=lambda video: video.place)
    if [video.place for video in everything] != list(wanted):
        raise RuntimeError(
            f'{dataset.name} lists {len(wanted)} videos, but {len(everything)} came out of {len(parts)} ranks'
        )
    scored = [video for video in everything if video.reason is None]
    failed = {ids[video.place]: video.reason for video in everything if video.reason is not None}
    if not scored:
        name, reason = next(iter(failed.items()))
        raise UserError(
            f'none of the {len(wanted)} videos of {dataset.name} can be decoded; the first: {name}: {reason}'
        )
    places = [video.place for video in scored]
    timed = all(video.seconds is not None for video in scored)  # not where a former version's work is gone on with
    return Scores(
        ids=tuple(ids[place] for place in places),
        labels=np.array([dataset.records[place].label for place in places], np.int64),
        probabilities=np.array([video.probabilities for video in scored]),
        branch_names=tuple(net.branch_names),
        classes=labels.classes,
        groups=labels.groups,
        protocol=protocol.name,
        failed=failed,
        model=str(net.name),
        dataset=dataset.name,
        targets=None if dataset.targets is None else dataset.targets[places],
        logits=np.array([video.logits for video in scored]),
        seconds=np.array([video.seconds for video in scored], np.float32) if timed else None,
    )


def known_to(net: HybridBlock, dataset: VideoDataset) -> VideoDataset:
    """The same videos with the network's labels, where the dataset has only some of its classes, by their names.

    A folder of four classes of Kinetics can so be scored, and trained on, by a network of all of them.
    """
    known = net.labels
    if known is None or len(dataset.labels) >= len(known) or not set(dataset.labels.classes) <= set(known.classes):
        return dataset
    return dataset.relabeled(known)


def check_classes(net: HybridBlock, labels: LabelSet, source: str) -> LabelSet:
    """What the labels of a dataset mean to a network.

    Two lists of one length are not enough: the ordered names must agree where both are known. A list of videos with
    bare numbers (its classes are called '0', '1', ...) takes the network's names; it need not reach the last class.

    Parameters
    ----------
    net, labels
        a recognizer; the dataset's label set
    source
        what errors call the dataset

    Raises
    ------
    UserError
        another number of classes, or another name at some place
    """
    numbered = labels.classes == tuple(str(i) for i in range(len(labels.classes)))
    if numbered and net.classes is not None and len(labels.classes) <= net.nclass:
        return net.labels
    if len(labels.classes) != net.nclass:
        raise UserError(
            f'{source} has {len(labels.classes)} classes, the model {net.name} has {net.nclass}; choose the dataset '
            f'it was trained on, or a *_custom model with nclass={len(labels.classes)}'
        )
    if net.classes is not None and tuple(net.classes) != labels.classes:
        place = next(i for i, (a, b) in enumerate(zip(net.classes, labels.classes)) if a != b)
        raise UserError(
            f'{source} has class {labels.classes[place]!r} as number {place}, the model {net.name} has '
            f'{net.classes[place]!r} there; the lists must agree in order'
        )
    if labels.groups is None and net.labels is not None and net.labels.classes == labels.classes:
        return net.labels  # the same classes, of which the network knows more
    return labels


def class_names(net: HybridBlock) -> Tuple[str, ...]:
    """The network's class names; 'class 0', 'class 1', ... where it knows none."""
    return tuple(net.classes) if net.classes is not None else tuple(f'class {i}' for i in range(net.nclass))


def video_ids(dataset: VideoDataset) -> List[str]:
    """One name for each record: its path below the dataset's folder and its times; listed again, it gets '#2', ..."""
    ids: List[str] = []
    seen: Dict[str, int] = {}
    for record in dataset.records:
        path = record.name
        if dataset.root and os.path.isabs(path):
            below = os.path.relpath(path, dataset.root)
            path = path if below.startswith('..') else below
        seen[path] = seen.get(path, 0) + 1
        ids.append(path if seen[path] == 1 else f'{path}#{seen[path]}')
    return ids
