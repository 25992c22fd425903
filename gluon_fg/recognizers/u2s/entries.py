"""The entries of U2S in the zoo, by backbone: top-heavy networks on clips, frames of a video, single images."""

from ...registry import alias, register
from ..baseline import TINY
from .network import U2S

# name, method, dataset (None: the user's own), input, backbone
register('topheavy_tiny_synthfg_u2s', U2S, 'synthfg', 'tiny_clips', 'topheavy_tiny', **TINY)
register('topheavy_tiny_custom_u2s', U2S, None, 'tiny_clips', 'topheavy_tiny', **TINY)
register('topheavy_tiny_flow_custom_u2s', U2S, None, 'tiny_flow', 'topheavy_tiny_flow', **TINY)
register('tsn_tiny_synthfg_u2s', U2S, 'synthfg', 'tiny_frames', 'tiny', **TINY)
register('tsn_tiny_custom_u2s', U2S, None, 'tiny_frames', 'tiny', **TINY)

register('topheavy_resnet50_sthsthv2_u2s', U2S, 'sthsthv2', 'spread', 'topheavy_resnet50')
register('topheavy_resnet50_ucf101_u2s', U2S, 'ucf101', 'spread', 'topheavy_resnet50')
register('topheavy_resnet50_hmdb51_u2s', U2S, 'hmdb51', 'spread', 'topheavy_resnet50')
register('topheavy_resnet50_custom_u2s', U2S, None, 'spread', 'topheavy_resnet50')
register('topheavy_resnet50_v2_sthsthv2_u2s', U2S, 'sthsthv2', 'spread', 'topheavy_resnet50_v2')
register('topheavy_resnet50_v2_custom_u2s', U2S, None, 'spread', 'topheavy_resnet50_v2')
register('topheavy_resnet50_flow_sthsthv2_u2s', U2S, 'sthsthv2', 'spread_flow', 'topheavy_resnet50_flow')
register('topheavy_resnet50_flow_ucf101_u2s', U2S, 'ucf101', 'spread_flow', 'topheavy_resnet50_flow')
register('topheavy_resnet50_flow_hmdb51_u2s', U2S, 'hmdb51', 'spread_flow', 'topheavy_resnet50_flow')
register('topheavy_resnet50_flow_custom_u2s', U2S, None, 'spread_flow', 'topheavy_resnet50_flow')

register('tsn_resnet50_v1b_kinetics400_u2s', U2S, 'kinetics400', 'frames', 'resnet50_v1b', gluoncv=True)
register('tsn_resnet50_v1b_sthsthv2_u2s', U2S, 'sthsthv2', 'frames', 'resnet50_v1b', gluoncv=True)
register('tsn_resnet50_v1b_custom_u2s', U2S, None, 'frames', 'resnet50_v1b')
register('tsm8f_resnet50_v1b_sthsthv2_u2s', U2S, 'sthsthv2', 'frames8', 'tsm_resnet50_v1b')
register('tsm16f_resnet50_v1b_sthsthv2_u2s', U2S, 'sthsthv2', 'frames16', 'tsm_resnet50_v1b')
register('tsm8f_resnet50_v1b_custom_u2s', U2S, None, 'frames8', 'tsm_resnet50_v1b')
register('tsm16f_resnet50_v1b_custom_u2s', U2S, None, 'frames16', 'tsm_resnet50_v1b')

register('resnet50_v1b_stanfordcars_u2s', U2S, 'stanfordcars', 'images', 'resnet50_v1b')
register('resnet50_v1b_stanforddogs_u2s', U2S, 'stanforddogs', 'images', 'resnet50_v1b')
register('resnet50_v1b_custom_images_u2s', U2S, None, 'images', 'resnet50_v1b')
register('tiny_synthfg_images_u2s', U2S, 'synthfg_images', 'tiny_images', 'tiny', **TINY)
register('tiny_custom_images_u2s', U2S, None, 'tiny_images', 'tiny', **TINY)

alias('tsn_resnet_u2s', 'tsn_resnet50_v1b_sthsthv2_u2s')
