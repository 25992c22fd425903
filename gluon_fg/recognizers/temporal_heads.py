"""What CIDC is compared with in its Table 5a: an LSTM, and self-attention, over a backbone (ECCV 2020, sec. 4.3).

    x -> backbone -> F -+-> average pool ---------------------------------+-> classifier -.
                        '-> average over space -> LSTM -> last state -> classifier of its own -> + -> fused

    x -> backbone -> F -+---------------------------------> one behind the other in time -> average pool -> classifier
                        '-> self-attention x 2 -> F_SA -----'                                          -> fused

"Their outputs are concatenated accordingly with the spatial-temporal feature map F before and after global pooling": we
read it as F_SA before the pooling, along time as CIDC's own fusion does, and the LSTM's answer after it. A dense layer
of vectors side by side is the sum of two, the first of which is a baseline's.

Ours, as the paper does not say: the LSTM answers with its last layer's output behind the last frame; what the vanilla
attention block consists of (`gluon_fg.nn.SelfAttention`); dropout 0.6 as for CIDC.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

import mxnet as mx
from mxnet.gluon import nn

from ..backbones import Backbone, get_backbone
from ..errors import UserError
from ..nn.lstm import FrameLSTM
from ..nn.pooling import GlobalAvgPool
from ..nn.self_attention import SelfAttention
from ..registry import register
from .base import Recognizer
from .baseline import PRETRAINED, TINY
from .branches import Branches

_TINY_LSTM: Dict[str, Any] = dict(units=64, **TINY)  # as many as the tiny backbones have channels


class _LSTMBranches(Branches):
    """Fused, avg, lstm."""

    class_blocks = ('classifier', 'lstm_classifier')

    def __init__(self, backbone, nclass, dropout, head_std, num_segments, units, layers, **kwargs):
        super().__init__(backbone, nclass, dropout, head_std, num_segments, **kwargs)
        with self.name_scope():
            self.lstm = FrameLSTM(backbone.channels[5], units, layers)
            self.lstm_classifier = nn.Dense(
                nclass, in_units=units, use_bias=False, weight_initializer=mx.init.Normal(head_std)
            )

    def hybrid_forward(self, F, x):
        f5 = self.backbone(x)[3]
        z_avg, z_lstm = self.global_logits(f5), self.lstm_classifier(self.dropout(self.lstm(f5)))
        return self.sum_of_trained(F, avg=z_avg, lstm=z_lstm), z_avg, z_lstm


class _AttentionBranches(Branches):
    """Fused, avg, attention."""

    def __init__(self, backbone, nclass, dropout, head_std, num_segments, blocks, heads, **kwargs):
        super().__init__(backbone, nclass, dropout, head_std, num_segments, **kwargs)
        with self.name_scope():
            self.attention = nn.HybridSequential()
            with self.attention.name_scope():
                for _ in range(blocks):
                    self.attention.add(SelfAttention(backbone.channels[5], heads))
            self.attention_pool = GlobalAvgPool()

    def hybrid_forward(self, F, x):
        f5 = self.backbone(x)[3]
        avg = self.pool(f5 if self.backbone.head_pool is None else self.backbone.head_pool(f5))
        attention = self.attention_pool(self.attention(f5))
        z_avg, z_attention = self.classifier(avg), self.classifier(attention)
        if self._trained in (('avg',), ('attention',)):
            fused = F.identity(z_avg if self._trained == ('avg',) else z_attention)  # a graph's outputs must differ
        else:  # F and F_SA have equally many frames: the mean over both is the mean of theirs
            fused = self.classifier(self.dropout((avg + attention) / 2))
        return fused, z_avg, z_attention


class _TemporalHead(Recognizer):
    def loss(self, outputs, label):
        """(N,) cross-entropy of the fused prediction; the other branches are read, not trained."""
        return self.named_losses(outputs, label)['fused']


class LSTMHead(_TemporalHead):
    """An LSTM over the frames of F; its answer is classified side by side with the pooled F.

    Branches: 'fused', the prediction, which is the sum of the others; 'avg', what the classifier says of F; 'lstm',
    what it says of the LSTM's answer. `loss` is the cross-entropy of 'fused' alone.

    Parameters
    ----------
    backbone
        name in `gluon_fg.backbones.BACKBONES` of a network on clips
    nclass
        number of classes, M
    units, layers
        width of the LSTM's layers, and their number
    dropout
        share of pooled features, and of the LSTM's answer, dropped in training
    temporal_downsample
        I3D ResNets only: 4 or 8, None for the backbone's own
    num_segments
        1: networks on clips have no segments
    head_std
        standard deviation of the classifiers' initial weights

    Inputs:
        - **x**: (N, 3, T, H, W)

    Outputs:
        - **z_fused**: logits (N, M); `branches` gives (z_fused, z_avg, z_lstm)

    Raises
    ------
    UserError
        a backbone on images, a count below 1
    """

    def __init__(
        self,
        backbone: str,
        nclass: int,
        units: int = 512,
        layers: int = 2,
        dropout: float = 0.6,
        temporal_downsample: Optional[int] = None,
        num_segments: int = 1,
        head_std: float = 0.01,
        **kwargs,
    ):
        trunk = _on_clips(backbone, temporal_downsample)
        branches = _LSTMBranches(trunk, nclass, dropout, head_std, num_segments, units, layers)
        super().__init__(branches, ('fused', 'avg', 'lstm'), nclass, **kwargs)


class SelfAttentionHead(_TemporalHead):
    """Self-attention blocks over F; their output F_SA is put behind F in time and classified with it.

    Branches: 'fused', the prediction, of the mean over F and F_SA; 'avg' and 'attention', what the same classifier says
    of F and of F_SA alone. `loss` is the cross-entropy of 'fused' alone.

    Parameters
    ----------
    blocks
        self-attention blocks in a row
    heads
        heads of each block, a divisor of F's channels
    dropout
        share of pooled features dropped in training
    backbone, nclass, temporal_downsample, num_segments, head_std
        as for `LSTMHead`

    Inputs:
        - **x**: (N, 3, T, H, W)

    Outputs:
        - **z_fused**: logits (N, M); `branches` gives (z_fused, z_avg, z_attention)

    Raises
    ------
    UserError
        a backbone on images, no block, heads that do not divide the channels
    """

    def __init__(
        self,
        backbone: str,
        nclass: int,
        blocks: int = 2,
        heads: int = 8,
        dropout: float = 0.6,
        temporal_downsample: Optional[int] = None,
        num_segments: int = 1,
        head_std: float = 0.01,
        **kwargs,
    ):
        if blocks < 1:
            raise UserError(f'blocks must be at least 1, got {blocks!r}')
        trunk = _on_clips(backbone, temporal_downsample)
        branches = _AttentionBranches(trunk, nclass, dropout, head_std, num_segments, blocks, heads)
        super().__init__(branches, ('fused', 'avg', 'attention'), nclass, **kwargs)


def _on_clips(backbone: str, temporal_downsample: Optional[int]) -> Backbone:
    trunk = get_backbone(backbone, temporal_downsample)
    if trunk.ndim == 2:
        raise UserError(
            f'backbone {backbone} sees single images; a temporal head needs a network on clips, for example '
            f'i3d_resnet50_v1'
        )
    return trunk


# name, method, dataset (None: the user's own), input, backbone
# Table 5a. GluonCV's weights, which the paper starts from, are trained with temporal_downsample 8.
register('i3d_resnet50_v1_kinetics400_lstm', LSTMHead, 'kinetics400', 'long', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet50_v1_ucf101_lstm', LSTMHead, 'ucf101', 'long', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet50_v1_hmdb51_lstm', LSTMHead, 'hmdb51', 'long', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet50_v1_custom_lstm', LSTMHead, None, 'long', 'i3d_resnet50_v1', temporal_downsample=8)
register(
    'i3d_resnet50_v1_kinetics400_attention', SelfAttentionHead, 'kinetics400', 'long', 'i3d_resnet50_v1', **PRETRAINED
)
register('i3d_resnet50_v1_ucf101_attention', SelfAttentionHead, 'ucf101', 'long', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet50_v1_hmdb51_attention', SelfAttentionHead, 'hmdb51', 'long', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet50_v1_custom_attention', SelfAttentionHead, None, 'long', 'i3d_resnet50_v1', temporal_downsample=8)

register('i3d_tiny_synthfg_lstm', LSTMHead, 'synthfg', 'tiny_clips', 'i3d_tiny', **_TINY_LSTM)
register('i3d_tiny_synthfg_attention', SelfAttentionHead, 'synthfg', 'tiny_clips', 'i3d_tiny', **TINY)
register('i3d_tiny_custom_lstm', LSTMHead, None, 'tiny_clips', 'i3d_tiny', **_TINY_LSTM)
register('i3d_tiny_custom_attention', SelfAttentionHead, None, 'tiny_clips', 'i3d_tiny', **TINY)
register('r2d_tiny_synthfg_lstm', LSTMHead, 'synthfg', 'tiny_clips', 'r2d_tiny', **_TINY_LSTM)
register('r2d_tiny_synthfg_attention', SelfAttentionHead, 'synthfg', 'tiny_clips', 'r2d_tiny', **TINY)
register('r2d_tiny_custom_lstm', LSTMHead, None, 'tiny_clips', 'r2d_tiny', **_TINY_LSTM)
register('r2d_tiny_custom_attention', SelfAttentionHead, None, 'tiny_clips', 'r2d_tiny', **TINY)
