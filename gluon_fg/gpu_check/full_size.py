"""Full size: the paper's largest network, 64 frames of 224 x 224 in float16, for 10 updates; on a CPU a stand-in."""

from __future__ import annotations

import contextlib
import threading
from typing import Iterator, List

import mxnet as mx

from ..training.log import read_metrics
from .outcome import Outcome, Target
from .trained import called, plan, words

_SECONDS = 900
_ADVICE = 'lower train.batch_size or data.frames, and raise train.accumulate'


def checks(target: Target) -> Iterator[Outcome]:
    """Ten updates on rendered videos: clips per second, waiting for data, and the most memory that was in use."""
    full = plan()['full_size']
    settings = [f'model.name={full["model"]}', 'model.nclass=24', 'data.dataset=synthfg', 'train.epochs=1']
    settings += ['model.start=none', 'train.accumulate=1', 'train.batch_size=8', 'data.short_side=null']
    if not target.on_gpu:
        settings = [f'model.name={full["stand_in"]}', 'model.options={}', 'data.frames=8', *settings[1:]]
    settings += [f'train.precision={target.precision if target.on_gpu else "float32"}']
    config = full['config'] if target.on_gpu else 'dfb/i3d_tiny_synthfg_dfb'
    if target.on_gpu:
        settings += ['train.batch_size=2', 'train.accumulate=4', 'data.workers=4']
    with _memory(target) as used:
        called(words(target, config, 'full', *settings), target.folder, _SECONDS)
    updates = [r for r in read_metrics(target.folder / 'full' / 'metrics.jsonl') if r['event'] == 'train'][1:11]
    if not updates:
        yield Outcome('64 frames, 10 updates', False, 'no update was done', _ADVICE)
        return
    seconds = sum(record['seconds'] for record in updates)
    waiting = sum(record['data_seconds'] for record in updates) / seconds
    said = f'{8 * len(updates) / seconds:.2f} clips/s, {100 * waiting:.0f} % of the time waiting for data'
    said += (
        f', {max(used):.1f} GB of the GPU in use, by all processes'
        if used
        else ' (a tiny network in its place on the CPU)'
    )
    yield Outcome(
        '64 frames, 10 updates', True, said, _ADVICE, {'updates': updates, 'gigabytes': max(used, default=None)}
    )


@contextlib.contextmanager
def _memory(target: Target) -> Iterator[List[float]]:
    """Watch the memory in use on a GPU, of all processes, twice a second."""
    used: List[float] = []
    ended = threading.Event()

    def watch() -> None:
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
