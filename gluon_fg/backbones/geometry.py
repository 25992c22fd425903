"""Where in the input a feature comes from: strides and receptive fields, computed from the layers themselves."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Iterator, List, NamedTuple, Tuple

from mxnet.gluon import Block
from mxnet.gluon.contrib.nn import HybridConcurrent
from mxnet.gluon.nn.conv_layers import _Conv, _Pooling

from ..nn.same_padding import SamePadding


class Layer(NamedTuple):
    """A convolution or pooling along one axis.

    `pad` is the padding before the first position; `rounds_up`: how many positions size / stride comes to; `learned`:
    it has a weight.
    """

    kernel: int = 1
    stride: int = 1
    pad: int = 0
    rounds_up: bool = False
    same: bool = False
    learned: bool = False

    def positions(self, size: int) -> int:
        """Positions in its output for a size of its input; 0 where it does not fit."""
        if self.same:
            return -(-size // self.stride)
        rest = size + 2 * self.pad - self.kernel
        if rest < 0:
            return 0
        return (-(-rest // self.stride) if self.rounds_up else rest // self.stride) + 1

    def gradient_is_right(self, size: int) -> bool:
        """Whether MXNet computes the gradient of its weight, this being time and so many frames its input.

        On processors with AVX-512, MXNet 1.9.1's oneDNN writes past its memory where a window begins behind frame 0,
        by less than a stride, and ends behind the last: 3 frames for a kernel of 3, 5 to 7 for one of 7 (stride 2, half
        the kernel as padding). A kernel of 7 is not trusted with fewer either.
        """
        if not self.learned or self.stride == 1:
            return True
        pad = self.kernel // 2 if self.same else self.pad
        begins = range(-pad, size + pad - self.kernel + 1, self.stride)
        past_the_end = any(0 < begin < self.stride and begin + self.kernel > size for begin in begins)
        return not past_the_end and not (self.kernel == 7 and size < 8)


@dataclasses.dataclass(frozen=True)
class Geometry:
    """How the positions of a feature volume lie in the clip; pairs are (frames, pixels).

    The feature at index (t, y, x) sees the input within `field / 2` of its center `offset + stride * index`, in
    coordinates where whole numbers are the middles of frames and pixels (its field may reach beyond the clip: padding).

    Parameters
    ----------
    stride
        input frames and pixels from one position to the next
    field
        size of the receptive field
    offset
        center of the field of position 0
    """

    stride: Tuple[float, float] = (1, 1)
    field: Tuple[float, float] = (1, 1)
    offset: Tuple[float, float] = (0, 0)

    def upsampled(self, time: bool = False) -> Geometry:
        """After linear up-sampling by two in space, and in time where asked.

        A position mixes two neighbors, 1/4 and 3/4 of a stride away.
        """
        (stride_t, stride), (field_t, field), (offset_t, offset) = self.stride, self.field, self.offset
        if time:
            stride_t, field_t, offset_t = stride_t / 2, field_t + 1.5 * stride_t, offset_t - stride_t / 4
        return Geometry((stride_t, stride / 2), (field_t, field + 1.5 * stride), (offset_t, offset - stride / 4))

    def recentered(self, offset: Tuple[float, float]) -> Geometry:
        """The same positions on the grid of another volume, with centers at `offset`; the field still covers all."""
        time, space = (f + 2 * abs(new - old) for f, old, new in zip(self.field, self.offset, offset))
        return Geometry(self.stride, (time, space), offset)

    def center(self, t: int, y: int, x: int) -> Tuple[float, float, float]:
        """Frame and pixel (y, x) of the middle of a position's receptive field."""
        return (
            self.offset[0] + self.stride[0] * t,
            self.offset[1] + self.stride[1] * y,
            self.offset[1] + self.stride[1] * x,
        )


def main_path(block: Block, axis: int) -> Iterator[Layer]:
    """Convolutions and poolings of a stage along time (0) or space (1), in order.

    Of parallel branches it is the one that sees most; shortcuts of residual blocks (1x1) are left out. Non-local blocks
    are left out as well: they see everything.
    """
    return (_layer(leaf, axis) for leaf in main_layers(block, axis))


def main_layers(block: Block, axis: int) -> Iterator[Block]:
    """The blocks of the main path."""
    if isinstance(block, (_Conv, _Pooling)):
        yield block
    elif isinstance(block, HybridConcurrent):
        branches = (list(main_layers(branch, axis)) for branch in block._children.values())
        yield from max(branches, key=lambda leaves: _field([_layer(leaf, axis) for leaf in leaves]))
    else:
        for name, child in block._children.items():
            if name not in ('downsample', 'non_local'):
                yield from main_layers(child, axis)


def _layer(block: Block, axis: int) -> Layer:
    size = block._kwargs
    if axis == 0 and len(size['kernel']) == 2:
        return Layer()  # an image
    at = 0 if axis == 0 else -1  # all networks here see as far up and down as left and right
    kernel, stride, pad = (size[name][at] for name in ('kernel', 'stride', 'pad'))
    learned = isinstance(block, _Conv)
    if isinstance(block, SamePadding):  # of a size that is a multiple of the stride
        return Layer(kernel, stride, (kernel - stride) // 2, same=True, learned=learned)
    return Layer(kernel, stride, pad, rounds_up=size.get('pooling_convention') == 'full', learned=learned)


def _field(layers: List[Layer]) -> int:
    """Size of what one position sees."""
    field = stride = 1
    for layer in layers:
        field += (layer.kernel - 1) * stride
        stride *= layer.stride
    return field


def geometry(blocks: List[Block]) -> Geometry:
    """Geometry of the features behind these blocks, applied one after another to the input.

    Where padding depends on the size (SAME), it is that of sizes which every stride divides; others lie up to half a
    stride further on.
    """
    strides, fields, offsets = [], [], []
    for axis in (0, 1):
        stride, offset, layers = 1, 0.0, _layers(blocks, axis)
        for layer in layers:
            offset += ((layer.kernel - 1) / 2 - layer.pad) * stride
            stride *= layer.stride
        strides.append(stride)
        fields.append(_field(layers))
        offsets.append(offset)
    return Geometry((strides[0], strides[1]), (fields[0], fields[1]), (offsets[0], offsets[1]))


def min_size(blocks: List[Block]) -> Tuple[int, int]:
    """The fewest frames and pixels that leave at least one position behind every layer."""
    frames, pixels = (next(size for size in itertools.count(1) if positions(blocks, axis, size)) for axis in (0, 1))
    return frames, pixels


def positions(blocks: List[Block], axis: int, size: int) -> int:
    """Positions along time (axis 0) or space (1) that blocks leave of an input of a size; 0 where it is too small."""
    for layer in _layers(blocks, axis):
        size = layer.positions(size)
    return size


def gradient_is_right(blocks: List[Block], frames: int) -> bool:
    """Whether clips of so many frames give every weight its gradient: see `Layer.gradient_is_right`."""
    for layer in _layers(blocks, 0):
        if not layer.gradient_is_right(frames):
            return False
        frames = layer.positions(frames)
    return True


def _layers(blocks: List[Block], axis: int) -> List[Layer]:
    """The main path through several stages; a stage may be a single pooling layer."""
    return [layer for block in blocks for layer in main_path(block, axis)]
