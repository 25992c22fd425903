"""A trained network as files that run without gluon_fg, checked against MXNet before they are kept.

'onnx' is one file, 'openvino' an .xml with its .bin, 'symbol' MXNet's own pair of files, without Gluon. All hold the
graph for prediction: batch norm in the form of inference, weights as constants, any batch.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock, SymbolBlock

from ..errors import UserError, unknown
from ..files import atomic_write, check_free, temporary_folder
from ..weights.fingerprint import weights_sha256
from .execution import thread_count

SUFFIXES = {'onnx': ('.onnx',), 'openvino': ('.xml', '.bin'), 'symbol': ('-symbol.json', '-0000.params', '-facts.json')}
DEVIATION = 1e-4  # of a largest value of 1; of larger ones that part of it
SLOWER = 1.05  # by so much two timings of the same thing differ
EXTRA = "pip install 'gluon_fg[deploy]'"
_SECONDS, _LEAST, _MOST = 2.0, 5, 50  # of timing, and its rounds

Compute = Callable[[np.ndarray], Sequence[np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Check:
    """What a file was found to do in a runtime.

    Parameters
    ----------
    runtime
        'openvino', 'onnxruntime' or 'mxnet'
    deviation
        the largest difference from MXNet in any output, where that has values up to 1; of larger ones as a part of them
    seconds, mxnet_seconds
        a batch of one video takes, in the file and in MXNet's fused graph of the same outputs: medians
    ratio
        of the two, in turns: the median
    """

    runtime: str
    deviation: float
    seconds: float
    mxnet_seconds: float
    ratio: float


@dataclasses.dataclass(frozen=True)
class Export:
    """An exported network.

    Parameters
    ----------
    paths
        its files
    shape
        of the input of one video
    names
        of its outputs
    batches
        that it was compared on
    checks
        one of each runtime that is installed
    problem
        why it is not to be trusted; '' if it is
    """

    paths: Tuple[Path, ...]
    shape: Tuple[int, ...]
    names: Tuple[str, ...]
    batches: int
    checks: Tuple[Check, ...]
    problem: str


def export(
    net: HybridBlock,
    out: Union[str, os.PathLike],
    to: str = 'onnx',
    views: Sequence[str] = (),
    clips: Sequence[np.ndarray] = (),
    force: bool = False,
    threads: Optional[int] = None,
) -> Export:
    """Write a trained network for other programs, once it is seen to do there what it does here, and as fast.

    Parameters
    ----------
    net
        a recognizer with its weights
    out
        the file to write; of several files ('openvino', 'symbol') the first, whose suffix is exchanged
    to
        'onnx', 'openvino' or 'symbol'
    views
        what it shows beside its logits (`gluon_fg.deploy.onnx.view_names`)
    clips
        normalized inputs of real videos, each of one, to compare on beside random ones
    force
        replace files that are there, and keep those that deviate or are slow: `problem` says so
    threads
        that compute while it is timed; None: as many as MXNet has

    Raises
    ------
    UserError
        another format or view, no package of the format or no runtime, an operator that has no counterpart, a file that
        is there, one that deviates by more than `DEVIATION` or is slower than MXNet
    """
    paths = paths_of(out, to)
    for path in paths:
        check_free(path, force)
    check_packages(to)
    from .onnx import network_graph  # an extra: everything else works without it

    native = network_graph(net, views, converted=False)
    graph = native if to == 'symbol' else network_graph(net, views)
    with temporary_folder(paths[0].parent) as folder:
        written = [folder / path.name for path in paths]
        _WRITERS[to](graph, facts(net, graph), written)
        reference = _in_mxnet(native.symbol, native.params)
        batches = _batches(graph.shape, clips)
        wanted = [expected(net, batch, graph.names) for batch in batches]
        checks = tuple(
            _checked(runtime, _opened(runtime, written, thread_count(threads)), reference, batches, wanted)
            for runtime in _runtimes(to)
        )
        problem = _problem(checks)
        if problem and not force:
            raise UserError(f'{paths[0]}: {problem}; nothing was written (--force keeps it)')
        for source, path in reversed(list(zip(written, paths))):  # the one that names the others last
            os.replace(source, path)
    return Export(tuple(paths), graph.shape, graph.names, len(batches), checks, problem)


def paths_of(out: Union[str, os.PathLike], to: str) -> List[Path]:
    """The files of a format; raises UserError for an unknown format or a name with another suffix."""
    if to not in SUFFIXES:
        raise unknown('format', to, SUFFIXES)
    first, *_ = suffixes = SUFFIXES[to]
    out = Path(out)
    if not out.name.endswith(first) or out.name == first:
        raise UserError(f'{out}: {to} is written to a file *{first}, for example {out.name.split(".")[0]}{first}')
    return [out.with_name(out.name[: -len(first)] + suffix) for suffix in suffixes]


def check_packages(to: str) -> None:
    """Refuse a format whose packages are not installed."""
    needed = {'onnx': ('onnx',), 'openvino': ('onnx', 'openvino'), 'symbol': ('onnx',)}[to]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f'export to {to} needs the package {missing[0]}: {EXTRA}')
    if not _runtimes(to):
        raise UserError(f'what is exported is compared in a runtime, and neither openvino nor onnxruntime is: {EXTRA}')


def facts(net: HybridBlock, graph: Any) -> Dict[str, Any]:
    """What a program must know of an exported network; an ONNX or OpenVINO file has what is no text in JSON."""
    import gluon_fg  # for its version; it is above this room

    spec = net.input_spec
    return {
        'classes': list(net.classes or [f'class {i}' for i in range(net.nclass)]),
        'input': {**dataclasses.asdict(spec), 'shape': list(graph.shape), 'colors': 'RGB'},
        'normalization': '(pixels / 255 - mean) / std, channel by channel',
        'branches': list(net.branch_names),
        'views': {name[4:] if name[:4] == 'map.' else name: name for name in graph.names[len(net.branch_names) :]},
        'probabilities': 'sigmoid' if net.multi_label else 'softmax',
        'threshold': net.threshold,
        'model': net.name,
        'weights': str(net.weights_source),
        'weights_sha256': weights_sha256(net),
        'gluon_fg': gluon_fg.__version__,
    }


def _write_onnx(graph: Any, known: Mapping[str, Any], paths: Sequence[Path]) -> None:
    paths[0].write_bytes(_model(graph, known))


def _write_openvino(graph: Any, known: Mapping[str, Any], paths: Sequence[Path]) -> None:
    import openvino

    model = openvino.Core().read_model(_model(graph, known))  # with what is known of it, as part 'framework'
    openvino.save_model(model, str(paths[0]), compress_to_fp16=False)


def _model(graph: Any, known: Mapping[str, Any]) -> bytes:
    import onnx

    from .onnx import to_onnx

    model = to_onnx(*graph)
    onnx.helper.set_model_props(
        model, {key: value if isinstance(value, str) else json.dumps(value) for key, value in known.items()}
    )
    return model.SerializeToString()


def _write_symbol(graph: Any, known: Mapping[str, Any], paths: Sequence[Path]) -> None:
    graph.symbol.save(str(paths[0]))
    mx.nd.save(str(paths[1]), graph.params)
    with atomic_write(paths[2]) as stream:
        json.dump({**known, 'outputs': graph.names}, stream, indent=1)


_WRITERS = {'onnx': _write_onnx, 'openvino': _write_openvino, 'symbol': _write_symbol}


def _runtimes(to: str) -> List[str]:
    """What can run a format here."""
    usable = {'onnx': ('openvino', 'onnxruntime'), 'openvino': ('openvino',), 'symbol': ('mxnet',)}[to]
    return [name for name in usable if importlib.util.find_spec(name) is not None]


def _opened(runtime: str, paths: Sequence[Path], threads: int) -> Compute:
    """The files as a function of batches of any size."""
    if runtime == 'mxnet':
        return _in_mxnet(mx.sym.load(str(paths[0])), mx.nd.load(str(paths[1])))
    module = importlib.import_module(f'.runtimes.{runtime}', __package__)
    of_shape = functools.lru_cache(maxsize=None)(module.opened(str(paths[0]), 'float32', threads))
    return lambda x: of_shape(x.shape)(x)


def _in_mxnet(symbol: mx.sym.Symbol, params: Mapping[str, mx.nd.NDArray]) -> Compute:
    """A graph in MXNet, fused where that can be."""
    if mx.runtime.Features().is_enabled('MKLDNN'):
        symbol = symbol.get_backend_symbol('MKLDNN')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # types of the parameters: they get theirs now
        block = SymbolBlock(symbol, mx.sym.var('data', dtype='float32'))
        block.collect_params().load_dict(dict(params), ctx=mx.cpu(), ignore_extra=True)
    block.hybridize(static_alloc=True, static_shape=True)

    def compute(x: np.ndarray) -> List[np.ndarray]:
        outputs = block(mx.nd.array(x))
        return [out.asnumpy() for out in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]

    return compute


def _batches(shape: Tuple[int, ...], clips: Sequence[np.ndarray]) -> List[np.ndarray]:
    """Random batches of one video and of two, and those of real ones; the first is timed."""
    rng = np.random.default_rng(0)
    sizes = [shape, (2 * shape[0], *shape[1:])]
    random = [rng.standard_normal(size, 'float32') for size in sizes]
    return [*random, *(np.ascontiguousarray(clip, 'float32') for clip in clips)]


def expected(net: HybridBlock, x: np.ndarray, names: Sequence[str]) -> List[np.ndarray]:
    """What the network itself gives for a batch, by the names of outputs."""
    data = mx.nd.array(x)
    outputs = dict(zip(net.branch_names, net.branches(data)))
    if any(name.startswith('map.') for name in names):
        outputs.update({f'map.{name}': value for name, value in net.maps(data).items()})
    if 'filter_responses' in names:
        outputs['filter_responses'] = net.filter_responses(data)
    return [outputs[name].asnumpy() for name in names]


def _checked(
    runtime: str,
    compute: Compute,
    reference: Compute,
    batches: Sequence[np.ndarray],
    wanted: Sequence[Sequence[np.ndarray]],
) -> Check:
    deviation = max(_deviation(compute(x), outputs) for x, outputs in zip(batches, wanted))
    x = batches[0]
    times: List[Tuple[float, float]] = []
    compute(x), reference(x)
    end = time.perf_counter() + _SECONDS
    while len(times) < _LEAST or (time.perf_counter() < end and len(times) < _MOST):
        times.append((_timed(compute, x), _timed(reference, x)))
    seconds, mxnet_seconds = np.median(times, axis=0)
    ratio = float(np.median([ours / theirs for ours, theirs in times]))
    return Check(runtime, deviation, float(seconds), float(mxnet_seconds), ratio)


def _timed(compute: Compute, x: np.ndarray) -> float:
    start = time.perf_counter()
    compute(x)
    return time.perf_counter() - start


def _deviation(given: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    """The largest difference in any output, as a part of that output's largest value where this is above 1."""
    if [array.shape for array in given] != [array.shape for array in wanted]:
        return float('inf')
    parts = [np.abs(a - b).max() / max(1.0, np.abs(b).max()) for a, b in zip(given, wanted)]
    return float('inf') if np.isnan(parts).any() else float(max(parts))


def _problem(checks: Sequence[Check]) -> str:
    """What speaks against a file: numbers that are not MXNet's in some runtime, or no runtime that is as fast."""
    worst, fastest = max(checks, key=lambda check: check.deviation), min(checks, key=lambda check: check.ratio)
    if not worst.deviation <= DEVIATION:
        return f'in {worst.runtime} it deviates from MXNet by {worst.deviation:.1e}, more than {DEVIATION:g}'
    if fastest.ratio > SLOWER:
        return (
            f'it is slower than MXNet, {1e3 * fastest.seconds:.1f} ms in {fastest.runtime} beside '
            f'{1e3 * fastest.mxnet_seconds:.1f} ms ({fastest.ratio:.2f} of its time)'
        )
    return ''
