"""Full size: the paper's largest network, 64 frames of 224 x 224 in float16, for 10 updates; on a CPU a stand-in."""

from __future__ import annotations

import contextlib
import threading
from typing import Iterator, List

import mxnet as mx

from ..errors import UserError
from ..training.log import read_metrics
from .outcome import Outcome, Target
from .trained import called, plan, words

_SECONDS = 900
_NAME = '64 frames, 10 updates'
_ADVICE = 'lower train.batch_size or data.frames, and raise train.accumulate'


def checks(target: Target) -> Iterator[Outcome]:
    """Ten updates on rendered videos: clips per second, waiting for data, and the most memory that was in use."""
    config, *settings = trained_at(target)
    try:
        with _memory(target) as used:
            called(words(target, config, 'full', *settings), target.folder, _SECONDS)
    except UserError as error:  # most likely there is too little memory
        yield Outcome(_NAME, False, str(error), _ADVICE)
        return
    updates = [r for r in read_metrics(target.folder / 'full' / 'metrics.jsonl') if r['event'] == 'train'][1:11]
    if len(updates) < 10:
        yield Outcome(_NAME, False, f'{len(updates)} updates were done behind the first', _ADVICE)
        return
    seconds = sum(record['seconds'] for record in updates)
    waiting = sum(record['data_seconds'] for record in updates) / seconds
    said = f'{8 * len(updates) / seconds:.2f} clips/s, {100 * waiting:.0f} % of the time waiting for data'
    if not target.on_gpu:
        said += ' (a tiny network in its place on the CPU)'
    elif used:
        said += f', {max(used):.1f} GB of the GPU in use, by all processes'
    yield Outcome(_NAME, True, said, _ADVICE, {'updates': updates, 'gigabytes': max(used, default=None)})


def trained_at(target: Target) -> List[str]:
    """The config and the settings: of the largest network as it is trained on a GPU, and of its stand-in on a CPU."""
    full = plan()['full_size']
    settings = ['model.nclass=24', 'data.dataset=synthfg', 'train.epochs=1', 'model.start=none']
    if not target.on_gpu:
        stand_in = [f'model.name={full["stand_in"]}', 'model.options={}', 'data.frames=8', 'train.precision=float32']
        return ['dfb/i3d_tiny_synthfg_dfb', *settings, *stand_in]
    settings += [f'model.name={full["model"]}', f'train.precision={target.precision}', 'data.workers=4']
    # Two clips at once when validating, too: the memory that is told is of training
    return [full['config'], *settings, 'train.batch_size=2', 'train.accumulate=4', 'test.batch_size=2']


@contextlib.contextmanager
def _memory(target: Target) -> Iterator[List[float]]:
    """Watch the memory in use on a GPU, of all processes, twice a second."""
    used: List[float] = []
    ended = threading.Event()

    def watch() -> None:
        with contextlib.suppress(mx.MXNetError):  # the check goes on without
            while not ended.wait(0.5):
                free, total = mx.context.gpu_memory_info(target.ctx.device_id)
                used.append((total - free) / 1e9)

    thread = threading.Thread(target=watch, daemon=True)
    if target.on_gpu:
        thread.start()
    try:
        yield used
    finally:
        ended.set()
        if target.on_gpu:
            thread.join()
