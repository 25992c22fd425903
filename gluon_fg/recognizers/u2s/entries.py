"""The entries of U2S in the zoo, by backbone: networks on clips, on frames of a video, on single images."""

from ...registry import alias, register
from ..baseline import PHONE, TINY
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
register('topheavy_resnet50_v2_ucf101_u2s', U2S, 'ucf101', 'spread', 'topheavy_resnet50_v2')
register('topheavy_resnet50_v2_hmdb51_u2s', U2S, 'hmdb51', 'spread', 'topheavy_resnet50_v2')
register('topheavy_resnet50_v2_custom_u2s', U2S, None, 'spread', 'topheavy_resnet50_v2')
register('topheavy_resnet50_flow_sthsthv2_u2s', U2S, 'sthsthv2', 'spread_flow', 'topheavy_resnet50_flow')
register('topheavy_resnet50_flow_ucf101_u2s', U2S, 'ucf101', 'spread_flow', 'topheavy_resnet50_flow')
register('topheavy_resnet50_flow_hmdb51_u2s', U2S, 'hmdb51', 'spread_flow', 'topheavy_resnet50_flow')
register('topheavy_resnet50_flow_custom_u2s', U2S, None, 'spread_flow', 'topheavy_resnet50_flow')
register('topheavy_resnet50_v2_flow_sthsthv2_u2s', U2S, 'sthsthv2', 'spread_flow', 'topheavy_resnet50_v2_flow')
register('topheavy_resnet50_v2_flow_ucf101_u2s', U2S, 'ucf101', 'spread_flow', 'topheavy_resnet50_v2_flow')
register('topheavy_resnet50_v2_flow_hmdb51_u2s', U2S, 'hmdb51', 'spread_flow', 'topheavy_resnet50_v2_flow')
register('topheavy_resnet50_v2_flow_custom_u2s', U2S, None, 'spread_flow', 'topheavy_resnet50_v2_flow')

register('tsn_resnet50_v1b_kinetics400_u2s', U2S, 'kinetics400', 'frames', 'resnet50_v1b', gluoncv=True)
register('tsn_resnet50_v1b_sthsthv2_u2s', U2S, 'sthsthv2', 'frames', 'resnet50_v1b', gluoncv=True)
register('tsn_resnet50_v1b_custom_u2s', U2S, None, 'frames', 'resnet50_v1b')
register('tsn_mobilenetv2_kinetics400_u2s', U2S, 'kinetics400', 'frames', 'mobilenetv2', **PHONE)
register('tsn_mobilenetv2_sthsthv2_u2s', U2S, 'sthsthv2', 'frames', 'mobilenetv2', **PHONE)
register('tsn_mobilenetv2_ucf101_u2s', U2S, 'ucf101', 'frames', 'mobilenetv2', **PHONE)
register('tsn_mobilenetv2_hmdb51_u2s', U2S, 'hmdb51', 'frames', 'mobilenetv2', **PHONE)
register('tsn_mobilenetv2_custom_u2s', U2S, None, 'frames', 'mobilenetv2', **PHONE)
register('tsn_efficientnet_lite0_custom_u2s', U2S, None, 'lite_frames', 'efficientnet_lite0', **PHONE)
register('tsm8f_resnet50_v1b_sthsthv2_u2s', U2S, 'sthsthv2', 'frames8', 'tsm_resnet50_v1b')
register('tsm16f_resnet50_v1b_sthsthv2_u2s', U2S, 'sthsthv2', 'frames16', 'tsm_resnet50_v1b')
register('tsm8f_resnet50_v1b_custom_u2s', U2S, None, 'frames8', 'tsm_resnet50_v1b')
register('tsm16f_resnet50_v1b_custom_u2s', U2S, None, 'frames16', 'tsm_resnet50_v1b')

register('resnet50_v1b_stanfordcars_u2s', U2S, 'stanfordcars', 'images', 'resnet50_v1b')
register('resnet50_v1b_stanforddogs_u2s', U2S, 'stanforddogs', 'images', 'resnet50_v1b')
register('resnet50_v1b_custom_images_u2s', U2S, None, 'images', 'resnet50_v1b')
register('mobilenetv2_stanfordcars_u2s', U2S, 'stanfordcars', 'images', 'mobilenetv2', **PHONE)
register('mobilenetv2_stanforddogs_u2s', U2S, 'stanforddogs', 'images', 'mobilenetv2', **PHONE)
register('mobilenetv2_custom_images_u2s', U2S, None, 'images', 'mobilenetv2', **PHONE)
register('efficientnet_lite0_stanfordcars_u2s', U2S, 'stanfordcars', 'lite_images', 'efficientnet_lite0', **PHONE)
register('efficientnet_lite0_stanforddogs_u2s', U2S, 'stanforddogs', 'lite_images', 'efficientnet_lite0', **PHONE)
register('efficientnet_lite0_custom_images_u2s', U2S, None, 'lite_images', 'efficientnet_lite0', **PHONE)
register('tiny_synthfg_images_u2s', U2S, 'synthfg_images', 'tiny_images', 'tiny', **TINY)
register('tiny_custom_images_u2s', U2S, None, 'tiny_images', 'tiny', **TINY)

register('i3d_inceptionv1_same_kinetics400_u2s', U2S, 'kinetics400', 'quo_vadis', 'i3d_inceptionv1_same')
register('i3d_inceptionv1_same_ucf101_u2s', U2S, 'ucf101', 'quo_vadis', 'i3d_inceptionv1_same')
register('i3d_inceptionv1_same_hmdb51_u2s', U2S, 'hmdb51', 'quo_vadis', 'i3d_inceptionv1_same')
register('i3d_inceptionv1_same_custom_u2s', U2S, None, 'quo_vadis', 'i3d_inceptionv1_same')

alias('tsn_resnet_u2s', 'tsn_resnet50_v1b_sthsthv2_u2s')
