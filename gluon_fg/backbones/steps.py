"""A backbone layer by layer: strides, receptive fields, sizes and parameters, as figures of papers list them."""

from __future__ import annotations

import math
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

from mxnet.gluon import Block
from mxnet.gluon.nn.conv_layers import _Conv

from .geometry import geometry, main_layers, positions


class Step(NamedTuple):
    """A layer, or a block of layers, and what one of its positions is; pairs are (frames, pixels).

    Parameters
    ----------
    name
        structural name of the block: 'res3.1'
    layers
        kinds, windows and strides of the layers on its main path: 'conv 7x7x7 /2x2x2'; of one number each for images
    stride, field
        input frames and pixels from one position to the next, and those that one position sees
    size
        positions along time and along a side, for the clip that was asked for
    parameters
        learned numbers of the block, shortcuts and parallel branches included
    """

    name: str
    layers: str
    stride: Tuple[int, int]
    field: Tuple[int, int]
    size: Tuple[int, int]
    parameters: int

    def as_dict(self) -> Dict[str, Any]:
        """For JSON: the fields, pairs as lists."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in self._asdict().items()}


Named = Tuple[str, Block]


def steps(streams: Sequence[Sequence[Named]], frames: int, pixels: int) -> Iterator[Step]:
    """The layers of a network in order, for clips of so many frames and pixels a side: see `Backbone.steps`.

    Blocks that change nothing about place (batch norm, activations) count to the layer before them; a residual or an
    Inception block is one step, along the branch that sees most. The last step is the mean over height and width that
    ends most networks.

    Parameters
    ----------
    streams
        names and blocks of a network, applied one after another; of several side by side, which lie on one grid, those
        of the first are named, with the parameters of all
    """
    past: List[Block] = []
    for side_by_side in zip(*(_layers(stream) for stream in streams)):
        name, blocks = side_by_side[0]
        past += blocks
        place, size = geometry(past), (positions(past, 0, frames), positions(past, 1, pixels))
        stride, field = ((int(pair[0]), int(pair[1])) for pair in (place.stride, place.field))
        count = sum(_parameters(block) for _, group in side_by_side for block in group)
        yield Step(name, _shown(blocks), stride, field, size, count)
    whole = geometry(past)
    left = positions(past, 1, pixels)
    field = (int(whole.field[0]), int(whole.field[1] + (left - 1) * whole.stride[1]))
    window = f'1x{left}x{left}'
    size = (positions(past, 0, frames), min(left, 1))
    yield Step('average', f'mean {window}', (int(whole.stride[0]), int(whole.stride[1])), field, size, 0)


def _layers(stream: Sequence[Named]) -> List[Tuple[str, List[Block]]]:
    """Each layer with the blocks behind it that change nothing about place; such ones before the first go with it."""
    groups: List[Tuple[str, List[Block]]] = []
    before: List[Block] = []
    for name, block in stream:
        if _shown([block]):
            groups.append((name, [*before, block]))
            before = []
        else:
            (groups[-1][1] if groups else before).append(block)
    return groups


def _shown(blocks: List[Block]) -> str:
    """Layers of the main path in space: 'conv 1x1x1, conv 3x3x3'."""
    texts = []
    for leaf in (leaf for block in blocks for leaf in main_layers(block, 1)):
        size = leaf._kwargs
        kind = 'conv' if isinstance(leaf, _Conv) else size['pool_type']
        stride = '' if set(size['stride']) == {1} else ' /' + 'x'.join(map(str, size['stride']))
        texts.append(f'{kind} {"x".join(map(str, size["kernel"]))}{stride}')
    return ', '.join(texts)


def _parameters(block: Block) -> int:
    return sum(math.prod(p.shape) for p in block.collect_params().values() if p.grad_req != 'null')
