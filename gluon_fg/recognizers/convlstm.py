"""ConvNet + LSTM: architecture (a) of Quo Vadis (Carreira and Zisserman, CVPR 2017, arXiv:1705.07750, sec. 2.1).

    x -> Inception-V1 on every frame -> F -> average over space -> LSTM -> classifier at every step -> last: prediction

"We position an LSTM layer with batch normalization [Cooijmans et al.] after the last average pooling layer of
Inception-V1, with 512 hidden units", a fully connected classifier on top, trained "using cross-entropy losses on the
outputs at all time steps"; "during testing we consider only the output on the last frame". One frame of every 5 of 25 a
second is taken: 25 in training (5 seconds), 50 in testing. Here 9.0 M parameters, as in its table 1, for 400 classes.

Our choices, as the paper does not say:

- frames are counted at each video's own rate, as strides are here; `data.fps=25` shows all at 25 a second;
- the loss is the mean over the steps, so that the learning rate does not depend on the length of clips;
- the LSTM is `gluon_fg.nn.BatchNormLSTM`: each of the 25 steps of training has statistics of its own, those behind
  them in testing use the last one's;
- dropout acts on the LSTM's outputs, in front of the classifier;
- ImageNet's weights are GluonCV's, and so are the scale of colors (`inputs`) and the padding;
- on optical flow, on which the paper has no LSTM, a view has 5 fields at each of its frames: with a frame of every 5
  they are all of the video's, each once. The tiny one has a single one at each.
"""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Collection, Dict, Optional, Tuple

import mxnet as mx
from mxnet.gluon import HybridBlock

from ..backbones import Backbone, get_frames_backbone
from ..errors import UserError
from ..nn.batch_norm_lstm import BatchNormLSTM, PerLength
from ..registry import register
from .base import Recognizer
from .baseline import TINY
from .branches import Branches, View
from .contract import FeatureKind, MapInfo, Trunk


@dataclasses.dataclass(frozen=True)
class ConvNetLSTMOptions:
    """Options of `ConvNetLSTM`: width of the LSTM, and frames of the clips that it is trained on.

    Each of these frames has statistics of batch norm of its own, so that training on fewer is refused.
    """

    units: int = 512
    frames: int = 25


class _Frames(HybridBlock):
    """(N, C, T, H, W) -> (N, T, C): the average over space of every frame."""

    def hybrid_forward(self, F, x):
        return F.transpose(F.mean(x, axis=(3, 4)), axes=(0, 2, 1))


class _LSTMBranches(PerLength, Branches):
    """The last step's logits (N, M), and those of all steps (N, T, M)."""

    def __init__(self, backbone: Backbone, trunk: Trunk, options: ConvNetLSTMOptions, **kwargs: Any):
        super().__init__(backbone, trunk, features=options.units, **kwargs)
        with self.name_scope():
            self.frames = _Frames()
            self.lstm = BatchNormLSTM(backbone.channels[5], options.units, options.frames)

    def hybrid_forward(self, F, x):
        states = self.lstm(self.frames(self.backbone(x)[3]))  # (N, T, U)
        steps = self.classifier(self.dropout(states))
        return F.squeeze(F.slice_axis(steps, axis=1, begin=-1, end=None), axis=1), steps

    def check_training_frames(self, frames: int) -> None:
        super().check_training_frames(frames)
        if frames < self.lstm.steps:
            raise UserError(
                f'input has clips of {frames} frames; this network has statistics of {self.lstm.steps} steps, which '
                f'have to be seen in training: train on {self.lstm.steps} frames, or build it with frames={frames}'
            )


class _LastState(PerLength, View):
    """(N, U, 1, 1, 1): what the classifier reads for the prediction."""

    def __init__(self, branches: _LSTMBranches, **kwargs: Any):
        super().__init__(**kwargs)
        self.backbone, self.frames, self.lstm = branches.backbone, branches.frames, branches.lstm

    def hybrid_forward(self, F, x):
        states = self.lstm(self.frames(self.backbone(x)[3]))
        return F.reshape(F.slice_axis(states, axis=1, begin=-1, end=None), shape=(0, -1, 1, 1, 1))


class ConvNetLSTM(PerLength, Recognizer):
    """An LSTM with batch norm over the frames that a 2-D network sees one by one; its last output is the prediction.

    Its one branch is 'lstm'. `branches` returns behind it 'steps', the logits of every step, for the loss, which is the
    mean of their cross-entropies (binary ones where `multi_label`). A graph, an exported one too, is for clips of one
    length; the network itself takes any and traces anew where that changes.

    Parameters
    ----------
    trunk
        a backbone on clips that keeps their frames ('inceptionv1_frames'), classes; dropout acts on the LSTM's outputs
    options
        width, and frames in training

    Inputs:
        - **x**: (N, C, T, H, W), any T; in training at least `frames`

    Outputs:
        - **z_lstm**: logits (N, M) of the last step; `branches` gives (z_lstm, steps), steps (N, T, M)

    Raises
    ------
    UserError
        a backbone on images or one that merges frames, no unit, fewer than two frames
    """

    global_branch = 'lstm'
    auxiliary_names = ('steps',)
    options_type = ConvNetLSTMOptions
    map_info = types.MappingProxyType({'F5': MapInfo('features'), 'state': MapInfo('features')})
    feature_kinds: Tuple[FeatureKind, ...] = (FeatureKind('state', None, ('state',)),)

    def __init__(self, trunk: Trunk, options: Optional[ConvNetLSTMOptions] = None, **kwargs: Any):
        options = options or ConvNetLSTMOptions()
        if options.frames < 2:
            raise UserError(f'frames must be at least 2, got {options.frames!r}')
        backbone = get_frames_backbone(trunk.backbone, trunk.temporal_downsample)
        super().__init__(_LSTMBranches(backbone, trunk, options), ('lstm',), trunk.nclass, **kwargs)
        self.input_spec = self.input_spec.replace(frames=options.frames)
        self.add_view('state', _LastState(self.branches))

    @classmethod
    def saved_options(cls, names: Collection[str]) -> Dict[str, Any]:
        """As many frames as the file has statistics of steps."""
        steps = sum(name.startswith('branches.lstm.input_norms.') and name.endswith('_mean') for name in names)
        return {'frames': steps} if steps else {}

    def maps(self, x, label=None):
        return {**super().maps(x, label), 'state': self.views['state'](x)}

    def global_parameters(self) -> Dict[str, mx.gluon.Parameter]:
        return dict(self._collect_params_with_prefix())  # nothing here is another network's

    def named_losses(self, outputs, label):
        return {**super().named_losses(outputs, label), 'steps': self.loss(outputs, label)}

    def loss(self, outputs, label):
        """(N,) mean over the steps of the cross-entropy of each, or of the binary one where `multi_label`."""
        steps = outputs[1]
        clips, length, classes = steps.shape
        every = mx.nd.repeat(label.as_in_context(steps.context), repeats=length, axis=0)
        return self.branch_loss(steps.reshape((-1, classes)), every).reshape((clips, length)).mean(axis=1)


_TINY_LSTM: Dict[str, Any] = dict(units=64, **TINY)  # as many as the tiny backbones have channels

# name, method, dataset (None: the user's own), input, backbone
register('lstm_inceptionv1_kinetics400', ConvNetLSTM, 'kinetics400', 'every_fifth', 'inceptionv1_frames')
register('lstm_inceptionv1_minikinetics', ConvNetLSTM, 'minikinetics', 'every_fifth', 'inceptionv1_frames')
register('lstm_inceptionv1_ucf101', ConvNetLSTM, 'ucf101', 'every_fifth', 'inceptionv1_frames')
register('lstm_inceptionv1_hmdb51', ConvNetLSTM, 'hmdb51', 'every_fifth', 'inceptionv1_frames')
register('lstm_inceptionv1_custom', ConvNetLSTM, None, 'every_fifth', 'inceptionv1_frames')
register('lstm_inceptionv1_flow_kinetics400', ConvNetLSTM, 'kinetics400', 'every_fifth_flow', 'inceptionv1_frames_flow')
register(
    'lstm_inceptionv1_flow_minikinetics', ConvNetLSTM, 'minikinetics', 'every_fifth_flow', 'inceptionv1_frames_flow'
)
register('lstm_inceptionv1_flow_ucf101', ConvNetLSTM, 'ucf101', 'every_fifth_flow', 'inceptionv1_frames_flow')
register('lstm_inceptionv1_flow_hmdb51', ConvNetLSTM, 'hmdb51', 'every_fifth_flow', 'inceptionv1_frames_flow')
register('lstm_inceptionv1_flow_custom', ConvNetLSTM, None, 'every_fifth_flow', 'inceptionv1_frames_flow')
register('lstm_tiny_custom', ConvNetLSTM, None, 'tiny_clips', 'r2d_tiny', **_TINY_LSTM)
register('lstm_tiny_flow_custom', ConvNetLSTM, None, 'tiny_fields', 'r2d_tiny_flow', **_TINY_LSTM)
