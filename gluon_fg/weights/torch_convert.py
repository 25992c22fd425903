"""PyTorch checkpoints turned into this zoo's parameter files: read, matched whole, written; PyTorch only reads."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from .. import files
from ..backbones import BACKBONES
from ..errors import UserError
from .inflate import inflate_all
from .torch_names import Arrays, Checkpoint

INSTALL = 'CONTRIBUTING.md, "PyTorch", says how'
_WRAPPERS = ('state_dict', 'model_state_dict', 'model')


def read_checkpoint(source: Union[str, os.PathLike]) -> Arrays:
    """name -> float32 (or integer) array of a .pth file; nothing in the file is executed (`weights_only`).

    Raises
    ------
    UserError
        PyTorch is not installed; no such file, or not one of PyTorch's; it holds more than tensors, or none
    """
    path = Path(source)
    if not path.is_file():
        raise UserError(f'no checkpoint {path}')
    try:
        import torch
    except ImportError as error:
        raise UserError(f'PyTorch is needed to read {path}, and cannot be imported ({error}); {INSTALL}') from None
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        reason = ' '.join(str(error).split())
        if 'Unsupported global' in reason or 'GLOBAL' in reason:
            wanted = reason.split('GLOBAL ')[-1].split()[0]
            raise UserError(
                f'{path} holds more than tensors ({wanted}), and only tensors are read; '
                f"where you trust it, save them alone: torch.save(checkpoint['state_dict'], FILE)"
            ) from None
        raise UserError(f'{path} is no checkpoint of PyTorch ({reason[:80]})') from None
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:  # a damaged zip, or another kind of file
        raise UserError(
            f'{path} is no checkpoint of PyTorch, or damaged ({" ".join(str(error).split())[:80]})'
        ) from None
    return {name: _array(path, name, tensor) for name, tensor in _state_dict(path, content).items()}


def _state_dict(path: Path, content: Any) -> Dict[str, Any]:
    while isinstance(content, dict) and not any(hasattr(value, 'detach') for value in content.values()):
        inside = [content[key] for key in _WRAPPERS if isinstance(content.get(key), dict)]
        if not inside:
            break
        content = inside[0]
    if not isinstance(content, dict) or not any(hasattr(value, 'detach') for value in content.values()):
        raise UserError(f'{path} holds no tensors by name, neither outermost nor under {", ".join(_WRAPPERS)}')
    return content


def _array(path: Path, name: str, tensor: Any) -> np.ndarray:
    if not hasattr(tensor, 'detach'):
        raise UserError(f'{path}: {name} is no tensor but a {type(tensor).__name__}')
    tensor = tensor.detach()
    array = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    if not np.isfinite(array).all():
        raise UserError(f'{path}: {name} holds a number that is not finite')
    return array


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
    for names, what in ((missing, 'lacks'), (sorted(set(arrays) - set(wanted)), 'has, and the network lacks,')):
        if names:
            raise UserError(f'this {checkpoint.layout.title} {what} {names[0]} ({len(names)} in all)')
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
        mx.nd.save(temporary, {name: array.astype('float16') if half else array for name, array in arrays.items()})
