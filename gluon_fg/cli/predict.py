"""`gluon-fg predict`: say what happens in videos."""

from __future__ import annotations

import os
from typing import Any, Iterator, Optional, Tuple

import click

from ..deploy.execution import Execution
from ..errors import UserError, VideoError
from .base import Command, Renamed
from .options import (
    ModelChoice,
    Output,
    device_option,
    execution_options,
    flow_option,
    model_options,
    output_options,
    pass_options,
)
from .predict_output import Answers, Drawn


@click.command(
    cls=Command,
    example="""
predict data/synthfg/test/00005.mp4 --model i3d_tiny_synthfg_dfb --topk 3
predict my_films --run runs/mine --out results.csv
predict long.mp4 --windows 4 --stride 2 --out long.srt --timeline long.png
predict rtsp://camera.local/live --windows 4 --out seen.csv
""",
)
@click.argument('paths', nargs=-1, required=True, metavar='VIDEO...')
@model_options
@click.option('--classes', metavar='FILE', help='Class names, one a line, for a model that knows none.')
@click.option('--topk', type=int, metavar='K', help='Classes to list; at most all. [default: 5]')
@click.option(
    '--protocol', metavar='NAME', help="Views of each video: train_time, dfb_3d, 5x3, ... [default: the model's]"
)
@click.option(
    '--threshold',
    type=click.FloatRange(0, 1),
    metavar='P',
    help="Say 'none of these' where the likeliest class is less likely. [default: of the run or the model]",
)
@click.option(
    '--windows',
    '--window',
    cls=Renamed,
    type=float,
    metavar='SECONDS',
    help='An answer for each window of that length.',
)
@click.option(
    '--stride',
    '--hop',
    cls=Renamed,
    type=float,
    metavar='SECONDS',
    help='From window to window. [default: as --windows]',
)
@flow_option
@click.option('--film', metavar='OUT.mp4', help='The film with the likeliest classes over it; of several: a folder.')
@click.option('--timeline', metavar='OUT.png', help='With --windows: a picture of what is likeliest when.')
@pass_options
@device_option
@execution_options
@output_options('Table, JSON or subtitles of all answers.', metavar='FILE.csv|.json|.jsonl|.srt', json=True)
def predict(
    paths: Tuple[str, ...],
    network: ModelChoice,
    classes: Optional[str],
    topk: Optional[int],
    protocol: Optional[str],
    threshold: Optional[float],
    windows: Optional[float],
    stride: Optional[float],
    flow: Optional[str],
    film: Optional[str],
    timeline: Optional[str],
    batch_size: int,
    workers: int,
    device: str,
    execution: Execution,
    output: Output,
) -> int:
    """Say what happens in videos.

    VIDEO is a file, or a folder whose videos are all taken (also deeper ones); for a network on single images, its
    images. A folder of images is one video for any other network. A stream is predicted in windows as it comes, until
    it ends or Ctrl-C: an address (rtsp, rtmp, http, udp, ...), the number of a camera, a pipe, or - for standard input.

    Without --model the I3D of Kinetics-400 is taken where its weights are to be had, and a line says so. A video that
    cannot be decoded is named on stderr and does not stop the others; the exit code is then 2.
    """
    from ..evaluation.answers import ResultFile
    from ..evaluation.clips import files_of
    from ..evaluation.load import name_classes
    from ..evaluation.predict import each_prediction
    from ..evaluation.windows import Windows
    from ..training.devices import computing_device

    live = _is_live(paths)
    _check(paths, topk, protocol, windows, live, output)
    drawn = Drawn(film, timeline, output.force)
    drawn.check(paths, windows, live)
    if stride is not None and windows is None:
        raise UserError(f'--stride {stride:g} is from window to window; give their length with --windows SECONDS')
    cut = None if windows is None else Windows(windows, stride)
    if cut:
        cut.check()
    ctx = computing_device(device, 0, execution)
    net = _network(network, ctx, threshold)
    views, execution = protocol or net.protocol, execution.decided(net, ctx)
    if classes:
        name_classes(net, classes)
    elif net.classes is None:
        click.echo(f'note: {net.name} knows no names of its classes; give them with --classes FILE', err=True)
    if topk and topk > net.nclass:
        click.echo(f'note: {net.name} has {net.nclass} classes; all of them are listed', err=True)
    files = list(paths) if live else files_of(paths, net.input_spec)
    targets = drawn.films_of(files)
    topk = topk or 5
    shown = min(topk, net.nclass) + (net.threshold is not None)  # 'none of these' stands before them
    results = ResultFile(output.out or '', shown, net.name, views, execution.text)
    taken = Answers(results, output, live, kept=drawn.wanted)
    if live:
        _watch(taken, _live_answers(paths[0], net, cut, topk, views, ctx, batch_size, execution))
    else:
        answers = each_prediction(files, net, topk, views, ctx, batch_size, workers, cut, flow, execution)
        taken.take(answers, len(files))
    failed = taken.errors + drawn.draw(files, taken.by_video, targets, output.json)
    for error in failed:
        click.echo(f'error: {error}', err=True)
    return 2 if failed else 0


def _is_live(paths: Tuple[str, ...]) -> bool:
    """Whether it is one stream; raises UserError for several, or one among files."""
    from ..data.streams import is_stream

    streams = [path for path in paths if is_stream(path)]
    if streams and len(paths) > 1:
        raise UserError(f'{streams[0]} is a stream, which has no end to come to; give it alone')
    return bool(streams)


def _live_answers(path: str, net: Any, cut: Any, *rest: Any) -> Iterator[Tuple[int, Any]]:
    """The answers of a stream's windows, as those of video 0."""
    from ..evaluation.predict import default_windows, each_live

    if cut is None:
        cut = default_windows(net.input_spec)
        click.echo(f'note: in windows of {cut.seconds:g} s; choose another length with --windows', err=True)
    for answer in each_live(path, net, cut, *rest):
        yield 0, answer


def _watch(taken: Answers, answers: Iterator[Tuple[int, Any]]) -> None:
    """Take the answers of a stream, whose usual end is Ctrl-C; what breaks it off is an error as that of a file."""
    try:
        taken.take(answers, 1)
    except KeyboardInterrupt:
        click.echo('stopped', err=True)
    except VideoError as error:
        taken.errors.append(error)


def _check(
    paths: Tuple[str, ...],
    topk: Optional[int],
    protocol: Optional[str],
    windows: Optional[float],
    live: bool,
    output: Output,
) -> None:
    """Refuse what cannot be, before a network is loaded."""
    from ..evaluation.answers import SUFFIXES
    from ..evaluation.protocol import get_protocol

    if protocol:
        get_protocol(protocol)
    if topk is not None and topk < 1:
        raise UserError(f'--topk must be at least 1, got {topk}')
    output.check(suffixes=SUFFIXES, inputs=paths)
    if output.out and output.out.lower().endswith('.srt'):
        if windows is None and not live:
            raise UserError(f'--out {output.out}: subtitles show windows of a film; give their length with --windows')
        if len(paths) > 1 or os.path.isdir(paths[0]):
            raise UserError(f'--out {output.out}: subtitles are of one film; choose a .csv for several')


def _network(network: ModelChoice, ctx: Any, threshold: Optional[float]) -> Any:
    """The network that was named, or the default one, with the threshold that was given, if any."""
    from ..training.named import default_model

    if network.name is not None or network.run is not None:
        net = network.load(ctx).net
    elif network.params or network.options:
        raise UserError('--params and --options go with --model NAME or --run FOLDER')
    else:
        net = default_model(ctx).net
    if threshold is not None:
        net.threshold = threshold
    return net
