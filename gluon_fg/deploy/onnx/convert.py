"""From a graph of MXNet's to an ONNX model, operator by operator.

MXNet's own converter refuses some of our operators and gets others wrong; this one knows all sizes but the batch, which
it learns from the shapes that MXNet infers for two batches.
"""

from __future__ import annotations

import json
from typing import Dict, List, Mapping, NamedTuple, Sequence, Set, Tuple

import mxnet as mx
import numpy as np
import onnx
from mxnet.gluon import HybridBlock

from ...errors import UserError, unknown
from ...nn.batch_norm_lstm import set_length
from ...nn.norm import deploy_mode, parameters_of
from ...nn.tracing import TRACING
from ..flops import input_shape
from ..folding import fold
from ..graph import Shape, inferred_shapes
from .arithmetic import ARITHMETIC
from .convolution import batch_norm, convolution, deconvolution, pad, pooling
from .graph import BATCH, Graph, Value
from .node import Convert, Node, Output
from .shaping import SHAPING

OPERATORS: Dict[str, Convert] = {
    **SHAPING,
    **ARITHMETIC,
    'Convolution': convolution,
    'Deconvolution': deconvolution,
    'Pooling': pooling,
    'Pad': pad,
    'BatchNorm': batch_norm,
}


def to_onnx(
    symbol: mx.sym.Symbol, params: Mapping[str, mx.nd.NDArray], shape: Sequence[int], names: Sequence[str]
) -> onnx.ModelProto:
    """Convert a graph for inference to ONNX: float32, any batch, every other size as given.

    Parameters
    ----------
    symbol
        the graph, of one variable 'data' (`gluon_fg.nn.norm.deploy_symbol`)
    params
        'arg:name' or 'aux:name' -> NDArray
    shape
        of 'data', of the smallest batch: its first size is 1, or the frames of one video, for images
    names
        of the outputs, in their order

    Raises
    ------
    UserError
        an operator, or a form of it, that has no counterpart, or a shape that the graph cannot take
    """
    shape = tuple(shape)
    heads = [(number, index) for number, index, *_ in json.loads(symbol.tojson())['heads']]
    if len(heads) != len(names):
        raise ValueError(f'{len(names)} names for {len(heads)} outputs')
    arrays = {name.split(':', 1)[-1]: value.asnumpy() for name, value in params.items()}
    nodes = _nodes(symbol, shape, {name: array.shape for name, array in arrays.items()}, heads)
    graph = Graph()
    for name in ('data', *names):
        graph.unique(name)
    data = Value('data', (BATCH, *shape[1:]))
    values: Dict[Output, Value] = nodes[0].values
    for node in sorted(nodes, key=lambda node: node.op != 'null'):  # parameters first: batch norm is read ahead
        for index, value in enumerate(_converted(graph, node, data, arrays)):
            values[node.number, index] = value
    outputs = [(name, values[head]) for name, head in zip(names, heads)]
    batch = 'batch' if shape[0] == 1 else 'frames'
    return graph.model('gluon_fg', data, outputs, batch)


def _converted(graph: Graph, node: Node, data: Value, arrays: Mapping[str, np.ndarray]) -> List[Value]:
    if node.op == 'null':
        if node.name == 'data':
            return [data]
        if node.name not in arrays:
            raise UserError(f'parameter {node.name} has no value; initialize the network before it is exported')
        return [Value(node.name, arrays[node.name].shape, arrays[node.name].astype('float32', copy=False))]
    if node.number in node.settled:
        return node.inputs[:1]
    if node.op not in OPERATORS:
        raise UserError(f'operator {node.op} ({node.name}) cannot be exported to ONNX')
    result = OPERATORS[node.op](graph, node)
    if isinstance(result, list):
        return result
    return [node.value(result) if isinstance(result, str) else result]


def _nodes(symbol: mx.sym.Symbol, shape: Shape, known: Mapping[str, Shape], heads: Sequence[Output]) -> List[Node]:
    """The nodes of a graph with their shapes and readers."""
    inferred, first = inferred_shapes(symbol, shape, 'the network', known=known)
    _, second = inferred_shapes(symbol, (2 * shape[0], *shape[1:]), 'the network', known=known)
    settled: Set[int] = set()
    shapes: List[List[Shape]] = [[] for _ in inferred]
    for number, index in sorted(first):
        pair = zip(first[number, index], second[number, index])
        shapes[number].append(tuple(a if a == b else BATCH for a, b in pair))
    values: Dict[Output, Value] = {}
    nodes = []
    for number, node in enumerate(inferred):
        sources = [(source, index) for source, index, *_ in node['inputs']]
        facts = (node['op'], node['name'], node.get('attrs', {}), shapes[number])
        nodes.append(Node(number, *facts, settled, sources, values))
        for source, _ in sources:
            nodes[source].readers.append(nodes[number])
    end = Node(len(nodes), '', 'output', {}, [], settled, [], values)
    for number, _ in heads:
        nodes[number].readers.append(end)
    return nodes


class NetworkGraph(NamedTuple):
    """A recognizer's graph for prediction: as `to_onnx` takes it."""

    symbol: mx.sym.Symbol
    params: Dict[str, mx.nd.NDArray]
    shape: Tuple[int, ...]
    names: Tuple[str, ...]


def network_onnx(net: HybridBlock, views: Sequence[str] = (), shape: Sequence[int] = ()) -> onnx.ModelProto:
    """Convert a recognizer to ONNX: the logits of its branches under their names, and behind them what it shows.

    Parameters
    ----------
    net
        a recognizer with initialized parameters
    views
        names out of `view_names(net)`; the output of a map is called 'map.' and its name
    shape
        of the input of one video, the frames of one for images; (): as the network's `input_spec` has it

    Raises
    ------
    UserError
        as `to_onnx`; an unknown view, or a network that takes labels
    """
    return to_onnx(*network_graph(net, views, shape))


def network_graph(
    net: HybridBlock, views: Sequence[str] = (), shape: Sequence[int] = (), converted: bool = True
) -> NetworkGraph:
    """Trace what `network_onnx` converts, arguments and errors are its; not `converted`: in the form for MXNet."""
    if net.takes_labels:
        raise UserError(f"{net.name} takes the true labels (select 'oracle'), which a file for prediction has none of")
    for view in views:
        if view not in view_names(net):
            raise unknown(f'view of {net.name}', view, view_names(net))
    shape = tuple(shape) or input_shape(net.input_spec)
    mx.nd.waitall()  # running statistics may still be under way, unannounced
    with TRACING, deploy_mode(converted):
        if net.input_spec.ndim == 3:
            set_length(net, shape[2])
        data = mx.sym.var('data')
        outputs = dict(zip(net.branch_names, net.branches(data)))  # without auxiliary ones
        outputs.update(_shown(net, data, views))
        symbol = mx.sym.Group(list(outputs.values()))
        params = parameters_of(net, symbol)
    return NetworkGraph(*fold(symbol, params, shape), shape, tuple(outputs))


def unknown_operators(net: HybridBlock) -> List[str]:
    """List the operators of a recognizer's branches that cannot be converted."""
    used = {node['op'] for node in json.loads(network_graph(net).symbol.tojson())['nodes']} - {'null'}
    return sorted(used - set(OPERATORS))


def view_names(net: HybridBlock) -> Tuple[str, ...]:
    """What a recognizer can show beside its logits: its maps (`net.map_info`), and the responses of class filters."""
    return (*net.map_info, *(['filter_responses'] if net.filters_per_class else []))


def _shown(net: HybridBlock, data: mx.sym.Symbol, views: Sequence[str]) -> Dict[str, mx.sym.Symbol]:
    shown = {}
    if set(views) & set(net.map_info):
        shown = {f'map.{name}': value for name, value in net.maps(data).items() if name in views}
    if 'filter_responses' in views:
        shown['filter_responses'] = net.filter_responses(data)
    return shown
