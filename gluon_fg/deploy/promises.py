"""What this package promises of its speed, checked on the machine at hand: a line for each promise, with its figure.

For one network in one run: each precision beside the fastest of the libraries called directly, and beside the limit
that the machine's matrix products set; MXNet alone, as it is without the extra packages; and what the methods cost over
their backbones.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .. import safe_yaml
from ..files import temporary_folder
from ..named_configs import config_folder
from . import contender as kinds
from .benchmark_models import Asked, Limit, Subject, contenders, limits, prepare, products, rows, workplace
from .contender import DIRECT
from .machine import facts, processor
from .measuring import Measured, Say, side_by_side


@dataclasses.dataclass(frozen=True)
class Pair:
    """A method and its backbone, with the most that it may take of the backbone's time."""

    title: str
    method: str
    backbone: str
    shape: Tuple[int, ...]
    most: float


@dataclasses.dataclass(frozen=True)
class Promises:
    """A short set of measurements: see configs/promises.yaml."""

    model: str
    shape: Tuple[int, ...]
    pairs: Tuple[Pair, ...]


def listed(quick: bool) -> Promises:
    """Read the short set, or the one with tiny networks."""
    with open(config_folder() / 'promises.yaml', encoding='utf-8') as stream:
        fields = safe_yaml.parse(stream.read(), stream.name)['quick' if quick else 'full']
    pairs = tuple(Pair(**{**pair, 'shape': tuple(pair['shape'])}) for pair in fields['pairs'])
    return Promises(fields['model'], tuple(fields['shape']), pairs)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A promise and what came of it.

    Parameters
    ----------
    promise
        in words
    ratio
        measured; None where it could not be
    most
        that it may be
    detail
        what was compared, or why it could not be
    """

    promise: str
    ratio: Optional[float]
    most: float
    detail: str

    @property
    def kept(self) -> Optional[bool]:
        """Whether the promise is kept; None: unknown."""
        return None if self.ratio is None else self.ratio <= self.most


def judge(quick: bool, asked: Asked, say: Say) -> Dict[str, Any]:
    """Measure the short set and check all promises.

    Parameters
    ----------
    quick
        tiny networks: shows that it works, the figures mean little
    asked
        its `threads` and `rounds` count; the rest is the short set's
    say
        called with what is under way

    Returns
    -------
    dict
        as `benchmark_models.measure`, with 'verdicts'
    """
    asked = Asked(precisions=('float32', 'bfloat16', 'int8'), threads=asked.threads, rounds=asked.rounds)
    promises = listed(quick)
    asked = dataclasses.replace(asked, shape=promises.shape).possible(say)
    result: Dict[str, Any] = {'machine': facts()}
    with workplace(promises.model, asked, 1) as folder:
        subject = prepare(promises.model, asked, 1, folder)
        wanted = [*contenders(subject, asked), *products(asked.precisions, asked.count)]
        records = side_by_side(wanted, asked.rounds, say)
    best = limits(records)
    result['limits'] = [limit.record(promises.model, 1) for limit in best.values()]
    result['models'] = [subject.record()]
    result['rows'] = rows(subject, 1, records, best)
    verdicts = of_precisions(subject, records, best)
    for pair in promises.pairs:
        verdicts += of_pair(pair, asked, say)
    result['verdicts'] = [{**dataclasses.asdict(verdict), 'kept': verdict.kept} for verdict in verdicts]
    return result


def of_precisions(subject: Subject, records: Sequence[Measured], best: Dict[str, Limit]) -> List[Verdict]:
    """Check what is promised of one network in each precision, from what was measured in one run."""
    amx = not processor()[1].isdisjoint({'amx_int8'})
    verdicts = []
    for precision in ('float32', 'bfloat16', 'int8'):
        measured = _of(records, kinds.OURS, precision, subject.auto.get(precision, ''))
        if measured is None and precision not in best:
            continue  # bfloat16 on a processor without
        title = f'{precision} by auto ({subject.auto.get(precision, "no runtime")})'
        others = [_of(records, by, precision) for by in DIRECT]
        fastest = min((r for r in others if r), key=lambda r: r.ms, default=None)
        verdicts.append(_over(f'{title} over the fastest called directly', measured, fastest, 1.05))
        against, most = {
            'float32': ('float32', 1.15),
            'bfloat16': ('bfloat16', 1.2),
            'int8': ('bfloat16', 0.7) if amx else ('float32', 0.35),
        }[precision]
        verdicts.append(_over_limit(f'{title} over the limit of {against}', measured, best.get(against), subject, most))
    for precision, most in (('float32', 1.2), ('int8', 0.6)):
        measured = _of(records, kinds.OURS, precision, 'mxnet')
        title = f'{precision} by MXNet alone over the limit of float32'
        verdicts.append(_over_limit(title, measured, best.get('float32'), subject, most))
    return verdicts


def _of(records: Sequence[Measured], by: str, precision: str, runtime: str = '') -> Optional[Measured]:
    for record in records:
        own = record.contender
        if (own.by, own.precision, own.runtime) == (by, precision, runtime) and not record.problem:
            return record
    return None


def _over(promise: str, measured: Optional[Measured], other: Optional[Measured], most: float) -> Verdict:
    if measured is None or other is None:
        return Verdict(promise, None, most, 'not measured' if measured is None else 'nothing to compare with')
    detail = f'{measured.ms:.1f} ms, {other.contender.label} {other.ms:.1f} ms'
    return Verdict(promise, measured.over(other), most, detail)


def _over_limit(
    promise: str, measured: Optional[Measured], limit: Optional[Limit], subject: Subject, most: float
) -> Verdict:
    if measured is None or limit is None:
        return Verdict(promise, None, most, 'not measured' if measured is None else 'no limit measured')
    least = subject.cost.flops / limit.gflops / 1e6
    detail = f'{measured.ms:.1f} ms, {least:.1f} ms at {limit.gflops:.0f} GFLOP/s ({limit.library})'
    return Verdict(promise, limit.ratio(measured, subject.cost.flops), most, detail)


def of_pair(pair: Pair, asked: Asked, say: Say) -> List[Verdict]:
    """Time a method and its backbone in turn, in MXNet and in OpenVINO."""
    asked = dataclasses.replace(asked, shape=pair.shape, precisions=('float32',), peers=False)
    with temporary_folder() as folder:
        subjects = []
        for name in (pair.method, pair.backbone):
            own = Path(folder) / name
            own.mkdir()
            subjects.append(prepare(name, asked, 1, own))
        runtimes = ('mxnet', 'openvino')
        wanted = [subject.ours(name, 'float32', asked.count) for name in runtimes for subject in subjects]
        records = side_by_side(wanted, asked.rounds, say)
    flops = subjects[0].cost.flops / subjects[1].cost.flops
    verdicts = []
    for runtime, method, backbone in zip(runtimes, records[::2], records[1::2]):
        promise = f'{pair.title} over its backbone by {runtime}'
        if method.problem or backbone.problem:
            verdicts.append(Verdict(promise, None, pair.most, method.problem or backbone.problem))
            continue
        detail = f'{method.ms:.1f} ms, {backbone.ms:.1f} ms; FLOPs {flops:.2f}'
        verdicts.append(Verdict(promise, method.over(backbone), pair.most, detail))
    return verdicts
