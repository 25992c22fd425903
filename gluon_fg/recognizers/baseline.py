"""The baseline of DFB (Martinez et al., ICCV 2019, arXiv:1908.07625, sec. 3.1): a global branch alone.

TSN (average consensus over frames) on 2-D networks, or inflated ones on clips; average pooling, dropout, dense layer.
With a backbone of its own each is the network of another paper: I3D on Inception (`*_same`: as the authors of Quo Vadis
pad it), non-local I3D, slow-only, and the backbones of CIDC (R2D, slow-only on 8 frames).

Our choice: the classifier starts with standard deviation 0.01, as GluonCV's on pretrained backbones; the tiny networks,
which start from random weights, learn far slower so: there sqrt(2 / 24) = 0.29, MSRA's fan-out scale.
`temporal_downsample` is 4, as in the paper, except where GluonCV's weights, trained with 8, can be loaded: the entries
marked `PRETRAINED`, and non-local I3D on datasets where CIDC starts it from Kinetics-400.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

from ..backbones import get_backbone
from ..registry import register
from .base import Recognizer
from .branches import Branches
from .contract import NoOptions, Trunk

TINY_HEAD_STD = 0.29
TINY: Dict[str, Any] = dict(dropout=0.0, head_std=TINY_HEAD_STD)
# As MobileNetV2 and EfficientNet-Lite0 were trained.
PHONE: Dict[str, Any] = dict(dropout=0.2)
# For entries that can start from the weights that GluonCV publishes for <backbone>_<dataset>.
PRETRAINED: Dict[str, Any] = dict(gluoncv=True, temporal_downsample=8)


class _GlobalBranch(Branches):
    def hybrid_forward(self, F, x):
        _, _, _, f5 = self.backbone(x)
        return (self.consensus(F, self.global_logits(f5)),)


class Baseline(Recognizer):
    """Global average pooling and a linear classifier over a backbone (GB, sec. 3.1); its one branch is 'avg'.

    Parameters
    ----------
    trunk
        backbone, classes, dropout and so on
    options
        none

    Inputs:
        - **x**: (N, 3, T, H, W), or (N * num_segments, 3, H, W) on a 2-D backbone

    Outputs:
        - **z_avg**: logits (N, M)
    """

    def __init__(self, trunk: Trunk, options: Optional[NoOptions] = None, **kwargs: Any):
        backbone = get_backbone(trunk.backbone, trunk.temporal_downsample)
        super().__init__(_GlobalBranch(backbone, trunk), ('avg',), trunk.nclass, **kwargs)


# name, method, dataset (None: the user's own), input, backbone
register('tsn_resnet18_v1b_kinetics400', Baseline, 'kinetics400', 'frames', 'resnet18_v1b', gluoncv=True)
register('tsn_resnet50_v1b_kinetics400', Baseline, 'kinetics400', 'frames', 'resnet50_v1b', gluoncv=True)
register('tsn_resnet101_v1b_kinetics400', Baseline, 'kinetics400', 'frames', 'resnet101_v1b', gluoncv=True)
register('tsn_resnet152_v1b_kinetics400', Baseline, 'kinetics400', 'frames', 'resnet152_v1b', gluoncv=True)
register('tsn_resnet18_v1b_sthsthv1', Baseline, 'sthsthv1', 'frames', 'resnet18_v1b')
register('tsn_resnet50_v1b_sthsthv1', Baseline, 'sthsthv1', 'frames', 'resnet50_v1b')
register('tsn_resnet152_v1b_sthsthv1', Baseline, 'sthsthv1', 'frames', 'resnet152_v1b')
register('tsn_resnet50_v1b_sthsthv2', Baseline, 'sthsthv2', 'frames', 'resnet50_v1b', gluoncv=True)
register('tsn_resnet50_v1b_hmdb51', Baseline, 'hmdb51', 'frames', 'resnet50_v1b', gluoncv=True)
register('tsn_resnet18_v1b_custom', Baseline, None, 'frames', 'resnet18_v1b')
register('tsn_resnet50_v1b_custom', Baseline, None, 'frames', 'resnet50_v1b')
register('tsn_resnet152_v1b_custom', Baseline, None, 'frames', 'resnet152_v1b')
register('tsn_inceptionv1_kinetics400', Baseline, 'kinetics400', 'frames', 'inceptionv1', gluoncv=True)
register('tsn_inceptionv1_custom', Baseline, None, 'frames', 'inceptionv1')
register('tsn_mobilenetv2_kinetics400', Baseline, 'kinetics400', 'frames', 'mobilenetv2', **PHONE)
register('tsn_mobilenetv2_sthsthv2', Baseline, 'sthsthv2', 'frames', 'mobilenetv2', **PHONE)
register('tsn_mobilenetv2_ucf101', Baseline, 'ucf101', 'frames', 'mobilenetv2', **PHONE)
register('tsn_mobilenetv2_hmdb51', Baseline, 'hmdb51', 'frames', 'mobilenetv2', **PHONE)
register('tsn_mobilenetv2_custom', Baseline, None, 'frames', 'mobilenetv2', **PHONE)
register('tsn_efficientnet_lite0_custom', Baseline, None, 'lite_frames', 'efficientnet_lite0', **PHONE)
register('tsn_tiny_synthfg', Baseline, 'synthfg', 'tiny_frames', 'tiny', **TINY)
register('tsn_tiny_custom', Baseline, None, 'tiny_frames', 'tiny', **TINY)

register('i3d_resnet18_v1_kinetics400', Baseline, 'kinetics400', 'clips', 'i3d_resnet18_v1')
register('i3d_resnet50_v1_kinetics400', Baseline, 'kinetics400', 'clips', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet101_v1_kinetics400', Baseline, 'kinetics400', 'clips', 'i3d_resnet101_v1', **PRETRAINED)
register('i3d_resnet152_v1_kinetics400', Baseline, 'kinetics400', 'clips', 'i3d_resnet152_v1')
register('i3d_resnet18_v1_sthsthv1', Baseline, 'sthsthv1', 'clips', 'i3d_resnet18_v1')
register('i3d_resnet50_v1_sthsthv1', Baseline, 'sthsthv1', 'clips', 'i3d_resnet50_v1')
register('i3d_resnet152_v1_sthsthv1', Baseline, 'sthsthv1', 'clips', 'i3d_resnet152_v1')
register('i3d_resnet50_v1_sthsthv2', Baseline, 'sthsthv2', 'clips', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet50_v1_ucf101', Baseline, 'ucf101', 'clips', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet50_v1_hmdb51', Baseline, 'hmdb51', 'clips', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet18_v1_custom', Baseline, None, 'clips', 'i3d_resnet18_v1')
register('i3d_resnet50_v1_custom', Baseline, None, 'clips', 'i3d_resnet50_v1')
register('i3d_resnet152_v1_custom', Baseline, None, 'clips', 'i3d_resnet152_v1')
register('i3d_tiny_synthfg', Baseline, 'synthfg', 'tiny_clips', 'i3d_tiny', **TINY)
register('i3d_tiny_custom', Baseline, None, 'tiny_clips', 'i3d_tiny', **TINY)
register('i3d_tiny_flow_custom', Baseline, None, 'tiny_fields', 'i3d_tiny_flow', **TINY)
register('r2d_tiny_synthfg', Baseline, 'synthfg', 'tiny_clips', 'r2d_tiny', **TINY)
register('r2d_tiny_custom', Baseline, None, 'tiny_clips', 'r2d_tiny', **TINY)

register('topheavy_resnet50_sthsthv2', Baseline, 'sthsthv2', 'spread', 'topheavy_resnet50')
register('topheavy_resnet50_ucf101', Baseline, 'ucf101', 'spread', 'topheavy_resnet50')
register('topheavy_resnet50_hmdb51', Baseline, 'hmdb51', 'spread', 'topheavy_resnet50')
register('topheavy_resnet50_custom', Baseline, None, 'spread', 'topheavy_resnet50')
register('topheavy_resnet50_v2_sthsthv2', Baseline, 'sthsthv2', 'spread', 'topheavy_resnet50_v2')
register('topheavy_resnet50_v2_ucf101', Baseline, 'ucf101', 'spread', 'topheavy_resnet50_v2')
register('topheavy_resnet50_v2_hmdb51', Baseline, 'hmdb51', 'spread', 'topheavy_resnet50_v2')
register('topheavy_resnet50_v2_custom', Baseline, None, 'spread', 'topheavy_resnet50_v2')
register('topheavy_resnet50_flow_sthsthv2', Baseline, 'sthsthv2', 'spread_flow', 'topheavy_resnet50_flow')
register('topheavy_resnet50_flow_ucf101', Baseline, 'ucf101', 'spread_flow', 'topheavy_resnet50_flow')
register('topheavy_resnet50_flow_hmdb51', Baseline, 'hmdb51', 'spread_flow', 'topheavy_resnet50_flow')
register('topheavy_resnet50_flow_custom', Baseline, None, 'spread_flow', 'topheavy_resnet50_flow')
register('topheavy_resnet50_v2_flow_sthsthv2', Baseline, 'sthsthv2', 'spread_flow', 'topheavy_resnet50_v2_flow')
register('topheavy_resnet50_v2_flow_ucf101', Baseline, 'ucf101', 'spread_flow', 'topheavy_resnet50_v2_flow')
register('topheavy_resnet50_v2_flow_hmdb51', Baseline, 'hmdb51', 'spread_flow', 'topheavy_resnet50_v2_flow')
register('topheavy_resnet50_v2_flow_custom', Baseline, None, 'spread_flow', 'topheavy_resnet50_v2_flow')
register('topheavy_tiny_synthfg', Baseline, 'synthfg', 'tiny_clips', 'topheavy_tiny', **TINY)
register('topheavy_tiny_custom', Baseline, None, 'tiny_clips', 'topheavy_tiny', **TINY)

register('topheavy_tiny_flow_custom', Baseline, None, 'tiny_flow', 'topheavy_tiny_flow', **TINY)

register('resnet50_v1b_stanfordcars', Baseline, 'stanfordcars', 'images', 'resnet50_v1b')
register('resnet50_v1b_stanforddogs', Baseline, 'stanforddogs', 'images', 'resnet50_v1b')
register('resnet50_v1b_custom_images', Baseline, None, 'images', 'resnet50_v1b')
register('mobilenetv2_imagenet1k', Baseline, 'imagenet1k', 'images', 'mobilenetv2', **PHONE)
register('mobilenetv2_stanfordcars', Baseline, 'stanfordcars', 'images', 'mobilenetv2', **PHONE)
register('mobilenetv2_stanforddogs', Baseline, 'stanforddogs', 'images', 'mobilenetv2', **PHONE)
register('mobilenetv2_custom_images', Baseline, None, 'images', 'mobilenetv2', **PHONE)
register('efficientnet_lite0_imagenet1k', Baseline, 'imagenet1k', 'lite_images', 'efficientnet_lite0', **PHONE)
register('efficientnet_lite0_stanfordcars', Baseline, 'stanfordcars', 'lite_images', 'efficientnet_lite0', **PHONE)
register('efficientnet_lite0_stanforddogs', Baseline, 'stanforddogs', 'lite_images', 'efficientnet_lite0', **PHONE)
register('efficientnet_lite0_custom_images', Baseline, None, 'lite_images', 'efficientnet_lite0', **PHONE)
register('tiny_synthfg_images', Baseline, 'synthfg_images', 'tiny_images', 'tiny', **TINY)
register('tiny_custom_images', Baseline, None, 'tiny_images', 'tiny', **TINY)

register('i3d_inceptionv1_kinetics400', Baseline, 'kinetics400', 'long', 'i3d_inceptionv1', gluoncv=True)
register('i3d_inceptionv3_kinetics400', Baseline, 'kinetics400', 'large', 'i3d_inceptionv3', gluoncv=True)
register('i3d_inceptionv1_same_kinetics400', Baseline, 'kinetics400', 'quo_vadis', 'i3d_inceptionv1_same')
register(
    'i3d_inceptionv1_same_flow_kinetics400', Baseline, 'kinetics400', 'quo_vadis_flow', 'i3d_inceptionv1_same_flow'
)
register('i3d_inceptionv1_custom', Baseline, None, 'long', 'i3d_inceptionv1')
register('i3d_inceptionv3_custom', Baseline, None, 'large', 'i3d_inceptionv3')
register('i3d_inceptionv1_same_ucf101', Baseline, 'ucf101', 'quo_vadis', 'i3d_inceptionv1_same')
register('i3d_inceptionv1_same_hmdb51', Baseline, 'hmdb51', 'quo_vadis', 'i3d_inceptionv1_same')
register('i3d_inceptionv1_same_minikinetics', Baseline, 'minikinetics', 'quo_vadis', 'i3d_inceptionv1_same')
register('i3d_inceptionv1_same_custom', Baseline, None, 'quo_vadis', 'i3d_inceptionv1_same')
register(
    'i3d_inceptionv1_same_flow_minikinetics', Baseline, 'minikinetics', 'quo_vadis_flow', 'i3d_inceptionv1_same_flow'
)
register('i3d_inceptionv1_same_flow_ucf101', Baseline, 'ucf101', 'quo_vadis_flow', 'i3d_inceptionv1_same_flow')
register('i3d_inceptionv1_same_flow_hmdb51', Baseline, 'hmdb51', 'quo_vadis_flow', 'i3d_inceptionv1_same_flow')
register('i3d_inceptionv1_same_flow_custom', Baseline, None, 'quo_vadis_flow', 'i3d_inceptionv1_same_flow')

register('i3d_nl5_resnet50_v1_kinetics400', Baseline, 'kinetics400', 'long', 'i3d_nl5_resnet50_v1', **PRETRAINED)
register('i3d_nl10_resnet50_v1_kinetics400', Baseline, 'kinetics400', 'long', 'i3d_nl10_resnet50_v1', **PRETRAINED)
register('i3d_nl5_resnet101_v1_kinetics400', Baseline, 'kinetics400', 'long', 'i3d_nl5_resnet101_v1', **PRETRAINED)
register('i3d_nl10_resnet101_v1_kinetics400', Baseline, 'kinetics400', 'long', 'i3d_nl10_resnet101_v1', **PRETRAINED)
register('i3d_nl5_resnet50_v1_sthsthv2', Baseline, 'sthsthv2', 'long', 'i3d_nl5_resnet50_v1', temporal_downsample=8)
register('i3d_nl5_resnet50_v1_ucf101', Baseline, 'ucf101', 'long', 'i3d_nl5_resnet50_v1', temporal_downsample=8)
register('i3d_nl5_resnet50_v1_hmdb51', Baseline, 'hmdb51', 'long', 'i3d_nl5_resnet50_v1', temporal_downsample=8)
register('i3d_nl5_resnet50_v1_custom', Baseline, None, 'long', 'i3d_nl5_resnet50_v1')
register('i3d_nl10_resnet50_v1_custom', Baseline, None, 'long', 'i3d_nl10_resnet50_v1')
register('i3d_nl5_resnet101_v1_custom', Baseline, None, 'long', 'i3d_nl5_resnet101_v1')
register('i3d_nl10_resnet101_v1_custom', Baseline, None, 'long', 'i3d_nl10_resnet101_v1')

register('slowonly_resnet50_v1_kinetics400', Baseline, 'kinetics400', 'slow', 'slowonly_resnet50_v1')
register('slowonly_resnet101_v1_kinetics400', Baseline, 'kinetics400', 'slow', 'slowonly_resnet101_v1')
register(
    'slowonly_resnet101_v1_kinetics700',
    Baseline,
    'kinetics700',
    'slow',
    'slowonly_resnet101_v1',
    gluoncv='i3d_slow_resnet101_f16s4_kinetics700',
)
register('slowonly_resnet50_v1_sthsthv2', Baseline, 'sthsthv2', 'sparse', 'slowonly_resnet50_v1')
register('slowonly_resnet50_v1_ucf101', Baseline, 'ucf101', 'sparse', 'slowonly_resnet50_v1')
register('slowonly_resnet50_v1_hmdb51', Baseline, 'hmdb51', 'sparse', 'slowonly_resnet50_v1')
register('slowonly_resnet50_v1_custom', Baseline, None, 'slow', 'slowonly_resnet50_v1')
register('slowonly_resnet101_v1_custom', Baseline, None, 'slow', 'slowonly_resnet101_v1')

register('r2d_resnet50_v1_kinetics400', Baseline, 'kinetics400', 'long', 'r2d_resnet50_v1')
register('r2d_resnet50_v1_sthsthv2', Baseline, 'sthsthv2', 'long', 'r2d_resnet50_v1')
register('r2d_resnet50_v1_ucf101', Baseline, 'ucf101', 'long', 'r2d_resnet50_v1')
register('r2d_resnet50_v1_hmdb51', Baseline, 'hmdb51', 'long', 'r2d_resnet50_v1')
register('r2d_resnet50_v1_custom', Baseline, None, 'long', 'r2d_resnet50_v1')
register('r2d_nl_resnet50_v1_kinetics400', Baseline, 'kinetics400', 'long', 'r2d_nl_resnet50_v1')
register('r2d_nl_resnet50_v1_sthsthv2', Baseline, 'sthsthv2', 'long', 'r2d_nl_resnet50_v1')
register('r2d_nl_resnet50_v1_ucf101', Baseline, 'ucf101', 'long', 'r2d_nl_resnet50_v1')
register('r2d_nl_resnet50_v1_hmdb51', Baseline, 'hmdb51', 'long', 'r2d_nl_resnet50_v1')
register('r2d_nl_resnet50_v1_custom', Baseline, None, 'long', 'r2d_nl_resnet50_v1')
