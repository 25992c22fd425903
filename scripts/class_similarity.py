#!/usr/bin/env python
"""How similar classes are to a network: which channels of its features they fire (U2S sec. III-A, fig. 1 left).

    python scripts/class_similarity.py --model runs/u2s --split train --out u2s.npz
    python scripts/class_similarity.py --model runs/u2s --csm --out csm.npz

Counts over a split, one view of each video; of a U2S network universal, specific and both kinds of features. With --csm
nothing is counted: taken is what training counted (csm.npz of a run), else the network's own matrix.
plot_similarity.py sets what is written against accuracies.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from gluon_fg import errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', required=True, metavar='NAME', help='a network, by name or as a run folder')
    parser.add_argument('--params', metavar='FILE', help='its parameters (default: published, or best.params of a run)')
    parser.add_argument('--dataset', help='synthfg, folder, csv, ... (default: of the run, or of the model)')
    parser.add_argument('--root', help="the dataset's folder (default: of the run, or the dataset's own)")
    parser.add_argument('--split', default='train', help='train, val or test (default: %(default)s)')
    parser.add_argument(
        '--csm', action='store_true', help='take what training counted, or the matrix that the network carries'
    )
    parser.add_argument(
        '--out', required=True, metavar='FILE.npz', help='where to write; beside it FILE.png, the matrices'
    )
    parser.add_argument('--force', action='store_true', help='replace files that are there')
    args = parser.parse_args()
    if not args.out.endswith('.npz'):
        raise errors.UserError(f'--out {args.out}: similarities are written as .npz; choose a name that ends so')
    picture = args.out[:-4] + '.png'
    for path in (args.out, picture):
        if os.path.exists(path) and not args.force:
            raise errors.UserError(f'{path} is there already; use --force to replace it, or another --out')
    if args.csm and (args.dataset or args.root):
        raise errors.UserError('--csm counts no videos; leave out --dataset and --root')

    from gluon_fg.analysis.similarity import class_similarity, csm_similarity, most_similar, training_similarity
    from gluon_fg.analysis.similarity_chart import plot_similarity
    from gluon_fg.training.named import dataset_of, load_named

    (network,) = load_named([args.model], args.params and [args.params])
    if args.csm:
        made = [] if args.params else [path for at in ('csm.npz', '*/csm.npz') for path in Path(args.model).glob(at)]
        found = training_similarity(network.net, made[0]) if made else csm_similarity(network.net)
    else:
        dataset = dataset_of(network, args.split, args.dataset, args.root)
        source = f'{len(dataset)} videos of {dataset.name}'
        found = class_similarity(network.net, dataset, source, progress=sys.stderr.isatty())
    found = found._replace(model=network.title)
    found.save(args.out)
    plot_similarity(found, picture)
    for number, one in enumerate(found.kinds):
        print(f'{one.kind}: most similar classes (S, 0 for the least similar pair)')
        for pair in most_similar(found, number):
            print(f'  {pair.names[0]} / {pair.names[1]}  {pair.similarity:.3f}')
    print(f'wrote {args.out} and {picture}')
    return 0


if __name__ == '__main__':
    errors.run(main)
