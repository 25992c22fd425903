"""What a traced graph consists of: its nodes, and the shapes between them; nothing is computed or allocated."""

from __future__ import annotations

import collections
import json
import re
import types
from typing import Any, Dict, List, Mapping, Optional, Tuple

import mxnet as mx

from ..errors import UserError

Shape = Tuple[int, ...]


def inferred_shapes(
    symbol: mx.sym.Symbol,
    shape: Shape,
    name: str,
    usual: Optional[Shape] = None,
    known: Mapping[str, Shape] = types.MappingProxyType({}),
    casts: bool = False,
) -> Tuple[List[Dict[str, Any]], Dict[Tuple[int, int], Shape]]:
    """Give the nodes of a graph, and the shape of everything that they hand on.

    Parameters
    ----------
    symbol
        the graph, of one variable 'data'
    shape
        of 'data'
    name
        of the network, for the message
    usual
        a shape that the network takes, for the message
    known
        shapes of parameters by name, where the graph itself does not say them
    casts
        keep the casts between float32 and float16 of MXNet's AMP, which writing a graph leaves out otherwise

    Returns
    -------
    The nodes, as in the graph's JSON and with their own names, and (number of the node, number of its output) -> shape.

    Raises
    ------
    UserError
        the network cannot take this shape
    """
    graph = json.loads(symbol.tojson(remove_amp_cast=not casts))
    nodes = graph['nodes']
    names = [node['name'] for node in nodes]
    # A block used twice gives its nodes the same name twice, so shapes are asked for by numbers.
    for number, node in enumerate(nodes):
        node['name'] = f'n{number}'
    numbered = mx.sym.load_json(json.dumps(graph)).get_internals()
    for node, own in zip(nodes, names):
        node['name'] = own
    given = {**known, 'data': shape}
    sizes = {f'n{i}': given[own] for i, own in enumerate(names) if own in given and nodes[i]['op'] == 'null'}
    reason = 'its sizes do not fit'
    try:
        # 'partial' is the one of the two that does not print its arguments when they are wrong
        inferred = numbered.infer_shape_partial(**sizes)[1]
    except mx.MXNetError as error:
        inferred, reason = None, _reason(error, names)
    if inferred is None or any(not size or 0 in size for size in inferred):
        hint = f'; it takes, for example, {usual}' if usual else ''
        raise UserError(f'{name} cannot take an input of shape {shape}: {reason}{hint}')
    shapes: Dict[Tuple[int, int], Shape] = {}
    outputs: Dict[int, int] = collections.Counter()
    for output, size in zip(numbered.list_outputs(), inferred):
        number = int(re.findall(r'^n(\d+)', output)[0])
        shapes[number, outputs[number]] = tuple(size)
        outputs[number] += 1
    return nodes, shapes


def _reason(error: Exception, names: List[str]) -> str:
    """What MXNet objects to, on one line, with the graph's own name of the operator."""
    said = re.findall(r'Error in operator (n\d+: )(?:\[.*Check failed: )?(.*)', str(error))
    reason = ''.join(said[-1]) if said else str(error).strip().splitlines()[-1]
    return re.sub(r'\bn(\d+)\b', lambda number: names[int(number.group(1))], reason).strip()
