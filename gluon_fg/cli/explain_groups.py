"""`gluon-fg explain groups`: groups of look-alike classes, made where a dataset has none."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any, List, Optional, Tuple

import click

from ..errors import UserError
from .base import Command
from .options import DataChoice, ModelChoice, Output, data_options, model_options, output_options, print_json


@click.command(
    short_help='Put classes into groups of look-alikes.',
    cls=Command,
    example="""
explain groups runs/mine/scores_val_5x1.npz --out groups.csv
explain groups --model i3d_tiny_synthfg --root data/synthfg --split val --out groups.csv
""",
)
@click.argument('scores', required=False, metavar='[SCORES.npz]')
@model_options
@data_options
@click.option(
    '--number', type=int, metavar='N', help='How many groups. [default: as many as have the highest mean silhouette]'
)
@output_options('Table class,group. [default: groups.csv beside the classes of the run]', metavar='FILE.csv', json=True)
def groups(
    scores: Optional[str],
    network: ModelChoice,
    data: DataChoice,
    number: Optional[int],
    output: Output,
) -> None:
    """Put classes into groups of look-alikes, by what a network confuses or by its features.

    With a score file of gluon-fg evaluate: classes are alike that get much of each other's probability. With --model or
    --run: classes are alike whose videos have features in the same direction. The table that is written is taken by the
    commands that have --groups, and without it where it lies as groups.csv in the folder of a dataset or run.
    """
    from ..analysis.class_clusters import WEAK, cluster
    from ..data.class_groups import write_groups

    if (scores is None) == (network.name is None and network.run is None):
        raise UserError('give either a score file, or a network with --model or --run')
    path = _path(network, output)
    output.check(path=path, suffixes=('.csv',), inputs=[scores, network.params])
    known, apart, classes, by = _of_scores(scores) if scores else _of_features(network, data)
    made = cluster(apart, classes, number)
    write_groups(path, classes, made.groups)
    lists = {name: [c for c, group in zip(classes, made.groups) if group == name] for name in made.names}
    if output.json:
        print_json({'by': by, 'silhouette': made.silhouette, 'best': made.best, 'groups': lists, 'file': path})
        return
    click.echo(f'{len(classes)} classes in {len(made.names)} groups by {by} (mean silhouette {made.silhouette:.2f}):')
    for name, members in lists.items():
        click.echo(f'  {name}' + (f': {", ".join(members)}' if members != [name] else ''))
    if number and made.highest > made.silhouette:
        click.echo(f'({made.best} groups have the highest silhouette, {made.highest:.2f})')
    if made.silhouette < WEAK:
        click.echo(f'note: a silhouette below {WEAK} is no clear structure; look at the groups before you use them')
    for line in _accuracy(known, made.groups):
        click.echo(line)
    click.echo(f'wrote {path}\nnext: gluon-fg report {scores or network.text} --groups {path}')


def _path(network: ModelChoice, output: Output) -> str:
    """Where the table goes: beside the classes of a run, where no other place is named."""
    from ..data.class_groups import FILE
    from ..training.run import SPLIT

    if output.out:
        return output.out
    if network.folder is None:
        raise UserError('name the table to write with --out FILE.csv')
    lists = os.path.join(network.folder, SPLIT)
    return os.path.join(lists if os.path.isdir(lists) else network.folder, FILE)


def _of_scores(path: str) -> Tuple[Any, Any, Tuple[str, ...], str]:
    """The scores, how far apart the classes are by what is confused, their names, and by what in words."""
    from ..analysis.class_clusters import confusion_distances
    from ..evaluation.score import Scores

    scores = Scores.load(path)
    by = f'the probability that {len(scores.ids)} videos give to other classes'
    return scores, confusion_distances(scores), scores.classes, by


def _of_features(network: ModelChoice, data: DataChoice) -> Tuple[Any, Any, Tuple[str, ...], str]:
    """None, how far apart the classes are by their features, their names, and by what in words."""
    from ..analysis.class_clusters import feature_distances
    from ..analysis.embedding import pooled_features
    from ..evaluation.score import class_names
    from ..training.named import dataset_of

    network.check_data(data)
    named = network.load()
    dataset, _ = dataset_of(named, data.split, data.dataset, data.root, data.flow)
    classes = class_names(named.net) if named.net.labels else dataset.labels.classes
    every = list(range(len(classes)))
    pooled = pooled_features(named.net, dataset, every, named.title, progress=sys.stderr.isatty())[-1]
    by = f'the features of {len(pooled.labels)} videos of {dataset.name} ({pooled.title})'
    return None, feature_distances(pooled.values, pooled.labels, len(classes)), tuple(classes), by


def _accuracy(scores: Any, groups: Tuple[str, ...]) -> List[str]:
    """What the groups say of the network that they come from."""
    from ..evaluation.metrics import summarize
    from ..evaluation.tables import percent

    if scores is None or scores.targets is not None:
        return []
    numbers = summarize(dataclasses.replace(scores, groups=groups))
    return [
        f'top1 {percent(numbers["top1"])} % = right group {percent(numbers["group_top1"])} % x right class in it '
        f'{percent(numbers["top1_given_group"])} %; within the true group {percent(numbers["within_group"])} %',
    ]
