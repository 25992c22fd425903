"""One thing that the benchmark measures, and how a process of its own makes it: `make` runs in that process."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from ..errors import UserError

Run = Callable[[], Any]
Outputs = Optional[List[List[float]]]

OURS, GLUONCV, GEMM = 'gluon_fg', 'GluonCV', 'gemm'
EAGER, FROZEN = 'PyTorch', 'PyTorch frozen'
ONNX_RUNTIME, OPENVINO = 'ONNX Runtime', 'OpenVINO'
DIRECT = (FROZEN, ONNX_RUNTIME, OPENVINO)  # what a user may take in our place


@dataclasses.dataclass(frozen=True)
class Contender:
    """What is measured: a network by this package or by another library called directly, or a bare matrix product.

    Parameters
    ----------
    by
        'gluon_fg', 'GluonCV', 'PyTorch', 'PyTorch frozen', 'ONNX Runtime', 'OpenVINO' or 'gemm'
    precision
        'float32', 'bfloat16' or 'int8'
    threads
        that compute
    runtime
        of gluon_fg, or the library of a gemm
    model
        name of the zoo, or of GluonCV's
    nclass
        classes of a model that has none of its own
    shape
        of the input; of a gemm: (rows and columns,)
    folder
        with the network's files (`peers.graph_files`, and its parameters)
    """

    by: str
    precision: str
    threads: int
    runtime: str = ''
    model: str = ''
    nclass: Optional[int] = None
    shape: Tuple[int, ...] = ()
    folder: str = ''

    @property
    def label(self) -> str:
        """For tables: 'gluon_fg openvino', 'PyTorch frozen'."""
        return f'{self.by} {self.runtime}'.strip()

    @property
    def loads_mxnet(self) -> bool:
        """Whether its process needs MXNet, which the others hold neither in memory nor beside other threads."""
        return self.by in (OURS, GLUONCV) or (self.by, self.runtime) == (GEMM, 'mxnet')

    def environment(self) -> Dict[str, str]:
        """What the process is started with: numbers of threads are read when libraries are loaded."""
        count = str(self.threads)
        return {**os.environ, 'OMP_NUM_THREADS': count, 'MKL_NUM_THREADS': count, 'OPENBLAS_NUM_THREADS': count}


def make(contender: Contender) -> Tuple[Run, Outputs]:
    """Build what is measured, in this process.

    Returns
    -------
    A function that runs it once and waits for the result, and the outputs of the network on its input.

    Raises
    ------
    UserError
        a library is not installed, or cannot do this
    """
    if contender.by == GEMM:
        from .peers import gemm

        return gemm.product(contender.runtime, contender.precision, contender.shape[0], contender.threads), None
    if contender.by == OURS:
        return _ours(contender)
    if contender.by == GLUONCV:
        return _gluoncv(contender)
    try:
        from .peers import direct
    except ImportError as error:
        raise UserError(f'{contender.by} is given the network by PyTorch, which is not here ({error})') from error
    return direct.make(contender.by, contender.precision, Path(contender.folder), contender.threads)


def quantize(contender: Contender) -> None:
    """Make the INT8 form of the network in its folder, in this process, which then has no other use.

    Raises
    ------
    UserError
        a package is not installed, or the network cannot be quantized
    """
    if contender.by != OURS:
        from .peers import direct

        direct.quantize(Path(contender.folder))
        return
    from ..weights.fingerprint import weights_sha256
    from .quantized import onednn, openvino, store

    net, x = _network(contender), _input(contender)
    quantizer: Any = {'mxnet': onednn.Quantizer, 'openvino': openvino.Quantizer}[contender.runtime](net, [x])
    facts = {
        'network': net.name,
        'runtime': contender.runtime,
        'weights': weights_sha256(net),
        'protocol': 'random inputs',
        'input': store.input_of(net, net.num_segments, x.shape),
        'fixed_sizes': list(quantizer.fixed_sizes),
    }
    store.save(quantizer.quantized(), store.folder_of(net, contender.runtime), facts)


def quantized_file(contender: Contender) -> Path:
    """What says that `quantize` is done: a file in the network's folder."""
    folder = Path(contender.folder)
    return folder / f'int8-{contender.runtime}' / 'facts.json' if contender.by == OURS else folder / 'int8.onnx'


def _ours(contender: Contender) -> Tuple[Run, Outputs]:
    import mxnet as mx

    from .execution import Execution
    from .predictor import forward_of

    x = mx.nd.array(_input(contender))
    execution = Execution(contender.runtime, contender.precision, contender.threads)
    forward = forward_of(_network(contender), execution)

    def run() -> None:
        for output in forward(x):
            output.wait_to_read()

    return run, [output.asnumpy().ravel().tolist() for output in forward(x)]


def _network(contender: Contender) -> Any:
    from .. import factory

    entry, _ = factory.resolve(contender.model)
    clips = len(contender.shape) == 5 and 'frames' in entry.options
    net = factory.build(contender.model, contender.nclass, **({'frames': contender.shape[2]} if clips else {}))
    net.load_parameters(str(Path(contender.folder) / 'net.params'))
    net.quantized_beside = os.path.join(contender.folder, '')
    return net


def _gluoncv(contender: Contender) -> Tuple[Run, Outputs]:
    """GluonCV's network of this name with random weights, hybridized as GluonCV's own scripts do."""
    import mxnet as mx
    from gluoncv.model_zoo import get_model

    net = get_model(contender.model, pretrained=False, pretrained_base=False)
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.array(_input(contender))
    return lambda: net(x).wait_to_read(), None


def _input(contender: Contender) -> np.ndarray:
    return np.load(Path(contender.folder) / 'input.npy')
