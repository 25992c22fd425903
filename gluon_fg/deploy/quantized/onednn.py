"""INT8 by MXNet: the fused oneDNN graph with quantized convolutions, whose ranges are read from real clips.

MXNet's own `quantize_model` is not used as it stands. It quantizes element-wise sums and products, and dense layers,
whose INT8 operators in MXNet 1.9.1 stop at signed inputs or corrupt memory where a graph has several of them; they are
little of a network's arithmetic, and stay float32 here. And its calibration reads tensors in oneDNN's own layout
through a callback that fails for some of them, after which their ranges are silently missing: here the graph itself
gives the ranges of all tensors.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Collection, Dict, List, Mapping, Sequence, Set, Tuple

import mxnet as mx
import numpy as np
from mxnet.contrib import quantization
from mxnet.gluon import HybridBlock, ParameterDict

from ...errors import UserError
from ...files import atomic_write
from ...nn.batch_norm_lstm import set_length
from ...nn.norm import deploy_symbol
from ...nn.tracing import TRACING
from ...npz import NpzError, read_npz
from .. import fused
from ..folding import fold
from ..fused import Forward
from .layers import Layer, layers_of
from .packing import pack, unpack

FILE = 'model.npz'
_KINDS = {'graph': 'u', 'arg:*': 'f', 'aux:*': 'f', 'int8:arg:*': 'i', 'scale:arg:*': 'f'}
_QUANTIZED = ('_sg_mkldnn_conv', 'Pooling', 'Concat', 'Activation')  # which MXNet's INT8 operators serve


def compiled(symbol: mx.sym.Symbol, arrays: Mapping[str, mx.nd.NDArray]) -> Forward:
    """A graph of the variable 'data' and its arrays, 'arg:name' or 'aux:name', as a function that threads may share."""
    params = ParameterDict()
    for name, array in arrays.items():
        p = params.get(name.split(':', 1)[1], shape=array.shape, grad_req='null')
        p.initialize(mx.init.Zero())
        p.set_data(array)
    return fused.compiled(symbol, params)


class Model:
    """A quantized network: MXNet's graph of the variable 'data', and its arrays, 'arg:name' or 'aux:name'."""

    def __init__(self, symbol: mx.sym.Symbol, packed: Mapping[str, np.ndarray]):
        self.symbol, self._packed = symbol, packed

    @property
    def params(self) -> Dict[str, mx.nd.NDArray]:
        """The arrays as MXNet computes with them."""
        return {name: mx.nd.array(array) for name, array in unpack(self._packed).items()}

    def forward(self) -> Forward:
        """The network as a function from a batch to the logits of all branches."""
        return compiled(self.symbol, self.params)

    def compute(self, x: np.ndarray) -> List[np.ndarray]:
        """Compute the logits of all branches."""
        if self._forward is None:
            self._forward = self.forward()
        return [z.asnumpy() for z in self._forward(mx.nd.array(x))]

    _forward: Any = None

    def save(self, folder: Path) -> None:
        """Write it as `FILE` into a folder."""
        graph = np.frombuffer(self.symbol.tojson().encode(), np.uint8)
        with atomic_write(folder / FILE, 'wb') as stream:
            np.savez_compressed(stream, graph=graph, **self._packed)

    @classmethod
    def load(cls, folder: Path) -> Model:
        """Read what `save` wrote; raises UserError where it is damaged."""
        try:
            packed = read_npz(folder / FILE, _KINDS)
            symbol = mx.sym.load_json(packed.pop('graph').tobytes().decode())
        except (NpzError, UnicodeDecodeError, mx.MXNetError) as error:
            raise UserError(f'{folder / FILE}: no quantized network, or damaged ({error})') from None
        return cls(symbol, packed)


class Quantizer:
    """Makes quantized forms of one network, with some layers left in float32.

    Parameters
    ----------
    net
        a recognizer, in the form that it is to be used in (`num_segments`, length of its clips)
    batches
        network inputs whose ranges are those that the quantized layers can tell apart

    Attributes
    ----------
    layers
        names of all layers that can be quantized, in the graph's order
    fixed_sizes
        which sizes of a video's input (C, T, H, W), or (segments, C, H, W), the quantized forms are made for

    Raises
    ------
    UserError
        the network has no such layer
    """

    runtime = 'mxnet'

    def __init__(self, net: HybridBlock, batches: Sequence[np.ndarray]):
        images = net.input_spec.ndim == 2
        self.fixed_sizes = (0,) if images else (1,) if set_length(net, batches[0].shape[2]) else ()
        with TRACING:
            symbol, params = deploy_symbol(net.branches)
        symbol, params = fold(mx.sym.Group([symbol[i] for i in range(len(net.branch_names))]), params)
        layers = layers_of(net, symbol)
        self._fused = symbol.get_backend_symbol('MKLDNN_QUANTIZE')
        self._nodes = json.loads(self._fused.tojson())['nodes']
        inside = {name: node['name'] for node in self._nodes for name in _fused_into(node)}
        self._places = {layer.name: inside[layer.node] for layer in layers if layer.node in inside}
        if not self._places:
            raise UserError(f'{net.name} cannot be quantized: it has no convolution that MXNet computes in INT8')
        known = set(self._fused.list_arguments()) | set(self._fused.list_auxiliary_states())
        arrays = {name: value.asnumpy() for name, value in params.items() if name.split(':', 1)[1] in known}
        self._packed = pack(arrays, _weights(symbol, layers, arrays))
        self._ranges = self._measured(batches)
        wrong = {node['name'] for node in self._nodes if self._overflows(node)}
        self._places = {name: place for name, place in self._places.items() if place not in wrong}
        self.layers = tuple(self._places)

    def _overflows(self, node: Mapping[str, Any]) -> bool:
        """Whether a convolution adds to its output what has no negative numbers, and has some itself.

        MXNet takes the sum's 8 bits, which hold no sign, for those of the output, which do: what is above half of the
        range becomes negative.
        """
        if not _is_convolution(node) or node.get('attrs', {}).get('with_sum') != 'true':
            return False
        added = self._nodes[node['inputs'][-1][0]]['name']
        low = [self._ranges.get(name, (0.0, 0.0))[0] for name in (f'{node["name"]}_output', f'{added}_output')]
        return low[0] < 0 <= low[1]

    def quantized(self, excluded: Collection[str] = ()) -> Model:
        """Make the network with all layers quantized but those excluded."""
        symbol, wanted = self._marked([self._places[name] for name in excluded])
        ranges = {name: self._ranges[name] for name in wanted}
        symbol = quantization._calibrate_quantized_sym(symbol, ranges).get_backend_symbol('MKLDNN_QUANTIZE')
        return Model(symbol, self._packed)

    def _marked(self, excluded: Sequence[str]) -> Tuple[mx.sym.Symbol, List[str]]:
        """The graph with INT8 operators, and the names of the tensors whose ranges they want to know."""
        others = [node['name'] for node in self._nodes if _is_convolution(node)]
        excluded = [*excluded, *(name for name in others if name not in self._places.values())]
        operators = {node['op'] for node in self._nodes if node['op'] != 'null'}
        arguments: Tuple[Any, ...] = (excluded, sorted(operators - set(_QUANTIZED)), [], 'auto', 'smart', 'tensor-wise')
        return quantization._quantize_symbol(self._fused, mx.cpu(), *arguments)

    def _measured(self, batches: Sequence[np.ndarray]) -> Dict[str, Tuple[float, float]]:
        """Name of a tensor -> (smallest, largest) number in it over all batches."""
        names = sorted(self._tensors().union(self._marked([])[1]))
        internals = self._fused.get_internals()
        ends = mx.sym.Group([end(internals[name]) for name in names for end in (mx.sym.min, mx.sym.max)])
        forward = compiled(ends, {name: mx.nd.array(array) for name, array in unpack(self._packed).items()})
        extremes = [[float(value.asscalar()) for value in forward(mx.nd.array(batch))] for batch in batches]
        low, high = np.min(extremes, axis=0)[::2], np.max(extremes, axis=0)[1::2]
        return {name: (float(a), float(b)) for name, a, b in zip(names, low, high)}

    def _tensors(self) -> Set[str]:
        """What convolutions read and hand on: with other layers excluded, ranges of other ones are wanted."""
        outputs = set(self._fused.get_internals().list_outputs())
        names = set()
        for node in self._nodes:
            if _is_convolution(node):
                sources = [self._nodes[source]['name'] for source in (node['inputs'][0][0], node['inputs'][-1][0])]
                names |= {f'{node["name"]}_output', sources[0], *(f'{source}_output' for source in sources)}
        return names & outputs


def _is_convolution(node: Mapping[str, Any]) -> bool:
    return bool(node['op'] == '_sg_mkldnn_conv')


def _fused_into(node: Mapping[str, Any]) -> List[str]:
    """Names of the convolutions that a node of the fused graph computes."""
    if not _is_convolution(node):
        return []
    return [part['name'] for graph in node['subgraphs'] for part in graph['nodes'] if part['op'] == 'Convolution']


def _weights(symbol: mx.sym.Symbol, layers: Sequence[Layer], arrays: Mapping[str, np.ndarray]) -> List[str]:
    """Names of the arrays that are weights of some layers, dense ones included."""
    nodes = json.loads(symbol.tojson())['nodes']
    wanted = {layer.node for layer in layers}
    sources = (nodes[node['inputs'][1][0]]['name'] for node in nodes if node['name'] in wanted)
    return [name for name in (f'arg:{source}' for source in sources) if name in arrays]
