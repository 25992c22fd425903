"""`gluon-fg explain filters|confusion|weights|tsne|gate`: classes, filters, features over many videos."""

from __future__ import annotations

import functools
import sys
from typing import Any, List, Optional

import click

from ..deploy.execution import Execution
from ..errors import UserError, unknown
from .base import Command, Several
from .explain import path_of
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

_PARAMS = 'Their parameters, one file for each; - for the default: the published weights, or best.params of a run.'


@click.command(
    short_help='Rate the class filters of a network.',
    cls=Command,
    example="""
explain filters --model i3d_tiny_synthfg_dfb --root data/synthfg --out filters.csv
explain filters --run runs/mine --page filters.html
""",
)
@model_options
@data_options
@click.option('--limit', type=int, metavar='N', help='Only the first N videos of each class.')
@click.option('--page', metavar='FILE.html', help='Write a page, with the strongest clips of each filter.')
@click.option('--pictures', type=click.IntRange(min=0), default=4, show_default=True, help='Of each filter in it.')
@device_option
@output_options('CSV to write, a row for each filter.')
def filters(
    network: ModelChoice,
    data: DataChoice,
    limit: Optional[int],
    page: Optional[str],
    pictures: int,
    device: str,
    output: Output,
) -> None:
    """Rate the class filters of a network on a dataset.

    For every filter: its mean highest response on videos of its own class and on all others. Dead filters and copies
    are named. On SynthFG also how often the strongest filter's peak lies on the true detail. In a page also each
    filter's strongest clips, with boxes, and how its responses are distributed.
    """
    if output.out is None and page is None:
        raise UserError('nothing to write; give --out FILE.csv, --page FILE.html or both')
    output.check()
    if page:
        output.check(path=page, flag='--page', suffixes=('.html',), inputs=[output.out] if output.out else [])
    network.check_data(data)
    from ..analysis.filter_audit import audit_filters
    from ..analysis.filters import write_strength
    from ..training.devices import computing_device
    from ..training.named import dataset_of
    from ..visualization.filter_page import write_filter_page

    ctx = computing_device(device)
    named = network.load(ctx)
    dataset, split = dataset_of(named, data.split, data.dataset, data.root, data.flow)
    truth = None
    if (data.dataset or (named.config.data.dataset if named.config else named.net.dataset)) == 'synthfg':
        from ..data.synthfg import read_truth

        boxes = read_truth(dataset.root, split)
        truth = functools.partial(_boxes, dataset, boxes)
    examples = pictures if page else 0
    audit = audit_filters(named.net, dataset, truth, limit, examples, ctx, progress=sys.stderr.isatty())
    if output.out:
        write_strength(audit.rows, path_of(output))
    if page:
        write_filter_page(page, audit, named.title, truth, output.force)
    _say_filters(audit)
    click.echo('wrote ' + ' and '.join(file for file in (output.out, page) if file))


def _boxes(dataset: Any, truth: Any, video: int) -> Any:
    """The boxes of the true detail of a video, by its position."""
    return truth.get(dataset.records[video].path, ())


def _say_filters(audit: Any) -> None:
    rows = audit.rows
    click.echo('class: its most discriminative filter, response on its own videos and on others')
    for row in sorted({row.label: row for row in reversed(rows)}.values(), key=lambda row: row.label):
        click.echo(f'  {row.class_name}: filter {row.filter}, {row.own:.2f} and {row.others:.2f}')
    odd = [f'{row.filter} ({row.note})' for row in rows if row.note]
    click.echo(f'{len(rows)} filters; dead or copies: {", ".join(odd) or "none"}')
    if audit.pointing:
        click.echo("peak of the true class's strongest filter on the true detail, in % (by chance; always the middle)")
        for name, part in {'all': audit.pointing, **audit.pointing.groups}.items():
            click.echo(f'  {name:10s} {100 * part.hits:5.1f} ({100 * part.chance:.1f}; {100 * part.center:.1f})')


@click.command(
    short_help='Show the confusion of look-alike classes.',
    cls=Command,
    example="""
explain confusion baseline.npz better.npz --out confusion.png
explain confusion runs/mine/scores_val_5x1.npz --out confusion.png
""",
)
@click.argument('first', metavar='A')
@click.argument('second', metavar='[B]', required=False)
@click.option('--group', 'chosen', multiple=True, metavar='NAME', help='Only this group; may be repeated.')
@groups_option
@output_options('The picture, a .png.', required=True)
def confusion(first: str, second: Optional[str], chosen: Any, groups: Optional[str], output: Output) -> None:
    """Show the confusion inside each group of look-alike classes, of one model or of two side by side.

    A and B are score files of `gluon-fg evaluate` for the same videos, the baseline first. Classes without groups, as
    your own, are shown in one matrix; of more than 60 the 30 that take part in the most mistakes. `gluon-fg compare`
    prints the pairs of classes that they confuse most.
    """
    output.check(suffixes=('.png',), inputs=[first, second, groups])
    from ..evaluation.score import Scores
    from ..visualization.charts import save_chart
    from ..visualization.confusion import confusion_chart

    a = regrouped(Scores.load(first), groups)
    b = regrouped(Scores.load(second), groups) if second else None
    titles = (a.model, b.model if b else '')
    save_chart(confusion_chart(a, b, titles, list(chosen) or None), path_of(output))
    click.echo(f'wrote {output.out}')


@click.command(
    short_help='Show how alike the filters of masks are.',
    cls=Command,
    example='explain weights --models runs/without runs/with --out weights.png',
)
@click.option('--models', cls=Several, required=True, metavar='NAME...', help='Networks; or folders of runs.')
@click.option('--params', cls=Several, metavar='FILE...', help=_PARAMS)
@click.option('--titles', cls=Several, metavar='TEXT...', help='What to call them, one for each.')
@output_options('The picture, a .png.', required=True)
def weights(models: List[str], params: List[str], titles: List[str], output: Output) -> None:
    """Show how alike the filters of a network's class masks are: matrix and histogram.

    Two or more networks are drawn side by side, for example one trained without and one with regularization.
    """
    output.check(suffixes=('.png',), inputs=[path for path in params if path != '-'])
    if titles and len(titles) != len(models):
        raise UserError(f'{len(titles)} titles for {len(models)} models; give one for each')
    from ..analysis.weight_similarity import check_alike, format_weight_similarity, weight_similarity
    from ..training.named import load_named
    from ..visualization.charts import save_chart, weight_similarity_chart

    networks = [weight_similarity(network.net, network.title) for network in load_named(models, params)]
    if titles:
        networks = [network._replace(title=title) for network, title in zip(networks, titles)]
    check_alike(networks)
    click.echo(format_weight_similarity(networks))
    save_chart(weight_similarity_chart(networks), path_of(output))
    click.echo(f'wrote {output.out}')


@click.command(
    short_help='Map the videos of some classes by t-SNE.',
    cls=Command,
    example="""\
explain tsne --models i3d_tiny_synthfg --classes 'square: arm opens' 'square: arm closes' --root data/synthfg \
--out tsne.png""",
)
@click.option('--models', cls=Several, required=True, metavar='NAME...', help='Networks; or folders of runs.')
@click.option('--params', cls=Several, metavar='FILE...', help=_PARAMS)
@click.option('--classes', cls=Several, required=True, metavar='NAME...', help='The classes, two or more.')
@data_options
@click.option('--seed', type=int, default=0, show_default=True, help='Of t-SNE.')
@output_options('The picture, a .png.', required=True)
def tsne(models: List[str], params: List[str], classes: List[str], data: DataChoice, seed: int, output: Output) -> None:
    """Draw a map of the videos of two or more classes by t-SNE: before and after, or features beside each other.

    Of several networks their last kind of features is drawn side by side; of a single one every kind.
    """
    if len(set(classes)) != len(classes) or len(classes) < 2:
        raise UserError(f'--classes: name two different classes at least, got {", ".join(classes)}')
    output.check(suffixes=('.png',), inputs=[path for path in params if path != '-'])
    from ..analysis.embedding import pooled_features
    from ..analysis.embedding import tsne as mapped
    from ..evaluation.score import check_classes
    from ..training.named import dataset_of, load_named
    from ..visualization.charts import embedding_chart, save_chart

    pooled: List[Any] = []
    labels: List[int] = []
    dataset: Any = None
    for network in load_named(models, params):
        dataset = dataset or dataset_of(network, data.split, data.dataset, data.root, data.flow).videos
        known = check_classes(network.net, dataset.labels, dataset.name).classes
        for name in classes:
            if name not in known:
                raise unknown(f'class of {dataset.name}', name, known)
        labels = [known.index(name) for name in classes]
        kinds = pooled_features(network.net, dataset, labels, network.title, progress=sys.stderr.isatty())
        pooled += kinds if len(models) == 1 else kinds[-1:]
    maps = [mapped(pooled_kind, seed) for pooled_kind in pooled]
    save_chart(embedding_chart(maps, list(zip(labels, classes))), path_of(output))
    click.echo(
        f'{len(maps[0].labels)} videos of {dataset.name}; share with most of 5 nearest neighbors in their own class:'
    )
    for pooled_kind in maps:
        click.echo(f'  {pooled_kind.title}: {100 * pooled_kind.agreement:.1f} %')
    click.echo(f'wrote {output.out}')


@click.command(
    short_help='Tell what the gate over the features is good for.',
    cls=Command,
    example='explain gate --run runs/masks --split test',
)
@model_options
@data_options
@click.option('--protocol', metavar='NAME', help="Views of each video. [default: the model's]")
@pass_options
@device_option
@execution_options
@output_options(out=False, json=True)
def gate(
    network: ModelChoice,
    data: DataChoice,
    protocol: Optional[str],
    batch_size: int,
    workers: int,
    device: str,
    execution: Execution,
    output: Output,
) -> None:
    """Tell what a network's gate is good for: how its answers change without.

    Scores a split twice, with the gate and with its own mean over each clip's positions in its place, which weights all
    positions alike. In percent: the predictions that change, and the accuracy of both, for the fused prediction and for
    each branch behind the gate.
    """
    from ..evaluation.gates import as_dict, gate_effects, table
    from ..evaluation.protocol import get_protocol
    from ..evaluation.score import score_dataset
    from ..training.devices import computing_device
    from ..training.named import dataset_of

    views = get_protocol(protocol) if protocol else None
    network.check_data(data)
    ctx = computing_device(device, 0, execution)
    named = network.load(ctx)
    named.net.check_gates()  # before videos are rendered or read
    dataset, split = dataset_of(named, data.split, data.dataset, data.root, data.flow)
    views = views or get_protocol(named.net.protocol)

    def score() -> Any:
        return score_dataset(
            named.net, dataset, views, ctx, batch_size, workers, progress=sys.stderr.isatty(), execution=execution
        )

    effects = gate_effects(named.net, score)
    if output.json:
        print_json({'protocol': views.name, 'split': split, 'branches': as_dict(effects)})
        return
    click.echo(f'{effects[0].videos} videos of {dataset.name} ({views.name}): predictions changed by a flat gate, in %')
    click.echo(table(effects))
