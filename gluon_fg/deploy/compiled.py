"""A traced network as a function of arrays: converted to ONNX and compiled for each shape of a batch as it comes."""

from __future__ import annotations

import collections
import functools
import hashlib
import importlib
import json
import logging
import threading
import time
from typing import Any, Callable, Dict, List, NamedTuple, Tuple, Union

import mxnet as mx
import numpy as np

from ..errors import UserError
from . import cache
from .graph import Shape

logger = logging.getLogger(__name__)

Compute = Callable[[np.ndarray], List[np.ndarray]]

_COMPILED = 4  # shapes that are held, those used last: each has its own copy of the weights
_CONVERTED = 4  # models of a network that are kept on disk; of films in many sizes each needs one


class Traced(NamedTuple):
    """A graph for inference of the variable 'data', its parameters and the names of its outputs."""

    symbol: mx.sym.Symbol
    params: Dict[str, mx.nd.NDArray]
    names: Tuple[str, ...]


Source = Callable[[Shape], Union[bytes, str]]


class Compiled:
    """A network as a function from an array to a list of arrays, which several threads may call.

    Converting takes a second for a large network, and is kept on disk (`cache`); compiling what was converted for
    another batch takes a fifth of one (ResNet-50 on clips, OpenVINO).

    Parameters
    ----------
    source
        takes the shape of the smallest batch, and returns the model in ONNX, or the name of its file
    runtime, precision, threads
        as `Execution` has them; the runtime is one that starts from ONNX
    unit
        rows of the smallest batch: 1, or the frames of one video for a network on images
    """

    def __init__(self, source: Source, runtime: str, precision: str, threads: int, unit: int = 1):
        self._source, self._unit = source, unit
        self._runtime, self._facts = importlib.import_module(f'{__package__}.runtimes.{runtime}'), (precision, threads)
        self._models: Dict[Shape, Callable[[Shape], Compute]] = {}
        self._computes: collections.OrderedDict[Shape, Compute] = collections.OrderedDict()
        self._lock = threading.Lock()
        self.seconds = 0.0

    def __call__(self, x: np.ndarray) -> List[np.ndarray]:
        return self._compute_of(tuple(x.shape))(x)

    def _compute_of(self, shape: Shape) -> Compute:
        with self._lock:
            if shape not in self._computes:
                self._computes[shape] = self._compile(shape)
                if len(self._computes) > _COMPILED:
                    self._computes.popitem(last=False)
            self._computes.move_to_end(shape)
            return self._computes[shape]

    def _compile(self, shape: Shape) -> Compute:
        begin = time.perf_counter()
        view = shape[1:]
        if view not in self._models:
            if len(self._models) == _CONVERTED:
                del self._models[next(iter(self._models))]
            self._models[view] = self._runtime.opened(self._source((self._unit, *view)), *self._facts)
        compute = self._models[view](shape)
        took = time.perf_counter() - begin
        self.seconds += took
        logger.info('compiled for %s in %.1f s', 'x'.join(map(str, shape)), took)
        return compute


def converted(trace: Callable[[Shape], Traced]) -> Source:
    """Make the source of models that are converted from graphs, each once: they are kept on disk (`cache`).

    Parameters
    ----------
    trace
        takes the shape of the smallest batch, and returns the graph

    Raises
    ------
    UserError
        the source raises it for an operator that cannot be converted
    """

    def source(shape: Shape) -> bytes:
        from .onnx import to_onnx

        traced = trace(shape)
        try:
            return cache.kept(
                _key(traced, shape),
                lambda: to_onnx(traced.symbol, traced.params, shape, traced.names).SerializeToString(),
            )
        except UserError as error:
            raise UserError(f'{error}; choose the runtime mxnet') from None

    return source


def _key(traced: Traced, shape: Shape) -> str:
    """SHA-256 of everything that a converted model depends on; names, which differ from start to start, are not."""
    nodes = json.loads(traced.symbol.tojson())
    values = {name.split(':', 1)[1]: value for name, value in traced.params.items()}
    weights = [node['name'] for node in nodes['nodes'] if node['name'] in values and node['op'] == 'null']
    graph = [
        [node['op'], _plain(node.get('attrs', {})), _places(node['inputs']), node['name'] == 'data']
        for node in nodes['nodes']
    ]
    facts = [_sources(), shape, traced.names, _places(nodes['heads']), graph, [values[name].shape for name in weights]]
    state = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in weights:
        state.update(values[name].asnumpy().data)
    return state.hexdigest()


def _places(outputs: List[List[int]]) -> List[List[int]]:
    """(number of the node, of its output) of each, without how often a parameter was changed before."""
    return [output[:2] for output in outputs]


def _plain(attributes: Dict[str, Any]) -> Dict[str, Any]:
    return {key: value for key, value in attributes.items() if not key.startswith('__')}


@functools.lru_cache(maxsize=None)
def _sources() -> List[str]:
    """Versions of what converts: of the package's own code by its digest, which changes more often than its number."""
    import onnx

    return [onnx.__version__, cache.code_digest('deploy/onnx/*.py', 'deploy/folding.py', 'deploy/graph.py')]
