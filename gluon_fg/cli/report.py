"""`gluon-fg report`: one page on a run, a model, a score file or two of them."""

from __future__ import annotations

import dataclasses
import logging
import os
import shlex
from pathlib import Path
from typing import Any, Optional, Sequence, Tuple

import click

from ..deploy.execution import Execution
from ..errors import UserError, printable
from .base import Command
from .options import (
    DataChoice,
    Output,
    data_options,
    device_option,
    execution_options,
    groups_option,
    output_options,
    pass_options,
    regrouped,
)


@click.command(
    cls=Command,
    example="""
report runs/mine
report i3d_tiny_synthfg_dfb --root data/synthfg --out dfb.html
report baseline.npz dfb.npz --out compared.html
""",
)
@click.argument('given', nargs=-1, metavar='RUN|MODEL|SCORES.npz [ANOTHER]')
@data_options
@click.option(
    '--model',
    metavar='NAME',
    help='The network of a score file, which is asked where it looked. [default: that of the run in whose folder the '
    'file lies, or the published one, if it is still the same]',
)
@click.option('--protocol', metavar='NAME', help='Views of each video, where it is evaluated. [default: its own]')
@groups_option
@click.option(
    '--pictures', type=click.IntRange(0), default=24, show_default=True, help='Videos in the gallery; 0: no pictures.'
)
@click.option('--open', 'shown', is_flag=True, help='Open the page in a browser.')
@pass_options
@device_option
@execution_options
@output_options('The page. [default: report.html, in the folder of the run or in the current one]', metavar='FILE.html')
def report(
    given: Tuple[str, ...],
    data: DataChoice,
    model: Optional[str],
    protocol: Optional[str],
    groups: Optional[str],
    pictures: int,
    shown: bool,
    batch_size: int,
    workers: int,
    device: str,
    execution: Execution,
    output: Output,
) -> int:
    """Make one page that shows how good a network is, and what it has wrong.

    Of a RUN (a folder of gluon-fg train or finetune) the scores that lie in it are taken, if they are of its weights
    and videos; else it is evaluated, as a MODEL is, and the scores are kept beside the page. SCORES.npz are those of
    gluon-fg evaluate. With two of any of these, of the same videos, the page compares them everywhere.

    The page is one file that needs nothing else. Pictures need the videos: --root, where they are not where the run has
    them; without them the page has none.
    """
    from ..evaluation.protocol import get_protocol
    from ..training import distributed
    from ..training.devices import computing_device
    from ..visualization.report.content import Content
    from ..visualization.report.page import write_report
    from .report_given import Asked, check_given, gather

    if protocol:
        get_protocol(protocol)
    check_given(given, data, model)
    if distributed.init().size > 1:
        raise UserError('report runs alone; let gluon-fg evaluate run over several processes, and give its score file')
    page = Path(
        output.out or os.path.join(given[0] if len(given) == 1 and os.path.isdir(given[0]) else '', 'report.html')
    )
    output.check(path=str(page), suffixes=('.html', '.htm'), inputs=given)
    logging.basicConfig(level=logging.WARNING, format='%(message)s')
    ctx = computing_device(device, 0, execution)
    asked = Asked(data, model, protocol, page, output.force, pictures > 0, batch_size, workers, ctx, execution)
    each = gather(given, asked)
    first, known = each[0], _groups(each[0], groups)
    scores = [dataclasses.replace(subject.scores, groups=known) for subject in each]
    content = Content(
        scores=scores[0],
        other=scores[1] if len(each) == 2 else None,
        titles=tuple(subject.title for subject in each),
        videos=first.videos if pictures else None,
        net=first.net,
        run=first.run,
        groups=known,
        page=page,
        pictures=pictures,
        notes=tuple(note for subject in each for note in subject.notes),
        other_run=each[-1].run if len(each) == 2 else None,
    )
    for note in content.notes:
        click.echo(f'note: {printable(note)}', err=True)
    write_report(content, output.force)
    _say(content, [subject.file for subject in each])
    if shown:
        click.launch(str(page))
    failed = sum(len(subject.scores.failed) for subject in each if subject.evaluated)
    if failed:
        click.echo(f'{failed} videos could not be decoded; the page says why', err=True)
    return 2 if failed else 0


def _groups(subject: Any, given: Optional[str]) -> Optional[Tuple[str, ...]]:
    """Groups of the classes: those that the user gave, else those of the scores, else those of the videos' classes."""
    scores, videos = regrouped(subject.scores, given), subject.videos
    if scores.groups is None and videos is not None and videos.labels.classes == scores.classes:
        return videos.labels.groups
    return scores.groups


def _say(content: Any, files: Sequence[str]) -> None:
    """The numbers in a line each, where the page is, and what comes next."""
    from ..evaluation.metrics import summarize
    from ..evaluation.tables import percent

    for (title, scores), file in zip(content.both, files):
        summary = summarize(scores)
        numbers = [
            f'{name} {percent(summary[key])} %'
            for key, name in (('map', 'mAP'), ('top1', 'top1'), ('top5', f'top{summary["topk"]}'))
            if summary.get(key) is not None
        ]
        click.echo(f'{title}: {", ".join(numbers) or "no video has a label"}; scores {file}')
    click.echo(f'report {content.page}')
    words = ['gluon-fg', 'compare', *files] if len(files) == 2 else ['gluon-fg', 'report', files[0], 'OTHER.npz']
    click.echo(f'next: {" ".join(map(shlex.quote, words))}')
