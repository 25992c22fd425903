"""A network's graph with a variable added to some of its layers, by which gradients with respect to features are had.

    x -> layers -> features -> + -> further layers -> logits     the gradient of a logit with respect to the features is
                  offset = 0 --'                                 that with respect to the offset

The network itself is left as it is: its graph is traced once more, beside the graphs that it runs by, and reads the
same parameters. None of these gets a gradient, whatever its `grad_req`, so that frozen ones are no matter.

The graph runs as in training, but with the running statistics of its batch norms and without dropout, which makes it
inference: where inference itself is recorded (`autograd.record(train_mode=False)`), MXNet 1.9.1 gets gradients wrong,
as oneDNN's max pooling does not keep there what its gradient needs.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import OrderedDict
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.gluon import Block, HybridBlock, nn

from ..backbones.twostream import STREAMS
from ..errors import UserError, unknown
from ..nn.batch_norm_lstm import set_length
from ..nn.tracing import TRACING
from .network_facts import name_of

STAGES = ('F2', 'F3', 'F4', 'F5')
_OFFSET = 'gradient_offset'
_OUTER = ('branches.', 'backbone.')  # what a recognizer's blocks lie in

Entry = Tuple[int, int]  # a node of a graph, and which of its outputs
Node = Dict[str, Any]


class Passed(NamedTuple):
    """What a pass of a `LayerGraph` gives.

    Parameters
    ----------
    logits
        (N, M) of each output of the network, the prediction first
    features
        of the layer, an array for each stream that it has, else one
    gradient
        takes weights (M,) and returns the gradient of the weighted sum of the prediction's logits, over the batch, with
        respect to those features, likewise; may be called again
    """

    logits: List[np.ndarray]
    features: List[np.ndarray]
    gradient: Callable[[np.ndarray], List[np.ndarray]]


class LayerGraph:
    """The graph of a network on inputs of one shape, and the layers in it whose features have places.

    Parameters
    ----------
    net
        an initialized recognizer, or another network of Gluon on clips (N, C, T, H, W) or images (N, C, H, W), for
        example GluonCV's
    shape
        of the input

    Attributes
    ----------
    shapes
        layer -> shape of its features, of all streams together. Of a recognizer these are the stages of its backbone,
        'F2' to 'F5', and the blocks inside it by their structural names without 'branches.' and 'backbone.', those
        behind the backbone where they keep its places; of others the blocks alone
    classes
        number of classes, M
    streams
        names of the streams that a stage's features consist of, or ()
    default
        the last stage that all branches of the prediction read, F5 for most; of a network that is no recognizer the
        last block with the most channels among those with the smallest maps

    Raises
    ------
    UserError
        a network that needs true labels, or has no such layer
    """

    def __init__(self, net: HybridBlock, shape: Sequence[int]):
        if getattr(net, 'takes_labels', False):
            raise UserError(f'{net.name} reads true labels, which a video does not bring; choose another network')
        self.net, self.shape = net, tuple(shape)
        traced = _trace(net, self.shape)
        parts = [(name, symbol) for name, symbols in traced.layers.items() for symbol in symbols]
        whole = mx.sym.Group([*traced.outputs, *(symbol for _, symbol in parts), *traced.normalized])
        sizes = [tuple(size) for size in whole.infer_shape(data=self.shape)[1]]
        self.classes = sizes[0][-1]
        graph = json.loads(whole.tojson())
        entries: List[Entry] = [(node, output) for node, output, *_ in graph['heads']]
        self._nodes: List[Node] = graph['nodes']
        self._version = graph['attrs']
        self._ranks = {entry: len(size) for entry, size in zip(entries, sizes)}
        self._heads = entries[: len(traced.outputs)]
        self._before = [self._needed(head) for head, _ in self._heads]
        self._entries: Dict[str, List[Entry]] = {}
        self._sizes: Dict[str, List[Tuple[int, ...]]] = {}
        for (name, _), entry, size in zip(parts, entries[len(self._heads) :], sizes[len(self._heads) :]):
            if len(size) == len(self.shape) and size[-1] * size[-2] > 1 and entry[0] in self._before[0]:
                self._entries.setdefault(name, []).append(entry)
                self._sizes.setdefault(name, []).append(size)
        grids = {self._sizes[name][0][2:] for name in STAGES if name in self._sizes}
        self.shapes: Dict[str, Tuple[int, ...]] = {
            name: (*of_streams[0][:1], sum(size[1] for size in of_streams), *of_streams[0][2:])
            for name, of_streams in self._sizes.items()
            if name in traced.inside or not grids or of_streams[0][2:] in grids
        }
        self.streams = STREAMS if any(len(of_streams) > 1 for of_streams in self._sizes.values()) else ()
        if not self.shapes:
            raise UserError(f'{name_of(net)} has no layer whose features have places')
        self.default = self._default()

    def check(self, layer: str) -> None:
        """Refuse a layer that there is not, in a line that names the stages, or outer blocks, and the closest block."""
        if layer not in self.shapes:
            stages = [name for name in self.shapes if name in STAGES]
            outer = stages or [name for name in self.shapes if name.count('.') < 2]
            hint = str(unknown('layer', layer, self.shapes)).partition('; ')[2]
            close = f'{hint} ' if hint.startswith('did you mean') else ''
            inner = [name for name in self.shapes if '.' in name]
            blocks = f', or a block such as {inner[-1]}' if stages and inner else ''
            raise UserError(
                f'{name_of(self.net)} has no layer {layer!r}; {close}choose from {", ".join(outer[:12])}{blocks}'
            )

    def reads(self, layer: str) -> List[bool]:
        """Whether each output of the network is computed from a layer's features."""
        self.check(layer)
        return [all(node in before for node, _ in self._entries[layer]) for before in self._before]

    def passing(self, layer: str) -> Callable[..., Passed]:
        """Make a function that takes an input, and parameters by their full names in place of the network's own."""
        self.check(layer)
        symbol, sizes = self._with_offsets(self._entries[layer]), self._sizes[layer]
        run, names, count = mx.nd.CachedOp(symbol), symbol.list_inputs(), len(self._heads)
        own = self.net.collect_params()

        def run_once(x: mx.nd.NDArray, others: Optional[Mapping[str, mx.nd.NDArray]] = None) -> Passed:
            offsets = [mx.nd.zeros(size, ctx=x.context) for size in sizes]
            for offset in offsets:
                offset.attach_grad()
            given = {'data': x, **{f'{_OFFSET}{k}': offset for k, offset in enumerate(offsets)}, **(others or {})}
            inputs = [given[name] if name in given else own[name].data(x.context) for name in names]
            with autograd.record():
                outputs = run(*inputs)

            def gradient(weights: np.ndarray) -> List[np.ndarray]:
                wanted = mx.nd.array(np.broadcast_to(weights, outputs[0].shape), ctx=x.context)
                slopes = autograd.grad(outputs[:1], offsets, head_grads=[wanted], retain_graph=True)
                return [slope.asnumpy() for slope in slopes]

            values = [output.asnumpy() for output in outputs]
            return Passed(values[:count], values[count:], gradient)

        return run_once

    def _needed(self, head: int) -> Set[int]:
        """The nodes that a node is computed from, and itself."""
        seen: Set[int] = set()
        waiting = [head]
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting += [source for source, *_ in self._nodes[node]['inputs']]
        return seen

    def _default(self) -> str:
        stages = [name for name in STAGES if name in self.shapes]
        if not stages:
            last = max(
                self.shapes,
                key=lambda name: (-np.prod(self.shapes[name][-2:]), self.shapes[name][1], self._entries[name]),
            )
            same = [name for name in self.shapes if self._entries[name] == self._entries[last]]
            return min(same, key=lambda name: name.count('.'))  # the outermost of blocks that end with each other
        counted = [self.net.branch_names.index(name) for name in self.net.trained_branches]
        complete = [name for name in stages if all(self.reads(name)[place] for place in counted)]
        return (complete or stages)[-1]

    def _with_offsets(self, marked: Sequence[Entry]) -> mx.sym.Symbol:
        """The graph for inference with a variable added to some entries: its outputs, then those sums."""
        nodes: List[Node] = []
        places: Dict[int, int] = {}  # of a former node among the new ones
        sums: Dict[Entry, List[int]] = {}

        def add(op: str, name: str, inputs: List[List[int]], **attrs: str) -> List[int]:
            nodes.append({'op': op, 'name': name, 'inputs': inputs, 'attrs': attrs})
            return [len(nodes) - 1, 0, 0]

        def moved(entry: Entry) -> List[int]:
            return sums.get(entry) or [places[entry[0]], entry[1], 0]

        for number, node in enumerate(self._nodes):
            sources = [(source, output) for source, output, *_ in node['inputs']]
            inputs, attrs = [moved(source) for source in sources], dict(node.get('attrs', {}))
            clip = node['op'] == 'BatchNorm' and self._ranks.get(sources[0]) == 5
            if clip:  # oneDNN's gradient fails on clips: see `nn.norm.BatchNorm3D`
                whole = inputs[0]
                inputs[0] = add('Reshape', f'{node["name"]}_rows', [whole], shape='(0, 0, -3, 0)')
            made = add(node['op'], node['name'], inputs, **{**attrs, **_INFERENCE.get(node['op'], {})})
            if clip:
                made = add('reshape_like', f'{node["name"]}_clip', [made, whole])
            places[number] = made[0]
            for k, entry in enumerate(marked):
                if entry[0] == number:
                    offset = add('null', f'{_OFFSET}{k}', [])
                    sums[entry] = add('elemwise_add', f'{_OFFSET}{k}_added', [moved(entry), offset])
        graph = {
            'nodes': nodes,
            'arg_nodes': [number for number, node in enumerate(nodes) if node['op'] == 'null'],
            'node_row_ptr': list(range(len(nodes) + 1)),
            'heads': [moved(entry) for entry in (*self._heads, *marked)],
            'attrs': self._version,
        }
        return mx.sym.load_json(json.dumps(graph))


# What makes a graph that runs as in training inference, all but max pooling.
_INFERENCE: Dict[str, Dict[str, str]] = {
    'BatchNorm': {'use_global_stats': 'True'},
    'Dropout': {'p': '0'},
    'RNN': {'p': '0'},
}


class _Traced(NamedTuple):
    """Outputs of a network as symbols, those of its layers by name (of each stream), and what its batch norms read.

    `inside`: names of the layers in its backbone.
    """

    outputs: List[mx.sym.Symbol]
    layers: Dict[str, List[mx.sym.Symbol]]
    normalized: List[mx.sym.Symbol]
    inside: Set[str]


def _trace(net: HybridBlock, shape: Sequence[int]) -> _Traced:
    """Trace a network beside its own graphs; logits of all branches of a recognizer."""
    layers: Dict[str, List[mx.sym.Symbol]] = {}
    normalized: List[mx.sym.Symbol] = []
    branches = getattr(net, 'branches', net)
    backbone = getattr(branches, 'backbone', None)
    parts = [] if backbone is None else backbone.parts
    stages: Dict[int, Sequence[mx.sym.Symbol]] = {}

    def see(block: Block, name: str, arguments: Sequence[Any], output: Any) -> None:
        if any(block is part for part in parts):
            stages[id(block)] = output
        elif isinstance(output, mx.sym.Symbol) and len(output.list_outputs()) == 1 and name:
            layers[name] = [output]
        if isinstance(block, nn.BatchNorm):
            normalized.append(arguments[0])

    with TRACING, _watched(net, see):
        if len(shape) == 5:
            set_length(net, shape[2])
        output = branches(mx.sym.var('data'))
    outputs = list(output) if isinstance(output, (list, tuple)) else [output]
    outputs = outputs[: len(getattr(net, 'branch_names', outputs))]
    of_parts = [stages[id(part)] for part in parts]
    named = {name: [of_part[k] for of_part in of_parts] for k, name in enumerate(STAGES) if of_parts}
    inside = {name for part in parts for _, name in _blocks(net, part)}
    return _Traced(outputs, {**named, **layers}, normalized, {*named, *inside})


@contextlib.contextmanager
def _watched(net: HybridBlock, see: Callable[[Block, str, Sequence[Any], Any], None]) -> Iterator[None]:
    """While open, `see` is told of every block of a network that is called with symbols: block, name, inputs, output.

    A block's hooks are replaced, not added to, as another thread may be going through them.
    """
    blocks, here = _blocks(net), threading.get_ident()
    before = [block._forward_hooks for block, _ in blocks]

    def hook(name: str) -> Callable[..., None]:
        def told(block: Block, arguments: Sequence[Any], output: Any) -> None:
            if threading.get_ident() == here:
                see(block, name, arguments, output)

        return told

    try:
        for block, name in blocks:
            block._forward_hooks = OrderedDict([*block._forward_hooks.items(), (-1, hook(name))])
        yield
    finally:
        for (block, _), hooks in zip(blocks, before):
            block._forward_hooks = hooks


def _blocks(net: HybridBlock, below: Optional[HybridBlock] = None) -> List[Tuple[Block, str]]:
    """All blocks of a network, or of one of its blocks, with their names as `LayerGraph.shapes` has them."""
    seen: Dict[int, Tuple[Block, str]] = {}

    def visit(block: Block, path: str, wanted: bool) -> None:
        name, wanted = path, wanted or block is below
        for outer in _OUTER if hasattr(net, 'branches') else ():
            name = name[len(outer) :] if name.startswith(outer) else name
        if wanted and id(block) not in seen:
            seen[id(block)] = block, name
        for child, inner in block._children.items():
            visit(inner, f'{path}.{child}' if path else str(child), wanted)

    visit(net, '', below is None)
    return list(seen.values())
