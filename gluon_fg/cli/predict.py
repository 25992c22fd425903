"""`gluon-fg predict`: say what happens in videos."""

from __future__ import annotations

import os
from typing import Any, List, Optional, Sequence, Tuple

import click

from ..errors import UserError
from .base import Command
from .options import ModelChoice, Output, device_option, model_options, output_options, pass_options, print_json


@click.command(
    cls=Command,
    example='predict data/synthfg/test/00005.mp4 --model i3d_tiny_synthfg_dfb --topk 3',
)
@click.argument('paths', nargs=-1, required=True, metavar='VIDEO...')
@model_options
@click.option('--classes', metavar='FILE', help='Class names, one a line, for a model that knows none.')
@click.option('--topk', type=int, default=5, show_default=True, help='Classes to list; at most all.')
@click.option(
    '--protocol', metavar='NAME', help="Views of each video: train_time, dfb_3d, 5x3, ... [default: the model's]"
)
@pass_options
@device_option
@output_options(out=False, json=True)
def predict(
    paths: Tuple[str, ...],
    network: ModelChoice,
    classes: Optional[str],
    topk: int,
    protocol: Optional[str],
    batch_size: int,
    workers: int,
    device: str,
    output: Output,
) -> int:
    """Say what happens in videos.

    VIDEO is a file, or a folder whose videos are all taken (also deeper ones); for a network on single images, its
    images. A video that cannot be decoded is named on stderr and does not stop the others; the exit code is then 2.
    """
    from ..evaluation.load import name_classes
    from ..evaluation.predict import predict_videos
    from ..evaluation.protocol import get_protocol
    from ..training.run import choose_context

    if protocol:
        get_protocol(protocol)
    if topk < 1:
        raise UserError(f'--topk must be at least 1, got {topk}')
    ctx = choose_context(device, 0)
    net = network.load(ctx).net
    views = protocol or net.protocol
    if classes:
        name_classes(net, classes)
    if topk > net.nclass:
        click.echo(f'note: {net.name} has {net.nclass} classes; all of them are listed', err=True)
    answers = predict_videos(video_files(paths, net.input_spec), net, topk, views, ctx, batch_size, workers)
    if output.json:
        print_json([_record(answer, net.name, views) for answer in answers])
    for answer in answers if not output.json else ():
        if not answer.error:
            click.echo(answer.path)
            for label, p in answer.predictions:
                click.echo(f'  {100 * p:5.1f} %  {label}')
    failed = [answer.error for answer in answers if answer.error]
    for error in failed:
        click.echo(f'error: {error}', err=True)
    return 2 if failed else 0


def _record(answer: Any, model: str, protocol: str) -> dict:
    """A video's answer as plain data."""
    return {
        'path': answer.path,
        'model': model,
        'protocol': protocol,
        'predictions': [{'label': label, 'probability': p} for label, p in answer.predictions],
        **({'error': answer.error.reason} if answer.error else {}),
    }


def video_files(paths: Sequence[str], spec: Any) -> List[str]:
    """List the files named, and those in the folders named, in natural order; `spec` says whether they are images."""
    from ..data.datasets import VIDEO_SUFFIXES
    from ..data.video import IMAGE_SUFFIXES, natural

    images = spec.ndim == 2 and spec.segments == 1
    suffixes, kind = (IMAGE_SUFFIXES, 'image') if images else (VIDEO_SUFFIXES, 'video')
    files: List[str] = []
    for path in paths:
        if not os.path.isdir(path):
            files.append(path)
            continue
        inside = sorted(
            (
                os.path.join(folder, name)
                for folder, _, names in os.walk(path)
                for name in names
                if name.lower().endswith(suffixes) and not name.startswith('.')
            ),
            key=natural,
        )
        if not inside:
            raise UserError(f'{path}: no {kind} in this folder (looked for {", ".join(suffixes)})')
        files += inside
    return files
