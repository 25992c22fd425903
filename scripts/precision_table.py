"""Print what INT8 and bfloat16 cost the networks that come with the package, on their whole test sets, in Markdown.

    python scripts/precision_table.py [NAME ...]

Each is quantized for MXNet and for OpenVINO on 64 clips of its validation set; the forms are kept as `gluon-fg
quantize` keeps them. Takes some minutes: five networks see 960 clips four times each, another sees 480 whose optical
flow is computed.
"""

from __future__ import annotations

import logging
import sys
from typing import Iterator

import gluon_fg  # noqa: F401  (first: MXNet before all else)
from gluon_fg.deploy.execution import REFERENCE, Execution
from gluon_fg.errors import UserError, run
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.quantizing import Request, compared, quantize
from gluon_fg.evaluation.score import score_dataset
from gluon_fg.training.named import Named, dataset_of, load_model

SHIPPED = [
    'i3d_tiny_synthfg',
    'i3d_tiny_synthfg_dfb',
    'i3d_tiny_synthfg_cidc',
    'topheavy_tiny_synthfg',
    'topheavy_tiny_synthfg_u2s',
    'fused3d_tiny_synthfg_motion',
]
LOWER = [Execution('openvino', 'bfloat16'), Execution('mxnet', 'int8'), Execution('openvino', 'int8')]
HEAD = '| network | videos | computed by | top-1 | change | scores agree | same top-1 | layers in float32 | MB |'


def main() -> int:
    """Measure the networks named, or all that come with the package."""
    logging.basicConfig(level=logging.WARNING, format='%(message)s')
    print(HEAD, '|---|---|---|---|---|---|---|---|---|', sep='\n')
    for name in sys.argv[1:] or SHIPPED:
        for line in _rows(load_model(name)):
            print(line, flush=True)
    return 0


def _rows(named: Named) -> Iterator[str]:
    net, protocol = named.net, get_protocol(named.net.protocol)
    calibration, test = dataset_of(named, 'val').videos, dataset_of(named, 'test').videos
    before = score_dataset(net, test, protocol, progress=False, execution=REFERENCE)
    told = False
    for execution in LOWER:
        try:
            facts = {}
            if execution.precision == 'int8':
                facts = quantize(net, calibration, Request(execution.runtime, protocol)).facts
            report = compared(before, score_dataset(net, test, protocol, progress=False, execution=execution))
        except UserError as error:  # a processor without bfloat16, a runtime that is not installed
            yield f'| `{net.name}` | | {execution.text} | {error} |'
            continue
        top1 = [100 * report[when]['top1'] for when in ('before', 'after')]
        if not told:
            told = True
            size = 4 * sum(p.data().size for p in net.collect_params().values()) / 1e6
            yield f'| `{net.name}` | {report["videos"]} | {before.execution} | {top1[0]:.2f} | | | | all | {size:.2f} |'
        left = f'{len(facts["float32_layers"])} of {facts["layers"]}' if facts else 'none'
        stored = f'{facts["bytes"] / 1e6:.2f}' if facts else ''
        alike = report['agreement']
        yield (
            f'| | | {execution.text} | {top1[1]:.2f} | {top1[1] - top1[0]:+.2f} | {alike["scores"]:.4f} '
            f'| {100 * alike["top1"]:.2f} % | {left} | {stored} |'
        )


if __name__ == '__main__':
    run(main)
