"""The entries of CIDC in the zoo, by backbone."""

from typing import Any, Dict

from ...registry import alias, register
from ..baseline import PRETRAINED, TINY
from .network import CIDCNetwork

_TINY: Dict[str, Any] = dict(units=(1, 1, 1), **TINY)

# name, method, dataset (None: the user's own), input, backbone
register('i3d_tiny_synthfg_cidc', CIDCNetwork, 'synthfg', 'tiny_clips', 'i3d_tiny', **_TINY)
register('i3d_tiny_custom_cidc', CIDCNetwork, None, 'tiny_clips', 'i3d_tiny', **_TINY)
register('r2d_tiny_synthfg_cidc', CIDCNetwork, 'synthfg', 'tiny_clips', 'r2d_tiny', **_TINY)
register('r2d_tiny_custom_cidc', CIDCNetwork, None, 'tiny_clips', 'r2d_tiny', **_TINY)

# 32 frames leave T = 4 on all but slow-only, whose 8 frames are all kept.
register('r2d_resnet50_v1_kinetics400_cidc', CIDCNetwork, 'kinetics400', 'long', 'r2d_resnet50_v1')
register('r2d_resnet50_v1_sthsthv2_cidc', CIDCNetwork, 'sthsthv2', 'long', 'r2d_resnet50_v1')
register('r2d_resnet50_v1_ucf101_cidc', CIDCNetwork, 'ucf101', 'long', 'r2d_resnet50_v1')
register('r2d_resnet50_v1_hmdb51_cidc', CIDCNetwork, 'hmdb51', 'long', 'r2d_resnet50_v1')
register('r2d_resnet50_v1_custom_cidc', CIDCNetwork, None, 'long', 'r2d_resnet50_v1')
register('r2d_nl_resnet50_v1_kinetics400_cidc', CIDCNetwork, 'kinetics400', 'long', 'r2d_nl_resnet50_v1')
register('r2d_nl_resnet50_v1_sthsthv2_cidc', CIDCNetwork, 'sthsthv2', 'long', 'r2d_nl_resnet50_v1')
register('r2d_nl_resnet50_v1_ucf101_cidc', CIDCNetwork, 'ucf101', 'long', 'r2d_nl_resnet50_v1')
register('r2d_nl_resnet50_v1_hmdb51_cidc', CIDCNetwork, 'hmdb51', 'long', 'r2d_nl_resnet50_v1')
register('r2d_nl_resnet50_v1_custom_cidc', CIDCNetwork, None, 'long', 'r2d_nl_resnet50_v1')
register('i3d_resnet50_v1_kinetics400_cidc', CIDCNetwork, 'kinetics400', 'long', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet50_v1_sthsthv2_cidc', CIDCNetwork, 'sthsthv2', 'long', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet50_v1_ucf101_cidc', CIDCNetwork, 'ucf101', 'long', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet50_v1_hmdb51_cidc', CIDCNetwork, 'hmdb51', 'long', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet50_v1_custom_cidc', CIDCNetwork, None, 'long', 'i3d_resnet50_v1', temporal_downsample=8)
register(
    'i3d_nl5_resnet50_v1_kinetics400_cidc', CIDCNetwork, 'kinetics400', 'long', 'i3d_nl5_resnet50_v1', **PRETRAINED
)
register(
    'i3d_nl5_resnet50_v1_sthsthv2_cidc', CIDCNetwork, 'sthsthv2', 'long', 'i3d_nl5_resnet50_v1', temporal_downsample=8
)
register('i3d_nl5_resnet50_v1_ucf101_cidc', CIDCNetwork, 'ucf101', 'long', 'i3d_nl5_resnet50_v1', temporal_downsample=8)
register('i3d_nl5_resnet50_v1_hmdb51_cidc', CIDCNetwork, 'hmdb51', 'long', 'i3d_nl5_resnet50_v1', temporal_downsample=8)
register('i3d_nl5_resnet50_v1_custom_cidc', CIDCNetwork, None, 'long', 'i3d_nl5_resnet50_v1', temporal_downsample=8)
register('slowonly_resnet50_v1_kinetics400_cidc', CIDCNetwork, 'kinetics400', 'sparse', 'slowonly_resnet50_v1')
register('slowonly_resnet50_v1_sthsthv2_cidc', CIDCNetwork, 'sthsthv2', 'sparse', 'slowonly_resnet50_v1')
register('slowonly_resnet50_v1_ucf101_cidc', CIDCNetwork, 'ucf101', 'sparse', 'slowonly_resnet50_v1')
register('slowonly_resnet50_v1_hmdb51_cidc', CIDCNetwork, 'hmdb51', 'sparse', 'slowonly_resnet50_v1')
register('slowonly_resnet50_v1_custom_cidc', CIDCNetwork, None, 'sparse', 'slowonly_resnet50_v1')

# 64 frames leave T = 8.
register('i3d_inceptionv1_same_kinetics400_cidc', CIDCNetwork, 'kinetics400', 'quo_vadis', 'i3d_inceptionv1_same')
register('i3d_inceptionv1_same_ucf101_cidc', CIDCNetwork, 'ucf101', 'quo_vadis', 'i3d_inceptionv1_same')
register('i3d_inceptionv1_same_hmdb51_cidc', CIDCNetwork, 'hmdb51', 'quo_vadis', 'i3d_inceptionv1_same')
register('i3d_inceptionv1_same_custom_cidc', CIDCNetwork, None, 'quo_vadis', 'i3d_inceptionv1_same')

alias('i3d_resnet50_cidc', 'i3d_resnet50_v1_kinetics400_cidc')
alias('i3d_nl_cidc', 'i3d_nl5_resnet50_v1_kinetics400_cidc')
