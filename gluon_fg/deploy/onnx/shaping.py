"""Operators of MXNet that move numbers about, in ONNX: shapes, axes, slices, joins.

Shapes are those that MXNet infers, so the many codes of its reshape need no reading; the one size that grows with the
batch is left open.
"""

from __future__ import annotations

import dataclasses
from typing import Dict, List, Optional, Tuple

import numpy as np
from onnx import numpy_helper

from .graph import BATCH, Graph, Value
from .node import Convert, Node, cannot

_INT_MAX = np.iinfo('int64').max


def reshape(graph: Graph, node: Node) -> Value:
    """Any operator that gives the same numbers, in the same order, another shape."""
    return reshaped(graph, node, node.inputs[0], node.shape)


def reshaped(graph: Graph, node: Node, data: Value, shape: Tuple[int, ...]) -> Value:
    """A value in another shape; the batch may be in one of its sizes, anywhere."""
    if data.shape == shape:
        return data
    if list(shape).count(BATCH) > 1:
        raise cannot(node, f'a shape of two sizes that grow with the batch, {shape}')
    if data.array is not None:
        return Value(f'{data.name}.{node.name}', shape, data.array.reshape(shape))
    name = graph.add('Reshape', node.name, data, np.array(shape, 'int64'))
    return Value(name, shape, zero=data.zero)


def transpose(graph: Graph, node: Node) -> str:
    """Axes in another order."""
    axes = node.numbers('axes') or tuple(reversed(range(node.inputs[0].ndim)))
    return graph.add('Transpose', node.name, node.inputs[0], perm=axes)


def swap_axes(graph: Graph, node: Node) -> str:
    """Two axes in each other's place."""
    axes = list(range(node.inputs[0].ndim))
    first, second = node.axis(0, 'dim1'), node.axis(0, 'dim2')
    axes[first], axes[second] = axes[second], axes[first]
    return graph.add('Transpose', node.name, node.inputs[0], perm=axes)


Bound = Tuple[Optional[int], Optional[int], int]  # begin, end, step


def slice_(graph: Graph, node: Node) -> Value:
    """A part along several axes, forward or backward."""
    begin, end, step = (node.numbers(key) for key in ('begin', 'end', 'step'))
    steps = [n or 1 for n in step] or [1] * len(begin)
    value = sliced(graph, node, dict(enumerate(zip(begin, end, steps))))
    turned = node.turned_axes()
    return dataclasses.replace(value, turned=(node.inputs[0], turned)) if turned else value


def slice_axis(graph: Graph, node: Node) -> Value:
    """A part along one axis."""
    end = node.numbers('end')
    return sliced(graph, node, {node.axis(0): (node.number_of('begin'), end[0] if end else None, 1)})


def slice_like(graph: Graph, node: Node) -> Value:
    """The start along some axes, as long as another value is there."""
    like = node.inputs[1].shape
    axes = node.axes('axes')
    if any(like[axis] == BATCH != node.inputs[0].shape[axis] for axis in axes):
        raise cannot(node, 'a part as long as the batch')
    return sliced(graph, node, {axis: (0, like[axis], 1) for axis in axes if like[axis] != BATCH})


def sliced(graph: Graph, node: Node, bounds: Dict[int, Bound]) -> Value:
    """A part of a node's input, by axis; an axis that is taken whole costs nothing."""
    data = node.inputs[0]
    real = {
        axis: bound
        for axis, bound in bounds.items()
        if not (bound[0] in (None, 0) and bound[2] == 1 and bound[1] in (None, data.shape[axis]))
        or (data.shape[axis] == BATCH and bound[1] is not None)
    }
    if not real:
        return data
    if data.array is not None:
        parts = [slice(*bounds.get(axis, (None,))) for axis in range(data.ndim)]
        return Value(f'{data.name}.{node.name}', node.shape, data.array[tuple(parts)])
    starts = [b if b is not None else (0 if step > 0 else _INT_MAX) for b, _, step in real.values()]
    ends = [e if e is not None else (_INT_MAX if step > 0 else -_INT_MAX) for _, e, step in real.values()]
    numbers = [np.array(n, 'int64') for n in (starts, ends, list(real), [step for _, _, step in real.values()])]
    return node.value(graph.add('Slice', node.name, data, *numbers), zero=data.zero)


def concat(graph: Graph, node: Node) -> Value:
    """Several values one behind another."""
    axis, arrays = node.axis(1, 'dim'), [value.array for value in node.inputs]
    known = [array for array in arrays if array is not None]
    if len(known) == len(arrays):
        return node.value(node.name, array=np.concatenate(known, axis))
    return node.value(graph.add('Concat', node.name, *node.inputs, axis=axis))


def stack(graph: Graph, node: Node) -> str:
    """Several values along a new axis."""
    axis = node.axis(0, ndim=node.inputs[0].ndim + 1)
    spread = [graph.add('Unsqueeze', f'{node.name}.part', x, np.array([axis], 'int64')) for x in node.inputs]
    return graph.add('Concat', node.name, *spread, axis=axis)


def split(graph: Graph, node: Node) -> List[Value]:
    """Equal parts along an axis."""
    axis, parts = node.axis(1), node.number_of('num_outputs')
    if parts == 1:
        return [reshaped(graph, node, node.inputs[0], node.shape)]
    names = graph.add('Split', node.name, node.inputs[0], outputs=parts, axis=axis)
    if node.flag('squeeze_axis'):
        names = [graph.add('Squeeze', f'{node.name}.part', name, np.array([axis], 'int64')) for name in names]
    return [Value(name, shape) for name, shape in zip(names, node.shapes)]


def repeat(graph: Graph, node: Node) -> Value:
    """Every position along an axis several times in a row."""
    data, times = node.inputs[0], node.number_of('repeats')
    if not node.numbers('axis'):
        raise cannot(node, 'no axis')
    axis = node.axis(0)
    spread = graph.add('Unsqueeze', f'{node.name}.spread', data, np.array([axis + 1], 'int64'))
    tiles = [times if i == axis + 1 else 1 for i in range(data.ndim + 1)]
    tiled = graph.add('Tile', f'{node.name}.tiled', spread, np.array(tiles, 'int64'))
    return node.value(graph.add('Reshape', node.name, tiled, np.array(node.shape, 'int64')))


def tile(graph: Graph, node: Node) -> str:
    """The whole several times along axes."""
    data, times = node.inputs[0], node.numbers('reps')
    if len(times) > data.ndim:
        raise cannot(node, f'reps {times} of {data.ndim} axes')
    reps = (1,) * (data.ndim - len(times)) + times
    return graph.add('Tile', node.name, data, np.array(reps, 'int64'))


def broadcast(graph: Graph, node: Node) -> Value:
    """Axes of one position in as many as wanted."""
    data = node.inputs[0]
    if data.shape == node.shape:
        return data
    if data.ndim != node.value('').ndim:
        raise cannot(node, 'another number of axes')
    if any(out == BATCH != size for size, out in zip(data.shape, node.shape)):
        raise cannot(node, 'an axis as long as the batch')
    sizes = np.array([1 if out == BATCH else out for out in node.shape], 'int64')
    return node.value(graph.add('Expand', node.name, data, sizes), zero=data.zero)


def filled(number: float) -> Convert:
    """Make the function of an operator that gives a value's shape filled with a number."""

    def convert(graph: Graph, node: Node) -> Value:
        if BATCH not in node.shape:
            return node.value(node.name, array=np.full(node.shape, number, 'float32'), zero=number == 0)
        shape = graph.add('Shape', f'{node.name}.shape', node.inputs[0])
        value = numpy_helper.from_array(np.array([number], 'float32'))
        return node.value(graph.add('ConstantOfShape', node.name, shape, value=value), zero=number == 0)

    return convert


def same(graph: Graph, node: Node) -> Value:
    """An operator that changes nothing at inference."""
    return node.inputs[0]


SHAPING: Dict[str, Convert] = {
    **dict.fromkeys(('Reshape', 'reshape_like', 'Flatten', 'expand_dims', 'squeeze'), reshape),
    **dict.fromkeys(('_copy', 'BlockGrad', 'Dropout', 'make_loss', 'identity'), same),
    **dict.fromkeys(('broadcast_axis', 'broadcast_to', 'broadcast_like'), broadcast),
    'transpose': transpose,
    'SwapAxis': swap_axes,
    'slice': slice_,
    'slice_axis': slice_axis,
    'slice_like': slice_like,
    'Concat': concat,
    '_rnn_param_concat': concat,
    'stack': stack,
    'SliceChannel': split,
    'repeat': repeat,
    'tile': tile,
    'zeros_like': filled(0),
    'ones_like': filled(1),
}
