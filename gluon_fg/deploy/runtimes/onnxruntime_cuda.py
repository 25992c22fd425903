"""ONNX Runtime on a GPU, by CUDA: also on those that MXNet 1.9.1 holds no code for."""

from __future__ import annotations

import collections
import contextlib
import functools
import io
import logging
import warnings
from typing import Any, Callable, List, Tuple, Union

import numpy as np

from ...errors import UserError
from ..half import to_float16

logger = logging.getLogger(__name__)

Compute = Callable[[np.ndarray], List[np.ndarray]]

CUDA = 'CUDAExecutionProvider'
OPTIONS = {
    'device_id': '0',  # the first that CUDA_VISIBLE_DEVICES shows
    'use_tf32': '0',  # by itself it rounds what convolutions multiply to 10 bits
    # Each new shape of a batch would be tried with every algorithm, in seconds
    'cudnn_conv_algo_search': 'HEURISTIC',
}
_INSTEAD = 'or choose the runtime onnxruntime'
# What ONNX Runtime keeps on the processor on purpose: sizes, not the numbers of a network
_OF_SIZES = 'Shape Size Constant ConstantOfShape Gather Slice Concat Unsqueeze Squeeze Cast'.split()


def problem() -> str:
    """Why the ONNX Runtime that is installed can use no GPU at all; '' where it was built for one."""
    import onnxruntime

    there = onnxruntime.get_available_providers()
    if CUDA in there:
        return ''
    return (
        f'runtime onnxruntime_cuda: this ONNX Runtime {onnxruntime.__version__} cannot use a GPU (it has '
        f"{', '.join(there)}); pip uninstall onnxruntime, then pip install 'gluon_fg[deploy-gpu]', {_INSTEAD}"
    )


def opened(model: Union[bytes, str], precision: str, threads: int) -> Callable[[Tuple[int, ...]], Compute]:
    """Open a model: see `gluon_fg.deploy.runtimes`. The precision is 'float32' or 'float16'.

    Raises
    ------
    UserError
        this ONNX Runtime has no CUDA, or CUDA does not work here: nothing is computed on the processor instead
    """
    without = problem()
    if without:
        raise UserError(without)
    session = _session(to_float16(model) if precision == 'float16' else model, threads)
    elsewhere = _on_processor(session)
    if elsewhere:
        logger.warning('onnxruntime_cuda: computed on the processor, which is slow: %s', elsewhere)

    def compute(x: np.ndarray) -> List[np.ndarray]:
        outputs = session.run(None, {'data': np.ascontiguousarray(x, 'float32')})
        if precision == 'float16' and not all(np.isfinite(output).all() for output in outputs) and np.isfinite(x).all():
            raise UserError('precision float16: a number of this network leaves its range (65504); choose float32')
        return outputs

    return lambda shape: compute  # one session takes any batch, from several threads


def _session(model: Union[bytes, str], threads: int) -> Any:
    import onnxruntime

    said = _preloaded()
    # cuDNN's plans that do not fit are errors to its logger, one for each convolution, though others compute it then
    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what fails is said in a line, below
    options.add_session_config_entry('session.record_ep_graph_assignment_info', '1')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            session = onnxruntime.InferenceSession(
                model, options, providers=[(CUDA, OPTIONS), 'CPUExecutionProvider'], enable_fallback=0
            )
    except Exception as error:  # its exceptions share no class of their own
        raise UserError(_failed(str(error))) from error
    session.disable_fallback()
    if CUDA not in session.get_providers():
        raise UserError(_failed(said or 'its libraries, CUDA or cuDNN, cannot be loaded'))
    return session


def _failed(reason: str) -> str:
    reason = ' '.join(reason.split()).split('[ONNXRuntimeError] : ')[-1][:300]  # behind where in its sources
    if 'Parse Failed' in reason:  # of the number of the device: 1.31 has no other word for it
        reason = 'CUDA finds none'
    return (
        f'runtime onnxruntime_cuda: ONNX Runtime cannot use the GPU ({reason}); see nvidia-smi, and pip install '
        f"'onnxruntime-gpu[cuda,cudnn]' for CUDA's libraries, {_INSTEAD}"
    )


@functools.lru_cache(maxsize=None)
def _preloaded() -> str:
    """Load CUDA's and cuDNN's libraries from where pip has put them; returns what could not be loaded, '' if all."""
    import onnxruntime

    if not hasattr(onnxruntime, 'preload_dlls'):  # before 1.21: they must lie where the system looks
        return ''
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):  # where a command may be printing JSON
        onnxruntime.preload_dlls()
    return ' '.join(line for line in printed.getvalue().splitlines() if 'Failed to load' in line)


def _on_processor(session: Any) -> str:
    """What of a network is not computed on the GPU, '2 LSTM, 1 TopK'; '' if nothing, or where it does not tell."""
    if not hasattr(session, 'get_provider_graph_assignment_info'):  # before 1.24
        return ''
    nodes = collections.Counter(
        node.op_type
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name == 'CPUExecutionProvider'
        for node in part.get_nodes()
        if node.op_type not in _OF_SIZES
    )
    return ', '.join(f'{count} {name}' for name, count in sorted(nodes.items()))
