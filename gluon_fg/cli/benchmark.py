"""`gluon-fg benchmark`: speed as ratios, and operations and parameters of networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import click

from ..errors import UserError
from ..files import temporary_folder
from . import benchmark_models
from .base import Command, Several
from .benchmark_models import Models, model_options
from .options import Output, output_options, print_json


@click.command(
    cls=Command,
    example="""
benchmark i3d_tiny_synthfg --precision float32 bfloat16
benchmark --promises
benchmark --quick --only 'inference*DFB over'
benchmark --flops i3d_tiny_synthfg i3d_tiny_synthfg_dfb
benchmark --loader --root my_videos
benchmark --flow --quick
""",
)
@click.argument('names', nargs=-1, metavar='[NAME]...')
@click.option('--quick', is_flag=True, help='Tiny networks only, few rounds.')
@click.option('--only', metavar='PATTERN', help='Only rows whose title has this in it; * stands for anything.')
@click.option('--rounds', type=int, help='Timed repetitions of each variant. [default: 15, quick 3]')
@click.option('--flops', cls=Several, none_allowed=True, metavar='NAME...', help='Count these models, time nothing.')
@click.option(
    '--input',
    'shape',
    metavar='N,C,T,H,W',
    help='For NAME, --flops: shape of the input of one clip. [default: one crop]',
)
@click.option('--nclass', type=int, help='For NAME, --flops: classes of a model that has none of its own ("custom").')
@click.option('--loader', is_flag=True, help='Time reading of training clips, beside decord alone and GluonCV.')
@click.option('--flow', is_flag=True, help='Time and judge optical flow, beside OpenCV called directly.')
@click.option('--film', is_flag=True, help='Memory that 12 s of 4K take with 30 views; quick: 2 s of 1080 lines.')
@click.option('--evaluation', is_flag=True, help="Time evaluation beside a loop over GluonCV's network and loader.")
@click.option('--memory', type=int, metavar='N', help='For --loader: open N videos, and N more; does memory grow?')
@click.option(
    '--root', metavar='FOLDER', help='For --loader, --flow: videos below it. [default: films rendered for it]'
)
@click.option('--dataset', metavar='NAME', help='For --loader: training videos of a dataset, which --root has.')
@click.option('--videos', type=int, metavar='N', help='For --loader: so many. [default: 24, quick 4]')
@click.option('--workers', type=int, metavar='N', help='For --loader: threads that read. [default: 2]')
@model_options
@output_options('File for the records, as JSON.', json=True)
def benchmark(
    names: Tuple[str, ...],
    quick: bool,
    only: Optional[str],
    rounds: Optional[int],
    flops: Optional[List[str]],
    shape: Optional[str],
    nclass: Optional[int],
    models: Models,
    output: Output,
    **given: Any,
) -> None:
    """Measure speed as ratios, or count operations.

    NAME, of the zoo, is timed in each runtime and precision asked for, beside GluonCV's network as shipped, the same in
    PyTorch (eager and frozen), ONNX Runtime and OpenVINO called directly, and the limit that this machine's fastest
    matrix product of the type sets: latency, throughput, peak memory, each in a process of its own, in turn.

    --promises does so for I3D ResNet-50 in all precisions and says of each promise whether it is kept here.

    Without either, two variants of a thing are timed in turn, A B A B ..., so that a busy moment of the machine touches
    both; printed are the medians of both and of the ratio. Absolute times are this machine's alone.

    --flops NAME counts instead, and runs nothing: GFLOPs (two for each multiply-add), multiply-adds and parameters of
    networks for one crop of one video, by kind of operator and by part for a single one.

    --loader times how training clips are read from files: this package's loader in the first epoch, which scans each
    file, and in later ones, beside plain decord on the same frames with as many threads, and GluonCV's loader.

    --flow times gluon-fg data flow, DIS and TV-L1, in one process and in two, beside a plain loop over OpenCV; then it
    prints how far off both are on scenes whose motion is known, and what JPEG's quality costs.

    --film predicts a large film by many views and prints how much memory that took at most.

    --evaluation scores rendered films of three sizes by I3D ResNet-50 with random weights, 10 clips of each, and does
    so in a plain loop over GluonCV's network, dataset and DataLoader: seconds, and how far the probabilities differ.
    """
    if output.json and names and names[-1].endswith('.json'):
        raise UserError(f'--json prints the records and takes no file; write them with --out {names[-1]}')
    if names and (
        flops is not None or only or given['flow'] or given['loader'] or given['film'] or given['evaluation']
    ):
        raise UserError(f'{names[0]}: --flops takes names behind it, --only a pattern; the other modes take none')
    if flops is None and not names and (shape or nclass is not None):
        raise UserError(f'{"--input" if shape else "--nclass"} goes with --flops NAME, or with a NAME')
    models.check(names, output)
    if flops is not None and not flops:
        raise UserError('--flops needs the name of a model, or several')
    if flops and (quick or only or rounds):
        raise UserError('--flops times nothing: leave out --quick, --only and --rounds')
    if rounds is not None and rounds < 1:
        raise UserError(f'--rounds must be at least 1, got {rounds}')
    film, evaluation = given.pop('film'), given.pop('evaluation')
    if film and (flops or only or rounds or evaluation or given['flow'] or given['loader']):
        raise UserError('--film measures memory: leave out what times or counts')
    if evaluation and (flops or only or given['flow'] or given['loader']):
        raise UserError('--evaluation times whole lists: leave out the other modes')
    flow, reading = given['flow'], _reading(given, bool(flops or only))
    output.check()
    from ..files import atomic_write

    records: Any
    if names or models.promises:
        asked = models.asked(quick, rounds, _input_of(shape) if shape else None, nclass)
        records = benchmark_models.run(names, models, asked, quick, output)
    elif film or evaluation:
        records = _film(quick, output) if film else _evaluation(quick, rounds or 1, output)
    elif flow:
        records = _flow(given['root'], quick, rounds, output)
    elif reading:
        records = _read(reading, quick, rounds, output)
    else:
        records = _count(flops, shape, nclass, output) if flops else _time(quick, only, rounds, output)
    if output.json:
        print_json(records)
    if output.out:
        with atomic_write(output.out) as stream:
            json.dump(records, stream, indent=1)


def _reading(given: Dict[str, Any], other: bool) -> Dict[str, Any]:
    """What is asked of --loader; empty without it."""
    flow = given.pop('flow')
    named = [f'--{key}' for key in ('memory', 'dataset', 'videos', 'workers') if given[key] is not None]
    named += ['--root'] if given['root'] is not None and not flow else []
    if named and not given['loader']:
        raise UserError(f'{named[0]} goes with --loader')
    if flow and (given['loader'] or other):
        raise UserError('--flow times optical flow: leave out --loader, --flops and --only')
    if given['loader'] and other:
        raise UserError('--loader times the reading of videos: leave out --flops and --only')
    for key in ('memory', 'videos', 'workers'):
        if given[key] is not None and given[key] < 1:
            raise UserError(f'--{key} must be at least 1, got {given[key]}')
    return given if given['loader'] else {}


def _read(given: Dict[str, Any], quick: bool, rounds: Optional[int], output: Output) -> List[dict]:
    from ..data import loader_benchmark as loaders

    workers = given['workers'] or 2
    with temporary_folder() as folder:
        videos = _videos(given, quick, Path(folder))
        if given['memory']:
            held, grown = loaders.memory_growth(videos, given['memory'], workers=workers)
            records = [{'openings': given['memory'], 'mb': held, 'mb_more_after_as_many_again': grown}]
            if not output.json:
                click.echo(f'{given["memory"]} videos opened: {held:.0f} MB; as many again: {grown:+.1f} MB')
            return records
        if not output.json:
            click.echo(f'{videos.name}: {len(videos)} videos, {workers} threads')
        results = loaders.compare(videos, workers=workers, rounds=rounds or (1 if quick else 5))
    if not output.json:
        click.echo(loaders.table(results))
    return [result._asdict() for result in results]


def _film(quick: bool, output: Output) -> List[dict]:
    from ..evaluation import film_memory

    with temporary_folder() as folder:
        given = {'seconds': 2, 'size': (1920, 1080)} if quick else {}
        measured = film_memory.measure(Path(folder), **given)  # type: ignore[arg-type]
    if not output.json:
        click.echo(str(measured))
    return [measured._asdict()]


def _evaluation(quick: bool, rounds: int, output: Output) -> List[dict]:
    from ..evaluation import speed

    if quick:
        asked = [('tsn_resnet18_v1b_kinetics400', '2x1', 2, 0.5, speed.SIZES[0])]
    else:
        asked = [(speed.MODEL, speed.PROTOCOL, 3, 10.0, size) for size in speed.SIZES]
    records = []
    for each in asked:
        measured = speed.compare(*each, rounds=rounds)
        records.append(measured._asdict())
        if not output.json:
            click.echo(str(measured))
    return records


def _flow(root: Optional[str], quick: bool, rounds: Optional[int], output: Output) -> List[dict]:
    from ..data.flow import speed

    with temporary_folder() as folder:
        results = speed.measure(Path(folder), root, quick, rounds or (1 if quick else 3))
    if not output.json:
        click.echo(speed.tables(results))
    return [result._asdict() for result in results]


def _videos(given: Dict[str, Any], quick: bool, folder: Path) -> Any:
    """The videos that --loader reads."""
    from ..data import build_dataset
    from ..data import loader_benchmark as loaders
    from ..data.datasets import existing_folder

    count = given['videos'] or (4 if quick else 24)
    if given['dataset']:
        return loaders.some_of(build_dataset(given['dataset'], 'train', root=given['root']), count)
    if given['root']:
        return loaders.videos_below(existing_folder(given['root']), count)
    return loaders.rendered(folder, count, 2 if quick else 10)


def _count(names: List[str], shape: Optional[str], nclass: Optional[int], output: Output) -> List[dict]:
    from ..deploy.benchmark import costs
    from ..deploy.flops import format_cost, format_costs

    counted = costs(names, _input_of(shape) if shape else None, nclass)
    if not output.json:
        click.echo(format_cost(counted[0]) if len(counted) == 1 else format_costs(counted))
    return [cost.as_dict() for cost in counted]


def _time(quick: bool, pattern: Optional[str], rounds: Optional[int], output: Output) -> List[dict]:
    import mxnet as mx

    from ..deploy.benchmark import describe, rows, time_row

    mx.random.seed(0)
    records = []
    for row in rows(quick, pattern):
        records.append(time_row(row, rounds or (3 if quick else 15)))
        if not output.json:
            click.echo(describe(row, records[-1]))
    return records


def _input_of(text: str) -> Tuple[int, ...]:
    """'1,3,32,224,224' (or with x between) -> tuple."""
    try:
        return tuple(int(size) for size in text.replace('x', ',').split(','))
    except ValueError:
        raise UserError(f'--input takes whole numbers, for example 1,3,32,224,224; got {text!r}') from None
