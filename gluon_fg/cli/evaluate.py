"""`gluon-fg evaluate`: score a network on a dataset."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import click

from ..deploy.execution import Execution
from ..errors import UserError
from .base import Command, Several
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
    cls=Command,
    example="""
evaluate --model i3d_tiny_synthfg_dfb --dataset synthfg --root data/synthfg
evaluate --run runs/dfb --split test --protocol 5x3
evaluate --run runs/mine --split val --refuse 0.05 --none videos/of_other_things
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
@click.option(
    '--refuse',
    type=float,
    metavar='SHARE',
    help="Choose the threshold of 'none of these' that refuses at most this share of the videos; a run keeps it.",
)
@click.option(
    '--none',
    'strangers',
    cls=Several,
    metavar='VIDEO...',
    help='Videos, or folders of them, that show none of the classes: how many of them get an answer all the same?',
)
@click.option(
    '--shard',
    metavar='I/N',
    help='Score part I of N of the list, for jobs or machines side by side; gluon-fg merge puts the parts together.',
)
@groups_option
@pass_options
@device_option
@execution_options
@output_options(
    'Score file. [default: scores_SPLIT_PROTOCOL.npz in --run, or in the current folder]',
    metavar='FILE.npz',
    json=True,
)
def evaluate(
    network: ModelChoice,
    data: DataChoice,
    protocol: Optional[str],
    refuse: Optional[float],
    strangers: List[str],
    shard: Optional[str],
    groups: Optional[str],
    batch_size: int,
    workers: int,
    device: str,
    execution: Execution,
    output: Output,
) -> int:
    """Score a network on a dataset and print its accuracies.

    Writes the scores (--out, NAME.npz) and beside them NAME.metrics.json and NAME.per_class.csv. Without --protocol the
    one of the model is used, so that the printed numbers need no options to remember. Over several processes
    (horovodrun -np 2 gluon-fg evaluate ...) the result is the same.

    With a threshold (--refuse, or test.refuse of the run) videos whose likeliest class is less likely than it count as
    refused: gluon-fg predict says 'none of these' there. The table then says how many are answered, and rightly.

    Killed at any moment and started again with the same options it goes on where it was, from NAME.partial, which is
    removed in the end. The numbers are those of an evaluation that nobody disturbed, to the last bit.

    A video that cannot be decoded is named on stderr and does not stop the others, whose scores are
    kept; the exit code is then 2 (over several processes 0: a launcher takes anything else for one that has died).
    """
    from ..evaluation import partial
    from ..evaluation.protocol import get_protocol
    from ..evaluation.report import report_paths
    from ..evaluation.score import check_classes, known_to, score_dataset
    from ..evaluation.threshold import check_refused
    from ..evaluation.work import Work
    from ..training import distributed
    from ..training.devices import computing_device
    from ..training.guards import learned_line
    from ..training.named import dataset_of

    if protocol:
        get_protocol(protocol)  # before anything slow
    check_refused(refuse or 0)
    part = _part(shard, refuse, strangers)
    network.check_data(data)
    world = distributed.init()
    logging.basicConfig(level=logging.WARNING, format='%(message)s')
    ctx = computing_device(device, world.local_rank, execution)
    named = network.load(ctx)
    net, views = named.net, get_protocol(protocol or named.net.protocol)
    videos, split = dataset_of(named, data.split, data.dataset, data.root, data.flow)
    # Every rank looks before any of them writes: that comes after the gathering.
    own = f'scores_{Path(split).stem}_{views.name}{f".{part.number}of{part.of}" if shard else ""}.npz'
    paths = report_paths(output.out or os.path.join(network.folder or '', own), output.force)
    videos = known_to(net, videos)
    labels = check_classes(net, videos.labels, videos.name)
    regrouped(labels, groups)  # before anything slow
    others = _strangers(net, strangers, refuse)
    if world.rank == 0:
        _announce(net, (videos, labels), views, part, learned_line(named.config, videos, split), output.json)
    sharing: Dict[str, Any] = {'rank': world.rank, 'size': world.size, 'gather': world.gather_objects}
    sharing.update(progress=True, execution=execution)
    kept = paths[0].with_suffix('.partial')
    scores = score_dataset(net, videos, views, ctx, batch_size, workers, **sharing, part=Work(part, kept, output.force))
    others = others and score_dataset(net, others, views, ctx, batch_size, workers, **sharing)
    if world.rank == 0:
        refused = _refused(scores, others, refuse, net.threshold, network.folder)
        _report(regrouped(scores, groups), paths, refused, output.json, data.root)
        partial.remove(paths[0].with_suffix('.partial'))
    world.barrier()
    return _code([scores, others] if others else [scores], world)


def _announce(net: Any, listed: Any, views: Any, part: Any, learned: Optional[str], as_json: bool) -> None:
    """Say what is scored, and how; of videos that the network has learned from, that it has."""
    from ..evaluation.sharing import WHOLE

    if learned:
        click.echo(learned, err=True)
    videos, labels = listed
    if not as_json:
        stretch = '' if part == WHOLE else f'part {part.text} of '
        click.echo(
            f'{net.name} on {stretch}{len(videos)} videos of {videos.name}, views of each: '
            f'{views.count(labels)} ({views.name}: {views.description})'
        )


def _part(shard: Optional[str], refuse: Optional[float], strangers: Sequence[str]) -> Any:
    """The part of the list that --shard names."""
    from ..evaluation.sharing import WHOLE, Shard

    if shard and (refuse is not None or strangers):
        raise UserError(f'{"--none" if refuse is None else "--refuse"} is for a whole list; leave out --shard {shard}')
    return Shard.parse(shard) if shard else WHOLE


def _report(scores: Any, paths: Any, refused: Any, as_json: bool, root: Optional[str]) -> None:
    from ..evaluation.metrics import summarize
    from ..evaluation.report import write_report
    from ..evaluation.sharing import WHOLE

    table = write_report(scores, paths, refused)
    if as_json:
        numbers = {**summarize(scores), **(refused or {})}
        print_json({**numbers, 'failed_videos': scores.failed, 'scores': str(paths[0])})
        return
    shard = scores.made.shard
    if shard != WHOLE:
        every = str(paths[0]).replace(f'{shard.number}of', '*of')
        hint = f'gluon-fg merge {every} --out FILE.npz, when all {shard.of} parts are there'
    else:
        hint = f'gluon-fg report {paths[0]}{f" --root {root}" if root else ""}'
        hint += f'\n      gluon-fg compare {paths[0]} OTHER.npz' if scores.targets is None else ''
    click.echo(f'{table}\nnext: {hint}')


def _code(measured: Sequence[Any], world: Any) -> int:
    """Say how many videos could not be decoded, those of --none among them, and return the exit code."""
    failed = sum(len(scores.failed) for scores in measured)
    if failed and world.rank == 0:
        listed = sum(scores.listed for scores in measured)
        click.echo(f'{failed} of {listed} videos could not be decoded', err=True)
    return 2 if failed and world.size == 1 else 0


def _strangers(net: Any, paths: Sequence[str], refuse: Optional[float]) -> Any:
    """The videos of --none as a dataset; None without any."""
    from ..data.readers import from_paths
    from ..evaluation.clips import files_of

    if not paths:
        return None
    if refuse is None and net.threshold is None:
        raise UserError(f'--none: {net.name} answers every video; choose a threshold with --refuse 0.05')
    return from_paths(files_of(list(paths), net.input_spec), net.labels, 'none of these')


def _refused(scores: Any, others: Any, refuse: Optional[float], threshold: Optional[float], folder: Any) -> Any:
    """What the threshold does to the scores, a new one where it is asked for, which a run then keeps; None without."""
    from ..evaluation.threshold import choose_threshold, refusals

    if refuse is not None:
        chosen = choose_threshold(scores, refuse)
        threshold = chosen.value
        if folder:
            chosen.save(folder)
    return None if threshold is None else refusals(scores, threshold, others)
