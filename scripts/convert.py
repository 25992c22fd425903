#!/usr/bin/env python
"""Turn a PyTorch checkpoint into this zoo's weights.

    python scripts/convert.py checkpoint.pth                      # what it is, and which models it fits
    python scripts/convert.py tsm.pth --model tsm8f_resnet50_v1b_sthsthv2 --out tsm8f.params
    python scripts/convert.py i3d.pth --model i3d_resnet50_v1_custom --options temporal_downsample=8 --out i3d.params
    python scripts/convert.py resnet50.pth --model i3d_resnet50_v1_kinetics400_dfb --out imagenet.params

Knows torchvision's ResNets (ImageNet, or frame networks), TSN and TSM (the authors' and MMAction2's), I3D ResNets
(MMAction2's and GluonCV's for PyTorch) and pytorch-i3d's Inception-V1. The layout is recognized by the names of the
parameters; if one is left over, all that are are listed, and nothing is written.

The file goes with --params of evaluate.py and predict.py, or with model.params of train.py. Of an ImageNet ResNet the
backbone is taken, inflated for clips: a start for training, with model.params only.

The order of classes is not in a checkpoint. Where it is another than ours, scores are those of wrong classes: give the
checkpoint's own list with --classes, one name a line, and the classifier is put into our order.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gluon_fg import errors


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='.pth or .pt file')
    parser.add_argument('--model', help='name of the model it is for (without it: what fits is listed)')
    parser.add_argument('--out', metavar='FILE.params', help='file to write')
    parser.add_argument('--options', nargs='+', default=[], metavar='KEY=VALUE', help='options of --model')
    parser.add_argument('--classes', metavar='FILE', help="the checkpoint's classes, one a line, in its own order")
    parser.add_argument('--float16', action='store_true', help='half the size; loaded as float32 again')
    parser.add_argument('--force', action='store_true', help='replace --out')
    return parser.parse_args()


def fitting(checkpoint):
    """Names of the models that it fits as a whole, or whose backbone it is a start for."""
    from gluon_fg import list_models, model_info
    from gluon_fg.weights.torch_convert import backbones_for

    names = {}
    for info in map(model_info, list_models()):
        whole = info['method'] == 'Baseline' and info['nclass'] in (None, checkpoint.nclass)
        if info['backbone'] in backbones_for(checkpoint) and (whole or checkpoint.imagenet):
            names[info['name']] = None  # an alias has its entry's
    return list(names)


def describe(checkpoint):
    names = fitting(checkpoint)
    print(f'recognized: {checkpoint}')
    if names:
        print(f'{"a start for" if checkpoint.imagenet else "fits"}: {", ".join(names)}')
    else:
        print('no model of the zoo fits: none has this backbone and number of classes')


def build(args, checkpoint):
    """The network of --model, not initialized, with as many classes as the checkpoint where the user chooses."""
    from gluon_fg import factory
    from gluon_fg.evaluation.load import parse_options

    options = parse_options(args.options)
    if factory.setting(args.model).nclass is None and checkpoint.nclass and not checkpoint.imagenet:
        options.setdefault('nclass', checkpoint.nclass)
    return factory.build(args.model, **options)


def match_classes(args, net, arrays):
    """A line on the order of classes; changes the classifier in `arrays` where --classes says so."""
    from gluon_fg.evaluation.load import name_classes
    from gluon_fg.weights.torch_convert import reorder_classes

    if 'branches.classifier.weight' not in arrays:
        if args.classes:
            raise errors.UserError('--classes: of an ImageNet network the classifier is left out; leave out --classes')
        return ''
    if args.classes is None:
        return "the order of classes is taken to be ours: check it, or give the checkpoint's own list with --classes"
    ours = net.classes
    name_classes(net, args.classes)
    if ours is None:
        return f'give {args.classes} to predict.py too (--classes): {net.name} knows no classes of its own'
    moved = reorder_classes(arrays, net.classes, ours)
    return 'the classifier was put into the order of our classes' if moved else 'the order of classes is ours'


def main():
    args = parse()
    from gluon_fg import registry
    from gluon_fg.weights import torch_convert, torch_names

    if args.model:
        registry.model_entry(args.model)
    if bool(args.model) != bool(args.out):
        raise errors.UserError('give --model and --out together, or neither to see what the checkpoint is')
    if args.out and not args.out.endswith('.params'):
        raise errors.UserError(f'--out {args.out}: choose a name that ends in .params')
    if args.out and Path(args.out).exists() and not args.force:
        raise errors.UserError(f'{args.out} exists; choose another --out, or --force to replace it')
    arrays = torch_convert.read_checkpoint(args.checkpoint)
    try:
        checkpoint = torch_names.recognize(arrays)
        if not args.model:
            describe(checkpoint)
            return 0
        net = build(args, checkpoint)
        arrays, note = torch_convert.fit(checkpoint, net, registry.model_entry(args.model).backbone)
    except errors.UserError as error:
        raise errors.UserError(f'{args.checkpoint}: {error}') from None
    notes = [note, match_classes(args, net, arrays)]
    torch_convert.save(arrays, args.out, args.float16)
    print(f'{args.out}: {len(arrays)} parameters for {net.name}, from {checkpoint}')
    print(''.join(f'{text}\n' for text in notes if text), end='')
    return 0


if __name__ == '__main__':
    errors.run(main)
