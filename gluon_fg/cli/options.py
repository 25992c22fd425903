"""Options that several commands share, each group a decorator that gives the command one record of them."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import sys
from typing import Any, Callable, Iterable, List, NamedTuple, Optional, Tuple

import click

from ..deploy.execution import PRECISIONS, RUNTIMES, Execution
from ..errors import UserError
from ..files import check_free
from .base import Several


class ModelChoice(NamedTuple):
    """A trained network as a command is given it: `training.named.load_model` says what names one.

    name, run
        --model or --run: a name of the zoo or of a publisher, the folder of a run, a folder of published models; None
        where the other is given
    params
        --params: the file of its parameters; None: the published weights, or best.params of the run
    options
        --options: 'key=value' texts for the builder of `name`
    """

    name: Optional[str]
    run: Optional[str]
    params: Optional[str]
    options: Tuple[str, ...]

    @property
    def text(self) -> str:
        """What the user gave."""
        return self.run or self.name or ''

    @property
    def folder(self) -> Optional[str]:
        """The folder of the run, None for a name."""
        return self.text if os.path.isfile(os.path.join(self.text, 'config.yaml')) else None

    def check(self) -> None:
        """Refuse both or neither of a name and a run, and a folder that is not there; raises UserError."""
        if (self.name is None) == (self.run is None):
            raise UserError('give either --model NAME or --run FOLDER')
        if self.run and not os.path.isdir(self.run) and not os.path.isdir(os.path.dirname(self.run)):
            raise UserError(f'--run {self.run}: no such folder of a training run; a name goes with --model')
        if self.folder and self.options:
            raise UserError('--options goes with --model; a run has its own in its config')

    def check_data(self, data: DataChoice) -> None:
        """Refuse data that cannot be opened, before anything is loaded, rendered or downloaded; raises UserError."""
        from ..training.named import check_source

        self.check()
        check_source(self.text, self.params, data.dataset, data.root, data.split)

    def load(self, ctx: Any = None) -> Any:
        """Return the network with its weights on a device (default: CPU), as a `training.named.Named`."""
        from ..evaluation.load import parse_options
        from ..training.named import load_model

        self.check()
        return load_model(self.text, self.params, ctx, **parse_options(self.options))


class DataChoice(NamedTuple):
    """A split of a dataset as a command is given it; None: what the network or its run says."""

    dataset: Optional[str]
    root: Optional[str]
    split: Optional[str]
    flow: Optional[str] = None


def _gathered(record: Callable, target: str, names: dict, options: Iterable[Callable]) -> Callable:
    """Make a decorator: adds `options`, and passes their values as one `record` named `target`."""

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def call(*args: Any, **given: Any) -> Any:
            values = {field: given.pop(parameter) for parameter, field in names.items()}
            return function(*args, **{target: record(**values)}, **given)

        decorated: Callable = call
        for option in reversed(list(options)):
            decorated = option(decorated)
        return decorated

    return decorate


def model_options(function: Callable) -> Callable:
    """Add --model, --run, --params and --options; the command gets `network`, a `ModelChoice`.

    Both --model and --run take whatever names a trained network.
    """
    return _gathered(
        ModelChoice,
        'network',
        {'model': 'name', 'run': 'run', 'params': 'params', 'options': 'options'},
        [
            click.option(
                '--model',
                metavar='NAME',
                help='Model of the zoo (gluon-fg zoo list), a published name, or the folder of a training run.',
            ),
            click.option(
                '--run',
                metavar='FOLDER',
                help='Instead: folder of a training run; its config and best.params are used.',
            ),
            click.option(
                '--params',
                metavar='FILE',
                help='Parameters. [default: the published weights of --model, or best.params of --run]',
            ),
            click.option(
                '--options', cls=Several, metavar='KEY=VALUE...', help='Options of --model, for example nclass=8.'
            ),
        ],
    )(function)


def _dataset_options() -> List[Callable]:
    return [
        click.option(
            '--dataset', metavar='NAME', help='For example synthfg, folder, csv. [default: of the run, or of the model]'
        ),
        click.option('--root', metavar='FOLDER', help="The dataset's folder. [default: of the run, or its own]"),
        flow_option,
    ]


def flow_option(function: Callable) -> Callable:
    """Add --flow, where networks that see optical flow find it."""
    return click.option(
        '--flow',
        metavar='FOLDER',
        help='Optical flow: a folder that gluon-fg data flow wrote, or dis to compute it. [default: what lies beside '
        'the frames or in --root, else computed]',
    )(function)


def data_options(function: Callable) -> Callable:
    """Add --dataset, --root, --flow and --split; the command gets `data`, a `DataChoice`."""
    return _gathered(
        DataChoice,
        'data',
        {'dataset': 'dataset', 'root': 'root', 'split': 'split', 'flow': 'flow'},
        [
            *_dataset_options(),
            click.option(
                '--split',
                help='train, val or test; with --dataset csv also the path of a list. [default: test, else val]',
            ),
        ],
    )(function)


def splits_options(function: Callable) -> Callable:
    """Add --dataset, --root, --flow and several --split; the command gets `data`, a `DataChoice` for each."""

    def record(dataset: Optional[str], root: Optional[str], splits: List[str], flow: Optional[str]) -> List[DataChoice]:
        return [DataChoice(dataset, root, split, flow) for split in splits or ('train', 'val')]

    split = click.option('--split', cls=Several, metavar='NAME...', help='One split or several. [default: train val]')
    names = {'dataset': 'dataset', 'root': 'root', 'split': 'splits', 'flow': 'flow'}
    return _gathered(record, 'data', names, [*_dataset_options(), split])(function)


def groups_option(function: Callable) -> Callable:
    """Add --groups; the command gets `groups`, the path of a file, which `regrouped` reads for scores."""
    return click.option(
        '--groups',
        metavar='FILE.csv',
        help='Groups of the classes: a table class,group, as gluon-fg explain groups writes. [default: those of the '
        'dataset]',
    )(function)


def regrouped(scores: Any, groups: Optional[str]) -> Any:
    """Scores with the groups that --groups names in place of their own; as they are without; raises UserError."""
    from ..data.class_groups import read_groups

    return scores if groups is None else dataclasses.replace(scores, groups=read_groups(groups, scores.classes))


def device_option(function: Callable) -> Callable:
    """Add --device; the command gets `device`, which `training.devices.computing_device` turns into a context."""
    return click.option(
        '--device',
        type=click.Choice(['auto', 'cpu', 'gpu']),
        default='auto',
        show_default=True,
        help='Where to compute; auto is a GPU where there is one.',
    )(function)


def pass_options(function: Callable) -> Callable:
    """Add --batch-size and --workers of a pass over videos."""
    batch = click.option('--batch-size', type=int, default=8, show_default=True, help='Views in a forward pass.')
    return batch(
        click.option('--workers', type=int, default=2, show_default=True, help='Decoding threads per process.')(
            function
        )
    )


def execution_options(function: Callable) -> Callable:
    """Add --runtime, --precision and --threads; the command gets `execution`, an `Execution`."""
    return _gathered(
        Execution,
        'execution',
        {'runtime': 'runtime', 'precision': 'precision', 'threads': 'threads'},
        [
            click.option(
                '--runtime',
                type=click.Choice(['auto', *RUNTIMES]),
                default='auto',
                show_default=True,
                help='What computes the network; auto is the fastest that is installed, onnxruntime_cuda takes a GPU.',
            ),
            click.option(
                '--precision',
                type=click.Choice(PRECISIONS),
                default='float32',
                show_default=True,
                help='Of the numbers in it; int8 needs gluon-fg quantize first, float16 onnxruntime_cuda.',
            ),
            click.option(
                '--threads',
                type=click.IntRange(min=1),
                callback=_before_mxnet,
                help='Threads that compute. [default: as many as there are cores]',
            ),
        ],
    )(function)


def _before_mxnet(ctx: click.Context, option: click.Parameter, threads: Optional[int]) -> Optional[int]:
    """Tell MXNet, which asks once, when it is loaded."""
    if threads is not None and 'mxnet' not in sys.modules:
        os.environ['OMP_NUM_THREADS'] = str(threads)
    return threads


class Output(NamedTuple):
    """Where a command writes, as --out, --force and --json say."""

    out: Optional[str]
    force: bool
    json: bool

    def check(
        self, *, suffixes: Iterable[str] = (), inputs: Iterable[object] = (), flag: str = '--out', path: Any = None
    ) -> None:
        """Refuse a name with another suffix, a file that is there (without --force) or one that is read.

        Parameters
        ----------
        suffixes
            those allowed, in small letters, such as '.png'; none: any
        inputs
            the files that the command reads
        flag, path
            another option than --out that names a file, and its value

        Raises
        ------
        UserError
            naming the file and a choice
        """
        path = self.out if path is None else path
        if path is None:
            return
        suffixes = list(suffixes)
        if suffixes and os.path.splitext(path)[1].lower() not in suffixes:
            raise UserError(f'{flag} {path}: choose a name that ends in {" or ".join(suffixes)}')
        check_free(path, self.force, flag, inputs)


def output_options(
    help: str = 'File to write.', *, metavar: str = 'FILE', required: bool = False, out: bool = True, json: bool = False
) -> Callable:
    """Make a decorator that adds --out and --force, and --json where asked; the command gets `output`, an `Output`.

    Parameters
    ----------
    help, metavar, required
        of --out
    out
        whether there are --out and --force
    json
        whether there is --json, which prints numbers for programs in place of the table
    """
    options: List[Callable] = []
    if out:
        options.append(click.option('--out', metavar=metavar, required=required, help=help))
        options.append(click.option('--force', is_flag=True, help='Replace what is there.'))
    if json:
        options.append(click.option('--json', is_flag=True, help='Print JSON in place of text.'))

    def record(**values: Any) -> Output:
        return Output(values.get('out'), values.get('force', False), values.get('json', False))

    names = {name: name for name in (('out', 'force') if out else ()) + (('json',) if json else ())}
    return _gathered(record, 'output', names, options)


def print_json(value: Any) -> None:
    """Print plain data, and nothing but it, for programs."""
    click.echo(json.dumps(value, indent=1))
