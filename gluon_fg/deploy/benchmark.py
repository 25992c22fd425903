"""Speed, as ratios measured in one run: two variants of a thing are timed in turn, A B A B ...

A busy moment of the machine then touches both. What is timed stands in configs/benchmark.yaml. Absolute times are this
machine's alone; the medians of both and of the ratio are what counts.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import importlib.util
import statistics
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

from .. import factory, safe_yaml
from ..errors import UserError
from ..named_configs import config_folder
from .flops import Cost, count
from .fused import fuse


@dataclasses.dataclass(frozen=True)
class Variant:
    """One of two things that a row compares: a model with options, on its plain graph or on the fused one, or rewritten
    in PyTorch (`by`: a training step alone)."""

    label: str
    model: str
    fused: bool = False
    by: str = 'MXNet'
    options: Tuple[Tuple[str, Any], ...] = ()

    @property
    def net(self) -> Any:
        """The network, with random weights and hybridized."""
        return _build(self.model, self.options)


@dataclasses.dataclass(frozen=True)
class Row:
    """A comparison: see configs/benchmark.yaml."""

    title: str
    run: str
    input: Tuple[int, ...]
    first: Variant
    second: Variant
    quick: bool = False
    paper_flops: Optional[Tuple[float, float]] = None
    counted: bool = False

    def functions(self) -> List[Callable[[], None]]:
        """What is timed, for each variant."""
        make = {'inference': _inference, 'training': _training_step}[self.run]
        return [make(variant, _clips(*self.input)) for variant in (self.first, self.second)]

    def flops_ratio(self) -> Optional[Dict[str, float]]:
        """Operations of the first over those of the second, as counted here and, where it has it, in the paper."""
        if self.paper_flops is None and not self.counted:
            return None
        ours, theirs = (count(variant.net, self.input).macs for variant in (self.first, self.second))
        paper = {} if self.paper_flops is None else {'paper': self.paper_flops[0] / self.paper_flops[1]}
        return {'ours': ours / theirs, **paper}


def rows(quick: bool = False, pattern: Optional[str] = None) -> List[Row]:
    """Read the rows of a run.

    Parameters
    ----------
    quick
        those with tiny networks alone
    pattern
        those whose title has this in it; * stands for anything. None: all, those beside PyTorch where that is installed

    Raises
    ------
    UserError
        no row has the pattern
    """
    with open(config_folder() / 'benchmark.yaml', encoding='utf-8') as stream:
        listed = [_row(fields) for fields in safe_yaml.parse(stream.read(), stream.name)]
    listed = [row for row in listed if row.quick or not quick]
    if pattern is None and importlib.util.find_spec('torch') is None:
        listed = [row for row in listed if 'PyTorch' not in (row.first.by, row.second.by)]
    wanted = [row for row in listed if fnmatch.fnmatchcase(row.title.lower(), f'*{(pattern or "").lower()}*')]
    if not wanted:
        raise UserError(f'no row has {pattern!r}; there are {"; ".join(repr(row.title) for row in listed)}')
    return wanted


def _row(fields: Dict[str, Any]) -> Row:
    for place in ('first', 'second'):
        variant = dict(fields[place])
        fields[place] = Variant(**{**variant, 'options': tuple(sorted(variant.get('options', {}).items()))})
    fields['input'] = tuple(fields['input'])
    return Row(**fields)


def time_row(row: Row, rounds: int) -> Dict[str, Any]:
    """Time a row.

    Returns
    -------
    dict
        its title (`what`), the median time in ms under each label, the median `ratio` first / second, `rounds` and,
        where a paper has it, `flops_ratio`
    """
    functions, flops = row.functions(), row.flops_ratio()
    times: List[List[float]] = [[], []]
    for function in functions:
        function()  # builds graphs, allocates
        function()
    for _ in range(rounds):
        for function, taken in zip(functions, times):
            began = time.perf_counter()
            function()
            taken.append(1000 * (time.perf_counter() - began))
    ratio = statistics.median(a / b for a, b in zip(*times))
    first, second = map(statistics.median, times)
    record = {'what': row.title, row.first.label: first, row.second.label: second, 'ratio': ratio, 'rounds': rounds}
    return {**record, 'flops_ratio': flops} if flops else record


def describe(row: Row, record: Dict[str, Any]) -> str:
    """A timed row as a line."""
    times = '   '.join(f'{label} {record[label]:8.1f} ms' for label in (row.first.label, row.second.label))
    line = f'{row.title:57s} {times}   ratio {record["ratio"]:.2f}'
    if 'flops_ratio' in record:
        ratios = ', '.join(f'{name} {value:.2f}' for name, value in record['flops_ratio'].items())
        line += f'   FLOPs ratio {ratios}'
    return line


def costs(names: Sequence[str], shape: Optional[Tuple[int, ...]] = None, nclass: Optional[int] = None) -> List[Cost]:
    """Count the operations and parameters of models, which are not run.

    Parameters
    ----------
    names
        of the zoo
    shape
        of the input; None: one crop, by each model's own. Models built for one length of clips are built for its.
    nclass
        for models without classes of their own
    """
    counted = []
    for name in names:
        entry, _ = factory.resolve(name)
        frames = {'frames': shape[2]} if shape and len(shape) == 5 and 'frames' in entry.options else {}
        counted.append(count(factory.build(name, nclass, **frames), shape))
    return counted


@functools.lru_cache(maxsize=2)
def _build(name: str, options: Tuple[Tuple[str, Any], ...]) -> Any:
    net = factory.get_model(name, pretrained_base=False, **dict(options))
    net.hybridize(static_alloc=True, static_shape=True)
    return net


@functools.lru_cache(maxsize=1)
def _clips(*shape: int) -> mx.nd.NDArray:
    """Random clips."""
    return mx.nd.random.uniform(shape=shape)


def _inference(variant: Variant, x: mx.nd.NDArray) -> Callable[[], None]:
    """A function that runs all branches and waits for them."""
    net = fuse(variant.net) if variant.fused else variant.net.branches

    def run() -> None:
        outputs = net(x)
        for z in outputs if isinstance(outputs, (list, tuple)) else [outputs]:
            z.wait_to_read()

    return run


def _training_step(variant: Variant, x: mx.nd.NDArray) -> Callable[[], None]:
    if variant.by == 'PyTorch':
        from . import torch_training

        return torch_training.training_step(variant.net, x.asnumpy(), rate=1e-4, momentum=0.9)
    return training_step(variant.net, x, mx.nd.array(np.arange(x.shape[0])))


def training_step(net: Any, x: mx.nd.NDArray, label: mx.nd.NDArray) -> Callable[[], None]:
    """A function that runs one forward, backward and update of a network, and waits for it."""
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 1e-4, 'momentum': 0.9}, kvstore=None)
    trainer._optimizer.aggregate_num = 45  # as a run's: see `training.optimizer`

    def run() -> None:
        with autograd.record():
            loss = net.loss(net.branches(x, label) if net.takes_labels else net.branches(x), label)
        loss.backward()
        trainer.step(len(label))
        mx.nd.waitall()

    return run
