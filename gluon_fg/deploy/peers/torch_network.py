"""A network's inference graph as a module of PyTorch's, operator for operator.

It is what somebody who rewrites the network in PyTorch would run: the same convolutions, batch norms and sums from
`torch.nn.functional`. The benchmark times it eager and frozen; OpenVINO and ONNX Runtime get it by their own and
PyTorch's exporters. Sizes are those of one input shape.
"""

from __future__ import annotations

import ast
import math
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import UserError

Shape = Tuple[int, ...]


class _Node:
    """One operator: its attributes as Python values, and the shapes that it takes and gives."""

    def __init__(self, record: Mapping[str, Any]):
        self.op, self.name = record['op'], record['name']
        self.inputs = [tuple(source) for source in record['inputs']]
        self.shapes: List[Shape] = [tuple(shape) for shape in record['shapes']]
        self.attributes = {key: _value(text) for key, text in record['attributes'].items()}

    @property
    def shape(self) -> Shape:
        """Of its first output."""
        return self.shapes[0]

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or a default where the graph leaves it out."""
        return self.attributes.get(name, default)

    def window(self, name: str, default: int) -> Shape:
        """An attribute with a number for each axis of the kernel."""
        return tuple(self.get(name) or (default,) * len(self.attributes['kernel']))


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text  # a word: 'max', 'valid'


class TorchNetwork(nn.Module):
    """A graph of one variable 'data' as a PyTorch module, which gives the tuple of its outputs.

    Parameters
    ----------
    graph
        as `graph_files.describe` has it: 'nodes' in their order and 'heads'
    parameters
        name -> array

    Raises
    ------
    UserError
        an operator that has no counterpart here
    """

    def __init__(self, graph: Mapping[str, Any], parameters: Mapping[str, np.ndarray]):
        super().__init__()
        self._nodes = [_Node(record) for record in graph['nodes']]
        self._heads = [tuple(head) for head in graph['heads']]
        self._last = {source: number for number, node in enumerate(self._nodes) for source in node.inputs}
        missing = sorted({node.op for node in self._nodes} - {'null', *self.operators()})
        if missing:
            raise UserError(f'PyTorch has no counterpart here of {", ".join(missing)}; leave pytorch out')
        for number, node in enumerate(self._nodes):
            if node.op == 'null' and node.name != 'data':
                self.hold(f'p{number}', node, graph, parameters)

    def operators(self) -> Dict[str, Callable[..., Any]]:
        """What computes each operator by its name; others are refused."""
        return OPERATORS

    def hold(self, key: str, node: _Node, graph: Mapping[str, Any], parameters: Mapping[str, np.ndarray]) -> None:
        """Keep a parameter of the graph under a name of this module's."""
        self.register_buffer(key, torch.from_numpy(np.ascontiguousarray(parameters[node.name])))

    def forward(self, data: Tensor) -> Tuple[Tensor, ...]:
        """Run the graph, and let go of what nobody reads any more; float32 in, float32 out."""
        values: Dict[Tuple[int, ...], Tensor] = {}
        operators, heads = self.operators(), set(self._heads)
        for number, node in enumerate(self._nodes):
            if node.op == 'null':
                values[number, 0] = data if node.name == 'data' else getattr(self, f'p{number}')
                continue
            result = operators[node.op](node, *(values[source] for source in node.inputs))
            outputs = result if isinstance(result, (list, tuple)) else [result]
            for index, output in enumerate(outputs):
                values[number, index] = output
            for source in set(node.inputs) - heads:
                if self._last[source] == number:
                    del values[source]
        return tuple(values[head] for head in self._heads)


# Layers ----------------------------------------------------------------------------------------------------------


def _convolution(node: _Node, x: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    function = (functional.conv1d, functional.conv2d, functional.conv3d)[len(node.get('kernel')) - 1]
    stride, pad, dilate = node.window('stride', 1), node.window('pad', 0), node.window('dilate', 1)
    return function(x, weight, bias, stride, pad, dilate, node.get('num_group', 1))


def _deconvolution(node: _Node, x: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    names = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)
    function = names[len(node.get('kernel')) - 1]
    stride, pad, adj = node.window('stride', 1), node.window('pad', 0), node.window('adj', 0)
    return function(x, weight, bias, stride, pad, adj, node.get('num_group', 1))


def _batch_norm(node: _Node, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    gamma = torch.ones_like(gamma) if node.get('fix_gamma', True) in (True, 1) else gamma
    return functional.batch_norm(x, mean, variance, gamma, beta, False, 0.0, float(node.get('eps', 1e-3)))


def _pooling(node: _Node, x: Tensor) -> Tensor:
    axes = tuple(range(2, x.dim()))
    kind = node.get('pool_type', 'max')
    if node.get('global_pool') in (True, 1):
        return x.amax(axes, keepdim=True) if kind == 'max' else x.mean(axes, keepdim=True)
    kernel, stride, pad = node.window('kernel', 1), node.window('stride', 1), node.window('pad', 0)
    full = node.get('pooling_convention', 'valid') == 'full'
    if kind == 'max':
        functions = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)
        pooled = functions[len(axes) - 1](x, kernel, stride, pad, ceil_mode=full)
    else:
        averages: Tuple[Callable[..., Tensor], ...]
        averages = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)
        pooled = averages[len(axes) - 1](x, kernel, stride, pad, full, node.get('count_include_pad', True))
    if tuple(pooled.shape) != node.shape:
        raise UserError(f'PyTorch pools {node.name} to {tuple(pooled.shape)}, MXNet to {node.shape}')
    return pooled


def _dense(node: _Node, x: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    return functional.linear(x.flatten(1) if node.get('flatten', True) else x, weight, bias)


def _activation(node: _Node, x: Tensor) -> Tensor:
    return {
        'relu': functional.relu,
        'sigmoid': torch.sigmoid,
        'tanh': torch.tanh,
        'softrelu': functional.softplus,
        'softsign': functional.softsign,
    }[node.get('act_type')](x)


def _layer_norm(node: _Node, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return functional.layer_norm(x, gamma.shape, gamma, beta, float(node.get('eps', 1e-5)))


def _recurrent(node: _Node, x: Tensor, weights: Tensor, hidden: Tensor, cell: Tensor) -> List[Tensor]:
    """An LSTM of several layers; MXNet keeps all weights in one row, biases last, gates in PyTorch's order."""
    size, layers, features = node.get('state_size'), node.get('num_layers'), x.shape[2]
    shapes: List[Shape] = []
    for layer in range(layers):
        shapes += [(4 * size, features if layer == 0 else size), (4 * size, size)]
    parts, begin = [], 0
    for shape in [*shapes, *[(4 * size,)] * (2 * layers)]:
        parts.append(weights[begin : begin + math.prod(shape)].reshape(shape))
        begin += math.prod(shape)
    matrices, biases = parts[: 2 * layers], parts[2 * layers :]
    ordered = [p for n in range(layers) for p in (*matrices[2 * n : 2 * n + 2], *biases[2 * n : 2 * n + 2])]
    return list(torch.lstm(x, (hidden, cell), ordered, True, layers, 0.0, False, False, False))


# Shapes ----------------------------------------------------------------------------------------------------------


def _reshape(node: _Node, x: Tensor, *like: Tensor) -> Tensor:
    return x.reshape(node.shape)


def _pad(node: _Node, x: Tensor) -> Tensor:
    widths = node.get('pad_width')
    mode = {'edge': 'replicate', 'constant': 'constant', 'reflect': 'reflect'}[node.get('mode')]
    last_first = [width for axis in reversed(range(2, x.dim())) for width in widths[2 * axis : 2 * axis + 2]]
    if mode == 'constant':
        return functional.pad(x, last_first, mode, float(node.get('constant_value', 0)))
    return functional.pad(x, last_first, mode)


def _slice(node: _Node, x: Tensor) -> Tensor:
    steps = node.get('step') or ()
    for axis, (begin, end) in enumerate(zip(node.get('begin'), node.get('end'))):
        step = (steps[axis] if axis < len(steps) else 1) or 1
        if step < 0:
            kept = list(range(x.shape[axis]))[slice(begin, end, step)]
            x = x.index_select(axis, torch.tensor(kept, device=x.device))
        else:
            x = _narrow(x, axis, begin, end, step)
    return x


def _narrow(x: Tensor, axis: int, begin: Any, end: Any, step: int = 1) -> Tensor:
    index: List[Any] = [slice(None)] * x.dim()
    index[axis] = slice(begin, end, step)
    return x[tuple(index)]


def _slice_like(node: _Node, x: Tensor, like: Tensor) -> Tensor:
    for axis in node.get('axes') or range(x.dim()):
        x = _narrow(x, axis, 0, node.shape[axis])
    return x


def _split(node: _Node, x: Tensor) -> Sequence[Tensor]:
    axis = node.get('axis', 1)
    parts = x.chunk(node.get('num_outputs'), axis)
    return [part.squeeze(axis) for part in parts] if node.get('squeeze_axis') in (True, 1) else parts


def _broadcast(node: _Node, x: Tensor, *like: Tensor) -> Tensor:
    return x.expand(node.shape)


# Arithmetic ------------------------------------------------------------------------------------------------------


def _reduce(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def reduced(node: _Node, x: Tensor) -> Tensor:
        axis = node.get('axis')
        axes = tuple(range(x.dim())) if axis in (None, ()) else axis if isinstance(axis, tuple) else (axis,)
        return function(x, axes, keepdim=bool(node.get('keepdims', False))).reshape(node.shape)

    return reduced


def _topk(node: _Node, x: Tensor) -> Tensor:
    if node.get('ret_typ') != 'value' or node.get('is_ascend'):
        raise UserError(f'PyTorch has no counterpart here of topk as in {node.name}; leave pytorch out')
    k, axis = node.get('k', 1), node.get('axis', -1)
    return x.amax(axis, keepdim=True) if k == 1 else x.topk(k, axis).values


def _matmul(node: _Node, a: Tensor, b: Tensor) -> Tensor:
    a = a.transpose(-1, -2) if node.get('transpose_a') in (True, 1) else a
    b = b.transpose(-1, -2) if node.get('transpose_b') in (True, 1) else b
    return torch.matmul(a, b) * float(node.get('alpha', 1))


def _scalar(function: Callable[..., Any]) -> Callable[..., Tensor]:
    return lambda node, x: function(x, float(node.get('scalar')))


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda node, *inputs: function(*inputs)


OPERATORS: Dict[str, Callable[..., Any]] = {
    'Convolution': _convolution,
    'Deconvolution': _deconvolution,
    'BatchNorm': _batch_norm,
    'Pooling': _pooling,
    'FullyConnected': _dense,
    'Activation': _activation,
    'LayerNorm': _layer_norm,
    'RNN': _recurrent,
    'Pad': _pad,
    'slice': _slice,
    'slice_axis': lambda node, x: _narrow(x, node.get('axis'), node.get('begin'), node.get('end')),
    'slice_like': _slice_like,
    'SliceChannel': _split,
    'squeeze': _reshape,
    'expand_dims': _reshape,
    'Reshape': _reshape,
    'reshape_like': _reshape,
    'Flatten': _reshape,
    'broadcast_axis': _broadcast,
    'broadcast_to': _broadcast,
    'broadcast_like': _broadcast,
    'transpose': lambda node, x: x.permute(node.get('axes') or tuple(reversed(range(x.dim())))),
    'Concat': lambda node, *inputs: torch.cat(inputs, node.get('dim', 1)),
    '_rnn_param_concat': lambda node, *inputs: torch.cat(inputs, node.get('dim', 1)),
    'stack': lambda node, *inputs: torch.stack(inputs, node.get('axis', 0)),
    'repeat': lambda node, x: x.repeat_interleave(node.get('repeats'), node.get('axis')),
    'tile': lambda node, x: x.repeat(node.get('reps')),
    'mean': _reduce(torch.mean),
    'sum': _reduce(torch.sum),
    'max': _reduce(torch.amax),
    'min': _reduce(torch.amin),
    'topk': _topk,
    'argmax': lambda node, x: x.argmax(node.get('axis')).float(),
    'one_hot': lambda node, x: functional.one_hot(x.long(), node.get('depth')).float(),
    'diag': lambda node, x: torch.diag(x),
    'dot': _matmul,
    'batch_dot': _matmul,
    '_linalg_gemm2': _matmul,
    'softmax': lambda node, x: x.softmax(node.get('axis', -1)),
    'log_softmax': lambda node, x: x.log_softmax(node.get('axis', -1)),
    'clip': lambda node, x: x.clamp(float(node.get('a_min')), float(node.get('a_max'))),
    '_plus_scalar': _scalar(torch.add),
    '_minus_scalar': _scalar(torch.sub),
    '_rminus_scalar': _scalar(lambda x, value: value - x),
    '_mul_scalar': _scalar(torch.mul),
    '_div_scalar': _scalar(torch.div),
    '_rdiv_scalar': _scalar(lambda x, value: value / x),
    '_power_scalar': _scalar(torch.pow),
    '_maximum_scalar': _scalar(lambda x, value: x.clamp(min=value)),
    '_minimum_scalar': _scalar(lambda x, value: x.clamp(max=value)),
    '_equal_scalar': _scalar(lambda x, value: (x == value).float()),
    **{name: _plain(torch.add) for name in ('elemwise_add', 'broadcast_add', '_grad_add')},
    **{name: _plain(torch.sub) for name in ('elemwise_sub', 'broadcast_sub')},
    **{name: _plain(torch.mul) for name in ('elemwise_mul', 'broadcast_mul')},
    **{name: _plain(torch.div) for name in ('elemwise_div', 'broadcast_div')},
    **{name: _plain(torch.maximum) for name in ('_maximum', 'broadcast_maximum')},
    **{name: _plain(torch.minimum) for name in ('_minimum', 'broadcast_minimum')},
    **{name: _plain(lambda x: x) for name in ('Dropout', 'BlockGrad', '_copy', 'Cast')},
    **{name: _plain(getattr(torch, name)) for name in ('exp', 'log', 'sqrt', 'square', 'abs', 'sigmoid', 'tanh')},
    **{name: _plain(getattr(torch, name)) for name in ('relu', 'negative', 'ones_like', 'zeros_like')},
    'add_n': lambda node, *inputs: sum(inputs[1:], inputs[0]),
}
