"""How the time of a network grows with its input, and falls with the processors that it gets.

Each size is one run of `measuring`, of all runtimes that are asked for in turn.
"""

from __future__ import annotations

import dataclasses
import statistics
from pathlib import Path
from typing import Any, Dict, List, Tuple

from .. import factory
from ..errors import UserError
from ..files import temporary_folder
from .benchmark_models import Asked, Subject, contenders, prepare
from .execution import thread_count
from .flops import input_shape
from .machine import facts
from .measuring import Say, at_once, side_by_side

FRAMES = (8, 16, 32, 64)
SIZES = (112, 160, 192, 224, 256)
BATCHES = (1, 2, 4, 8)


def measure(name: str, asked: Asked, say: Say) -> Dict[str, Any]:
    """Measure a network at several lengths of clips, sizes of frames and batches, and numbers of threads and processes.

    Where one of these changes the others are the network's own, or those of `asked.shape`; processes (ranks) that share
    the processors have one thread each.

    Returns
    -------
    dict
        plain values for JSON: 'machine', 'model', 'shape', and 'points', each with 'axis' ('frames', 'size', 'batch',
        'threads' or 'ranks'), 'value', 'runtime', 'precision', 'clips_per_s', 'gflops'

    Raises
    ------
    UserError
        no such network, or it cannot take an input of `asked.shape`
    """
    asked = asked.possible(say)
    base = asked.shape or _own(name, asked)
    points: List[Dict[str, Any]] = []
    for axis, value, shape, batch in _inputs(base):
        try:
            points += _point(name, dataclasses.replace(asked, shape=shape), batch, axis, value, say)
        except UserError as error:
            say(f'{axis} {value}: {error}')  # a network of one length, or too small a frame
    here = dataclasses.replace(asked, shape=base)
    for count in sorted({1, 2, thread_count()}):
        if count <= thread_count():
            points += _point(name, dataclasses.replace(here, threads=count), 1, 'threads', count, say)
            points += _ranks(name, dataclasses.replace(here, threads=1), count, say)
    return {'machine': facts(), 'model': name, 'shape': list(base), 'points': points}


def _own(name: str, asked: Asked) -> Tuple[int, ...]:
    return tuple(input_shape(factory.build(name, asked.nclass).input_spec))


def _inputs(base: Tuple[int, ...]) -> List[Tuple[str, int, Tuple[int, ...], int]]:
    """What is measured: axis, its value, the shape of one clip, clips of a batch."""
    inputs: List[Tuple[str, int, Tuple[int, ...], int]] = []
    if len(base) == 5:
        inputs += [('frames', frames, (*base[:2], frames, *base[3:]), 1) for frames in FRAMES]
    inputs += [('size', size, (*base[:-2], size, size), 1) for size in SIZES]
    return inputs + [('batch', batch, base, batch) for batch in BATCHES]


def _point(name: str, asked: Asked, batch: int, axis: str, value: int, say: Say) -> List[Dict[str, Any]]:
    with temporary_folder() as folder:
        subject = prepare(name, asked, batch, Path(folder))
        records = side_by_side(contenders(subject, asked), asked.rounds, lambda text: say(f'{axis} {value}: {text}'))
    points = []
    for record in records:
        if record.problem:
            say(f'{axis} {value}: {record.problem}')
            continue
        points.append(_record(subject, record.contender, axis, value, 1000 * batch / record.ms, batch))
    return points


def _ranks(name: str, asked: Asked, ranks: int, say: Say) -> List[Dict[str, Any]]:
    """As many processes of one thread each, at the same time."""
    points = []
    with temporary_folder() as folder:
        subject = prepare(name, asked, 1, Path(folder))
        for contender in contenders(subject, asked):
            say(f'ranks {ranks}: {contender.label} {contender.precision}')
            try:
                taken = statistics.median(at_once(contender, ranks, asked.rounds))
            except UserError as error:
                say(f'ranks {ranks}: {error}')
                continue
            points.append(_record(subject, contender, 'ranks', ranks, 1000 * ranks / taken, 1))
    return points


def _record(subject: Subject, contender: Any, axis: str, value: int, clips: float, batch: int) -> Dict[str, Any]:
    return {
        'axis': axis,
        'value': value,
        'runtime': contender.label,
        'precision': contender.precision,
        'clips_per_s': clips,
        'gflops': clips * subject.cost.flops / batch / 1e9,
    }


def table(result: Dict[str, Any]) -> str:
    """The points of a run: a line for each axis, runtime and precision."""
    shape = 'x'.join(map(str, result['shape']))
    lines = [f'{result["model"]}, {shape}: clips a second (GFLOP/s)']
    points = result['points']
    for axis in dict.fromkeys(point['axis'] for point in points):
        chosen = [point for point in points if point['axis'] == axis]
        for runtime, precision in dict.fromkeys((p['runtime'], p['precision']) for p in chosen):
            figures = [
                f'{p["value"]}: {p["clips_per_s"]:.3g} ({p["gflops"]:.0f})'
                for p in chosen
                if (p['runtime'], p['precision']) == (runtime, precision)
            ]
            lines.append(f'  {axis:8s} {runtime:22s} {precision:9s} ' + '   '.join(figures))
    return '\n'.join(lines)
