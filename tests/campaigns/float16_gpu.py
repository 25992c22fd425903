"""What real float16 does to the methods' training: the graphs that MXNet's AMP makes, trained in PyTorch on a GPU.

    make float16-gpu                                        both steps; prints tables, writes float16_gpu.json
    PYTHONPATH=tests python -m campaigns.float16_gpu record FOLDER    graphs, starts, clips; MXNet's trainings on a CPU
    PYTHONPATH=tests python -m campaigns.float16_gpu run FOLDER       the rest: needs PyTorch with CUDA, and no MXNet

MXNet 1.9.1 has no code for today's GPUs. But its AMP decides by the graph alone where float16 is, and the graph can be
computed elsewhere. The tiny networks start from the same weights and see the same clips in the same order, with the
same loss scale and clipping, in float32 (TF32 off), in TF32, in float16, and in float32 that leaves out the updates
which float16 left out. The full-size networks are timed, with their peak memory, on random clips.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import multiprocessing
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np
import torch
from scipy import stats
from torch.nn import functional

from .torch_training import Course, Plan, TrainingGraph, dealt, trained

LAST = 50  # updates that are averaged
SMALL, WARM = Plan(0.01, 210, 8), Plan(0.03, 240, 32)
PLANS = {'dfb': SMALL, 'cidc': SMALL, 'u2s': SMALL, 'dfb-warm': WARM}  # from random weights; DFB also from a baseline's
FULL = ('dfb-64f', 'dfb', 'cidc', 'u2s')


def clips_of(folder: Path, graph: Dict[str, Any], device: str) -> Tuple[torch.Tensor, torch.Tensor]:
    """The training set as the network takes it, and its labels."""
    stored = np.load(folder / 'clips.npz')
    mean, std = (torch.tensor(graph[key], dtype=torch.float32).reshape(1, -1, 1, 1, 1) for key in ('mean', 'std'))
    x = (torch.from_numpy(stored['clips']).float() / 255 - mean) / std
    return x.to(device), torch.from_numpy(stored['labels']).to(device)


def course_of(folder: Path, variant: str, seed: int, precision: str, device: str, left_out: Sequence[int]) -> Course:
    """One training of a variant from one of its starts."""
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == 'tf32'
    half = precision == 'float16'
    graph = json.loads((folder / f'{variant}-{"float16" if half else "float32"}.json').read_text())
    module = TrainingGraph(graph, np.load(folder / f'{variant}-{seed}.npz')).to(device)
    data, plan = clips_of(folder, graph, device), PLANS[variant]
    return trained(module, data, dealt(len(data[1]), plan, seed), plan, half, left_out)


def courses_of(folder: Path, variant: str, seed: int, device: str) -> Dict[str, Any]:
    """All trainings from one start, as plain values."""
    torch.set_num_threads(1)
    half = course_of(folder, variant, seed, 'float16', device, ())
    rest = {name: course_of(folder, variant, seed, name, device, ()) for name in ('float32', 'tf32')}
    late = course_of(folder, variant, seed, 'float32', device, half.left_out)
    return {name: course._asdict() for name, course in {**rest, 'float16': half, 'late': late}.items()}


def mean_and_interval(values: Sequence[float]) -> Tuple[float, float]:
    """The mean, and half the width of its 95 % interval by Student's t; NaN for a single value."""
    count = len(values)
    if count < 2:
        return statistics.fmean(values), float('nan')
    return statistics.fmean(values), float(stats.t.ppf(0.975, count - 1)) * statistics.stdev(values) / count**0.5


def compared(seeds: Sequence[Dict[str, Any]]) -> Dict[str, Any]:
    """How far the last losses of a variant lie from float32's, over its starts."""
    ends = {name: [statistics.fmean(each[name]['losses'][-LAST:]) for each in seeds] for name in seeds[0]}
    row: Dict[str, Any] = {name: statistics.fmean(values) for name, values in ends.items()}
    for name, against in (('float16', 'late'), ('late', 'float32'), ('tf32', 'float32')):
        off = [a / b - 1 for a, b in zip(ends[name], ends[against])]
        row[f'{name} over {against}'] = [*mean_and_interval(off), off]
    row['finite'] = all(np.isfinite(each['float16']['losses']).all() for each in seeds)
    row['left_out'] = [each['float16']['left_out'] for each in seeds]
    row['scale'] = [each['float16']['scale'] for each in seeds]
    return row


def beside_mxnet(folder: Path, variant: str, seeds: Sequence[Dict[str, Any]]) -> Dict[str, Any]:
    """The first start's trainings beside MXNet's own on a CPU, in float32 and in emulated float16."""
    rows: Dict[str, Any] = {}
    for name, emulated in (('float32', 'float32'), ('float16', 'float16_emulated')):
        path = folder / f'{variant}-mxnet-{emulated}.json'
        if path.is_file():
            told, here = json.loads(path.read_text()), seeds[0][name]
            first = [abs(a / b - 1) for a, b in zip(here['losses'][:10], told['losses'][:10])]
            ends = [statistics.fmean(losses[-LAST:]) for losses in (told['losses'], here['losses'])]
            rows[emulated] = {'first_10_off_by': max(first), 'mxnet': ends[0], 'torch': ends[1]}
            rows[emulated].update(left_out=[len(told['left_out']), len(here['left_out'])])
            rows[emulated].update(scale=[told['scale'], here['scale']])
    return rows


# Full size ---------------------------------------------------------------------------------------------------------


def timed(folder: Path, method: str, device: str, rounds: int = 10) -> Dict[str, Any]:
    """Seconds of a forward and backward pass of a full-size network in float16, and the device's peak memory."""
    graph = json.loads((folder / f'{method}-full.json').read_text())
    torch.backends.cudnn.benchmark = True
    module, shape = TrainingGraph(graph).to(device), graph['shape']
    x, label = torch.randn(shape, device=device), torch.arange(shape[0], device=device)
    params = module.learned()
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(rounds + 3):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        torch.autograd.grad(module.loss(module(x), label).sum(), params)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    took = statistics.median(seconds[3:])
    return {
        'name': graph['name'],
        'input': shape,
        'parameters': sum(p.numel() for p in params),
        'gflops': graph['flops'] / 1e9,
        'seconds': took,
        'clips_per_second': shape[0] / took,
        'tflops_per_second': 3 * graph['flops'] / took / 1e12,
        'peak_gb': torch.cuda.max_memory_allocated() / 1e9,
    }


def upsampled(device: str, rounds: int = 20) -> Dict[str, float]:
    """Seconds of up-sampling 2,048 channels, forward and backward: folded, in groups, or by a call for each channel."""
    x = torch.randn(2, 2048, 4, 9, 9, device=device, dtype=torch.float16, requires_grad=True)
    kernel = torch.rand(2048, 1, 1, 4, 4, device=device, dtype=torch.float16)
    sizes = {'stride': (1, 2, 2), 'padding': (0, 3, 3)}

    def folded() -> torch.Tensor:
        return functional.conv_transpose3d(x.reshape(-1, 1, *x.shape[2:]), kernel[:1], **sizes)

    def grouped() -> torch.Tensor:
        return functional.conv_transpose3d(x, kernel, groups=2048, **sizes)

    def one_by_one() -> torch.Tensor:
        parts = zip(x.split(1, 1), kernel.split(1, 0))
        return torch.cat([functional.conv_transpose3d(part, taps, **sizes) for part, taps in parts], 1)

    result = {}
    for way in (folded, grouped, one_by_one):
        seconds = []
        for _ in range(rounds if way is not one_by_one else 3):
            torch.cuda.synchronize()
            begin = time.perf_counter()
            torch.autograd.grad(way().sum(), x)
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - begin)
        result[way.__name__] = statistics.median(seconds[1:])
    return result


# The command -------------------------------------------------------------------------------------------------------


def run(folder: Path, device: str, seeds: int, jobs: int, full: bool) -> Dict[str, Any]:
    """Train every variant from every start, and time the full-size networks."""
    on_gpu = device != 'cpu'
    told: Dict[str, Any] = {'device': torch.cuda.get_device_name() if on_gpu else 'cpu', 'torch': torch.__version__}
    told['cudnn'] = torch.backends.cudnn.version() if on_gpu else None
    told['seeds'] = seeds
    if full and on_gpu:
        told['full'] = {}
        for method in FULL:
            told['full'][method] = timed(folder, method, device)
            torch.cuda.empty_cache()
            print(method, json.dumps(told['full'][method]), flush=True)
        told['upsampling'] = upsampled(device)
        torch.cuda.empty_cache()
    pool = concurrent.futures.ProcessPoolExecutor(jobs, multiprocessing.get_context('spawn'))
    with pool:
        work = {(v, s): pool.submit(courses_of, folder, v, s, device) for v in PLANS for s in range(seeds)}
        told['methods'] = {}
        for variant in PLANS:
            courses = [work[variant, seed].result() for seed in range(seeds)]
            (folder / f'{variant}-courses.json').write_text(json.dumps(courses))
            told['methods'][variant] = {**compared(courses), 'beside_mxnet': beside_mxnet(folder, variant, courses)}
            print(variant, 'done', flush=True)
    return told


def table(told: Dict[str, Any]) -> str:
    """What came out, as Markdown."""
    lines = [
        f"{told['device']}, PyTorch {told['torch']}, {told['seeds']} starts; means, and 95 % intervals by Student's t",
        '',
        '| method | left out | last loss scale | float32 | float16 | float32, same left out | float16 over it |'
        ' leaving out over not | TF32 over float32 |',
        '|---|---|---|---|---|---|---|---|---|',
    ]
    for variant, row in told['methods'].items():
        offs = [
            f'{100 * mean:+.1f} ± {100 * half:.1f} %'
            for mean, half, _ in (row[k] for k in ('float16 over late', 'late over float32', 'tf32 over float32'))
        ]
        counts, scales = [len(each) for each in row['left_out']], row['scale']
        spans = [f'{min(v):g} to {max(v):g}' if min(v) != max(v) else f'{min(v):g}' for v in (counts, scales)]
        losses = [f'{row[k]:.3f}' for k in ('float32', 'float16', 'late')]
        lines.append(f'| {" | ".join([variant, *spans, *losses, *offs])} |')
    if 'full' in told:
        lines += ['', '| network | clips | ms a pass | clips/s | TFLOP/s | peak GB |', '|---|---|---|---|---|---|']
        for row in told['full'].values():
            size = 'x'.join(map(str, row['input']))
            numbers = f'{1000 * row["seconds"]:.0f} | {row["clips_per_second"]:.1f} | {row["tflops_per_second"]:.0f}'
            lines.append(f'| {row["name"]} | {size} | {numbers} | {row["peak_gb"]:.1f} |')
    return '\n'.join(lines)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('step', choices=('check', 'record', 'run'), help='check: whether PyTorch sees a GPU')
    parser.add_argument('folder', type=Path)
    parser.add_argument('--device', default='cuda')
    parser.add_argument('--seeds', type=int, default=8)
    parser.add_argument('--jobs', type=int, default=4)
    parser.add_argument('--only-tiny', action='store_true', help='do not time the full-size networks')
    parser.add_argument('--out', default='float16_gpu.json')
    asked = parser.parse_args(argv)
    if asked.step == 'record':
        from .recorded_graphs import record

        record(asked.folder, asked.seeds)
        return 0
    if asked.device != 'cpu' and not torch.cuda.is_available():
        print('error: PyTorch sees no GPU; run with --device cpu trains the tiny networks without', file=sys.stderr)
        return 2
    if asked.step == 'check':
        return 0
    told = run(asked.folder, asked.device, asked.seeds, asked.jobs, not asked.only_tiny)
    print(table(told))
    Path(asked.out).write_text(json.dumps(told, indent=1) + '\n')
    return 0 if all(row['finite'] for row in told['methods'].values()) else 1


if __name__ == '__main__':
    sys.exit(main())
