"""From videos to views and merged probabilities: decoding ahead in threads, batches across videos."""

from __future__ import annotations

import contextlib
import functools
import logging
from typing import (
    Any,
    Callable,
    Generator,
    Iterable,
    Iterator,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock
from tqdm import tqdm

from ..data.datasets import VideoDataset
from ..data.labels import LabelSet
from ..data.loader import ordered_map
from ..data.transforms import to_input
from ..data.video import VideoReader
from ..deploy.fused import with_segments
from ..deploy.predictor import Computation, forward_of
from ..errors import UserError, VideoError
from ..input_spec import InputSpec
from .batching import Merged, ahead, batches, cut_video
from .protocol import Protocol, get_protocol

logger = logging.getLogger(__name__)


def read_videos(
    dataset: VideoDataset,
    indices: Iterable[int],
    read: Callable[[VideoReader], Any],
    workers: int = 2,
    progress: bool = False,
) -> Generator[Tuple[int, Any], None, None]:
    """Read videos of a dataset one after another; those that cannot be decoded are logged and left out.

    Parameters
    ----------
    dataset
        where the videos are
    indices
        positions of the wanted videos in the dataset
    read
        takes an open reader and returns what is wanted of the video
    workers
        threads that read ahead; 0 reads in the caller's thread, as a `read` that runs a network needs it
    progress
        whether to draw a progress bar

    Yields
    ------
    (index, what `read` returned) in the order of `indices`.
    """

    def attempt(index: int) -> Any:
        try:
            with dataset.open(index) as reader:
                return index, read(reader)
        except VideoError as error:
            return index, error

    wanted = list(indices)
    results = ordered_map(attempt, wanted, workers, prefetch=max(workers, 2))
    with contextlib.closing(results), tqdm(total=len(wanted), unit='video', disable=not progress) as bar:
        for index, result in results:
            bar.update()
            if isinstance(result, VideoError):
                logger.warning('left out: %s', result)
            else:
                yield index, result


class ViewBatch(NamedTuple):
    """One view of each of some videos of a dataset.

    Parameters
    ----------
    indices
        (N,) positions of the videos in the dataset
    labels
        (N,) their classes
    x
        network input on the wanted device: (N, C, T, H, W), or (N * segments, C, H, W) for a network on images
    """

    indices: np.ndarray
    labels: np.ndarray
    x: mx.nd.NDArray


def dataset_views(
    dataset: VideoDataset,
    spec: InputSpec,
    indices: Optional[Iterable[int]] = None,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 1,
    workers: int = 2,
    progress: bool = False,
) -> Generator[ViewBatch, None, None]:
    """Show a network each video of a dataset once, as in validation during training (protocol 'train_time').

    Videos that cannot be decoded are logged and left out; memory does not depend on the number of videos.

    Parameters
    ----------
    dataset
        where the videos are
    spec
        the network's input
    indices
        positions of the wanted videos; None: of all
    ctx
        where the network lies (default: CPU)
    batch_size
        videos in a batch
    workers, progress
        as for `read_videos`

    Yields
    ------
    Batches in the order of `indices`; the last one may be smaller.
    """
    if batch_size < 1:
        raise UserError(f'batch_size must be at least 1, got {batch_size}')
    protocol = get_protocol('train_time')
    wanted = range(len(dataset)) if indices is None else indices
    cuts = read_videos(dataset, wanted, lambda reader: protocol.views(reader, spec)[0][0], workers, progress)
    stack = np.stack if spec.ndim == 3 else np.concatenate
    with contextlib.closing(cuts):
        for group in _groups(cuts, batch_size):
            taken = np.array([index for index, _ in group])
            labels = np.array([dataset.records[index].label for index in taken])
            yield ViewBatch(taken, labels, to_input(stack([view for _, view in group]), spec, ctx or mx.cpu()))


def _groups(items: Iterable, size: int) -> Iterator[list]:
    """Lists of `size` items in order; the last may be shorter."""
    group: list = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def merge_views(
    net: HybridBlock,
    sources: Iterable[Tuple[str, Callable]],
    protocol: Protocol,
    labels: Optional[LabelSet] = None,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 8,
    workers: int = 2,
    execution: Optional[Computation] = None,
    truth: Optional[Sequence[int]] = None,
    told: Optional[Set[str]] = None,
    group: Optional[int] = None,
) -> Iterator[Merged]:
    """Compute the probabilities of every branch for each video, averaged over its views.

    Softmax (sigmoid where `net.multi_label`) is taken of each branch of each view in float32, the mean over views in
    float64; the mean of features, as in
    GluonCV's networks, would be wrong for a head that reads maxima. A mirrored view's probabilities are those of the
    mirrored labels, and are put back by `labels.flip_map` first.

    Parameters
    ----------
    net
        a recognizer; a 2-D one has `num_segments` set as the protocol asks, and restored when the iteration ends
    sources
        (name, opener) for each video; an opener takes nothing and returns a reader (context manager)
    protocol, labels
        which views; the labels decide whether views may be mirrored
    ctx
        where the network lies (default: CPU)
    batch_size
        views in a forward pass, all of one size; the result does not depend on it beyond float rounding
    workers
        threads that decode and cut views ahead, beside one that makes the next batch; 0 does all between forward passes
    execution
        what computes a copy of the network, if it takes no labels; None: its own graph, as in training
    truth
        the true class of each source, for a network that takes labels (`net.takes_labels`); no other sees it
    told
        what the log was told by former calls, which is not told again; it takes up what is new
    group
        no batch has views of more than so many consecutive sources: the first ones, the next ones, ... (`sharing`);
        None: they are all one group

    Yields
    ------
    One `Merged` for each source: of each group the scored ones in the order of `sources`, then the failed ones.

    Raises
    ------
    UserError
        a batch size below 1; the network returned something that is no finite number, or takes labels and has none
    """
    if batch_size < 1:
        raise UserError(f'batch_size must be at least 1, got {batch_size}')
    ctx, spec = ctx or mx.cpu(), net.input_spec
    shown = protocol.shown(spec)
    execution = None if net.takes_labels else execution
    with contextlib.nullcontext() if execution else segments_as(net, protocol):
        forward = forward_of(net, execution, ctx, _segments(net, protocol)) if execution else _logits_of(net)
        stack = np.stack if spec.ndim == 3 else np.concatenate
        cut = functools.partial(cut_video, protocol, spec, labels, set() if told is None else told)
        cuts = ordered_map(cut, enumerate(sources), workers, prefetch=max(workers, 2))

        def inputs() -> Generator[tuple, None, None]:
            with contextlib.closing(cuts):
                for batch, failed in batches(cuts, batch_size, group):
                    x = to_input(stack([view for *_, view in batch]), shown, ctx) if batch else None
                    if x is not None:
                        x.wait_to_read()  # else it is made in its turn, behind the batch before it
                    yield batch, failed, x

        made = ahead(inputs()) if workers else inputs()
        with contextlib.closing(made):
            for batch, failed, x in made:
                if not batch:
                    yield from failed
                    continue
                true = _true_classes(batch, truth, labels, ctx) if net.takes_labels else ()
                yield from _run(forward, net.to_probabilities, (x, *true), batch, labels)


def _logits_of(net: HybridBlock) -> Callable:
    """A function that gives the logits of every branch, without what the loss alone needs."""
    return lambda *inputs: net.branches(*inputs)[: len(net.branch_names)]


def _true_classes(batch: Any, truth: Any, labels: Any, ctx: mx.Context) -> tuple:
    """The classes of the views in a batch, mirrored where they are; nothing where they are not known."""
    known = [-1 if truth is None else int(truth[video.position]) for video, *_ in batch]
    if min(known) < 0:
        return ()
    seen = [int(labels.flip_map[label]) if flip else label for label, (_, flip, _) in zip(known, batch)]
    return (mx.nd.array(seen, ctx=ctx),)


def _run(forward: Any, to_probabilities: Callable, inputs: Any, batch: Any, labels: Any) -> Iterator[Merged]:
    """One forward pass; yields the videos that it completes."""
    outputs = forward(*inputs)
    # (views, branches, M); logits of reduced precision are widened before the softmax
    probabilities = np.stack([to_probabilities(z).asnumpy() for z in outputs], axis=1).astype(np.float64)
    logits = outputs[0].astype('float32').asnumpy().astype(np.float64)
    for (video, flip, _), p, z in zip(batch, probabilities, logits):
        if not np.isfinite(p).all():
            raise UserError(
                f"{video.name}: the network's output is not finite; are these the parameters of a run that diverged?"
            )
        if video.add(*((p[:, labels.flip_map], z[labels.flip_map]) if flip else (p, z))):
            yield Merged(video.position, video.sum / video.views, video.logits / video.views, video.seconds)


@contextlib.contextmanager
def segments_as(net: HybridBlock, protocol: Protocol) -> Iterator[None]:
    """A 2-D network's `num_segments` as the protocol asks; setting it drops a cached graph, so only where it
    differs.
    """
    with with_segments(net, _segments(net, protocol)):
        yield


def _segments(net: HybridBlock, protocol: Protocol) -> Optional[int]:
    """The `num_segments` that a protocol asks of a network; None for one on clips."""
    return protocol.num_segments(net.input_spec) if net.input_spec.ndim == 2 else None
