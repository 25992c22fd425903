#!/usr/bin/env python
"""Two confusing classes before and after: a map of their videos by t-SNE (U2S fig. 6 f, g).

    python scripts/plot_tsne.py --models runs/one_pass runs/u2s --classes 'square: arm opens' 'square: arm closes' \\
        --out tsne.png

Of several networks their features are drawn side by side, of a U2S network those of both its parts together; a single
U2S network's universal, specific and joint features. Needs scikit-learn: pip install -c constraints.txt '.[tsne]'.
"""

from __future__ import annotations

import argparse
import os
import sys

from gluon_fg import errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--models', nargs='+', required=True, metavar='NAME', help='networks; or run folders')
    parser.add_argument('--params', nargs='+', metavar='FILE', help='their parameters, one for each; - for the default')
    parser.add_argument('--classes', nargs='+', required=True, metavar='NAME', help='the classes, two or more')
    parser.add_argument('--dataset', help='synthfg, folder, csv, ... (default: of the first run or model)')
    parser.add_argument('--root', help="the dataset's folder (default: of the first run, or the dataset's)")
    parser.add_argument('--split', default='test', help='train, val or test (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of t-SNE')
    parser.add_argument('--out', required=True, metavar='FILE.png', help='the picture')
    parser.add_argument('--force', action='store_true', help='replace the picture if it is there')
    args = parser.parse_args()
    if len(set(args.classes)) != len(args.classes) or len(args.classes) < 2:
        raise errors.UserError(f'--classes: name two different classes at least, got {", ".join(args.classes)}')
    if os.path.exists(args.out) and not args.force:
        raise errors.UserError(f'{args.out} is there already; use --force to replace it, or another --out')

    from gluon_fg.analysis.embedding import plot_embeddings, pooled_features, tsne
    from gluon_fg.evaluation.score import check_classes
    from gluon_fg.training.named import dataset_of, load_named

    dataset, pooled = None, []
    for network in load_named(args.models, args.params):
        dataset = dataset or dataset_of(network, args.split, args.dataset, args.root)
        classes = check_classes(network.net, dataset.labels, dataset.name).classes
        for name in args.classes:
            if name not in classes:
                raise errors.unknown(f'class of {dataset.name}', name, classes)
        labels = [classes.index(name) for name in args.classes]
        found = pooled_features(network.net, dataset, labels, network.title, progress=sys.stderr.isatty())
        pooled += found if len(args.models) == 1 else found[-1:]
    maps = [tsne(one, args.seed) for one in pooled]
    plot_embeddings(maps, args.out, list(zip(labels, args.classes)))
    print(
        f'{len(maps[0].labels)} videos of {dataset.name}; share with most of 5 nearest neighbours in their own class:'
    )
    for one in maps:
        print(f'  {one.title}: {100 * one.agreement:.1f} %')
    print(f'wrote {args.out}')
    return 0


if __name__ == '__main__':
    errors.run(main)
