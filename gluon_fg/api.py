"""What a program needs of a trained network: `load_model` and `predict`, which take every way to name one."""

from __future__ import annotations

import os
from typing import Any, Optional, Union

import mxnet as mx
from mxnet.gluon import HybridBlock

from .deploy.execution import Execution
from .deploy.predictor import Computation, Predictor
from .errors import UserError
from .evaluation.predict import predict_with
from .evaluation.protocol import Protocol, get_protocol
from .evaluation.windows import Windows


def load_model(
    model: Union[str, os.PathLike],
    params: Union[str, os.PathLike, None] = None,
    ctx: Optional[mx.Context] = None,
    **options: Any,
) -> HybridBlock:
    """Load a trained network, ready to predict: a training run of yours, or a published one.

    It knows its class names (`net.classes`), its input (`net.input_spec`) and its test protocol (`net.protocol`).

    Parameters
    ----------
    model
        the folder of a training run; a name of the zoo (`list_models(pretrained=True)`) or one that a run was published
        under, found in `GLUON_FG_REPO`; or a folder of published models (FOLDER, if it has one alone, or FOLDER/NAME)
    params
        a .params file in place of its own weights; one that lies in the folder of a run is read as that run says
    ctx
        where to put it (default: CPU)
    options
        for `get_model`, with a name

    Returns
    -------
    HybridBlock
        a recognizer (`gluon_fg.recognizers.Recognizer`)

    Raises
    ------
    UserError
        no such name or folder, no weights, or weights that do not fit
    """
    from .training.named import load_model as load  # on demand: `import gluon_fg` needs no training

    return load(model, params, ctx, **options).net


def predict(
    video: Any,
    model: Any = None,
    params: Union[str, os.PathLike, None] = None,
    topk: int = 5,
    protocol: Union[str, Protocol, None] = None,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 8,
    workers: int = 2,
    window: Optional[float] = None,
    hop: Optional[float] = None,
    flow: Optional[str] = None,
    runtime: str = 'auto',
    precision: str = 'float32',
    windows: Optional[float] = None,
    stride: Optional[float] = None,
    fps: Optional[float] = None,
    **options: Any,
) -> Any:
    """Tell the likeliest classes of a video, or of several.

    Parameters
    ----------
    video
        a file; a folder of videos; frames in memory, uint8 (T, H, W, 3) or a list of pictures (H, W, 3), in the order
        red, green, blue (those of OpenCV: frames[..., ::-1]); one such picture; or a list of these.
        An iterator of pictures, the address of a stream ('rtsp://...'), the path of a pipe or the number of a camera
        is predicted as its frames come
    model
        a trained network by name or folder, as `load_model` takes it, a recognizer that has its weights, or a
        `gluon_fg.deploy.Predictor`; None: the I3D of Kinetics-400 where its weights are to be had, else a tiny one of
        drawn shapes; the log says which
    params
        .params file for a model given by name or folder
    topk
        how many classes; more than the model has means all of them
    protocol
        which views of the video are averaged; None: the model's own test protocol (see `get_protocol`)
    ctx
        device (default: CPU)
    batch_size, workers
        views in a forward pass; decoding threads
    windows, stride
        seconds: an answer for each window of that length in place of one for the video, from the start of one window
        to that of the next `stride` (None: as long as the window)
    window, hop
        former names of `windows` and `stride`
    fps
        frames per second of frames in memory; None: 25
    flow
        for a network that sees optical flow: the folder that it lies in, as `gluon-fg data flow` writes it, or 'dis';
        None: what lies beside the video or its frames, else it is computed (DIS)
    runtime, precision
        what computes the network, and in which precision (`deploy.execution.Execution`)
    options
        for `get_model`, with a model given by name

    Returns
    -------
    list
        [(label, probability), ...], the likeliest first; with `windows` one (start, end, [(label, probability), ...])
        for each; of what comes as it goes on, an iterator of these, each given as soon as it is known. For a list of
        videos a list of such lists, for a folder a dict of them by file; empty for a file that cannot be decoded (which
        the log names). A class without a known name is called 'class 17'.
        Below the network's threshold, if it has one, 'none of these' stands before them

    Raises
    ------
    VideoError
        the one file, or all of them, cannot be decoded
    UserError
        no video; unknown model, protocol or option; parameters that do not fit; frames of another type
    """
    seconds, step = window if windows is None else windows, hop if stride is None else stride
    if seconds is None and step is not None:
        raise UserError(f'stride {step} goes with windows, the seconds of each')
    cut = None if seconds is None else Windows(seconds, step)
    if cut is not None:
        cut.check()
    execution: Computation = Execution(runtime, precision)
    if isinstance(protocol, str):
        protocol = get_protocol(protocol)  # a slip in it is said before the weights are fetched
    if isinstance(model, (str, os.PathLike)):
        model = load_model(model, params, ctx, **options)
    elif model is None and params is None and not options:
        from .training.named import default_model

        model = default_model(ctx).net
    elif isinstance(model, Predictor):
        if execution != Execution():
            raise UserError('runtime and precision go with a network; a Predictor has its own')
        model, execution = model.net, model
    elif params is not None or options:
        raise UserError('params and options go with the name of a model; a network must have its weights already')
    return predict_with(model, video, topk, protocol, ctx, batch_size, workers, cut, flow, execution, fps)
