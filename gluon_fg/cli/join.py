"""`gluon-fg join`: two networks, on colors and on optical flow, become one."""

from __future__ import annotations

from typing import List

import click

from ..errors import UserError
from .base import Command, Several


@click.command(
    cls=Command,
    example="""
join runs/rgb runs/flow --out runs/both
join runs/rgb runs/flow --weights 1 1.5 --out runs/both
""",
)
@click.argument('rgb')
@click.argument('flow')
@click.option('--out', metavar='FOLDER', required=True, help='Folder to make, as of a training run.')
@click.option(
    '--weights', cls=Several, type=float, metavar='W...', help='Of the two in the mean. [default: both alike]'
)
def join(rgb: str, flow: str, out: str, weights: List[float]) -> None:
    """Make one network of two streams, trained apart.

    RGB is a network on colors, FLOW one on optical flow: folders of training runs, or names of trained models, of the
    same classes, such as an i3d_inceptionv1_same_custom and an i3d_inceptionv1_same_flow_custom. The prediction of the
    new one is the mean of their probabilities (Two-Stream, and Two-Stream I3D). Its folder is taken by every command
    that takes a run: gluon-fg evaluate --run FOLDER, gluon-fg predict VIDEO --run FOLDER, gluon-fg zoo publish FOLDER.
    """
    import os

    from ..training.joined import join as join_streams
    from ..training.named import load_model

    if weights and len(weights) != 2:
        raise UserError(f'--weights takes two numbers, for RGB and for FLOW; got {len(weights)}')
    if os.path.exists(out):  # before anything is loaded
        raise UserError(f'--out {out} is there already; choose another folder')
    first, second = load_model(rgb), load_model(flow)
    name = join_streams(first, second, out, weights or None)
    click.echo(f'{out}: {name} of {first.net.nclass} classes, of {first.title} and {second.title}')
    click.echo(f'next: gluon-fg evaluate --run {out}')
