"""CIDC: directional temporal modelling (Li, Shuai and Tighe, ECCV 2020, arXiv:2007.11040).

    clip -> stem .. res3 ----> F3 -> F3' -> CIDC units --.
                 res4 -> F4 -> F4' -> + <- pool, 1x1x1 --'  -> CIDC units --.
                 res5 -> F5 ----------> + <- pool, 1x1x1 -------------------'  -> CIDC units -> F_CIDC
                           F = F5 -.
                                   +-> fused (eq. 2) -> average pool, dropout, dense -> z
                          F_CIDC --'

    F4' = att(F5) F4 + F4, F3' = att(F4') F3 + F3, att = sigmoid of the mean over channels, up-sampled (eq. 3)

What the paper leaves open and is ours: the attention is handed on from stage to stage; a scale's features join before
the next scale's units; the number of units of each scale (see `CIDCNetwork`).
"""

from __future__ import annotations

import types
from typing import Any, Dict, Optional, Sequence

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock, nn

from ..backbones import Backbone, get_backbone
from ..errors import UserError, unknown
from ..input_spec import InputSpec
from ..nn.cidc import CIDC, DIRECTIONS
from ..nn.pooling import GlobalAvgPool
from ..nn.upsample import BilinearUpsample
from ..registry import alias, register
from .base import Recognizer
from .baseline import PRETRAINED, TINY
from .branches import Branches, View
from .contract import MapInfo

FUSIONS = ('time', 'channel', 'sum')
SCALES = ((3, 4, 5), (4, 5), (3, 5), (5,))
_TINY: Dict[str, Any] = dict(units=(1, 1, 1), **TINY)


class SpatialAttention(HybridBlock):
    """Weights an earlier stage by where a later one responds (eq. 3): Bilinear(att(F)) F_x + F_x.

    Both the mean over channels and the spreading of its map over channels are 1x1x1 convolutions with constant weights:
    MXNet's reductions over an inner axis, which broadcasting has in its backward pass, take four times as long.

    Parameters
    ----------
    channels, late_channels
        of F_x and of F
    space, time
        how many times finer F_x is; powers of two in space. In time a map is repeated

    Inputs:
        - **early**: F_x (N, channels, T, H, W)
        - **late**: F (N, late_channels, T / time, H / space, W / space), sizes rounded up

    Outputs:
        - **weighted**: (N, channels, T, H, W)
    """

    def __init__(self, channels: int, late_channels: int, space: int, time: int = 1, **kwargs):
        super().__init__(**kwargs)
        self._channels, self._time = channels, time
        with self.name_scope():
            self.mean = self.params.get_constant('mean', np.full((1, late_channels, 1, 1, 1), 1 / late_channels))
            self.spread = self.params.get_constant('spread', np.ones((channels, 1, 1, 1, 1)))
            self.upsample = nn.HybridSequential()
            for _ in range(space.bit_length() - 1):
                self.upsample.add(BilinearUpsample(1))

    def hybrid_forward(self, F, early, late, mean, spread):
        attention = F.sigmoid(F.Convolution(late, mean, kernel=(1, 1, 1), num_filter=1, no_bias=True))
        weight = self.upsample(attention)
        if self._time > 1:
            weight = F.repeat(weight, self._time, axis=2)
        weight = F.slice_like(weight, early, axes=(2, 3, 4))  # an odd size comes back one longer
        return early * F.Convolution(1 + weight, spread, kernel=(1, 1, 1), num_filter=self._channels, no_bias=True)


class MultiScale(HybridBlock):
    """Stacks of CIDC units on several stages, each joined into the next (sec. 3.2, Fig. 3).

    The last unit of a stage gives as many frames as the next stage has, or a multiple, which that stage's features are
    repeated for: as many as there are directions, where each gives all frames.

    Parameters
    ----------
    channels, strides, frames
        stage -> C, spatial stride and T of its features; the last stage is where F_CIDC comes from
    units
        stage -> CIDC units in a row on it
    attention
        weight earlier stages by later ones first (eq. 3)
    direction, normalize, out_frames
        as for `CIDCNetwork`

    Inputs:
        - **features**: F_x (N, C, T, H, W) of each stage, in order

    Outputs:
        - **y**: F_CIDC (N, C, T', H, W) of the last stage's C, H and W; T' is `out_frames` of this block
    """

    def __init__(
        self,
        channels: Dict[int, int],
        strides: Dict[int, int],
        frames: Dict[int, int],
        units: Dict[int, int],
        attention: bool,
        direction: str,
        normalize: bool,
        out_frames: Optional[int],
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._stages, self._attention, self._repeats = sorted(units), attention, {}
        width, former = None, None  # frames and stage of what is handed on
        with self.name_scope():
            for stage in self._stages:
                if former is not None:
                    space = strides[stage] // strides[former]
                    if attention:
                        time = frames[former] // frames[stage]
                        attend = SpatialAttention(channels[former], channels[stage], space, time)
                        setattr(self, f'attend{former}', attend)
                    setattr(self, f'join{stage}', _join(channels[former], channels[stage], space))
                    if width % frames[stage]:
                        raise UserError(
                            f'out_frames {out_frames} gives {width} frames in all, no multiple of the {frames[stage]} '
                            f'of stage {stage}; leave it out'
                        )
                    self._repeats[stage] = width // frames[stage]
                else:
                    width = frames[stage]
                later = [s for s in self._stages if s > stage]
                stack = nn.HybridSequential()
                with stack.name_scope():
                    for unit in range(units[stage]):
                        last = bool(later) and unit == units[stage] - 1
                        wanted = out_frames
                        if wanted is None:
                            wanted = _each_way(frames[later[0] if last else stage], direction)
                        stack.add(CIDC(channels[stage], width, wanted, direction, normalize))
                        width = stack[-1].out_frames
                setattr(self, f'units{stage}', stack)
                former = stage
        self.out_frames = width

    def hybrid_forward(self, F, *features):
        inputs = dict(zip(self._stages, features))
        if self._attention:
            for early, late in reversed(list(zip(self._stages, self._stages[1:]))):
                inputs[early] = getattr(self, f'attend{early}')(inputs[early], inputs[late])
        y = None
        for stage in self._stages:
            x = inputs[stage]
            if y is not None:
                if self._repeats[stage] > 1:
                    x = F.tile(x, reps=(1, 1, self._repeats[stage], 1, 1))
                x = x + getattr(self, f'join{stage}')(y)
            y = getattr(self, f'units{stage}')(x)
        return y


def _join(in_channels: int, channels: int, space: int) -> HybridBlock:
    """Brings an earlier stage's features to a later one's size: average pooling, then a 1x1x1 convolution."""
    join = nn.HybridSequential()
    with join.name_scope():
        if space > 1:
            window = (1, space, space)
            join.add(nn.AvgPool3D(window, window, ceil_mode=True, count_include_pad=False))
        join.add(nn.Conv3D(channels, 1, in_channels=in_channels, use_bias=False))
    return join


def _each_way(frames: int, direction: str) -> int:
    """Output frames of one direction where all of them together give `frames`."""
    ways = len(DIRECTIONS[direction])
    if frames % ways:
        raise UserError(
            f'direction {direction!r} gives each direction the same share of the {frames} frames of the features; '
            f'choose longer or shorter clips, out_frames, or direction forward'
        )
    return frames // ways


class _CIDCBranches(Branches):
    """Fused, avg, cidc; see the file's diagram."""

    class_blocks = ('classifier', 'cidc_classifier')

    def __init__(self, backbone, nclass, dropout, head_std, num_segments, cidc, stages, frames, fusion, **kwargs):
        super().__init__(backbone, nclass, dropout, head_std, num_segments, **kwargs)
        self._stages, self._frames, self._fusion = stages, frames, fusion
        self._share = frames / (frames + cidc.out_frames)
        self.cidc_classifier = None
        with self.name_scope():
            self.cidc = cidc
            self.cidc_pool = GlobalAvgPool()
            if fusion == 'channel':
                self.cidc_classifier = nn.Dense(
                    nclass,
                    in_units=backbone.channels[5],
                    use_bias=False,
                    weight_initializer=mx.init.Normal(head_std),
                )

    def hybrid_forward(self, F, x):
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
        else:  # the mean over both one behind the other in time
            fused = self.classifier(self.dropout(self._share * avg + (1 - self._share) * cidc))
        return fused, z_avg, z_cidc

    def check_input(self, x) -> None:
        super().check_input(x)
        if isinstance(x, mx.nd.NDArray):
            check_frames(self.backbone, x.shape[2], self._frames)


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

    def __init__(self, branches: _CIDCBranches, **kwargs):
        super().__init__(**kwargs)
        self.backbone, self.cidc, self._stages = branches.backbone, branches.cidc, branches._stages

    def hybrid_forward(self, F, x):
        return stages_and_cidc(self, x)


class CIDCNetwork(Recognizer):
    """The multi-scale CIDC network on a backbone (secs. 3.1 to 3.3).

    Branches: 'fused', the prediction; 'avg' and 'cidc', what its classifier says of the backbone's F and of F_CIDC
    alone. `loss` is the cross-entropy of 'fused' alone.

    Parameters
    ----------
    backbone
        name in `gluon_fg.backbones.BACKBONES` of a network on clips
    nclass
        number of classes, M
    frames
        frames of a clip: the units are built for so many
    scales
        stages with CIDC units, of 3, 4 and 5, the last being 5: (5,) is the single-scale network of Table 4a
    units
        CIDC units in a row on each stage of `scales`
    direction
        'both', 'forward', 'backward', 'none' (Table 4b), or 'mean', blind to order: see `gluon_fg.nn.CIDC`
    attention
        weight earlier stages by later ones (eq. 3); with one scale there is none to weight
    fusion
        of F and F_CIDC: 'time' (one behind the other), 'channel' (side by side) or 'sum' (eq. 2, Table 5b)
    normalize
        rescale the units' weights to [-1, 1]
    out_frames
        T' of each unit and direction; None: all directions together give as many frames as the stage has
    dropout
        share of pooled features dropped before the classifier
    temporal_downsample
        I3D ResNets only: 4 or 8, None for the backbone's own
    num_segments
        1: networks on clips have no segments
    head_std
        standard deviation of the classifier's initial weights

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

    def __init__(
        self,
        backbone: str,
        nclass: int,
        frames: int = 32,
        scales: Sequence[int] = (3, 4, 5),
        units: Sequence[int] = (1, 2, 13),
        direction: str = 'both',
        attention: bool = True,
        fusion: str = 'time',
        normalize: bool = True,
        out_frames: Optional[int] = None,
        dropout: float = 0.6,
        temporal_downsample: Optional[int] = None,
        num_segments: int = 1,
        head_std: float = 0.01,
        **kwargs,
    ):
        if direction not in DIRECTIONS:
            raise unknown('direction', direction, DIRECTIONS)
        if fusion not in FUSIONS:
            raise unknown('fusion', fusion, FUSIONS)
        for name, values in (('scales', scales), ('units', units)):
            if not isinstance(values, (list, tuple)) or not all(isinstance(value, int) for value in values):
                raise UserError(f'{name} must be a list of whole numbers, one a scale, got {values!r}')
        scales, units = tuple(scales), tuple(units)
        if scales not in SCALES:
            raise UserError(f'scales must be one of {", ".join(map(str, SCALES))}, got {scales}')
        if len(units) != len(scales) or min(units) < 1:
            raise UserError(f'units must give 1 or more for each of the scales {scales}, got {units}')
        trunk = get_backbone(backbone, temporal_downsample)
        if trunk.ndim == 2:
            raise UserError(
                f'backbone {backbone} sees single images; CIDC needs a network on clips, for example r2d_resnet50_v1'
            )
        at = {stage: trunk.frames_at(stage, frames) for stage in scales}
        if not at[5]:
            raise UserError(f'clips of {frames} frames are too short for {backbone}: give at least {trunk.min_size[0]}')
        cidc = MultiScale(
            {stage: trunk.channels[stage] for stage in scales},
            {stage: int(trunk.geometry(stage).stride[1]) for stage in scales},
            at,
            dict(zip(scales, units)),
            attention,
            direction,
            normalize,
            out_frames,
        )
        branches = _CIDCBranches(trunk, nclass, dropout, head_std, num_segments, cidc, scales, at[5], fusion)
        super().__init__(branches, ('fused', 'avg', 'cidc'), nclass, **kwargs)
        self.map_info = types.MappingProxyType(
            {'F5': MapInfo('features'), 'F_CIDC': MapInfo('features', tuple(DIRECTIONS[direction]))}
        )
        self.input_spec = self.input_spec.replace(frames=frames)
        self.add_view('maps', FeatureMaps(branches))

    def loss(self, outputs, label):
        """(N,) cross-entropy of the fused prediction; 'avg' and 'cidc' are read, not trained."""
        return self.named_losses(outputs, label)['fused']

    def maps(self, x, label=None) -> Dict[str, mx.nd.NDArray]:
        """F ('F5') and F_CIDC, both (N, C, T', H', W'), for activation maps (sec. 4.5)."""
        self.branches.check_input(x)
        return dict(zip(('F5', 'F_CIDC'), self.views['maps'](x)))

    @property
    def input_spec(self) -> InputSpec:
        return self._input_spec

    @input_spec.setter
    def input_spec(self, spec: InputSpec) -> None:
        if spec.ndim == self._ndim:
            check_frames(self.branches.backbone, spec.frames, self.branches._frames)
        Recognizer.input_spec.fset(self, spec)


# name, method, dataset (None: the user's own), input, backbone
register('i3d_tiny_synthfg_cidc', CIDCNetwork, 'synthfg', 'tiny_clips', 'i3d_tiny', **_TINY)
register('i3d_tiny_custom_cidc', CIDCNetwork, None, 'tiny_clips', 'i3d_tiny', **_TINY)
register('r2d_tiny_synthfg_cidc', CIDCNetwork, 'synthfg', 'tiny_clips', 'r2d_tiny', **_TINY)
register('r2d_tiny_custom_cidc', CIDCNetwork, None, 'tiny_clips', 'r2d_tiny', **_TINY)

# 32 frames leave T = 4 on all but slow-only, whose 8 frames are all kept.
register('r2d_resnet50_v1_kinetics400_cidc', CIDCNetwork, 'kinetics400', 'long', 'r2d_resnet50_v1')
register('r2d_resnet50_v1_sthsthv2_cidc', CIDCNetwork, 'sthsthv2', 'long', 'r2d_resnet50_v1')
register('r2d_resnet50_v1_ucf101_cidc', CIDCNetwork, 'ucf101', 'long', 'r2d_resnet50_v1')
register('r2d_resnet50_v1_hmdb51_cidc', CIDCNetwork, 'hmdb51', 'long', 'r2d_resnet50_v1')
register('r2d_resnet50_v1_custom_cidc', CIDCNetwork, None, 'long', 'r2d_resnet50_v1')
register('r2d_nl_resnet50_v1_kinetics400_cidc', CIDCNetwork, 'kinetics400', 'long', 'r2d_nl_resnet50_v1')
register('r2d_nl_resnet50_v1_sthsthv2_cidc', CIDCNetwork, 'sthsthv2', 'long', 'r2d_nl_resnet50_v1')
register('r2d_nl_resnet50_v1_ucf101_cidc', CIDCNetwork, 'ucf101', 'long', 'r2d_nl_resnet50_v1')
register('r2d_nl_resnet50_v1_hmdb51_cidc', CIDCNetwork, 'hmdb51', 'long', 'r2d_nl_resnet50_v1')
register('r2d_nl_resnet50_v1_custom_cidc', CIDCNetwork, None, 'long', 'r2d_nl_resnet50_v1')
register('i3d_resnet50_v1_kinetics400_cidc', CIDCNetwork, 'kinetics400', 'long', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet50_v1_sthsthv2_cidc', CIDCNetwork, 'sthsthv2', 'long', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet50_v1_ucf101_cidc', CIDCNetwork, 'ucf101', 'long', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet50_v1_hmdb51_cidc', CIDCNetwork, 'hmdb51', 'long', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet50_v1_custom_cidc', CIDCNetwork, None, 'long', 'i3d_resnet50_v1', temporal_downsample=8)
register(
    'i3d_nl5_resnet50_v1_kinetics400_cidc', CIDCNetwork, 'kinetics400', 'long', 'i3d_nl5_resnet50_v1', **PRETRAINED
)
register(
    'i3d_nl5_resnet50_v1_sthsthv2_cidc', CIDCNetwork, 'sthsthv2', 'long', 'i3d_nl5_resnet50_v1', temporal_downsample=8
)
register('i3d_nl5_resnet50_v1_ucf101_cidc', CIDCNetwork, 'ucf101', 'long', 'i3d_nl5_resnet50_v1', temporal_downsample=8)
register('i3d_nl5_resnet50_v1_hmdb51_cidc', CIDCNetwork, 'hmdb51', 'long', 'i3d_nl5_resnet50_v1', temporal_downsample=8)
register('i3d_nl5_resnet50_v1_custom_cidc', CIDCNetwork, None, 'long', 'i3d_nl5_resnet50_v1', temporal_downsample=8)
register('slowonly_resnet50_v1_kinetics400_cidc', CIDCNetwork, 'kinetics400', 'sparse', 'slowonly_resnet50_v1')
register('slowonly_resnet50_v1_sthsthv2_cidc', CIDCNetwork, 'sthsthv2', 'sparse', 'slowonly_resnet50_v1')
register('slowonly_resnet50_v1_ucf101_cidc', CIDCNetwork, 'ucf101', 'sparse', 'slowonly_resnet50_v1')
register('slowonly_resnet50_v1_hmdb51_cidc', CIDCNetwork, 'hmdb51', 'sparse', 'slowonly_resnet50_v1')
register('slowonly_resnet50_v1_custom_cidc', CIDCNetwork, None, 'sparse', 'slowonly_resnet50_v1')

alias('i3d_resnet50_cidc', 'i3d_resnet50_v1_kinetics400_cidc')
alias('i3d_nl_cidc', 'i3d_nl5_resnet50_v1_kinetics400_cidc')
