"""Average consensus of TSN (DFB sec. 4.2) over frames, and of Zhao et al. over the predictions of several networks."""

from __future__ import annotations

import functools
from typing import Any


def average_consensus(F: Any, z: Any, segments: int, classes: int) -> Any:
    """Mean of the logits of a video's segments: (N * segments, M) -> (N, M); the segments of one video lie together."""
    if segments == 1:
        return z
    return F.mean(F.reshape(z, shape=(-1, segments, classes)), axis=1)


def average_scores(F, *logits, weights=None):
    """Logits (N, M) whose softmax is the mean of the softmaxes of the given ones (Zhao et al., sec. IV-B).

    `weights`: how much each counts, a number of 0 or more; None: all alike. A single one is returned as a copy, as a
    graph's outputs must differ. Finite wherever the given ones are.
    """
    if len(logits) == 1:
        return F.identity(logits[0])
    return _log_mean(F, [F.log_softmax(z, axis=1) for z in logits], weights)


def average_sigmoids(F, *logits, weights=None):
    """As `average_scores`, for videos of several labels: the sigmoid of the result is the mean of the sigmoids."""
    if len(logits) == 1:
        return F.identity(logits[0])
    yes, no = ([-F.Activation(z, act_type='softrelu') for z in signed] for signed in ([-z for z in logits], logits))
    return _log_mean(F, yes, weights) - _log_mean(F, no, weights)


def _log_mean(F, logs, weights):
    """log of the weighted mean of exp(logs)."""
    top = functools.reduce(F.broadcast_maximum, logs)
    if weights is None:
        return top + F.log(sum(F.exp(z - top) for z in logs) / len(logs))
    shares = [weight / sum(weights) for weight in weights]
    return top + F.log(sum(share * F.exp(z - top) for share, z in zip(shares, logs)))
