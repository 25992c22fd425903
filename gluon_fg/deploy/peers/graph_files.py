"""A network written to files that a process without MXNet reads: its inference graph, its parameters, an input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Sequence

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ...nn.batch_norm_lstm import set_length
from ...nn.norm import deploy_symbol
from ...nn.tracing import TRACING
from ..folding import fold
from ..graph import inferred_shapes

GRAPH, PARAMETERS, INPUT = 'graph.json', 'parameters.npz', 'input.npy'


def describe(symbol: mx.sym.Symbol, shape: Sequence[int], name: str, casts: bool = False) -> Dict[str, Any]:
    """A graph as plain values.

    Parameters
    ----------
    symbol
        a graph of one variable 'data'
    shape
        of 'data'
    name
        of the network, for messages
    casts
        keep the casts of MXNet's AMP: see `inferred_shapes`

    Returns
    -------
    dict
        'nodes', each with 'op' ('null': a variable), 'name', 'attributes', 'inputs' (number of the node, number of its
        output) and 'shapes' of its outputs, and 'heads'

    Raises
    ------
    UserError
        the network cannot take this shape
    """
    nodes, shapes = inferred_shapes(symbol, tuple(shape), name, casts=casts)
    outputs: Dict[int, Dict[int, Any]] = {}
    for (number, index), size in shapes.items():
        outputs.setdefault(number, {})[index] = size
    return {
        'nodes': [
            {
                'op': node['op'],
                'name': node['name'],
                'attributes': node.get('attrs', {}),
                'inputs': [source[:2] for source in node['inputs']],
                'shapes': [outputs[number][index] for index in sorted(outputs[number])],
            }
            for number, node in enumerate(nodes)
        ],
        'heads': [head[:2] for head in json.loads(symbol.tojson(remove_amp_cast=not casts))['heads']],
    }


def write(net: HybridBlock, x: np.ndarray, folder: Path) -> None:
    """Write the graph of a recognizer's branches, its parameters, and an input, to a folder that is there.

    Raises
    ------
    UserError
        the network cannot take this input
    """
    with TRACING:
        if x.ndim == 5:
            set_length(net, x.shape[2])
        symbol, params = deploy_symbol(net.branches)
    outputs = [symbol[number] for number in range(len(net.branch_names))]  # without auxiliary ones
    symbol, params = fold(mx.sym.Group(outputs), params, x.shape)
    graph = describe(symbol, x.shape, net.name)
    used = {node['name'] for node in graph['nodes'] if node['op'] == 'null'}
    arrays = {name.split(':', 1)[1]: value for name, value in params.items()}
    with open(folder / GRAPH, 'w', encoding='utf-8') as stream:
        json.dump(graph, stream)
    np.savez(folder / PARAMETERS, **{name: value.asnumpy() for name, value in arrays.items() if name in used})
    np.save(folder / INPUT, x)
