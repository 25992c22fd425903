"""`gluon-fg data`: make, complete and check datasets."""

from __future__ import annotations

import os
import sys
from typing import Callable, Dict, List, Optional, Tuple

import click

from ..errors import UserError
from .base import Group
from .options import Output, output_options, print_json

# Split -> clips or images: as `data.synthfg` has them, written here so that help needs no MXNet (a test compares).
SIZES = {'synthfg': {'train': 2880, 'val': 480, 'test': 960}, 'synthfg_images': {'train': 960, 'val': 160, 'test': 320}}


@click.group(cls=Group)
def data() -> None:
    """Make, complete and check datasets."""


@data.group(cls=Group)
def prepare() -> None:
    """Make a dataset, or look whether its archives are all there."""


def _rendered(name: str) -> Callable:
    """Make a decorator that adds --root, a size for each split and --seed."""
    unit = 'Clips, a multiple of 24.' if name == 'synthfg' else 'Images, a multiple of 8.'

    def decorate(function: Callable) -> Callable:
        function = click.option('--seed', type=int, default=0, show_default=True, help='Of the whole set.')(function)
        for split, count in reversed(list(SIZES[name].items())):
            function = click.option(f'--{split}', type=int, default=count, show_default=True, help=unit)(function)
        text = f'Folder for it. [default: datasets/{name} in $MXNET_HOME or ~/.mxnet]'
        return click.option('--root', metavar='FOLDER', help=text)(function)

    return decorate


@prepare.command('synthfg', example='data prepare synthfg --root data/synthfg --train 48 --val 24 --test 24')
@_rendered('synthfg')
@click.option('--preview', metavar='FILE.png', help='Draw one clip of each class into FILE.png, and stop.')
@click.option('--boxes', is_flag=True, help='With --preview: outline where the detail shows.')
@click.option('--force', is_flag=True, help='With --preview: replace FILE.png.')
def synthfg_clips(
    root: Optional[str], seed: int, preview: Optional[str], boxes: bool, force: bool, **sizes: int
) -> None:
    """Render SynthFG, the built-in fine-grained set; nothing is downloaded."""
    if boxes and not preview:
        raise UserError('--boxes belongs to --preview FILE.png')
    if preview:
        _preview(Output(preview, force, False), seed, boxes)
    else:
        _generate('synthfg', root, seed, sizes)


@prepare.command(
    'synthfg_images', example='data prepare synthfg_images --root data/images --train 48 --val 24 --test 24'
)
@_rendered('synthfg_images')
def synthfg_images(root: Optional[str], seed: int, **sizes: int) -> None:
    """Render single images of SynthFG's kind; nothing is downloaded."""
    _generate('synthfg_images', root, seed, sizes)


@prepare.command('films', example='data prepare films --root films')
@click.option('--root', required=True, metavar='FOLDER', help='Folder for them.')
def films(root: str) -> None:
    """Fetch two short real films, 1 MB, from the projects that publish them."""
    from ..data.films import FILMS
    from ..weights.download import fetch

    paths = [fetch(film.file, film.sha256, root, [film.url], film.bytes, attempts=2) for film in FILMS]
    for path, film in zip(paths, FILMS):
        click.echo(f'{path}: {film.source}')
    click.echo(f'next: gluon-fg predict {paths[0]} --model i3d_inceptionv1_same_kinetics400')


def _archives(name: str, title: str) -> None:
    """Add the command that looks whether a dataset of Stanford's is complete."""

    @prepare.command(
        name,
        help=f'Look whether {title} is all there, every listed image included; nothing is changed.',
        example=f'data prepare {name} --root datasets/{name}',
    )
    @click.option('--root', required=True, metavar='FOLDER', help='Folder that its archives are unpacked in.')
    def look(root: str) -> int:
        from ..data import dataset_info

        return _show_all([_report(name, root, split, 0) for split in dataset_info(name).splits])


_archives('stanfordcars', 'Stanford Cars')
_archives('stanforddogs', 'Stanford Dogs')


def _generate(dataset: str, root: Optional[str], seed: int, sizes: Dict[str, int]) -> None:
    from ..data import synthfg

    made = synthfg.generate(root, **sizes, seed=seed, progress=sys.stderr.isatty(), dataset=dataset)
    meta = synthfg.read_meta(made, dataset) or {}
    title, unit = ('SynthFG', 'clips') if dataset == 'synthfg' else ('SynthFG images', 'images')
    click.echo(f'{title}: {len(meta["classes"])} classes in {len(meta["kinds"])} groups, seed {seed}')
    for split, count in sizes.items():
        click.echo(f'  {split:5} {count:5} {unit}  {made / split}.csv')
    click.echo(f'next: gluon-fg data check {dataset} --root {made}')


def _preview(output: Output, seed: int, boxes: bool) -> None:
    import cv2

    from ..data import synthfg
    from ..files import atomic_write

    output.check(suffixes=['.png'], flag='--preview')
    sheet = synthfg.contact_sheet(seed, boxes=boxes)
    with atomic_write(str(output.out), 'wb') as stream:
        stream.write(cv2.imencode('.png', cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
    click.echo(f'one clip of each class: {output.out}')


@data.command(example='data check synthfg --root data/synthfg')
@click.argument('dataset')
@click.option('--root', metavar='FOLDER', help="The dataset's folder. [default: its own]")
@click.option(
    '--split',
    'splits',
    multiple=True,
    metavar='SPLIT',
    help='train, val, test or, of csv, the path of a list; may be repeated. [default: those that are there]',
)
@click.option(
    '--probe', type=int, default=20, show_default=True, help='Videos to decode of each split, spread over it; -1: all.'
)
@output_options(out=False, json=True)
def check(dataset: str, root: Optional[str], splits: Tuple[str, ...], probe: int, output: Output) -> int:
    """Open a dataset's lists, look for every file, decode some, and count the videos of each class.

    The exit code is 2 when a file is missing or cannot be decoded.
    """
    from ..data import dataset_info, synthfg

    info = dataset_info(dataset)
    form = dataset if dataset in SIZES else 'synthfg'
    if info.rendered and synthfg.read_meta(root or synthfg.default_root(form), form) is None:
        raise UserError(f'{root or synthfg.default_root(form)}: no {dataset} there; gluon-fg data prepare makes it')
    reports, problems = [], []
    for split in splits or info.splits:
        try:
            reports.append(_report(dataset, root, split, probe))
        except UserError as error:
            problems.append(error)
    if problems and (splits or not reports):
        raise problems[0]
    for absent in problems:  # of the usual names not all need be there
        click.echo(f'note: {absent}', err=True)
    return _show_all(reports, output.json, classes=True)


def _report(dataset: str, root: Optional[str], split: str, probe: int) -> dict:
    """Count and probe a split; plain data."""
    from ..data import build_dataset
    from ..data.video import IMAGE_SUFFIXES
    from ..errors import VideoError

    videos = build_dataset(dataset, split, root)
    paths = [videos.path(i) for i in range(len(videos))]
    there = [i for i, path in enumerate(paths) if os.path.exists(path)]
    missing = sorted(set(range(len(paths))) - set(there))
    errors = [f'{paths[missing[0]]} is missing, and {len(missing) - 1} more'] if missing else []
    count = len(there) if probe < 0 else min(probe, len(there))
    for place in range(count):
        try:
            with videos.open(there[place * len(there) // count]) as reader:
                reader.get_batch([0, len(reader) - 1])
        except VideoError as error:
            errors.append(str(error))
    return {
        'dataset': dataset,
        'split': split,
        'kind': 'images' if paths[0].lower().endswith(IMAGE_SUFFIXES) else 'videos',
        'listed': len(videos),
        'there': len(there),
        'decoded': count,
        'classes': {name: int(n) for name, n in zip(videos.labels.classes, videos.counts)},
        'errors': errors,
    }


def _show_all(reports: List[dict], as_json: bool = False, classes: bool = False) -> int:
    """Print reports and, on stderr, what is wrong; returns the exit code."""
    for report in reports if not as_json else ():
        counts = report['classes']
        decoded = f', {report["decoded"]} decoded' if report['decoded'] else ''
        click.echo(
            f'  {report["split"]:5} {report["listed"]:5} {report["kind"]} of {len(counts)} classes, '
            f'{report["there"]} there{decoded}'
        )
        width = max(map(len, counts))
        for name, count in counts.items() if classes else ():
            click.echo(f'    {name:{width}} {count:5}')
    if as_json:
        print_json(reports)
    errors = [error for report in reports for error in report['errors']]
    for error in errors:
        click.echo(f'error: {error}', err=True)
    return 2 if errors else 0
