"""Names of GluonCV's parameters in our networks, so that its files can be read into them.

A file of GluonCV's often holds a layer twice, under the two attributes that a block knows it by; both names mean ours.
"""

from __future__ import annotations

import functools
import os
import re
from typing import Callable, Dict, Iterable, Mapping, Optional, Union

import mxnet as mx
import numpy as np

from ..errors import UserError

# The positions of a bottleneck's layers in the sequence that holds them again.
_BOTTLENECK = {'0': 'conv1', '1': 'bn1', '3': 'conv2', '4': 'bn2', '6': 'conv3', '7': 'bn3'}
_W_BN = {'W_bn.0': 'W', 'W_bn.1': 'bn'}

_RESNET = (
    # ResNet v1b on images: resnet50_v1b, and resnet50_v1b_kinetics400 (whose classifier is `output`)
    (re.compile(r'conv1\.(.+)'), lambda m: f'backbone.stem.0.{m[1]}'),
    (re.compile(r'bn1\.(.+)'), lambda m: f'backbone.stem.1.{m[1]}'),
    (re.compile(r'layer([1-4])\.(.+)'), lambda m: f'backbone.res{int(m[1]) + 1}.{m[2]}'),
    # i3d_resnet50_v1_*, i3d_slow_*
    (re.compile(r'first_stage\.([01])\.(.+)'), lambda m: f'backbone.stem.{m[1]}.{m[2]}'),
    (
        re.compile(r'res_layers\.([0-3])\.(\d+)\.bottleneck\.([013467])\.(.+)'),
        lambda m: f'backbone.res{int(m[1]) + 2}.{m[2]}.{_BOTTLENECK[m[3]]}.{m[4]}',
    ),
    (
        re.compile(r'res_layers\.([0-3])\.(\d+\.(?:conv|bn|downsample).+)'),
        lambda m: f'backbone.res{int(m[1]) + 2}.{m[2]}',
    ),
    # i3d_nl5_*, i3d_nl10_*: theta, phi, g, W and bn, the last two once more as W_bn
    (
        re.compile(r'res_layers\.([12])\.(\d+)\.(?:nonlocal_block|bottleneck\.8)\.([a-zA-Z]+|W_bn\.[01])\.(.+)'),
        lambda m: f'backbone.res{int(m[1]) + 2}.{m[2]}.non_local.{_W_BN.get(m[3], m[3])}.{m[4]}',
    ),
    (re.compile(r'(?:fc|output|head\.1)\.(.+)'), lambda m: f'classifier.{m[1]}'),
)


def _resnet(name: str) -> Optional[str]:
    for pattern, ours in _RESNET:
        match = pattern.fullmatch(name)
        if match:
            return ours(match)
    return None


def _resnet_v2(name: str) -> Optional[str]:
    """resnet50_v2: numbered layers, in which poolings count; batch norm of the data first, another behind res5."""
    match = re.fullmatch(r'features\.(\d+)\.(.+)', name)
    if not match:
        return f'classifier.{name[len("output.") :]}' if name.startswith('output.') else None
    number, rest = int(match[1]), match[2]
    if number < 3:
        return f'backbone.stem.{number}.{rest}'
    if 5 <= number <= 8:
        return f'backbone.res{number - 3}.{rest}'
    return f'backbone.res5.3.{rest}' if number == 9 else None


# Blocks of the Inceptions, in whose insides the names are the same.
_INCEPTIONV1 = {
    # i3d_inceptionv1_*, where poolings count
    'features.0': 'stem.0',
    **{f'features.{i}': f'res2.{i - 2}' for i in (2, 3)},
    **{f'features.{i}': f'res3.{i - 4}' for i in (5, 6)},
    **{f'features.{i}': f'res4.{i - 7}' for i in range(8, 13)},
    **{f'features.{i}': f'res5.{i - 13}' for i in (14, 15)},
    # googlenet
    'conv1': 'stem.0',
    'conv2': 'res2.0',
    'conv3': 'res2.1',
    **{f'inception{stage}{letter}': f'res{stage}.{i}' for stage in '345' for i, letter in enumerate('abcde', 1)},
}
# i3d_inceptionv3_*, and inceptionv3 itself
_INCEPTIONV3 = {
    **{f'features.{i}': f'stem.{i}' for i in (0, 1, 2)},
    **{f'features.{i}': f'res2.{i - 4}' for i in (4, 5)},
    **{f'features.{i}': f'res3.{i - 6}' for i in (7, 8, 9)},
    **{f'features.{i}': f'res4.{i - 10}' for i in range(10, 15)},
    **{f'features.{i}': f'res5.{i - 15}' for i in (15, 16, 17)},
}


def _inception(blocks: Mapping[str, str], name: str) -> Optional[str]:
    match = re.fullmatch(r'(features\.\d+|head\.\d+|\w+)\.(.+)', name)
    if not match:
        return None
    block, rest = match.groups()
    if block == 'output' or block.startswith('head.'):
        return f'classifier.{rest}'
    return f'backbone.{blocks[block]}.{rest}' if block in blocks else None


# mobilenetv2_1.0, where the stem's layers count: the position of a block, and of a layer in one.
_INVERTED = {
    3: 'stem.3',
    **{i: f'res2.{i - 4}' for i in (4, 5)},
    **{i: f'res3.{i - 6}' for i in (6, 7, 8)},
    **{i: f'res4.{i - 9}' for i in range(9, 16)},
    **{i: f'res5.{i - 16}' for i in range(16, 20)},
}
_OUT = ('expand.0', 'expand.1', '', 'depthwise.0', 'depthwise.1', '', 'project.0', 'project.1')


def _mobilenetv2(name: str) -> Optional[str]:
    """Its classifier, a convolution without bias, is not ours."""
    match = re.fullmatch(r'features\.(\d+)(?:\.out\.([0-7]))?\.(\w+)', name)
    if not match:
        return None
    number, layer, rest = int(match[1]), match[2], match[3]
    if layer is None:
        where = {0: 'stem.0', 1: 'stem.1', 20: 'res5.4.0', 21: 'res5.4.1'}.get(number)
        return f'backbone.{where}.{rest}' if where else None
    first = 3 if number == 3 else 0  # the first block does not expand
    inside = ''.join(_OUT[first + int(layer) :][:1])
    return f'backbone.{_INVERTED[number]}.{inside}.{rest}' if inside and number in _INVERTED else None


# `family` of a backbone -> our name of a parameter of GluonCV's network, or None
FAMILIES: Dict[str, Callable[[str], Optional[str]]] = {
    'resnet': _resnet,
    'resnet_v2': _resnet_v2,
    'inceptionv1': functools.partial(_inception, _INCEPTIONV1),
    'inceptionv3': functools.partial(_inception, _INCEPTIONV3),
    'mobilenetv2': _mobilenetv2,
}


def our_name(name: str, family: str = 'resnet') -> Optional[str]:
    """Structural name in a recognizer's `branches` of a GluonCV parameter; None for one that the family does not have.

    `fc` of an ImageNet network also becomes `classifier`: take the backbone's alone there.
    """
    return FAMILIES[family](name)


def is_gluoncv(names: Iterable[str]) -> bool:
    """Whether a file with these parameters is GluonCV's: whether any family knows any of them, as none knows ours."""
    return any(ours(name) is not None for name in names for ours in FAMILIES.values())


def translated(
    arrays: Mapping[str, mx.nd.NDArray], family: str, names: Iterable[str], path: Union[str, os.PathLike]
) -> Dict[str, mx.nd.NDArray]:
    """The arrays of a GluonCV file under our names.

    Parameters
    ----------
    arrays, path
        its contents, and what errors call it
    family
        of the backbone
    names
        our names of what the file must hold, no more and no less: `Recognizer.global_parameters`

    Raises
    ------
    UserError
        naming the first parameter that is unknown or missing, or that the file holds twice with two values
    """
    given: Dict[str, mx.nd.NDArray] = {}
    wanted, strange = set(names), set()
    for name, array in arrays.items():
        ours = f'branches.{our_name(name, family)}'
        if ours not in wanted:
            strange.add(name)
        elif ours in given and not np.array_equal(given[ours].asnumpy(), array.asnumpy()):
            raise UserError(f'{path}: holds {ours} twice, the second time as {name} with another value')
        given[ours] = array
    for wrong, verb in ((strange, 'holds'), (wanted - set(given), 'lacks')):
        if wrong:
            raise UserError(
                f"{path}: a file of GluonCV's for another network: it {verb} {min(wrong)} ({len(wrong)} in all); "
                f'choose the model that has the network it was trained as'
            )
    return given
