"""Where in the input a feature comes from: strides and receptive fields, computed from the layers themselves."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Iterator, List, Tuple

from mxnet.gluon import Block
from mxnet.gluon.nn.conv_layers import _Conv, _Pooling

Layer = Tuple[Tuple[int, int], Tuple[int, int], Tuple[int, int]]  # kernel, stride, pad; each (time, space)


@dataclasses.dataclass(frozen=True)
class Geometry:
    """How the positions of a feature volume lie in the clip; pairs are (frames, pixels).

    The feature at index (t, y, x) sees the input within `field / 2` of its centre `offset + stride * index`, in
    coordinates where whole numbers are the middles of frames and pixels (its field may reach beyond the clip: padding).

    Parameters
    ----------
    stride
        input frames and pixels from one position to the next
    field
        size of the receptive field
    offset
        centre of the field of position 0
    """

    stride: Tuple[float, float] = (1, 1)
    field: Tuple[float, float] = (1, 1)
    offset: Tuple[float, float] = (0, 0)

    def then(self, kernel: Tuple[int, int], stride: Tuple[int, int], pad: Tuple[int, int]) -> Geometry:
        """After one more convolution or pooling."""
        axes = list(zip(self.stride, self.field, self.offset, kernel, stride, pad))
        return Geometry(
            stride=tuple(s * by for s, _, _, _, by, _ in axes),
            field=tuple(f + (k - 1) * s for s, f, _, k, _, _ in axes),
            offset=tuple(o + ((k - 1) / 2 - p) * s for s, _, o, k, _, p in axes),
        )

    def upsampled(self) -> Geometry:
        """After bilinear up-sampling by two in space: a position mixes two neighbours, 1/4 and 3/4 of a stride away."""
        (time, space), (field_t, field_s), (offset_t, offset_s) = self.stride, self.field, self.offset
        return Geometry((time, space / 2), (field_t, field_s + 1.5 * space), (offset_t, offset_s - space / 4))

    def recentered(self, offset: Tuple[float, float]) -> Geometry:
        """The same positions on the grid of another volume, with centres at `offset`; the field still covers all."""
        field = tuple(f + 2 * abs(new - old) for f, old, new in zip(self.field, self.offset, offset))
        return Geometry(self.stride, field, offset)

    def center(self, t: int, y: int, x: int) -> Tuple[float, float, float]:
        """Frame and pixel (y, x) of the middle of a position's receptive field."""
        return (
            self.offset[0] + self.stride[0] * t,
            self.offset[1] + self.stride[1] * y,
            self.offset[1] + self.stride[1] * x,
        )


def main_path(block: Block) -> Iterator[Layer]:
    """Convolutions and poolings of a stage in order, without the 1x1 shortcuts of its residual blocks."""
    for name, child in block._children.items():
        if isinstance(child, (_Conv, _Pooling)):
            size = child._kwargs
            yield _time_space(size['kernel'], 1), _time_space(size['stride'], 1), _time_space(size['pad'], 0)
        elif name != 'downsample':
            yield from main_path(child)


def _time_space(size: Tuple[int, ...], image: int) -> Tuple[int, int]:
    """(t, h, w) -> (t, h), and (h, w) -> (`image`, h); all layers here are as high as wide."""
    return (size[0] if len(size) == 3 else image), size[-1]


def geometry(blocks: List[Block]) -> Geometry:
    """Geometry of the features behind these blocks, applied one after another to the input."""
    result = Geometry()
    for layer in _layers(blocks):
        result = result.then(*layer)
    return result


def min_size(blocks: List[Block]) -> Tuple[int, int]:
    """The fewest frames and pixels that leave at least one position behind every layer."""
    layers = _layers(blocks)

    def fits(size, axis):
        for kernel, stride, pad in layers:
            size = (size + 2 * pad[axis] - kernel[axis]) // stride[axis] + 1
            if size < 1:
                return False
        return True

    return tuple(next(size for size in itertools.count(1) if fits(size, axis)) for axis in (0, 1))


def _layers(blocks: List[Block]) -> List[Layer]:
    """The main path through several stages; a stage may be a single pooling layer."""
    return list(main_path(_Wrapped(blocks)))


class _Wrapped:
    """Blocks in a row as one, without becoming their parent."""

    def __init__(self, blocks):
        self._children = dict(enumerate(blocks))
