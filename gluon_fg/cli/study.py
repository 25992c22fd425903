"""`gluon-fg study`: compare methods on several seeds, and draw or print what came out."""

from __future__ import annotations

import json
import logging
import signal
from pathlib import Path
from typing import Any, List, Optional

import click

from ..errors import UserError
from .base import Command, Group, Several
from .options import Output, output_options


class _RunsByDefault(Group):
    """A group whose first word may be a study: `gluon-fg study FILE` is `gluon-fg study run FILE`."""

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        if args and args[0] not in (*self.commands, '-h', '--help'):
            args = ['run', *args]
        return super().parse_args(ctx, args)


@click.group(
    'study',
    cls=_RunsByDefault,
    epilog="""\b
Examples:
  gluon-fg study dfb_synthfg --out runs/dfb_study --jobs 2
  gluon-fg study table model_zoo/studies/dfb_synthfg.json
  gluon-fg study chart runs/mine/my_study.json --out chart.png
""",
)
def study() -> None:
    """Compare methods on several seeds: run a study, print its table, draw its chart.

    The word run may be left out: gluon-fg study NAME --out FOLDER.
    """


@study.command(
    'run',
    cls=Command,
    example="""
study run dfb_synthfg --out runs/dfb_study --jobs 2
study run mine.yaml --out runs/mine --set data.root=data/synthfg
""",
)
@click.argument('studies', metavar='NAME...', nargs=-1, required=True)
@click.option('--out', metavar='FOLDER', required=True, help='Folder for the runs.')
@click.option(
    '--results',
    metavar='FOLDER',
    help='Folder for the tables, such as model_zoo/studies for those that are published. [default: --out]',
)
@click.option('--jobs', type=click.IntRange(1), default=1, show_default=True, help='Runs at a time, one thread each.')
@click.option('--set', 'overrides', cls=Several, metavar='KEY=VALUE...', help='Settings of every run: data.root=...')
@click.option('--force', is_flag=True, help='Replace results of another study of the same name.')
def run(studies: List[str], out: str, results: Optional[str], jobs: int, overrides: List[str], force: bool) -> None:
    """Run studies and write their tables, NAME.json and NAME.md.

    A study is a YAML file, or the name of one that comes with the package (configs/studies). Stopped and started again,
    finished runs are kept and the others resumed. Runs lie in a folder of the name of the config that they share, where
    another study on that config finds those of methods with the same name and settings.
    """
    from ..named_configs import find_config
    from ..studies import runner, spec, table

    common = dict(text.split('=', 1) for text in overrides if '=' in text)
    if len(common) != len(overrides):
        raise UserError('--set: write overrides as section.key=value')
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # either way the runs are asked to stop, and waited for
    folder = Path(results or out)
    plans = []
    for path in (find_config(name, 'studies') for name in studies):
        target = folder / f'{Path(path).stem}.json'
        plans.append((spec.load_study(path), target))
        if not force:
            _refuse_others_results(target, plans[-1][0])
    for config, target in plans:
        gathered = runner.Study(config, Path(out) / Path(config.config).stem, jobs, common).run()
        table.save_results(gathered, target)
        click.echo(table.markdown_table(gathered), nl=False)
        click.echo(f'written to {target} and {target.with_suffix(".md")}')


def _refuse_others_results(target: Path, config: Any) -> None:
    """Results that are there already must be this study's, of which they are replaced; raises UserError."""
    from ..studies.results import is_published

    if not target.exists():
        return
    try:
        theirs = json.loads(target.read_text(encoding='utf-8'))['study']
    except (OSError, ValueError, KeyError, TypeError):
        theirs = {}
    if not theirs or not is_published(config, theirs):
        raise UserError(f'{target} holds results of another study; use --force to replace them, or another --results')


@study.command(
    'table',
    cls=Command,
    light=True,
    example='study table model_zoo/studies/dfb_synthfg.json',
)
@click.argument('results', metavar='FILE.json')
@output_options('Markdown file to write in place of printing.', metavar='FILE.md')
def table(results: str, output: Output) -> None:
    """Print the table of a study's results."""
    from ..files import atomic_write
    from ..studies.table import load_results, markdown_table

    output.check(inputs=[results])
    text = markdown_table(load_results(results))
    if output.out is None:
        click.echo(text, nl=False)
        return
    with atomic_write(output.out) as stream:
        stream.write(text)
    click.echo(f'wrote {output.out}')


@study.command(
    'chart',
    cls=Command,
    example="""
study chart runs/mine/my_study.json --out chart.png
study chart records.csv --over n --metrics top1 top5 --out n.png
""",
)
@click.argument('results', metavar='FILE')
@click.option(
    '--over',
    metavar='KEY',
    help='The numeric setting of the methods to draw over, by its key in the config, or a column of a .csv. [default: '
    'the one in which the methods differ; the first column]',
)
@click.option(
    '--metrics',
    cls=Several,
    none_allowed=True,
    metavar='NAME...',
    help='For example top1 within_group. [default: top1 and within_group; all of a .csv]',
)
@click.option('--label', default='', metavar='TEXT', help="The setting's name in words, for the axis.")
@click.option('--title', default='', metavar='TEXT', help='Title of the picture.')
@output_options('The picture.', metavar='FILE.png', required=True)
def chart(
    results: str, over: Optional[str], metrics: Optional[List[str]], label: str, title: str, output: Output
) -> None:
    """Draw accuracy over a setting in which the methods of a study differ.

    FILE is a study's results (.json), or a list of records (.csv): a column of the setting and one for each metric,
    fractions, a line for each run; lines without the setting are of what to compare with.
    """
    from ..studies.chart import format_curves, plot_curves, read_curves

    output.check(inputs=[results])
    curves = read_curves(results, over, metrics)
    click.echo(format_curves(curves))
    for curve in curves:
        click.echo(f'{curve.metric}: highest mean at {curve.setting} = {curve.best:g}')
    plot_curves(curves, str(output.out), title, label)
    click.echo(f'wrote {output.out}')
