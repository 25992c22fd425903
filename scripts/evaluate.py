#!/usr/bin/env python
"""Score a network on a dataset and print its accuracies.

    python scripts/evaluate.py --run runs/dfb --split test
    python scripts/evaluate.py --model i3d_tiny_synthfg_dfb --dataset synthfg --root data/synthfg
    python scripts/evaluate.py --model i3d_resnet50_v1_custom_dfb --options nclass=8 --params my.params \\
        --dataset folder --root videos
    horovodrun -np 2 python scripts/evaluate.py --run runs/dfb

Writes the scores (--out, NAME.npz) and beside them NAME.metrics.json and NAME.per_class.csv. Without --protocol the
one of the model's entry is used, so that the printed numbers need no flags to remember. Over several ranks the result
is the same.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from gluon_fg import errors


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--run', help='folder of a training run: gives model, options, data and (best.params) weights')
    parser.add_argument('--model', help='name of a model (see gluon_fg.list_models())')
    parser.add_argument(
        '--params', help='.params file (default: best.params of --run, or the published weights of --model)'
    )
    parser.add_argument(
        '--options', nargs='+', default=[], metavar='KEY=VALUE', help='options of --model, e.g. nclass=8'
    )
    parser.add_argument('--dataset', help='synthfg, folder, csv, ... (default: of --run, or synthfg)')
    parser.add_argument('--root', help="the dataset's folder (default: of --run, or the dataset's own)")
    parser.add_argument('--split', default='test', help='train, val or test; with --dataset csv also a path of a list')
    parser.add_argument(
        '--protocol',
        help='views of each video: train_time, dfb_2d, dfb_3d, ssv1, 30view, 10crop or e.g. 5x3 '
        '(default: of --run, or of the model)',
    )
    parser.add_argument('--batch-size', type=int, default=8, help='views in a forward pass')
    parser.add_argument('--workers', type=int, default=2, help='decoding threads per rank')
    parser.add_argument('--device', default='auto', choices=['auto', 'cpu', 'gpu'])
    parser.add_argument(
        '--out', help='score file (default: scores_SPLIT_PROTOCOL.npz in --run, or in the current folder)'
    )
    parser.add_argument('--force', action='store_true', help='replace files of a former evaluation')
    return parser.parse_args()


def network(args, ctx):
    """The network, and the config of its run (None without --run)."""
    from gluon_fg.evaluation.load import load_network, parse_options
    from gluon_fg.training.run import load_run

    if (args.run is None) == (args.model is None):
        raise errors.UserError('give either --run FOLDER or --model NAME')
    if args.run:
        if args.options:
            raise errors.UserError('--options goes with --model; a run has its own in its config')
        return load_run(args.run, args.params, ctx)
    return load_network(args.model, args.params, ctx, **parse_options(args.options)), None


def main():
    args = parse()
    from gluon_fg.data.datasets import build_dataset
    from gluon_fg.evaluation.protocol import get_protocol
    from gluon_fg.evaluation.report import report_paths, write_report
    from gluon_fg.evaluation.score import check_classes, score_dataset
    from gluon_fg.training import distributed
    from gluon_fg.training.run import choose_context

    if args.protocol:
        get_protocol(args.protocol)  # before anything slow
    world = distributed.init()
    logging.basicConfig(level=logging.WARNING, format='%(message)s')
    ctx = choose_context(args.device, world.local_rank)
    net, config = network(args, ctx)
    protocol = get_protocol(args.protocol or (config and config.test.protocol) or net.protocol)
    # Every rank looks before any of them writes: that comes after the gathering.
    name = args.out or os.path.join(args.run or '', f'scores_{Path(args.split).stem}_{protocol.name}.npz')
    paths = report_paths(name, args.force)
    if config and args.dataset in (None, config.data.dataset):  # the run's own data, unless it lies elsewhere now
        dataset = build_dataset(config.data.dataset, args.split, args.root or config.data.root, sizes=config.data.sizes)
    else:
        dataset = build_dataset(args.dataset or 'synthfg', args.split, args.root)
    labels = check_classes(net, dataset.labels, dataset.name)
    if world.rank == 0:
        print(
            f'{net.name} on {len(dataset)} videos of {dataset.name}, views of each: {protocol.count(labels)} '
            f'({protocol.name}: {protocol.description})',
            flush=True,
        )
    sharing = {'rank': world.rank, 'size': world.size, 'gather': world.gather_objects}
    progress = sys.stderr.isatty()
    scores = score_dataset(
        net, dataset, protocol, ctx, args.batch_size, args.workers, **sharing, progress=progress, fused=True
    )
    if world.rank == 0:
        print(write_report(scores, paths))
    world.barrier()
    return 0


if __name__ == '__main__':
    errors.run(main)
