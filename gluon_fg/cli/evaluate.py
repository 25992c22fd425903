"""`gluon-fg evaluate`: score a network on a dataset."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any, Dict, Optional

import click

from .base import Command
from .options import (
    DataChoice,
    ModelChoice,
    Output,
    data_options,
    device_option,
    model_options,
    output_options,
    pass_options,
    print_json,
)


@click.command(
    cls=Command,
    example="""
evaluate --model i3d_tiny_synthfg_dfb --dataset synthfg --root data/synthfg
evaluate --run runs/dfb --split test --protocol 5x3
""",
)
@model_options
@data_options
@click.option(
    '--protocol',
    metavar='NAME',
    help='Views of each video: train_time, dfb_2d, dfb_3d, ssv1, 30view, 10crop or e.g. 5x3. [default: of the run, or '
    'of the model]',
)
@pass_options
@device_option
@output_options(
    'Score file. [default: scores_SPLIT_PROTOCOL.npz in --run, or in the current folder]',
    metavar='FILE.npz',
    json=True,
)
def evaluate(
    network: ModelChoice,
    data: DataChoice,
    protocol: Optional[str],
    batch_size: int,
    workers: int,
    device: str,
    output: Output,
) -> int:
    """Score a network on a dataset and print its accuracies.

    Writes the scores (--out, NAME.npz) and beside them NAME.metrics.json and NAME.per_class.csv. Without --protocol the
    one of the model is used, so that the printed numbers need no options to remember. Over several processes
    (horovodrun -np 2 gluon-fg evaluate ...) the result is the same.
    """
    from ..evaluation.metrics import summarize
    from ..evaluation.protocol import get_protocol
    from ..evaluation.report import report_paths, write_report
    from ..evaluation.score import check_classes, known_to, score_dataset
    from ..training import distributed
    from ..training.named import dataset_of
    from ..training.run import choose_context

    if protocol:
        get_protocol(protocol)  # before anything slow
    network.check_data(data)
    world = distributed.init()
    logging.basicConfig(level=logging.WARNING, format='%(message)s')
    ctx = choose_context(device, world.local_rank)
    named = network.load(ctx)
    net, views = named.net, get_protocol(protocol or named.net.protocol)
    videos, split = dataset_of(named, data.split, data.dataset, data.root)
    # Every rank looks before any of them writes: that comes after the gathering.
    name = output.out or os.path.join(network.folder or '', f'scores_{Path(split).stem}_{views.name}.npz')
    paths = report_paths(name, output.force)
    videos = known_to(net, videos)
    labels = check_classes(net, videos.labels, videos.name)
    if world.rank == 0 and not output.json:
        click.echo(
            f'{net.name} on {len(videos)} videos of {videos.name}, views of each: {views.count(labels)} '
            f'({views.name}: {views.description})'
        )
    sharing: Dict[str, Any] = {'rank': world.rank, 'size': world.size, 'gather': world.gather_objects}
    scores = score_dataset(
        net, videos, views, ctx, batch_size, workers, **sharing, progress=sys.stderr.isatty(), fused=True
    )
    if world.rank == 0:
        table = write_report(scores, paths)
        if output.json:
            print_json({**summarize(scores), 'failed_videos': scores.failed, 'scores': str(paths[0])})
        else:
            click.echo(f'{table}\nnext: gluon-fg compare {paths[0]} OTHER.npz')
    world.barrier()
    return 0
