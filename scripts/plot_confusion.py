#!/usr/bin/env python
"""Confusion inside each group of look-alike classes, two models side by side.

    python scripts/plot_confusion.py A.npz B.npz --out FILE.png

A and B are score files of evaluate.py for the same videos, the baseline first. compare.py prints the pairs of classes
that they confuse most.
"""

from __future__ import annotations

import argparse
import os

from gluon_fg import errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('first', metavar='A', help='scores of the baseline')
    parser.add_argument('second', metavar='B', help='scores of the model to compare with it')
    parser.add_argument('--out', required=True, metavar='FILE.png', help='the picture')
    parser.add_argument('--group', action='append', metavar='NAME', help='only this group (may be repeated)')
    parser.add_argument('--force', action='store_true', help='replace the picture if it is there')
    args = parser.parse_args()
    from gluon_fg.analysis.confusion import plot_confusion
    from gluon_fg.evaluation.score import Scores

    if os.path.exists(args.out) and not args.force:
        raise errors.UserError(f'{args.out} is there already; use --force to replace it, or another --out')
    first, second = Scores.load(args.first), Scores.load(args.second)
    plot_confusion(first, second, args.out, (first.model, second.model), args.group)
    print(f'wrote {args.out}')


if __name__ == '__main__':
    errors.run(main)
