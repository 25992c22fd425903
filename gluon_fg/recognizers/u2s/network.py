"""Universal-to-specific networks, U2S (Zhao et al., "Universal-to-Specific Framework for Complex Action Recognition").

    x -> stem .. res3 -> F3 -+-> res4 -> res5 -> X_U -+-> average pool, dropout, dense -> z_U             universal, UN
                             |                        '-> 1x1x1 -> masks of all classes, averages -> z_M  bridge, MN
                             |                                       | those confused with argmax z_U (CSM)
                             '-> res4' -> res5' -> X_C -> gate <- mask -> average pool, ... -> z_C        specific, CSN
    softmax(z) = mean of softmax(z_U), softmax(z_M), softmax(z_C): the prediction (or of some of them, Table I)

The shared part is computed once for both networks. On top-heavy backbones it is the 2-D part, as in the paper; 2-D ones
(TSN, TSM, images), of which the paper says nothing, share the same stages (our choice): stem, res2 and res3.

Training has three stages (sec. IV-B): the universal network alone, which is the backbone's own entry (`Baseline`) and
whose weights fit in here by name; then, with the CSM made by it, the rest (`stage` 'specific'); then all ('joint').

Our choices, where the paper is silent: the gate is the sigmoid of the mask normalized over a clip's positions; the
specific network starts as a copy of the universal one; of several frames of a video (2-D) the whole video's z_U selects
the masks of each; (e) of Table III puts its non-local block behind X_C.
"""

from __future__ import annotations

import types
from typing import Any, Callable, Collection, Dict, List, Mapping, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ...backbones import get_backbone
from ...errors import UserError, unknown
from ...nn.mask_gate import MaskGate
from ...nn.norm import clear_cached_graphs, freeze
from ..base import Recognizer
from ..contract import ClassRelation, FeatureKind, MapInfo, PrepareContext, Trunk
from .branches import FeatureMaps, U2SBranches, U2SOptions, UniversalFeatures
from .prepare import COUNTED, prepare

STAGES = ('specific', 'joint')
_MAPS = types.MappingProxyType(
    {
        'F5': MapInfo('features'),
        'specific': MapInfo('features'),
        'gate': MapInfo('gate'),
        'masks': MapInfo('mask'),
    }
)


class U2S(Recognizer):
    """Universal, mask and category-specific network over one shared bottom (sec. III).

    Branches: 'fused', whose softmax is the mean of the others'; 'universal' (z_U), 'bridge' (z_M), 'specific' (z_C).
    `loss` is eq. 3, L_U + L_C + L_M + regularization * w_regular; stage by stage, see `stage`.

    Parameters
    ----------
    trunk
        backbone, classes and so on; dropout acts on both classifiers
    options
        which masks are selected, what the prediction is made of, and so on

    Attributes
    ----------
    csm
        the CSM's parameter, (M, M), or None without a mask network; the identity until training has built one

    Inputs:
        - **x**: (N, 3, T, H, W), or (N * num_segments, 3, H, W) on a 2-D backbone
        - **label**: (N,) true categories, for the oracle alone; or (N, M), of which the largest counts

    Outputs:
        - **z_fused**: logits (N, M); `branches` gives (z_fused, z_U, z_M, z_C) and behind them w_regular (1,), without
          a mask network neither z_M nor w_regular

    Raises
    ------
    UserError
        an unknown option's value, both a mask network and a non-local block; called as oracle without labels
    """

    global_branch = 'universal'
    takes_multi_label = False  # masks are selected for the single likeliest category
    stages = STAGES
    moved_settings = types.MappingProxyType({'train.csm_n': 'csm_n', 'train.csm_target': 'csm_target'})

    options_type = U2SOptions
    branches: U2SBranches

    def __init__(self, trunk: Trunk, options: Optional[U2SOptions] = None, **kwargs: Any):
        options = options or U2SOptions()
        branches = U2SBranches(get_backbone(trunk.backbone, trunk.temporal_downsample), trunk, options)
        super().__init__(branches, ('fused', *options.parts), trunk.nclass, **kwargs)
        self._options, self._stage, self._has_pretrained = options, 'joint', False
        if options.specific_init == 'pretrained' and branches.backbone.imagenet is None:
            raise UserError(
                f"specific_init 'pretrained': no weights are published for backbone {trunk.backbone}; "
                "choose 'random' or 'copy'"
            )
        self._thaw: Callable[[], None] = lambda: None
        self.takes_labels = options.has_masks and options.select == 'oracle'
        self.add_view('universal', UniversalFeatures(branches))
        universal = FeatureKind('universal', 'universal', ('F5',))
        self.feature_kinds = (universal,)
        if options.has_masks:
            self.auxiliary_names, self.gated_branches = ('regular',), ('specific',)
            self.add_view('maps', FeatureMaps(branches))
            self.map_info = _MAPS
            both = FeatureKind('U2S', None, ('F5', 'specific'))
            self.feature_kinds = (universal, FeatureKind('specific', 'specific', ('specific',)), both)

    def __call__(self, x, label=None):
        self.branches.check_input(x)
        return HybridBlock.__call__(self, x, *self.branches.extra_inputs(label))

    def hybrid_forward(self, F, x, label=None):
        return self.branches(x, label)[0]

    @classmethod
    def saved_options(cls, names: Collection[str]) -> Dict[str, Any]:
        """Networks whose gate was the mask's bare sigmoid had no scale, and their regularization was signed."""
        if 'branches.masks.weight' in names and 'branches.gate.scale' not in names:
            return {'gate': 'sigmoid', 'similarity': 'signed'}
        return {}

    @classmethod
    def run_options(cls, names: Collection[str], given: Mapping[str, Any]) -> Dict[str, Any]:
        """As every recognizer's; a run that names one of the two options is none of the former ones."""
        return dict(given) if {'gate', 'similarity'} & set(given) else super().run_options(names, given)

    @property
    def _default_branches(self) -> Tuple[str, ...]:
        return self.branches._counted

    # Features

    def universal(self, x: mx.nd.NDArray) -> Tuple[mx.nd.NDArray, mx.nd.NDArray]:
        """X_U (N, C, T', H', W'), or (N * num_segments, C, H', W'), and z_U (N, M); the rest is not computed."""
        self.branches.check_input(x)
        return tuple(self.views['universal'](x))

    def maps(self, x: mx.nd.NDArray, label: Optional[mx.nd.NDArray] = None) -> Dict[str, mx.nd.NDArray]:
        """X_U ('F5'); with a mask network also 'specific', X_C behind its gate; 'gate', what X_C is multiplied with;
        and 'masks', every category's mask before the gate.
        """
        self.branches.check_input(x)
        if self.branches.masks is None:
            return super().maps(x)
        x_u, x_c, opening = self.views['maps'](x, *self.branches.extra_inputs(label))
        return {'F5': x_u, 'specific': x_c, 'gate': opening, 'masks': self.branches.masks.masks(x_u)}

    def features(self, x, label=None):
        if self.branches.masks is None:
            return [self.universal(x)[0]]
        self.branches.check_input(x)
        x_u, x_c, _ = self.views['maps'](x, *self.branches.extra_inputs(label))
        return [x_u, x_c, mx.nd.concat(x_u, x_c, dim=1)]

    def class_filters(self) -> Optional[np.ndarray]:
        """The mask network's filters, (M, 1, C), or None without one."""
        return None if self.branches.masks is None else self.branches.masks.filters()[:, None]

    @property
    def gates(self) -> Tuple[MaskGate, ...]:
        return () if self.branches.gate is None else (self.branches.gate,)

    @property
    def class_relation(self) -> Optional[ClassRelation]:
        """The category similarity matrix, or None without a mask network."""
        if self.csm is None:
            return None
        return ClassRelation('CSM', self.csm.data(self.csm.list_ctx()[0]).asnumpy().astype(np.float64), COUNTED)

    def selected_classes(self, predicted: int) -> List[int]:
        """The categories with a value above 0 in the CSM's column; of a real-valued CSM that is nearly all."""
        if self.branches.masks is None or self.branches.masks.select == 'predicted':  # which leaves the CSM aside
            return []
        relation = self.class_relation
        column = np.zeros(self.nclass) if relation is None else relation.matrix[:, predicted]
        return [int(j) for j in np.flatnonzero(column > 0) if j != predicted]

    # Training

    @property
    def csm(self) -> Optional[mx.gluon.Parameter]:
        return None if self.branches.masks is None else self.branches.masks.csm

    def set_csm(self, csm: Any) -> None:
        """Put a category similarity matrix in place: see `gluon_fg.nn.MaskNetwork`."""
        if self.branches.masks is None:
            raise UserError(f'{self.name} was built without a mask network; choose mask_network=True')
        self.branches.masks.set_csm(csm)

    @property
    def real_valued_csm(self) -> bool:
        """Whether the CSM holds similarities (c) or zeros and ones."""
        return self.branches.masks is not None and self.branches.masks.select == 'soft'

    def prepare(self, context: PrepareContext) -> None:
        """Make the CSM by the universal network and the training set (sec. III-A): see `prepare.py`."""
        prepare(self, context, self._options.csm_n, self._options.csm_target, self._options.csm_from)

    def named_losses(self, outputs: Sequence[mx.nd.NDArray], label: mx.nd.NDArray) -> Dict[str, mx.nd.NDArray]:
        """As every recognizer's; with a mask network also 'regular', w_regular (eq. 5) once for each row."""
        named = super().named_losses(outputs, label)
        if self.branches.masks is not None:
            named['regular'] = mx.nd.broadcast_like(outputs[-1].astype('float32'), named['fused'])
        return named

    def loss(self, outputs, label):
        """(N,) eq. 3; in stage 'specific' without L_U, which has nothing to train."""
        named = self.named_losses(outputs, label)
        parts = [named[name] for name in self.branch_names[1:] if name != 'universal' or self._stage == 'joint']
        if self._options.regularization and 'regular' in named:
            parts.append(self._options.regularization * named['regular'])
        return mx.nd.add_n(*parts)

    @property
    def stage(self) -> str:
        """What training changes: 'joint', everything, or 'specific' (the second stage): all but the universal network.

        In stage 'specific' parameters of the backbone and the global classifier have no gradient, and their batch norm
        keeps its statistics and uses them; going back to 'joint' undoes that. Setting it drops cached graphs.
        """
        return self._stage

    @stage.setter
    def stage(self, stage: str) -> None:
        if stage not in STAGES:
            raise unknown(f'training stage of {self.name}', stage, STAGES)
        if stage == self._stage:
            return
        if stage == 'specific':
            self._thaw = freeze(self.branches.backbone, self.branches.classifier)
        else:
            self._thaw()
        self._stage = stage
        clear_cached_graphs(self)

    def kept_parameters(self) -> Dict[str, mx.gluon.Parameter]:
        return self.global_parameters() if self._stage == 'specific' else {}

    @classmethod
    def needs_pretrained(cls, options: Mapping[str, Any]) -> bool:
        return options.get('specific_init') == 'pretrained'

    def backbone_loaded(self, weights: str = 'trained') -> None:
        """See `specific_init`; pretrained weights bring no classifier.

        Raises
        ------
        UserError
            'pretrained', and the backbone has been given trained weights but no pretrained ones before
        """
        branches, init = self.branches, self._options.specific_init
        stages = [(getattr(branches.backbone, f'res{n}'), getattr(branches.specific, f'res{n}')) for n in (4, 5)]
        if init == 'copy':
            _copy([*stages, (branches.classifier, branches.specific_classifier)])
        elif init == 'pretrained' and weights == 'pretrained':
            _copy(stages)
            self._has_pretrained = True
        elif init == 'pretrained' and weights == 'trained' and not self._has_pretrained:
            raise UserError(
                f"specific_init 'pretrained': {self.name} was given no pretrained weights beside the trained ones; "
                "leave out pretrained_base=false, or choose 'random' or 'copy'"
            )


def _copy(pairs: Sequence[Tuple[HybridBlock, HybridBlock]]) -> None:
    """Give the second block of each pair the parameters of the first."""
    for source, copy in pairs:
        given = source._collect_params_with_prefix()
        for name, p in copy._collect_params_with_prefix().items():
            p.set_data(given[name].data())
