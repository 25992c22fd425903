#!/usr/bin/env python
"""Are look-alike classes the ones a network gets wrong? Similarity against accuracy (U2S figs. 1 and 4).

    python scripts/plot_similarity.py --similarity one_pass.npz u2s.npz --scores one_pass_scores.npz u2s_scores.npz \\
        --out similarity.png

Similarities are files of class_similarity.py, scores files of evaluate.py, one for each. Drawn are each class's
similarity to all others (eq. 7) against its accuracy, and how many classes, with which accuracy, lie in intervals of
similarity. Universal and specific features are set against the accuracies of their own predictions.
"""

from __future__ import annotations

import argparse
import os

from gluon_fg import errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--similarity', nargs='+', required=True, metavar='FILE', help='files of class_similarity.py')
    parser.add_argument('--scores', nargs='+', required=True, metavar='FILE', help='score files, one for each')
    parser.add_argument(
        '--scale',
        default='own',
        choices=('own', 'shared'),
        help='stretch similarities for each kind of features (eq. 7), or all by the same ends (default: %(default)s)',
    )
    parser.add_argument(
        '--bins', type=int, default=10, metavar='N', help='intervals of similarity (default: %(default)s)'
    )
    parser.add_argument('--out', required=True, metavar='FILE.png', help='the picture')
    parser.add_argument('--force', action='store_true', help='replace the picture if it is there')
    args = parser.parse_args()
    if len(args.similarity) != len(args.scores):
        raise errors.UserError(
            f'{len(args.similarity)} files of similarities and {len(args.scores)} of scores; give one for each'
        )
    if os.path.realpath(args.out) in [os.path.realpath(path) for path in (*args.similarity, *args.scores)]:
        raise errors.UserError(f'{args.out} is one of the given files; choose another --out')
    if os.path.exists(args.out) and not args.force:
        raise errors.UserError(f'{args.out} is there already; use --force to replace it, or another --out')

    from gluon_fg.analysis.similarity import ClassSimilarity, format_series, relate
    from gluon_fg.analysis.similarity_chart import plot_relation
    from gluon_fg.evaluation.score import Scores

    pairs = [(ClassSimilarity.load(a), Scores.load(b)) for a, b in zip(args.similarity, args.scores)]
    series = relate(pairs, args.scale)
    plot_relation(series, args.out, args.bins)
    print(format_series(series))
    print('(mean similarity before stretching; the correlation is of similarity by eq. 7 and top-1, over classes)')
    print(f'wrote {args.out}')
    return 0


if __name__ == '__main__':
    errors.run(main)
