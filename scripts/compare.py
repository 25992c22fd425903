#!/usr/bin/env python
"""Compare two score files of the same videos: `python scripts/compare.py runs/baseline/scores.npz runs/dfb/scores.npz`.

Prints the difference of top1, top5 and within-group accuracy (B - A) with an exact McNemar test and a bootstrap
interval over videos, the gain of each group, and the most confused pairs of classes.
"""

from __future__ import annotations

import argparse
import json

from gluon_fg import errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('a', metavar='A', help='score file of the reference, written by evaluate.py')
    parser.add_argument('b', metavar='B', help='score file of what is compared with it')
    parser.add_argument('--branch-a', help='branch of A (default: the fused prediction)')
    parser.add_argument('--branch-b', help='branch of B')
    parser.add_argument('--pairs', type=int, default=10, help='confused pairs to list')
    parser.add_argument('--seed', type=int, default=0, help='of the bootstrap')
    parser.add_argument('--json', metavar='FILE', help='also write every number there')
    parser.add_argument('--force', action='store_true', help='let --json replace a file')
    args = parser.parse_args()

    import os

    from gluon_fg.evaluation.compare import as_dict, compare, format_comparison
    from gluon_fg.evaluation.score import Scores
    from gluon_fg.files import atomic_write

    if args.json and os.path.exists(args.json) and not args.force:
        raise errors.UserError(f'{args.json} exists; choose another --json, or --force to replace it')
    a, b = Scores.load(args.a), Scores.load(args.b)
    result = compare(a, b, args.branch_a, args.branch_b, (args.a, args.b), args.pairs, args.seed)
    titles = [
        f'{path} ({s.model}, {branch or s.branch_names[0]}, {s.protocol})'
        for path, s, branch in ((args.a, a, args.branch_a), (args.b, b, args.branch_b))
    ]
    print(format_comparison(result, tuple(titles)))
    if a.protocol != b.protocol:
        print(f'\nnote: scored by other protocols, {a.protocol} and {b.protocol}: part of the difference may be theirs')
    if args.json:
        with atomic_write(args.json) as stream:
            json.dump({'a': args.a, 'b': args.b, **as_dict(result)}, stream, indent=1)
        print(f'\nnumbers: {args.json}')
    return 0


if __name__ == '__main__':
    errors.run(main)
