"""Predicting the action in videos, by the same protocols and code as testing."""

from __future__ import annotations

import functools
import logging
import os
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

import mxnet as mx
import numpy as np

from ..data.video import open_video
from ..errors import UserError, VideoError
from .load import load_network
from .protocol import Protocol, get_protocol
from .score import class_names
from .views import merge_views

logger = logging.getLogger(__name__)


class Prediction(NamedTuple):
    """One video's answer: `predictions`, (label, probability) pairs with the likeliest first; or `error`, why there
    is none.
    """

    path: str
    predictions: List[Tuple[str, float]]
    error: Optional[VideoError] = None


def predict(
    video: Union[str, os.PathLike, Sequence],
    model: Any,
    params: Optional[str] = None,
    topk: int = 5,
    protocol: Union[str, Protocol, None] = None,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 8,
    workers: int = 2,
    **options: Any,
) -> list:
    """The likeliest classes of a video, or of several.

    Parameters
    ----------
    video
        a file, or a list of files
    model
        name of a model (its published weights are used, or `params`), or a recognizer that has its weights
    params
        .params file for a model given by name
    topk
        how many classes; more than the model has means all of them
    protocol
        which views of the video are averaged; None: the model's own test protocol (see `get_protocol`)
    ctx
        device (default: CPU). On the CPU the network runs as a fused oneDNN graph
    batch_size, workers
        views in a forward pass; decoding threads
    options
        for `get_model`, with a model given by name

    Returns
    -------
    list
        [(label, probability), ...], the likeliest first; for a list of files one such list each, empty for a file that
        cannot be decoded (which the log names). A class without a known name is called 'class 17'.

    Raises
    ------
    VideoError
        the one file, or all files of a list, cannot be decoded
    UserError
        empty list; unknown model, protocol or option; parameters that do not fit
    """
    videos = [video] if isinstance(video, (str, os.PathLike)) else list(video)
    single = isinstance(video, (str, os.PathLike))
    answers = predict_videos(videos, model, params, topk, protocol, ctx, batch_size, workers, **options)
    errors = [answer.error for answer in answers if answer.error]
    if len(errors) == len(answers):
        raise errors[0]
    for answer in answers:
        if answer.error:
            logger.warning('no prediction: %s', answer.error)
    predictions = [answer.predictions for answer in answers]
    return predictions[0] if single else predictions


def predict_videos(
    videos: Sequence,
    model: Any,
    params: Optional[str] = None,
    topk: int = 5,
    protocol: Union[str, Protocol, None] = None,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 8,
    workers: int = 2,
    **options: Any,
) -> List[Prediction]:
    """As `predict`, for a list of files; those that cannot be decoded carry their error and do not stop the others."""
    if topk < 1:
        raise UserError(f'topk must be at least 1, got {topk}')
    paths = [os.fspath(video) for video in videos]
    if not paths:
        raise UserError('no video given')
    ctx = ctx or mx.cpu()
    if isinstance(model, str):
        if isinstance(protocol, str):
            protocol = get_protocol(protocol)  # a slip in it is said before the weights are fetched
        model = load_network(model, params, ctx, **options)
    elif params is not None or options:
        raise UserError('params and options go with the name of a model; a network must have its weights already')
    views = protocol if isinstance(protocol, Protocol) else get_protocol(protocol or model.protocol)
    names, answers = class_names(model), {}
    sources = [(path, functools.partial(open_video, path)) for path in paths]
    for position, result in merge_views(model, sources, views, model.labels, ctx, batch_size, workers, fused=True):
        if isinstance(result, VideoError):
            answers[position] = Prediction(paths[position], [], result)
        else:
            order = np.argsort(-result[0], kind='stable')[:topk]  # ties: the lower number first
            answers[position] = Prediction(paths[position], [(names[i], float(result[0, i])) for i in order])
    return [answers[position] for position in range(len(paths))]
