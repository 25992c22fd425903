"""The baseline of DFB (Martinez et al., ICCV 2019, arXiv:1908.07625, sec. 3.1): a global branch alone.

TSN (average consensus over frames) on 2-D networks, or inflated ones on clips; average pooling, dropout, dense layer.
With a backbone of its own each is the network of another paper: I3D on Inception (`*_same`: as the authors of Quo Vadis
pad it), non-local I3D, slow-only, and the backbones of CIDC (R2D, slow-only on 8 frames).

Ours: the classifier starts with standard deviation 0.01, as GluonCV's on pretrained backbones; the tiny networks, which
start from random weights, learn far slower so: there sqrt(2 / 24) = 0.29, MSRA's fan-out scale.
`temporal_downsample` is 4, as in the paper, except where GluonCV's weights, trained with 8, can be loaded: the entries
that name them as their fifth argument, and non-local I3D on datasets where CIDC starts it from Kinetics-400.
"""

from __future__ import annotations

from typing import Optional

from ..backbones import get_backbone
from ..registry import register
from .base import Branches, Recognizer
from .tasks import (
    CUSTOM_2D,
    CUSTOM_3D,
    CUSTOM_IMAGES,
    CUSTOM_LARGE,
    CUSTOM_LONG,
    CUSTOM_QUO_VADIS,
    CUSTOM_QUO_VADIS_FLOW,
    CUSTOM_SLOW,
    CUSTOM_SPREAD,
    CUSTOM_SPREAD_FLOW,
    HMDB51_2D,
    HMDB51_3D,
    HMDB51_LONG,
    HMDB51_SPARSE,
    HMDB51_SPREAD,
    HMDB51_SPREAD_FLOW,
    KINETICS400_2D,
    KINETICS400_3D,
    KINETICS400_LARGE,
    KINETICS400_LONG,
    KINETICS400_QUO_VADIS,
    KINETICS400_QUO_VADIS_FLOW,
    KINETICS400_SLOW,
    KINETICS700_SLOW,
    STANFORDCARS,
    STANFORDDOGS,
    STHSTHV1_2D,
    STHSTHV1_3D,
    STHSTHV2_2D,
    STHSTHV2_3D,
    STHSTHV2_LONG,
    STHSTHV2_SPARSE,
    STHSTHV2_SPREAD,
    STHSTHV2_SPREAD_FLOW,
    SYNTHFG_2D,
    SYNTHFG_3D,
    SYNTHFG_IMAGES,
    TINY_CUSTOM_2D,
    TINY_CUSTOM_3D,
    TINY_CUSTOM_FLOW,
    TINY_CUSTOM_IMAGES,
    UCF101_3D,
    UCF101_LONG,
    UCF101_SPARSE,
    UCF101_SPREAD,
    UCF101_SPREAD_FLOW,
)

TINY_HEAD_STD = 0.29


class _GlobalBranch(Branches):
    def hybrid_forward(self, F, x):
        _, _, _, f5 = self.backbone(x)
        return (self.consensus(F, self.global_logits(f5)),)


class Baseline(Recognizer):
    """Global average pooling and a linear classifier over a backbone (GB, sec. 3.1); its one branch is 'avg'.

    Parameters
    ----------
    backbone
        name in `gluon_fg.backbones.BACKBONES`
    nclass
        number of classes, M
    dropout
        share of pooled features dropped in training
    temporal_downsample
        I3D ResNets only: 4 or 8, None for the paper's 4
    num_segments
        images only: frames of one video in a view
    head_std
        standard deviation of the classifier's initial weights

    Inputs:
        - **x**: (N, 3, T, H, W), or (N * num_segments, 3, H, W) on a 2-D backbone

    Outputs:
        - **z_avg**: logits (N, M)
    """

    def __init__(
        self,
        backbone: str,
        nclass: int,
        dropout: float = 0.5,
        temporal_downsample: Optional[int] = None,
        num_segments: int = 1,
        head_std: float = 0.01,
        **kwargs,
    ):
        trunk = get_backbone(backbone, temporal_downsample)
        super().__init__(_GlobalBranch(trunk, nclass, dropout, head_std, num_segments), ('avg',), nclass, **kwargs)


register('tsn_resnet18_v1b_kinetics400', Baseline, KINETICS400_2D, 'resnet18_v1b', 'resnet18_v1b_kinetics400')
register('tsn_resnet50_v1b_kinetics400', Baseline, KINETICS400_2D, 'resnet50_v1b', 'resnet50_v1b_kinetics400')
register('tsn_resnet101_v1b_kinetics400', Baseline, KINETICS400_2D, 'resnet101_v1b', 'resnet101_v1b_kinetics400')
register('tsn_resnet152_v1b_kinetics400', Baseline, KINETICS400_2D, 'resnet152_v1b', 'resnet152_v1b_kinetics400')
register('tsn_resnet18_v1b_sthsthv1', Baseline, STHSTHV1_2D, backbone='resnet18_v1b')
register('tsn_resnet50_v1b_sthsthv1', Baseline, STHSTHV1_2D, backbone='resnet50_v1b')
register('tsn_resnet152_v1b_sthsthv1', Baseline, STHSTHV1_2D, backbone='resnet152_v1b')
register('tsn_resnet50_v1b_sthsthv2', Baseline, STHSTHV2_2D, 'resnet50_v1b', 'resnet50_v1b_sthsthv2')
register('tsn_resnet50_v1b_hmdb51', Baseline, HMDB51_2D, 'resnet50_v1b', 'resnet50_v1b_hmdb51')
register('tsn_resnet18_v1b_custom', Baseline, CUSTOM_2D, backbone='resnet18_v1b')
register('tsn_resnet50_v1b_custom', Baseline, CUSTOM_2D, backbone='resnet50_v1b')
register('tsn_resnet152_v1b_custom', Baseline, CUSTOM_2D, backbone='resnet152_v1b')
register('tsn_inceptionv1_kinetics400', Baseline, KINETICS400_2D, 'inceptionv1', 'inceptionv1_kinetics400')
register('tsn_inceptionv1_custom', Baseline, CUSTOM_2D, backbone='inceptionv1')
register('tsn_tiny_synthfg', Baseline, SYNTHFG_2D, backbone='tiny', dropout=0.0, head_std=TINY_HEAD_STD)
register('tsn_tiny_custom', Baseline, TINY_CUSTOM_2D, backbone='tiny', dropout=0.0, head_std=TINY_HEAD_STD)

register('i3d_resnet18_v1_kinetics400', Baseline, KINETICS400_3D, backbone='i3d_resnet18_v1')
register(
    'i3d_resnet50_v1_kinetics400',
    Baseline,
    KINETICS400_3D,
    'i3d_resnet50_v1',
    'i3d_resnet50_v1_kinetics400',
    temporal_downsample=8,
)
register(
    'i3d_resnet101_v1_kinetics400',
    Baseline,
    KINETICS400_3D,
    'i3d_resnet101_v1',
    'i3d_resnet101_v1_kinetics400',
    temporal_downsample=8,
)
register('i3d_resnet152_v1_kinetics400', Baseline, KINETICS400_3D, backbone='i3d_resnet152_v1')
register('i3d_resnet18_v1_sthsthv1', Baseline, STHSTHV1_3D, backbone='i3d_resnet18_v1')
register('i3d_resnet50_v1_sthsthv1', Baseline, STHSTHV1_3D, backbone='i3d_resnet50_v1')
register('i3d_resnet152_v1_sthsthv1', Baseline, STHSTHV1_3D, backbone='i3d_resnet152_v1')
register(
    'i3d_resnet50_v1_sthsthv2',
    Baseline,
    STHSTHV2_3D,
    'i3d_resnet50_v1',
    'i3d_resnet50_v1_sthsthv2',
    temporal_downsample=8,
)
register(
    'i3d_resnet50_v1_ucf101', Baseline, UCF101_3D, 'i3d_resnet50_v1', 'i3d_resnet50_v1_ucf101', temporal_downsample=8
)
register(
    'i3d_resnet50_v1_hmdb51', Baseline, HMDB51_3D, 'i3d_resnet50_v1', 'i3d_resnet50_v1_hmdb51', temporal_downsample=8
)
register('i3d_resnet18_v1_custom', Baseline, CUSTOM_3D, backbone='i3d_resnet18_v1')
register('i3d_resnet50_v1_custom', Baseline, CUSTOM_3D, backbone='i3d_resnet50_v1')
register('i3d_resnet152_v1_custom', Baseline, CUSTOM_3D, backbone='i3d_resnet152_v1')
register('i3d_tiny_synthfg', Baseline, SYNTHFG_3D, backbone='i3d_tiny', dropout=0.0, head_std=TINY_HEAD_STD)
register('i3d_tiny_custom', Baseline, TINY_CUSTOM_3D, backbone='i3d_tiny', dropout=0.0, head_std=TINY_HEAD_STD)
register('r2d_tiny_synthfg', Baseline, SYNTHFG_3D, backbone='r2d_tiny', dropout=0.0, head_std=TINY_HEAD_STD)
register('r2d_tiny_custom', Baseline, TINY_CUSTOM_3D, backbone='r2d_tiny', dropout=0.0, head_std=TINY_HEAD_STD)

register('topheavy_resnet50_sthsthv2', Baseline, STHSTHV2_SPREAD, backbone='topheavy_resnet50')
register('topheavy_resnet50_ucf101', Baseline, UCF101_SPREAD, backbone='topheavy_resnet50')
register('topheavy_resnet50_hmdb51', Baseline, HMDB51_SPREAD, backbone='topheavy_resnet50')
register('topheavy_resnet50_custom', Baseline, CUSTOM_SPREAD, backbone='topheavy_resnet50')
register('topheavy_resnet50_v2_sthsthv2', Baseline, STHSTHV2_SPREAD, backbone='topheavy_resnet50_v2')
register('topheavy_resnet50_v2_custom', Baseline, CUSTOM_SPREAD, backbone='topheavy_resnet50_v2')
register('topheavy_resnet50_flow_sthsthv2', Baseline, STHSTHV2_SPREAD_FLOW, backbone='topheavy_resnet50_flow')
register('topheavy_resnet50_flow_ucf101', Baseline, UCF101_SPREAD_FLOW, backbone='topheavy_resnet50_flow')
register('topheavy_resnet50_flow_hmdb51', Baseline, HMDB51_SPREAD_FLOW, backbone='topheavy_resnet50_flow')
register('topheavy_resnet50_flow_custom', Baseline, CUSTOM_SPREAD_FLOW, backbone='topheavy_resnet50_flow')
register('topheavy_tiny_synthfg', Baseline, SYNTHFG_3D, backbone='topheavy_tiny', dropout=0.0, head_std=TINY_HEAD_STD)
register(
    'topheavy_tiny_custom', Baseline, TINY_CUSTOM_3D, backbone='topheavy_tiny', dropout=0.0, head_std=TINY_HEAD_STD
)

register(
    'topheavy_tiny_flow_custom',
    Baseline,
    TINY_CUSTOM_FLOW,
    backbone='topheavy_tiny_flow',
    dropout=0.0,
    head_std=TINY_HEAD_STD,
)

register('resnet50_v1b_stanfordcars', Baseline, STANFORDCARS, backbone='resnet50_v1b')
register('resnet50_v1b_stanforddogs', Baseline, STANFORDDOGS, backbone='resnet50_v1b')
register('resnet50_v1b_custom_images', Baseline, CUSTOM_IMAGES, backbone='resnet50_v1b')
register('tiny_synthfg_images', Baseline, SYNTHFG_IMAGES, backbone='tiny', dropout=0.0, head_std=TINY_HEAD_STD)
register('tiny_custom_images', Baseline, TINY_CUSTOM_IMAGES, backbone='tiny', dropout=0.0, head_std=TINY_HEAD_STD)

register('i3d_inceptionv1_kinetics400', Baseline, KINETICS400_LONG, 'i3d_inceptionv1', 'i3d_inceptionv1_kinetics400')
register('i3d_inceptionv3_kinetics400', Baseline, KINETICS400_LARGE, 'i3d_inceptionv3', 'i3d_inceptionv3_kinetics400')
register('i3d_inceptionv1_same_kinetics400', Baseline, KINETICS400_QUO_VADIS, backbone='i3d_inceptionv1_same')
register(
    'i3d_inceptionv1_same_flow_kinetics400',
    Baseline,
    KINETICS400_QUO_VADIS_FLOW,
    backbone='i3d_inceptionv1_same_flow',
)
register('i3d_inceptionv1_custom', Baseline, CUSTOM_LONG, backbone='i3d_inceptionv1')
register('i3d_inceptionv3_custom', Baseline, CUSTOM_LARGE, backbone='i3d_inceptionv3')
register('i3d_inceptionv1_same_custom', Baseline, CUSTOM_QUO_VADIS, backbone='i3d_inceptionv1_same')
register('i3d_inceptionv1_same_flow_custom', Baseline, CUSTOM_QUO_VADIS_FLOW, backbone='i3d_inceptionv1_same_flow')

register(
    'i3d_nl5_resnet50_v1_kinetics400',
    Baseline,
    KINETICS400_LONG,
    'i3d_nl5_resnet50_v1',
    'i3d_nl5_resnet50_v1_kinetics400',
    temporal_downsample=8,
)
register(
    'i3d_nl10_resnet50_v1_kinetics400',
    Baseline,
    KINETICS400_LONG,
    'i3d_nl10_resnet50_v1',
    'i3d_nl10_resnet50_v1_kinetics400',
    temporal_downsample=8,
)
register(
    'i3d_nl5_resnet101_v1_kinetics400',
    Baseline,
    KINETICS400_LONG,
    'i3d_nl5_resnet101_v1',
    'i3d_nl5_resnet101_v1_kinetics400',
    temporal_downsample=8,
)
register(
    'i3d_nl10_resnet101_v1_kinetics400',
    Baseline,
    KINETICS400_LONG,
    'i3d_nl10_resnet101_v1',
    'i3d_nl10_resnet101_v1_kinetics400',
    temporal_downsample=8,
)
register('i3d_nl5_resnet50_v1_sthsthv2', Baseline, STHSTHV2_LONG, backbone='i3d_nl5_resnet50_v1', temporal_downsample=8)
register('i3d_nl5_resnet50_v1_ucf101', Baseline, UCF101_LONG, backbone='i3d_nl5_resnet50_v1', temporal_downsample=8)
register('i3d_nl5_resnet50_v1_hmdb51', Baseline, HMDB51_LONG, backbone='i3d_nl5_resnet50_v1', temporal_downsample=8)
register('i3d_nl5_resnet50_v1_custom', Baseline, CUSTOM_LONG, backbone='i3d_nl5_resnet50_v1')
register('i3d_nl10_resnet50_v1_custom', Baseline, CUSTOM_LONG, backbone='i3d_nl10_resnet50_v1')
register('i3d_nl5_resnet101_v1_custom', Baseline, CUSTOM_LONG, backbone='i3d_nl5_resnet101_v1')
register('i3d_nl10_resnet101_v1_custom', Baseline, CUSTOM_LONG, backbone='i3d_nl10_resnet101_v1')

register('slowonly_resnet50_v1_kinetics400', Baseline, KINETICS400_SLOW, backbone='slowonly_resnet50_v1')
register('slowonly_resnet101_v1_kinetics400', Baseline, KINETICS400_SLOW, backbone='slowonly_resnet101_v1')
register(
    'slowonly_resnet101_v1_kinetics700',
    Baseline,
    KINETICS700_SLOW,
    'slowonly_resnet101_v1',
    'i3d_slow_resnet101_f16s4_kinetics700',
)
register('slowonly_resnet50_v1_sthsthv2', Baseline, STHSTHV2_SPARSE, backbone='slowonly_resnet50_v1')
register('slowonly_resnet50_v1_ucf101', Baseline, UCF101_SPARSE, backbone='slowonly_resnet50_v1')
register('slowonly_resnet50_v1_hmdb51', Baseline, HMDB51_SPARSE, backbone='slowonly_resnet50_v1')
register('slowonly_resnet50_v1_custom', Baseline, CUSTOM_SLOW, backbone='slowonly_resnet50_v1')
register('slowonly_resnet101_v1_custom', Baseline, CUSTOM_SLOW, backbone='slowonly_resnet101_v1')

register('r2d_resnet50_v1_kinetics400', Baseline, KINETICS400_LONG, backbone='r2d_resnet50_v1')
register('r2d_resnet50_v1_sthsthv2', Baseline, STHSTHV2_LONG, backbone='r2d_resnet50_v1')
register('r2d_resnet50_v1_ucf101', Baseline, UCF101_LONG, backbone='r2d_resnet50_v1')
register('r2d_resnet50_v1_hmdb51', Baseline, HMDB51_LONG, backbone='r2d_resnet50_v1')
register('r2d_resnet50_v1_custom', Baseline, CUSTOM_LONG, backbone='r2d_resnet50_v1')
register('r2d_nl_resnet50_v1_kinetics400', Baseline, KINETICS400_LONG, backbone='r2d_nl_resnet50_v1')
register('r2d_nl_resnet50_v1_sthsthv2', Baseline, STHSTHV2_LONG, backbone='r2d_nl_resnet50_v1')
register('r2d_nl_resnet50_v1_ucf101', Baseline, UCF101_LONG, backbone='r2d_nl_resnet50_v1')
register('r2d_nl_resnet50_v1_hmdb51', Baseline, HMDB51_LONG, backbone='r2d_nl_resnet50_v1')
register('r2d_nl_resnet50_v1_custom', Baseline, CUSTOM_LONG, backbone='r2d_nl_resnet50_v1')
