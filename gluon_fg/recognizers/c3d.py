"""3D-ConvNet: architecture (b) of Quo Vadis (Carreira and Zisserman, CVPR 2017, arXiv:1705.07750, sec. 2.2).

    x -> C3D's convolutions -> F -> pool -> fc6 4096 -> fc7 4096 -> classifier

"A variation of C3D, which has 8 convolutional layers, 5 pooling layers and 2 fully connected layers at the top. The
inputs to the model are short 16-frame clips with 112 x 112-pixel crops as in the original implementation. Differently
from [it] we used batch normalization after all convolutional and fully connected layers. Another difference to the
original model is in the first pooling layer, we use a temporal stride of 2 instead of 1." It starts from random weights
and is tested on 240 frames, 15 clips. Here 79.6 M parameters for 400 classes; its table 1 has 79 M.

Our choices: fully connected layers slide over what is larger than the views that they are made for (they are
convolutions), and all their positions are averaged; dropout 0.5 behind both, as in the original; values from -1 to 1;
of optical flow, on which the paper has no C3D, the field of each frame.
"""

from __future__ import annotations

import dataclasses
import itertools
import types
from typing import Any, Dict, Optional, Tuple

import mxnet as mx

from ..backbones import C3D, Backbone, get_backbone
from ..backbones.geometry import positions
from ..backbones.inception import conv_norm
from ..errors import UserError
from ..registry import register
from .base import Recognizer
from .baseline import TINY
from .branches import Branches, View
from .contract import FeatureKind, MapInfo, Trunk


@dataclasses.dataclass(frozen=True)
class C3DOptions:
    """Options of `C3DNetwork`: width of both fully connected layers."""

    units: int = 4096


class _C3DBranches(Branches):
    """The logits alone."""

    def __init__(self, backbone: C3D, trunk: Trunk, options: C3DOptions, **kwargs: Any):
        super().__init__(backbone, trunk, features=options.units, **kwargs)
        # Fewer pixels leave less than the fully connected layers span.
        layers = [*backbone.path(5), backbone.head_pool]
        pixels = next(n for n in itertools.count(1) if positions(layers, 1, n) >= max(backbone.grid))
        self._min_size = (self._min_size[0], pixels)
        with self.name_scope():
            self.fc6 = conv_norm(backbone.channels[5], options.units, (1, *backbone.grid), padding=(0, 0, 0))
            self.fc7 = conv_norm(options.units, options.units, (1, 1, 1))

    def volume(self, x):
        """What fc7 gives, (N, units, T', H', W'); a single position for views of the size that it is made for."""
        f5 = self.backbone(x)[3]
        if self.backbone.head_pool is not None:
            f5 = self.backbone.head_pool(f5)
        return self.fc7(self.dropout(self.fc6(f5)))

    def hybrid_forward(self, F, x):
        return (self.classifier(self.pool(self.dropout(self.volume(x)))),)


class _Fc7(View):
    def __init__(self, branches: _C3DBranches, **kwargs: Any):
        super().__init__(**kwargs)
        self.branches = branches

    def hybrid_forward(self, F, x):
        return self.branches.volume(x)


class C3DNetwork(Recognizer):
    """C3D with batch norm behind every layer; its one branch is 'c3d'.

    Parameters
    ----------
    trunk
        a backbone 'c3d...', classes; dropout acts behind both fully connected layers
    options
        width of these

    Inputs:
        - **x**: (N, C, T, H, W), 16 frames of 112x112 pixels in the paper; 9 frames and 97 pixels at least

    Outputs:
        - **z_c3d**: logits (N, M)

    Raises
    ------
    UserError
        another backbone, no unit
    """

    global_branch = 'c3d'
    options_type = C3DOptions
    map_info = types.MappingProxyType({'F5': MapInfo('features'), 'fc7': MapInfo('features')})
    feature_kinds: Tuple[FeatureKind, ...] = (FeatureKind('fc7', None, ('fc7',)),)

    def __init__(self, trunk: Trunk, options: Optional[C3DOptions] = None, **kwargs: Any):
        options = options or C3DOptions()
        if options.units < 1:
            raise UserError(f'units must be at least 1, got {options.units!r}')
        branches = _C3DBranches(_c3d(trunk), trunk, options)
        super().__init__(branches, ('c3d',), trunk.nclass, **kwargs)
        self.add_view('fc7', _Fc7(branches))

    def maps(self, x, label=None):
        return {**super().maps(x, label), 'fc7': self.views['fc7'](x)}

    def global_parameters(self) -> Dict[str, mx.gluon.Parameter]:
        return dict(self._collect_params_with_prefix())  # nothing here is another network's


def _c3d(trunk: Trunk) -> C3D:
    backbone: Backbone = get_backbone(trunk.backbone, trunk.temporal_downsample)
    if not isinstance(backbone, C3D):
        raise UserError(f'backbone {trunk.backbone} has no grid for fully connected layers; choose c3d')
    return backbone


_TINY_C3D: Dict[str, Any] = dict(units=128, **TINY)

# name, method, dataset (None: the user's own), input, backbone
register('c3d_bn_kinetics400', C3DNetwork, 'kinetics400', 'c3d', 'c3d')
register('c3d_bn_minikinetics', C3DNetwork, 'minikinetics', 'c3d', 'c3d')
register('c3d_bn_ucf101', C3DNetwork, 'ucf101', 'c3d', 'c3d')
register('c3d_bn_hmdb51', C3DNetwork, 'hmdb51', 'c3d', 'c3d')
register('c3d_bn_custom', C3DNetwork, None, 'c3d', 'c3d')
register('c3d_bn_flow_kinetics400', C3DNetwork, 'kinetics400', 'c3d_flow', 'c3d_flow')
register('c3d_bn_flow_minikinetics', C3DNetwork, 'minikinetics', 'c3d_flow', 'c3d_flow')
register('c3d_bn_flow_ucf101', C3DNetwork, 'ucf101', 'c3d_flow', 'c3d_flow')
register('c3d_bn_flow_hmdb51', C3DNetwork, 'hmdb51', 'c3d_flow', 'c3d_flow')
register('c3d_bn_flow_custom', C3DNetwork, None, 'c3d_flow', 'c3d_flow')
register('c3d_tiny_custom', C3DNetwork, None, 'tiny_clips', 'c3d_tiny', **_TINY_C3D)
register('c3d_tiny_flow_custom', C3DNetwork, None, 'tiny_fields', 'c3d_tiny_flow', **_TINY_C3D)
