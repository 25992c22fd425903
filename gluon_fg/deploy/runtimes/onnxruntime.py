"""ONNX Runtime on the processor."""

from __future__ import annotations

from typing import Callable, List, Tuple, Union

import numpy as np

Compute = Callable[[np.ndarray], List[np.ndarray]]


def opened(model: Union[bytes, str], precision: str, threads: int) -> Callable[[Tuple[int, ...]], Compute]:
    """Open a model: see `gluon_fg.deploy.runtimes`. It computes in the precision of the model, whatever is asked."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(model, options, providers=['CPUExecutionProvider'])

    def compute(x: np.ndarray) -> List[np.ndarray]:
        return session.run(None, {'data': np.ascontiguousarray(x, 'float32')})

    return lambda shape: compute  # one session takes any batch, from several threads
