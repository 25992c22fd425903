"""An ONNX graph as it grows: values of known shape, constants, and the nodes between them."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from typing import Any, Dict, Iterable, List, Optional, Sequence, Set, Tuple, Union

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..graph import Shape

OPSET = 17  # the first that has layer normalization
IR_VERSION = 8  # of that opset: older runtimes read it, too
BATCH = -1  # a size that grows with the batch


@dataclasses.dataclass(frozen=True)
class Value:
    """What a node hands on.

    Parameters
    ----------
    name
        in the ONNX graph
    shape
        sizes; BATCH where it grows with the batch
    array
        its numbers where they are known: a parameter's
    zero
        whether all of it is zero, whatever the input
    turned
        the value that this one is, read backwards along some axes, and those axes
    padded
        the value that this one is with its edges repeated, and how often: (begin, end) of each axis
    """

    name: str
    shape: Shape
    array: Optional[np.ndarray] = None
    zero: bool = False
    turned: Optional[Tuple[Value, Tuple[int, ...]]] = None
    padded: Optional[Tuple[Value, Tuple[Tuple[int, int], ...]]] = None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)


Input = Union[Value, np.ndarray, str]


class Graph:
    """Collects nodes and initializers under unique names, and makes a model of those that its outputs need."""

    def __init__(self) -> None:
        self._nodes: List[onnx.NodeProto] = []
        self._initializers: Dict[str, onnx.TensorProto] = {}
        self._by_content: Dict[Tuple[Any, ...], List[str]] = {}  # initializers and nodes -> their names
        self._taken: Dict[str, int] = collections.Counter()

    def unique(self, name: str) -> str:
        """A name that nothing has yet."""
        self._taken[name] += 1
        return name if self._taken[name] == 1 else self.unique(f'{name}.{self._taken[name]}')

    def constant(self, array: np.ndarray, name: str = 'constant') -> str:
        """The name of an initializer of these numbers; equal ones are kept once."""
        array = np.ascontiguousarray(array)
        key = (str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).digest())
        if key not in self._by_content:
            own = self.unique(name)
            self._by_content[key] = [own]
            self._initializers[own] = numpy_helper.from_array(array, own)
        return self._by_content[key][0]

    def add(self, operator: str, name: str, *inputs: Input, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; returns the name of its output, or the list of names where it has several.

        An input may be a value, an array, or a name as this returns it. A node that is there already, of the same
        inputs and attributes, is not added again: MXNet has a layer twice that a network and its view both read.
        """
        named = [self.name_of(source, f'{name}.constant') for source in inputs]
        key = (operator, tuple(named), outputs, repr(sorted(attributes.items())))
        if key not in self._by_content:
            name = self.unique(name)
            produced = [name] if outputs == 1 else [self.unique(f'{name}.{i}') for i in range(outputs)]
            self._nodes.append(helper.make_node(operator, named, produced, name, **attributes))
            self._by_content[key] = produced
        produced = self._by_content[key]
        return produced[0] if outputs == 1 else produced

    def name_of(self, source: Input, name: str = 'constant') -> str:
        """The name of a value in the graph; known numbers become an initializer."""
        if isinstance(source, str):
            return source
        if isinstance(source, np.ndarray):
            return self.constant(source, name)
        return source.name if source.array is None else self.constant(source.array, source.name)

    def model(self, name: str, data: Value, outputs: Sequence[Tuple[str, Value]], batch: str) -> onnx.ModelProto:
        """The model from 'data' to named outputs; `batch` names the input's first size.

        Nodes and initializers that no output needs are left out.
        """
        self._name_outputs(data, outputs)
        nodes = _needed(self._nodes, {output for output, _ in outputs})
        read = {source for node in nodes for source in node.input}
        graph = helper.make_graph(
            nodes,
            name,
            [_described(data.name, data, data.shape, batch)],
            [_described(output, value, data.shape, batch) for output, value in outputs],
            [tensor for own, tensor in self._initializers.items() if own in read],
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid('', OPSET)],
            ir_version=IR_VERSION,
            producer_name='gluon_fg',
        )

    def _name_outputs(self, data: Value, outputs: Sequence[Tuple[str, Value]]) -> None:
        """Give values the names of the outputs that they are; OpenVINO knows a copy by both its names."""
        named: Dict[str, str] = {}
        for output, value in outputs:
            source = self.name_of(value)
            if source in named or source in self._initializers or source == data.name:
                self._nodes.append(helper.make_node('Identity', [source], [output], f'output:{output}'))
            else:
                named[source] = output
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [named.get(name, name) for name in names]


def _needed(nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> List[onnx.NodeProto]:
    """Those of nodes, which are in order, that lead to some output."""
    wanted: Set[str] = set(outputs)
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    return kept[::-1]


def _described(name: str, value: Value, data: Shape, batch: str) -> onnx.ValueInfoProto:
    sizes: List[Union[int, str]] = [
        size if size != BATCH else (batch if axis == 0 else f'{name}.{axis}') for axis, size in enumerate(value.shape)
    ]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)
