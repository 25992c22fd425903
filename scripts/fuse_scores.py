#!/usr/bin/env python
"""One prediction from the scores of several networks: the mean of their softmax scores (two streams, ensembles).

    python scripts/evaluate.py --run runs/rgb --out rgb.npz
    python scripts/evaluate.py --run runs/flow --out flow.npz
    python scripts/fuse_scores.py rgb.npz flow.npz --out both.npz
    python scripts/fuse_scores.py rgb.npz flow.npz --weights 1 1.5 --out both.npz

Prints the accuracies of the mean and of each network, and writes the same files as evaluate.py.
"""

from __future__ import annotations

import argparse

from gluon_fg import errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('scores', nargs='+', metavar='SCORES.npz', help='written by evaluate.py, of the same videos')
    parser.add_argument('--weights', nargs='+', type=float, metavar='W', help='of each (default: all the same)')
    parser.add_argument('--names', nargs='+', metavar='NAME', help='of each in the tables (default: the models)')
    parser.add_argument('--out', required=True, metavar='FUSED.npz', help='the new score file')
    parser.add_argument('--force', action='store_true', help='replace files of a former evaluation')
    args = parser.parse_args()
    from gluon_fg.evaluation.fusion import fuse_scores
    from gluon_fg.evaluation.report import report_paths, write_report
    from gluon_fg.evaluation.score import Scores

    paths = report_paths(args.out, args.force)
    print(write_report(fuse_scores([Scores.load(path) for path in args.scores], args.weights, args.names), paths))
    return 0


if __name__ == '__main__':
    errors.run(main)
