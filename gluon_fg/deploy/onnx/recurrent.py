"""MXNet's recurrent layers in ONNX: LSTMs in one direction.

MXNet has all parameters in one array: of each layer the weights of input and state, then of each layer their biases;
gates in the order input, forget, cell, output. ONNX has a node for each layer, gates input, output, forget, cell.
"""

from __future__ import annotations

from typing import Iterator, List, Tuple

import numpy as np

from .graph import Graph, Input, Value
from .node import Node, cannot

_GATES = (0, 3, 1, 2)  # of MXNet's, in the order of ONNX's


def recurrent(graph: Graph, node: Node) -> List[Value]:
    """A stack of LSTM layers over (T, N, C); its first states must be zero."""
    data, parameters, *states = node.inputs
    if node.text('mode', '') != 'lstm' or node.flag('bidirectional') or node.flag('use_sequence_length'):
        raise cannot(node, 'anything but an LSTM in one direction over whole sequences')
    if node.text('projection_size', 'None') != 'None' or node.text('lstm_state_clip_min', 'None') != 'None':
        raise cannot(node, 'a projection, or a state that is clipped')
    if parameters.array is None or not all(state.zero for state in states):
        raise cannot(node, 'parameters that are computed, or first states that are not zero')
    layers, units = node.number_of('num_layers'), node.number_of('state_size')
    last: List[Tuple[str, str]] = []
    source: Input = data
    for layer, (i2h, h2h, bias) in enumerate(_layers(parameters.array, layers, data.shape[-1], units)):
        name = f'{node.name}.{layer}'
        every, state, cell = graph.add('LSTM', name, source, i2h, h2h, bias, outputs=3, hidden_size=units)
        source = graph.add('Squeeze', f'{name}.states', every, np.array([1], 'int64'))
        last.append((state, cell))
    outputs = [Value(graph.name_of(source), node.shapes[0])]
    for shape, ends in zip(node.shapes[1:], zip(*last)):
        outputs.append(Value(graph.add('Concat', f'{node.name}.last', *ends, axis=0), shape))
    return outputs


def _layers(parameters: np.ndarray, layers: int, features: int, units: int) -> Iterator[Tuple[np.ndarray, ...]]:
    """Weights of input and state and biases of each layer, as ONNX has them."""
    at = 0

    def take(*shape: int) -> np.ndarray:
        nonlocal at
        at += int(np.prod(shape))
        gates = parameters[at - int(np.prod(shape)) : at].reshape((4, *shape[1:]) if len(shape) > 2 else (4, units))
        return gates[list(_GATES)].reshape((1, 4 * units, *shape[2:]))

    weights = [(take(4, units, features if layer == 0 else units), take(4, units, units)) for layer in range(layers)]
    for i2h, h2h in weights:
        yield i2h, h2h, np.concatenate([take(4, units), take(4, units)], axis=1)
