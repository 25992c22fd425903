"""Print, for 1 to 64 GPUs, how many clips a second a training can do and what limits it, on paper: nothing is run.

    python scripts/scaling_table.py --gflops 560.6 --parameters 94.9 --node-gbps 100

An update of n GPUs, each with its clips, takes what the slower of two takes: computing (with the all-reduce, of which
a part hides behind the backward pass) and decoding of the same clips by the cores of the machine. docs/scaling.md has
the formulas and where the inputs come from.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from typing import Iterator, List, Optional, Sequence

COUNTS = (1, 2, 4, 8, 16, 32, 64)
PASSES = 3  # forward, gradient of the inputs, gradient of the weights: as many products each


@dataclasses.dataclass(frozen=True)
class Setting:
    """A network, a GPU and the machines.

    Parameters
    ----------
    gflops
        of one clip, forward, 10**9, two for each multiply-add
    parameters
        learned numbers, 10**6; their gradients are reduced as float32
    clips
        of one GPU and pass
    accumulate
        passes of an update
    device_tflops
        peak of a GPU in the precision of training, 10**12 a second
    utilization
        share of the peak that is reached
    gpus
        of a machine
    local_gbytes, node_gbps
        of the slowest link in a machine, 10**9 bytes a second, and of a machine's network, 10**9 bits a second, each
        in one direction
    hidden
        share of the all-reduce that goes on behind the backward pass
    cores, decode
        processor cores of a machine, and core-seconds to read one clip
    """

    gflops: float
    parameters: float
    clips: int = 2
    accumulate: int = 4
    device_tflops: float = 112.0
    utilization: float = 0.3
    gpus: int = 8
    local_gbytes: float = 12.0
    node_gbps: float = 25.0
    hidden: float = 0.0
    cores: int = 64
    decode: float = 0.13


@dataclasses.dataclass(frozen=True)
class Row:
    """An update of so many GPUs.

    Parameters
    ----------
    gpus
        of the job
    compute, reduce, decode
        seconds of an update: of the passes, of the all-reduce by itself, of reading its clips
    clips_per_second
        of the whole job
    efficiency
        of `clips_per_second`, against as many times one GPU that waits for nothing
    limit
        'computing', 'all-reduce' or 'decoding': what takes the most
    """

    gpus: int
    compute: float
    reduce: float
    decode: float
    clips_per_second: float
    efficiency: float
    limit: str


def ring_seconds(count: int, setting: Setting) -> float:
    """Seconds of a ring all-reduce: each GPU sends 2 (n - 1) / n of the gradients over the slowest link of the ring."""
    if count == 1:
        return 0.0
    link = setting.local_gbytes * 1e9
    if count > setting.gpus:
        link = min(link, setting.node_gbps * 1e9 / 8)
    return 2 * (count - 1) / count * setting.parameters * 1e6 * 4 / link


def row(count: int, setting: Setting) -> Row:
    """What an update of `count` GPUs takes; the GPUs fill one machine after another."""
    clips = setting.clips * setting.accumulate
    compute = PASSES * setting.gflops * 1e9 * clips / (setting.device_tflops * 1e12 * setting.utilization)
    reduce = ring_seconds(count, setting)
    decode = min(count, setting.gpus) * clips * setting.decode / setting.cores
    computing = compute + reduce * (1 - setting.hidden)
    seconds = max(computing, decode)
    limit = 'decoding' if decode > computing else 'all-reduce' if computing > 2 * compute else 'computing'
    return Row(count, compute, reduce, decode, count * clips / seconds, compute / seconds, limit)


def cores_needed(count: int, setting: Setting) -> int:
    """Cores of each machine that read as fast as its GPUs compute, when these wait for no all-reduce."""
    made = row(count, setting)
    return math.ceil(made.decode * setting.cores / made.compute)


def table(setting: Setting, counts: Sequence[int] = COUNTS) -> str:
    """In Markdown, a line for each number of GPUs."""
    return '\n'.join(_lines(setting, counts))


def _lines(setting: Setting, counts: Sequence[int]) -> Iterator[str]:
    yield '| GPUs | computing s | all-reduce s | decoding s | clips/s | efficiency | cores a machine | limit |'
    yield '|---|---|---|---|---|---|---|---|'
    for count in counts:
        r = row(count, setting)
        yield (
            f'| {r.gpus} | {r.compute:.3f} | {r.reduce:.3f} | {r.decode:.3f} | {r.clips_per_second:.1f} '
            f'| {100 * r.efficiency:.0f} % | {cores_needed(count, setting)} | {r.limit} |'
        )


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f'{text} is not above 0')
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'{text} is not from 0 to 1')
    return value


def _busy(text: str) -> float:
    if not _positive(text) <= 1:
        raise argparse.ArgumentTypeError(f'{text} is not above 0 and at most 1')
    return float(text)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'{text} is not 1 or more')
    return value


def main(argv: Optional[List[str]] = None) -> int:
    """Print the table of what the options say."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    add = parser.add_argument
    add('--gflops', type=_positive, required=True, help='of one clip, forward: gluon-fg benchmark --flops NAME')
    add('--parameters', type=_positive, required=True, help='millions, from the same command')
    add('--clips', type=_count, default=2, help='of a GPU and pass: train.batch_size')
    add('--accumulate', type=_count, default=4, help='passes of an update: train.accumulate')
    add('--device-tflops', type=_positive, default=112.0, help='peak of a GPU in the precision of training')
    add('--utilization', type=_busy, default=0.3, help='share of that peak')
    add('--gpus', type=_count, default=8, help='of a machine')
    add('--local-gbytes', type=_positive, default=12.0, help='GB/s of the slowest link in a machine, one direction')
    add('--node-gbps', type=_positive, default=25.0, help='Gbit/s of the network of a machine')
    add('--hidden', type=_share, default=0.0, help='share of the all-reduce behind the backward pass')
    add('--cores', type=_count, default=64, help='of a machine')
    add('--decode', type=_positive, default=0.13, help='core-seconds a clip: gluon-fg benchmark --loader')
    print(table(Setting(**vars(parser.parse_args(argv)))))
    return 0


if __name__ == '__main__':
    sys.exit(main())
