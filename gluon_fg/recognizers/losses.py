"""What branches are trained to say: the loss of their logits."""

from __future__ import annotations

import mxnet as mx

from ..errors import UserError


def cross_entropy(logits: mx.nd.NDArray, target: mx.nd.NDArray) -> mx.nd.NDArray:
    """Softmax cross-entropy of each clip, (N,), computed in float32.

    It is linear in the target: that of a mixture of two clips' targets is the mixture of their losses, and a target
    multiplied with weights of the classes gives the weighted loss.

    Inputs:
        - **logits**: (N, M) of any float type
        - **target**: (N,) integers 0..M-1, of any numeric type, or (N, M): how much each class counts, 0 or more; rows
          need not sum to 1

    Raises
    ------
    UserError
        a target of another shape
    """
    log_p, target = mx.nd.log_softmax(logits.astype('float32'), axis=1), target.as_in_context(logits.context)
    if target.ndim == 1:
        return -mx.nd.pick(log_p, target, axis=1)
    if target.shape != logits.shape:
        raise UserError(f'targets have shape {target.shape}; these logits take ({len(logits)},) or {logits.shape}')
    return -mx.nd.sum(target.astype('float32') * log_p, axis=1)


def binary_cross_entropy(logits: mx.nd.NDArray, target: mx.nd.NDArray) -> mx.nd.NDArray:
    """Sigmoid cross-entropy of each clip, (N,): the mean over the classes, as Gluon's own loss, computed in float32.

    Inputs:
        - **logits**: (N, M) of any float type
        - **target**: (N, M): 1 for each class that the clip shows, else 0, or a share between; or (N,) integers 0..M-1,
          the only class of each

    Raises
    ------
    UserError
        a target of another shape
    """
    z, target = logits.astype('float32'), target.as_in_context(logits.context)
    if target.ndim == 1:
        target = mx.nd.one_hot(target, z.shape[1])
    if target.shape != z.shape:
        raise UserError(f'targets have shape {target.shape}; these logits take ({len(z)},) or {z.shape}')
    # log(1 + e^z) - t z, without overflow
    return mx.nd.mean(mx.nd.relu(z) + mx.nd.log1p(mx.nd.exp(-mx.nd.abs(z))) - target.astype('float32') * z, axis=1)
