"""Predicting the action in videos, by the same protocols and code as testing."""

from __future__ import annotations

import functools
import logging
import os
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

import mxnet as mx
from mxnet.gluon import HybridBlock

from ..data.video import open_video
from ..errors import UserError, VideoError
from .protocol import Protocol, get_protocol
from .score import class_names
from .threshold import ranked
from .views import merge_views

logger = logging.getLogger(__name__)


class Prediction(NamedTuple):
    """One video's answer: `predictions`, (label, probability) pairs with the likeliest first; or `error`, why there
    is none.
    """

    path: str
    predictions: List[Tuple[str, float]]
    error: Optional[VideoError] = None


def predict_with(
    net: HybridBlock,
    video: Union[str, os.PathLike, Sequence],
    topk: int = 5,
    protocol: Union[str, Protocol, None] = None,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 8,
    workers: int = 2,
) -> list:
    """Tell the likeliest classes of a video, or of several, by a network: as `gluon_fg.predict`."""
    single = isinstance(video, (str, os.PathLike))
    videos: Any = [video] if single else video
    answers = predict_videos(list(videos), net, topk, protocol, ctx, batch_size, workers)
    errors = [answer.error for answer in answers if answer.error]
    if len(errors) == len(answers):
        raise errors[0]
    for error in errors:
        logger.warning('no prediction: %s', error)
    predictions = [answer.predictions for answer in answers]
    return predictions[0] if single else predictions


def predict_videos(
    videos: Sequence,
    net: HybridBlock,
    topk: int = 5,
    protocol: Union[str, Protocol, None] = None,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 8,
    workers: int = 2,
) -> List[Prediction]:
    """Tell the likeliest classes of each of a list of files; one that cannot be decoded carries its error and does not
    stop the others.
    """
    if topk < 1:
        raise UserError(f'topk must be at least 1, got {topk}')
    paths = [os.fspath(video) for video in videos]
    if not paths:
        raise UserError('no video given')
    views = protocol if isinstance(protocol, Protocol) else get_protocol(protocol or net.protocol)
    ctx = ctx or mx.cpu()
    names, answers = class_names(net), {}
    sources = [(path, functools.partial(open_video, path)) for path in paths]
    for position, result in merge_views(net, sources, views, net.labels, ctx, batch_size, workers, fused=True):
        if isinstance(result, VideoError):
            answers[position] = Prediction(paths[position], [], result)
        else:
            answers[position] = Prediction(paths[position], ranked(names, result[0], topk, net.threshold))
    return [answers[position] for position in range(len(paths))]
