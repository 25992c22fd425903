"""Bare matrix products: what a library reaches on this machine in each type, the limit that a network is held against.

Imports of the libraries stand in the functions: a process that measures one of them holds no other.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

import numpy as np

from ...errors import UserError

Run = Callable[[], Any]


def product(library: str, precision: str, size: int, threads: int) -> Run:
    """Make a function that multiplies two square matrices once.

    Parameters
    ----------
    library
        one of `LIBRARIES`
    precision
        'float32', 'bfloat16' or 'int8': of both matrices
    size
        rows and columns; `operations(size)` are done in a call
    threads
        that compute

    Raises
    ------
    UserError
        the library has no product in this precision
    """
    if (library, precision) not in _PRODUCTS:
        raise UserError(f'{library} multiplies no matrices in {precision}')
    return _PRODUCTS[library, precision](size, threads)


def operations(size: int) -> int:
    """Floating-point (or whole-number) operations of a product: two for each multiply-add."""
    return 2 * size**3


def _matrices(size: int) -> Tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0, 1, (2, size, size)).astype('float32')
    return a, b - 0.5


def _torch(kind: str) -> Callable[[int, int], Run]:
    def make(size: int, threads: int) -> Run:
        import torch

        torch.set_num_threads(threads)
        a, b = map(torch.from_numpy, _matrices(size))
        if kind == 'int8':
            whole = (a * 127).to(torch.int8), (b * 127).to(torch.int8)
            return lambda: torch._int_mm(*whole)
        kept = a.to(getattr(torch, kind)), b.to(getattr(torch, kind))
        return lambda: torch.matmul(*kept)

    return make


def _mxnet(size: int, threads: int) -> Run:
    import mxnet as mx  # its threads are those of OMP_NUM_THREADS, which the process was started with

    a, b = map(mx.nd.array, _matrices(size))
    return lambda: mx.nd.dot(a, b).wait_to_read()


def _mxnet_int8(size: int, threads: int) -> Run:
    import mxnet as mx

    a, b = _matrices(size)
    low, high = mx.nd.array([-1]), mx.nd.array([1])
    data, weight = mx.nd.array(a * 255).astype('uint8'), mx.nd.array(b * 127).astype('int8')
    bounds = (low, high, low, high)
    multiply = mx.nd.contrib.quantized_fully_connected
    return lambda: multiply(data, weight, *bounds, num_hidden=size, no_bias=True)[0].wait_to_read()


def _openvino(kind: str) -> Callable[[int, int], Run]:
    def make(size: int, threads: int) -> Run:
        import openvino as ov
        from openvino import opset13 as ops

        a, b = _matrices(size)
        data = ops.parameter([size, size], np.float32)
        left, right = data, ops.constant(b)
        if kind == 'int8':
            limits = [np.float32(limit) for limit in (0, 1, 0, 1)]
            left = ops.fake_quantize(data, *limits, 256)
            whole = ops.convert(ops.constant((b * 127).astype('int8')), np.float32)
            right = ops.multiply(whole, ops.constant(np.float32(1 / 127)))
        model = ov.Model([ops.matmul(left, right, False, True)], [data])
        compiled = ov.Core().compile_model(model, 'CPU', openvino_settings(kind, threads))
        request = compiled.create_infer_request()
        request.set_input_tensor(ov.Tensor(a))
        return request.infer

    return make


def openvino_settings(precision: str, threads: int) -> Dict[str, Any]:
    """OpenVINO's settings for one clip after another, as its guide has them; INT8 stands in the model itself."""
    hint = 'bf16' if precision == 'bfloat16' else 'f32'
    return {'PERFORMANCE_HINT': 'LATENCY', 'INFERENCE_NUM_THREADS': threads, 'INFERENCE_PRECISION_HINT': hint}


_PRODUCTS: Dict[Tuple[str, str], Callable[[int, int], Run]] = {
    ('mxnet', 'float32'): _mxnet,
    ('mxnet', 'int8'): _mxnet_int8,
    **{('pytorch', kind): _torch(kind) for kind in ('float32', 'bfloat16', 'int8')},
    **{('openvino', kind): _openvino(kind) for kind in ('float32', 'bfloat16', 'int8')},
}
LIBRARIES = ('mxnet', 'pytorch', 'openvino')


def libraries_of(precision: str) -> Tuple[str, ...]:
    """Libraries that multiply matrices in a precision."""
    return tuple(library for library in LIBRARIES if (library, precision) in _PRODUCTS)
