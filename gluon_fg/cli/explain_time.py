"""`gluon-fg explain time|kernels`: which classes need the order of frames, and what a network makes of it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any, List, Optional

import click

from ..deploy.execution import Execution
from ..errors import UserError
from .base import Command
from .explain import path_of
from .options import (
    DataChoice,
    ModelChoice,
    Output,
    data_options,
    device_option,
    execution_options,
    groups_option,
    model_options,
    output_options,
    pass_options,
    print_json,
    regrouped,
)


@click.command(
    short_help='Tell which classes need the order of frames, or its direction.',
    cls=Command,
    example="""
explain time --model i3d_tiny_synthfg_cidc --root data/synthfg --out time
explain time --run runs/mine --shuffles 5 --out time_of_mine
""",
)
@model_options
@data_options
@click.option('--protocol', metavar='NAME', help="Views of each video. [default: the model's]")
@click.option(
    '--shuffles', type=int, default=3, show_default=True, help="Random orders of each video's frames, each a pass."
)
@groups_option
@pass_options
@device_option
@execution_options
@output_options('Folder for the page, the table, the picture and the scores.', metavar='FOLDER', required=True,
                json=True)  # fmt: skip
def time(
    network: ModelChoice,
    data: DataChoice,
    protocol: Optional[str],
    shuffles: int,
    groups: Optional[str],
    batch_size: int,
    workers: int,
    device: str,
    execution: Execution,
    output: Output,
) -> int:
    """Tell which classes need the order of frames, or its direction, and which a single frame tells.

    Scores a split with the frames of each view as they are, reversed, shuffled, frozen to the middle one, at half the
    rate, and mirrored left to right. Tells what each costs each class, with intervals and tests, and which classes turn
    into another when reversed, as 'opening' into 'closing'.

    Writes time.html, time.png, time.json and classes.csv, and for each alteration a score file for gluon-fg compare.
    Broken off and started again it goes on where it was. For networks on frames: clips, or several segments.
    """
    from ..analysis.kernels import kernel_facts
    from ..analysis.time_findings import findings, format_probes
    from ..analysis.time_probes import as_dict, time_probes
    from ..evaluation.altered import alterations, check_alterable
    from ..evaluation.altered_scores import score_altered
    from ..evaluation.protocol import get_protocol
    from ..evaluation.score import check_classes
    from ..training.devices import computing_device
    from ..visualization.time_probes import write_time_probes

    views = get_protocol(protocol) if protocol else None
    folder = Path(path_of(output))
    files = [folder / name for name in ('time.html', 'time.png', 'time.json', 'classes.csv')]
    for file in files:
        output.check(path=str(file))
    network.check_data(data)
    logging.basicConfig(level=logging.WARNING, format='%(message)s')
    ctx = computing_device(device, 0, execution)
    named = network.load(ctx)
    net, views = named.net, views or get_protocol(named.net.protocol)
    frames = check_alterable(views, net.input_spec, named.title)  # before a set is rendered
    videos = _videos(named, data)
    labels = regrouped(check_classes(net, videos.labels, videos.name), groups)
    wanted, left_out = alterations(labels, shuffles)
    say: Any = (lambda line: click.echo(line, err=True)) if output.json else click.echo
    say(f'{named.title} on {len(videos)} videos of {videos.name}, {len(wanted)} times: {views.name}, {frames} frames')
    if left_out:
        say(left_out)
    progress = not output.json or sys.stderr.isatty()
    scores = score_altered(
        net, videos, views, wanted, folder, output.force, say, ctx, execution,
        batch_size=batch_size, workers=workers, progress=progress,
    )  # fmt: skip
    results = time_probes({alteration: regrouped(each, groups) for alteration, each in scores.items()})
    kernels = kernel_facts(net) if net.kernels() else ()
    write_time_probes(results, files, _notes(frames, shuffles, left_out), kernels, output.force)
    if output.json:
        print_json({**as_dict(results), 'findings': findings(results)})
        return _code(scores[wanted[0]])
    click.echo(f'\n{format_probes(results)}\n')
    click.echo('\n'.join(findings(results)) + '\n')
    click.echo(f'wrote {", ".join(map(str, files))}')
    click.echo(f'next: gluon-fg compare {folder}/forward.npz {folder}/reversed.npz --per-class 5')
    return _code(scores[wanted[0]])


def _videos(named: Any, data: DataChoice) -> Any:
    """The videos, if their answers can be right or wrong; raises UserError."""
    from ..evaluation.score import known_to
    from ..training.named import dataset_of

    videos = known_to(named.net, dataset_of(named, data.split, data.dataset, data.root, data.flow).videos)
    if videos.targets is not None:
        raise UserError(f'{videos.name}: its videos have several labels, so that none is the right one')
    if not any(record.label >= 0 for record in videos.records):
        raise UserError(f'{videos.name}: no video has a label, so that no accuracy can change')
    return videos


def _code(scores: Any) -> int:
    """Say how many videos could not be decoded, and return the exit code."""
    if scores.failed:
        click.echo(f'{len(scores.failed)} of {scores.listed} videos could not be decoded', err=True)
    return 2 if scores.failed else 0


def _notes(frames: int, shuffles: int, left_out: str) -> List[str]:
    """How it was measured, for the page."""
    notes = [
        f'A view has {frames} frames. Changed is their order alone, after they were cut: the pixels are the same. Of '
        f'shuffled frames each video has {shuffles} random orders, one for all its views.',
        'Intervals are of Agresti and Min (2005) over the videos. The test is exact: were the order of no matter, each '
        'order of a video would be as likely to be the one that is right; with one other order it is the test of '
        'McNemar. Tests of classes are corrected by Holm for all classes and changes together.',
        'Price and Damen (2019) call two classes that swap when reversed equivariant, and one that stays invariant.',
    ]
    return [*notes, f'The videos were {left_out}.'] if left_out else notes


@click.command(
    short_help='Draw the kernels over time of a network.',
    cls=Command,
    example='explain kernels --model i3d_tiny_synthfg_cidc --out kernels.png',
)
@model_options
@click.option('--channels', type=int, default=6, show_default=True, help='Kernels of each layer beside their mean.')
@output_options('kernels.png, or kernels.html with a table.', required=True)
def kernels(network: ModelChoice, channels: int, output: Output) -> None:
    """Draw the kernels over time of a network: what each output takes of each frame of a clip.

    For each layer the mean of all its kernels, and those that differ most from each other; for networks whose
    convolutions span a clip (*_cidc).
    """
    output.check(suffixes=('.png', '.html'), inputs=[network.params] if network.params else [])
    from ..analysis.kernels import describe, kernel_facts
    from ..visualization.charts import save_chart
    from ..visualization.kernels import kernel_chart, kernel_section
    from ..visualization.pages import write_page

    if channels < 1:
        raise UserError(f'--channels must be at least 1, got {channels}')
    named, path = network.load(), path_of(output)
    facts = kernel_facts(named.net)
    if path.lower().endswith('.html'):
        write_page(path, 'Kernels over time', named.title, [kernel_section(facts, channels)], output.force)
    else:
        save_chart(kernel_chart(facts, channels), path)
    click.echo('\n'.join(describe(facts)))
    click.echo(f'wrote {path}')
    click.echo(f'next: gluon-fg explain time --model {network.text} --out time')
