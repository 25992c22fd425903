#!/usr/bin/env python
"""Prepare a dataset: `python scripts/prepare_data.py synthfg --root build/synthfg --train 1440 --val 240 --test 480`.

`synthfg` renders the built-in fine-grained set; with `--preview FILE.png` it draws one clip of each class instead.
`synthfg_images` renders single images of its kind. `stanfordcars` and `stanforddogs` look whether their archives lie
unpacked under --root, every image that is listed included; nothing is changed.
"""

from __future__ import annotations

import argparse
import os
import sys

import cv2

from gluon_fg import errors, files
from gluon_fg.data import build_dataset, dataset_info, synthfg


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    datasets = parser.add_subparsers(dest='dataset', required=True, metavar='DATASET')
    synth = rendered(datasets, 'synthfg', 'the built-in set', synthfg.SIZES, 'clips, a multiple of 24')
    synth.add_argument('--preview', metavar='FILE.png', help='draw one clip of each class into FILE.png, and stop')
    synth.add_argument('--boxes', action='store_true', help='with --preview: outline where the detail shows')
    rendered(datasets, 'synthfg_images', 'images of its kind', synthfg.IMAGE_SIZES, 'images, a multiple of 8')
    for name, title in (('stanfordcars', 'Stanford Cars'), ('stanforddogs', 'Stanford Dogs')):
        there = datasets.add_parser(name, help=f'{title}: is everything there?')
        there.add_argument('--root', required=True, help='folder that its archives are unpacked in')
    args = parser.parse_args()
    if args.dataset.startswith('stanford'):
        return check(args)
    if args.dataset == 'synthfg':
        if args.boxes and not args.preview:
            synth.error('--boxes belongs to --preview FILE.png')
        if args.preview:
            return preview(args)
    return generate(args)


def rendered(datasets, name: str, what: str, sizes, unit: str) -> argparse.ArgumentParser:
    parser = datasets.add_parser(name, help=f'{what}: rendered here, nothing is downloaded')
    parser.add_argument('--root', help=f'folder for it (default: datasets/{name} in $MXNET_HOME or ~/.mxnet)')
    for split, count in sizes.items():
        parser.add_argument(f'--{split}', type=int, default=count, metavar='N', help=f'{unit} (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the whole set (%(default)s)')
    return parser


def generate(args: argparse.Namespace) -> None:
    sizes = {split: getattr(args, split) for split in synthfg.SIZES}
    root = synthfg.generate(args.root, **sizes, seed=args.seed, progress=sys.stderr.isatty(), dataset=args.dataset)
    meta = synthfg.read_meta(root, args.dataset)
    title, unit = ('SynthFG', 'clips') if args.dataset == 'synthfg' else ('SynthFG images', 'images')
    print(f'{title}: {len(meta["classes"])} classes in {len(meta["kinds"])} groups, seed {args.seed}')
    for split, count in sizes.items():
        print(f'  {split:5} {count:5} {unit}  {root / split}.csv')


def check(args: argparse.Namespace) -> int:
    """Count what is listed and what is there."""
    complete = True
    for split in dataset_info(args.dataset).splits:
        dataset = build_dataset(args.dataset, split, args.root)
        missing = [path for path in map(dataset.path, range(len(dataset))) if not os.path.isfile(path)]
        print(f'  {split:5} {len(dataset):5} images of {dataset.nclass} classes, {len(dataset) - len(missing)} there')
        if missing:
            complete = False
            print(f'error: {missing[0]} is missing, and {len(missing) - 1} more', file=sys.stderr)
    return 0 if complete else 2


def preview(args: argparse.Namespace) -> None:
    if not args.preview.lower().endswith('.png'):
        raise errors.UserError(f'--preview writes PNG; {args.preview} should end in .png')
    sheet = synthfg.contact_sheet(args.seed, boxes=args.boxes)
    with files.atomic_write(args.preview, 'wb') as stream:
        stream.write(cv2.imencode('.png', cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
    print(f'one clip of each class: {args.preview}')


if __name__ == '__main__':
    errors.run(main)
