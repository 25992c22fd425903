"""3D-Fused Two-Stream: architecture (d) of Quo Vadis (Carreira and Zisserman, CVPR 2017, arXiv:1705.07750, sec. 2.3).

    colors -> Inception-V1 on every frame -.    3x3x3      3x3x3
    flow   -> Inception-V1 on every frame -+-> convolution -> max pool -> average pool -> classifier
              (N, 1024 + 1024, 5, 7, 7)        to 512

"Using 5 consecutive RGB frames sampled 10 frames apart, as well as the corresponding optical flow snippets", of 10
fields each; the features before the last average pooling of Inception-V1, "5x7x7 feature grids, corresponding to time,
x and y dimensions", go "through a 3x3x3 3-D convolutional layer with 512 output channels, followed by a 3x3x3 3-D
max-pooling layer and through a final fully connected layer"; the new layers start from Gaussian noise, and everything
is trained end to end. 39 M parameters in its table 1; here 39.8 M for 400 classes.

Our choices, as the paper does not say:

- the features of both streams lie side by side in front of the one convolution, whose 28.3 M parameters are about what
  39 M leave for it;
- as every other one, the convolution has batch norm and ReLU, and is padded; the pooling has stride 2;
- what is left after the pooling is averaged, so that any number of frames and pixels will do;
- "Gaussian noise" is He et al.'s, of the size that keeps the signal;
- in testing, 25 frames and 250 fields are 5 clips, whose predictions are averaged.

On one stream alone it is the same network with half of the features (its rows "RGB" and "Flow" of table 2).
"""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Dict, Optional, Tuple

import mxnet as mx
from mxnet.gluon import nn

from ..backbones import Backbone, get_frames_backbone
from ..errors import UserError
from ..nn.norm import BatchNorm3D
from ..registry import register
from .base import Recognizer
from .baseline import TINY
from .branches import Branches, View
from .contract import FeatureKind, MapInfo, Trunk


@dataclasses.dataclass(frozen=True)
class Fused3DOptions:
    """Options of `Fused3D`: channels of the 3-D convolution over the frames' features."""

    channels: int = 512


class _FusedBranches(Branches):
    """The fused logits, its one output."""

    def __init__(self, backbone: Backbone, trunk: Trunk, options: Fused3DOptions, **kwargs: Any):
        super().__init__(backbone, trunk, features=options.channels, **kwargs)
        with self.name_scope():
            self.fusion = nn.HybridSequential()
            with self.fusion.name_scope():
                self.fusion.add(
                    nn.Conv3D(options.channels, 3, padding=1, use_bias=False, in_channels=backbone.channels[5]),
                    BatchNorm3D(in_channels=options.channels),
                    nn.Activation('relu'),
                    nn.MaxPool3D(3, 2, 1),
                )

    def hybrid_forward(self, F, x):
        return (self.classifier(self.dropout(self.pool(self.fusion(self.backbone(x)[3])))),)


class _FusedFeatures(View):
    """What the classifier reads, before it is averaged."""

    def __init__(self, branches: _FusedBranches, **kwargs: Any):
        super().__init__(**kwargs)
        self.backbone, self.fusion = branches.backbone, branches.fusion

    def hybrid_forward(self, F, x):
        return self.fusion(self.backbone(x)[3])


class Fused3D(Recognizer):
    """A 3-D convolution over the features of single frames, of colors, of flow or of both; its one branch is 'fused'.

    Parameters
    ----------
    trunk
        a backbone on clips that keeps their frames ('twostream_inceptionv1_frames' for both streams), classes; dropout
        acts on the averaged features
    options
        width of the convolution

    Inputs:
        - **x**: (N, C, T, H, W), any T; C = 3, 2 L for L flow fields at each frame, or 3 + 2 L for both

    Outputs:
        - **z_fused**: logits (N, M)

    Raises
    ------
    UserError
        a backbone on images or one that merges frames, no channel
    """

    global_branch = 'fused'
    options_type = Fused3DOptions
    map_info = types.MappingProxyType({'F5': MapInfo('features'), 'fused': MapInfo('features')})
    feature_kinds: Tuple[FeatureKind, ...] = (FeatureKind('fused', None, ('fused',)),)

    def __init__(self, trunk: Trunk, options: Optional[Fused3DOptions] = None, **kwargs: Any):
        options = options or Fused3DOptions()
        if options.channels < 1:
            raise UserError(f'channels must be at least 1, got {options.channels!r}')
        backbone = get_frames_backbone(trunk.backbone, trunk.temporal_downsample)
        super().__init__(_FusedBranches(backbone, trunk, options), ('fused',), trunk.nclass, **kwargs)
        self.add_view('fused', _FusedFeatures(self.branches))

    def maps(self, x: mx.nd.NDArray, label: Optional[mx.nd.NDArray] = None) -> Dict[str, mx.nd.NDArray]:
        """'F5', the frames' features; 'fused', those behind the 3-D convolution and pooling."""
        return {**super().maps(x, label), 'fused': self.views['fused'](x)}

    def global_parameters(self) -> Dict[str, mx.gluon.Parameter]:
        return dict(self._collect_params_with_prefix())  # nothing here is another network's


_TINY: Dict[str, Any] = dict(channels=64, **TINY)  # as many as the tiny backbones have

# name, method, dataset (None: the user's own), input, backbone
register('fused3d_inceptionv1_kinetics400', Fused3D, 'kinetics400', 'fused_both', 'twostream_inceptionv1_frames')
register('fused3d_inceptionv1_minikinetics', Fused3D, 'minikinetics', 'fused_both', 'twostream_inceptionv1_frames')
register('fused3d_inceptionv1_ucf101', Fused3D, 'ucf101', 'fused_both', 'twostream_inceptionv1_frames')
register('fused3d_inceptionv1_hmdb51', Fused3D, 'hmdb51', 'fused_both', 'twostream_inceptionv1_frames')
register('fused3d_inceptionv1_custom', Fused3D, None, 'fused_both', 'twostream_inceptionv1_frames')
register('fused3d_inceptionv1_rgb_kinetics400', Fused3D, 'kinetics400', 'fused', 'inceptionv1_frames')
register('fused3d_inceptionv1_rgb_minikinetics', Fused3D, 'minikinetics', 'fused', 'inceptionv1_frames')
register('fused3d_inceptionv1_rgb_ucf101', Fused3D, 'ucf101', 'fused', 'inceptionv1_frames')
register('fused3d_inceptionv1_rgb_hmdb51', Fused3D, 'hmdb51', 'fused', 'inceptionv1_frames')
register('fused3d_inceptionv1_rgb_custom', Fused3D, None, 'fused', 'inceptionv1_frames')
register('fused3d_inceptionv1_flow_kinetics400', Fused3D, 'kinetics400', 'fused_flow', 'inceptionv1_frames_flow10')
register('fused3d_inceptionv1_flow_minikinetics', Fused3D, 'minikinetics', 'fused_flow', 'inceptionv1_frames_flow10')
register('fused3d_inceptionv1_flow_ucf101', Fused3D, 'ucf101', 'fused_flow', 'inceptionv1_frames_flow10')
register('fused3d_inceptionv1_flow_hmdb51', Fused3D, 'hmdb51', 'fused_flow', 'inceptionv1_frames_flow10')
register('fused3d_inceptionv1_flow_custom', Fused3D, None, 'fused_flow', 'inceptionv1_frames_flow10')
register('fused3d_tiny_synthfg_motion', Fused3D, 'synthfg_motion', 'tiny_fused_both', 'twostream_r2d_tiny', **_TINY)
register('fused3d_tiny_custom', Fused3D, None, 'tiny_fused_both', 'twostream_r2d_tiny', **_TINY)
register('fused3d_tiny_rgb_custom', Fused3D, None, 'tiny_fused', 'r2d_tiny', **_TINY)
register('fused3d_tiny_flow_custom', Fused3D, None, 'tiny_fused_flow', 'r2d_tiny_flow2', **_TINY)
