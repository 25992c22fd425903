#!/usr/bin/env python
"""How alike the filters of a U2S mask network are: matrix and histogram (U2S fig. 7).

    python scripts/plot_weight_similarity.py --models runs/without runs/with --out weights.png

Networks are named as in the zoo, or are folders of training runs; two or more are drawn side by side, for example
without and with category regularization.
"""

from __future__ import annotations

import argparse
import os

from gluon_fg import errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--models', nargs='+', required=True, metavar='NAME', help='U2S networks; or run folders')
    parser.add_argument('--params', nargs='+', metavar='FILE', help='their parameters, one for each; - for the default')
    parser.add_argument('--titles', nargs='+', metavar='TEXT', help='what to call them')
    parser.add_argument('--out', required=True, metavar='FILE.png', help='the picture')
    parser.add_argument('--force', action='store_true', help='replace the picture if it is there')
    args = parser.parse_args()
    if os.path.exists(args.out) and not args.force:
        raise errors.UserError(f'{args.out} is there already; use --force to replace it, or another --out')

    from gluon_fg.analysis.weight_similarity import (
        check_alike,
        format_weight_similarity,
        plot_weight_similarity,
        weight_similarity,
    )
    from gluon_fg.training.named import load_named

    if args.titles and len(args.titles) != len(args.models):
        raise errors.UserError(f'{len(args.titles)} titles for {len(args.models)} models; give one for each')
    found = [weight_similarity(one.net, one.title) for one in load_named(args.models, args.params)]
    if args.titles:
        found = [one._replace(title=title) for one, title in zip(found, args.titles)]
    check_alike(found)
    print(format_weight_similarity(found))
    plot_weight_similarity(found, args.out)
    print(f'wrote {args.out}')
    return 0


if __name__ == '__main__':
    errors.run(main)
