#!/usr/bin/env python
"""Prepare a dataset: `python scripts/prepare_data.py synthfg --root build/synthfg --train 1440 --val 240 --test 480`.

`synthfg` renders the built-in fine-grained set; with `--preview FILE.png` it draws one clip of each class instead.
"""

from __future__ import annotations

import argparse
import sys

import cv2

from gluon_fg import errors, files
from gluon_fg.data import synthfg


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    datasets = parser.add_subparsers(dest='dataset', required=True, metavar='DATASET')
    synth = datasets.add_parser('synthfg', help='the built-in set: rendered here, nothing is downloaded')
    synth.add_argument('--root', help='folder for it (default: datasets/synthfg in $MXNET_HOME or ~/.mxnet)')
    for split, clips in synthfg.SIZES.items():
        synth.add_argument(
            f'--{split}', type=int, default=clips, metavar='N', help='clips, a multiple of 24 (%(default)s)'
        )
    synth.add_argument('--seed', type=int, default=0, help='of the whole set (%(default)s)')
    synth.add_argument('--preview', metavar='FILE.png', help='draw one clip of each class into FILE.png, and stop')
    synth.add_argument('--boxes', action='store_true', help='with --preview: outline where the detail shows')
    args = parser.parse_args()
    if args.boxes and not args.preview:
        synth.error('--boxes belongs to --preview FILE.png')
    return preview(args) if args.preview else generate(args)


def generate(args: argparse.Namespace) -> None:
    root = synthfg.generate(args.root, args.train, args.val, args.test, args.seed, progress=sys.stderr.isatty())
    print(f'SynthFG: {len(synthfg.CLASSES)} classes in {len(synthfg.KIND)} groups, seed {args.seed}')
    for split in synthfg.SIZES:
        print(f'  {split:5} {getattr(args, split):5} clips  {root / split}.csv')


def preview(args: argparse.Namespace) -> None:
    if not args.preview.lower().endswith('.png'):
        raise errors.UserError(f'--preview writes PNG; {args.preview} should end in .png')
    sheet = synthfg.contact_sheet(args.seed, boxes=args.boxes)
    with files.atomic_write(args.preview, 'wb') as stream:
        stream.write(cv2.imencode('.png', cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
    print(f'one clip of each class: {args.preview}')


if __name__ == '__main__':
    errors.run(main)
