"""Graphs whose constant parts are computed once: what depends on parameters alone becomes a parameter.

A network reads some of its weights through operators, at every call: the effective kernels of directional convolutions,
filters joined for a faster layer. In a graph that predicts they are the same each time.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np

from .graph import Shape, inferred_shapes

Params = Dict[str, mx.nd.NDArray]
_Output = Tuple[int, int]  # number of a node, number of its output

# Operators without inputs whose result is always the same, and operators of inputs whose result is not.
_SOURCES = frozenset(('_zeros', '_ones', '_full', '_arange', '_linspace', '_eye'))
_RANDOM = frozenset(('Dropout', '_shuffle'))


def fold(symbol: mx.sym.Symbol, params: Params, shape: Optional[Sequence[int]] = None) -> Tuple[mx.sym.Symbol, Params]:
    """Compute once what depends on parameters alone, and put the results in the place of what computed them.

    Exact: the very operators compute them, in the types that they have. Nothing else of the graph changes; parameters
    that nothing reads any more are left out.

    Parameters
    ----------
    symbol
        a graph for inference, not fused yet
    params
        'arg:name' or 'aux:name' -> NDArray, as `deploy_symbol` gives them; of all variables but the inputs
    shape
        of the one input 'data': then what depends on sizes alone, other than the batch's, is computed as well, and the
        graph is of inputs of this size. None: it stays one of any size

    Returns
    -------
    symbol
        of the same inputs and outputs; new parameters are called after the operators that computed them
    params
        of this graph, in the same form; those that were there before are the same arrays
    """
    graph = json.loads(symbol.tojson())
    nodes = graph['nodes']
    values = {key.split(':', 1)[1]: value for key, value in params.items()}
    if shape is not None:
        values.update(_measured(symbol, graph, tuple(shape), values))
    constant = _constant(nodes, values)
    read = {
        (source, output)
        for number, node in enumerate(nodes)
        if not constant[number]
        for source, output, *_ in node['inputs']
    }
    read |= {(source, output) for source, output, *_ in graph['heads']}
    border = sorted(edge for edge in read if constant[edge[0]] and nodes[edge[0]]['op'] != 'null')
    if not border:
        return symbol, params
    folded = dict(zip(border, _computed(graph, border, values)))
    rebuilt = _Rebuilt(nodes, folded)
    symbol = mx.sym.load_json(rebuilt.json(graph))
    auxiliary = set(symbol.list_auxiliary_states())
    values.update(rebuilt.values)
    kept = [name for name in symbol.list_inputs() if name in values]
    return symbol, {('aux:' if name in auxiliary else 'arg:') + name: values[name] for name in kept}


def _measured(symbol: mx.sym.Symbol, graph: Dict[str, Any], shape: Shape, values: Params) -> Params:
    """Make parameters of the nodes that count along an axis whose size is known, in the graph; returns their values."""
    counting = [number for number, node in enumerate(graph['nodes']) if _counts(node)]
    if not counting:
        return {}
    known = {name: value.shape for name, value in values.items()}
    _, shapes = inferred_shapes(symbol, shape, 'the network', known=known)
    measured = {}
    for number in counting:
        attributes = graph['nodes'][number]['attrs']
        start, step = (float(attributes.get(key, usual)) for key, usual in (('start', 0), ('step', 1)))
        name = f'size{number}'
        measured[name] = mx.nd.array(start + step * np.arange(shapes[number, 0][0]), dtype='float32')
        graph['nodes'][number] = {'op': 'null', 'name': name, 'inputs': []}
    graph['arg_nodes'] = [number for number, node in enumerate(graph['nodes']) if node['op'] == 'null']
    return measured


def _counts(node: Dict[str, Any]) -> bool:
    return node['op'] == '_contrib_arange_like' and node.get('attrs', {}).get('axis', 'None') not in ('None', '0')


def _constant(nodes: List[Dict[str, Any]], values: Params) -> List[bool]:
    """For each node whether it is of parameters alone: of one at least, and beside it of what is always the same."""
    sees: List[bool] = []  # something that changes
    reads: List[bool] = []  # a parameter
    for node in nodes:
        sources = [source for source, *_ in node['inputs']]
        if sources:
            sees.append(node['op'] in _RANDOM or 'sample' in node['op'] or any(sees[source] for source in sources))
            reads.append(any(reads[source] for source in sources))
        else:
            reads.append(node['op'] == 'null' and node['name'] in values)
            sees.append(not reads[-1] and node['op'] not in _SOURCES)
    return [read and not changes for read, changes in zip(reads, sees)]


def _computed(graph: Dict[str, Any], border: List[_Output], values: Params) -> List[mx.nd.NDArray]:
    """The values of some outputs of nodes."""
    # A block used twice gives its nodes the same name twice: here each has its own.
    nodes = [
        node if node['op'] == 'null' else {**node, 'name': f'n{number}'} for number, node in enumerate(graph['nodes'])
    ]
    heads = [[source, output, 0] for source, output in border]
    part = {'nodes': nodes, 'arg_nodes': graph['arg_nodes'], 'heads': heads, 'attrs': graph['attrs']}
    constants = mx.sym.load_json(json.dumps(part))
    outputs = mx.nd.CachedOp(constants)(*(values[name].as_in_context(mx.cpu()) for name in constants.list_inputs()))
    return [outputs.copy()] if isinstance(outputs, mx.nd.NDArray) else [value.copy() for value in outputs]


class _Rebuilt:
    """The nodes of a graph that its outputs still need, and the new parameters, by name.

    Parameters
    ----------
    nodes
        all nodes, inputs first
    folded
        outputs of nodes that are parameters from now on, and their values
    """

    def __init__(self, nodes: List[Dict[str, Any]], folded: Dict[_Output, mx.nd.NDArray]):
        self._old, self._folded = nodes, folded
        self._names = {node['name'] for node in nodes}
        self._nodes: List[Dict[str, Any]] = []
        self._numbers: Dict[_Output, int] = {}  # of an old node (its output 0), or a folded output -> new number
        self.values: Params = {}

    def json(self, graph: Dict[str, Any]) -> str:
        """The graph with the same outputs."""
        needed = self._needed([(source, output) for source, output, *_ in graph['heads']])
        for edge in sorted(self._folded):
            self._add_parameter(edge)
        for number in sorted(needed):
            node = dict(self._old[number])
            node['inputs'] = [self._edge(source, output) + rest for source, output, *rest in node['inputs']]
            self._numbers[number, 0] = len(self._nodes)
            self._nodes.append(node)
        heads = []
        for source, output, *rest in graph['heads']:
            head = self._edge(source, output)
            if (source, output) in self._folded:  # an output is what an operator gives, not a parameter
                name = self._unused(f'{self._old[source]["name"]}_copy')
                self._nodes.append({'op': '_copy', 'name': name, 'inputs': [[*head, 0]]})
                head = [len(self._nodes) - 1, 0]
            heads.append(head + rest)
        arguments = [number for number, node in enumerate(self._nodes) if node['op'] == 'null']
        return json.dumps({'nodes': self._nodes, 'arg_nodes': arguments, 'heads': heads, 'attrs': graph['attrs']})

    def _needed(self, edges: List[_Output]) -> List[int]:
        """Numbers of the old nodes that these outputs are computed by, folded ones left out."""
        needed = set()
        while edges:
            number, output = edges.pop()
            if (number, output) not in self._folded and number not in needed:
                needed.add(number)
                edges += [(source, output) for source, output, *_ in self._old[number]['inputs']]
        return list(needed)

    def _add_parameter(self, edge: _Output) -> None:
        number, output = edge
        value = self._folded[edge]
        name = self._unused(f'{self._old[number]["name"]}_folded' + (f'{output}' if output else ''))
        self.values[name] = value
        self._numbers[edge] = len(self._nodes)
        self._nodes.append({'op': 'null', 'name': name, 'attrs': {'__shape__': str(value.shape)}, 'inputs': []})

    def _unused(self, name: str) -> str:
        """This name, or with a number behind it where the graph has it already."""
        taken, count = name, 0
        while taken in self._names:
            count += 1
            taken = f'{name}_{count}'
        self._names.add(taken)
        return taken

    def _edge(self, source: int, output: int) -> List[int]:
        if (source, output) in self._folded:
            return [self._numbers[source, output], 0]
        return [self._numbers[source, 0], output]
