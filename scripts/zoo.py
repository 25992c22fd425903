#!/usr/bin/env python
"""The model zoo's files: which there are, whether they are whole, and how they get to a machine without a network.

    python scripts/zoo.py list '*dfb*'                        # published weights, and GluonCV's that models start from
    python scripts/zoo.py verify                              # every file that is here; exit code 2 for a damaged one
    python scripts/zoo.py fetch i3d_resnet50_v1_kinetics400   # what get_model(..., pretrained=True) would fetch
    python scripts/zoo.py bundle weights.tar i3d_tiny_synthfg_dfb resnet50_v1b
    python scripts/zoo.py import weights.tar                  # there: all of it verified, or none

NAME is a model of ours, whose own weights are meant or, where it has none, those of the GluonCV network that it starts
from; or any name that GluonCV has published weights under (resnet50_v1b: what pretrained_base=True starts from).

GLUON_FG_REPO names repositories of weights (http, https or file, separated by commas or spaces, tried in turn), and
MXNET_GLUON_REPO a copy of GluonCV's store. --root is the folder of weight files (default: MXNet's own, ~/.mxnet/models
or $MXNET_HOME/models).
"""

from __future__ import annotations

import argparse
import logging

from gluon_fg import errors


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)

    def command(run, name, text):
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument('--root', metavar='DIR', help="folder of weight files (default: MXNet's own)")
        sub.set_defaults(run=run)
        return sub

    sub = command(list_weights, 'list', 'models whose weights are to be had, and whether they are here')
    sub.add_argument('pattern', nargs='?', default='*', metavar='PATTERN', help="shell wildcards, for example '*dfb*'")
    sub = command(verify, 'verify', 'check hash and size of the files that are here')
    sub.add_argument('names', nargs='*', metavar='NAME', help='these alone, which then must be here')
    sub = command(fetch, 'fetch', 'download and verify')
    sub.add_argument('names', nargs='+', metavar='NAME')
    sub = command(bundle, 'bundle', 'pack weights into a tar, for machines without a network')
    sub.add_argument('out', metavar='OUT.tar')
    sub.add_argument('names', nargs='+', metavar='NAME')
    sub = command(import_bundle, 'import', 'take weights from a bundle: a tar, or a folder of weight files')
    sub.add_argument('source', metavar='FOLDER_OR_TAR')
    return parser.parse_args()


def published_name(name, root):
    """The name that the weights of a model are published under: its own, or that of GluonCV's network within it."""
    from gluon_fg import registry
    from gluon_fg.weights.gluoncv_store import gluoncv_has
    from gluon_fg.weights.index import find

    try:
        entry = registry.model_entry(name)
    except errors.UserError:
        return name  # GluonCV's, or nobody's
    if find(entry.name, root) is None and entry.gluoncv and gluoncv_has(entry.gluoncv):
        return entry.gluoncv
    return entry.name


def list_weights(args):
    from gluon_fg.factory import list_models
    from gluon_fg.weights.bundle import file_of
    from gluon_fg.weights.gluoncv_store import gluoncv_has
    from gluon_fg.weights.index import index, model_root, zoo_folder

    published, rows = index(args.root), [('model', 'file', 'MB', 'top-1 %', 'here')]
    for name in list_models(args.pattern):
        source = published_name(name, args.root)
        if source not in published and not gluoncv_has(source):
            continue
        file, _, size = file_of(source, args.root)
        metrics = published[source].metrics if source in published else {}
        top1 = [f'{m["top1"]:.1f} {dataset} ({m["protocol"]})' for dataset, m in metrics.items() if 'top1' in m]
        here = [str(folder) for folder in (model_root(args.root), zoo_folder()) if (folder / file).exists()]
        rows.append((name, file, f'{size / 1e6:.1f}' if size else '', ', '.join(top1), ''.join(here[:1])))
    if len(rows) == 1:
        raise errors.UserError(f'no weights are to be had for {args.pattern!r}; see list without one')
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print('  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def verify(args):
    from gluon_fg.weights.bundle import file_of, known_files
    from gluon_fg.weights.zoo import copies

    if args.names:
        wanted = [file_of(published_name(name, args.root), args.root) for name in args.names]
    else:
        wanted = known_files(args.root)
    good = bad = 0
    for file, digest, size in wanted:
        found = list(copies(file, digest, size, args.root))
        for path, wrong in found:
            print(f'damaged  {path}: {wrong}' if wrong else f'good     {path}')
        if args.names and not found:
            print(f'absent   {file}')
        bad += sum(1 for _, wrong in found if wrong) + bool(args.names and not found)
        good += sum(1 for _, wrong in found if not wrong)
    print(f'{good} good' + (f', {bad} damaged or absent' if bad else ''))
    return 2 if bad else 0


def fetch(args):
    from gluon_fg.weights.bundle import published_file

    for name in args.names:
        print(published_file(published_name(name, args.root), args.root))


def bundle(args):
    from gluon_fg.weights.bundle import write_bundle

    packed = write_bundle(args.out, [published_name(name, args.root) for name in args.names], args.root)
    print(f'{args.out}: {", ".join(packed)}')


def import_bundle(args):
    from gluon_fg.weights.bundle import import_bundle

    done = import_bundle(args.source, args.root)
    there = f', {len(done.present)} were there' if done.present else ''
    print(f'{len(done.new)} files into {done.root}{there}')
    if done.noted:
        print(f'known from the bundle alone, and noted in {done.root}/index.yaml: {", ".join(done.noted)}')


def main():
    args = parse()
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    return args.run(args)


if __name__ == '__main__':
    errors.run(main)
