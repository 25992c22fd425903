"""`gluon-fg transfer`: a network without, on and from Kinetics-400's weights, in one table."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any, List, Optional

import click

from ..errors import UserError
from .base import Command, Several


@click.command(
    cls=Command,
    example="""
transfer custom/i3d_inceptionv1_same_custom_dfb --out runs/transfer --set data.root=my_videos
transfer my_ucf101.yaml --out runs/ucf101 --splits 1 2 3
""",
)
@click.argument('config', metavar='CONFIG')
@click.option('--out', required=True, metavar='FOLDER', help='Folder of the three runs and their table.')
@click.option(
    '--splits',
    cls=Several,
    metavar='N...',
    help='Official splits of UCF101 or HMDB51. [default: the one of the config]',
)
@click.option(
    '--original',
    metavar='START',
    help='What original starts from: imagenet, none or a .params file. [default: imagenet, if the backbone has such]',
)
@click.option('--split', metavar='NAME', help='Split to test on. [default: test, else what was validated on]')
@click.option(
    '--set', 'overrides', cls=Several, metavar='KEY=VALUE...', help="Values in place of the config's, for all runs."
)
def transfer(
    config: str, out: str, splits: List[str], original: Optional[str], split: Optional[str], overrides: List[str]
) -> int:
    """Train a network in three ways, test each, and put their accuracies into one table.

    original: on the config's videos alone; fixed: a new classifier on the features of a network trained on
    Kinetics-400; full: all of that network. model.start=FILE has fixed and full start from a file of your own. Each is
    an ordinary run in FOLDER, tested by its own protocol. Started again with the same words it goes on where it was
    interrupted; what is finished is kept.
    """
    from ..named_configs import find_config
    from ..training import distributed, transfer_table
    from ..training.log import show_lines
    from ..training.run import Interrupted
    from .finetune import is_news

    if distributed.init().size > 1:
        raise UserError('transfer runs alone; for several processes start each way with gluon-fg train --transfer WAY')
    folder = Path(out)
    parts = transfer_table.plan(find_config(config), overrides, folder, [_number(text) for text in splits], original)
    show_lines()
    for handler in logging.getLogger('gluon_fg').handlers:
        handler.addFilter(is_news)
    try:
        result: Any = transfer_table.run(parts, split, progress=sys.stderr.isatty())
    except Interrupted as stop:
        click.echo(stop, err=True)
        return 130
    paths = transfer_table.write_table(result, folder)
    click.echo(f'\n{transfer_table.format_table(result)}\n\ntable {paths[1]}, numbers {paths[0]}')
    return 0


def _number(text: str) -> int:
    if not text.isdigit():
        raise UserError(f'--splits {text}: it takes numbers of splits, for example --splits 1 2 3')
    return int(text)
