"""Two streams, one on colors and one on optical flow: architectures (c) and (e) of Quo Vadis.

(Carreira and Zisserman, CVPR 2017, arXiv:1705.07750, secs. 2.3 and 2.4; after Simonyan and Zisserman, NIPS 2014.)

    colors -> backbone -> average pool -> classifier -> softmax -.
    flow   -> backbone -> average pool -> classifier -> softmax -+-> weighted mean: the prediction

(c) Two-Stream: Inception-V1 on a single frame, and on the 10 flow fields that follow it ("an input convolutional layer
with twice as many input channels as flow frames"); 12 M parameters. (e) Two-Stream I3D: the inflated Inception-V1 on 64
frames, and on a field at each; 25 M.

"We trained the two networks separately, and averaged their predictions at test time": each stream is an entry of the
zoo, `gluon-fg join` makes of two runs the network of both. Trained as it is, both streams learn at once, which is the
same: nothing is shared. A stream's parameters are those of its own network, 'backbone.' become 'backbone.rgb.' or
'backbone.flow.', and 'classifier.' likewise.

A view has the three colors first and L flow fields, x and y of each, behind them. Our choice: L, for the tiny ones.
"""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Dict, Optional, Tuple

import mxnet as mx
from mxnet.gluon import HybridBlock, nn

from ..backbones import Backbone, TwoStreamBackbone, get_backbone
from ..backbones.twostream import STREAMS, first, rest
from ..errors import UserError
from ..nn.consensus import average_scores, average_sigmoids
from ..nn.norm import clear_cached_graphs
from ..registry import register
from .base import Recognizer
from .baseline import TINY, Baseline
from .branches import Branches
from .contract import FeatureKind, MapInfo, Trunk


@dataclasses.dataclass(frozen=True)
class TwoStreamOptions:
    """Options of `TwoStream`: how much each stream's probabilities count in their mean, as for `gluon-fg fuse`.

    Raises
    ------
    UserError
        a weight below 0, or none above
    """

    rgb_weight: float = 1.0
    flow_weight: float = 1.0

    def __post_init__(self) -> None:
        if min(self.rgb_weight, self.flow_weight) < 0 or self.rgb_weight + self.flow_weight <= 0:
            raise UserError(
                f'rgb_weight {self.rgb_weight!r} and flow_weight {self.flow_weight!r}: give numbers of 0 or more, '
                'one of them above 0'
            )


class StreamClassifiers(HybridBlock):
    """A dense layer for each stream: pooled features of both (N, C_rgb + C_flow) -> logits of each, (N, M)."""

    def __init__(self, backbone: TwoStreamBackbone, trunk: Trunk, **kwargs: Any):
        super().__init__(**kwargs)
        self._split = backbone.split(5)
        with self.name_scope():
            for name, part in zip(STREAMS, backbone.parts):
                dense = nn.Dense(
                    trunk.nclass, in_units=part.channels[5], weight_initializer=mx.init.Normal(trunk.head_std)
                )
                setattr(self, name, dense)

    def hybrid_forward(self, F, x):
        return self.rgb(first(F, x, self._split)), self.flow(rest(F, x, self._split))


class _StreamBranches(Branches):
    """Fused, rgb, flow."""

    backbone: TwoStreamBackbone
    sigmoid = False  # whether the streams' sigmoids are averaged, not their softmaxes

    def __init__(self, backbone: TwoStreamBackbone, trunk: Trunk, options: TwoStreamOptions, **kwargs: Any):
        super().__init__(backbone, trunk, **kwargs)
        self._weights = dict(zip(STREAMS, (options.rgb_weight, options.flow_weight)))

    def make_classifier(self, backbone: Backbone, trunk: Trunk, features: Optional[int] = None) -> HybridBlock:
        assert isinstance(backbone, TwoStreamBackbone)
        return StreamClassifiers(backbone, trunk)

    def hybrid_forward(self, F, x):
        logits = [self.consensus(F, z) for z in self.global_logits(self.backbone(x)[3])]
        counted = [name for name in STREAMS if self._trained is None or name in self._trained]
        of_counted = [z for name, z in zip(STREAMS, logits) if name in counted]
        mean = average_sigmoids if self.sigmoid else average_scores
        return (mean(F, *of_counted, weights=[self._weights[name] for name in counted]), *logits)


class TwoStream(Recognizer):
    """Two networks, one on colors and one on optical flow; the prediction is the weighted mean of their probabilities.

    Branches: 'fused', the prediction, whose softmax (sigmoid, where `multi_label`) is that mean; 'rgb' and 'flow', the
    streams' own logits. `loss` is the sum of the streams' cross-entropies.

    Parameters
    ----------
    trunk
        a backbone of two streams (`gluon_fg.backbones.TWO_STREAM`), classes; dropout acts on each stream's features
    options
        weights of the streams

    Inputs:
        - **x**: (N, 3 + 2 L, T, H, W), or (N * num_segments, 3 + 2 L, H, W) on images: colors, then L fields

    Outputs:
        - **z_fused**: logits (N, M); `branches` gives (z_fused, z_rgb, z_flow)

    Raises
    ------
    UserError
        a backbone of one stream, weights that cannot be
    """

    global_branch = 'fused'
    options_type = TwoStreamOptions
    map_info = types.MappingProxyType({name: MapInfo('features') for name in ('F5', *STREAMS)})
    activation_names = STREAMS
    feature_kinds: Tuple[FeatureKind, ...] = tuple(FeatureKind(name, name, (name,)) for name in STREAMS)

    def __init__(self, trunk: Trunk, options: Optional[TwoStreamOptions] = None, **kwargs: Any):
        backbone = get_backbone(trunk.backbone, trunk.temporal_downsample)
        if not isinstance(backbone, TwoStreamBackbone):
            raise UserError(
                f'backbone {trunk.backbone} has one stream; choose one of two, for example twostream_inceptionv1'
            )
        branches = _StreamBranches(backbone, trunk, options or TwoStreamOptions())
        super().__init__(branches, ('fused', *STREAMS), trunk.nclass, **kwargs)

    @property
    def multi_label(self) -> bool:
        """Whether a video may have several labels: then sigmoids are averaged. Setting it drops cached graphs."""
        return self._multi_label

    @multi_label.setter
    def multi_label(self, multi_label: bool) -> None:
        self._multi_label = self.branches.sigmoid = bool(multi_label)
        clear_cached_graphs(self)

    def maps(self, x: mx.nd.NDArray, label: Optional[mx.nd.NDArray] = None) -> Dict[str, mx.nd.NDArray]:
        """'F5', the last features of both streams, and those of each, 'rgb' and 'flow'."""
        f5 = super().maps(x)['F5']
        F, channels = mx.nd if isinstance(f5, mx.nd.NDArray) else mx.sym, self.branches.backbone.split(5)
        return {'F5': f5, 'rgb': first(F, f5, channels), 'flow': rest(F, f5, channels)}

    def loss(self, outputs, label):
        """(N,) sum of the streams' cross-entropies; the fused prediction is read, not trained."""
        named = self.named_losses(outputs, label)
        return mx.nd.add_n(*(named[name] for name in STREAMS))


# name, method, dataset (None: the user's own), input, backbone
# (c): the streams, and both; GluonCV's Inception-V1 on Kinetics-400 is the first one's network, trained on 7 segments.
register(
    'twostream_inceptionv1_rgb_kinetics400',
    Baseline,
    'kinetics400',
    'snapshot',
    'inceptionv1',
    gluoncv='inceptionv1_kinetics400',
)
register('twostream_inceptionv1_rgb_minikinetics', Baseline, 'minikinetics', 'snapshot', 'inceptionv1')
register('twostream_inceptionv1_rgb_ucf101', Baseline, 'ucf101', 'snapshot', 'inceptionv1')
register('twostream_inceptionv1_rgb_hmdb51', Baseline, 'hmdb51', 'snapshot', 'inceptionv1')
register('twostream_inceptionv1_rgb_custom', Baseline, None, 'snapshot', 'inceptionv1')
register('twostream_inceptionv1_flow_kinetics400', Baseline, 'kinetics400', 'snapshot_flow', 'inceptionv1_flow')
register('twostream_inceptionv1_flow_minikinetics', Baseline, 'minikinetics', 'snapshot_flow', 'inceptionv1_flow')
register('twostream_inceptionv1_flow_ucf101', Baseline, 'ucf101', 'snapshot_flow', 'inceptionv1_flow')
register('twostream_inceptionv1_flow_hmdb51', Baseline, 'hmdb51', 'snapshot_flow', 'inceptionv1_flow')
register('twostream_inceptionv1_flow_custom', Baseline, None, 'snapshot_flow', 'inceptionv1_flow')
register('twostream_inceptionv1_kinetics400', TwoStream, 'kinetics400', 'snapshot_both', 'twostream_inceptionv1')
register('twostream_inceptionv1_minikinetics', TwoStream, 'minikinetics', 'snapshot_both', 'twostream_inceptionv1')
register('twostream_inceptionv1_ucf101', TwoStream, 'ucf101', 'snapshot_both', 'twostream_inceptionv1')
register('twostream_inceptionv1_hmdb51', TwoStream, 'hmdb51', 'snapshot_both', 'twostream_inceptionv1')
register('twostream_inceptionv1_custom', TwoStream, None, 'snapshot_both', 'twostream_inceptionv1')
# (e); its streams are `baseline.py`'s.
register(
    'twostream_i3d_inceptionv1_same_kinetics400',
    TwoStream,
    'kinetics400',
    'quo_vadis_both',
    'twostream_i3d_inceptionv1_same',
)
register(
    'twostream_i3d_inceptionv1_same_minikinetics',
    TwoStream,
    'minikinetics',
    'quo_vadis_both',
    'twostream_i3d_inceptionv1_same',
)
register(
    'twostream_i3d_inceptionv1_same_ucf101', TwoStream, 'ucf101', 'quo_vadis_both', 'twostream_i3d_inceptionv1_same'
)
register(
    'twostream_i3d_inceptionv1_same_hmdb51', TwoStream, 'hmdb51', 'quo_vadis_both', 'twostream_i3d_inceptionv1_same'
)
register('twostream_i3d_inceptionv1_same_custom', TwoStream, None, 'quo_vadis_both', 'twostream_i3d_inceptionv1_same')
register('twostream_tiny_rgb_custom', Baseline, None, 'tiny_snapshot', 'tiny', **TINY)
register('twostream_tiny_flow_custom', Baseline, None, 'tiny_snapshot_flow', 'tiny_flow', **TINY)
register('twostream_tiny_custom', TwoStream, None, 'tiny_snapshot_both', 'twostream_tiny', **TINY)
register('twostream_i3d_tiny_custom', TwoStream, None, 'tiny_both', 'twostream_i3d_tiny', **TINY)
