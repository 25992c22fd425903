"""`gluon-fg train`: train a network as a config says."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import List, Optional

import click

from .base import Command, Several


@click.command(
    cls=Command,
    example="""
train --config dfb/i3d_tiny_synthfg_dfb --out runs/dfb --set train.epochs=1 'data.sizes={train: 48, val: 24, test: 24}'
""",
)
@click.option(
    '--config',
    metavar='NAME',
    help='YAML file, or the name of one that comes with the package. [default: a tiny DFB on SynthFG]',
)
@click.option('--out', metavar='FOLDER', help='Folder of the run. [default: runs/<name of the config>]')
@click.option(
    '--set', 'overrides', cls=Several, metavar='KEY=VALUE...', help="Values in place of the config's: train.lr=0.02"
)
@click.option(
    '--transfer',
    type=click.Choice(['original', 'fixed', 'full']),
    help='original: without weights of other videos; fixed: a new classifier on the features of a Kinetics-400 '
    'network; full: all of that network is trained. [default: as the config says]',
)
@click.option(
    '--fusion-threshold-mb',
    type=click.IntRange(0, 1 << 20),
    metavar='MB',
    help='Gradients that the ranks average at once (train.fusion_threshold_mb). With 0 three ranks and more repeat '
    "themselves to the bit; alone and on two ranks they always do. [default: Horovod's]",
)
@click.option('--print-config', is_flag=True, help='Print every value that would be used, and stop.')
def train(
    config: Optional[str],
    out: Optional[str],
    overrides: List[str],
    transfer: Optional[str],
    fusion_threshold_mb: Optional[int],
    print_config: bool,
) -> int:
    """Train a network as a config says.

    Over several processes: horovodrun -np 2 gluon-fg train ..., where train.batch_size is per process. Started again
    with the same words after an interruption or a crash, it resumes from its last checkpoint. The first line says which
    weights the network starts from; model.start chooses them: kinetics400, imagenet, none, or a .params file.
    """
    from ..named_configs import find_config
    from ..training.config import load_config, to_yaml

    path = find_config(config) if config else None
    options = {'model.transfer': transfer, 'train.fusion_threshold_mb': fusion_threshold_mb}
    given = [f'{key}={value}' for key, value in options.items() if value is not None]
    settings = load_config(path, [*overrides, *given])
    if print_config:
        click.echo(to_yaml(settings), nl=False)
        return 0
    from .._runtime import end_with
    from ..training import distributed, stages
    from ..training.log import show_lines
    from ..training.run import PARENT, Interrupted

    if os.environ.get(PARENT, '').isdigit():  # a study's: killed, it must not leave a run that keeps its folder locked
        end_with(int(os.environ[PARENT]), lambda: os.kill(os.getpid(), signal.SIGTERM))
    show_lines()
    world = distributed.init(settings.train.fusion_threshold_mb)
    folder = out or str(Path('runs', Path(path).stem if path else 'default'))
    try:
        stages.train(settings, folder, world, progress=sys.stderr.isatty())
    except Interrupted as stop:
        if world.rank == 0:
            click.echo(stop, err=True)
        return 130
    if world.rank == 0:
        click.echo(f'next: gluon-fg evaluate --run {folder}\n      gluon-fg report {folder}')
    return 0
