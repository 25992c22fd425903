"""Predicting the action in videos, by the same protocols and code as testing."""

from __future__ import annotations

import contextlib
import logging
import math
import os
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import mxnet as mx
from mxnet.gluon import HybridBlock

from ..data.packets import UNKNOWN_FPS
from ..data.streams import FrameStream
from ..data.video import VideoReader
from ..deploy.execution import Execution
from ..deploy.predictor import Computation
from ..errors import UserError, VideoError
from ..input_spec import InputSpec
from .clips import Clip, clips_of, files_in, single_pictures
from .frames import videos_of
from .live import Watching, Window, as_live, windows_of_frames
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
    fps: Optional[float] = None,
) -> Any:
    """Tell the likeliest classes of a video, or of several, by a network: as `gluon_fg.predict`."""
    live, video = as_live(video)
    if live and (windows is not None or isinstance(video, str)):
        answered_live = each_live(video, net, windows, topk, protocol, ctx, batch_size, execution, fps)
        return ((answer.start, answer.end, answer.predictions) for answer in answered_live)
    video = list(video) if live else video
    videos, folder = videos_of(video), False
    if isinstance(video, (str, os.PathLike)) and os.path.isdir(video):
        videos = files_in(video, net.input_spec)
        folder = videos != [os.fspath(video)]
    single = len(videos) == 1 and videos[0] is video
    answers: List[Any] = [[] for _ in videos]
    failed = []
    answered = each_prediction(videos, net, topk, protocol, ctx, batch_size, workers, windows, flow, execution, fps)
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
    fps: Optional[float] = None,
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
    fps
        of frames in memory; None: 25 a second

    Yields
    ------
    (position in `videos`, its answer): those of all that can be read, in order, then the errors.

    Raises
    ------
    UserError
        no video, frames of another type, an impossible number, flow for a network that sees none
    """
    _check(topk, windows, fps)
    if flow is not None and not net.input_spec.fields:
        raise UserError(f'flow {flow}: {net.name} sees no optical flow; leave it out')
    clips, ctx = clips_of(videos, flow, fps), ctx or mx.cpu()
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


def each_live(
    video: Union[str, Iterable[Any]],
    net: HybridBlock,
    windows: Optional[Windows] = None,
    topk: int = 5,
    protocol: Union[str, Protocol, None] = None,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 8,
    execution: Optional[Computation] = None,
    fps: Optional[float] = None,
) -> Iterator[Prediction]:
    """Tell the likeliest classes of windows of what comes in its order, once, each as soon as its frames are there.

    Parameters
    ----------
    video
        a stream or a camera (`data.streams.is_stream`), or frames one after another
    net, topk, protocol, ctx, batch_size, execution, fps
        as for `each_prediction`
    windows
        how it is cut; None: as long as the network's clips are

    Yields
    ------
    The answer of each window, in order; of a stream that does not wait those that there was time for.

    Raises
    ------
    VideoError
        nothing can be read there, or the stream broke off
    UserError
        frames of another type or size, an impossible number
    """
    windows = default_windows(net.input_spec) if windows is None else windows
    _check(topk, windows, fps)
    views = protocol if isinstance(protocol, Protocol) else get_protocol(protocol or net.protocol)
    spec = net.input_spec
    with contextlib.ExitStack() as stack:
        cut: Iterable[Window]
        if isinstance(video, str):
            stream = FrameStream(video, None if spec.fields else spec.short_side)
            cut = stack.enter_context(Watching(stream, windows))
        else:
            cut = windows_of_frames(video, windows, fps)
        parts = ((0, clip, clip.open) for clip in map(Window.clip, cut))
        for _, answer in _answered(net, parts, views, topk, ctx or mx.cpu(), batch_size, 0, execution, 1):
            yield answer


def default_windows(spec: InputSpec) -> Windows:
    """Windows as long as the clips that a network takes, a second at least."""
    frames = spec.segments if spec.ndim == 2 else (spec.frames - 1) * spec.frame_stride + 1
    return Windows(max(1.0, round(frames / (spec.fps or UNKNOWN_FPS), 2)))


def _check(topk: int, windows: Optional[Windows], fps: Optional[float]) -> None:
    if topk < 1:
        raise UserError(f'topk must be at least 1, got {topk}')
    if windows is not None:
        windows.check()
    if fps is not None and not 0 < fps < math.inf:
        raise UserError(f'fps must be a number of frames per second above 0, got {fps:g}')


def _answered(
    net: HybridBlock,
    parts: Iterable[Tuple[int, Clip, Callable[[], VideoReader]]],
    protocol: Protocol,
    topk: int,
    ctx: mx.Context,
    batch_size: int,
    workers: int,
    execution: Optional[Computation],
    group: Optional[int] = None,
) -> Iterator[Tuple[int, Prediction]]:
    """(number, answer) of each (number, clip, what opens it); with `group` 1 each before the next one is asked for."""
    names = class_names(net)
    taken: Dict[int, Tuple[int, Clip]] = {}

    def sources() -> Iterator[Tuple[str, Callable[[], VideoReader]]]:
        for position, (number, clip, opener) in enumerate(parts):
            taken[position] = (number, clip)
            yield clip.path, opener

    execution = execution or Execution()
    merged = merge_views(net, sources(), protocol, net.labels, ctx, batch_size, workers, execution, group=group)
    for outcome in merged:
        result, (number, clip) = outcome.result, taken.pop(outcome.position)
        if isinstance(result, VideoError):
            yield number, Prediction(clip.path, [], result, clip.start, clip.end)
        else:
            likeliest = ranked(names, result[0], topk, net.threshold)
            yield number, Prediction(clip.path, likeliest, None, clip.start, clip.end)
