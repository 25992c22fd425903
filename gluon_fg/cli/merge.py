"""`gluon-fg merge`: one score file of its parts."""

from __future__ import annotations

from typing import Optional, Tuple

import click

from .base import Command
from .options import Output, groups_option, output_options, print_json, regrouped


@click.command(
    cls=Command,
    example="""
merge runs/dfb/scores_test_dfb_3d.*of4.npz --out runs/dfb/scores_test_dfb_3d.npz
""",
)
@click.argument('files', nargs=-1, required=True, metavar='PART.npz...')
@groups_option
@output_options('Score file. [default: scores.npz in the current folder]', metavar='FILE.npz', json=True)
def merge(files: Tuple[str, ...], groups: Optional[str], output: Output) -> None:
    """Put the parts of an evaluation together that gluon-fg evaluate --shard i/n has scored.

    Prints the accuracies and writes the files that gluon-fg evaluate writes of the whole list, with the same numbers.
    Refused are parts that are not the whole list, each video once, and parts of other networks, weights, lists or
    protocols.
    """
    from ..evaluation.merge import merge as merge_scores
    from ..evaluation.metrics import summarize
    from ..evaluation.report import report_paths, write_report
    from ..evaluation.score import Scores
    from ..evaluation.threshold import refusals

    paths = report_paths(output.out or 'scores.npz', output.force)
    output.check(inputs=[*files, groups], path=str(paths[0]))
    scores = regrouped(merge_scores([Scores.load(path) for path in files], files), groups)
    threshold = scores.made.threshold if scores.made else None
    refused = None if threshold is None else refusals(scores, threshold, None)
    table = write_report(scores, paths, refused)
    if output.json:
        print_json({**summarize(scores), **(refused or {}), 'failed_videos': scores.failed, 'scores': str(paths[0])})
    else:
        click.echo(
            f'{scores.model} on {scores.listed} videos of {scores.dataset}, {len(files)} parts ({scores.protocol})'
        )
        click.echo(table)
