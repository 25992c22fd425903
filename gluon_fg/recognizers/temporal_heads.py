"""What CIDC is compared with in its Table 5a: an LSTM, and self-attention, over a backbone (ECCV 2020, sec. 4.3).

    x -> backbone -> F -+-> average pool ---------------------------------+-> classifier -.
                        '-> average over space -> LSTM -> last state -> classifier of its own -> + -> fused

    x -> backbone -> F -+---------------------------------> one behind the other in time -> average pool -> classifier
                        '-> self-attention x 2 -> F_SA -----'                                          -> fused

"Their outputs are concatenated accordingly with the spatial-temporal feature map F before and after global pooling": we
read it as F_SA before the pooling, along time as CIDC's own fusion does, and the LSTM's answer after it. A dense layer
of vectors side by side is the sum of two, the first of which is a baseline's.

Our choices, as the paper does not say: the LSTM answers with its last layer's output behind the last frame; what the
vanilla attention block consists of (`gluon_fg.nn.SelfAttention`); dropout 0.6 as for CIDC.
"""

from __future__ import annotations

import dataclasses
import types
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
from .contract import Trunk

_TINY_LSTM: Dict[str, Any] = dict(units=64, **TINY)  # as many as the tiny backbones have channels


@dataclasses.dataclass(frozen=True)
class LSTMOptions:
    """Options of `LSTMHead`: width of the LSTM's layers, and their number."""

    units: int = 512
    layers: int = 2


@dataclasses.dataclass(frozen=True)
class AttentionOptions:
    """Options of `SelfAttentionHead`: blocks in a row, and the heads of each, a divisor of F's channels."""

    blocks: int = 2
    heads: int = 8


class _LSTMBranches(Branches):
    """Fused, avg, lstm."""

    class_blocks = ('classifier', 'lstm_classifier')

    def __init__(self, backbone: Backbone, trunk: Trunk, options: LSTMOptions, **kwargs: Any):
        super().__init__(backbone, trunk, **kwargs)
        initializer = mx.init.Normal(trunk.head_std)
        with self.name_scope():
            self.lstm = FrameLSTM(backbone.channels[5], options.units, options.layers)
            self.lstm_classifier = nn.Dense(
                trunk.nclass, in_units=options.units, use_bias=False, weight_initializer=initializer
            )

    def hybrid_forward(self, F, x):
        f5 = self.backbone(x)[3]
        z_avg, z_lstm = self.global_logits(f5), self.lstm_classifier(self.dropout(self.lstm(f5)))
        return self.sum_of_trained(F, avg=z_avg, lstm=z_lstm), z_avg, z_lstm


class _AttentionBranches(Branches):
    """Fused, avg, attention."""

    def __init__(self, backbone: Backbone, trunk: Trunk, options: AttentionOptions, **kwargs: Any):
        super().__init__(backbone, trunk, **kwargs)
        with self.name_scope():
            self.attention = nn.HybridSequential()
            with self.attention.name_scope():
                for _ in range(options.blocks):
                    self.attention.add(SelfAttention(backbone.channels[5], options.heads))
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
    trunk_defaults = types.MappingProxyType({'dropout': 0.6})

    def loss(self, outputs, label):
        """(N,) cross-entropy of the fused prediction; the other branches are read, not trained."""
        return self.named_losses(outputs, label)['fused']


class LSTMHead(_TemporalHead):
    """An LSTM over the frames of F; its answer is classified side by side with the pooled F.

    Branches: 'fused', the prediction, which is the sum of the others; 'avg', what the classifier says of F; 'lstm',
    what it says of the LSTM's answer. `loss` is the cross-entropy of 'fused' alone.

    Parameters
    ----------
    trunk
        a backbone on clips, classes; dropout acts on pooled features and the LSTM's answer
    options
        width and number of layers

    Inputs:
        - **x**: (N, 3, T, H, W)

    Outputs:
        - **z_fused**: logits (N, M); `branches` gives (z_fused, z_avg, z_lstm)

    Raises
    ------
    UserError
        a backbone on images, a count below 1
    """

    options_type = LSTMOptions

    def __init__(self, trunk: Trunk, options: Optional[LSTMOptions] = None, **kwargs: Any):
        branches = _LSTMBranches(_on_clips(trunk), trunk, options or LSTMOptions())
        super().__init__(branches, ('fused', 'avg', 'lstm'), trunk.nclass, **kwargs)


class SelfAttentionHead(_TemporalHead):
    """Self-attention blocks over F; their output F_SA is put behind F in time and classified with it.

    Branches: 'fused', the prediction, of the mean over F and F_SA; 'avg' and 'attention', what the same classifier says
    of F and of F_SA alone. `loss` is the cross-entropy of 'fused' alone.

    Parameters
    ----------
    trunk
        as for `LSTMHead`
    options
        blocks and heads

    Inputs:
        - **x**: (N, 3, T, H, W)

    Outputs:
        - **z_fused**: logits (N, M); `branches` gives (z_fused, z_avg, z_attention)

    Raises
    ------
    UserError
        a backbone on images, no block, heads that do not divide the channels
    """

    options_type = AttentionOptions

    def __init__(self, trunk: Trunk, options: Optional[AttentionOptions] = None, **kwargs: Any):
        options = options or AttentionOptions()
        if options.blocks < 1:
            raise UserError(f'blocks must be at least 1, got {options.blocks!r}')
        branches = _AttentionBranches(_on_clips(trunk), trunk, options)
        super().__init__(branches, ('fused', 'avg', 'attention'), trunk.nclass, **kwargs)


def _on_clips(trunk: Trunk) -> Backbone:
    backbone = get_backbone(trunk.backbone, trunk.temporal_downsample)
    if backbone.ndim == 2:
        raise UserError(
            f'backbone {trunk.backbone} sees single images; a temporal head needs a network on clips, for example '
            f'i3d_resnet50_v1'
        )
    return backbone


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
