"""What every recognizer keeps to, so that data, training, evaluation and analysis need not know which one it is."""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Collection, Dict, FrozenSet, Iterable, List, Mapping, Optional, Sequence, Tuple

import mxnet as mx

from ..errors import UserError, unknown
from ..input_spec import FeatureSpec, InputSpec
from ..nn.temporal_shift import set_segments
from ..nn.tracing import unused_parameters_allowed
from .answers import Answers
from .branches import Branches, check_segments
from .contract import NoOptions, PrepareContext, Trunk
from .inspection import Inspectable


class Recognizer(Answers, Inspectable):
    """A network of the zoo: softmax(`net(x)`) is the prediction, `net.branches(x)` gives the logits of every branch.

    Parameters
    ----------
    branches
        its only child
    branch_names
        names of the logits that `branches` returns, in order, the fused prediction first
    nclass
        number of classes, M

    Beside what is listed here it shows features, maps and filters: see `Inspectable`.

    Attributes
    ----------
    name, entry
        the zoo's name, or its publisher's (Gluon's own where it has none); the entry that it was built as, or None
    input_spec
        frames, sizes and scale of a view; may be replaced by one of the same layout. With a `FeatureSpec` the network
        is called with features of a stage of its backbone in place of x, and begins behind it
    protocol, dataset
        name of the test protocol; name of the dataset whose classes it predicts, or None
    weights_source
        where `get_model` took its weights from, in words
    quantized_beside
        beginning of the path of its INT8 forms, beside its weights (`deploy.quantized`); None: weights of no file
    untrained
        structural names of the parameters that no weights trained for this task gave a value; None: all (ImageNet's
        are not for this task)
    global_branch
        name of the branch that backbone and classifier alone compute
    stages, stage
        values that `stage` can have, for networks that are trained part by part, and its value
    takes_labels
        whether the network is called with the true labels behind x, as an upper bound
    auxiliary_names
        names of what `branches` returns behind the logits: scalars of the graph that the loss needs
    options_type, trunk_defaults
        the dataclass of the method's own options; values of `Trunk` where the method differs from its defaults
    moved_settings
        keys of old training configs that are the method's options now -> the options
    """

    global_branch = 'avg'
    entry: Optional[str] = None
    stages: Tuple[str, ...] = ()
    stage: Optional[str] = None
    takes_labels = False
    auxiliary_names: Tuple[str, ...] = ()
    options_type: type = NoOptions
    trunk_defaults: Mapping[str, Any] = types.MappingProxyType({})
    moved_settings: Mapping[str, str] = types.MappingProxyType({})

    def __init__(self, branches: Branches, branch_names: Sequence[str], nclass: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.branch_names, self.nclass = tuple(branch_names), nclass
        self._ndim = branches.backbone.ndim
        self._entry_name: Optional[str] = None
        self._labels: Any = None
        self.dataset: Optional[str] = None
        self.protocol, self.weights_source = 'train_time', 'random weights'
        self.quantized_beside: Optional[str] = None
        self.untrained: Optional[FrozenSet[str]] = None
        self._input_spec = (
            InputSpec()
            if self._ndim == 3
            else InputSpec(frames=1, frame_stride=1, segments=branches._segments, layout='NCHW')
        )
        set_segments(branches, branches._segments)
        self.branches = branches

    @classmethod
    def option_defaults(cls) -> Dict[str, Any]:
        """Option -> default of all that `build` takes beside backbone and number of classes."""
        shared = {f.name: f.default for f in dataclasses.fields(Trunk) if f.name not in ('backbone', 'nclass')}
        return {**shared, **cls.trunk_defaults, **{f.name: f.default for f in dataclasses.fields(cls.options_type)}}

    @classmethod
    def build(cls, backbone: str, nclass: int, **options: Any) -> Recognizer:
        """A network by its options, as `get_model` takes them: those of `Trunk` and of `options_type`, side by side."""
        own = {f.name for f in dataclasses.fields(cls.options_type)}
        trunk = {**cls.trunk_defaults, **{name: value for name, value in options.items() if name not in own}}
        chosen = cls.options_type(**{name: value for name, value in options.items() if name in own})
        recognizer: Any = cls  # whose constructor takes the two records
        return recognizer(Trunk(backbone, nclass, **trunk), chosen)

    @classmethod
    def saved_options(cls, names: Collection[str]) -> Dict[str, Any]:
        """Tell from the names in a parameter file which options its network was built with, other than the defaults.

        Where a default changes, networks built with the new one have other parameters than those before it, so that
        every old file, published or of a run, goes on being what it was.

        Parameters
        ----------
        names
            structural names of the file's parameters

        Returns
        -------
        option -> value; empty for a network that was built with the defaults of today
        """
        return {}

    @classmethod
    def run_options(cls, names: Collection[str], given: Mapping[str, Any]) -> Dict[str, Any]:
        """The options of a run's network: those of its config, beside them those of `saved_options`.

        A method translates here the values that its options once had.

        Parameters
        ----------
        names
            structural names of the run's parameters
        given
            option -> value of the run's own config
        """
        return {**cls.saved_options(names), **given}

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
        self._take_spec(spec)

    def _take_spec(self, spec: InputSpec) -> None:
        if spec.ndim != self._ndim:
            raise UserError(f'{self.name} takes layout {self._input_spec.layout}, not {spec.layout}')
        stage = spec.stage if isinstance(spec, FeatureSpec) else 0
        if stage > self.first_stage:
            raise UserError(
                f'{self.name} reads features of stage {self.first_stage}, so that those of stage {stage} are not '
                f'enough; make features of stage {self.first_stage}'
            )
        if stage != self.branches.backbone.given:
            self.branches.take_features(stage)
            self._clear_cached_op()
        self._input_spec = spec

    @property
    def first_stage(self) -> int:
        """The first of the backbone's stages that a branch reads, 2 to 5: later ones' features are not enough."""
        backbone = self.branches.backbone
        before, backbone.given = backbone.given, 5
        try:  # in a trace the stages before are variables, of which the branches' graph holds those that it reads
            outputs = self.branches(*(mx.sym.var(name) for name in ('data', 'label')[: 1 + self.takes_labels]))
        finally:
            backbone.given = before
        read = set(mx.sym.Group(list(outputs)).list_arguments())
        return next((stage for stage in range(2, 5) if f'F{stage}' in read), 5)

    @property
    def num_segments(self) -> int:
        """Frames of one video in the input, logits averaged (TSN); 1 for clips. Setting it drops cached graphs."""
        return self.branches._segments

    @num_segments.setter
    def num_segments(self, segments: int) -> None:
        check_segments(segments, self._ndim)
        if segments != self.branches._segments:
            set_segments(self.branches, segments)
            self.branches._segments = segments
            self.branches._clear_cached_op()
            self._clear_cached_op()

    # Branches

    @property
    def trained_branches(self) -> Tuple[str, ...]:
        """Names of the branches that the fused prediction is made of: all, where none is set aside as untrained.

        Assigning names (of `branch_names` but for the fused one), or None for all, drops cached graphs; `branches(x)`
        goes on returning every branch. Raises UserError for no or an unknown name. Train with None.
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
    def labels(self, labels: Any) -> None:
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
        """Cross-entropy of each branch (`branch_loss`), (N,) each, in float32; a method may add terms of its own.

        Inputs:
            - **outputs**: what `branches` returned
            - **label**: (N,) integers 0..M-1, of any numeric type, or targets (N, M)
        """
        return {name: self.branch_loss(z, label) for name, z in zip(self.branch_names, outputs)}

    def loss(self, outputs: Sequence[mx.nd.NDArray], label: mx.nd.NDArray) -> mx.nd.NDArray:
        """(N,) training loss of a batch: the sum of the branches' cross-entropies, unless a method has its own.

        Inputs:
            - **outputs**: what `branches` returned, auxiliary outputs included
            - **label**: (N,) or (N, M) as for `named_losses`
        """
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

    def export(self, path: str, epoch: int = 0, remove_amp_cast: bool = True) -> Any:
        """Gluon's own, after everything queued is done: see `save_parameters`.

        The graph holds the branches that count now, and their parameters alone.
        """
        mx.nd.waitall()
        with unused_parameters_allowed():
            return super().export(path, epoch, remove_amp_cast)

    # Training

    def prepare(self, context: PrepareContext) -> None:
        """Make what the method needs of the training set; called once, before a run's first update.

        A run that is resumed before that calls it again; one resumed later has its result in the checkpoint.
        """

    def kept_parameters(self) -> Dict[str, mx.gluon.Parameter]:
        """Structural name -> parameter of what this `stage` of training leaves as it is, and so needs trained."""
        return {}

    def backbone_loaded(self, weights: str = 'trained') -> None:
        """Fill branches that start from the backbone's weights; called whenever it got some, before any pass.

        Parameters
        ----------
        weights
            'random'; 'pretrained', on other classes than these, such as ImageNet's; 'trained', for this very task
        """

    @classmethod
    def needs_pretrained(cls, options: Mapping[str, Any]) -> bool:
        """Whether a branch, with these options, starts from pretrained weights though the backbone has trained ones.

        The first of several stages of training that has this network then loads them once more.
        """
        return False
