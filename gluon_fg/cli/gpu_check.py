"""`gluon-fg gpu-check`: whether this machine's GPU computes and trains as a CPU does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Tuple

import click

from .base import Command
from .options import Output, output_options


@click.command(
    'gpu-check', cls=Command, example='gpu-check --quick --only operators --only dropout --out gpu-check.json'
)
@click.option('--quick', is_flag=True, help='Fewer updates and smaller arrays: about half the time.')
@click.option(
    '--only',
    'names',
    multiple=True,
    metavar='SECTION',
    help='libraries, operators, dropout, training, resume, ranks or full_size; may be given several times. '
    '[default: all]',
)
@click.option('--cpu', is_flag=True, help='Check the CPU, also where there is a GPU.')
@output_options('The report, to send along with a question. [default: gpu-check.json]', metavar='FILE.json')
def gpu_check(quick: bool, names: Tuple[str, ...], cpu: bool, output: Output) -> int:
    """Check that this machine's GPU computes and trains as a CPU does.

    Each line says ok or WRONG, and what to do. Without a GPU the CPU is checked against itself, with float16 emulated.
    The exit code is 0 when all is right, 1 where something is WRONG.
    """
    from ..files import temporary_folder
    from ..gpu_check import run
    from ..gpu_check.outcome import Target
    from ..training.run import choose_context

    sections = run.chosen(names)
    output = output._replace(out=output.out or 'gpu-check.json')
    output.check(suffixes=['.json'])
    path = Path(str(output.out))
    ctx = choose_context('cpu' if cpu else 'auto', 0)
    precision = 'float16' if ctx.device_type == 'gpu' else 'float16_emulated'
    records: List[Dict[str, Any]] = []
    shown = ''
    with temporary_folder() as folder:
        target = Target(ctx, precision, quick, folder)
        for section, outcome, record in run.run(target, sections):
            if section != shown:
                click.echo(f'{run.SECTIONS[section]}:')
                shown = section
            click.echo(f'  {outcome}')
            records.append(record)
    run.write_report(path, target, records)
    wrong = sum(not record['ok'] for record in records)
    click.echo(f'{wrong} of {len(records)} checks WRONG' if wrong else f'all {len(records)} checks ok on {ctx}')
    click.echo(f'report: {path}')
    return 1 if wrong else 0
