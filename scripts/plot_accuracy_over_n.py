#!/usr/bin/env python
"""Accuracy against n, the classes that a U2S prediction may be confused with on average (U2S fig. 8).

    python scripts/plot_accuracy_over_n.py model_zoo/studies/u2s_n_synthfg.json --out n.png
    python scripts/plot_accuracy_over_n.py records.csv --out n.png

The .json is a study's results whose methods differ in train.csm_n; a .csv has the columns n and top1 (or any others),
fractions, a line for each run, n left empty for the network to compare with.
"""

from __future__ import annotations

import argparse
import os

from gluon_fg import errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', metavar='FILE', help='results of study.py (.json), or records (.csv)')
    parser.add_argument('--out', required=True, metavar='FILE.png', help='the picture')
    parser.add_argument('--metrics', nargs='+', metavar='NAME', help='for example top1 top5 (default: all of a .csv)')
    parser.add_argument('--force', action='store_true', help='replace the picture if it is there')
    args = parser.parse_args()
    from gluon_fg.analysis.accuracy_over_n import format_curves, plot_curves, read_curves

    if os.path.realpath(args.out) == os.path.realpath(args.results):
        raise errors.UserError(f'{args.out} is the file to read; choose another --out')
    if os.path.exists(args.out) and not args.force:
        raise errors.UserError(f'{args.out} is there already; use --force to replace it, or another --out')
    curves = read_curves(args.results, args.metrics)
    print(format_curves(curves))
    for curve in curves:
        print(f'{curve.metric}: highest mean at n = {curve.best:g}')
    plot_curves(curves, args.out)
    print(f'wrote {args.out}')
    return 0


if __name__ == '__main__':
    errors.run(main)
