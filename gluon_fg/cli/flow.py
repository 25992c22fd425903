"""`gluon-fg data flow`: compute the optical flow of videos, and store it for the networks that see motion."""

from __future__ import annotations

from typing import Any, List, Optional

import click

from ..errors import UserError
from .base import Command, Several

NAMED = 5  # of the videos that have no flow, how many are named on the terminal


@click.command(
    cls=Command,
    example="""
data flow ucf101 --root data/ucf101 --out data/ucf101_flow
data flow my_videos --out my_videos_flow --algorithm tvl1
data flow data/frames --out data/frames --layout pairs
""",
)
@click.argument('videos')
@click.option('--out', required=True, metavar='FOLDER', help='Folder for the flow; one for each setting.')
@click.option(
    '--root', metavar='FOLDER', help='Of a dataset: its folder. Of a list: where paths start. [default: its own]'
)
@click.option('--split', 'splits', cls=Several, metavar='NAME...', help='Of a dataset. [default: those that are there]')
@click.option(
    '--algorithm',
    metavar='dis|tvl1',
    default='dis',
    show_default=True,
    help='dis, or tvl1: slower, finer, and what published flow networks saw; it needs opencv-contrib-python.',
)
@click.option(
    '--bound', type=float, default=20, show_default=True, help='Pixels that 8 bits reach; longer motion is clipped.'
)
@click.option(
    '--short-side',
    type=int,
    default=256,
    show_default=True,
    help='Resize larger frames so that their shorter side has so many pixels, then compute; 0: as they are.',
)
@click.option(
    '--layout',
    metavar='zip|pairs|uv',
    default='zip',
    show_default=True,
    help='One .zip a video; a folder of flow_x_00001.jpg, flow_y_00001.jpg, ...; u/VIDEO/frame000001.jpg and v/...',
)
@click.option('--quality', type=int, default=95, show_default=True, help='Of JPEG, 1 to 100.')
@click.option('--workers', type=int, help='Processes; 0: this one alone. [default: one a processor]')
def flow(videos: str, out: str, root: Optional[str], splits: List[str], workers: Optional[int], **settings: Any) -> int:
    """Compute the optical flow of VIDEOS from each frame to the next.

    VIDEOS is a dataset (ucf101, csv, ...), a folder, a list, the manifest of gluon-fg data prepare, or one video. The
    fields are stored as JPEG images, x and y apart, with a manifest, flow.jsonl, that has the settings. Stopped, in
    whatever way, the same command goes on where it was. The exit code is 2 when a video has no flow in the end.

    gluon-fg benchmark --flow tells how fast that is on this machine, and how good.
    """
    from ..data.flow.extract import extract_flow
    from ..data.flow.gathering import gather
    from ..weights.disk import writing

    header = _header(**settings)
    if workers is not None and workers < 0:
        raise UserError(f'--workers must be 0 or more, got {workers}')
    given = gather(videos, root, splits, out)
    try:
        with writing(out):
            made = extract_flow(given.root, given.paths, out, header, workers, progress=True)
    except KeyboardInterrupt:
        click.echo('stopped; the same command goes on from here', err=True)
        raise
    return _report(made, out)


def _header(algorithm: str, bound: float, short_side: int, layout: str, quality: int) -> Any:
    """The settings, checked."""
    from ..data.flow.fields import check_algorithm
    from ..data.flow.listing import LAYOUTS, Header
    from ..errors import unknown

    check_algorithm(algorithm)
    if layout not in LAYOUTS:
        raise unknown('layout', layout, LAYOUTS)
    if not bound > 0:
        raise UserError(f'--bound is a number of pixels above 0, got {bound:g}')
    if short_side < 0:
        raise UserError(f'--short-side is a number of pixels, or 0, got {short_side}')
    if not 1 <= quality <= 100:
        raise UserError(f'--quality is 1 to 100, got {quality}')
    return Header(algorithm, bound, short_side or None, layout, quality)


def _report(made: Any, out: str) -> int:
    """Print what was done and, on stderr, what was left out; returns the exit code."""
    left_out = list(made.left_out.items())
    for path, reason in left_out[:NAMED]:
        click.echo(f'no flow: {path}: {reason}', err=True)
    if len(left_out) > NAMED:
        click.echo(f'no flow: and {len(left_out) - NAMED} more; their lines in flow.jsonl have the reasons', err=True)
    there = len(made.entries) - len(left_out)
    fields = sum(entry.fields for entry in made.entries.values())
    click.echo(f'flow of {there} of {len(made.entries)} videos, {fields} fields; {made.computed} computed now')
    click.echo(f'next: give it to a flow network, as --flow {out} or data.flow={out}')
    return 2 if left_out else 0
