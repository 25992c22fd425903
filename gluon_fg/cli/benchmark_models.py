"""`gluon-fg benchmark NAME...`, `--scaling` and `--promises`: networks in each runtime, beside everything else."""

from __future__ import annotations

import functools
import sys
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import click

from ..errors import UserError, unknown
from .base import Several
from .options import Output

_ROUNDS, _QUICK_ROUNDS = 7, 3


class Models(NamedTuple):
    """What is asked of networks by name; `--option` or None where it was not given."""

    runtimes: List[str]
    precisions: List[str]
    batches: List[str]
    threads: Optional[int]
    alone: bool
    scaling: bool
    plot: Optional[str]
    promises: bool

    def check(self, names: Tuple[str, ...], output: Output) -> None:
        """Refuse options that do not go together, before anything is loaded; raises UserError."""
        given = {
            '--runtime': self.runtimes,
            '--precision': self.precisions,
            '--batch': self.batches,
            '--alone': self.alone,
            '--scaling': self.scaling,
        }
        wrong = [option for option, value in given.items() if value]
        if wrong and not names:
            raise UserError(f'{wrong[0]} goes with a NAME: gluon-fg benchmark NAME {wrong[0]}')
        if self.threads is not None and not (names or self.promises):
            raise UserError('--threads goes with a NAME, or with --promises')
        if self.threads is not None and self.threads < 1:
            raise UserError(f'--threads must be at least 1, got {self.threads}')
        if names and self.promises:
            raise UserError(f'--promises has networks of its own: leave out {names[0]}')
        if self.plot and not self.scaling:
            raise UserError('--plot goes with --scaling')
        if self.scaling and (len(names) > 1 or self.batches):
            raise UserError('--scaling takes one NAME, and batches of its own')
        if self.plot:
            output.check(suffixes=['.png'], flag='--plot', path=self.plot)

    def asked(self, quick: bool, rounds: Optional[int], shape: Optional[Tuple[int, ...]], nclass: Optional[int]) -> Any:
        """The same for `deploy.benchmark_models`; raises UserError for names and numbers that are none."""
        from ..deploy.benchmark_models import Asked
        from ..deploy.execution import ON_PROCESSOR, PRECISIONS, RUNTIMES

        for word, value, known in [
            *(('runtime', name, ('auto', *RUNTIMES)) for name in self.runtimes),
            *(('precision', name, PRECISIONS) for name in self.precisions),
        ]:
            if value not in known:
                raise unknown(word, value, known)
        return Asked(
            runtimes=tuple(self.runtimes or ('auto', *ON_PROCESSOR)),
            precisions=tuple(self.precisions or ('float32',)),
            batches=tuple(map(_batch, self.batches)) or ((1,) if quick else (1, 4)),
            shape=shape,
            nclass=nclass,
            threads=self.threads,
            rounds=rounds or (_QUICK_ROUNDS if quick else _ROUNDS),
            peers=not (self.alone or self.scaling),
        )


def model_options(function: Callable) -> Callable:
    """Add the options of `Models`; the command gets `models`."""
    options = [
        click.option('--runtime', cls=Several, metavar='NAME...', help='For NAME: mxnet, openvino ... [default: all]'),
        click.option('--precision', cls=Several, metavar='NAME...', help='For NAME: float32, bfloat16, float16, int8.'),
        click.option('--batch', cls=Several, metavar='N...', help='For NAME: clips of a call. [default: 1 4, quick 1]'),
        click.option('--threads', type=int, metavar='N', help='For NAME, --promises. [default: all processors]'),
        click.option('--alone', is_flag=True, help='For NAME: without the other libraries beside it.'),
        click.option('--scaling', is_flag=True, help='For NAME: many lengths, sizes, batches, threads, processes.'),
        click.option('--plot', metavar='FILE', help='For --scaling: a chart, as PNG.'),
        click.option('--promises', is_flag=True, help='What is promised of I3D ResNet-50, checked here; minutes.'),
    ]
    names = ('runtime', 'precision', 'batch', 'threads', 'alone', 'scaling', 'plot', 'promises')

    @functools.wraps(function)
    def call(*args: Any, **given: Any) -> Any:
        return function(*args, models=Models(*(given.pop(name) for name in names)), **given)

    decorated: Callable = call
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


def run(names: Tuple[str, ...], models: Models, asked: Any, quick: bool, output: Output) -> Dict[str, Any]:
    """Measure networks by name, or the short set of --promises; prints a table and returns the records."""
    from ..deploy import benchmark_models, benchmark_table, promises, scaling

    say = _progress(output)
    if models.promises:
        result = promises.judge(quick, asked, say)
        text = f'{benchmark_table.table(result)}\n\n{benchmark_table.verdicts(result)}'
    elif models.scaling:
        result = scaling.measure(names[0], asked, say)
        text = scaling.table(result)
        if models.plot:
            from ..visualization.charts import save_chart
            from ..visualization.scaling import scaling_chart

            save_chart(scaling_chart(result), models.plot)
    else:
        result = benchmark_models.measure(names, asked, say)
        text = benchmark_table.table(result)
    if not output.json:
        click.echo(text)
    return result


def _batch(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f'--batch takes whole numbers from 1, got {text!r}')
    return int(text)


def _progress(output: Output) -> Callable[[str], None]:
    """What is under way, on standard error: in one line of a terminal, else nothing but what went wrong."""
    if not sys.stderr.isatty():
        return lambda text: None

    def say(text: str) -> None:
        click.echo(f'\r{text[:100]:100s}', err=True, nl=False)

    return say
