"""Operators of MXNet that compute number by number, along axes, and matrix products, in ONNX.

MXNet computes in float32 throughout, so indices and truth values are cast back to it.
"""

from __future__ import annotations

from typing import Dict, List

import numpy as np
from onnx import TensorProto

from .graph import Graph, Input, Value
from .node import Convert, Node, cannot
from .recurrent import recurrent


def unary(operator: str) -> Convert:
    """Make the function of an operator that has a counterpart by another name."""
    return lambda graph, node: graph.add(operator, node.name, *node.inputs)


def with_scalar(operator: str, reverse: bool = False) -> Convert:
    """Make the function of an operator between an array and a number; `reverse`: the number comes first."""

    def convert(graph: Graph, node: Node) -> str:
        scalar = np.array(node.real('scalar', 0.0), 'float32')
        operands: List[Input] = [node.inputs[0], scalar]
        return graph.add(operator, node.name, *(operands[::-1] if reverse else operands))

    return convert


def compared(operator: str, scalar: bool) -> Convert:
    """Make the function of a comparison, whose answers are 0 and 1."""

    def convert(graph: Graph, node: Node) -> str:
        second = [np.array(node.real('scalar', 0.0), 'float32')] if scalar else []
        truth = graph.add(operator, f'{node.name}.truth', *node.inputs, *second)
        return _real(graph, node.name, truth)

    return convert


def _real(graph: Graph, name: str, source: str) -> str:
    return graph.add('Cast', name, source, to=TensorProto.FLOAT)


def reduced(operator: str) -> Convert:
    """Make the function of an operator over axes."""

    def convert(graph: Graph, node: Node) -> str:
        axes = list(node.axes())
        if node.flag('exclude'):
            axes = [axis for axis in range(node.inputs[0].ndim) if axis not in axes]
        keep = int(node.flag('keepdims'))
        if operator == 'ReduceSum':  # the one whose axes are an input already
            return graph.add(operator, node.name, node.inputs[0], np.array(axes, 'int64'), keepdims=keep)
        return graph.add(operator, node.name, node.inputs[0], axes=axes, keepdims=keep)

    return convert


def arg_extreme(operator: str) -> Convert:
    """Make the function of argmax or argmin; of equal ones it is the first."""

    def convert(graph: Graph, node: Node) -> str:
        if not node.numbers('axis'):
            raise cannot(node, 'no axis')
        keep = int(node.flag('keepdims'))
        place = graph.add(operator, f'{node.name}.place', node.inputs[0], axis=node.axis(0), keepdims=keep)
        return _real(graph, node.name, place)

    return convert


def topk(graph: Graph, node: Node) -> str:
    """The largest value along an axis: all that networks here take of it."""
    if node.number_of('k', 1) != 1 or node.text('ret_typ', 'indices') != 'value' or node.flag('is_ascend'):
        raise cannot(node, 'anything but the largest value (k=1, ret_typ=value)')
    return graph.add('ReduceMax', node.name, node.inputs[0], axes=[node.axis(-1)], keepdims=1)


def one_hot(graph: Graph, node: Node) -> str:
    """Rows of zeros with a one at a class."""
    index = graph.add('Cast', f'{node.name}.index', node.inputs[0], to=TensorProto.INT64)
    values = np.array([node.real('off_value', 0.0), node.real('on_value', 1.0)], 'float32')
    return graph.add('OneHot', node.name, index, np.array(node.number_of('depth'), 'int64'), values, axis=-1)


def softmax(operator: str) -> Convert:
    """Make the function of softmax or its logarithm."""

    def convert(graph: Graph, node: Node) -> str:
        if node.flag('use_length') or node.text('temperature', 'None') not in ('None', '1', '1.0'):
            raise cannot(node, 'a length or a temperature')
        return graph.add(operator, node.name, node.inputs[0], axis=node.axis(-1))

    return convert


def activation(graph: Graph, node: Node) -> str:
    """Activation: relu and others by name."""
    kinds = {'relu': 'Relu', 'sigmoid': 'Sigmoid', 'tanh': 'Tanh', 'softrelu': 'Softplus', 'softsign': 'Softsign'}
    kind = node.text('act_type', 'relu')
    if kind not in kinds:
        raise cannot(node, f'act_type {kind}')
    return graph.add(kinds[kind], node.name, node.inputs[0])


def clip(graph: Graph, node: Node) -> str:
    """Numbers held between two."""
    bounds = (np.array(node.real(key, 0.0), 'float32') for key in ('a_min', 'a_max'))
    return graph.add('Clip', node.name, node.inputs[0], *bounds)


def square(graph: Graph, node: Node) -> str:
    """Number by number with itself."""
    return graph.add('Mul', node.name, node.inputs[0], node.inputs[0])


def cast(graph: Graph, node: Node) -> Value:
    """A change to float32, which all is already."""
    if node.text('dtype', 'float32') != 'float32':
        raise cannot(node, f'dtype {node.text("dtype", "float32")}')
    return node.inputs[0]


def dense(graph: Graph, node: Node) -> str:
    """A dense layer, of all behind the first axis or of the last one."""
    data, weight = node.inputs[:2]
    bias = [] if node.flag('no_bias') else [node.inputs[2]]
    if node.flag('flatten', True) or data.ndim == 2:
        rows = data
        if data.ndim != 2:
            rows = Value(graph.add('Flatten', f'{node.name}.rows', data, axis=1), node.shape)
        return graph.add('Gemm', node.name, rows, weight, *bias, transB=1)
    product = graph.add('MatMul', f'{node.name}.product', data, _transposed(graph, node, weight))
    return graph.add('Add', node.name, product, *bias) if bias else product


def _transposed(graph: Graph, node: Node, value: Value) -> Value:
    """The last two axes in each other's place."""
    axes = [*range(value.ndim - 2), value.ndim - 1, value.ndim - 2]
    shape = tuple(value.shape[axis] for axis in axes)
    if value.array is not None:
        return Value(f'{value.name}.transposed', shape, value.array.transpose(axes))
    return Value(graph.add('Transpose', f'{node.name}.transposed', value, perm=axes), shape)


def matrix_product(graph: Graph, node: Node) -> str:
    """Products of matrices, one for each position of the axes before; an alpha as a factor."""
    first, second = node.inputs[:2]
    if node.op == 'dot' and (second.ndim != 2 or (first.ndim != 2 and node.flag('transpose_a'))):
        raise cannot(node, f'{first.ndim} and {second.ndim} axes')
    if node.number_of('axis', -2) != -2:
        raise cannot(node, f'axis {node.number_of("axis", -2)}')
    if node.flag('transpose_a'):
        first = _transposed(graph, node, first)
    if node.flag('transpose_b'):
        second = _transposed(graph, node, second)
    alpha = node.real('alpha', 1.0)
    if alpha == 1.0:
        return graph.add('MatMul', node.name, first, second)
    product = graph.add('MatMul', f'{node.name}.product', first, second)
    return graph.add('Mul', node.name, product, np.array(alpha, 'float32'))


def diagonal(graph: Graph, node: Node) -> Value:
    """The diagonal of a square matrix of which all is known."""
    data = node.inputs[0]
    if data.array is None or data.ndim != 2 or node.number_of('k', 0):
        raise cannot(node, 'an array that is computed, is no matrix, or another diagonal than the main one')
    return node.value(node.name, array=np.diag(data.array).copy())


def layer_norm(graph: Graph, node: Node) -> str:
    """Layer norm over one axis, the last."""
    if node.axis(-1) != node.inputs[0].ndim - 1:
        raise cannot(node, f'axis {node.axis(-1)}, not the last')
    return graph.add('LayerNormalization', node.name, *node.inputs, axis=-1, epsilon=node.real('eps', 1e-5))


def added(graph: Graph, node: Node) -> str:
    """The sum of several."""
    return graph.add('Sum', node.name, *node.inputs)


_PAIRS = {'add': 'Add', 'sub': 'Sub', 'mul': 'Mul', 'div': 'Div'}
_COMPARISONS = {
    'equal': 'Equal',
    'greater': 'Greater',
    'greater_equal': 'GreaterOrEqual',
    'lesser': 'Less',
    'lesser_equal': 'LessOrEqual',
}
_SAME_NAME = ('abs', 'exp', 'log', 'sqrt', 'sigmoid', 'tanh', 'relu', 'erf', 'floor', 'ceil', 'reciprocal')

ARITHMETIC: Dict[str, Convert] = {
    **{f'elemwise_{name}': unary(operator) for name, operator in _PAIRS.items()},
    **{f'broadcast_{name}': unary(operator) for name, operator in _PAIRS.items()},
    **{name: unary(name.capitalize()) for name in _SAME_NAME},
    **{f'broadcast_{name}': compared(operator, False) for name, operator in _COMPARISONS.items()},
    **{f'_{name}_scalar': compared(operator, True) for name, operator in _COMPARISONS.items()},
    **{name: matrix_product for name in ('dot', 'batch_dot', '_linalg_gemm2')},
    '_grad_add': unary('Add'),
    'negative': unary('Neg'),
    'broadcast_maximum': unary('Max'),
    'broadcast_minimum': unary('Min'),
    '_maximum': unary('Max'),
    '_minimum': unary('Min'),
    '_plus_scalar': with_scalar('Add'),
    '_minus_scalar': with_scalar('Sub'),
    '_rminus_scalar': with_scalar('Sub', reverse=True),
    '_mul_scalar': with_scalar('Mul'),
    '_div_scalar': with_scalar('Div'),
    '_rdiv_scalar': with_scalar('Div', reverse=True),
    '_power_scalar': with_scalar('Pow'),
    '_maximum_scalar': with_scalar('Max'),
    '_minimum_scalar': with_scalar('Min'),
    'mean': reduced('ReduceMean'),
    'sum': reduced('ReduceSum'),
    'max': reduced('ReduceMax'),
    'min': reduced('ReduceMin'),
    'argmax': arg_extreme('ArgMax'),
    'argmin': arg_extreme('ArgMin'),
    'softmax': softmax('Softmax'),
    'log_softmax': softmax('LogSoftmax'),
    'topk': topk,
    'one_hot': one_hot,
    'Activation': activation,
    'clip': clip,
    'square': square,
    'Cast': cast,
    'FullyConnected': dense,
    'diag': diagonal,
    'LayerNorm': layer_norm,
    'add_n': added,
    'RNN': recurrent,
}
