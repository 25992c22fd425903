"""Sliding a network with class filters over a whole video: responses of clip after clip, and their maxima."""

from __future__ import annotations

import contextlib
import warnings
from typing import Iterator, List, NamedTuple, Optional, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..data import sampling
from ..data.rates import at_rate
from ..data.seen import positions
from ..data.video import VideoReader
from ..errors import UserError
from .clips import clip_starts, read_clips


def require_filters(net: HybridBlock) -> None:
    """Refuse a network without class filters that respond to places."""
    if not getattr(net, 'filters_per_class', 0):
        raise UserError(
            f'{getattr(net, "name", "this network")} has no class filters to localize; '
            'choose a model whose name ends in _dfb'
        )


class Part(NamedTuple):
    """Responses of some clips of a video.

    Parameters
    ----------
    clips
        (N, T) numbers of the frames of each clip
    counts
        (N, T') bool: whether a moment counts in this clip, and not in another one that overlaps it
    responses
        (N, M*K, T', H', W') float32

    T and T' are 1 for 2-D networks.
    """

    clips: np.ndarray
    counts: np.ndarray
    responses: np.ndarray


def scan(
    net: HybridBlock, reader: VideoReader, ctx: Optional[mx.Context] = None, batch_size: int = 4, overlap: bool = True
) -> Iterator[Part]:
    """Slide over a video, `batch_size` clips (or frames) at a time, as `examine` says. Hybridizes the network."""
    spec, position, reached = net.input_spec, 0, -np.inf
    reader = at_rate(reader, spec.fps)
    clips, ends = _clips(net, positions(reader, spec), overlap)
    with _frames_apart(net):
        net.hybridize(static_alloc=True, static_shape=True)
        for batch in read_clips(reader, spec, clips, ctx, batch_size):
            with warnings.catch_warnings():  # the classifiers' parameters, which responses do not need
                warnings.filterwarnings('ignore', message='.*not used by any computation')
                responses = net.filter_responses(batch.x).astype('float32').asnumpy()
            if not np.isfinite(responses).all():
                raise UserError(
                    f'{reader.path}: the responses are not finite; are these the parameters of a run that diverged?'
                )
            if spec.ndim == 2:
                yield Part(
                    reader.source_frames(batch.frames), np.ones((len(responses), 1), bool), responses[:, :, None]
                )
                continue
            cell = spec.frame_stride * net.response_geometry.stride[0]
            times = cell * np.arange(responses.shape[2])
            counts = np.zeros((len(responses), len(times)), bool)
            for clip, end, row in zip(batch.frames, ends[position:], counts):
                row[:] = (clip[0] + times >= reached) & (times < times.mean() + end)
                # the last clip may lie off the others' grid: the next moment is at least half a cell later
                if row.any():
                    reached = (clip[0] + times)[row].max() + cell / 2
            position += len(responses)
            yield Part(reader.source_frames(batch.frames), counts, responses)


def _clips(net: HybridBlock, total: int, overlap: bool) -> Tuple[List[np.ndarray], np.ndarray]:
    """Numbers of the frames of each clip, and its end: half way to the next clip's middle, counted from its own.

    Starts are whole cells apart, so that the cells of overlapping clips coincide. A network on images sees every frame
    as a clip of its own, which has no end.
    """
    spec = net.input_spec
    if spec.ndim == 2:
        return list(np.arange(total)[:, None]), np.full(total, np.inf)
    cell = int(net.response_geometry.stride[0])
    step = spec.frame_stride * (max(spec.frames // 2 // cell, 1) * cell if overlap else spec.frames)
    starts = clip_starts(total, spec.frames, spec.frame_stride, step)
    clips = [sampling.clip_indices(total, spec.frames, spec.frame_stride, start, spec.short) for start in starts]
    return clips, np.diff(starts, append=np.inf) / 2


@contextlib.contextmanager
def _frames_apart(net: HybridBlock) -> Iterator[None]:
    """A 2-D network takes any number of frames while each is a video of its own; setting this drops cached graphs."""
    before = net.num_segments
    if before != 1:
        net.num_segments = 1
    try:
        yield
    finally:
        if before != 1:
            net.num_segments = before


class Maxima:
    """Keep the highest response of every filter so far, and where: of equal ones the first in time, row, column.

    `value` (M*K,); `cell` and `clip`, for each filter, (t', y', x') and the frames of the clip; `shape`, rows and
    columns of the cells; `moments`, (frames of a clip, t') of every moment that counted; `size`, (W, H) of the video.
    """

    def __init__(self, size: Tuple[int, int]):
        self.size = size
        self.value = np.zeros(0, np.float32)
        self.cell: List[Tuple[int, int, int]] = []
        self.clip: List[np.ndarray] = []
        self.shape: Tuple[int, int] = (0, 0)
        self.moments: List[Tuple[np.ndarray, int]] = []

    def update(self, part: Part) -> None:
        """Take in what `scan` yields."""
        _, count, _, *shape = part.responses.shape
        self.shape = (shape[0], shape[1])
        if not len(self.value):
            self.value = np.full(count, -np.inf, np.float32)
            self.cell, self.clip = [(0, 0, 0)] * count, [part.clips[0]] * count
        for clip, counts, responses in zip(*part):
            times = np.flatnonzero(counts)
            self.moments += [(clip, int(t)) for t in times]
            if not len(times):
                continue
            flat = responses[:, times].reshape(count, -1)
            cells, values = flat.argmax(axis=1), flat.max(axis=1)
            for number in np.flatnonzero(values > self.value):
                t, y, x = np.unravel_index(cells[number], (len(times), *self.shape))
                self.cell[number], self.clip[number] = (int(times[t]), int(y), int(x)), clip
            self.value = np.maximum(self.value, values)
