"""Learning rate as a pure function of the update's number, so that a resumed run needs no state for it."""

from __future__ import annotations

import math
from typing import Callable

from .sections import TrainConfig


def scaled_lr(train: TrainConfig, size: int) -> float:
    """The base rate, lr * lr_scale; with lr_batch_size scaled linearly to the clips of one update over `size` ranks
    (Goyal et al. 2017, sec. 2.1).
    """
    if not train.lr_batch_size:
        return train.lr * train.lr_scale
    return train.lr * train.lr_scale * train.batch_size * train.accumulate * size / train.lr_batch_size


def make_schedule(train: TrainConfig, steps_per_epoch: int, size: int = 1) -> Callable[[int], float]:
    """step (0-based update) -> learning rate.

    Linear warm-up from base / warm-up steps, then 'step' (times lr_factor at the start of each epoch in lr_epochs) or
    'cosine' (from the base rate to lr_final of it at the last update; Loshchilov and Hutter 2017, eq. 5, no restart).
    """
    base = scaled_lr(train, size)
    warmup = int(round(train.warmup_epochs * steps_per_epoch))
    total = train.epochs * steps_per_epoch

    def rate(step: int) -> float:
        if step < warmup:
            return base * (step + 1) / warmup
        if train.schedule == 'step':
            passed = sum(step >= epoch * steps_per_epoch for epoch in train.lr_epochs)
            return base * train.lr_factor**passed
        share = (step - warmup) / max(1, total - 1 - warmup)
        return base * (train.lr_final + (1 - train.lr_final) * (1 + math.cos(math.pi * min(1.0, share))) / 2)

    return rate
