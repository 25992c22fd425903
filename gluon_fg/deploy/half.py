"""A converted network whose convolutions compute in float16: an ONNX model in, another one out.

Convolutions are nearly all of the work; they, what moves their outputs around, and what compares or adds two of them
are in float16. The rest stays in float32: sums and means over positions leave float16's range (65504), squares and
exponentials its precision, statistics of batch norms and constants such as 1e-6 lie below its normal numbers (6e-5);
matrix products here sum over positions or score them, and dense layers are too small to gain. Inputs and outputs are
float32. A number goes from one to the other only where its user needs it: never to float16 and back in between.
"""

from __future__ import annotations

import hashlib
from typing import Any, Dict, List, Set, Union

import numpy as np

from ..errors import UserError
from . import cache

_COMPUTED = ('Conv', 'ConvTranspose')
# In float16 where all that was computed and comes in is
_FOLLOWING = (
    'Identity Reshape Flatten Squeeze Unsqueeze Transpose Slice Split Concat Pad Gather Expand '
    'Relu Sigmoid Clip Add Sum Mul MaxPool AveragePool GlobalMaxPool'
).split()


def to_float16(model: Union[bytes, str]) -> bytes:
    """Convert a model for inference, given as bytes or a file's path; the result is kept on disk (`cache`).

    Raises
    ------
    UserError
        a weight of a convolution is larger than float16 can hold
    """
    import onnx

    if isinstance(model, str):
        with open(model, 'rb') as stream:
            model = stream.read()
    facts = f'float16 {onnx.__version__} {cache.code_digest("deploy/half.py")} '
    key = hashlib.sha256(facts.encode() + hashlib.sha256(model).digest()).hexdigest()
    content = model
    return cache.kept(key, lambda: _Half(onnx.shape_inference.infer_shapes(onnx.load_from_string(content))).converted())


class _Half:
    """One conversion: goes through the nodes in their order, and knows of each number in which precision it is."""

    def __init__(self, model: Any):
        from onnx import TensorProto, helper, numpy_helper

        self._model, self._graph = model, model.graph
        self._single, self._half = TensorProto.FLOAT, TensorProto.FLOAT16
        self._make, self._arrays = helper, numpy_helper
        graph = model.graph
        self._weights = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == self._single}
        known = (*graph.input, *graph.value_info, *graph.output)
        self._real = {value.name for value in known if value.type.tensor_type.elem_type == self._single}
        self._real.update(self._weights)
        self._in_half: Set[str] = set()  # computed in it
        self._forms: Dict[str, str] = {}  # a number's name -> that of its other precision
        self._nodes: List[Any] = []

    def converted(self) -> bytes:
        outputs = {value.name for value in self._graph.output}
        for node in list(self._graph.node):
            half = self._computes_in_half(node)
            for place, name in enumerate(node.input):
                if name in self._real and half != (name in self._in_half):
                    node.input[place] = self._other(name)
            self._nodes.append(node)
            for place, name in enumerate(node.output):
                if half and name in self._real:
                    if name in outputs:
                        node.output[place] = f'{name}.float16'
                        self._forms[node.output[place]] = name
                        self._cast(node.output[place], name, self._single)
                        continue  # others take the output itself, in float32
                    self._in_half.add(name)
        used = {name for node in self._nodes for name in node.input} | outputs
        kept = [tensor for tensor in self._graph.initializer if tensor.name in used]
        for field, values in (('node', self._nodes), ('initializer', kept), ('value_info', [])):
            content = [type(value).FromString(value.SerializeToString()) for value in values]
            self._graph.ClearField(field)
            getattr(self._graph, field).extend(content)
        return self._model.SerializeToString()

    def _computes_in_half(self, node: Any) -> bool:
        if node.op_type in _COMPUTED:
            return True
        computed = [name for name in node.input if name in self._real and name not in self._weights]
        return node.op_type in _FOLLOWING and bool(computed) and self._in_half.issuperset(computed)

    def _other(self, name: str) -> str:
        """A number in its other precision, which is made where it is first needed."""
        if name not in self._forms:
            half = name not in self._in_half
            self._forms[name] = f'{name}.{"float16" if half else "float32"}'
            if name in self._weights:
                self._graph.initializer.append(self._rounded(self._weights[name], self._forms[name]))
            else:
                self._cast(name, self._forms[name], self._half if half else self._single)
        return self._forms[name]

    def _cast(self, name: str, other: str, kind: int) -> None:
        self._nodes.append(self._make.make_node('Cast', [name], [other], name=other, to=kind))

    def _rounded(self, tensor: Any, name: str) -> Any:
        value = self._arrays.to_array(tensor)
        largest = float(np.abs(value).max(initial=0))
        if largest > np.finfo('float16').max:
            raise UserError(f'precision float16: {tensor.name} has {largest:.4g}, above 65504; choose float32')
        return self._arrays.from_array(value.astype('float16'), name)
