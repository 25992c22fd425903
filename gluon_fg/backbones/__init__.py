"""Networks without heads, behind one interface: see `Backbone`."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, Dict, Optional, Tuple

from ..errors import UserError, unknown
from .base import Backbone
from .c3d import C3D, C3DTiny
from .frames import FrameInceptionV1
from .geometry import Geometry
from .inceptionv1 import InceptionV1
from .inceptionv3 import InceptionV3
from .mobile import EfficientNetLite0, MobileNetV2
from .resnet2d import ResNet2D
from .resnet3d import R2D, ResNet3D, SlowOnly
from .tiny import Tiny
from .topheavy import TopHeavyResNet50, TopHeavyTiny
from .tsm import TSMResNet50
from .twostream import TwoStreamBackbone

BACKBONES: Dict[str, Callable[..., Backbone]] = {
    'c3d': C3D,
    'c3d_flow': functools.partial(C3D, in_channels=2),
    'c3d_tiny': C3DTiny,
    'c3d_tiny_flow': functools.partial(C3DTiny, in_channels=2),
    'efficientnet_lite0': EfficientNetLite0,
    'i3d_inceptionv1': functools.partial(InceptionV1, 3),
    'i3d_inceptionv1_same': functools.partial(InceptionV1, 3, 'same'),
    'i3d_inceptionv1_same_flow': functools.partial(InceptionV1, 3, 'same', 2),
    'i3d_inceptionv3': InceptionV3,
    'i3d_nl5_resnet50_v1': functools.partial(ResNet3D, 50, non_local=5),
    'i3d_nl10_resnet50_v1': functools.partial(ResNet3D, 50, non_local=10),
    'i3d_nl5_resnet101_v1': functools.partial(ResNet3D, 101, non_local=5),
    'i3d_nl10_resnet101_v1': functools.partial(ResNet3D, 101, non_local=10),
    'i3d_resnet18_v1': functools.partial(ResNet3D, 18),
    'i3d_resnet50_v1': functools.partial(ResNet3D, 50),
    'i3d_resnet101_v1': functools.partial(ResNet3D, 101),
    'i3d_resnet152_v1': functools.partial(ResNet3D, 152),
    'i3d_tiny': functools.partial(Tiny, 3),
    'i3d_tiny_flow': functools.partial(Tiny, 3, in_channels=2),
    'inceptionv1_frames': FrameInceptionV1,
    'inceptionv1_frames_flow10': functools.partial(FrameInceptionV1, in_channels=20),
    'inceptionv1_frames_flow': functools.partial(FrameInceptionV1, in_channels=10),
    'inceptionv1': functools.partial(InceptionV1, 2, 'ceil'),
    'inceptionv1_flow': functools.partial(InceptionV1, 2, 'ceil', 20),
    'mobilenetv2': MobileNetV2,
    'r2d_tiny': functools.partial(Tiny, 3, spans_time=False),
    'r2d_tiny_flow2': functools.partial(Tiny, 3, spans_time=False, in_channels=4),
    'r2d_tiny_flow': functools.partial(Tiny, 3, spans_time=False, in_channels=2),
    'r2d_nl_resnet50_v1': functools.partial(R2D, 50, non_local=5),
    'r2d_resnet50_v1': functools.partial(R2D, 50),
    'resnet18_v1b': functools.partial(ResNet2D, 18),
    'resnet50_v1b': functools.partial(ResNet2D, 50),
    'resnet101_v1b': functools.partial(ResNet2D, 101),
    'resnet152_v1b': functools.partial(ResNet2D, 152),
    'slowonly_resnet50_v1': functools.partial(SlowOnly, 50),
    'slowonly_resnet101_v1': functools.partial(SlowOnly, 101),
    'tiny': functools.partial(Tiny, 2),
    'tiny_flow': functools.partial(Tiny, 2, in_channels=10),
    'topheavy_resnet50': TopHeavyResNet50,
    'topheavy_resnet50_flow': functools.partial(TopHeavyResNet50, in_channels=10),
    'topheavy_resnet50_v2': functools.partial(TopHeavyResNet50, preactivation=True),
    'topheavy_resnet50_v2_flow': functools.partial(TopHeavyResNet50, preactivation=True, in_channels=10),
    'topheavy_tiny': TopHeavyTiny,
    'topheavy_tiny_flow': functools.partial(TopHeavyTiny, in_channels=10),
    'tsm_resnet50_v1b': TSMResNet50,
}

# Of two streams: name -> names of the backbone on colors and of that on flow
TWO_STREAM: Dict[str, Tuple[str, str]] = {
    'twostream_i3d_inceptionv1_same': ('i3d_inceptionv1_same', 'i3d_inceptionv1_same_flow'),
    'twostream_i3d_tiny': ('i3d_tiny', 'i3d_tiny_flow'),
    'twostream_inceptionv1_frames': ('inceptionv1_frames', 'inceptionv1_frames_flow10'),
    'twostream_r2d_tiny': ('r2d_tiny', 'r2d_tiny_flow2'),
    'twostream_inceptionv1': ('inceptionv1', 'inceptionv1_flow'),
    'twostream_tiny': ('tiny', 'tiny_flow'),
}
BACKBONES.update(
    (name, functools.partial(TwoStreamBackbone, *(BACKBONES[stream] for stream in streams)))
    for name, streams in TWO_STREAM.items()
)


def get_backbone(name: str, temporal_downsample: Optional[int] = None, **kwargs: Any) -> Backbone:
    """A backbone by its name in `BACKBONES`, not initialized.

    Parameters
    ----------
    name
        a key of `BACKBONES`
    temporal_downsample
        for the I3D ResNets: 4 or 8; for the top-heavy ones: 4 or 1 (None: 4)
    kwargs
        Gluon's prefix and params

    Raises
    ------
    UserError
        unknown name, or `temporal_downsample` where there is no choice
    """
    if name not in BACKBONES:
        raise unknown('backbone', name, BACKBONES)
    if temporal_downsample is not None:
        if 'temporal_downsample' not in inspect.signature(BACKBONES[name]).parameters:
            raise UserError(f'backbone {name} reduces time in one way only; leave out temporal_downsample')
        kwargs['temporal_downsample'] = temporal_downsample
    return BACKBONES[name](**kwargs)


def get_frames_backbone(name: str, temporal_downsample: Optional[int] = None) -> Backbone:
    """A backbone on clips that keeps their frames: its last stage has features of each; otherwise as `get_backbone`.

    Raises
    ------
    UserError
        a backbone on images, or one that merges frames
    """
    backbone = get_backbone(name, temporal_downsample)
    if backbone.ndim == 2 or backbone.geometry(5).stride[0] != 1:
        raise UserError(
            f'backbone {name} does not give the features of each frame of a clip; choose one that does, '
            'for example inceptionv1_frames'
        )
    return backbone


__all__ = [
    'BACKBONES',
    'TWO_STREAM',
    'Backbone',
    'C3D',
    'C3DTiny',
    'EfficientNetLite0',
    'FrameInceptionV1',
    'Geometry',
    'InceptionV1',
    'InceptionV3',
    'MobileNetV2',
    'R2D',
    'ResNet2D',
    'ResNet3D',
    'SlowOnly',
    'TSMResNet50',
    'Tiny',
    'TopHeavyResNet50',
    'TopHeavyTiny',
    'TwoStreamBackbone',
    'get_backbone',
    'get_frames_backbone',
]
