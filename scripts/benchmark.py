#!/usr/bin/env python
"""Speed, as ratios measured in one run: `python scripts/benchmark.py [--quick]` (`make bench`).

Two variants of a thing are timed in turn, A B A B ..., so that a busy moment of the machine touches both; printed are
the medians of both and of the ratio. Absolute times are this machine's alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

from gluon_fg import errors

import mxnet as mx  # isort: skip
import numpy as np
from mxnet import autograd, gluon

from gluon_fg import get_model
from gluon_fg.deploy.fused import fuse
from gluon_fg.files import atomic_write


def compare(title, first, second, rounds):
    """Time two (name, function) pairs in turn; returns a record with medians in ms and the ratio first / second."""
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
    print(f'{title:52s} {first[0]} {a:8.1f} ms   {second[0]} {b:8.1f} ms   ratio {ratio:.2f}', flush=True)
    return {'what': title, first[0]: a, second[0]: b, 'ratio': ratio, 'rounds': rounds}


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


def build(name, **options):
    """A network with random weights, hybridized."""
    net = get_model(name, pretrained_base=False, **options)
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='tiny networks only, few rounds')
    parser.add_argument('--rounds', type=int, help='timed repetitions of each variant (default 15, quick 3)')
    parser.add_argument('--out', help='write the records as JSON')
    args = parser.parse_args()
    rounds = args.rounds or (3 if args.quick else 15)
    mx.random.seed(0)
    clip = mx.nd.random.uniform(shape=(8, 3, 8, 48, 48))
    label = mx.nd.array(np.arange(8))
    plain, dfb = build('i3d_tiny_synthfg'), build('i3d_tiny_synthfg_dfb')
    bank = build('i3d_tiny_synthfg_dfb', local_branch=False)
    records = [
        compare(
            'inference, tiny DFB, 8 clips: plain over fused',
            ('plain', forward(dfb.branches, clip)),
            ('fused', forward(fuse(dfb), clip)),
            rounds,
        ),
        compare(
            'inference, tiny: DFB over baseline',
            ('DFB', forward(dfb.branches, clip)),
            ('baseline', forward(plain.branches, clip)),
            rounds,
        ),
        compare(
            'training step, tiny: DFB over baseline',
            ('DFB', training_step(dfb, clip, label)),
            ('baseline', training_step(plain, clip, label)),
            rounds,
        ),
        compare(
            'training step, tiny: + filter bank only over baseline',
            ('DF', training_step(bank, clip, label)),
            ('baseline', training_step(plain, clip, label)),
            rounds,
        ),
    ]
    if not args.quick:
        big = mx.nd.random.uniform(shape=(1, 3, 16, 112, 112))
        i3d, i3d_dfb = build('i3d_resnet50_v1_kinetics400'), build('i3d_resnet50_v1_kinetics400_dfb')
        records += [
            compare(
                'inference, I3D-R50 DFB, 16x112x112: plain over fused',
                ('plain', forward(i3d_dfb.branches, big)),
                ('fused', forward(fuse(i3d_dfb), big)),
                rounds,
            ),
            compare(
                'inference, I3D-R50, 16x112x112: DFB over baseline',
                ('DFB', forward(i3d_dfb.branches, big)),
                ('baseline', forward(i3d.branches, big)),
                rounds,
            ),
        ]
    if args.out:
        with atomic_write(args.out) as stream:
            json.dump(records, stream, indent=1)


if __name__ == '__main__':
    errors.run(main)
