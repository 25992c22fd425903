"""`gluon-fg export`: a trained network for other programs, as ONNX, OpenVINO's or MXNet's own files."""

from __future__ import annotations

import os
from typing import Any, List, Optional, Sequence, Tuple

import click

from ..errors import UserError
from .base import Command, Several
from .options import ModelChoice, model_options


@click.command(
    cls=Command,
    example="""
export i3d_tiny_synthfg_dfb --to onnx
export --run runs/mine --to openvino --views all --videos my_films --out mine.xml
""",
)
@click.argument('name', required=False, metavar='[NAME]')
@model_options
@click.option(
    '--to', type=click.Choice(['onnx', 'openvino', 'symbol']), default='onnx', show_default=True, help='Format.'
)
@click.option('--out', metavar='FILE', help='Where to write. [default: the name of the model, here]')
@click.option(
    '--views', cls=Several, metavar='NAME...', help='Further outputs: maps, filter_responses, or all that it can show.'
)
@click.option('--videos', cls=Several, metavar='VIDEO...', help='Films to compare on, beside random clips.')
@click.option(
    '--threads', type=click.IntRange(min=1), help='That compute while it is timed. [default: as many as cores]'
)
@click.option('--force', is_flag=True, help='Replace files that are there; keep those that deviate or are slow.')
def export(
    name: Optional[str],
    network: ModelChoice,
    to: str,
    out: Optional[str],
    views: List[str],
    videos: List[str],
    threads: Optional[int],
    force: bool,
) -> int:
    """Write a trained network to files that other programs run, without MXNet.

    NAME is a model of the zoo, a published name or the folder of a run. The files hold the graph for prediction, its
    weights, and what a program must know: classes, input and its normalization, names of outputs. A batch may be of any
    size. They are compared with MXNet on random clips and on --videos, in every runtime that is installed, and timed
    beside it: files that deviate by more than 1e-4, or that no runtime computes as fast, are not kept (exit code 2).
    """
    from ..deploy.exporting import SUFFIXES, check_packages, paths_of
    from ..deploy.exporting import export as write

    if name is not None:
        network = _named(name, network)
    check_packages(to)
    if out:
        paths_of(out, to)
    named = network.load()
    net = named.net
    net.weights_source = network.params or network.folder or net.weights_source
    shown = _views(net, views)
    title = os.path.basename(os.path.normpath(named.title))
    clips = _clips(net, videos)
    done = write(net, out or title + SUFFIXES[to][0], to, shown, clips, force, threads)
    size = sum(os.path.getsize(path) for path in done.paths)
    click.echo(
        f'{", ".join(map(str, done.paths))}: {size / 1e6:.1f} MB; data {_sizes(done.shape)} -> {", ".join(done.names)}'
    )
    for check in done.checks:
        click.echo(
            f'  {check.runtime}: at most {check.deviation:.1e} from MXNet on {done.batches} batches '
            f"({len(clips)} of films); {1e3 * check.seconds:.1f} ms a video, {check.ratio:.2f} of MXNet's time"
        )
    if done.problem:
        click.echo(f'warning: {done.problem}', err=True)
    return 0


def _named(name: str, network: ModelChoice) -> ModelChoice:
    """The network of an argument; it stands for --model."""
    if network.name or network.run:
        raise UserError(f'{name} and {"--model" if network.name else "--run"} {network.text} exclude each other')
    return network._replace(name=name)


def _views(net: Any, views: Sequence[str]) -> Tuple[str, ...]:
    from ..deploy.onnx import view_names

    return tuple(view_names(net)) if 'all' in views else tuple(views)


def _sizes(shape: Tuple[int, ...]) -> str:
    first = 'batch' if shape[0] == 1 else f'{shape[0]} x batch'
    return f'({", ".join([first, *map(str, shape[1:])])})'


def _clips(net: Any, videos: Sequence[str]) -> List[Any]:
    """The center clip of each video, as the network takes it."""
    if not videos:
        return []
    from ..data.transforms import to_input
    from ..evaluation.clips import clips_of, files_of
    from ..evaluation.protocol import get_protocol

    clips = []
    for clip in clips_of(files_of(videos, net.input_spec)):
        with clip.open_cut() as reader:
            views, _ = get_protocol('train_time').views(reader, net.input_spec)
        view = views[0] if net.input_spec.ndim == 2 else views[0][None]
        clips.append(to_input(view, net.input_spec).asnumpy())
    return clips
