#!/usr/bin/env python
"""Publish a training run's weights: `python scripts/publish.py runs/dfb --licence Apache-2.0`.

    python scripts/publish.py runs/dfb --licence Apache-2.0 --float16         # into model_zoo/ of the repository
    python scripts/publish.py runs/dfb --licence Apache-2.0 --repo /srv/zoo   # into a folder that a web server serves
    python scripts/publish.py --repo /srv/zoo                                 # a copy of model_zoo/ there
    python scripts/publish.py --tables                                        # model_zoo/README.md anew

Writes NAME-HASH.params with the network's parameters alone, configs/NAME-HASH.yaml and logs/NAME-HASH.jsonl without
paths of this machine, the entry in index.yaml, and README.md. The accuracy is measured on the file as published.
get_model finds the models of such a folder with GLUON_FG_REPO=https://..., http://... or file:///srv/zoo.

--float16 halves the file. Accuracy is measured on that very file: for the zoo's tiny networks it is the same as in
float32 (model_zoo/studies has that of the same runs).
"""

from __future__ import annotations

import argparse
import sys

from gluon_fg import errors


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', nargs='?', metavar='RUN_DIR', help='folder of a finished training run')
    parser.add_argument('--repo', metavar='DIR', help="folder to publish into (default: the repository's model_zoo)")
    parser.add_argument('--name', help='model to publish as (default: the one that was trained)')
    parser.add_argument('--checkpoint', default='best', help='best (by validation, the default) or final')
    parser.add_argument('--licence', help='of the weights, for example Apache-2.0')
    parser.add_argument('--source', help='what made the weights, in a line (default: dataset, epochs, seed of the run)')
    parser.add_argument('--float16', action='store_true', help='half precision on disk')
    parser.add_argument('--split', default='test', help='split of the dataset to measure on')
    parser.add_argument('--protocol', help="views of each video (default: the run's, or the model's)")
    parser.add_argument('--root', help='folder of the dataset (default: of the run)')
    parser.add_argument('--scores', metavar='NPZ', help='scores that evaluate.py saved, in place of a new evaluation')
    parser.add_argument('--batch-size', type=int, default=16, help='views in a forward pass')
    parser.add_argument('--workers', type=int, default=2, help='decoding threads')
    parser.add_argument('--device', default='auto', choices=['auto', 'cpu', 'gpu'])
    parser.add_argument('--replace', action='store_true', help='replace weights that are published under the name')
    parser.add_argument('--tables', action='store_true', help='write README.md of the folder from its index, and stop')
    return parser.parse_args()


def main():
    args = parse()
    from gluon_fg.evaluation.protocol import get_protocol
    from gluon_fg.training import publish
    from gluon_fg.training.run import choose_context
    from gluon_fg.weights import repository
    from gluon_fg.weights.index import zoo_folder

    folder = args.repo or zoo_folder()
    if args.tables:
        publish.write_page(folder)
        print(f'wrote {folder}/README.md')
        return 0
    if args.run is None:
        if args.repo is None:
            raise errors.UserError('give the folder of a training run, --repo DIR or --tables')
        added = repository.mirror(zoo_folder(), folder, args.replace)
        publish.write_page(folder)
        print(f'{folder}: {len(added)} models added ({", ".join(sorted(added)) or "all were there"})')
        return 0
    if not args.licence:
        raise errors.UserError('--licence is missing: say what may be done with the weights, for example Apache-2.0')
    if args.protocol:
        get_protocol(args.protocol)  # before anything slow
    measurement = publish.Measurement(
        args.split, args.protocol, args.root, args.scores, args.batch_size, args.workers, sys.stderr.isatty()
    )
    entry = publish.publish(
        args.run,
        folder,
        args.licence,
        args.source,
        args.name,
        args.checkpoint,
        args.float16,
        args.replace,
        measurement,
        choose_context(args.device, 0),
    )
    for dataset, row in entry.metrics.items():
        print(f'{entry.name} on {dataset}: ' + ', '.join(f'{key} {value}' for key, value in row.items()))
    print(f'{folder}/{entry.file}: {entry.bytes} bytes, {entry.dtype}; config {entry.config}, log {entry.log}')
    return 0


if __name__ == '__main__':
    errors.run(main)
