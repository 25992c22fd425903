"""Convolutions, poolings and paddings of MXNet in ONNX.

Sizes are known, so padding is written out as so many positions at each end: runtimes differ in how they round sizes up.
"""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import numpy as np

from .graph import BATCH, Graph, Value
from .node import Node, cannot

Pads = List[Tuple[int, int]]


def convolution(graph: Graph, node: Node) -> str:
    """Convolution; batch norm behind it, if that alone reads it, is folded into the weights."""
    node.expect_layout()
    data, pads = node.inputs[0], [(p, p) for p in node.sizes('pad', 0)]
    weight, bias = node.inputs[1], None if node.flag('no_bias') else node.inputs[2]
    axes = _turned_back(node)
    if axes and data.turned is not None:
        pads = _turned_pads(node, pads, axes)
        data = data.turned[0]
        weight = _flipped(node, weight, axes)
    kernel, shift = _with_batch_norm(node, weight, bias)
    return graph.add(
        'Conv',
        node.name,
        data,
        kernel,
        *([] if shift is None else [shift]),
        kernel_shape=node.numbers('kernel'),
        strides=node.sizes('stride', 1),
        dilations=node.sizes('dilate', 1),
        group=node.number_of('num_group', 1),
        pads=_onnx_pads(pads),
    )


def _turned_back(node: Node) -> Tuple[int, ...]:
    """The axes along which the input is read backwards, if all that reads the output turns those back; else none."""
    data = node.inputs[0]
    if data.turned is None or len(node.readers) != 1:
        return ()
    reader = node.readers[0]
    axes = data.turned[1]
    if reader.op != 'slice' or reader.turned_axes() != axes or BATCH in [data.shape[axis] for axis in axes]:
        return ()
    node.settled.add(reader.number)
    return axes


def _turned_pads(node: Node, pads: Pads, axes: Sequence[int]) -> Pads:
    """Padding of a layer whose input and output were turned around along axes, as it is without turning."""
    result = list(pads)
    for axis in axes:
        i = axis - 2
        kernel, stride = node.numbers('kernel')[i], node.sizes('stride', 1)[i]
        needed = (node.shape[axis] - 1) * stride + kernel - node.inputs[0].shape[axis]
        result[i] = (needed - pads[i][0], pads[i][0])
    return result


def _flipped(node: Node, weight: Value, axes: Sequence[int]) -> Value:
    if weight.array is None:
        raise cannot(node, 'a kernel that is computed, in a layer whose input is read backwards')
    return Value(f'{weight.name}.turned', weight.shape, np.flip(weight.array, axes))


def _with_batch_norm(node: Node, weight: Value, bias: Optional[Value]) -> Tuple[Value, Optional[Value]]:
    """Weights and bias of a convolution with the batch norm that alone reads it, if there is such."""
    readers = node.readers
    if len(readers) == 1 and readers[0].number in node.settled:
        readers = readers[0].readers  # of the layer that is turned back
    if len(readers) != 1 or readers[0].op != 'BatchNorm' or weight.array is None:
        return weight, bias
    norm = readers[0]
    if bias is not None and bias.array is None:
        return weight, bias
    scale, shift = scale_and_shift(norm)
    node.settled.add(norm.number)
    kernel = weight.array.astype('float64') * scale.reshape((-1,) + (1,) * (weight.ndim - 1))
    if bias is not None and bias.array is not None:
        shift = shift + scale * bias.array
    name = node.inputs[1].name
    return (
        Value(name, weight.shape, kernel.astype('float32')),
        Value(f'{name}.bias', shift.shape, shift.astype('float32')),
    )


def batch_norm(graph: Graph, node: Node) -> Value:
    """Batch norm with its running statistics, where no convolution has taken it up."""
    data = node.inputs[0]
    scale, shift = (array.astype('float32') for array in scale_and_shift(node))
    still, unit = np.zeros_like(shift), np.ones_like(scale)
    name = graph.add('BatchNormalization', node.name, data, scale, shift, still, unit, epsilon=0.0)
    return node.value(name)


def scale_and_shift(norm: Node) -> Tuple[np.ndarray, np.ndarray]:
    """What batch norm is at inference, a factor and a summand of each channel: float64."""
    gamma, beta, mean, variance = norm.parameters
    if norm.number_of('axis', 1) != 1 or gamma is None or beta is None or mean is None or variance is None:
        raise cannot(norm, 'statistics that are computed, or another axis than 1')
    scale = 1 / np.sqrt(variance.astype('float64') + norm.real('eps', 1e-3))
    if not norm.flag('fix_gamma', True):
        scale = scale * gamma
    return scale, beta - mean * scale


def deconvolution(graph: Graph, node: Node) -> str:
    """Transposed convolution, cropped by its padding."""
    node.expect_layout()
    bias = [] if node.flag('no_bias', True) else [node.inputs[2]]
    if node.numbers('target_shape'):
        raise cannot(node, 'target_shape')
    extra = node.sizes('adj', 0)
    return graph.add(
        'ConvTranspose',
        node.name,
        *node.inputs[:2],
        *bias,
        kernel_shape=node.numbers('kernel'),
        strides=node.sizes('stride', 1),
        dilations=node.sizes('dilate', 1),
        group=node.number_of('num_group', 1),
        output_padding=extra,
        pads=_onnx_pads([(p, p) for p in node.sizes('pad', 0)]),
    )


def pooling(graph: Graph, node: Node) -> str:
    """Pooling: maximum or average, of windows or of all."""
    node.expect_layout()
    kind = node.text('pool_type', 'max')
    if kind not in ('max', 'avg'):
        raise cannot(node, f'pool_type {kind}')
    operator = {'max': 'MaxPool', 'avg': 'AveragePool'}[kind]
    data = node.inputs[0]
    if node.flag('global_pool'):
        return graph.add(f'Global{operator}', node.name, data)
    kernel, strides = node.numbers('kernel'), node.sizes('stride', 1)
    pads = [(p, p) for p in node.sizes('pad', 0)]
    axes = _turned_back(node)
    if axes and data.turned is not None:
        pads = _turned_pads(node, pads, axes)
        data = data.turned[0]
    elif node.text('pooling_convention', 'valid') != 'valid':
        pads = _rounded_up(node, pads)
    included = {}
    if kind == 'avg':
        included = dict(count_include_pad=int(node.flag('count_include_pad', True)))
        if included['count_include_pad'] and any(begin != end for begin, end in pads):
            raise cannot(node, 'an average that counts its padding, of sizes rounded up')
    elif data.padded is not None:
        data, pads = _without_edges(data, kernel, pads)
    return graph.add(operator, node.name, data, kernel_shape=kernel, strides=strides, pads=_onnx_pads(pads), **included)


def _rounded_up(node: Node, pads: Pads) -> Pads:
    """Padding at the end for as many windows as MXNet's conventions 'full' and 'same' have."""
    kernel, strides = node.numbers('kernel'), node.sizes('stride', 1)
    sizes = zip(node.inputs[0].shape[2:], node.shape[2:], kernel, strides, pads)
    return [(p[0], max(p[1], (out - 1) * s + k - size - p[0])) for size, out, k, s, p in sizes]


def _without_edges(data: Value, kernel: Sequence[int], pads: Pads) -> Tuple[Value, Pads]:
    """A maximum over repeated edges is one over no more than is there, while every window holds some of that."""
    assert data.padded is not None
    source, widths = data.padded
    rest = widths[2:]
    if any(any(width) for width in widths[:2]) or any(max(width) >= k for width, k in zip(rest, kernel)):
        return data, pads
    if any(any(p) and any(width) for p, width in zip(pads, rest)):
        return data, pads
    return source, [(p[0] + w[0], p[1] + w[1]) for p, w in zip(pads, rest)]


def pad(graph: Graph, node: Node) -> Value:
    """Padding by a constant, the edges, or a reflection."""
    mode, widths = node.text('mode', 'constant'), node.numbers('pad_width')
    pairs = tuple(zip(widths[::2], widths[1::2]))
    pads = np.array(_onnx_pads(pairs), 'int64')
    fill = [np.array(node.real('constant_value', 0.0), 'float32')] if mode == 'constant' else []
    name = graph.add('Pad', node.name, node.inputs[0], pads, *fill, mode=mode)
    value = node.value(name)
    return value if mode != 'edge' else node.value(name, padded=(node.inputs[0], pairs))


def _onnx_pads(pads: Sequence[Tuple[int, int]]) -> List[int]:
    return [begin for begin, _ in pads] + [end for _, end in pads]
