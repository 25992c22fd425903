"""`gluon-fg data`: make, prepare and check datasets."""

from __future__ import annotations

import os
from typing import List, Optional, Tuple

import click

from ..errors import UserError, printable
from .base import Group
from .flow import flow
from .options import Output, output_options, print_json
from .prepare import SIZES, prepare


@click.group(cls=Group)
def data() -> None:
    """Make, complete and check datasets."""


data.add_command(prepare)
data.add_command(flow)


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
        'left_out': dict(sorted(videos.left_out.items())),
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
        for suffix, number in report.get('left_out', {}).items():
            click.echo(f'    left out by their suffix: {number} {printable(suffix) or "without one"}')
        width = max(map(len, counts))
        for name, count in counts.items() if classes else ():
            click.echo(f'    {name:{width}} {count:5}')
    if as_json:
        print_json(reports)
    errors = [error for report in reports for error in report['errors']]
    for error in errors:
        click.echo(f'error: {error}', err=True)
    return 2 if errors else 0
