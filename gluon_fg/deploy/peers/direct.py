"""PyTorch, ONNX Runtime and OpenVINO called as their own guides have it, on the same network with the same weights.

The network is `TorchNetwork`; the other two get it through PyTorch's exporter and OpenVINO's converter, none of this
package's.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import numpy as np
import torch

from ...errors import UserError
from ...files import atomic_path
from .gemm import openvino_settings
from .torch_network import TorchNetwork

Run = Callable[[], Any]
INT8 = 'int8.onnx'


def make(by: str, precision: str, folder: Path, threads: int) -> Tuple[Run, List[List[float]]]:
    """A network of `graph_files.write` as a function that runs it once on its input, and its outputs.

    Raises
    ------
    UserError
        a library that is not installed, has no operator of it, or does not know the precision
    """
    if (by, precision) not in _MAKERS and not (precision == 'int8' and by in _INT8_MAKERS):
        raise UserError(f'{by}: the benchmark has no {precision} of it')
    torch.set_num_threads(threads)
    try:
        if precision == 'int8':
            run = _INT8_MAKERS[by](str(folder / INT8), np.load(folder / 'input.npy'), threads)
        else:
            with torch.no_grad(), _quiet():
                run = _MAKERS[by, precision](*_network(folder), precision, threads)
    except ImportError as error:
        raise UserError(f"{by}: {error}; pip install 'gluon_fg[deploy]'") from error
    return run, [np.asarray(output, 'float32').ravel().tolist() for output in run()]


def _network(folder: Path) -> Tuple[TorchNetwork, np.ndarray]:
    with open(folder / 'graph.json', encoding='utf-8') as stream:
        graph = json.load(stream)
    with np.load(folder / 'parameters.npz') as stored:
        return TorchNetwork(graph, dict(stored)).eval(), np.load(folder / 'input.npy')


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
    return _by_openvino(model, x, precision, threads)


def _by_openvino(model: Any, x: np.ndarray, precision: str, threads: int) -> Run:
    import openvino as ov

    model.reshape(list(x.shape))
    compiled = ov.Core().compile_model(model, 'CPU', openvino_settings(precision, threads))
    request = compiled.create_infer_request()

    def run() -> List[np.ndarray]:
        request.infer([x])
        return [np.array(request.get_output_tensor(n).data) for n in range(len(compiled.outputs))]

    return run


def _onnx_runtime(net: TorchNetwork, x: np.ndarray, precision: str, threads: int) -> Run:
    return _by_onnx_runtime(_exported(net, x), x, threads)


def _exported(net: TorchNetwork, x: np.ndarray) -> bytes:
    exported = io.BytesIO()
    torch.onnx.export(net, (torch.from_numpy(x),), exported, input_names=['data'], dynamo=False)
    return exported.getvalue()


def _by_onnx_runtime(model: Any, x: np.ndarray, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=['CPUExecutionProvider'])
    return lambda: session.run(None, {'data': x})


def _read(path: str) -> Any:
    import openvino as ov

    return ov.Core().read_model(path)


def quantize(folder: Path) -> None:
    """Write the network as `INT8`, as NNCF makes it by itself from its input and a random other: for speed alone.

    Raises
    ------
    UserError
        NNCF or ONNX is not installed
    """
    os.environ.setdefault('NNCF_CI', '1')  # else it reports to its makers what it is used for
    try:
        import nncf
        import onnx
    except ImportError as error:
        raise UserError(f"INT8: {error}; pip install 'gluon_fg[deploy]'") from error
    net, x = _network(folder)
    with torch.no_grad(), _quiet():
        inputs = [x, np.random.default_rng(1).uniform(-1, 1, x.shape).astype('float32')]
        dataset = nncf.Dataset(inputs, lambda batch: {'data': batch})
        made = nncf.quantize(onnx.load_from_string(_exported(net, x)), dataset, subset_size=len(inputs))
    with atomic_path(folder / INT8) as path:
        onnx.save(made, path)


_MAKERS: Dict[Tuple[str, str], Callable[[TorchNetwork, np.ndarray, str, int], Run]] = {
    ('PyTorch', 'float32'): _eager,
    ('PyTorch frozen', 'float32'): _frozen,
    ('PyTorch frozen', 'bfloat16'): _frozen,
    ('ONNX Runtime', 'float32'): _onnx_runtime,
    ('OpenVINO', 'float32'): _openvino,
    ('OpenVINO', 'bfloat16'): _openvino,
}
_INT8_MAKERS: Dict[str, Callable[[str, np.ndarray, int], Run]] = {
    'ONNX Runtime': _by_onnx_runtime,
    'OpenVINO': lambda path, x, threads: _by_openvino(_read(path), x, 'int8', threads),
}
