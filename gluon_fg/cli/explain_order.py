"""`gluon-fg explain order`: how much networks depend on the order of frames."""

from __future__ import annotations

import sys
from typing import List, Optional

import click

from .base import Command, Several
from .options import DataChoice, data_options


@click.command(
    short_help='Tell how much the order of frames matters.',
    cls=Command,
    example='explain order --models i3d_tiny_synthfg i3d_tiny_synthfg_cidc --root data/synthfg --limit 10',
)
@click.option('--models', cls=Several, required=True, metavar='NAME...', help='Networks; or folders of runs.')
@click.option(
    '--params',
    cls=Several,
    metavar='FILE...',
    help='Their parameters, one file for each; - for the default: the published weights, or best.params of a run.',
)
@data_options
@click.option('--orders', type=int, default=8, show_default=True, help="Random orders of each video's frames.")
@click.option('--limit', type=int, metavar='N', help='Only the first N videos of each class.')
def order(models: List[str], params: List[str], data: DataChoice, orders: int, limit: Optional[int]) -> None:
    """Tell how much networks depend on the order of a clip's frames, against what the frames show.

    Each video is seen in order and in random orders of its frames. Of the variance of a response (pooled features, the
    prediction's logits) over videos and orders, the table gives the share that lies between the orders of one video: 0
    for a network that is blind to order, 100 % where videos differ in nothing else. Beside it: how many videos are
    right in order, and shuffled. Of a network on optical flow the fields are shuffled, each as it is, which is not the
    flow of shuffled frames.
    """
    from ..analysis.order import format_order_shares, order_shares
    from ..training.named import dataset_of, load_named

    shares = []
    for network in load_named(models, params):
        dataset = dataset_of(network, data.split, data.dataset, data.root, data.flow).videos
        progress = sys.stderr.isatty()
        shares.append(order_shares(network.net, dataset, network.title, orders, limit, progress=progress))
    click.echo(format_order_shares(shares))
    click.echo(f'({shares[0].videos} videos, {orders} random orders of each)')
