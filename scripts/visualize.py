#!/usr/bin/env python
"""Show where a filter bank looks: `python scripts/visualize.py VIDEO... --model i3d_tiny_synthfg_dfb --out pictures`.

For each video, the filters of its predicted class (or of --class, or one --filter) with the highest responses over the
whole video: the frame, time and box of each maximum, a strip of frames (<video>.png), a film with boxes and heat map
(<video>.mp4), and peaks.json. With --filter also that filter over all videos in one picture.
"""

from __future__ import annotations

import argparse
import sys

from gluon_fg import errors
from gluon_fg.analysis.placement import BOXES


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('videos', nargs='+', metavar='VIDEO', help='video files')
    parser.add_argument('--model', required=True, metavar='NAME', help='a model with a filter bank (*_dfb)')
    parser.add_argument('--params', metavar='FILE', help='its parameters (default: the published weights)')
    parser.add_argument(
        '--class', dest='name', metavar='NAME', help="whose filters to show (default: each video's predicted class)"
    )
    parser.add_argument(
        '--filter', type=int, metavar='ID', help='show this filter alone, and over all videos in one picture'
    )
    parser.add_argument(
        '--top', type=int, default=3, metavar='N', help='how many filters of the class (default: %(default)s)'
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for pictures and peaks.json')
    parser.add_argument('--force', action='store_true', help='replace files that are there')
    parser.add_argument(
        '--box',
        default='cell',
        choices=BOXES,
        help='extent of the boxes: around the cell, or its whole theoretical receptive field (default: %(default)s)',
    )
    parser.add_argument(
        '--cells', type=float, default=2.0, metavar='N', help='width of a cell box in cells (default: %(default)s)'
    )
    args = parser.parse_args()
    from gluon_fg.analysis.visualize import visualize
    from gluon_fg.evaluation.load import load_network

    net, failed = load_network(args.model, args.params), 0
    for done in visualize(
        net, args.videos, args.out, args.name, args.filter, args.top, args.box, args.cells, args.force
    ):
        if done.error is not None:
            failed += 1
            print(f'error: {done.error}', file=sys.stderr)
            continue
        label, probability = done.predictions[0]
        print(f'{done.path}: predicted {label} ({100 * probability:.1f} %)')
        for peak in done.found.peaks:
            corners = ', '.join(f'{value:.0f}' for value in peak.box)
            print(
                f'  {peak.class_name}  filter {peak.filter}  response {peak.value:.3f}  '
                f'frame {peak.frame}  {peak.seconds:.2f} s  box ({corners})'
            )
        print(f'  wrote {", ".join(done.files)}')
    if failed < len(args.videos):
        print(
            f'wrote {args.out}/peaks.json'
            + (f' and {args.out}/filter_{args.filter}.png' if args.filter is not None else '')
        )
    if failed:
        print(f'{failed} of {len(args.videos)} videos could not be read', file=sys.stderr)
    return 2 if failed else 0


if __name__ == '__main__':
    errors.run(main)
