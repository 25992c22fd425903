"""`gluon-fg quantize`: the INT8 form of a network, several times as fast on a processor."""

from __future__ import annotations

import importlib.util
import logging
import sys
from typing import Any, Dict, List, Optional, Tuple

import click

from ..errors import UserError
from .base import Command, Several
from .options import ModelChoice, Output, output_options, pass_options, print_json

RUNTIMES = ('openvino', 'mxnet')


@click.command(
    cls=Command,
    example="""
quantize i3d_tiny_synthfg --calib data/synthfg/val.csv --runtime mxnet
quantize runs/mine --calib data/mine/train.csv --test data/mine/test.csv
""",
)
@click.argument('model')
@click.option(
    '--calib',
    cls=Several,
    metavar='LIST...',
    help='Videos to calibrate on, as those that it will see: a list of them (.csv, .txt), folders or files.',
)
@click.option('--test', cls=Several, metavar='LIST...', help='Labeled videos: accuracy before and after.')
@click.option(
    '--runtime',
    type=click.Choice(['auto', *RUNTIMES]),
    default='auto',
    show_default=True,
    help='What is to compute it; auto is OpenVINO where it is installed.',
)
@click.option('--protocol', metavar='NAME', help='Views of a video, as in evaluate. [default: of the model]')
@click.option('--clips', type=int, default=64, show_default=True, help='Views at most, each of a video of its own.')
@click.option(
    '--agreement',
    type=float,
    default=0.99,
    show_default=True,
    help='Leave layers in float32 until the scores of clips held back agree so well.',
)
@click.option('--exclude', cls=Several, metavar='LAYER...', help='Layers that stay in float32 in any case.')
@click.option('--params', metavar='FILE', help='Parameters. [default: the published weights, or best.params of a run]')
@click.option('--options', cls=Several, metavar='KEY=VALUE...', help='Options of the model, for example nclass=8.')
@pass_options
@click.option('--force', is_flag=True, help='Replace the one that is there.')
@output_options(out=False, json=True)
def quantize(model: str, calib: List[str], test: List[str], output: Output, **given: Any) -> int:
    """Make the INT8 form of a trained network, and say what it costs in accuracy.

    MODEL is a name of the zoo, a published name or the folder of a training run. Convolutions compute in 8 bits; the
    ranges of the numbers between them are read from videos (--calib; labels are not needed, 16 are enough to begin
    with). Layers are left in float32 where the scores of clips that were held back agree too little.

    The result lies in a folder beside the weights (int8-RUNTIME in a run), is a quarter of their size, and is used with
    --precision int8 of predict and evaluate, or gluon_fg.predict(..., precision='int8').
    """
    from ..evaluation import quantizing
    from ..evaluation.protocol import get_protocol

    logging.basicConfig(level=logging.WARNING, format='%(message)s')
    if not calib:
        raise UserError('give videos to calibrate on: --calib data/val.csv, a folder, or several files')
    runtime = given['runtime'] if given['runtime'] != 'auto' else _fastest()
    settings = (given['clips'], given['agreement'], tuple(given['exclude']))
    quantizing.Request(runtime, get_protocol(given['protocol'] or 'train_time'), *settings)  # before anything slow
    net = ModelChoice(model, None, given['params'], tuple(given['options'])).load().net
    request = quantizing.Request(runtime, get_protocol(given['protocol'] or net.protocol), *settings)
    quantizing.check_free(net, runtime, given['force'])
    videos = quantizing.listed_videos(calib, net)
    tested = quantizing.listed_videos(test, net) if test else None
    made = quantizing.quantize(net, videos, request, given['workers'], lambda line: click.echo(line, err=output.json))
    facts = made.facts
    if tested is not None:
        progress = sys.stderr.isatty()
        report = quantizing.measure(net, tested, request, given['batch_size'], given['workers'], progress)
        facts = quantizing.note_report(made.folder, report)
    if output.json:
        print_json({**facts, 'folder': str(made.folder)})
    else:
        click.echo('\n'.join(_lines(facts, str(made.folder))))
        click.echo(f'next: gluon-fg predict VIDEO --model {model} --runtime {runtime} --precision int8')
    return 0


def _fastest() -> str:
    from ..deploy.quantized.openvino import PACKAGES

    return 'openvino' if all(importlib.util.find_spec(name) for name in PACKAGES) else 'mxnet'


def _lines(facts: Dict[str, Any], folder: str) -> List[str]:
    """The result in words."""
    count, left = facts['layers'], facts['float32_layers']
    lines = [
        f'{facts["network"]}: {count - len(left)} of {count} layers in INT8 for {facts["runtime"]}, '
        f'{facts["bytes"] / 1e6:.2f} MB (float32 weights: {facts["float32_bytes"] / 1e6:.2f} MB); {folder}'
    ]
    lines += [f'in float32: {", ".join(left)}'] if left else []
    alike = facts['held_back']
    lines.append(
        f'{facts["calibration"]["held_back"]} clips held back: scores agree to {alike["scores"]:.4f}, '
        f'the likeliest class in {100 * alike["top1"]:.1f} %'
    )
    report: Optional[Dict[str, Any]] = facts.get('report')
    if report:
        lines.append(f'{report["videos"]} videos of {report["dataset"]} ({report["protocol"]}):')
        lines += [_row(name, report[name]) for name in ('before', 'after')]
        lines.append(
            f'  scores agree to {report["agreement"]["scores"]:.4f}, '
            f'the likeliest class in {100 * report["agreement"]["top1"]:.1f} %'
        )
    return lines


def _row(name: str, numbers: Dict[str, Any]) -> str:
    values: List[Tuple[str, float]] = [(key, value) for key, value in numbers.items() if key != 'execution']
    return f'  {name:<7}{numbers["execution"]:<20}' + ''.join(f'{key} {100 * value:6.2f} %  ' for key, value in values)
