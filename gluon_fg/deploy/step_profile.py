"""Where the time of a training step goes: every kernel of oneDNN that it runs, by kind.

    python -m gluon_fg.deploy.step_profile i3d_tiny_synthfg_dfb

oneDNN tells of each kernel when `DNNL_VERBOSE` is set before MXNet is loaded: the step runs in a process of its own.
Kernels called `ref` are plain loops, of which a network should have none; `reorder` changes a layout.
"""

from __future__ import annotations

import collections
import os
import subprocess
import sys
import time
from typing import Dict, List, NamedTuple

from .. import factory
from ..errors import UserError

_BEGIN, _END = 'gluon_fg: a step begins', 'gluon_fg: the step took '


class Kernels(NamedTuple):
    """The kernels of a kind: 'convolution backward_weights'; a step's calls of them, and milliseconds."""

    kind: str
    calls: float
    ms: float


class StepProfile(NamedTuple):
    """A training step of a network.

    Parameters
    ----------
    kernels
        by kind, the longest first
    slow
        reference kernels among them: 'batch_normalization bnorm_ref:any backward'
    ms
        processor time of the whole step
    """

    kernels: List[Kernels]
    slow: List[str]
    ms: float


def profile(name: str, clips: int = 8, steps: int = 5) -> StepProfile:
    """Run some training steps of a network of the zoo on random clips, and add up what oneDNN did.

    Parameters
    ----------
    name
        of the zoo
    clips
        in a batch, of the size that the network trains on
    steps
        that are measured, behind two that are not

    Raises
    ------
    UserError
        no such name, or the steps failed
    """
    factory.resolve(name)
    words = [sys.executable, '-m', 'gluon_fg.deploy.step_profile', name, '--run', str(clips), str(steps)]
    done = subprocess.run(words, env={**os.environ, 'DNNL_VERBOSE': '1'}, capture_output=True, text=True)
    if done.returncode != 0:
        raise UserError((done.stderr.strip().splitlines() or ['the step failed'])[-1].replace('error: ', ''))
    return read(done.stdout.splitlines(), steps)


def read(lines: List[str], steps: int) -> StepProfile:
    """Add up what oneDNN told of some steps: means of them.

    Parameters
    ----------
    lines
        'dnnl_verbose,exec,cpu,<kind>,<kernel>,<pass>,...,<ms>' (oneDNN 2.4) between those of this module
    steps
        how many there were
    """
    calls: Dict[str, int] = collections.Counter()
    times: Dict[str, float] = collections.defaultdict(float)
    slow, whole = set(), 0.0
    for line in lines[lines.index(_BEGIN) :]:
        words = line.split(',')
        if words[:2] == ['dnnl_verbose', 'exec']:
            kind, kernel, direction = words[3:6]
            label = kind if direction == 'undef' else f'{kind} {direction}'
            calls[label] += 1
            times[label] += float(words[-1])
            if 'ref' in kernel:
                slow.add(f'{kind} {kernel} {direction}')
        elif line.startswith(_END):
            whole += float(line[len(_END) :])
    kernels = [Kernels(label, calls[label] / steps, times[label] / steps) for label in calls]
    return StepProfile(sorted(kernels, key=lambda row: -row.ms), sorted(slow), whole / steps)


def table(profiled: StepProfile) -> str:
    """A profile as a table of Markdown."""
    rows = [f'| {row.kind} | {row.calls:.0f} | {row.ms:.1f} | {row.ms / profiled.ms:.0%} |' for row in profiled.kernels]
    rest = profiled.ms - sum(row.ms for row in profiled.kernels)
    rows.append(f'| outside oneDNN | | {rest:.1f} | {rest / profiled.ms:.0%} |')
    rows.append(f'| the step | | {profiled.ms:.1f} | 100% |')
    head = ['| kernels | calls | ms | share |', '|---|---|---|---|']
    return '\n'.join([*head, *rows, f'\nreference kernels: {", ".join(profiled.slow) or "none"}'])


def _run(name: str, clips: int, steps: int) -> None:
    """The process that is watched."""
    import mxnet as mx
    import numpy as np

    from .benchmark import training_step

    net = factory.get_model(name, pretrained_base=False)
    net.hybridize(static_alloc=True, static_shape=True)
    spec = net.input_spec
    shape = (spec.channels, spec.frames) if spec.ndim == 3 else (spec.channels,)
    x = mx.nd.random.uniform(shape=(clips * net.num_segments, *shape, spec.crop_size, spec.crop_size))
    step = training_step(net, x, mx.nd.array(np.arange(clips) % net.nclass))
    for _ in range(2):
        step()
    print(_BEGIN)
    for _ in range(steps):
        began = time.process_time()
        step()
        print(f'{_END}{1000 * (time.process_time() - began)}', flush=True)


def main(words: List[str]) -> None:
    """The command line: a name; --run: in the process that is watched."""
    if len(words) == 4 and words[1] == '--run':
        _run(words[0], int(words[2]), int(words[3]))
    elif len(words) == 1:
        print(table(profile(words[0])))
    else:
        raise UserError('usage: python -m gluon_fg.deploy.step_profile NAME')


if __name__ == '__main__':
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f'error: {error}')
