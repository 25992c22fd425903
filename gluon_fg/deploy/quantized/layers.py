"""The layers of a network that can compute in INT8, under names that a user sees and that no process changes."""

from __future__ import annotations

import json
from typing import Dict, List, NamedTuple, Set

import mxnet as mx
from mxnet.gluon import HybridBlock


class Layer(NamedTuple):
    """A convolution or a dense layer.

    Parameters
    ----------
    name
        structural name of its weights without '.weight', as in a parameter file; of a layer whose weights are
        computed from others its name in the graph
    node
        name of its operator in MXNet's graph, which that of another network in the same process does not share
    dense
        whether it is a dense layer
    """

    name: str
    node: str
    dense: bool


def layers_of(net: HybridBlock, symbol: mx.sym.Symbol) -> List[Layer]:
    """List the layers of a network's graph in its order; those whose weights depend on the input are left out.

    Parameters
    ----------
    net
        the network
    symbol
        its inference graph of the variable 'data', before any fusion
    """
    nodes = json.loads(symbol.tojson())['nodes']
    structural = {p.name: name for name, p in net._collect_params_with_prefix().items()}
    moving: Set[int] = set()  # nodes that depend on the input
    result: Dict[str, Layer] = {}
    for number, node in enumerate(nodes):
        sources = [source for source, *_ in node['inputs']]
        if node['name'] == 'data' and node['op'] == 'null' or moving.intersection(sources):
            moving.add(number)
        if node['op'] not in ('Convolution', 'FullyConnected') or sources[1] in moving:
            continue
        weight = structural.get(nodes[sources[1]]['name'])
        name = weight.rsplit('.', 1)[0] if weight else _own(node['name'], net.branches.prefix)
        while name in result:  # weights that several layers share
            name += '+'
        result[name] = Layer(name, node['name'], node['op'] == 'FullyConnected')
    return list(result.values())


def _own(name: str, prefix: str) -> str:
    """The name of a node without the prefix that numbers the networks of a process."""
    return name[len(prefix) :] if name.startswith(prefix) else name
