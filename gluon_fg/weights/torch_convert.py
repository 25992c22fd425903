"""Checkpoints of other projects turned into this zoo's parameter files: read, matched whole, written."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Dict, List, Sequence, Tuple, Union

import mxnet as mx
from mxnet.gluon import HybridBlock

from .. import files
from ..backbones import BACKBONES
from ..errors import UserError
from .array_files import read_arrays
from .inflate import inflate_all
from .saving import save_params
from .torch_names import Arrays, Checkpoint


def read_checkpoint(source: Union[str, os.PathLike]) -> Arrays:
    """Read a checkpoint of PyTorch, or a pickle of NumPy arrays, as name -> float32 (or integer) array.

    Nothing in the file is run, and PyTorch is not needed.

    Raises
    ------
    UserError
        no such file, or as `array_files.read_arrays`
    """
    path = Path(source)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f'no checkpoint {path}') from None
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error.strerror or error}') from None
    return read_arrays(data, path)


def fit(checkpoint: Checkpoint, net: HybridBlock, backbone: str) -> Tuple[Dict[str, mx.nd.NDArray], str]:
    """A checkpoint's parameters as those of a network.

    Parameters
    ----------
    checkpoint
        what `recognize` gave
    net
        a recognizer, all shapes known, not necessarily initialized
    backbone
        its backbone's name in `gluon_fg.backbones.BACKBONES`

    Returns
    -------
    arrays
        structural name -> array: every parameter of `net`, or of its backbone alone where that is all that can be had
        of an ImageNet network (inflated for clips)
    note
        what the user should know about them, or ''

    Raises
    ------
    UserError
        another backbone, class count, reduction of time, or shape; or a network with branches that the checkpoint
        cannot fill
    """
    params = net._collect_params_with_prefix()
    start = checkpoint.imagenet and not (backbone == checkpoint.backbone and net.nclass == checkpoint.nclass)
    if backbone not in backbones_for(checkpoint):
        raise UserError(f'{net.name} is built on {backbone}, and this is {checkpoint}; choose a model that it fits')
    arrays = {
        name: array for name, array in checkpoint.arrays.items() if not (start and name.startswith('classifier.'))
    }
    arrays = {f'branches.{name}': mx.nd.array(array, dtype=array.dtype) for name, array in arrays.items()}
    wanted = {n: p.shape for n, p in params.items() if not start or _from_imagenet(n)}
    if checkpoint.layout.kind == 'clips' and net.branches.backbone.pool2 is None:
        raise UserError(
            f'this checkpoint halves time behind its first stage, {net.name} does not; '
            f'add --options temporal_downsample=8'
        )
    if not start and net.nclass != checkpoint.nclass:
        raise UserError(
            f'this checkpoint has {checkpoint.nclass or "no"} classes, {net.name} has {net.nclass}; '
            f'choose a model of {checkpoint.nclass or "its"} classes, or a *_custom one with that nclass'
        )
    missing = sorted(set(wanted) - set(arrays))
    if missing and all(not name.startswith(('branches.backbone.', 'branches.classifier.')) for name in missing):
        raise UserError(
            f'{net.name} has branches that this checkpoint knows nothing of ({missing[0]}); convert it for the '
            f'baseline on {backbone}, and start training {net.name} from that file with model.params'
        )
    for names, fault in ((missing, 'lacks'), (sorted(set(arrays) - set(wanted)), 'has, and the network lacks,')):
        if names:
            raise UserError(f'this {checkpoint.layout.title} {fault} {names[0]} ({len(names)} in all)')
    if start:
        note = "ImageNet's weights for the backbone alone: train from them with model.params and pretrained_base: false"
        return inflate_all(arrays, wanted, f'branches.backbone.{net.branches.backbone.stem_weight}'), note
    for name, array in arrays.items():
        if array.shape != tuple(wanted[name]):
            raise UserError(
                f'{name} has shape {array.shape} in this checkpoint, {net.name} needs {tuple(wanted[name])}'
            )
    return arrays, ''


def _from_imagenet(name: str) -> bool:
    """Whether a parameter can come from an ImageNet network; non-local blocks start as the identity."""
    return name.startswith('branches.backbone.') and '.non_local.' not in name


def backbones_for(checkpoint: Checkpoint) -> Tuple[str, ...]:
    """Names of the backbones that it can fill: its own, and those that a ResNet of ImageNet's of its depth starts."""
    if not checkpoint.imagenet or checkpoint.layout.kind != 'frames':
        return (checkpoint.backbone,)
    depth = checkpoint.backbone[len('resnet') : -len('_v1b')]
    return tuple(name for name in BACKBONES if re.search(rf'\bresnet{depth}_v1b?$', name.replace('_resnet', ' resnet')))


def reorder_classes(arrays: Dict[str, mx.nd.NDArray], theirs: Sequence[str], ours: Sequence[str]) -> bool:
    """Put the classifier's rows into the order of our class names, in place. Returns whether anything moved.

    Names are compared without case, spaces and punctuation, which data sets' lists differ in.

    Raises
    ------
    UserError
        a name that is not in the other list, or twice in one
    """
    rows: Dict[str, int] = {}
    for row, name in enumerate(theirs):
        if rows.setdefault(_plain(name), row) != row:
            raise UserError(f'class {name!r} stands twice in the list of classes')
    order: List[int] = []
    for name in ours:
        if _plain(name) not in rows:
            raise UserError(f'class {name!r} of the model is not in the list of classes; is it of another data set?')
        order.append(rows[_plain(name)])
    if order == list(range(len(order))):
        return False
    for name in ('branches.classifier.weight', 'branches.classifier.bias'):
        arrays[name] = mx.nd.take(arrays[name], mx.nd.array(order))
    return True


def _plain(name: str) -> str:
    return ''.join(c for c in name.lower() if c.isalnum())


def save(arrays: Dict[str, mx.nd.NDArray], path: Union[str, os.PathLike], half: bool = False) -> None:
    """Write a .params file that Gluon loads; `half`: as float16, for half the size."""
    with files.atomic_path(path) as temporary:
        save_params(temporary, {name: array.astype('float16') if half else array for name, array in arrays.items()})
