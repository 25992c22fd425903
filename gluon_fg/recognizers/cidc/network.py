"""CIDC: directional temporal modelling (Li, Shuai and Tighe, ECCV 2020, arXiv:2007.11040).

    clip -> stem .. res3 ----> F3 -> F3' -> CIDC units --.
                 res4 -> F4 -> F4' -> + <- pool, 1x1x1 --'  -> CIDC units --.
                 res5 -> F5 ----------> + <- pool, 1x1x1 -------------------'  -> CIDC units -> F_CIDC
                           F = F5 -.
                                   +-> fused (eq. 2) -> average pool, dropout, dense -> z
                          F_CIDC --'

    F4' = att(F5) F4 + F4, F3' = att(F4') F3 + F3, att = sigmoid of the mean over channels, up-sampled (eq. 3)

    Bidirectional: two of these stacks of units, forward and backward, whose outputs stand one behind the other in time.

Our choices, where the paper is silent: the attention is handed on from stage to stage; a scale's features join before
the next scale's units, in each of the two stacks by weights of its own; the number of units of each scale (see
`CIDCOptions`); and the size of what is added, so that training starts from the backbone's own answers (see
`CIDCNetwork`).
"""

from __future__ import annotations

import dataclasses
import re
import types
from typing import Any, Collection, Dict, Mapping, Optional, Sequence, Tuple, Union

import mxnet as mx
import numpy as np

from ...backbones import Backbone, get_backbone
from ...errors import UserError, unknown
from ...input_spec import InputSpec
from ...nn.cidc import DIRECTIONS, check_normalize
from ...nn.pooling import GlobalAvgPool
from ..base import Recognizer
from ..branches import Branches, View, new_classifier
from ..contract import MapInfo, TimeKernels, Trunk
from .multiscale import BothWays, MultiScale, Scales

FUSIONS = ('time', 'channel', 'sum', 'average')
_UNIT = re.compile(r'^branches\.cidc\.(?:\w+_stack\.)?units(\d)\.(\d+)\.')
SCALES = ((3, 4, 5), (4, 5), (3, 5), (5,))


@dataclasses.dataclass(frozen=True)
class CIDCOptions:
    """Options of `CIDCNetwork`.

    Parameters
    ----------
    frames
        frames of a clip: the units are built for so many
    scales
        stages with CIDC units, of 3, 4 and 5, the last being 5: (5,) is the single-scale network of Table 4a
    units
        CIDC units in a row on each stage of `scales`, in each stack
    direction
        'both', two stacks of units, forward and backward, one behind the other in time at the end (sec. 3.3);
        'forward', 'backward', 'none' (Table 4b); 'mean', blind to order: see `gluon_fg.nn.CIDC`. 'chained': one stack
        of bidirectional units, which take the former's outputs [forward | backward] for a time axis: it scrambles order
    attention
        weight earlier stages by later ones (eq. 3); with one scale there is none to weight
    fusion
        of F and F_CIDC: 'time' (one behind the other), 'channel' (side by side) or 'sum' (eq. 2, Table 5b). 'average':
        as 'time', without the factor that keeps F's size, see `CIDCNetwork`
    normalize
        rescale the units' weights to [-1, 1]: 'kernel', 'row' or False, see `gluon_fg.nn.CIDC`
    out_frames
        T' of each unit and direction; None: as many as the stage has ('chained': half of them)

    Raises
    ------
    UserError
        an unknown direction, fusion, rescaling or scale, or units that do not fit the scales
    """

    frames: int = 32
    scales: Tuple[int, ...] = (3, 4, 5)
    units: Tuple[int, ...] = (1, 1, 6)
    direction: str = 'both'
    attention: bool = True
    fusion: str = 'time'
    normalize: Union[str, bool] = 'kernel'
    out_frames: Optional[int] = None

    def __post_init__(self) -> None:
        if self.direction not in (*DIRECTIONS, 'chained'):
            raise unknown('direction', self.direction, (*DIRECTIONS, 'chained'))
        if self.fusion not in FUSIONS:
            raise unknown('fusion', self.fusion, FUSIONS)
        check_normalize(self.normalize)
        for name in ('scales', 'units'):
            values = getattr(self, name)
            if not isinstance(values, (list, tuple)) or not all(isinstance(value, int) for value in values):
                raise UserError(f'{name} must be a list of whole numbers, one a scale, got {values!r}')
            object.__setattr__(self, name, tuple(values))  # a config has lists
        if self.scales not in SCALES:
            raise UserError(f'scales must be one of {", ".join(map(str, SCALES))}, got {self.scales}')
        if len(self.units) != len(self.scales) or min(self.units) < 1:
            raise UserError(f'units must give 1 or more for each of the scales {self.scales}, got {self.units}')


class _CIDCBranches(Branches):
    """Fused, avg, cidc; see the file's diagram."""

    class_blocks = ('classifier', 'cidc_classifier')

    def __init__(self, backbone: Backbone, trunk: Trunk, options: CIDCOptions, **kwargs: Any):
        super().__init__(backbone, trunk, **kwargs)
        self._stages, self._frames = options.scales, backbone.frames_at(5, options.frames)
        self._fusion = options.fusion
        self.cidc_classifier: Any = None
        with self.name_scope():
            self.cidc = multi_scale(backbone, options)
            self.cidc_pool = GlobalAvgPool()
            if options.fusion == 'channel':
                self.cidc_classifier = new_classifier(backbone, trunk, use_bias=False)
            if options.fusion == 'time':
                ratio = np.full((1, 1), self.cidc.out_frames / self._frames, np.float32)
                self.cidc_scale = self.params.get_constant('cidc_scale', ratio)
        self._share = self._frames / (self._frames + self.cidc.out_frames)

    def hybrid_forward(self, F, x, cidc_scale=None):
        f5, directed = stages_and_cidc(self, x)
        avg = self.pool(f5 if self.backbone.head_pool is None else self.backbone.head_pool(f5))
        cidc = self.cidc_pool(directed)
        z_avg = self.classifier(avg)
        # A dense layer of vectors side by side is the sum of two: the first is then a baseline's, to start from.
        z_cidc = (self.cidc_classifier or self.classifier)(cidc)
        if self._trained in (('avg',), ('cidc',)):
            fused = F.identity(z_avg if self._trained == ('avg',) else z_cidc)  # a graph's outputs must differ
        elif self._fusion == 'channel':
            fused = self.classifier(self.dropout(avg)) + self.cidc_classifier(self.dropout(cidc))
        elif self._fusion == 'sum':
            fused = self.classifier(self.dropout(avg + cidc))
        elif self._fusion == 'time':  # the sum over both one behind the other in time, by F's frames
            fused = self.classifier(self.dropout(avg + F.broadcast_mul(cidc, cidc_scale)))
        else:  # the mean over both one behind the other in time
            fused = self.classifier(self.dropout(self._share * avg + (1 - self._share) * cidc))
        return fused, z_avg, z_cidc

    def check_input(self, x: Any) -> None:
        super().check_input(x)
        if isinstance(x, mx.nd.NDArray) and not self.backbone.given:
            check_frames(self.backbone, x.shape[2], self._frames)


def multi_scale(backbone: Backbone, options: CIDCOptions) -> Union[MultiScale, BothWays]:
    """The CIDC units for a backbone's stages, at the sizes that a clip has there."""
    stages = options.scales
    scales = Scales(
        {stage: backbone.channels[stage] for stage in stages},
        {stage: int(backbone.geometry(stage).stride[1]) for stage in stages},
        {stage: backbone.frames_at(stage, options.frames) for stage in stages},
        dict(zip(stages, options.units)),
    )
    if options.direction == 'both':
        return BothWays(scales, options.attention, options.normalize, options.out_frames)
    return MultiScale(scales, options.attention, options.direction, options.normalize, options.out_frames)


def stages_and_cidc(block, x):
    """F and F_CIDC of an input, by the `backbone` and `cidc` of a block."""
    stages = dict(zip((2, 3, 4, 5), block.backbone(x)))
    return stages[5], block.cidc(*(stages[stage] for stage in block._stages))


def check_frames(backbone: Backbone, frames: int, expected: int) -> None:
    """Refuse clips of another length than the units are built for."""
    if backbone.frames_at(5, frames) != expected:
        fits = [n for n in range(1, 1024) if backbone.frames_at(5, n) == expected]
        raise UserError(
            f'clips of {frames} frames leave {backbone.frames_at(5, frames)} for the CIDC units, which are built for '
            f'{expected}; give clips of {_span(fits)} frames, or build the network with frames={frames}'
        )


def _span(numbers: Sequence[int]) -> str:
    return f'{numbers[0]}' if len(numbers) == 1 else f'{numbers[0]} to {numbers[-1]}'


class FeatureMaps(View):
    """F and F_CIDC of a network, both (N, C, T', H', W')."""

    def __init__(self, branches: _CIDCBranches, **kwargs: Any):
        super().__init__(**kwargs)
        self.backbone, self.cidc, self._stages = branches.backbone, branches.cidc, branches._stages

    def hybrid_forward(self, F, x):
        return stages_and_cidc(self, x)


class CIDCNetwork(Recognizer):
    """The multi-scale CIDC network on a backbone (secs. 3.1 to 3.3).

    Branches: 'fused', the prediction; 'avg' and 'cidc', what its classifier says of the backbone's F and of F_CIDC
    alone. `loss` is the cross-entropy of 'fused' alone.

    It starts from a trained backbone's answers: the last unit's batch norm starts with a small scale, and what fusion
    'time' pools, F and F_CIDC one behind the other, is their sum over time divided by F's number of frames, not by that
    of both. The classifier's weights can absorb that factor, but a trained one's logits would start smaller by it.

    Parameters
    ----------
    trunk
        a backbone on clips, classes; dropout acts on what the classifier reads
    options
        which units on which stages, and how F and F_CIDC are fused

    Inputs:
        - **x**: (N, 3, T, H, W), T as many as leave the frames that the units are built for: `frames`, or a few more

    Outputs:
        - **z_fused**: logits (N, M); `branches` gives (z_fused, z_avg, z_cidc)

    Raises
    ------
    UserError
        an unknown direction, fusion or scale, a backbone on images, clips of a length that does not fit
    """

    activation_names = ('F_CIDC',)

    options_type = CIDCOptions
    trunk_defaults = types.MappingProxyType({'dropout': 0.6})

    def __init__(self, trunk: Trunk, options: Optional[CIDCOptions] = None, **kwargs: Any):
        options = options or CIDCOptions()
        backbone = get_backbone(trunk.backbone, trunk.temporal_downsample)
        if backbone.ndim == 2:
            raise UserError(
                f'backbone {trunk.backbone} sees single images; CIDC needs a network on clips, for example '
                f'r2d_resnet50_v1'
            )
        if not backbone.frames_at(5, options.frames):
            raise UserError(
                f'clips of {options.frames} frames are too short for {trunk.backbone}: '
                f'give at least {backbone.min_size[0]}'
            )
        branches = _CIDCBranches(backbone, trunk, options)
        super().__init__(branches, ('fused', 'avg', 'cidc'), trunk.nclass, **kwargs)
        directions = tuple(DIRECTIONS['both' if options.direction == 'chained' else options.direction])
        self.map_info = types.MappingProxyType({'F5': MapInfo('features'), 'F_CIDC': MapInfo('features', directions)})
        self.input_spec = self.input_spec.replace(frames=options.frames)
        self.add_view('maps', FeatureMaps(branches))

    @classmethod
    def saved_options(cls, names: Collection[str]) -> Dict[str, Any]:
        """Former networks: rows rescaled, 'both' a chain of bidirectional units, an average over time, more units."""
        units = {tuple(map(int, match.groups())) for match in map(_UNIT.search, names) if match}
        if not units:
            return {}
        former: Dict[str, Any] = {}
        if any(name.endswith('_seen') for name in names):
            former['normalize'] = 'row'
        if any(name.startswith('branches.cidc.units') and name.endswith('.backward_weight') for name in names):
            if any(name.startswith('branches.cidc.units') and name.endswith('.forward_weight') for name in names):
                former['direction'] = 'chained'
        if not any(name.startswith(('branches.cidc_scale', 'branches.cidc_classifier')) for name in names):
            former['fusion'] = 'average'
        if former:
            stages = sorted({stage for stage, _ in units})
            former['units'] = tuple(sum(of == stage for of, _ in units) for stage in stages)
        return former

    @classmethod
    def run_options(cls, names: Collection[str], given: Mapping[str, Any]) -> Dict[str, Any]:
        """As every recognizer's; what `direction` both and `normalize` true of former runs are called now."""
        former, options = cls.saved_options(names), dict(given)
        if options.get('direction') == 'both' and 'direction' in former:
            options['direction'] = 'chained'
        if options.get('normalize') is True:
            options['normalize'] = 'row'
        return {**former, **options}

    def loss(self, outputs, label):
        """(N,) cross-entropy of the fused prediction; 'avg' and 'cidc' are read, not trained."""
        return self.named_losses(outputs, label)['fused']

    def maps(self, x: mx.nd.NDArray, label: Optional[mx.nd.NDArray] = None) -> Dict[str, mx.nd.NDArray]:
        """F ('F5') and F_CIDC, both (N, C, T', H', W'), for activation maps (sec. 4.5)."""
        self.branches.check_input(x)
        return dict(zip(('F5', 'F_CIDC'), self.views['maps'](x)))

    def kernels(self) -> Tuple[TimeKernels, ...]:
        """The weights w of every unit in each direction (eq. 5, rescaled)."""
        return tuple(
            TimeKernels(f'stage {stage}, unit {number}, {way}', weights.asnumpy(), seen)
            for stage, number, unit in self.branches.cidc.each_unit()
            for (way, seen), weights in zip(unit.seen().items(), unit.kernel())
        )

    @property
    def input_spec(self) -> InputSpec:
        return self._input_spec

    @input_spec.setter
    def input_spec(self, spec: InputSpec) -> None:
        if spec.ndim == self._ndim:
            check_frames(self.branches.backbone, spec.frames, self.branches._frames)
        self._take_spec(spec)
