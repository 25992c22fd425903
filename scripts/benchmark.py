#!/usr/bin/env python
"""Speed, as ratios measured in one run: `python scripts/benchmark.py [--quick] [--only PATTERN]` (`make bench`).

Two variants of a thing are timed in turn, A B A B ..., so that a busy moment of the machine touches both; printed are
the medians of both and of the ratio. Absolute times are this machine's alone.

`--flops NAME ...` counts instead, and runs nothing: GFLOPs (two for each multiply-add), multiply-adds and parameters of
networks of the zoo for one crop of one video, by kind of operator and by part for a single one.
"""

from __future__ import annotations

import argparse
import fnmatch
import functools
import json
import operator
import statistics
import time

from gluon_fg import errors

import mxnet as mx  # isort: skip
import numpy as np
from mxnet import autograd, gluon

from gluon_fg import factory, get_model, registry
from gluon_fg.deploy.flops import count, format_cost, format_costs
from gluon_fg.deploy.fused import fuse
from gluon_fg.files import atomic_write


def compare(title, first, second, rounds, flops=None):
    """Time two (name, function) pairs in turn; returns a record with medians in ms and the ratio first / second.

    `flops`: what to print and record beside it, name -> ratio of floating-point operations.
    """
    times = {first[0]: [], second[0]: []}
    for _, function in (first, second):
        function()  # builds graphs, allocates
        function()
    for _ in range(rounds):
        for name, function in (first, second):
            began = time.perf_counter()
            function()
            times[name].append(1000 * (time.perf_counter() - began))
    ratio = statistics.median(a / b for a, b in zip(times[first[0]], times[second[0]]))
    a, b = (statistics.median(t) for t in times.values())
    said = f'{title:57s} {first[0]} {a:8.1f} ms   {second[0]} {b:8.1f} ms   ratio {ratio:.2f}'
    if flops:
        said += '   FLOPs ratio ' + ', '.join(f'{name} {value:.2f}' for name, value in flops.items())
    print(said, flush=True)
    record = {'what': title, first[0]: a, second[0]: b, 'ratio': ratio, 'rounds': rounds}
    return {**record, 'flops_ratio': flops} if flops else record


def forward(net, x):
    """A function that runs inference and waits for it."""

    def run():
        outputs = net(x)
        for z in outputs if isinstance(outputs, (list, tuple)) else [outputs]:
            z.wait_to_read()

    return run


def training_step(net, x, label):
    """A function that runs one forward, backward and update, and waits for it."""
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 1e-4, 'momentum': 0.9}, kvstore=None)

    def run():
        with autograd.record():
            loss = net.loss(net.branches(x), label)
        loss.backward()
        trainer.step(len(label))
        mx.nd.waitall()

    return run


@functools.lru_cache(maxsize=2)
def build(name, local_branch=True):
    """A network with random weights, hybridized."""
    net = get_model(name, pretrained_base=False, **({} if local_branch else {'local_branch': False}))
    net.hybridize(static_alloc=True, static_shape=True)
    return net


@functools.lru_cache(maxsize=1)
def clips(*shape):
    """Random clips, or one."""
    return mx.nd.random.uniform(shape=shape)


def dfb_fused(name, *shape):
    """Inference of all branches of a DFB network on its plain graph and on the fused one."""
    net, x = build(name + '_dfb'), clips(*shape)
    return ('plain', forward(net.branches, x)), ('fused', forward(fuse(net), x))


def dfb_inference(name, *shape):
    """Inference of a DFB network and of its baseline."""
    x = clips(*shape)
    return ('DFB', forward(build(name + '_dfb').branches, x)), ('baseline', forward(build(name).branches, x))


def dfb_training(variant, local_branch, name, *shape):
    """A training step of a DFB network, with or without local branch, and of its baseline."""
    x, label = clips(*shape), mx.nd.array(np.arange(shape[0]))
    return (
        (variant, training_step(build(name + '_dfb', local_branch), x, label)),
        ('baseline', training_step(build(name), x, label)),
    )


def cidc_inference(fused, name, *shape):
    """Inference of a CIDC network and of its backbone with a classifier, beside the ratio of their multiply-adds."""
    nets, x = [build(name + '_cidc'), build(name)], clips(*shape)
    cidc, baseline = (forward(fuse(net) if fused else net.branches, x) for net in nets)
    flops = {'ours': operator.truediv(*(count(net, shape).macs for net in nets)), 'paper': PAPER_CIDC_FLOPS}
    return ('CIDC', cidc), ('backbone', baseline), flops


def u2s_inference(fused, name, *shape):
    """Inference of a U2S network and of its universal one alone, beside the ratio of their multiply-adds."""
    nets, x = [build(name + '_u2s'), build(name)], clips(*shape)
    u2s, one_pass = (forward(fuse(net) if fused else net.branches, x) for net in nets)
    flops = {'ours': operator.truediv(*(count(net, shape).macs for net in nets)), 'paper': PAPER_U2S_FLOPS}
    return ('U2S', u2s), ('one-pass', one_pass), flops


# U2S's table III, of a whole view on top-heavy ResNet-50. Tiny networks have another ratio.
PAPER_U2S_FLOPS = 120.43 / 60.77
# CIDC's table 1, GFLOPs of I3D ResNet-50 on 32x224x224 with and without it. Tiny networks have another ratio.
PAPER_CIDC_FLOPS = 92 / 65

TINY = ('i3d_tiny_synthfg', 8, 3, 8, 48, 48)
I3D_NAME = 'i3d_resnet50_v1_kinetics400'
I3D = (I3D_NAME, 1, 3, 16, 112, 112)
I3D_LONG = (I3D_NAME, 1, 3, 32, 112, 112)
TOPHEAVY_TINY = ('topheavy_tiny_synthfg', 8, 3, 8, 48, 48)
TOPHEAVY = ('topheavy_resnet50_sthsthv2', 1, 3, 18, 224, 224)

# title, in the quick run too?, function that makes both variants
ROWS = (
    ('inference, tiny DFB, 8 clips: plain over fused', True, functools.partial(dfb_fused, *TINY)),
    ('inference, tiny: DFB over baseline', True, functools.partial(dfb_inference, *TINY)),
    ('training step, tiny: DFB over baseline', True, functools.partial(dfb_training, 'DFB', True, *TINY)),
    (
        'training step, tiny: + filter bank only over baseline',
        True,
        functools.partial(dfb_training, 'DF', False, *TINY),
    ),
    ('inference, I3D-R50 DFB, 16x112x112: plain over fused', False, functools.partial(dfb_fused, *I3D)),
    ('inference, I3D-R50, 16x112x112: DFB over baseline', False, functools.partial(dfb_inference, *I3D)),
    ('inference, tiny, plain: CIDC over backbone', True, functools.partial(cidc_inference, False, *TINY)),
    ('inference, tiny, fused: CIDC over backbone', True, functools.partial(cidc_inference, True, *TINY)),
    (
        'inference, I3D-R50, 32x112x112, plain: CIDC over backbone',
        False,
        functools.partial(cidc_inference, False, *I3D_LONG),
    ),
    (
        'inference, I3D-R50, 32x112x112, fused: CIDC over backbone',
        False,
        functools.partial(cidc_inference, True, *I3D_LONG),
    ),
    ('inference, tiny, plain: U2S over one-pass', True, functools.partial(u2s_inference, False, *TOPHEAVY_TINY)),
    ('inference, tiny, fused: U2S over one-pass', True, functools.partial(u2s_inference, True, *TOPHEAVY_TINY)),
    (
        'inference, top-heavy R50, plain: U2S over one-pass',
        False,
        functools.partial(u2s_inference, False, *TOPHEAVY),
    ),
    (
        'inference, top-heavy R50, fused: U2S over one-pass',
        False,
        functools.partial(u2s_inference, True, *TOPHEAVY),
    ),
)


def chosen(quick, pattern):
    """The rows of a run."""
    rows = [row for row in ROWS if row[1] or not quick]
    wanted = [row for row in rows if fnmatch.fnmatchcase(row[0].lower(), f'*{(pattern or "").lower()}*')]
    if not wanted:
        raise errors.UserError(f'no row has {pattern!r}; there are {"; ".join(repr(row[0]) for row in rows)}')
    return wanted


def speed(args):
    """Time the chosen rows; returns their records."""
    mx.random.seed(0)
    rounds = args.rounds or (3 if args.quick else 15)
    records = []
    for title, _, variants in chosen(args.quick, args.only):
        first, second, *flops = variants()
        records.append(compare(title, first, second, rounds, *flops))
    return records


def input_of(text):
    """'1,3,32,224,224' (or with x between) -> tuple."""
    try:
        return tuple(int(size) for size in text.replace('x', ',').split(','))
    except ValueError:
        raise errors.UserError(f'--input takes whole numbers, for example 1,3,32,224,224; got {text!r}') from None


def costs(names, shape, nclass):
    """Count networks by name; those built for one length of clips are built for the given one."""
    counted = []
    for name in names:
        entry = registry.model_entry(name)
        frames = {'frames': shape[2]} if shape and len(shape) == 5 and 'frames' in entry.options else {}
        counted.append(count(factory.build(name, nclass, **frames), shape))
    print(format_cost(counted[0]) if len(counted) == 1 else format_costs(counted))
    return [cost.as_dict() for cost in counted]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='tiny networks only, few rounds')
    parser.add_argument('--only', metavar='PATTERN', help='only rows whose title has this in it; * stands for anything')
    parser.add_argument('--rounds', type=int, help='timed repetitions of each variant (default 15, quick 3)')
    parser.add_argument('--flops', nargs='+', metavar='NAME', help='count these models, time nothing')
    parser.add_argument(
        '--input', metavar='N,C,T,H,W', help="for --flops: shape of the input (default: one crop, by each model's own)"
    )
    parser.add_argument(
        '--nclass', type=int, help='for --flops: classes (default: the model\'s; "custom" ones need it)'
    )
    parser.add_argument('--out', '--json', metavar='FILE', help='write the records as JSON')
    args = parser.parse_args()
    if args.flops is None and (args.input or args.nclass is not None):
        raise errors.UserError(f'{"--input" if args.input else "--nclass"} goes with --flops NAME')
    if args.flops and (args.quick or args.only or args.rounds):
        raise errors.UserError('--flops times nothing: leave out --quick, --only and --rounds')
    if args.rounds is not None and args.rounds < 1:
        raise errors.UserError(f'--rounds must be at least 1, got {args.rounds}')
    records = (
        costs(args.flops, input_of(args.input) if args.input else None, args.nclass) if args.flops else speed(args)
    )
    if args.out:
        with atomic_write(args.out) as stream:
            json.dump(records, stream, indent=1)


if __name__ == '__main__':
    errors.run(main)
