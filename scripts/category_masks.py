#!/usr/bin/env python
"""Show which places and moments the masks of confusing classes select in a video (U2S figs. 5 and 6).

    python scripts/category_masks.py VIDEO --model runs/u2s --out masks.png

From top to bottom: the mask of the class that the universal network predicts, those of the classes it is confused with,
and the gate made of them. --out *.png draws one clip, *.mp4 the whole video. A U2S network, by name or as a training
run's folder.
"""

from __future__ import annotations

import argparse
import os

from gluon_fg import errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('video', metavar='VIDEO', help='video file')
    parser.add_argument('--model', required=True, metavar='NAME', help='a U2S network; or a run folder')
    parser.add_argument('--params', metavar='FILE', help='its parameters (default: published, or best.params of a run)')
    parser.add_argument('--classes', nargs='+', metavar='NAME', help='show the masks of these classes')
    parser.add_argument('--partners', type=int, metavar='N', help='confusing classes to show, at most (3)')
    parser.add_argument(
        '--out', required=True, metavar='FILE', help='masks.png (one clip) or masks.mp4 (all the video)'
    )
    parser.add_argument('--start', type=int, metavar='FRAME', help="first frame of the picture's clip (the middle one)")
    parser.add_argument('--columns', type=int, default=9, metavar='N', help='sub-clips in the picture (%(default)s)')
    parser.add_argument('--force', action='store_true', help='replace a file that is there')
    args = parser.parse_args()

    suffix = os.path.splitext(args.out)[1].lower()
    if suffix not in ('.png', '.mp4'):
        raise errors.UserError(f'--out {args.out}: choose a name that ends in .png (picture) or .mp4 (film)')
    if suffix == '.mp4' and args.start is not None:
        raise errors.UserError('a film shows the whole video; leave out --start, or choose --out *.png')
    if args.columns < 1:
        raise errors.UserError(f'--columns must be at least 1, got {args.columns}')
    if args.classes and args.partners is not None:
        raise errors.UserError('--classes says which masks are shown; leave out --partners')
    if os.path.realpath(args.out) in [os.path.realpath(path) for path in (args.video, args.params or '')]:
        raise errors.UserError(f'{args.out} is one of the given files; choose another --out')
    if os.path.exists(args.out) and not args.force:
        raise errors.UserError(f'{args.out} is there already; use --force to replace it, or another --out')

    from gluon_fg.analysis.activation_pictures import film, picture
    from gluon_fg.analysis.drawing import save_png
    from gluon_fg.analysis.masks import clip_masks, require_masks, video_masks
    from gluon_fg.data.video import open_video
    from gluon_fg.training.named import load_named

    partners = 3 if args.partners is None else args.partners
    with open_video(args.video) as reader:
        (network,) = load_named([args.model], args.params and [args.params])
        require_masks(network.net)
        if suffix == '.png':
            found = clip_masks(network.net, reader, args.start, args.classes, partners, network.title)
            save_png(args.out, picture(found, reader, args.columns))
        else:
            found = video_masks(network.net, reader, args.classes, partners, network.title)
            film(args.out, found, reader)
    print(f'{network.title}: {", ".join(f"{c} {100 * p:.1f} %" for c, p in found[0].predictions)}')
    for one in found:
        (part,) = one.parts
        print(f'  {part.part}: {one.name}, maps: {len(part.maps)}, {part.limits[0]:.4f} to {part.limits[1]:.4f}')
    print(f'wrote {args.out}')
    return 0


if __name__ == '__main__':
    errors.run(main)
