#!/usr/bin/env python
"""Rate the filters of a trained bank on a dataset, and on SynthFG say how often they point at the true detail.

    python scripts/audit_filters.py --model i3d_tiny_synthfg_dfb --dataset synthfg --root data/synthfg --out filters.csv

For every filter: its mean highest response on its own class's videos and on all others. Dead filters and copies are
named.
"""

from __future__ import annotations

import argparse
import os

from gluon_fg import errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', required=True, help='a model with a filter bank (*_dfb)')
    parser.add_argument('--params', help='its parameters (default: the published weights)')
    parser.add_argument('--dataset', default='synthfg', help='synthfg, folder, csv, ...')
    parser.add_argument('--root', help="the dataset's folder")
    parser.add_argument('--split', default='test')
    parser.add_argument('--limit', type=int, help='only the first so many videos of each class')
    parser.add_argument('--out', required=True, help='CSV to write, one row a filter')
    parser.add_argument('--force', action='store_true', help='replace the file if it is there')
    args = parser.parse_args()
    from gluon_fg.analysis.filters import filter_strength, pointing_accuracy, write_strength
    from gluon_fg.data import build_dataset, synthfg
    from gluon_fg.evaluation.load import load_network

    if os.path.exists(args.out) and not args.force:
        raise errors.UserError(f'{args.out} exists; choose another --out, or --force to replace it')
    net = load_network(args.model, args.params)
    dataset = build_dataset(args.dataset, args.split, args.root)
    rows = filter_strength(net, dataset, args.limit)
    write_strength(rows, args.out)
    print('class: its most discriminative filter, response on its own videos and on others')
    for row in sorted({row.label: row for row in reversed(rows)}.values(), key=lambda row: row.label):
        print(f'  {row.class_name}: filter {row.filter}, {row.own:.2f} and {row.others:.2f}')
    odd = [f'{row.filter} ({row.note})' for row in rows if row.note]
    print(f'{len(rows)} filters; dead or copies: {", ".join(odd) or "none"}')
    if args.dataset == 'synthfg':
        found = pointing_accuracy(net, dataset, synthfg.read_truth(dataset.root, args.split), args.limit)
        print("peak of the true class's strongest filter on the true detail, in % (by chance; always the middle)")
        for name, part in {'all': found, **found.groups}.items():
            print(f'  {name:10s} {100 * part.hits:5.1f} ({100 * part.chance:.1f}; {100 * part.centre:.1f})')
    print(f'wrote {args.out}')


if __name__ == '__main__':
    errors.run(main)
