"""Temporal shift (Lin et al., TSM, ICCV 2019, arXiv:1811.08383, sec. 3.2)."""

from __future__ import annotations

from typing import Any

import mxnet as mx
from mxnet.gluon import Block, HybridBlock

from ..errors import UserError
from .norm import clear_cached_graphs


class TemporalShift(HybridBlock):
    """Some channels of each frame taken from the next frame, as many from the one before, the rest left alone.

    The first 1 / `fold_div` of the channels move back in time (frame t gets those of t + 1), the second forward; what
    would come from outside the video is zero. No parameters, no multiplications.

    Parameters
    ----------
    segments
        frames of one video, which lie together in the batch; of a single frame all that moves would be lost
    fold_div
        one part in so many of the channels moves each way (8 in the paper)

    Inputs:
        - **x**: (N * segments, C, H, W), C a multiple of `fold_div`

    Outputs:
        - **y**: (N * segments, C, H, W)

    Raises
    ------
    UserError
        segments or fold_div below 2; called with channels or frames that are no multiples of them
    """

    def __init__(self, segments: int, fold_div: int = 8, **kwargs: Any):
        super().__init__(**kwargs)
        if segments < 2 or fold_div < 2:
            raise UserError(f'temporal shift takes segments and fold_div of at least 2, got {segments!r}, {fold_div!r}')
        self.segments, self._parts = segments, fold_div

    def __call__(self, x):
        if isinstance(x, mx.nd.NDArray) and (x.ndim != 4 or x.shape[0] % self.segments or x.shape[1] % self._parts):
            raise UserError(
                f'input has shape {x.shape}; this shift takes (N * {self.segments}, C, H, W), '
                f'C a multiple of {self._parts}'
            )
        return super().__call__(x)

    def hybrid_forward(self, F, x):
        # The added axis keeps C, H, W where a 0 in the new shape finds them: a form that ONNX has, too.
        videos = F.reshape(F.expand_dims(x, axis=0), shape=(-1, self.segments, 0, 0, 0))
        back, forward, *rest = F.split(videos, num_outputs=self._parts, axis=2)
        blank = F.zeros_like(F.slice_axis(back, axis=1, begin=0, end=1))
        back = F.concat(F.slice_axis(back, axis=1, begin=1, end=None), blank, dim=1)
        forward = F.concat(blank, F.slice_axis(forward, axis=1, begin=0, end=-1), dim=1)
        return F.reshape_like(F.concat(back, forward, *rest, dim=2), x)


def set_segments(net: Block, segments: int) -> None:
    """Let every `TemporalShift` of a network take videos of so many frames; graphs traced already are dropped.

    Raises
    ------
    UserError
        fewer than two frames where there is a shift; the network is unchanged
    """
    shifts = []
    net.apply(lambda block: shifts.append(block) if isinstance(block, TemporalShift) else None)
    if shifts and segments < 2:
        raise UserError(
            f'num_segments {segments}: a network with temporal shift takes at least 2 frames of a video together; '
            f'choose a protocol of one clip, for example train_time'
        )
    for shift in shifts:
        shift.segments = segments
    if shifts:
        clear_cached_graphs(net)
