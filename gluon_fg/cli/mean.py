"""`gluon-fg mean`: one accuracy of the splits of a dataset."""

from __future__ import annotations

from typing import Optional, Tuple

import click

from .base import Command
from .options import Output, output_options, print_json


@click.command(
    cls=Command,
    example='mean runs/split1/scores.npz runs/split2/scores.npz runs/split3/scores.npz',
)
@click.argument('files', nargs=-1, required=True, metavar='SCORES.npz...')
@click.option('--branch', metavar='NAME', help='Branch of the networks. [default: the fused prediction]')
@output_options('Also write every number there, as JSON.', metavar='FILE.json', json=True)
def mean(files: Tuple[str, ...], branch: Optional[str], output: Output) -> None:
    """Average the accuracies of a network over the splits of a dataset.

    UCF101 and HMDB51 are reported so: the network is trained on the training list of each of three splits
    (data.train_split=train1, train2, train3), and gluon-fg evaluate scores each on its own test list (--split test1,
    test2, test3). Prints every split's accuracy and the mean, in which each split counts the same. Refused are files
    of other networks, protocols or classes, and a split that comes twice.
    """
    import json

    from ..evaluation.score import Scores
    from ..evaluation.split_mean import format_mean, split_mean
    from ..files import atomic_write

    output.check(inputs=files)
    result = split_mean([Scores.load(path) for path in files], files, branch)
    if output.json:
        print_json(result)
    else:
        click.echo(format_mean(result))
        expected = {'ucf101': 3, 'hmdb51': 3}.get(result['dataset'], len(files))
        if len(files) != expected:
            click.echo(f'\nnote: {result["dataset"]} has {expected} splits, these are {len(files)}')
    if output.out:
        with atomic_write(output.out) as stream:
            json.dump(result, stream, indent=1)
        click.echo(f'\nnumbers: {output.out}', err=output.json)
