"""`gluon-fg compare` and `gluon-fg fuse`: what two or more score files say together."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Optional, Tuple

import click

from ..errors import UserError
from .base import Command, Several
from .options import Output, groups_option, output_options, print_json, regrouped


@click.command(
    cls=Command,
    example="""
compare runs/baseline/scores.npz runs/dfb/scores.npz
compare runs/baseline/scores.npz runs/dfb/scores.npz --per-class 5 --similar --chart gains.png
""",
)
@click.argument('files', nargs=-1, metavar='A B')
@click.option('--branch-a', metavar='NAME', help='Branch of A. [default: the fused prediction]')
@click.option('--branch-b', metavar='NAME', help='Branch of B.')
@click.option('--pairs', type=int, default=10, show_default=True, help='Confused pairs to list.')
@click.option(
    '--per-class', type=int, is_flag=False, flag_value=5, metavar='[K]', help='List the K classes at either end (5).'
)
@click.option(
    '--similar',
    cls=Several,
    none_allowed=True,
    metavar='["CLASS/CLASS"...]',
    help='List the gains of these pairs of classes; of none: of the --pairs pairs that A mixes up most.',
)
@click.option(
    '--parents',
    is_flag=True,
    help='Of Kinetics-400: gains of its 38 parent classes, which overlap (DFB table 2).',
)
@groups_option
@click.option('--seed', type=int, default=0, show_default=True, help='Of the bootstrap.')
@click.option('--csv', metavar='FILE', help="Also write every class's gain there.")
@click.option('--markdown', metavar='FILE', help='Also write the tables of classes and pairs there.')
@click.option('--chart', metavar='FILE.png', help="Also draw the classes' gains as bars.")
@output_options('Also write every number there, as JSON.', metavar='FILE.json', json=True)
def compare(
    files: Tuple[str, ...],
    branch_a: Optional[str],
    branch_b: Optional[str],
    pairs: int,
    per_class: Optional[int],
    similar: Optional[List[str]],
    parents: bool,
    groups: Optional[str],
    seed: int,
    csv: Optional[str],
    markdown: Optional[str],
    chart: Optional[str],
    output: Output,
) -> None:
    """Compare two score files of the same videos.

    A and B are written by gluon-fg evaluate. Prints the difference of top1, top5 and within-group accuracy (B - A) with
    an exact McNemar test and a bootstrap interval over videos, the gain of each group, and the most confused pairs of
    classes. With --per-class the classes that gain and lose most, with --similar the gains of pairs of classes that
    look alike (CIDC table 6).
    """
    from ..data.catalog.kinetics_parents import parent_members
    from ..data.labels import LabelSet
    from ..evaluation import compare as comparing
    from ..evaluation import gains as gaining
    from ..evaluation.score import Scores

    targets = {'--out': output.out, '--csv': csv, '--markdown': markdown, '--chart': chart}
    _check(files, targets, output, per_class, groups)
    pair = (files[0], files[1])
    a, b = (regrouped(Scores.load(path), groups) for path in pair)
    named = [gaining.parse_pair(text, a.classes) for text in similar or ()] or None
    members = parent_members(LabelSet(a.classes)) if parents else None
    result = comparing.compare(a, b, branch_a, branch_b, pair, pairs, seed, members=members)
    gains = gaining.gains(a, b, branch_a, branch_b, pair, named, pairs)
    titles = (_title(files[0], a, branch_a), _title(files[1], b, branch_b))
    numbers = {'a': files[0], 'b': files[1], **comparing.as_dict(result), 'gains': gaining.gains_as_dict(gains)}
    if output.json:
        print_json(numbers)
    else:
        click.echo(comparing.format_comparison(result, titles))
        if a.protocol != b.protocol:
            both = f'{a.protocol} and {b.protocol}'
            click.echo(f'\nnote: scored by other protocols, {both}: part of the difference may be theirs')
        if per_class is not None or similar is not None:
            click.echo(f'\n{gaining.format_gains(gains, per_class, similar is not None)}')
    short = (a.model, b.model) if a.model != b.model else pair
    for line in _write(targets, numbers, gains, titles, short, per_class):
        click.echo(line, err=output.json)


def _title(path: str, scores: Any, branch: Optional[str]) -> str:
    return f'{path} ({scores.model}, {branch or scores.branch_names[0]}, {scores.protocol})'


def _check(
    files: Tuple[str, ...],
    targets: Dict[str, Optional[str]],
    output: Output,
    per_class: Optional[int],
    groups: Optional[str],
) -> None:
    """Refuse what cannot be compared or written, before anything is read."""
    if output.json and len(files) == 3 and any(path.endswith('.json') for path in files):
        raise UserError('--json prints the numbers and takes no file; write them with --out FILE.json')
    if len(files) != 2:
        raise UserError(f'give two score files, the reference first; got {len(files)}')
    taken = [*files, *([groups] if groups else [])]
    for flag, path in targets.items():
        if path:
            output.check(flag=flag, path=path, inputs=taken)
            taken.append(path)
    if per_class is not None and per_class < 1:
        raise UserError(f'--per-class must be at least 1, got {per_class}')


def _write(
    targets: Dict[str, Optional[str]], numbers: dict, gains: Any, titles: Any, short: Any, per_class: Any
) -> Iterator[str]:
    """Write what is asked for; yields a line for each file."""
    import json

    from ..evaluation.gains import markdown_gains, write_gains
    from ..files import atomic_write

    path = targets['--out']
    if path:
        with atomic_write(path) as stream:
            json.dump(numbers, stream, indent=1)
        yield f'\nnumbers: {path}'
    path = targets['--csv']
    if path:
        write_gains(gains, path)
        yield f'classes: {path}'
    path = targets['--markdown']
    if path:
        with atomic_write(path) as stream:
            stream.write(markdown_gains(gains, per_class or 5, titles))
        yield f'tables: {path}'
    path = targets['--chart']
    if path:
        from ..visualization.charts import save_chart
        from ..visualization.gains import gain_chart

        save_chart(gain_chart(gains, short, per_class), path)
        yield f'chart: {path}'


@click.command(
    cls=Command,
    example="""
fuse rgb.npz flow.npz --out both.npz
fuse rgb.npz flow.npz --weights 1 1.5 --on logits --out both.npz
""",
)
@click.argument('files', nargs=-1, required=True, metavar='SCORES.npz...')
@click.option('--weights', cls=Several, type=float, metavar='W...', help='Of each. [default: all the same]')
@click.option('--names', cls=Several, metavar='NAME...', help='Of each in the tables. [default: the models]')
@groups_option
@click.option(
    '--on',
    default='probabilities',
    show_default=True,
    metavar='probabilities|logits',
    help='The prediction: the weighted mean of the softmax scores, or the softmax of the weighted sum of the logits '
    '(Two-Stream I3D, TSN).',
)
@output_options('The new score file.', metavar='FUSED.npz', required=True, json=True)
def fuse(
    files: Tuple[str, ...], weights: List[float], names: List[str], groups: Optional[str], on: str, output: Output
) -> None:
    """Make one prediction of several networks.

    Two streams, or an ensemble. The files are written by gluon-fg evaluate, of the same videos. Prints the accuracies
    of the prediction (--on), of the other way to make one, and of each network, and writes the same files as gluon-fg
    evaluate.
    """
    from ..evaluation.fusion import fuse_scores
    from ..evaluation.fusion import notes as notes_of
    from ..evaluation.metrics import summarize
    from ..evaluation.report import report_paths, write_report
    from ..evaluation.score import Scores

    output.check(inputs=[*files, groups])
    paths = report_paths(str(output.out), output.force)
    each = [regrouped(Scores.load(path), groups) for path in files]
    scores = fuse_scores(each, weights or None, names or None, on, files)
    for note in notes_of(each, files):
        click.echo(f'note: {note}', err=True)
    table = write_report(scores, paths)
    if output.json:
        print_json({**summarize(scores), 'failed_videos': scores.failed, 'scores': str(paths[0])})
    else:
        click.echo(f'{table}\nnext: gluon-fg compare {files[0]} {paths[0]}')
