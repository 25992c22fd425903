#!/usr/bin/env python
"""Show where networks respond in each sub-clip of a video, side by side (CIDC figs. 1 and 4).

    python scripts/activation_maps.py VIDEO --models i3d_tiny_synthfg i3d_tiny_synthfg_cidc --out maps.png

att(F) = sigmoid of the mean of the features F over their channels (eq. 3): F is F_CIDC of a CIDC network, else the last
features of the backbone. --out *.png draws one clip, *.mp4 the whole video. Colours reach from the lowest to the
highest value of each F, which the picture states. Any network on clips will do, by name or as a training run's folder.
"""

from __future__ import annotations

import argparse
import os

from gluon_fg import errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('video', metavar='VIDEO', help='video file')
    parser.add_argument(
        '--models', nargs='+', required=True, metavar='NAME', help='networks, from top to bottom; or run folders'
    )
    parser.add_argument(
        '--params',
        nargs='+',
        metavar='FILE',
        help='their parameters, one for each; - for the default: the published weights, or best.params of a run',
    )
    parser.add_argument('--out', required=True, metavar='FILE', help='maps.png (one clip) or maps.mp4 (all the video)')
    parser.add_argument('--start', type=int, metavar='FRAME', help="first frame of the picture's clip (the middle one)")
    parser.add_argument('--columns', type=int, metavar='N', help='sub-clips in the picture, at most (8)')
    parser.add_argument('--backbone', action='store_true', help="of CIDC networks show the backbone's F5, too")
    parser.add_argument('--force', action='store_true', help='replace a file that is there')
    args = parser.parse_args()

    suffix = os.path.splitext(args.out)[1].lower()
    if suffix not in ('.png', '.mp4'):
        raise errors.UserError(f'--out {args.out}: choose a name that ends in .png (picture) or .mp4 (film)')
    if suffix == '.mp4' and (args.start is not None or args.columns is not None):
        raise errors.UserError('a film shows the whole video; leave out --start and --columns, or choose --out *.png')
    if args.columns is not None and args.columns < 1:
        raise errors.UserError(f'--columns must be at least 1, got {args.columns}')
    if os.path.realpath(args.out) in [os.path.realpath(path) for path in (args.video, *(args.params or ()))]:
        raise errors.UserError(f'{args.out} is one of the given files; choose another --out')
    if os.path.exists(args.out) and not args.force:
        raise errors.UserError(f'{args.out} is there already; use --force to replace it, or another --out')

    from gluon_fg.analysis.activation import clip_activations, require_clips, video_activations
    from gluon_fg.analysis.activation_pictures import film, picture
    from gluon_fg.analysis.drawing import save_png
    from gluon_fg.data.video import open_video
    from gluon_fg.training.named import load_named

    networks = load_named(args.models, args.params)
    with open_video(args.video) as reader:
        if args.start is not None and not 0 <= args.start < len(reader):
            raise errors.UserError(f'--start {args.start}: {args.video} has the frames 0 to {len(reader) - 1}')
        found = []
        for label, net, _ in networks:
            require_clips(net)
            if suffix == '.png':
                one = clip_activations(net, reader, args.start, label, args.backbone)
            else:
                one = video_activations(net, reader, label, args.backbone)
            found.append(one)
            print(f'{label}: {", ".join(f"{c} {100 * p:.1f} %" for c, p in one.predictions)}')
            for part in one.parts:
                print(f'  {part.part}: {len(part.maps)} maps, att {part.limits[0]:.4f} to {part.limits[1]:.4f}')
        if suffix == '.png':
            save_png(args.out, picture(found, reader, args.columns or 8))
        else:
            film(args.out, found, reader)
    print(f'wrote {args.out}')
    return 0


if __name__ == '__main__':
    errors.run(main)
