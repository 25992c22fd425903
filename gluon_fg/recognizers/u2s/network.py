"""Universal-to-specific networks, U2S (Zhao et al., "Universal-to-Specific Framework for Complex Action Recognition").

    x -> stem .. res3 -> F3 -+-> res4 -> res5 -> X_U -+-> average pool, dropout, dense -> z_U             universal, UN
                             |                        '-> 1x1x1 -> masks of all classes, averages -> z_M  bridge, MN
                             |                                       | those confused with argmax z_U (CSM)
                             '-> res4' -> res5' -> X_C -> gate <- mask -> average pool, ... -> z_C        specific, CSN
    softmax(z) = mean of softmax(z_U), softmax(z_M), softmax(z_C): the prediction (or of some of them, Table I)

The shared part is computed once for both networks. On top-heavy backbones it is the 2-D part, as in the paper; 2-D ones
(TSN, TSM, images), of which the paper says nothing, share the same stages (ours): stem, res2 and res3.

Training has three stages (sec. IV-B): the universal network alone, which is the backbone's own entry (`Baseline`) and
whose weights fit in here by name; then, with the CSM made by it, the rest (`stage` 'specific'); then all ('joint').

What the paper leaves open and is ours: the gate is the mask's sigmoid; the specific network starts as a copy of the
universal one; of several frames of a video (2-D) the whole video's z_U selects the masks of each; (e) of Table III puts
its non-local block behind X_C.
"""

from __future__ import annotations

import types
from typing import Dict, List, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock, nn

from ...backbones import Backbone, get_backbone
from ...errors import UserError, unknown
from ...nn.consensus import average_scores
from ...nn.mask_network import MaskedAvgPool, MaskGate, MaskNetwork
from ...nn.non_local import NonLocal
from ...nn.norm import clear_cached_graphs, freeze
from ..base import Recognizer
from ..branches import Branches, View
from ..contract import ClassRelation, FeatureKind, MapInfo, PrepareContext
from .prepare import prepare

PARTS = ('universal', 'bridge', 'specific')
STAGES = ('specific', 'joint')
_MAPS = types.MappingProxyType(
    {
        'F5': MapInfo('features'),
        'specific': MapInfo('features'),
        'gate': MapInfo('gate'),
        'masks': MapInfo('mask'),
    }
)


class SpecificStages(HybridBlock):
    """Stages 4 and 5 a second time, over the same stage-3 features.

    Parameters
    ----------
    backbone
        gives the stages' layers; its own stages are not touched

    Inputs:
        - **f3**: stage-3 features

    Outputs:
        - **x_c**: X_C, of the size of the backbone's stage 5
    """

    def __init__(self, backbone: Backbone, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.res4, self.res5 = backbone.new_stage(4), backbone.new_stage(5)

    def hybrid_forward(self, F, f3):
        return self.res5(self.res4(f3))


class _U2SBranches(Branches):
    """Fused, universal, bridge (with a mask network), specific; behind them w_regular (with a mask network)."""

    class_blocks = ('classifier', 'masks', 'specific_classifier')

    def __init__(self, backbone, nclass, dropout, head_std, num_segments, bridge, select, mask, counted, **kwargs):
        super().__init__(backbone, nclass, dropout, head_std, num_segments, **kwargs)
        ndim, channels = backbone.ndim, backbone.channels[5]
        self._counted = counted
        self.masks = self.gate = self.masked_pool = self.non_local = None
        with self.name_scope():
            self.specific = SpecificStages(backbone)
            if bridge == 'masks':
                self.masks = MaskNetwork(nclass, channels, select, ndim)
                self.gate, self.masked_pool = MaskGate(mask), MaskedAvgPool(mask)
            elif bridge == 'non_local':
                self.non_local = NonLocal(channels)
            self.specific_classifier = nn.Dense(nclass, in_units=channels, weight_initializer=mx.init.Normal(head_std))

    def universal(self, F, x):
        """F3, X_U and z_U, the last one row a video."""
        _, f3, _, x_u = self.backbone(x)
        return f3, x_u, self.consensus(F, self.global_logits(x_u))

    def select(self, F, x_u, z_u, label):
        """The mask of X_C's frames or clips, before its gate, and z_M of each."""
        given = (z_u,) if label is None else (z_u, label)
        if self._segments > 1:
            given = [F.repeat(of_video, self._segments, axis=0) for of_video in given]
        return self.masks(x_u, *given)

    def hybrid_forward(self, F, x, label=None):
        f3, x_u, z_u = self.universal(F, x)
        x_c, logits = self.specific(f3), {'universal': z_u}
        if self.masks is not None:
            mask, z_m = self.select(F, x_u, z_u, label)
            logits['bridge'] = self.consensus(F, z_m)
            pooled = self.masked_pool(x_c, mask)
        elif self.non_local is not None:
            # An image is a clip of one frame.
            pooled = self.pool(
                self.non_local(x_c)
                if self.backbone.ndim == 3
                else F.squeeze(self.non_local(F.expand_dims(x_c, axis=2)), axis=2)
            )
        else:
            pooled = self.pool(x_c)
        logits['specific'] = self.consensus(F, self.specific_classifier(self.dropout(pooled)))
        counted = [z for name, z in logits.items() if name in (self._trained or self._counted)]
        outputs = (average_scores(F, *counted), *logits.values())
        if self.masks is None:
            return outputs
        # In this very graph, not beside it: see `MaskNetwork.regularization`.
        return (*outputs, self.masks.regularization(F, x.context if F is mx.nd else None))

    def __call__(self, x, label=None):
        self.check_input(x)
        out = HybridBlock.__call__(self, x, *self.extra_inputs(label))
        return tuple(out) if isinstance(out, list) else out

    def extra_inputs(self, label) -> tuple:
        """Extra positional inputs of the forward pass: the labels when they select the masks, otherwise none."""
        if self.masks is None or self.masks.select != 'oracle':
            return ()
        if label is None:
            raise UserError(
                "select 'oracle' takes the true labels: call net(x, label); for videos without labels choose 'csm'"
            )
        return (label,)


class UniversalFeatures(View):
    """X_U and z_U of a network; the specific network is not computed."""

    def __init__(self, branches: _U2SBranches, **kwargs):
        super().__init__(**kwargs)
        object.__setattr__(self, '_branches', branches)  # no child: its parts are
        self.backbone, self.pool, self.dropout = branches.backbone, branches.pool, branches.dropout
        self.classifier = branches.classifier

    def hybrid_forward(self, F, x):
        _, x_u, z_u = self._branches.universal(F, x)
        return x_u, z_u


class FeatureMaps(UniversalFeatures):
    """X_U, X_C behind its gate, the gate's opening, and the mask of every category before the gate."""

    def __init__(self, branches: _U2SBranches, **kwargs):
        super().__init__(branches, **kwargs)
        self.specific, self.masks, self.gate = branches.specific, branches.masks, branches.gate

    def hybrid_forward(self, F, x, label=None):
        f3, x_u, z_u = self._branches.universal(F, x)
        mask, _ = self._branches.select(F, x_u, z_u, label)
        return x_u, self.gate(self._branches.specific(f3), mask), self.gate.opening(F, mask)


class U2S(Recognizer):
    """Universal, mask and category-specific network over one shared bottom (sec. III).

    Branches: 'fused', whose softmax is the mean of the others'; 'universal' (z_U), 'bridge' (z_M), 'specific' (z_C).
    `loss` is eq. 3, L_U + L_C + L_M + regularization * w_regular; stage by stage, see `stage`.

    Parameters
    ----------
    backbone
        name in `gluon_fg.backbones.BACKBONES`
    nclass
        number of classes, M
    predictions
        branches that the prediction is made of (Table I); None: all. `loss` trains all in any case
    select
        which masks are averaged (Table III): 'csm' (a), 'predicted' (b), 'soft' (c) or 'oracle' (f), which needs
        labels: `net(x, label)`
    mask_network
        False: an ensemble of the two other networks (d); None: True, unless `non_local`
    non_local
        a non-local block on X_C in place of the mask network (e)
    mask
        'gate': X_C times the mask's sigmoid; 'residual': X_C and that
    regularization
        lambda of eq. 3; 0 switches category regularization off
    specific_init
        'copy': the specific network starts as a copy of the universal one; 'random'
    csm_n
        number of categories that a prediction may be confused with, itself counted, on average; the CSM is made for it
    csm_target
        where csm_n is not given: the smallest n whose top-n accuracy reaches this fraction
    dropout, temporal_downsample, num_segments, head_std
        as for `Baseline`; dropout acts on both classifiers

    Attributes
    ----------
    csm
        the CSM's parameter, (M, M), or None without a mask network; the identity until training has built one

    Inputs:
        - **x**: (N, 3, T, H, W), or (N * num_segments, 3, H, W) on a 2-D backbone
        - **label**: (N,) true categories, for the oracle alone

    Outputs:
        - **z_fused**: logits (N, M); `branches` gives (z_fused, z_U, z_M, z_C) and behind them w_regular (1,), without
          a mask network neither z_M nor w_regular

    Raises
    ------
    UserError
        an unknown option's value, both a mask network and a non-local block; called as oracle without labels
    """

    global_branch = 'universal'
    stages = STAGES
    moved_settings = types.MappingProxyType({'train.csm_n': 'csm_n', 'train.csm_target': 'csm_target'})

    def __init__(
        self,
        backbone: str,
        nclass: int,
        predictions: Optional[Sequence[str]] = None,
        select: str = 'csm',
        mask_network: Optional[bool] = None,
        non_local: bool = False,
        mask: str = 'gate',
        regularization: float = 0.5,
        specific_init: str = 'copy',
        csm_n: Optional[float] = None,
        csm_target: float = 0.85,
        dropout: float = 0.5,
        temporal_downsample: Optional[int] = None,
        num_segments: int = 1,
        head_std: float = 0.01,
        **kwargs,
    ):
        if specific_init not in ('copy', 'random'):
            raise unknown('specific_init', specific_init, ('copy', 'random'))
        if not 0 <= regularization < float('inf'):
            raise UserError(f'regularization must be 0 (off) or more, got {regularization!r}')
        if mask_network and non_local:
            raise UserError('non_local takes the place of the mask network; leave out mask_network')
        bridge = 'non_local' if non_local else 'masks' if mask_network in (None, True) else None
        parts = PARTS if bridge == 'masks' else ('universal', 'specific')
        predictions = parts if predictions is None else tuple(predictions)
        for name in predictions:
            if name not in parts:
                raise unknown('branch in predictions', name, parts)
        if not 0 < csm_target <= 1:
            raise UserError(f'csm_target must be a fraction above 0, at most 1, got {csm_target!r}')
        if csm_n is not None and not 1 <= csm_n < float('inf'):
            raise UserError(f'csm_n must be 1 or more, got {csm_n!r}')
        if not predictions:
            raise UserError(f'predictions: name at least one of {", ".join(parts)}')
        branches = _U2SBranches(
            get_backbone(backbone, temporal_downsample),
            nclass,
            dropout,
            head_std,
            num_segments,
            bridge,
            select,
            mask,
            predictions,
        )
        super().__init__(branches, ('fused', *parts), nclass, **kwargs)
        self._regularization, self._copy = regularization, specific_init == 'copy'
        self._csm_n, self._csm_target = csm_n, csm_target
        self._stage, self._thaw = 'joint', None
        self.add_view('universal', UniversalFeatures(branches))
        universal = FeatureKind('universal', 'universal', ('F5',))
        self.feature_kinds = (universal,)
        if bridge == 'masks':
            self.auxiliary_names = ('regular',)
            self.add_view('maps', FeatureMaps(branches))
            self.map_info = _MAPS
            both = FeatureKind('U2S', None, ('F5', 'specific'))
            self.feature_kinds = (universal, FeatureKind('specific', 'specific', ('specific',)), both)

    def __call__(self, x, label=None):
        self.branches.check_input(x)
        return HybridBlock.__call__(self, x, *self.branches.extra_inputs(label))

    def hybrid_forward(self, F, x, label=None):
        return self.branches(x, label)[0]

    @property
    def _default_branches(self) -> Tuple[str, ...]:
        return self.branches._counted

    # Features

    def universal(self, x) -> Tuple[mx.nd.NDArray, mx.nd.NDArray]:
        """X_U (N, C, T', H', W'), or (N * num_segments, C, H', W'), and z_U (N, M); the rest is not computed."""
        self.branches.check_input(x)
        return tuple(self.views['universal'](x))

    def maps(self, x, label=None) -> Dict[str, mx.nd.NDArray]:
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
    def class_relation(self) -> Optional[ClassRelation]:
        """The category similarity matrix, or None without a mask network."""
        if self.csm is None:
            return None
        return ClassRelation('CSM', self.csm.data(self.csm.list_ctx()[0]).asnumpy().astype(np.float64))

    def selected_classes(self, predicted: int) -> List[int]:
        """The categories with a value above 0 in the CSM's column; of a real-valued CSM that is nearly all."""
        if self.branches.masks is None or self.branches.masks.select == 'predicted':  # which leaves the CSM aside
            return []
        column = self.class_relation.matrix[:, predicted]
        return [int(j) for j in np.flatnonzero(column > 0) if j != predicted]

    # Training

    @property
    def takes_labels(self) -> bool:
        return self.branches.masks is not None and self.branches.masks.select == 'oracle'

    @property
    def csm(self) -> Optional[mx.gluon.Parameter]:
        return None if self.branches.masks is None else self.branches.masks.csm

    def set_csm(self, csm) -> None:
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
        prepare(self, context, self._csm_n, self._csm_target)

    def named_losses(self, outputs, label) -> Dict[str, mx.nd.NDArray]:
        """As every recognizer's; with a mask network also 'regular', w_regular (eq. 5) once for each row."""
        named = super().named_losses(outputs, label)
        if self.branches.masks is not None:
            named['regular'] = mx.nd.broadcast_like(outputs[-1].astype('float32'), named['fused'])
        return named

    def loss(self, outputs, label):
        """(N,) eq. 3; in stage 'specific' without L_U, which has nothing to train."""
        named = self.named_losses(outputs, label)
        parts = [named[name] for name in self.branch_names[1:] if name != 'universal' or self._stage == 'joint']
        if self._regularization and 'regular' in named:
            parts.append(self._regularization * named['regular'])
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

    def backbone_loaded(self) -> None:
        if not self._copy:
            return
        branches = self.branches
        for own, copy in (
            (branches.backbone.res4, branches.specific.res4),
            (branches.backbone.res5, branches.specific.res5),
            (branches.classifier, branches.specific_classifier),
        ):
            source = own._collect_params_with_prefix()
            for name, p in copy._collect_params_with_prefix().items():
                p.set_data(source[name].data())
