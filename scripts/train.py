#!/usr/bin/env python
"""Train a recognizer: `python scripts/train.py --config configs/dfb/i3d_tiny_synthfg.yaml --out runs/dfb`.

Alone, or over several processes: `horovodrun -np 2 python scripts/train.py --config ... --out ...`, where
train.batch_size is per rank. Started again with the same arguments after an interruption or a crash, it resumes from
its last checkpoint.
"""

from __future__ import annotations

import argparse
import os
import sys

from gluon_fg import errors
from gluon_fg.training.config import load_config, to_yaml


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', help='YAML file; left out: the defaults, a tiny DFB on SynthFG')
    parser.add_argument('--out', help='run folder (default: runs/<name of the config>)')
    parser.add_argument(
        '--set', nargs='+', action='extend', default=[], metavar='KEY=VALUE', help='override, e.g. train.lr=0.02'
    )
    parser.add_argument('--print-config', action='store_true', help='print every value that would be used, and stop')
    args = parser.parse_args()
    config = load_config(args.config, args.set)
    if args.print_config:
        print(to_yaml(config), end='')
        return 0
    from gluon_fg.training import distributed, stages
    from gluon_fg.training.run import Interrupted

    world = distributed.init()
    name = os.path.splitext(os.path.basename(args.config))[0] if args.config else 'default'
    try:
        stages.train(config, args.out or os.path.join('runs', name), world, progress=sys.stderr.isatty())
    except Interrupted as stop:
        if world.rank == 0:
            print(stop, file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    errors.run(main)
