"""What every recognizer keeps to, so that data, training, evaluation and prediction need not know which one it is."""

from __future__ import annotations

import contextlib
import functools
import operator
import warnings
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock, nn

from ..backbones import Backbone
from ..errors import UserError, unknown
from ..input_spec import InputSpec
from ..nn.consensus import average_consensus
from ..nn.pooling import GlobalAvgPool
from ..nn.temporal_shift import set_segments


class Branches(HybridBlock):
    """Backbone and heads; a subclass returns the logits of all its branches, the fused prediction first.

    Holds what all have: the backbone and the classifier of the global branch (DFB sec. 3.1), under the same parameter
    names in every recognizer, so that a baseline's weights fit into any of them.

    Parameters
    ----------
    backbone
        gives features by stage
    nclass
        number of classes, M
    dropout
        share of pooled features dropped before the global classifier
    head_std
        standard deviation of the global classifier's initial weights
    num_segments
        frames of one video that lie together in the batch (images only)

    Inputs:
        - **x**: (N, C, T, H, W), or (N * num_segments, C, H, W) for images, C the backbone's `in_channels`; float32 (or
          float16), normalized

    Outputs: a tuple of logits (N, M)
    """

    class_blocks = ('classifier',)  # children whose parameters belong to single classes

    def __init__(self, backbone: Backbone, nclass: int, dropout: float, head_std: float, num_segments: int, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= dropout < 1:
            raise UserError(f'dropout must be a share in [0, 1), got {dropout!r}')
        _check_segments(num_segments, backbone.ndim)
        self._classes, self._segments, self._min_size = nclass, num_segments, backbone.min_size
        self._trainable_frames: Dict[int, int] = {}  # frames asked for -> the fewest, not fewer, it can be trained on
        self._trained: Optional[Tuple[str, ...]] = None  # all: see `Recognizer.trained_branches`
        with self.name_scope():
            self.backbone = backbone
            self.pool = GlobalAvgPool(backbone.ndim)
            self.dropout = nn.Dropout(dropout)
            self.classifier = nn.Dense(
                nclass, in_units=backbone.channels[5], weight_initializer=mx.init.Normal(head_std)
            )

    def global_logits(self, f5):
        """z_avg of stage-5 features, one row a clip or frame."""
        if self.backbone.head_pool is not None:
            f5 = self.backbone.head_pool(f5)
        return self.classifier(self.dropout(self.pool(f5)))

    def sum_of_trained(self, F, **logits):
        """The sum of those of the given branches' logits, by name, that count: see `Recognizer.trained_branches`."""
        counted = [z for name, z in logits.items() if self._trained is None or name in self._trained]
        # A copy of a single one: a graph's outputs must differ.
        return functools.reduce(operator.add, counted) if len(counted) > 1 else F.identity(counted[0])

    def consensus(self, F, z):
        """Logits of frames -> logits of videos; clips are left alone."""
        return average_consensus(F, z, self._segments, self._classes)

    def __call__(self, x):
        self.check_input(x)
        out = super().__call__(x)
        return tuple(out) if isinstance(out, list) else out  # a cached graph gives a list

    def check_input(self, x) -> None:
        """Refuse an array that the network cannot take, in one line; symbols pass."""
        if not isinstance(x, mx.nd.NDArray):
            return
        clips, channels = self.backbone.ndim == 3, self.backbone.in_channels
        layout = f'(N, {channels}, T, H, W)' if clips else f'(N * segments, {channels}, H, W)'
        if x.ndim != (5 if clips else 4) or x.shape[1] != channels:
            raise UserError(f'input has shape {x.shape}; this network takes {layout}')
        dtype = np.dtype(x.dtype)
        if dtype.kind in 'iub' or dtype == np.float64:
            raise UserError(f'input is {dtype}; this network takes normalized float32: see gluon_fg.data.to_input')
        if not clips and x.shape[0] % self._segments:
            raise UserError(f'input has {x.shape[0]} frames, no multiple of net.num_segments {self._segments}')
        if clips and x.shape[2] < self._min_size[0]:
            raise UserError(f'input has clips of {x.shape[2]} frames; this network takes at least {self._min_size[0]}')
        if clips and mx.autograd.is_recording():
            self._check_training_frames(x.shape[2])
        if min(x.shape[-2:]) < self._min_size[1]:
            raise UserError(
                f'input has {x.shape[-2]}x{x.shape[-1]} pixels; this network takes at least {self._min_size[1]}'
            )

    def _check_training_frames(self, frames: int) -> None:
        if frames not in self._trainable_frames:
            self._trainable_frames[frames] = self.backbone.trainable_frames(frames)
        if self._trainable_frames[frames] != frames:
            raise UserError(
                f'input has clips of {frames} frames, on which this network predicts but cannot be trained (MXNet gets '
                f'gradients of its weights wrong there); train on {self._trainable_frames[frames]}'
            )


class Recognizer(HybridBlock):
    """A network by the contract: softmax(`net(x)`) is the prediction, `net.branches(x)` the logits of every branch.

    Parameters
    ----------
    branches
        its only child
    branch_names
        names of what `branches` returns, in order
    nclass
        number of classes, M

    Attributes
    ----------
    name
        the zoo's name (Gluon's own where it has none)
    input_spec
        frames, sizes and scale of a view; may be replaced by one of the same layout
    protocol, dataset
        name of the test protocol; name of the dataset whose classes it predicts, or None
    weights_source
        where `get_model` took its weights from, in words
    """

    global_branch = 'avg'  # the one that backbone and classifier are all of
    stages: Tuple[str, ...] = ()  # values of `stage`, for networks that are trained part by part
    stage: Optional[str] = None
    takes_labels = False  # True: to be called with the true labels behind x, as an upper bound
    csm: Optional[mx.gluon.Parameter] = None  # similarities of categories that training is to find out first

    def __init__(self, branches: Branches, branch_names: Sequence[str], nclass: int, **kwargs):
        super().__init__(**kwargs)
        self.branch_names, self.nclass = tuple(branch_names), nclass
        self._ndim = branches.backbone.ndim
        self._entry_name, self._labels = None, None
        self.dataset: Optional[str] = None
        self.protocol, self.weights_source = 'train_time', 'random weights'
        self._input_spec = (
            InputSpec()
            if self._ndim == 3
            else InputSpec(frames=1, frame_stride=1, segments=branches._segments, layout='NCHW')
        )
        set_segments(branches, branches._segments)
        self.branches = branches

    def hybrid_forward(self, F, x):
        return self.branches(x)[0]

    def __call__(self, x):
        self.branches.check_input(x)
        return super().__call__(x)

    @property
    def name(self) -> str:
        return self._entry_name or super().name

    @name.setter
    def name(self, name: str) -> None:
        self._entry_name = name

    # Input

    @property
    def input_spec(self) -> InputSpec:
        return self._input_spec

    @input_spec.setter
    def input_spec(self, spec: InputSpec) -> None:
        if spec.ndim != self._ndim:
            raise UserError(f'{self.name} takes layout {self._input_spec.layout}, not {spec.layout}')
        self._input_spec = spec

    @property
    def num_segments(self) -> int:
        """Frames of one video in the input, logits averaged (TSN); 1 for clips. Setting it drops cached graphs."""
        return self.branches._segments

    @num_segments.setter
    def num_segments(self, segments: int) -> None:
        _check_segments(segments, self._ndim)
        if segments != self.branches._segments:
            set_segments(self.branches, segments)
            self.branches._segments = segments
            self.branches._clear_cached_op()
            self._clear_cached_op()

    # Branches

    @property
    def trained_branches(self) -> Tuple[str, ...]:
        """Names of the branches that the fused prediction is made of: all, where none is set aside as untrained.

        Assigning names (of `branch_names` but for the fused one), or None for all, drops cached graphs;
        `branches(x)` goes on returning every branch. Raises UserError for no name or an unknown one. A training loop
        of one's own should start with None.
        """
        return self.branches._trained or self._default_branches

    @trained_branches.setter
    def trained_branches(self, names: Optional[Iterable[str]]) -> None:
        names = self._default_branches if names is None else (names,) if isinstance(names, str) else tuple(names)
        for name in names:
            if name not in self._parts:
                raise unknown(f'branch of {self.name}', name, self._parts)
        if not names:
            raise UserError(f'trained_branches of {self.name}: name at least one of {", ".join(self._parts)}')
        if set(names) != set(self.trained_branches):
            self.branches._trained = tuple(name for name in self._parts if name in names)
            self.branches._clear_cached_op()
            self._clear_cached_op()

    @property
    def _parts(self) -> Tuple[str, ...]:
        return self.branch_names[1:] or self.branch_names

    @property
    def _default_branches(self) -> Tuple[str, ...]:
        """Those that the fused prediction is made of where none is set aside."""
        return self._parts

    def global_parameters(self) -> Dict[str, mx.gluon.Parameter]:
        """Structural name -> parameter of all that the global branch is made of."""
        return {
            name: p
            for name, p in self._collect_params_with_prefix().items()
            if name.startswith(('branches.backbone.', 'branches.classifier.'))
        }

    def class_parameters(self) -> List[str]:
        """Structural names of the parameters that belong to single classes: all that depend on their number."""
        blocks = tuple(f'branches.{block}.' for block in self.branches.class_blocks)
        return [name for name in self._collect_params_with_prefix() if name.startswith(blocks)]

    # Labels

    @property
    def labels(self):
        """`LabelSet` of its classes, or None where they are not known (may then be set).

        A function that gives them may be set, too: it is called when they are first asked for.
        """
        if callable(self._labels):
            self._labels = self._checked_labels(self._labels())
        return self._labels

    @labels.setter
    def labels(self, labels) -> None:
        self._labels = labels if callable(labels) else self._checked_labels(labels)

    def _checked_labels(self, labels):
        if labels is not None and len(labels.classes) != self.nclass:
            raise UserError(f'{len(labels.classes)} class names for {self.name}, which has {self.nclass} classes')
        return labels

    @property
    def classes(self) -> Optional[Tuple[str, ...]]:
        """Class names in the order of the logits, or None."""
        return self.labels.classes if self.labels is not None else None

    # Loss

    def named_losses(self, outputs: Sequence[mx.nd.NDArray], label: mx.nd.NDArray) -> Dict[str, mx.nd.NDArray]:
        """Softmax cross-entropy of each branch, (N,) each, computed in float32.

        Inputs:
            - **outputs**: what `branches` returned
            - **label**: (N,) integers 0..M-1, of any numeric type
        """
        return {
            name: -mx.nd.pick(mx.nd.log_softmax(z.astype('float32'), axis=1), label.as_in_context(z.context), axis=1)
            for name, z in zip(self.branch_names, outputs)
        }

    def loss(self, outputs: Sequence[mx.nd.NDArray], label: mx.nd.NDArray) -> mx.nd.NDArray:
        """(N,) training loss: the sum of the branches' cross-entropies (for DFB its eq. 1)."""
        return mx.nd.add_n(*self.named_losses(outputs, label).values())

    # Weights

    def save_parameters(self, filename: str, deduplicate: bool = False) -> None:
        """Gluon's own, after everything queued is done.

        A static graph updates running statistics in its backward pass without telling MXNet's engine, so that whoever
        reads them right behind a training step may get the former ones (MXNet 1.9.1); `mx.nd.waitall()` helps.

        The file does not say which branches are trained: assign `trained_branches` again after loading a network that
        was saved with some of them set aside.
        """
        mx.nd.waitall()
        super().save_parameters(filename, deduplicate)

    def export(self, path: str, epoch: int = 0, remove_amp_cast: bool = True):
        """Gluon's own, after everything queued is done: see `save_parameters`.

        The graph holds the branches that count now, and their parameters alone.
        """
        mx.nd.waitall()
        with unused_parameters_allowed():
            return super().export(path, epoch, remove_amp_cast)

    def _build_cache(self, *args):
        with unused_parameters_allowed():
            super()._build_cache(*args)

    def kept_parameters(self) -> Dict[str, mx.gluon.Parameter]:
        """Structural name -> parameter of what this `stage` of training leaves as it is, and so needs trained."""
        return {}

    def backbone_loaded(self) -> None:
        """Fill branches that start as a copy of the backbone; called when it has its weights, before any pass."""


@contextlib.contextmanager
def unused_parameters_allowed():
    """Keep MXNet from listing, in one long warning, the parameters of branches that do not count."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', r'Parameter .* is not (used by any computation|found in the graph)')
        yield


def _check_segments(segments: int, ndim: int) -> None:
    if segments < 1:
        raise UserError(f'num_segments must be at least 1, got {segments!r}')
    if segments > 1 and ndim == 3:
        raise UserError(f'num_segments {segments}: networks on clips take 1; segments are for images (TSN)')
