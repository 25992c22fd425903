"""Sliding a network with a filter bank over a whole video: responses of clip after clip, and their maxima."""

from __future__ import annotations

import contextlib
import warnings
from typing import Iterator, List, NamedTuple, Optional, Tuple

import mxnet as mx
import numpy as np

from ..data import sampling, transforms
from ..data.video import VideoReader
from ..errors import UserError
from .placement import Placement

_CHUNK = 16  # frames decoded at a time for a 2-D network


def require_bank(net) -> None:
    """Refuse a network without a filter bank."""
    if not getattr(net, 'filters_per_class', 0):
        raise UserError(
            f'{getattr(net, "name", "this network")} has no filter bank, so there is no filter to localize; '
            'choose a model whose name ends in _dfb'
        )


def placement(net, size: Tuple[int, int]) -> Placement:
    """Where the network's responses lie in a video of (W, H) pixels."""
    spec, (width, height) = net.input_spec, size
    return Placement(
        net.response_geometry,
        spec.frames if spec.ndim == 3 else 1,
        transforms.short_side_size(height, width, spec.short_side),
        (height, width),
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
    net, reader: VideoReader, ctx: Optional[mx.Context] = None, batch_size: int = 4, overlap: bool = True
) -> Iterator[Part]:
    """Slide over a video, `batch_size` clips (or frames) at a time, as `examine` says. Hybridizes the network."""
    if batch_size < 1:
        raise UserError(f'batch_size must be at least 1, got {batch_size}')
    ctx, spec, batch = ctx or mx.cpu(), net.input_spec, []
    reached = -np.inf

    def run():
        nonlocal reached
        clips, ends, views = (np.stack(items) for items in zip(*batch))
        with warnings.catch_warnings():  # the classifiers' parameters, which responses do not need
            warnings.filterwarnings('ignore', message='.*not used by any computation')
            responses = net.filter_responses(transforms.to_input(views, spec, ctx)).astype('float32').asnumpy()
        if not np.isfinite(responses).all():
            raise UserError(
                f'{reader.path}: the responses are not finite; are these the parameters of a run that diverged?'
            )
        if spec.ndim == 2:
            return Part(clips, np.ones((len(clips), 1), bool), responses[:, :, None])
        cell = spec.frame_stride * net.response_geometry.stride[0]
        times = cell * np.arange(responses.shape[2])
        counts = np.zeros((len(clips), len(times)), bool)
        for clip, end, row in zip(clips, ends, counts):
            row[:] = (clip[0] + times >= reached) & (times < times.mean() + end)
            if row.any():  # the last clip may lie off the others' grid: the next moment is at least half a cell later
                reached = (clip[0] + times)[row].max() + cell / 2
        return Part(clips, counts, responses)

    with _frames_apart(net):
        net.hybridize(static_alloc=True, static_shape=True)
        for item in _views(reader, spec, _step(net, overlap)):
            batch.append(item)
            if len(batch) == batch_size:
                yield run()
                batch = []
        if batch:
            yield run()


def _step(net, overlap: bool) -> int:
    """Frames from one clip's start to the next one's: whole cells, so that those of overlapping clips coincide."""
    spec, cell = net.input_spec, int(net.response_geometry.stride[0])
    return spec.frame_stride * (max(spec.frames // 2 // cell, 1) * cell if overlap else spec.frames)


def _views(reader: VideoReader, spec, step: int) -> Iterator[Tuple[np.ndarray, float, np.ndarray]]:
    """(numbers of frames (T,), end, network input) for each clip, or for each frame of a 2-D network, in order.

    Until `end`, counted in frames from the clip's middle, is half way to the next clip's middle.
    """
    total = len(reader)
    if spec.ndim == 3:
        starts = clip_starts(total, spec.frames, spec.frame_stride, step)
        for start, after in zip(starts, [*starts[1:], np.inf]):
            clip = sampling.clip_indices(total, spec.frames, spec.frame_stride, start)
            frames = transforms.resize_short(reader.get_batch(clip), spec.short_side)
            yield clip, (after - start) / 2, transforms.to_view(frames, spec)
        return
    for start in range(0, total, _CHUNK):
        numbers = np.arange(start, min(start + _CHUNK, total))
        frames = transforms.resize_short(reader.get_batch(numbers), spec.short_side)
        for number, frame in zip(numbers, frames):
            yield np.array([number]), np.inf, transforms.to_view(frame[None], spec)[0]


def clip_starts(total: int, frames: int, stride: int, step: int) -> List[int]:
    """First frames of clips `step` frames apart; the last clip ends with the video."""
    last = sampling.last_start(total, frames, stride)
    return [*range(0, last, step), last]


@contextlib.contextmanager
def _frames_apart(net) -> Iterator[None]:
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
    """The highest response of every filter so far, and where; of equal ones the first in time, then row, then column.

    `value` (M*K,); `cell` and `clip`, for each filter, (t', y', x') and the frames of the clip; `shape`, rows and
    columns of the cells; `moments`, (frames of a clip, t') of every moment that counted; `size`, (W, H) of the video.
    """

    def __init__(self, size: Tuple[int, int]):
        self.size, self.value, self.moments = size, None, []

    def update(self, part: Part) -> None:
        """Take in what `scan` yields."""
        count, self.shape = part.responses.shape[1], part.responses.shape[3:]
        if self.value is None:
            self.value, self.cell, self.clip = np.full(count, -np.inf, np.float32), [None] * count, [None] * count
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
