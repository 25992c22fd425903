"""Predicting the action in videos, by the same protocols and code as testing."""

from __future__ import annotations

import logging
import os
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import mxnet as mx
from mxnet.gluon import HybridBlock

from ..data.video import VideoReader
from ..deploy.execution import Execution
from ..deploy.predictor import Computation
from ..errors import UserError, VideoError
from .clips import Clip, clips_of, files_in, single_pictures
from .frames import videos_of
from .protocol import Protocol, get_protocol
from .score import class_names
from .threshold import ranked
from .views import merge_views
from .windows import Windows, windows_of

logger = logging.getLogger(__name__)


class Prediction(NamedTuple):
    """One video's answer: `predictions`, (label, probability) pairs with the likeliest first; or `error`, why there
    is none. `start` and `end`, in seconds, where it is of a window of the video.
    """

    path: str
    predictions: List[Tuple[str, float]]
    error: Optional[VideoError] = None
    start: Optional[float] = None
    end: Optional[float] = None


def predict_with(
    net: HybridBlock,
    video: Any,
    topk: int = 5,
    protocol: Union[str, Protocol, None] = None,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 8,
    workers: int = 2,
    windows: Optional[Windows] = None,
    flow: Optional[str] = None,
    execution: Optional[Computation] = None,
) -> Any:
    """Tell the likeliest classes of a video, or of several, by a network: as `gluon_fg.predict`."""
    videos, folder = videos_of(video), False
    if isinstance(video, (str, os.PathLike)) and os.path.isdir(video):
        videos = files_in(video, net.input_spec)
        folder = videos != [os.fspath(video)]
    single = len(videos) == 1 and videos[0] is video
    answers: List[Any] = [[] for _ in videos]
    failed = []
    answered = each_prediction(videos, net, topk, protocol, ctx, batch_size, workers, windows, flow, execution)
    for number, answer in answered:
        if answer.error:
            failed.append(answer.error)
            logger.warning('no prediction: %s', answer.error)
        elif windows is None:
            answers[number] = answer.predictions
        else:
            answers[number].append((answer.start, answer.end, answer.predictions))
    if failed and not any(answers):
        raise failed[0]
    if folder:
        return dict(zip(videos, answers))
    return answers[0] if single else answers


def predict_videos(
    videos: Sequence[Any],
    net: HybridBlock,
    topk: int = 5,
    protocol: Union[str, Protocol, None] = None,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 8,
    workers: int = 2,
) -> List[Prediction]:
    """Tell the likeliest classes of each of a list of videos; one that cannot be decoded carries its error and does not
    stop the others.
    """
    answers = each_prediction(videos, net, topk, protocol, ctx, batch_size, workers)
    return [answer for _, answer in sorted(answers, key=lambda numbered: numbered[0])]


def each_prediction(
    videos: Sequence[Any],
    net: HybridBlock,
    topk: int = 5,
    protocol: Union[str, Protocol, None] = None,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 8,
    workers: int = 2,
    windows: Optional[Windows] = None,
    flow: Optional[str] = None,
    execution: Optional[Computation] = None,
) -> Iterator[Tuple[int, Prediction]]:
    """Tell the likeliest classes of videos, or of windows of them, one after another.

    Parameters
    ----------
    videos
        files, folders of frames, or frames (`clips_of`)
    net, topk, protocol, ctx, batch_size, workers
        as for `gluon_fg.predict`
    windows
        how they are cut; None: one answer for each
    flow
        where optical flow comes from, for networks that see it
    execution
        what computes the network; None: the fastest runtime (`Execution`)

    Yields
    ------
    (position in `videos`, its answer): those of all that can be read, in order, then the errors.

    Raises
    ------
    UserError
        no video, frames of another type, an impossible number, flow for a network that sees none
    """
    if topk < 1:
        raise UserError(f'topk must be at least 1, got {topk}')
    if windows is not None:
        windows.check()
    if flow is not None and not net.input_spec.fields:
        raise UserError(f'flow {flow}: {net.name} sees no optical flow; leave it out')
    clips, ctx = clips_of(videos, flow), ctx or mx.cpu()
    pictures = single_pictures(clips, net.input_spec)
    if pictures:
        logger.warning(
            '%s%s: a single picture, where %s was trained on %s: its answer may mean nothing',
            pictures[0],
            f' and {len(pictures) - 1} more' if pictures[1:] else '',
            net.name,
            net.input_spec.summary,
        )
    views = protocol if isinstance(protocol, Protocol) else get_protocol(protocol or net.protocol)

    def parts() -> Iterator[Tuple[int, Clip, Callable[[], VideoReader]]]:
        for number, clip in enumerate(clips):
            for part in [clip] if windows is None else windows_of(clip, windows, views, net.input_spec):
                yield number, part, part.open_cut

    yield from _answered(net, parts(), views, topk, ctx, batch_size, workers, execution)


def _answered(
    net: HybridBlock,
    parts: Iterable[Tuple[int, Clip, Callable[[], VideoReader]]],
    protocol: Protocol,
    topk: int,
    ctx: mx.Context,
    batch_size: int,
    workers: int,
    execution: Optional[Computation],
) -> Iterator[Tuple[int, Prediction]]:
    """(number, answer) of each (number, clip, what opens it)."""
    names = class_names(net)
    taken: Dict[int, Tuple[int, Clip]] = {}

    def sources() -> Iterator[Tuple[str, Callable[[], VideoReader]]]:
        for position, (number, clip, opener) in enumerate(parts):
            taken[position] = (number, clip)
            yield clip.path, opener

    execution = execution or Execution()
    for position, result, _ in merge_views(net, sources(), protocol, net.labels, ctx, batch_size, workers, execution):
        number, clip = taken.pop(position)
        if isinstance(result, VideoError):
            yield number, Prediction(clip.path, [], result, clip.start, clip.end)
        else:
            likeliest = ranked(names, result[0], topk, net.threshold)
            yield number, Prediction(clip.path, likeliest, None, clip.start, clip.end)
