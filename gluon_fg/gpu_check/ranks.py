"""Two ranks: the losses of one process, the same weights on both, and how long averaging the gradients takes."""

from __future__ import annotations

import importlib.util
import json
import shutil
import statistics
import sys
from pathlib import Path
from typing import Iterator, List, Optional

import mxnet as mx

from ..errors import UserError
from ..named_configs import find_config
from ..training.config import load_config
from ..weights.zoo import weights_file
from .outcome import Outcome, Target
from .trained import called, plan, read, words

TOLERANCE = 3e-4  # of the loss, as between 1 and 8 ranks on CPUs
_BESIDE = 'two ranks beside one process'
_ADVICE = 'train on one GPU, and send the report to the project'
_MEGABYTES, _QUICK_MEGABYTES = 380, 40  # float32 gradients of 95 million parameters: DFB on a ResNet-152


def checks(target: Target) -> Iterator[Outcome]:
    """Batch norm keeps published statistics: ranks would else normalize their own halves of a batch."""
    launcher = _launcher()
    if importlib.util.find_spec('horovod') is None or launcher is None:
        yield Outcome('two ranks', True, 'not tried: there is no Horovod here')
        return
    if target.on_gpu and mx.context.num_gpus() < 2:
        yield Outcome('two ranks', True, 'not tried: there is one GPU')
        return
    yield _beside_one(target, launcher)
    yield from _job(target, launcher)


def _beside_one(target: Target, launcher: str) -> Outcome:
    config, *settings = next(iter(plan()['networks'].values()))
    try:
        weights_file(load_config(find_config(config), settings).model.name, attempts=1)
    except UserError as error:
        return Outcome(_BESIDE, True, f'not tried: {error}')
    settings += [
        'train.batch_norm=frozen',
        'model.options.dropout=0',
        'model.pretrained=true',
        f'train.epochs={1 if target.quick else 3}',
    ]
    called(words(target, config, 'alone', *settings, 'train.batch_size=8'), target.folder)
    two = words(target, config, 'two', *settings, 'train.batch_size=4', 'train.without_nccl=true')
    called([launcher, '-np', '2', *two], target.folder)
    return near(read(target.folder / 'alone').losses, read(target.folder / 'two').losses)


def near(alone: List[Optional[float]], two: List[Optional[float]]) -> Outcome:
    """Whether the losses of two ranks are those of one process."""
    pairs = [(a, b) for a, b in zip(alone, two) if a is not None and b is not None]
    whole = len(pairs) == len(alone) == len(two) and bool(pairs)
    largest = max((abs(a - b) / max(abs(a), 1e-3) for a, b in pairs), default=float('inf'))
    said = f'losses of {len(pairs)} updates differ by {largest:.1e} at most' if whole else 'losses are missing'
    facts = {'alone': alone, 'two': two}
    return Outcome(_BESIDE, whole and largest <= TOLERANCE, said, _ADVICE, facts)


def _job(target: Target, launcher: str) -> Iterator[Outcome]:
    megabytes = _QUICK_MEGABYTES if target.quick else _MEGABYTES
    command = [sys.executable, '-m', 'gluon_fg.gpu_check.job', str(megabytes), target.ctx.device_type]
    printed = called([launcher, '-np', '2', *command], target.folder)
    told = json.loads(printed[printed.index('{"digests"') : printed.rindex('}') + 1])
    same = len(set(told['digests'])) == 1 and len(told['digests']) == 2
    apart = len(set(told['losses'])) == 2
    said = f'{"equal" if same else "differ"} after 5 updates' + ('' if apart else ', but both saw the same clips')
    yield Outcome('weights of both ranks', same and apart, said, _ADVICE, told)
    seconds = statistics.median(told['seconds'])
    yield Outcome('averaging the gradients', True, f'{megabytes} MB in {seconds:.3f} s', facts={'seconds': seconds})


def _launcher() -> Optional[str]:
    beside = Path(sys.executable).with_name('horovodrun')
    return str(beside) if beside.is_file() else shutil.which('horovodrun')
