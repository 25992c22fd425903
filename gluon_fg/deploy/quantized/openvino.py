"""INT8 by OpenVINO: NNCF's post-training quantization of the ONNX form of a network.

NNCF writes weights in float32 with an operator behind them that rounds them; here they are rounded once, so that the
file has a quarter of their bytes. OpenVINO reads the file as it is and computes what stands between the marks in INT8.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
from pathlib import Path
from typing import Any, Collection, List, Sequence

import numpy as np
from mxnet.gluon import HybridBlock

from ...errors import UserError
from ...files import atomic_path
from ...nn.batch_norm_lstm import set_length
from ...nn.norm import deploy_symbol
from ...nn.tracing import TRACING
from ..folding import fold
from .layers import layers_of

FILE = 'model.onnx'
PACKAGES = ('nncf', 'onnx', 'openvino')
_ALONE = 'NNCF_CI'  # set, it keeps NNCF from reporting to its makers what it is used for


class Model:
    """A quantized network as an ONNX file: `path`, None where it is not written yet."""

    def __init__(self, model: Any = None, path: Any = None):
        self._model, self.path = model, path

    def compute(self, x: np.ndarray) -> List[np.ndarray]:
        """Compute the logits of all branches."""
        if self._compiled is None:
            import openvino

            core, settings = openvino.Core(), {'INFERENCE_PRECISION_HINT': 'f32', 'ENABLE_CPU_PINNING': False}
            network = core.read_model(str(self.path) if self._model is None else self._model.SerializeToString())
            self._compiled = core.compile_model(network, 'CPU', settings)
        return [np.array(z) for z in self._compiled({'data': np.ascontiguousarray(x)}).values()]

    _compiled: Any = None

    def save(self, folder: Path) -> None:
        """Write it as `FILE` into a folder."""
        import onnx

        with atomic_path(folder / FILE) as path:
            onnx.save(self._model, path)

    @classmethod
    def load(cls, folder: Path) -> Model:
        """Tell where it lies."""
        return cls(path=folder / FILE)


class Quantizer:
    """Makes quantized forms of one network, with some layers left in float32: as `onednn.Quantizer`.

    Raises
    ------
    UserError
        NNCF or OpenVINO is not installed, or the network has no layer that can be quantized
    """

    runtime = 'openvino'

    def __init__(self, net: HybridBlock, batches: Sequence[np.ndarray]):
        check_installed()
        from ..onnx import network_onnx

        if net.input_spec.ndim == 3:
            set_length(net, batches[0].shape[2])
        with TRACING:
            symbol, params = deploy_symbol(net.branches)
        named = {layer.node: layer.name for layer in layers_of(net, fold(symbol, params)[0])}
        self._model = network_onnx(net, (), batches[0].shape)
        nodes = [node.name for node in self._model.graph.node if node.op_type in ('Conv', 'Gemm', 'MatMul')]
        self._places = {named[node]: node for node in nodes if node in named}
        self.layers = tuple(self._places)
        if not self.layers:
            raise UserError(f'{net.name} cannot be quantized: it has no convolution and no dense layer')
        self._batches, self.fixed_sizes = batches, tuple(range(4))

    def quantized(self, excluded: Collection[str] = ()) -> Model:
        """Make the network with all layers quantized but those excluded."""
        os.environ.setdefault(_ALONE, '1')
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            import nncf

            nncf.set_log_level(logging.ERROR)
            made = nncf.quantize(
                self._model,
                nncf.Dataset(self._batches, lambda batch: {'data': batch}),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(self._batches),
                ignored_scope=nncf.IgnoredScope(names=[self._places[name] for name in excluded]) if excluded else None,
            )
        return Model(_rounded(made))


def check_installed() -> None:
    """Refuse where a package is missing; raises UserError."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"INT8 for openvino needs {missing[0]}: pip install 'gluon_fg[deploy]', or choose --runtime mxnet"
        )


def _rounded(model: Any) -> Any:
    """The same model with the weights as INT8: what QuantizeLinear makes of them is computed once."""
    from onnx import numpy_helper

    arrays = {tensor.name: tensor for tensor in model.graph.initializer}
    gone = []
    for node in model.graph.node:
        if node.op_type != 'QuantizeLinear' or not all(name in arrays for name in node.input):
            continue
        weight, scale, zero = (numpy_helper.to_array(arrays[name]) for name in node.input)
        axis = next((attribute.i for attribute in node.attribute if attribute.name == 'axis'), 1)
        if scale.ndim:
            shape = [-1 if i == axis % weight.ndim else 1 for i in range(weight.ndim)]
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        ends = np.iinfo(zero.dtype)
        rounded = np.clip(np.rint(weight / scale) + zero, ends.min, ends.max).astype(zero.dtype)
        model.graph.initializer.append(numpy_helper.from_array(rounded, node.output[0]))
        gone.append(node)
    for node in gone:
        model.graph.node.remove(node)
    read = {name for node in model.graph.node for name in node.input}
    left = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(left)
    inputs = [value for value in model.graph.input if value.name == 'data']
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    return model
