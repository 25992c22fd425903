"""`gluon-fg explain similarity|relation`: which classes look alike to a network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, List, Optional, Tuple

import click

from ..errors import UserError
from .base import Command, Several
from .explain import ExplainCommand, path_of
from .options import DataChoice, ModelChoice, Output, model_options, output_options


@click.command(
    short_help='Tell how similar classes are to a network.',
    cls=ExplainCommand,
    example="""\
explain similarity --model i3d_tiny_synthfg --root data/synthfg --split test --out similar.npz
explain similarity --similarity similar.npz --scores scores.npz --out relation.png""",
    instead="--sparsity FILE reads what training counted, --own takes the network's own matrix",
)
@model_options
@click.option('--dataset', metavar='NAME', help='For example synthfg, folder, csv. [default: of the run, or the model]')
@click.option('--root', metavar='FOLDER', help="The dataset's folder. [default: of the run, or its own]")
@click.option('--split', default='train', show_default=True, help='train, val or test.')
@click.option('--own', is_flag=True, help='Take the matrix by which the network itself relates its classes.')
@click.option('--sparsity', metavar='FILE.npz', help="Take what training counted: a file in the run's folder.")
@click.option('--similarity', 'files', cls=Several, metavar='FILE...', help='Instead of a model: files written before.')
@click.option('--scores', cls=Several, metavar='FILE...', help='Score files of `gluon-fg evaluate`, one for each.')
@click.option(
    '--scale',
    type=click.Choice(['own', 'shared']),
    default='own',
    show_default=True,
    help='Stretch similarities for each kind of features (eq. 7), or all by the same ends.',
)
@click.option('--bins', type=int, default=10, show_default=True, help='Intervals of similarity.')
@output_options('FILE.npz, and beside it FILE.png with the matrices; with --scores the picture, a .png.', required=True)
def similarity(
    network: ModelChoice,
    dataset: Optional[str],
    root: Optional[str],
    split: str,
    own: bool,
    sparsity: Optional[str],
    files: List[str],
    scores: List[str],
    scale: str,
    bins: int,
    output: Output,
) -> None:
    """Tell how similar classes are to a network, and whether those are the classes that it gets wrong.

    With --model or --run: count which channels of the features each class fires, over a split, one view of each video,
    for every kind of the network's features; written as .npz, with a picture of the matrices.

    With --similarity and --scores: draw each class's similarity to all others (eq. 7) against its accuracy. Each kind
    of features is set against the accuracy of the prediction that is made of it.
    """
    if files or scores:
        if network.name or network.run or own or sparsity:
            raise UserError('give either a model to count for, or --similarity and --scores to draw')
        _draw_relation(files, scores, scale, bins, output)
        return
    _write_similarity(network, DataChoice(dataset, root, split), own, sparsity, output)


def _write_similarity(
    network: ModelChoice, data: DataChoice, own: bool, sparsity: Optional[str], output: Output
) -> None:
    network.check()
    if not path_of(output).endswith('.npz'):
        raise UserError(f'--out {output.out}: similarities are written as .npz; choose a name that ends so')
    picture = path_of(output)[:-4] + '.png'
    output.check(inputs=[network.params, sparsity])
    output.check(path=picture)
    if own and sparsity:
        raise UserError('--own and --sparsity are two sources; choose one')
    if (own or sparsity) and (data.dataset or data.root):
        raise UserError(f'{"--own" if own else "--sparsity"} counts no videos; leave out --dataset and --root')
    from ..analysis.similarity import class_similarity, most_similar, relation_similarity, training_similarity
    from ..training.named import dataset_of
    from ..visualization.charts import save_chart, similarity_chart

    if not (own or sparsity):
        network.check_data(data)
    named = network.load()
    if own:
        similar = relation_similarity(named.net)
    elif sparsity:
        similar = training_similarity(named.net, sparsity)
    else:
        dataset, _ = dataset_of(named, data.split, data.dataset, data.root, data.flow)
        source = f'{len(dataset)} videos of {dataset.name}'
        similar = class_similarity(named.net, dataset, source, progress=sys.stderr.isatty())
    similar = similar._replace(model=named.title)
    similar.save(path_of(output))
    save_chart(similarity_chart(similar), picture)
    for number, kind in enumerate(similar.kinds):
        click.echo(f'{kind.kind}: most similar classes (S, 0 for the least similar pair)')
        for pair in most_similar(similar, number):
            click.echo(f'  {pair.names[0]} / {pair.names[1]}  {pair.similarity:.3f}')
    click.echo(f'wrote {output.out} and {picture}')


def _draw_relation(files: List[str], scores: List[str], scale: str, bins: int, output: Output) -> None:
    if len(files) != len(scores):
        raise UserError(f'{len(files)} files of similarities and {len(scores)} of scores; give one for each')
    output.check(suffixes=('.png',), inputs=[*files, *scores])
    from ..analysis.similarity import ClassSimilarity
    from ..analysis.similarity_accuracy import format_series, relate
    from ..evaluation.score import Scores
    from ..visualization.charts import relation_chart, save_chart

    pairs = [(ClassSimilarity.load(a), Scores.load(b)) for a, b in zip(files, scores)]
    series = relate(pairs, scale)
    save_chart(relation_chart(series, bins), path_of(output))
    click.echo(format_series(series))
    click.echo('(mean similarity before stretching; the correlation is of similarity by eq. 7 and top-1, over classes)')
    click.echo(f'wrote {output.out}')


@click.command(
    short_help='Look-alike classes at every threshold, as a page.',
    cls=Command,
    example="""
explain relation --model i3d_tiny_synthfg --root data/synthfg --out relation.html
explain relation --run runs/mine --scores runs/mine/scores_val_5x1.npz --out relation.html
""",
)
@model_options
@click.option('--dataset', metavar='NAME', help='For example synthfg, folder, csv. [default: of the run, or the model]')
@click.option('--root', metavar='FOLDER', help="The dataset's folder. [default: of the run, or its own]")
@click.option('--split', default='train', show_default=True, help='Where classes are compared: train, val or test.')
@click.option('--similarity', 'file', metavar='FILE.npz', help='Similarities that explain similarity wrote before.')
@click.option('--scores', metavar='FILE', help='A score file of `gluon-fg evaluate`, for the mistakes.')
@output_options('The page, an .html.', required=True)
def relation(
    network: ModelChoice,
    dataset: Optional[str],
    root: Optional[str],
    split: str,
    file: Optional[str],
    scores: Optional[str],
    output: Output,
) -> None:
    """Write a page on which classes look alike to a network, with a slider over the threshold.

    At every threshold of similarity it shows n, how many classes a prediction selects on average, the pairs of classes,
    and for a network with masks of classes those of example clips. Similarities are those of --similarity, those that
    training counted, which lie in the folder of a run, or are counted over a split now.
    """
    network.check()
    output.check(suffixes=('.html',), inputs=[network.params, file, scores])
    from ..analysis.relation import relation_of
    from ..evaluation.score import Scores
    from ..visualization.relation_page import write_relation_page

    data, given = DataChoice(dataset, root, split), Scores.load(scores) if scores else None
    if file is None and network.folder is None:
        network.check_data(data)  # before a network is loaded in vain
    named = network.load()
    related = relation_of(_similarities(named, network, data, file), named.net, given)
    examples, note = _clips_with_masks(named, network, data, related.kinds[0].s)
    if note:
        click.echo(note)
    write_relation_page(path_of(output), related, examples, note, output.force)
    for kind in related.kinds:
        click.echo(f'{kind.name}: {len(kind.cuts.alphas)} thresholds')
        if kind.own is not None:
            at = f'alpha {kind.cuts.alphas[kind.own]:.4g}, n {kind.cuts.averages[kind.own]:.2f}'
            differ = f'nearest to that of {at}: {kind.apart} pairs differ' if kind.apart else f'that of {at}'
            click.echo(f'  its {related.matrix_name} is {differ}')
    click.echo(f'wrote {output.out}; open it in a browser')


def _similarities(named: Any, network: ModelChoice, data: DataChoice, file: Optional[str]) -> Any:
    """Similarities from a file, from what training counted, or counted now."""
    from ..analysis.similarity import ClassSimilarity, class_similarity, training_similarity
    from ..training.named import dataset_of

    if file is not None:
        return ClassSimilarity.load(file)
    made_of = _training_file(network.folder, named.net.class_relation)
    if made_of is not None and data.root is None:
        click.echo(f'similarities that training counted: {made_of}')
        similar = training_similarity(named.net, made_of)
    else:
        network.check_data(data)
        videos, _ = dataset_of(named, data.split, data.dataset, data.root)
        source = f'{len(videos)} videos of {videos.name}'
        similar = class_similarity(named.net, videos, source, progress=sys.stderr.isatty())
    return similar._replace(model=named.title)


def _training_file(folder: Optional[str], relation: Any) -> Optional[Path]:
    """What training counted, in the folder of a run or in that of one of its stages."""
    if folder is None or relation is None:
        return None
    places = [Path(folder) / relation.counted, *sorted(Path(folder).glob(f'*/{relation.counted}'))]
    return next((place for place in places if place.is_file()), None)


def _clips_with_masks(named: Any, network: ModelChoice, data: DataChoice, s: Any) -> Tuple[List[Any], str]:
    """Masks of a clip of each class, and a line that says why there are none where there might be."""
    from ..analysis.relation import mask_examples
    from ..training.named import dataset_of

    if 'masks' not in named.net.map_info or named.net.takes_labels:
        return [], ''
    try:
        network.check_data(data._replace(split=None))
        videos, _ = dataset_of(named, None, data.dataset, data.root)
    except UserError as error:
        return [], f'without clips, as the videos are not at hand: {error}'
    return mask_examples(named.net, videos, s, progress=sys.stderr.isatty()), ''
