"""A recognizer as a function of a batch, computed by the runtime and in the precision that are asked for."""

from __future__ import annotations

from typing import Optional

import mxnet as mx
from mxnet.gluon import HybridBlock

from .execution import Execution
from .fused import Forward, fuse


def forward_of(
    net: HybridBlock, execution: Execution, ctx: Optional[mx.Context] = None, num_segments: Optional[int] = None
) -> Forward:
    """All branches of a recognizer as one function for inference.

    Parameters
    ----------
    net
        a recognizer with initialized parameters, which it keeps as they are now
    execution
        what computes it
    ctx
        where the network lies (default: CPU)
    num_segments
        frames of a video, for a network on images; None: as many as it has now

    Returns
    -------
    A function from a batch (N, 3, T, H, W), or (N * num_segments, 3, H, W), to the tuple of the branches' logits (N,
    M). Several threads may share it.
    """
    execution.decided(net, ctx)
    return fuse(net, ctx, num_segments)
