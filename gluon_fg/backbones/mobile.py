"""Networks for phones, on images: MobileNetV2 (Sandler et al., CVPR 2018) and EfficientNet-Lite0 (Tan and Le 2019).

Both are stacks of inverted residual blocks between a 3x3 convolution and a 1x1 convolution to 1280 channels:

    stem: conv 3 /2 - block of 16 channels     res2 ... res5: groups of blocks, the first of a stage halves the size
                                               res5 ends with the 1x1 convolution: F5 is what the classifier reads

    block: x -> expand: 1x1, x6 -> depthwise: k x k -> project: 1x1 -> + -> not rectified ("linear bottleneck")
           '--------- as it is, where size and channels stay ---------'

Every convolution has batch norm; the first two of a block, the stem's and the last have ReLU6. The block in the stem
does not expand. F2, F3 and F4 are bottlenecks: few channels (24 to 112), of either sign.

Of EfficientNet the "lite" networks leave out squeeze-and-excitation, and have ReLU6 for swish.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Optional, Sequence

from mxnet.gluon import HybridBlock, nn

from ..nn.norm import batch_norm
from ..nn.relu6 import ReLU6
from ..nn.same_padding import SameConv2D
from .base import Backbone


class Group(NamedTuple):
    """Inverted residual blocks in a row: how many, their channels and depthwise kernel, and the first one's stride."""

    blocks: int
    channels: int
    kernel: int
    stride: int


_STEM, _LAST, _EXPANSION = 32, 1280, 6


class _Units:
    """Makes a network's convolutions, each with batch norm: padded alike, with one epsilon."""

    def __init__(self, same: bool, epsilon: float):
        self._same, self._epsilon = same, epsilon

    def __call__(
        self, in_channels: int, channels: int, kernel: int = 1, stride: int = 1, groups: int = 1, active: bool = True
    ) -> HybridBlock:
        """Convolution (child 0), batch norm (1) and, if `active`, ReLU6."""
        if self._same and stride > 1:
            convolution = SameConv2D(channels, (kernel,) * 2, (stride,) * 2, in_channels, groups=groups)
        else:
            convolution = nn.Conv2D(
                channels, kernel, stride, kernel // 2, groups=groups, use_bias=False, in_channels=in_channels
            )
        unit = nn.HybridSequential(prefix='')
        unit.add(convolution, batch_norm(2, channels, self._epsilon))
        if active:
            unit.add(ReLU6())
        return unit


class InvertedResidual(HybridBlock):
    """Channels are expanded, filtered one by one, and projected to few again: see this file's first lines.

    Parameters
    ----------
    units
        makes its convolutions
    in_channels, channels
        of input and output
    kernel, stride
        of the depthwise convolution
    expansion
        how many times more channels there are inside; 1: none, and no convolution for it

    Inputs:
        - **x**: (N, in_channels, H, W)

    Outputs:
        - **y**: (N, channels, H / stride, W / stride), sizes rounded up
    """

    def __init__(
        self, units: _Units, in_channels: int, channels: int, kernel: int, stride: int, expansion: int, **kwargs: Any
    ):
        super().__init__(**kwargs)
        inside = in_channels * expansion
        self._shortcut = stride == 1 and in_channels == channels
        with self.name_scope():
            self.expand = units(in_channels, inside) if expansion > 1 else None
            self.depthwise = units(inside, inside, kernel, stride, groups=inside)
            self.project = units(inside, channels, active=False)

    def hybrid_forward(self, F, x):
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return y + x if self._shortcut else y


class _Mobile(Backbone):
    """A network of inverted residuals, by the groups of blocks of its stages; `same`: padded as TensorFlow's SAME."""

    def __init__(
        self,
        groups: Mapping[int, Sequence[Group]],
        imagenet: Optional[str] = None,
        same: bool = False,
        epsilon: float = 1e-5,
        **kwargs: Any,
    ):
        channels = {stage: rows[-1].channels for stage, rows in groups.items()}
        super().__init__(2, {**channels, 5: _LAST}, imagenet, **kwargs)
        self._groups, self._units = groups, _Units(same, epsilon)
        self._inputs = {2: 16, **{stage + 1: width for stage, width in channels.items()}}  # of each stage
        with self.name_scope():
            self.stem = self._units(3, _STEM, 3, 2)
            self.stem.add(InvertedResidual(self._units, _STEM, self._inputs[2], 3, 1, expansion=1))
            for stage in groups:
                setattr(self, f'res{stage}', self.make_stage(stage))

    def make_stage(self, stage: int) -> HybridBlock:
        blocks, in_channels = nn.HybridSequential(), self._inputs[stage]
        with blocks.name_scope():
            for group in self._groups[stage]:
                for i in range(group.blocks):
                    stride = group.stride if i == 0 else 1
                    blocks.add(
                        InvertedResidual(
                            self._units, in_channels, group.channels, group.kernel, stride, expansion=_EXPANSION
                        )
                    )
                    in_channels = group.channels
            if stage == 5:
                blocks.add(self._units(in_channels, _LAST))
        return blocks


class MobileNetV2(_Mobile):
    """MobileNetV2 of width 1.0, GluonCV's `mobilenetv2_1.0`: 2.2 M parameters; F2 to F5: 24, 32, 96, 1280 channels."""

    family = 'mobilenetv2'

    def __init__(self, **kwargs: Any):
        groups = {
            2: (Group(2, 24, 3, 2),),
            3: (Group(3, 32, 3, 2),),
            4: (Group(4, 64, 3, 2), Group(3, 96, 3, 1)),
            5: (Group(3, 160, 3, 2), Group(1, 320, 3, 1)),
        }
        super().__init__(groups, 'mobilenetv2_1.0', **kwargs)


class EfficientNetLite0(_Mobile):
    """EfficientNet-Lite0, padded as TensorFlow's SAME: 3.4 M parameters; F2 to F5: 24, 40, 112, 1280 channels."""

    def __init__(self, **kwargs: Any):
        groups = {
            2: (Group(2, 24, 3, 2),),
            3: (Group(2, 40, 5, 2),),
            4: (Group(3, 80, 3, 2), Group(3, 112, 5, 1)),
            5: (Group(4, 192, 5, 2), Group(1, 320, 3, 1)),
        }
        super().__init__(groups, 'efficientnet_lite0_imagenet1k', same=True, epsilon=1e-3, **kwargs)
