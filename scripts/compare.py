#!/usr/bin/env python
"""Compare two score files of the same videos: `python scripts/compare.py runs/baseline/scores.npz runs/dfb/scores.npz`.

Prints the difference of top1, top5 and within-group accuracy (B - A) with an exact McNemar test and a bootstrap
interval over videos, the gain of each group, and the most confused pairs of classes. With --per-class the classes that
gain and lose most, with --similar the gains of pairs of classes that look alike (CIDC table 6).
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
    parser.add_argument(
        '--per-class', type=int, nargs='?', const=5, metavar='K', help='list the K classes at either end (5)'
    )
    parser.add_argument(
        '--similar',
        nargs='*',
        metavar='"CLASS/CLASS"',
        help='list the gains of these pairs of classes; of none: of the --pairs pairs that A mixes up most',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the bootstrap')
    parser.add_argument('--json', metavar='FILE', help='also write every number there')
    parser.add_argument('--csv', metavar='FILE', help="also write every class's gain there")
    parser.add_argument('--markdown', metavar='FILE', help='also write the tables of classes and pairs there')
    parser.add_argument('--chart', metavar='FILE.png', help="also draw the classes' gains as bars")
    parser.add_argument('--force', action='store_true', help='replace files that are there')
    args = parser.parse_args()

    import os

    from gluon_fg.evaluation.compare import as_dict, compare, format_comparison
    from gluon_fg.evaluation.gains import format_gains, gains, gains_as_dict, markdown_gains, parse_pair, write_gains
    from gluon_fg.evaluation.score import Scores
    from gluon_fg.files import atomic_write

    files = {flag: getattr(args, flag) for flag in ('json', 'csv', 'markdown', 'chart') if getattr(args, flag)}
    taken = {os.path.realpath(path): path for path in (args.a, args.b)}
    for flag, path in files.items():
        if os.path.realpath(path) in taken:
            raise errors.UserError(f'--{flag} {path} is {taken[os.path.realpath(path)]} as well; choose another name')
        taken[os.path.realpath(path)] = path
        if os.path.exists(path) and not args.force:
            raise errors.UserError(f'{path} exists; choose another --{flag}, or --force to replace it')
    if args.per_class is not None and args.per_class < 1:
        raise errors.UserError(f'--per-class must be at least 1, got {args.per_class}')
    a, b = Scores.load(args.a), Scores.load(args.b)
    similar = [parse_pair(text, a.classes) for text in args.similar or ()] or None
    result = compare(a, b, args.branch_a, args.branch_b, (args.a, args.b), args.pairs, args.seed)
    found = gains(a, b, args.branch_a, args.branch_b, (args.a, args.b), similar, args.pairs)
    titles = [
        f'{path} ({s.model}, {branch or s.branch_names[0]}, {s.protocol})'
        for path, s, branch in ((args.a, a, args.branch_a), (args.b, b, args.branch_b))
    ]
    short = (a.model, b.model) if a.model != b.model else (args.a, args.b)
    print(format_comparison(result, tuple(titles)))
    if a.protocol != b.protocol:
        print(f'\nnote: scored by other protocols, {a.protocol} and {b.protocol}: part of the difference may be theirs')
    if args.per_class is not None or args.similar is not None:
        print(f'\n{format_gains(found, args.per_class, args.similar is not None)}')
    if args.json:
        with atomic_write(args.json) as stream:
            json.dump({'a': args.a, 'b': args.b, **as_dict(result), 'gains': gains_as_dict(found)}, stream, indent=1)
        print(f'\nnumbers: {args.json}')
    if args.csv:
        write_gains(found, args.csv)
        print(f'classes: {args.csv}')
    if args.markdown:
        with atomic_write(args.markdown) as stream:
            stream.write(markdown_gains(found, args.per_class or 5, titles))
        print(f'tables: {args.markdown}')
    if args.chart:
        from gluon_fg.analysis.gain_chart import plot_gains

        plot_gains(found, args.chart, short, args.per_class)
        print(f'chart: {args.chart}')
    return 0


if __name__ == '__main__':
    errors.run(main)
