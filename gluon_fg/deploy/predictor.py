"""A recognizer as a function of a batch, computed by the runtime and in the precision that are asked for."""

from __future__ import annotations

import functools
import os
import threading
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..errors import UserError
from ..nn.norm import deploy_symbol
from ..nn.tracing import TRACING
from .compiled import Compiled, Traced, converted
from .execution import REFERENCE, Execution, thread_count
from .folding import fold
from .fused import Forward, fuse, fuse_layers, with_segments
from .graph import Shape
from .quantized.computing import mxnet_forward, openvino_compiled


class Predictor:
    """A trained network ready to predict, as fast as this computer can: batches in, logits out.

    predictor = gluon_fg.deploy.Predictor('i3d_tiny_synthfg_dfb', precision='bfloat16')
    z_fused, *others = predictor(x)  # x (N, 3, T, H, W), normalized as the network's `input_spec` says
    predictor.predict('film.mp4')  # as gluon_fg.predict

    It keeps the weights that the network has now. What computes is compiled for each shape of a batch when it first
    comes. Several threads may share it.

    Parameters
    ----------
    net
        a recognizer with its weights; or what names one, as `gluon_fg.load_model` takes it
    runtime, precision, threads
        as for `Execution`; the attributes `runtime` and `precision` say what was decided
    batch_size
        clips, or videos for a network on images, that are computed together; larger batches are cut
    ctx
        where the network lies (default: CPU)

    Raises
    ------
    UserError
        an unknown name, a runtime that is not installed, a precision that it or the processor does not have
    """

    def __init__(
        self,
        net: Union[str, os.PathLike, HybridBlock],
        runtime: str = 'auto',
        precision: str = 'float32',
        batch_size: int = 8,
        threads: Optional[int] = None,
        ctx: Optional[mx.Context] = None,
    ):
        if batch_size < 1:
            raise UserError(f'batch_size must be at least 1, got {batch_size}')
        wanted = Execution(runtime, precision, threads)
        if not isinstance(net, HybridBlock):
            import gluon_fg  # its front door, which is above this room

            net = gluon_fg.load_model(net, ctx=ctx)
        self.net, self.batch_size = net, batch_size
        self._ctx, self._execution = ctx, wanted.decided(net, ctx)
        self._computed: Dict[int, _Computed] = {}
        self._lock = threading.Lock()

    @property
    def runtime(self) -> str:
        """What computes: one of `execution.RUNTIMES`."""
        return self._execution.runtime

    @property
    def precision(self) -> str:
        """Of the numbers in the network: one of `execution.PRECISIONS`."""
        return self._execution.precision

    @property
    def text(self) -> str:
        """Runtime and precision as files name them, for example 'openvino bfloat16'."""
        return self._execution.text

    @property
    def branch_names(self) -> Tuple[str, ...]:
        """Names of the outputs; the first is the prediction."""
        return tuple(self.net.branch_names)

    @property
    def seconds(self) -> float:
        """What converting and compiling took so far; 0 for MXNet, which does it in its first pass."""
        return sum(computed.compiled.seconds for computed in self._computed.values() if computed.compiled)

    def __call__(self, x: Union[np.ndarray, mx.nd.NDArray]) -> Tuple[np.ndarray, ...]:
        """Compute the logits (N, M), float32, of every branch for a batch.

        Parameters
        ----------
        x
            the network's normalized input: (N, C, T, H, W), or (N * num_segments, C, H, W) for a network on images
        """
        x = x.asnumpy() if isinstance(x, mx.nd.NDArray) else np.asarray(x)
        segments = self.net.num_segments if self.net.input_spec.ndim == 2 else 1
        rows = self.batch_size * segments
        if x.ndim != self.net.input_spec.ndim + 2 or not len(x) or len(x) % segments:
            frames = f', of {segments} frames for each video' if segments > 1 else ''
            raise UserError(f'{self.net.name} takes batches of {self.net.input_spec.summary}{frames}, got {x.shape}')
        arrays = self._of(segments).arrays
        parts = [arrays(x[first : first + rows]) for first in range(0, len(x), rows)]
        return tuple(part[0] if len(part) == 1 else np.concatenate(part) for part in zip(*parts))

    def predict(self, video: Any, **options: Any) -> Any:
        """Tell the likeliest classes of a video, or of several: `gluon_fg.predict` with this network."""
        import gluon_fg

        return gluon_fg.predict(video, self, batch_size=self.batch_size, **options)

    def decided(self, net: HybridBlock, ctx: Optional[mx.Context] = None) -> Predictor:
        """Stand where an `Execution` may, for its own network."""
        if net is not self.net:
            raise ValueError(f'this predictor is of another network than {net.name}')
        return self

    def forward(self, num_segments: Optional[int] = None) -> Forward:
        """Return the function from NDArrays to NDArrays that evaluation calls."""
        return self._of(num_segments or self.net.num_segments).ndarrays

    def _of(self, segments: int) -> _Computed:
        with self._lock:
            if segments not in self._computed:
                self._computed[segments] = _compute(self.net, self._execution, self._ctx, segments)
            return self._computed[segments]


Computation = Union[Execution, Predictor]  # what a pass over videos takes: what computes its network


def text_of(computation: Optional[Computation]) -> str:
    """Name runtime and precision as files do; None is a network's own graph in MXNet."""
    return (computation or REFERENCE).text


def forward_of(
    net: HybridBlock,
    execution: Computation,
    ctx: Optional[mx.Context] = None,
    num_segments: Optional[int] = None,
) -> Forward:
    """All branches of a recognizer as one function for inference.

    Parameters
    ----------
    net
        a recognizer with initialized parameters, which it keeps as they are now
    execution
        what computes it; a predictor of this network is taken as it is
    ctx
        where the network lies (default: CPU)
    num_segments
        frames of a video, for a network on images; None: as many as it has now

    Returns
    -------
    A function from a batch (N, 3, T, H, W), or (N * num_segments, 3, H, W), to the tuple of the branches' logits (N,
    M). Several threads may share it.
    """
    execution = execution.decided(net, ctx)
    if isinstance(execution, Predictor):
        return execution.forward(num_segments)
    return _compute(net, execution, ctx, num_segments or net.num_segments).ndarrays


def layers_forward(
    layers: HybridBlock, execution: Execution, ctx: Optional[mx.Context] = None, num_segments: int = 1
) -> Forward:
    """A block of one input and one output, such as the first stages of a backbone, as `forward_of` makes a network.

    Parameters
    ----------
    layers
        a block with initialized parameters
    execution
        what computes it, decided already
    ctx
        where it lies (default: CPU)
    num_segments
        frames of a video, for layers of a network on images, whose batches have a multiple of them
    """
    if execution.precision == 'int8':
        raise UserError('precision int8 is of whole networks, not of some of their layers; choose float32 or bfloat16')
    if execution.runtime == 'mxnet':
        return fuse_layers(layers, ctx)
    return _compiled(
        lambda shape: Traced(*fold(*deploy_symbol(layers), shape), ('features',)), execution, num_segments
    ).ndarrays


class _Computed(NamedTuple):
    """One computation twice: from and to NDArrays, from and to arrays; and what compiles it, of ONNX."""

    ndarrays: Forward
    arrays: Callable[[np.ndarray], List[np.ndarray]]
    compiled: Optional[Compiled] = None


def _compute(net: HybridBlock, execution: Execution, ctx: Optional[mx.Context], segments: int) -> _Computed:
    int8 = execution.precision == 'int8'
    if execution.runtime == 'mxnet':
        images = net.input_spec.ndim == 2
        forward = mxnet_forward(net, segments) if int8 else fuse(net, ctx, segments if images else None)
        return _Computed(forward, lambda x: [z.asnumpy() for z in forward(mx.nd.array(x, ctx))])
    if int8:
        return _as_computed(openvino_compiled(net, segments, thread_count(execution.threads)))
    return _compiled(functools.partial(_traced, net, segments), execution, segments)


def _compiled(trace: Callable[[Shape], Traced], execution: Execution, unit: int = 1) -> _Computed:
    return _as_computed(
        Compiled(converted(trace), execution.runtime, execution.precision, thread_count(execution.threads), unit)
    )


def _as_computed(compiled: Compiled) -> _Computed:
    def forward(x: mx.nd.NDArray) -> Tuple[mx.nd.NDArray, ...]:
        return tuple(mx.nd.array(z) for z in compiled(x.asnumpy()))

    return _Computed(forward, compiled, compiled)


def _traced(net: HybridBlock, segments: int, shape: Shape) -> Traced:
    """The graph of a recognizer's branches for batches of a shape, without auxiliary outputs."""
    from .onnx.convert import network_graph

    with TRACING, with_segments(net, segments if net.input_spec.ndim == 2 else None):
        graph = network_graph(net, shape=shape)
    return Traced(graph.symbol, graph.params, graph.names)
