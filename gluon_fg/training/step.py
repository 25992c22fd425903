"""One update: forward and backward of the branches, the check that losses are finite, averaging, clipping, the step."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import HybridBlock

from ..data.loader import Batch
from ..data.transforms import to_input
from ..errors import UserError
from .precision import Scaler
from .targets import PLAIN, Targets

Readings = Dict[str, mx.nd.NDArray]


def forward_backward(
    net: HybridBlock, batch: Batch, scaler: Scaler, ctx: mx.Context, targets: Targets = PLAIN
) -> Readings:
    """Add the gradient of a batch's summed loss, and say what came out of it; nothing is waited for.

    Returns
    -------
    Arrays of one value a clip of this rank, still on the device: `loss`, and `loss_<branch>` and `top1_<branch>` (1 for
    a right answer, else 0) of every branch. Losses are against the targets. The right answer for a mixed clip is the
    class with the largest share, the lower of equal ones; for one that shows several classes each of them
    """
    x = to_input(batch.clips, net.input_spec, ctx)
    label = mx.nd.array(batch.labels, ctx=ctx)
    target = mx.nd.array(targets.of(batch.labels, net.nclass), ctx=ctx)
    with autograd.record():
        outputs = net.branches(x, label) if net.takes_labels else net.branches(x)
        loss = net.loss(outputs, target)
        scaler.backward([loss])
    readings = {'loss': loss}
    readings.update({f'loss_{name}': value for name, value in net.named_losses(outputs, target).items()})
    right = label if label.ndim == 1 else mx.nd.argmax(label, axis=1)
    several = net.multi_label and label.ndim == 2
    for name, logits in zip(net.branch_names, outputs):
        # New arrays: a static graph writes its next outputs into the same memory.
        answer = mx.nd.argmax(logits.astype('float32'), axis=1)
        readings[f'top1_{name}'] = mx.nd.pick(label, answer, axis=1) >= 0.5 if several else answer == right
    return readings


def mean_of(passes: List[Readings], name: str) -> float:
    """The mean of a reading over the clips of an update's forward passes; waits for it."""
    return sum(float(readings[name].asnumpy().astype('float64').mean()) / len(passes) for readings in passes)


def means_of(passes: List[Readings]) -> Dict[str, float]:
    """`mean_of` for every reading."""
    return {name: mean_of(passes, name) for name in passes[0]}


def check_finite(values: Dict[str, float], where: str, videos: List[str], run_dir: Path) -> None:
    """Stop before a NaN or infinite loss reaches a file: UserError naming branches, place and videos."""
    bad = [name[5:] for name, value in values.items() if name.startswith('loss_') and not np.isfinite(value)]
    if bad or not np.isfinite(values['loss']):
        raise UserError(
            f'the loss of {", ".join(bad) or "the sum"} became {values["loss"]} in {where} '
            f'(videos {", ".join(videos)}, ...); lower train.lr or set train.clip. '
            f'The last checkpoint of {run_dir} is from before'
        )


def update(trainer: gluon.Trainer, params: list, scaler: Scaler, clips: int, clip: float) -> Optional[mx.nd.NDArray]:
    """Average gradients over ranks, clip them, and take the optimizer's step; nothing is waited for.

    Parameters
    ----------
    clips
        clips of this rank that the gradients are sums over
    clip
        largest global L2 norm of the mean gradient; 0 for no clipping

    Returns
    -------
    The mean gradient's norm before clipping, still on the device, or None without clipping.
    """
    norm = None
    if clip:
        trainer.allreduce_grads()  # first: so that every rank clips the same gradient
        scaler.unscale()
        scale = clips / trainer._scale  # gradients are sums over clips (and ranks); the limit is for the mean
        grads = [p.list_grad()[0] for p in params]
        norm = gluon.utils.clip_global_norm(grads, clip * scale, check_isfinite=False) / scale
        trainer.update(clips)
    else:
        trainer.step(clips)
    for p in params:
        if p.grad_req == 'add':  # gradient accumulation: the next update starts from nothing
            p.zero_grad()
    return norm
