"""The branches of U2S and its options: universal, mask and category-specific network over one shared bottom.

The file `network.py` draws how they hang together.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Optional, Sequence, Tuple

import mxnet as mx
from mxnet.gluon import HybridBlock

from ...backbones import Backbone
from ...errors import UserError, unknown
from ...nn.consensus import average_scores
from ...nn.mask_gate import MaskedAvgPool, MaskGate
from ...nn.mask_network import MaskNetwork
from ...nn.non_local import NonLocal
from ..branches import Branches, View, new_classifier
from ..contract import Trunk

INITS = ('copy', 'random', 'pretrained')
PARTS = ('universal', 'bridge', 'specific')


@dataclasses.dataclass(frozen=True)
class U2SOptions:
    """Options of `U2S`.

    Parameters
    ----------
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
        'gate': X_C times the gate; 'residual': X_C and that
    gate
        'normalized': of a clip's mask in standard deviations from its mean over the clip, times a learned scale, the
        sigmoid; 'sigmoid': of the mask as it stands, which saturates (see `gluon_fg.nn.MaskGate`)
    regularization
        lambda of eq. 3; 0 switches category regularization off
    similarity
        of the masks' filters in it (eq. 4): 'absolute', 'clipped' or 'signed' cosine (see `gluon_fg.nn.MaskNetwork`)
    specific_init
        'copy': the specific network starts as a copy of the universal one; 'pretrained': its stages start from the
        weights that the universal network's started from before any training, ImageNet's or those of `model.params`;
        'random'
    csm_n
        number of categories that a prediction may be confused with, itself counted, on average; the CSM is made for it
    csm_target
        where csm_n is not given: the smallest n whose top-n accuracy reaches this fraction
    csm_from
        the videos that this accuracy is of: 'held_out', training videos that neither the universal network nor this run
        learns (`data.hold_out`), or 'val', the validation split, often the one that is reported; None: 'held_out' where
        the run holds videos out, else 'val'

    Raises
    ------
    UserError
        a value that means nothing, both a mask network and a non-local block
    """

    predictions: Optional[Sequence[str]] = None
    select: str = 'csm'
    mask_network: Optional[bool] = None
    non_local: bool = False
    mask: str = 'gate'
    gate: str = 'normalized'
    regularization: float = 0.5
    similarity: str = 'absolute'
    specific_init: str = 'copy'
    csm_n: Optional[float] = None
    csm_target: float = 0.85
    csm_from: Optional[str] = None

    def __post_init__(self) -> None:
        if self.specific_init not in INITS:
            raise unknown('specific_init', self.specific_init, INITS)
        if not 0 <= self.regularization < float('inf'):
            raise UserError(f'regularization must be 0 (off) or more, got {self.regularization!r}')
        if self.mask_network and self.non_local:
            raise UserError('non_local takes the place of the mask network; leave out mask_network')
        if self.csm_from not in (None, 'held_out', 'val'):
            raise unknown('csm_from', self.csm_from, ('held_out', 'val'))
        if not 0 < self.csm_target <= 1:
            raise UserError(f'csm_target must be a fraction above 0, at most 1, got {self.csm_target!r}')
        if self.csm_n is not None and not 1 <= self.csm_n < float('inf'):
            raise UserError(f'csm_n must be 1 or more, got {self.csm_n!r}')
        for name in self.counted:
            if name not in self.parts:
                raise unknown('branch in predictions', name, self.parts)
        if not self.counted:
            raise UserError(f'predictions: name at least one of {", ".join(self.parts)}')

    @property
    def has_masks(self) -> bool:
        """Whether there is a mask network."""
        return not self.non_local and self.mask_network in (None, True)

    @property
    def parts(self) -> Tuple[str, ...]:
        """Names of the branches but for the fused one."""
        return PARTS if self.has_masks else ('universal', 'specific')

    @property
    def counted(self) -> Tuple[str, ...]:
        """Names of the branches that the prediction is made of."""
        return self.parts if self.predictions is None else tuple(self.predictions)


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

    def __init__(self, backbone: Backbone, **kwargs: Any):
        super().__init__(**kwargs)
        with self.name_scope():
            self.res4, self.res5 = backbone.new_stage(4), backbone.new_stage(5)

    def hybrid_forward(self, F, f3):
        return self.res5(self.res4(f3))


class U2SBranches(Branches):
    """Fused, universal, bridge (with a mask network), specific; behind them w_regular (with a mask network)."""

    class_blocks = ('classifier', 'masks', 'specific_classifier')

    def __init__(self, backbone: Backbone, trunk: Trunk, options: U2SOptions, **kwargs: Any):
        super().__init__(backbone, trunk, **kwargs)
        ndim, channels = backbone.ndim, backbone.channels[5]
        self._counted = options.counted
        self.masks: Any = None
        self.gate = self.masked_pool = self.non_local = self.masks
        with self.name_scope():
            self.specific = SpecificStages(backbone)
            if options.has_masks:
                self.masks = MaskNetwork(trunk.nclass, channels, options.select, ndim, similarity=options.similarity)
                self.gate, self.masked_pool = MaskGate(options.gate, options.mask), MaskedAvgPool()
            elif options.non_local:
                self.non_local = NonLocal(channels)
            self.specific_classifier = new_classifier(backbone, trunk)

    def universal(self, F, x):
        """F3, X_U and z_U, the last one row a video."""
        _, f3, _, x_u = self.backbone(x)
        return f3, x_u, self.consensus(F, self.global_logits(x_u))

    def select(self, F, x_u, z_u, label):
        """The mask of X_C's frames or clips, before its gate, and z_M of each."""
        given = (z_u,) if label is None else (z_u, label)
        if self._segments > 1:
            given = tuple(F.repeat(of_video, self._segments, axis=0) for of_video in given)
        return self.masks(x_u, *given)

    def hybrid_forward(self, F, x, label=None):
        f3, x_u, z_u = self.universal(F, x)
        x_c, logits = self.specific(f3), {'universal': z_u}
        if self.masks is not None:
            mask, z_m = self.select(F, x_u, z_u, label)
            logits['bridge'] = self.consensus(F, z_m)
            pooled = self.masked_pool(x_c, self.gate(mask))
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

    def extra_inputs(self, label: Optional[mx.nd.NDArray]) -> Tuple[mx.nd.NDArray, ...]:
        """Extra positional inputs of the forward pass: the labels when they select the masks, otherwise none.

        Of soft labels (N, M) the class with the largest share selects; of equal ones the lower.
        """
        if self.masks is None or self.masks.select != 'oracle':
            return ()
        if label is None:
            raise UserError(
                "select 'oracle' takes the true labels: call net(x, label); for videos without labels choose 'csm'"
            )
        soft = isinstance(label, mx.nd.NDArray) and label.ndim == 2
        return (mx.nd.argmax(label, axis=1) if soft else label,)


class UniversalFeatures(View):
    """X_U and z_U of a network; the specific network is not computed."""

    def __init__(self, branches: U2SBranches, **kwargs: Any):
        super().__init__(**kwargs)
        object.__setattr__(self, '_branches', branches)  # no child: its parts are
        self.backbone, self.pool, self.dropout = branches.backbone, branches.pool, branches.dropout
        self.classifier = branches.classifier

    def hybrid_forward(self, F, x):
        _, x_u, z_u = self._branches.universal(F, x)
        return x_u, z_u


class FeatureMaps(UniversalFeatures):
    """X_U, X_C behind its gate, the gate's opening, and the mask of every category before the gate."""

    def __init__(self, branches: U2SBranches, **kwargs: Any):
        super().__init__(branches, **kwargs)
        self.specific, self.masks, self.gate = branches.specific, branches.masks, branches.gate

    def hybrid_forward(self, F, x, label=None):
        f3, x_u, z_u = self._branches.universal(F, x)
        mask, _ = self._branches.select(F, x_u, z_u, label)
        opening = self.gate(mask)
        return x_u, F.broadcast_mul(self._branches.specific(f3), opening), opening
