"""`gluon-fg study`: run studies and write their tables."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Tuple

import click

from ..errors import UserError
from .base import Command, Several


@click.command(cls=Command, example='study studies/dfb_synthfg --out runs/dfb_study --jobs 2')
@click.argument('studies', nargs=-1, required=True, metavar='STUDY...')
@click.option('--out', required=True, metavar='FOLDER', help='Folder for the runs.')
@click.option(
    '--results',
    metavar='FOLDER',
    help='Folder for the tables. [default: model_zoo/studies in a checkout of the project, --out elsewhere]',
)
@click.option('--jobs', type=int, default=1, show_default=True, help='Runs at a time, one thread each.')
@click.option('--set', 'overrides', cls=Several, metavar='KEY=VALUE...', help='Values for every run: data.root=...')
def study(studies: Tuple[str, ...], out: str, results: Optional[str], jobs: int, overrides: List[str]) -> None:
    """Run studies and write their tables.

    STUDY is a YAML file, or the name of one that comes with the package. Results go to <name>.json and .md in the
    folder --results. Stopped and started again, finished runs are kept. Runs lie in a folder of the name of the config
    that they share, where another study on that config finds those of methods with the same name and settings.
    """
    from ..named_configs import find_config
    from ..training import study as studying
    from ..weights.index import zoo_folder

    common = dict(text.split('=', 1) for text in overrides if '=' in text)
    if len(common) != len(overrides):
        raise UserError('--set: write overrides as section.key=value')
    zoo = zoo_folder() / 'studies'
    folder = Path(results or (zoo if zoo.is_dir() else out))
    paths = [find_config(name, 'studies') for name in studies]
    for path, spec in [(path, studying.load_study(path)) for path in paths]:
        table = studying.Study(spec, Path(out) / Path(spec.config).stem, jobs, common).run()
        target = folder / f'{Path(path).stem}.json'
        studying.save_results(table, target)
        click.echo(studying.markdown_table(table), nl=False)
        click.echo(f'written to {target} and {target.with_suffix(".md")}')
