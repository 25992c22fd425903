"""`gluon-fg benchmark`: speed as ratios, and operations and parameters of networks."""

from __future__ import annotations

import json
from typing import List, Optional, Tuple

import click

from ..errors import UserError
from .base import Command, Several
from .options import Output, output_options, print_json


@click.command(
    cls=Command,
    example="""
benchmark --quick --only 'inference*DFB over'
benchmark --flops i3d_tiny_synthfg i3d_tiny_synthfg_dfb
""",
)
@click.argument('rest', nargs=-1, metavar='')
@click.option('--quick', is_flag=True, help='Tiny networks only, few rounds.')
@click.option('--only', metavar='PATTERN', help='Only rows whose title has this in it; * stands for anything.')
@click.option('--rounds', type=int, help='Timed repetitions of each variant. [default: 15, quick 3]')
@click.option('--flops', cls=Several, none_allowed=True, metavar='NAME...', help='Count these models, time nothing.')
@click.option('--input', 'shape', metavar='N,C,T,H,W', help='For --flops: shape of the input. [default: one crop]')
@click.option('--nclass', type=int, help='For --flops: classes of a model that has none of its own ("custom").')
@output_options('File for the records, as JSON.', json=True)
def benchmark(
    rest: Tuple[str, ...],
    quick: bool,
    only: Optional[str],
    rounds: Optional[int],
    flops: Optional[List[str]],
    shape: Optional[str],
    nclass: Optional[int],
    output: Output,
) -> None:
    """Measure speed as ratios, or count operations.

    Two variants of a thing are timed in turn, A B A B ..., so that a busy moment of the machine touches both; printed
    are the medians of both and of the ratio. Absolute times are this machine's alone.

    --flops NAME counts instead, and runs nothing: GFLOPs (two for each multiply-add), multiply-adds and parameters of
    networks for one crop of one video, by kind of operator and by part for a single one.
    """
    if rest and output.json:
        raise UserError(f'--json prints the records and takes no file; write them with --out {rest[0]}')
    if rest:
        raise UserError(f'{rest[0]}: benchmark takes models by --flops NAME and rows by --only PATTERN')
    if flops is None and (shape or nclass is not None):
        raise UserError(f'{"--input" if shape else "--nclass"} goes with --flops NAME')
    if flops is not None and not flops:
        raise UserError('--flops needs the name of a model, or several')
    if flops and (quick or only or rounds):
        raise UserError('--flops times nothing: leave out --quick, --only and --rounds')
    if rounds is not None and rounds < 1:
        raise UserError(f'--rounds must be at least 1, got {rounds}')
    output.check()
    from ..files import atomic_write

    records = _count(flops, shape, nclass, output) if flops else _time(quick, only, rounds, output)
    if output.json:
        print_json(records)
    if output.out:
        with atomic_write(output.out) as stream:
            json.dump(records, stream, indent=1)


def _count(names: List[str], shape: Optional[str], nclass: Optional[int], output: Output) -> List[dict]:
    from ..deploy.benchmark import costs
    from ..deploy.flops import format_cost, format_costs

    counted = costs(names, _input_of(shape) if shape else None, nclass)
    if not output.json:
        click.echo(format_cost(counted[0]) if len(counted) == 1 else format_costs(counted))
    return [cost.as_dict() for cost in counted]


def _time(quick: bool, pattern: Optional[str], rounds: Optional[int], output: Output) -> List[dict]:
    import mxnet as mx

    from ..deploy.benchmark import describe, rows, time_row

    mx.random.seed(0)
    records = []
    for row in rows(quick, pattern):
        records.append(time_row(row, rounds or (3 if quick else 15)))
        if not output.json:
            click.echo(describe(row, records[-1]))
    return records


def _input_of(text: str) -> Tuple[int, ...]:
    """'1,3,32,224,224' (or with x between) -> tuple."""
    try:
        return tuple(int(size) for size in text.replace('x', ',').split(','))
    except ValueError:
        raise UserError(f'--input takes whole numbers, for example 1,3,32,224,224; got {text!r}') from None
