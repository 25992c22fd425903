"""`gluon-fg submission`: the file that a dataset's test server takes."""

from __future__ import annotations

import click

from .base import Command
from .options import Output, output_options


@click.command(
    cls=Command,
    example='submission runs/mine/scores_test_train_time.npz --out submission.csv',
)
@click.argument('file', metavar='SCORES.npz')
@output_options('The new file.', metavar='FILE.csv', required=True)
def submission(file: str, output: Output) -> None:
    """Write the file that Something-Something's test server takes.

    SCORES.npz is what gluon-fg evaluate --split test writes: the labels of that list are not published, so there is no
    accuracy in it. V2 takes the five likeliest classes of each video by their official numbers, V1 the likeliest by
    its name.
    """
    from ..evaluation.score import Scores
    from ..evaluation.submission import submission_lines
    from ..files import atomic_write

    output.check(inputs=[file])
    scores = Scores.load(file)
    lines = submission_lines(scores)
    with atomic_write(str(output.out)) as stream:
        stream.writelines(f'{line}\n' for line in lines)
    click.echo(f'{output.out}: {len(lines)} videos of {scores.dataset}')
    if scores.failed:
        click.echo(
            f'note: {len(scores.failed)} of them could not be decoded, such as {next(iter(scores.failed))}; they have '
            'the classes that are likeliest over all others',
            err=True,
        )
