"""Discriminative filter banks, DFB (Martinez et al., ICCV 2019, arXiv:1908.07625).

    x -> stem ... res4 -> F4 -> res5  -> F5 -> average pool ------------------> z_avg       global branch, sec. 3.1
                          |'--> res5' -> up-sample x2 -> + -> ReLU -> bank -+-> z_max       local branch, sec. 3.3,
                          '----> 1x1x1, batch norm ------'                  '-> z_xchannel  filter bank, sec. 3.2
    z_comb = z_avg + z_max + z_xchannel, the prediction (of `trained_branches` alone, where some are set aside)

What the paper leaves open, and what we chose: the skip connection is a 1x1x1 convolution with batch norm, added before
a last ReLU (`skip`); where stage 5 halves time too (Inception) it is up-sampled by 2 in time as well; an odd size of F4
comes back one longer and is cut, or one shorter and its last position is repeated; the scales at which the bank starts
(see its docstring) and the global classifier, and `temporal_downsample`, as for the baseline.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Optional, Sequence

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock, nn

from ..backbones import Backbone, Geometry, get_backbone
from ..backbones.geometry import positions
from ..backbones.residual import convolution
from ..errors import UserError, unknown
from ..nn.filter_bank import DiscriminativeFilterBank
from ..nn.norm import batch_norm, deploying
from ..nn.upsample import BilinearUpsample, doubled_onto
from ..registry import alias, register
from .base import Recognizer
from .baseline import PHONE, PRETRAINED, TINY
from .branches import Branches, View
from .contract import Trunk

SKIPS = ('add', 'concat', 'none')


class LocalBranch(HybridBlock):
    """A second stage 5 at the resolution of stage 4 (sec. 3.3).

    Parameters
    ----------
    backbone
        gives the stage's layers; its own stage is not touched
    skip
        how F4 joins: 'add', 'concat' (C channels of each), or 'none'

    Inputs:
        - **f4**: stage-4 features (N, C4, T, H, W), or (N, C4, H, W)

    Outputs:
        - **f_local**: (N, C, T, H, W) with C = `channels`: C5, or 2 C5 with skip 'concat'; not negative

    Raises
    ------
    UserError
        an unknown skip, or a backbone whose stage 5 does not halve height and width, or time otherwise than by half
    """

    def __init__(self, backbone: Backbone, skip: str = 'add', **kwargs: Any):
        super().__init__(**kwargs)
        if skip not in SKIPS:
            raise unknown('skip', skip, SKIPS)
        fine, coarse = backbone.geometry(4).stride, backbone.geometry(5).stride
        steps = tuple(c / f for f, c in zip(fine, coarse))
        if steps[1] != 2 or steps[0] not in (1, 2):
            raise UserError(
                f'{type(backbone).__name__} has strides {fine} at stage 4, {coarse} at stage 5 (time, space); a local '
                f'branch needs space halved, and time kept or halved: choose a ResNet, or local_branch=False'
            )
        c4, c5, ndim = backbone.channels[4], backbone.channels[5], backbone.ndim
        self._skip, self._halves_time, self._ndim = skip, steps[0] == 2, ndim
        self._doubled = tuple(range(2 if self._halves_time else ndim, 2 + ndim))  # axes
        self.channels = 2 * c5 if skip == 'concat' else c5
        with self.name_scope():
            self.stage = backbone.new_stage(5)
            self.upsample = BilinearUpsample(c5, ndim, self._halves_time)
            if skip != 'none':
                self.skip = convolution(c4, c5, (1,) * ndim)
                self.skip_norm = batch_norm(ndim, c5)
        short = {axis: _shortfall(self.stage, 0 if ndim == 3 and axis == 2 else 1) for axis in self._doubled}
        self._repeat = tuple(n for axis in range(2 + ndim) for n in (0, short.get(axis, 0)))

    def hybrid_forward(self, F, f4):
        local = self.stage(f4)
        if deploying():
            local = doubled_onto(F, local, f4, self._ndim, self._halves_time)
        else:
            local = self.upsample(local)
            if any(self._repeat):
                local = F.pad(local, mode='edge', pad_width=self._repeat)
            local = F.slice_like(local, f4, axes=self._doubled)  # an odd size comes back one longer
        if self._skip == 'none':
            return local
        skip = self.skip_norm(self.skip(f4))
        joined = local + skip if self._skip == 'add' else F.concat(local, skip, dim=1)
        return F.Activation(joined, act_type='relu')

    def geometry(self, backbone: Backbone) -> Geometry:
        """Stride, receptive field and offset of f_local, where f4 is this backbone's stage 4.

        The field is the up-sampled stage 5's, which contains that of the skip; the center is the skip's, the grid on
        which the features lie.
        """
        return backbone.geometry(5).upsampled(self._halves_time).recentered(backbone.geometry(4).offset)


def _shortfall(stage: HybridBlock, axis: int) -> int:
    """By how many positions along time (0) or space (1) twice the size of a stage's output is less than its input."""
    return max(0, *(size - 2 * positions([stage], axis, size) for size in range(4, 8)))  # even and odd, above a window


@dataclasses.dataclass(frozen=True)
class DFBOptions:
    """Options of `DFB`.

    Parameters
    ----------
    filter_bank
        False: the global branch alone (GB of Table 1), the one branch being 'avg'
    local_branch
        False: the bank reads F5 itself (GB + DF); None: as `filter_bank`
    skip
        how stage 4 joins the local branch: 'add', 'concat' or 'none'
    filters_per_class
        K, 5 in the paper
    local_init
        'random' (better in sec. 4.2) or 'copy': the local stage 5 starts as a copy of the backbone's
    loss
        'sum' of the branches' cross-entropies (eq. 1); 'mean': a quarter of it, so that what the branches share is
        trained at the rate of a network with a single loss, where the sum's rate is up to four times that

    Raises
    ------
    UserError
        an unknown local_init or loss, a local branch without filter bank
    """

    filter_bank: bool = True
    local_branch: Optional[bool] = None
    skip: str = 'add'
    filters_per_class: int = 5
    local_init: str = 'random'
    loss: str = 'sum'

    def __post_init__(self) -> None:
        if self.local_init not in ('random', 'copy'):
            raise unknown('local_init', self.local_init, ('random', 'copy'))
        if self.loss not in ('sum', 'mean'):
            raise unknown('loss', self.loss, ('sum', 'mean'))
        if self.local_branch and not self.filter_bank:
            raise UserError(
                'local_branch without filter_bank: nothing would read it; choose filter_bank=True or local_branch=False'
            )

    @property
    def has_local(self) -> bool:
        """Whether there is a local branch."""
        return self.filter_bank if self.local_branch is None else self.local_branch


class _DFBBranches(Branches):
    """Comb, avg, max, xchannel; see the file's diagram."""

    class_blocks = ('classifier', 'bank')

    def __init__(self, backbone: Backbone, trunk: Trunk, options: DFBOptions, **kwargs: Any):
        super().__init__(backbone, trunk, **kwargs)
        self.local: Any = None
        self.bank: Any = None
        with self.name_scope():
            if options.has_local:
                self.local = LocalBranch(backbone, options.skip)
            if options.filter_bank:
                in_channels = self.local.channels if self.local is not None else backbone.channels[5]
                filters = options.filters_per_class
                self.bank = DiscriminativeFilterBank(trunk.nclass, in_channels, filters, backbone.ndim)

    def hybrid_forward(self, F, x):
        _, _, f4, f5 = self.backbone(x)
        if self.bank is None:
            return (self.consensus(F, self.global_logits(f5)),)
        z_max, z_xchannel = self.bank(f5 if self.local is None else self.local(f4))
        z_avg, z_max, z_xchannel = (self.consensus(F, z) for z in (self.global_logits(f5), z_max, z_xchannel))
        z_comb = self.sum_of_trained(F, avg=z_avg, max=z_max, xchannel=z_xchannel)
        return z_comb, z_avg, z_max, z_xchannel


class FilterResponses(View):
    """The response of every filter of a network everywhere: its layers up to the filter bank's own convolution."""

    def __init__(self, branches: _DFBBranches, **kwargs: Any):
        super().__init__(**kwargs)
        local = branches.local
        path = branches.backbone.path(5 if local is None else 4) + ([] if local is None else [local])
        self.path = nn.HybridSequential()
        self.path.add(*path, branches.bank.filters)

    def hybrid_forward(self, F, x):
        return self.path(x)


class DFB(Recognizer):
    """Three classifiers over one backbone: global, and two on class-specific local filters (secs. 3.1 to 3.3).

    Branches: 'comb' (their sum, the prediction), 'avg', 'max', 'xchannel'. `loss` is eq. 1: their cross-entropies' sum,
    or their mean (option `loss`).

    Parameters
    ----------
    trunk
        backbone, classes and so on; dropout acts on the global branch
    options
        which branches, and how they are built

    Inputs:
        - **x**: (N, 3, T, H, W), or (N * num_segments, 3, H, W) on a 2-D backbone

    Outputs:
        - **z_comb**: logits (N, M); `branches` gives (z_comb, z_avg, z_max, z_xchannel)
    """

    options_type = DFBOptions

    def __init__(self, trunk: Trunk, options: Optional[DFBOptions] = None, **kwargs: Any):
        options = options or DFBOptions()
        branches = _DFBBranches(get_backbone(trunk.backbone, trunk.temporal_downsample), trunk, options)
        names = ('comb', 'avg', 'max', 'xchannel') if options.filter_bank else ('avg',)
        super().__init__(branches, names, trunk.nclass, **kwargs)
        self._mean_loss = options.loss == 'mean'
        self._copy_stage = options.has_local and options.local_init == 'copy'
        if options.filter_bank:
            self.filters_per_class = options.filters_per_class
            self.add_view('filter_responses', FilterResponses(branches))

    def loss(self, outputs: Sequence[mx.nd.NDArray], label: mx.nd.NDArray) -> mx.nd.NDArray:
        """(N,) eq. 1; with option loss='mean' divided by the number of its terms, four, or one without a bank."""
        total = super().loss(outputs, label)
        return total / len(self.branch_names) if self._mean_loss else total

    def filter_responses(self, x: mx.nd.NDArray) -> mx.nd.NDArray:
        """Response of every filter everywhere, for localization (sec. 5.3): (N, M*K, T, H, W).

        On a 2-D backbone (N * num_segments, M*K, H, W): frames stay apart. Filters of class m are m*K to m*K+K-1; where
        in the input a position lies tells `response_geometry`. Hybridized with the network.
        """
        self._need_bank()
        self.branches.check_input(x)
        return self.views['filter_responses'](x)

    def class_filters(self) -> Optional[np.ndarray]:
        """The bank's filters, (M, K, C), or None without a bank."""
        if self.branches.bank is None:
            return None
        weight = self.branches.bank.filters.weight
        return weight.data(weight.list_ctx()[0]).asnumpy().reshape(self.nclass, self.filters_per_class, -1)

    @property
    def response_geometry(self) -> Geometry:
        """Stride, receptive field and offset of `filter_responses` in the input (see `LocalBranch.geometry`)."""
        self._need_bank()
        backbone, local = self.branches.backbone, self.branches.local
        return backbone.geometry(5) if local is None else local.geometry(backbone)

    def _need_bank(self):
        if self.branches.bank is None:
            raise UserError(f'{self.name} was built without a filter bank; choose filter_bank=True')

    def backbone_loaded(self, weights: str = 'trained') -> None:
        if self._copy_stage:
            source = self.branches.backbone.res5._collect_params_with_prefix()
            for name, p in self.branches.local.stage._collect_params_with_prefix().items():
                p.set_data(source[name].data())


# name, method, dataset (None: the user's own), input, backbone
register('tsn_resnet18_v1b_kinetics400_dfb', DFB, 'kinetics400', 'frames', 'resnet18_v1b', gluoncv=True)
register('tsn_resnet50_v1b_kinetics400_dfb', DFB, 'kinetics400', 'frames', 'resnet50_v1b', gluoncv=True)
register('tsn_resnet101_v1b_kinetics400_dfb', DFB, 'kinetics400', 'frames', 'resnet101_v1b', gluoncv=True)
register('tsn_resnet152_v1b_kinetics400_dfb', DFB, 'kinetics400', 'frames', 'resnet152_v1b', gluoncv=True)
register('tsn_resnet18_v1b_sthsthv1_dfb', DFB, 'sthsthv1', 'frames', 'resnet18_v1b')
register('tsn_resnet50_v1b_sthsthv1_dfb', DFB, 'sthsthv1', 'frames', 'resnet50_v1b')
register('tsn_resnet152_v1b_sthsthv1_dfb', DFB, 'sthsthv1', 'frames', 'resnet152_v1b')
register('tsn_resnet50_v1b_sthsthv2_dfb', DFB, 'sthsthv2', 'frames', 'resnet50_v1b', gluoncv=True)
register('tsn_resnet18_v1b_custom_dfb', DFB, None, 'frames', 'resnet18_v1b')
register('tsn_resnet50_v1b_custom_dfb', DFB, None, 'frames', 'resnet50_v1b')
register('tsn_resnet152_v1b_custom_dfb', DFB, None, 'frames', 'resnet152_v1b')
register('tsn_mobilenetv2_kinetics400_dfb', DFB, 'kinetics400', 'frames', 'mobilenetv2', **PHONE)
register('tsn_mobilenetv2_sthsthv2_dfb', DFB, 'sthsthv2', 'frames', 'mobilenetv2', **PHONE)
register('tsn_mobilenetv2_ucf101_dfb', DFB, 'ucf101', 'frames', 'mobilenetv2', **PHONE)
register('tsn_mobilenetv2_hmdb51_dfb', DFB, 'hmdb51', 'frames', 'mobilenetv2', **PHONE)
register('tsn_mobilenetv2_custom_dfb', DFB, None, 'frames', 'mobilenetv2', **PHONE)
register('tsn_efficientnet_lite0_custom_dfb', DFB, None, 'lite_frames', 'efficientnet_lite0', **PHONE)
register('tsn_tiny_synthfg_dfb', DFB, 'synthfg', 'tiny_frames', 'tiny', **TINY)
register('tsn_tiny_custom_dfb', DFB, None, 'tiny_frames', 'tiny', **TINY)

register('i3d_resnet18_v1_kinetics400_dfb', DFB, 'kinetics400', 'clips', 'i3d_resnet18_v1')
register('i3d_resnet50_v1_kinetics400_dfb', DFB, 'kinetics400', 'clips', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet101_v1_kinetics400_dfb', DFB, 'kinetics400', 'clips', 'i3d_resnet101_v1', **PRETRAINED)
register('i3d_resnet152_v1_kinetics400_dfb', DFB, 'kinetics400', 'clips', 'i3d_resnet152_v1')
register('i3d_resnet18_v1_sthsthv1_dfb', DFB, 'sthsthv1', 'clips', 'i3d_resnet18_v1')
register('i3d_resnet50_v1_sthsthv1_dfb', DFB, 'sthsthv1', 'clips', 'i3d_resnet50_v1')
register('i3d_resnet152_v1_sthsthv1_dfb', DFB, 'sthsthv1', 'clips', 'i3d_resnet152_v1')
register('i3d_resnet50_v1_sthsthv2_dfb', DFB, 'sthsthv2', 'clips', 'i3d_resnet50_v1', **PRETRAINED)
register('i3d_resnet18_v1_custom_dfb', DFB, None, 'clips', 'i3d_resnet18_v1')
register('i3d_resnet50_v1_custom_dfb', DFB, None, 'clips', 'i3d_resnet50_v1')
register('i3d_resnet152_v1_custom_dfb', DFB, None, 'clips', 'i3d_resnet152_v1')
register('i3d_inceptionv1_same_kinetics400_dfb', DFB, 'kinetics400', 'quo_vadis', 'i3d_inceptionv1_same')
register('i3d_inceptionv1_same_ucf101_dfb', DFB, 'ucf101', 'quo_vadis', 'i3d_inceptionv1_same')
register('i3d_inceptionv1_same_hmdb51_dfb', DFB, 'hmdb51', 'quo_vadis', 'i3d_inceptionv1_same')
register('i3d_inceptionv1_same_custom_dfb', DFB, None, 'quo_vadis', 'i3d_inceptionv1_same')
register('i3d_tiny_synthfg_dfb', DFB, 'synthfg', 'tiny_clips', 'i3d_tiny', **TINY)
register('i3d_tiny_custom_dfb', DFB, None, 'tiny_clips', 'i3d_tiny', **TINY)

register('mobilenetv2_custom_images_dfb', DFB, None, 'images', 'mobilenetv2', **PHONE)
register('efficientnet_lite0_custom_images_dfb', DFB, None, 'lite_images', 'efficientnet_lite0', **PHONE)

alias('i3d_resnet50_dfb', 'i3d_resnet50_v1_kinetics400_dfb')
