#!/usr/bin/env python
"""Say what happens in videos: `python scripts/predict.py clip.mp4 folder/ --model i3d_tiny_synthfg_dfb --topk 3`.

VIDEO is a file, or a folder whose videos are all taken (also deeper ones); for a network on single images, its images.
Without --params the published weights are used. A video that cannot be decoded is named on stderr and does not stop the
others; the exit code is then 2.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from gluon_fg import errors


def videos(paths, spec):
    """The files named, and those in the folders named, in natural order; `spec` says whether they are images."""
    from gluon_fg.data.datasets import VIDEO_SUFFIXES
    from gluon_fg.data.video import IMAGE_SUFFIXES, natural

    images = spec.ndim == 2 and spec.segments == 1
    suffixes, what, files = IMAGE_SUFFIXES if images else VIDEO_SUFFIXES, 'image' if images else 'video', []
    for path in paths:
        if not os.path.isdir(path):
            files.append(path)
            continue
        inside = sorted(
            (
                os.path.join(folder, name)
                for folder, _, names in os.walk(path)
                for name in names
                if name.lower().endswith(suffixes) and not name.startswith('.')
            ),
            key=natural,
        )
        if not inside:
            raise errors.UserError(f'{path}: no {what} in this folder (looked for {", ".join(suffixes)})')
        files += inside
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('video', nargs='+', metavar='VIDEO', help='video or image file, or folder of them')
    parser.add_argument('--model', help='name of a model (see gluon_fg.list_models())')
    parser.add_argument('--run', help='instead of --model: folder of a training run')
    parser.add_argument(
        '--params', help='.params file (default: the published weights of --model, or best.params of --run)'
    )
    parser.add_argument(
        '--options', nargs='+', default=[], metavar='KEY=VALUE', help='options of --model, e.g. nclass=8'
    )
    parser.add_argument('--classes', metavar='FILE', help='class names, one a line, for a model that knows none')
    parser.add_argument('--topk', type=int, default=5, help='classes to list; at most all')
    parser.add_argument('--protocol', help="views of each video (default: the model's): train_time, dfb_3d, 5x3, ...")
    parser.add_argument('--batch-size', type=int, default=8, help='views in a forward pass')
    parser.add_argument('--workers', type=int, default=2, help='decoding threads')
    parser.add_argument('--device', default='auto', choices=['auto', 'cpu', 'gpu'])
    parser.add_argument('--json', action='store_true', help='print a JSON array with an object for each video')
    args = parser.parse_args()

    from gluon_fg.evaluation.load import load_network, name_classes, parse_options
    from gluon_fg.evaluation.predict import predict_videos
    from gluon_fg.evaluation.protocol import get_protocol
    from gluon_fg.training.run import choose_context, load_run

    if args.protocol:
        get_protocol(args.protocol)
    if args.topk < 1:
        raise errors.UserError(f'--topk must be at least 1, got {args.topk}')
    if (args.run is None) == (args.model is None):
        raise errors.UserError('give either --model NAME or --run FOLDER')
    ctx = choose_context(args.device, 0)
    if args.run:
        net, config = load_run(args.run, args.params, ctx)
        protocol = args.protocol or config.test.protocol or net.protocol
    else:
        net = load_network(args.model, args.params, ctx, **parse_options(args.options))
        protocol = args.protocol or net.protocol
    if args.classes:
        name_classes(net, args.classes)
    if args.topk > net.nclass:
        print(f'note: {net.name} has {net.nclass} classes; all of them are listed', file=sys.stderr)
    paths = videos(args.video, net.input_spec)
    answers = predict_videos(paths, net, None, args.topk, protocol, ctx, args.batch_size, args.workers)
    if args.json:
        print(
            json.dumps(
                [
                    {
                        'path': a.path,
                        'model': net.name,
                        'protocol': protocol,
                        'predictions': [{'label': label, 'probability': p} for label, p in a.predictions],
                        **({'error': a.error.reason} if a.error else {}),
                    }
                    for a in answers
                ],
                indent=1,
            )
        )
    else:
        for answer in answers:
            if not answer.error:
                print(answer.path)
                for label, p in answer.predictions:
                    print(f'  {100 * p:5.1f} %  {label}')
    failed = [answer.error for answer in answers if answer.error]
    for error in failed:
        print(f'error: {error}', file=sys.stderr)
    return 2 if failed else 0


if __name__ == '__main__':
    errors.run(main)
