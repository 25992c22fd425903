"""`gluon-fg benchmark NAME`: a network of the zoo in each runtime and precision, beside everything else that runs it.

Beside it stand GluonCV's network of that name as shipped, the same network in PyTorch (eager and frozen), ONNX Runtime
and OpenVINO called directly, and the time that its multiply-adds alone would take at the rate of this machine's fastest
matrix product of the type. All are timed in turn, each in a process of its own (`measuring`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from .. import factory
from ..errors import UserError
from ..files import temporary_folder
from . import cache
from . import contender as kinds
from .contender import Contender
from .execution import ON_PROCESSOR, Execution, runtimes_of, thread_count
from .flops import Cost, count, input_shape
from .machine import facts, has_bfloat16
from .measuring import Measured, Say, side_by_side
from .peers import gemm, graph_files
from .quantized import store

GEMM_SIZE = 2048
_CODE = tuple(f'{room}/**/*.py' for room in ('backbones', 'deploy', 'nn', 'recognizers', 'weights'))  # makes INT8 forms
_PEERS = {
    kinds.EAGER: ('float32',),
    kinds.FROZEN: ('float32', 'bfloat16'),
    kinds.ONNX_RUNTIME: ('float32', 'int8'),
    kinds.OPENVINO: ('float32', 'bfloat16', 'int8'),
}


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is to be measured of each network.

    Parameters
    ----------
    runtimes
        of this package: names of `execution.RUNTIMES`, or 'auto'
    precisions
        names of `execution.PRECISIONS`
    batches
        clips of a call; the first is the latency's
    shape
        of the input of one clip, (1, C, T, H, W) or (segments, C, H, W); None: one crop of the network's own
    nclass
        classes of networks that have none of their own
    threads
        None: all of the processor
    rounds
        turns that each thing gets
    peers
        whether others are measured beside it
    """

    runtimes: Tuple[str, ...] = ('auto', *ON_PROCESSOR)
    precisions: Tuple[str, ...] = ('float32',)
    batches: Tuple[int, ...] = (1,)
    shape: Optional[Tuple[int, ...]] = None
    nclass: Optional[int] = None
    threads: Optional[int] = None
    rounds: int = 5
    peers: bool = True

    @property
    def count(self) -> int:
        """Threads that compute."""
        return thread_count(self.threads)

    def possible(self, say: Say) -> Asked:
        """The same without a precision that the processor does not compute in, which is said."""
        if 'bfloat16' not in self.precisions or has_bfloat16():
            return self
        say('bfloat16 is left out: this processor does not multiply it')
        return dataclasses.replace(self, precisions=tuple(p for p in self.precisions if p != 'bfloat16'))


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network whose files lie in a folder, for processes that measure it."""

    name: str
    gluoncv: Optional[str]
    cost: Cost
    shape: Tuple[int, ...]
    nclass: Optional[int]
    folder: Path
    auto: Dict[str, str]

    def ours(self, runtime: str, precision: str, threads: int) -> Contender:
        """The network by this package."""
        return self._by(kinds.OURS, precision, threads, runtime)

    def peer(self, by: str, precision: str, threads: int) -> Contender:
        """The network by another library."""
        return self._by(by, precision, threads)

    def record(self) -> Dict[str, Any]:
        """What it is, as plain values."""
        cost, shape = self.cost, list(self.shape)
        return {'model': self.name, 'input': shape, 'flops': cost.flops, 'parameters': cost.parameters}

    def _by(self, by: str, precision: str, threads: int, runtime: str = '') -> Contender:
        name = (self.gluoncv or '') if by == kinds.GLUONCV else self.name
        return Contender(by, precision, threads, runtime, name, self.nclass, self.shape, str(self.folder))


@contextlib.contextmanager
def workplace(name: str, asked: Asked, batch: int) -> Iterator[Path]:
    """Give a folder for a network's files: one of the cache where INT8 forms are made, which takes minutes, else new.

    What lies there is of the same random weights each time, and made by the same code: other code has another folder.
    """
    if 'int8' not in asked.precisions:
        with temporary_folder() as temporary:
            yield Path(temporary)
        return
    versions = sorted(facts()['packages'].items())
    made_of = json.dumps([name, asked.shape, asked.nclass, batch, versions, cache.code_digest(*_CODE)])
    yield cache.folder_of('benchmark', hashlib.sha256(made_of.encode()).hexdigest())


def prepare(name: str, asked: Asked, batch: int, folder: Path) -> Subject:
    """Build a network with random weights and write it, and a random input of `batch` clips, for other processes.

    Raises
    ------
    UserError
        no such network, or it cannot take this input
    """
    entry, _ = factory.resolve(name)
    shape = asked.shape
    frames = {'frames': shape[2]} if shape and len(shape) == 5 and 'frames' in entry.options else {}
    net = factory.build(name, asked.nclass, **frames)
    own = input_shape(net.input_spec)
    shape = shape or own
    if len(shape) != len(own):
        raise UserError(f'{name} takes an input of {len(own)} numbers, for example {own}; got {shape}')
    shape = (batch * shape[0], *shape[1:])
    cost = count(net, shape)
    mx.random.seed(0)
    net.initialize(mx.init.MSRAPrelu('in', 0))
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype('float32')
    graph_files.write(net, x, folder)
    net.save_parameters(str(folder / 'net.params'))
    _remove_unfit(net, shape, folder)
    auto = {}
    for precision in asked.precisions:
        try:
            auto[precision] = Execution('auto', precision).decided(net).runtime
        except UserError:
            pass  # no runtime that is installed knows it; a row of each says why
    return Subject(name, entry.gluoncv, cost, shape, asked.nclass, folder, auto)


def _remove_unfit(net: HybridBlock, shape: Sequence[int], folder: Path) -> None:
    """Remove INT8 forms of a folder that are not of this network and input, or damaged: they are made anew."""
    net.quantized_beside = os.path.join(folder, '')
    for runtime in store.KINDS:
        form = store.folder_of(net, runtime)
        if form.exists():
            try:
                store.load(net, runtime, shape)
            except UserError:
                shutil.rmtree(form)


def contenders(subject: Subject, asked: Asked) -> List[Contender]:
    """List what is measured of a network: this package's runtimes, each once, then the others."""
    chosen = []
    for precision in asked.precisions:
        for runtime in asked.runtimes:
            if runtime == 'auto':
                runtime = subject.auto.get(precision, '')
            if runtime in runtimes_of(precision):
                chosen.append(subject.ours(runtime, precision, asked.count))
    if asked.peers:
        if subject.gluoncv:
            chosen.append(subject.peer(kinds.GLUONCV, 'float32', asked.count))
        chosen += [
            subject.peer(by, precision, asked.count)
            for by, known in _PEERS.items()
            for precision in known
            if precision in asked.precisions
        ]
    return list(dict.fromkeys(chosen))


def products(precisions: Sequence[str], threads: int) -> List[Contender]:
    """List the matrix products whose rates are the limit of each precision."""
    return [
        Contender(kinds.GEMM, precision, threads, library, shape=(GEMM_SIZE,))
        for precision in precisions
        for library in gemm.libraries_of(precision)
    ]


@dataclasses.dataclass(frozen=True)
class Limit:
    """The fastest matrix product of a type in a run."""

    product: Measured

    @property
    def library(self) -> str:
        """Whose it is."""
        return self.product.contender.runtime

    @property
    def gflops(self) -> float:
        """10**9 operations a second that it reached."""
        return gemm.operations(self.product.contender.shape[0]) / self.product.ms / 1e6

    def record(self, model: str, batch: int) -> Dict[str, Any]:
        """As plain values: for which network's run it is, and what it was."""
        own = {'precision': self.product.contender.precision, 'library': self.library, 'gflops': self.gflops}
        return {'model': model, 'batch': batch, **own}

    def ratio(self, measured: Measured, flops: int) -> float:
        """How many times as long something takes as its multiply-adds would at this rate, as two operations each."""
        return measured.over(self.product) * gemm.operations(self.product.contender.shape[0]) / flops


def limits(records: Sequence[Measured]) -> Dict[str, Limit]:
    """Find the fastest product of each precision among what was measured."""
    best: Dict[str, Limit] = {}
    for record in records:
        if record.contender.by == kinds.GEMM and not record.problem:
            former = best.get(record.contender.precision)
            if former is None or record.ms < former.product.ms:
                best[record.contender.precision] = Limit(record)
    return best


def measure(names: Sequence[str], asked: Asked, say: Say) -> Dict[str, Any]:
    """Measure networks, one after another, each beside its peers.

    Returns
    -------
    dict
        plain values for JSON: 'machine', 'limits', 'models' and 'rows' (`row`)

    Raises
    ------
    UserError
        no such network, or it cannot take this input
    """
    asked = asked.possible(say)
    result: Dict[str, Any] = {'machine': facts(), 'limits': [], 'models': [], 'rows': []}
    for name in names:
        for batch in asked.batches:
            with workplace(name, asked, batch) as folder:
                subject = prepare(name, asked, batch, folder)
                wanted = [*contenders(subject, asked), *products(asked.precisions, asked.count)]
                records = side_by_side(wanted, asked.rounds, say)
            result['models'] += [subject.record()] if batch == asked.batches[0] else []
            best = limits(records)
            result['limits'] += [limit.record(name, batch) for limit in best.values()]
            result['rows'] += rows(subject, batch, records, best)
    return result


def rows(subject: Subject, batch: int, records: Sequence[Measured], best: Dict[str, Limit]) -> List[Dict[str, Any]]:
    """What was measured of a network, as plain values.

    Returns
    -------
    list of dict
        'model', 'by', 'runtime', 'precision', 'auto' (whether it is what 'auto' takes), 'batch'; then either 'problem',
        or 'ms' and 'p90_ms' of a call, 'clips_per_s', 'gflops' (10**9 operations a second), 'over_gluoncv' and
        'over_limit' (ratios; null where there is nothing to compare with), 'peak_mb', 'ready_s' and 'deviation' (of the
        outputs from PyTorch's in float32, relative to the largest of them)
    """
    networks = [record for record in records if record.contender.by != kinds.GEMM]
    shipped = next((r for r in networks if r.contender.by == kinds.GLUONCV and not r.problem), None)
    exact = next((r for r in networks if r.contender.precision == 'float32' and r.outputs is not None), None)
    for record in networks:
        if record.contender.by == kinds.EAGER and record.outputs is not None:
            exact = record
    listed = []
    for record in networks:
        contender = record.contender
        row: Dict[str, Any] = {
            'model': subject.name,
            'by': contender.by,
            'runtime': contender.runtime,
            'precision': contender.precision,
            'auto': contender.by == kinds.OURS and subject.auto.get(contender.precision) == contender.runtime,
            'batch': batch,
        }
        if record.problem:
            listed.append({**row, 'problem': record.problem})
            continue
        # The products are the processor's, and no limit for a GPU
        limit = None if contender.runtime == 'onnxruntime_cuda' else best.get(contender.precision)
        listed.append(
            {
                **row,
                'ms': record.ms,
                'p90_ms': record.p90,
                'clips_per_s': 1000 * batch / record.ms,
                'gflops': subject.cost.flops / record.ms / 1e6,
                'over_gluoncv': record.over(shipped) if shipped else None,
                'over_limit': limit.ratio(record, subject.cost.flops) if limit else None,
                'peak_mb': record.peak_mb,
                'ready_s': record.ready_s,
                'deviation': _deviation(record, exact),
            }
        )
    return listed


def _deviation(record: Measured, exact: Optional[Measured]) -> Optional[float]:
    if exact is None or record.outputs is None or exact.outputs is None:
        return None
    ours, theirs = (np.concatenate([np.ravel(z) for z in r.outputs or ()]) for r in (record, exact))
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30))
