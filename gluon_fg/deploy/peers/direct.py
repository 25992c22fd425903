"""PyTorch, ONNX Runtime and OpenVINO called as their own guides have it, on the same network with the same weights.

The network is `TorchNetwork`; the other two get it through PyTorch's exporter and OpenVINO's converter, none of this
package's.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import numpy as np
import torch

from ...errors import UserError
from .gemm import openvino_settings
from .torch_network import TorchNetwork

Run = Callable[[], Any]


def make(by: str, precision: str, folder: Path, threads: int) -> Tuple[Run, List[List[float]]]:
    """A network of `graph_files.write` as a function that runs it once on its input, and its outputs.

    Raises
    ------
    UserError
        a library that is not installed, has no operator of it, or does not know the precision
    """
    if (by, precision) not in _MAKERS:
        raise UserError(f'{by}: the benchmark has no {precision} of it')
    torch.set_num_threads(threads)
    with open(folder / 'graph.json', encoding='utf-8') as stream:
        graph = json.load(stream)
    with np.load(folder / 'parameters.npz') as stored:
        net = TorchNetwork(graph, dict(stored)).eval()
    x = np.load(folder / 'input.npy')
    try:
        with torch.no_grad(), _quiet():
            run = _MAKERS[by, precision](net, x, precision, threads)
    except ImportError as error:
        raise UserError(f"{by}: {error}; pip install 'gluon_fg[deploy]'") from error
    return run, [np.asarray(output, 'float32').ravel().tolist() for output in run()]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters tell much that is not the user's concern."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def _traced(net: TorchNetwork, x: torch.Tensor) -> torch.jit.ScriptModule:
    return torch.jit.trace(net, x, check_trace=False)


def _eager(net: TorchNetwork, x: np.ndarray, precision: str, threads: int) -> Run:
    return _called(net, torch.from_numpy(x))


def _frozen(net: TorchNetwork, x: np.ndarray, precision: str, threads: int) -> Run:
    kind = getattr(torch, precision)
    data = torch.from_numpy(x).to(kind)
    frozen = torch.jit.optimize_for_inference(torch.jit.freeze(_traced(net.to(kind), data)))
    return _called(frozen, data)


def _called(net: Callable, data: torch.Tensor) -> Run:
    def run() -> List[np.ndarray]:
        with torch.no_grad():
            return [output.float().numpy() for output in net(data)]

    return run


def _openvino(net: TorchNetwork, x: np.ndarray, precision: str, threads: int) -> Run:
    import openvino as ov

    model = ov.convert_model(_traced(net, torch.from_numpy(x)), example_input=torch.from_numpy(x))
    model.reshape(list(x.shape))
    if precision == 'int8':
        model = _quantized(model, x)
    compiled = ov.Core().compile_model(model, 'CPU', openvino_settings(precision, threads))
    request = compiled.create_infer_request()

    def run() -> List[np.ndarray]:
        request.infer([x])
        return [np.array(request.get_output_tensor(n).data) for n in range(len(compiled.outputs))]

    return run


def _quantized(model: Any, x: np.ndarray) -> Any:
    """INT8 as NNCF makes it by itself, from a few inputs: for speed alone."""
    import nncf

    rng = np.random.default_rng(1)
    inputs = [x, *(rng.uniform(-1, 1, x.shape).astype('float32') for _ in range(3))]
    with contextlib.redirect_stdout(io.StringIO()):
        return nncf.quantize(model, nncf.Dataset(inputs), subset_size=len(inputs))


def _onnx_runtime(net: TorchNetwork, x: np.ndarray, precision: str, threads: int) -> Run:
    import onnxruntime

    exported = io.BytesIO()
    torch.onnx.export(net, (torch.from_numpy(x),), exported, input_names=['data'], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(exported.getvalue(), options, providers=['CPUExecutionProvider'])
    return lambda: session.run(None, {'data': x})


_MAKERS: Dict[Tuple[str, str], Callable[[TorchNetwork, np.ndarray, str, int], Run]] = {
    ('PyTorch', 'float32'): _eager,
    ('PyTorch frozen', 'float32'): _frozen,
    ('PyTorch frozen', 'bfloat16'): _frozen,
    ('ONNX Runtime', 'float32'): _onnx_runtime,
    ('OpenVINO', 'float32'): _openvino,
    ('OpenVINO', 'bfloat16'): _openvino,
    ('OpenVINO', 'int8'): _openvino,
}


def precisions_of(by: str) -> List[str]:
    """Precisions in which a library is measured."""
    return [precision for name, precision in _MAKERS if name == by]
