"""Clips of a video for a network: which frames they are made of, and the one generator that reads and batches them."""

from __future__ import annotations

from typing import Iterable, Iterator, List, NamedTuple, Optional, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..backbones.geometry import Geometry
from ..data import sampling, transforms
from ..data.rates import at_rate
from ..data.seen import positions, read
from ..data.video import VideoReader
from ..errors import UserError
from ..input_spec import InputSpec
from .placement import Placement


class ClipBatch(NamedTuple):
    """Some clips of a video.

    Parameters
    ----------
    frames
        (N, T) numbers of the frames of each clip
    x
        network input: (N, C, T, H, W), or (N * T, C, H, W) for a network on images
    """

    frames: np.ndarray
    x: mx.nd.NDArray


def read_clips(
    reader: VideoReader,
    spec: InputSpec,
    clips: Iterable[np.ndarray],
    ctx: Optional[mx.Context] = None,
    batch_size: int = 1,
) -> Iterator[ClipBatch]:
    """Read clips of a video, whole frames scaled to `spec.short_side`, as batches for a network.

    Parameters
    ----------
    reader
        the open video
    spec
        the network's input
    clips
        numbers of the frames of each clip, all equally many
    ctx
        where the network lies (default: CPU)
    batch_size
        clips in a batch; the last one may be smaller

    Raises
    ------
    VideoError
        a frame that cannot be decoded
    """
    if batch_size < 1:
        raise UserError(f'batch_size must be at least 1, got {batch_size}')
    every = list(clips)

    def view(numbers: np.ndarray) -> np.ndarray:
        size = transforms.short_side_size(reader.size[1], reader.size[0], spec.short_side)
        return transforms.to_view(read(reader, numbers, spec, size), spec)

    for start in range(0, len(every), batch_size):
        batch = np.stack(every[start : start + batch_size])
        views = np.stack([view(clip) for clip in batch]) if spec.ndim == 3 else view(batch.reshape(-1))
        yield ClipBatch(batch, transforms.to_input(views, spec, ctx or mx.cpu()))


def clip_starts(total: int, frames: int, stride: int, step: int) -> List[int]:
    """First frames of clips `step` frames apart; the last clip ends with the video."""
    last = sampling.last_start(total, frames, stride)
    return [*range(0, last, step), last]


def one_clip(net: HybridBlock, reader: VideoReader, start: Optional[int] = None) -> np.ndarray:
    """(frames,) numbers of the frames of one clip of a video, at the rate that the network sees it (`InputSpec.fps`).

    Parameters
    ----------
    net
        a recognizer
    reader
        the video
    start
        first frame of the clip; None: of the middle one, or, where the network's frames are spread over the video
        (`InputSpec.sampling`, images' segments), of those

    Raises
    ------
    UserError
        a start outside the video, or any where frames are spread
    """
    spec = net.input_spec
    seen = at_rate(reader, spec.fps)
    total = positions(seen, spec)
    if _spread(spec):
        if start is not None:
            raise UserError(f'{net.name} takes frames spread over the whole video; leave out the start of a clip')
        clip = sampling.segment_indices(total, spec.frames if spec.ndim == 3 else spec.segments)
    elif start is None:
        clip = sampling.regular_clips(total, spec.frames, spec.frame_stride, 1, spec.short)[0]
    else:
        clip = sampling.clip_indices(len(reader), spec.frames, 1, start)  # refuses a start outside the video
        begin = min(int(np.searchsorted(seen.source_frames(np.arange(total)), start)), total - 1)
        clip = sampling.clip_indices(total, spec.frames, spec.frame_stride, begin, spec.short)
    return seen.source_frames(clip)


def all_clips(net: HybridBlock, reader: VideoReader) -> List[np.ndarray]:
    """Clips one behind the other over a whole video, the last one ending with it; one where frames are spread."""
    spec = net.input_spec
    if _spread(spec):
        return [one_clip(net, reader)]
    seen = at_rate(reader, spec.fps)
    total = positions(seen, spec)
    starts = clip_starts(total, spec.frames, spec.frame_stride, spec.frames * spec.frame_stride)
    clips = (sampling.clip_indices(total, spec.frames, spec.frame_stride, start, spec.short) for start in starts)
    return [seen.source_frames(clip) for clip in clips]


def _spread(spec: InputSpec) -> bool:
    """Whether a view is spread over the whole video."""
    return spec.ndim == 2 or spec.sampling == 'spread'


def placement(net: HybridBlock, geometry: Geometry, size: Tuple[int, int]) -> Placement:
    """Where cells of that geometry in a network's input lie in a video of (W, H) pixels."""
    spec, (width, height) = net.input_spec, size
    seen = transforms.short_side_size(height, width, spec.short_side)
    return Placement(geometry, spec.frames if spec.ndim == 3 else 1, seen, (height, width))


def require_recognizer(net: HybridBlock) -> None:
    """Refuse a network that is no recognizer, such as one of GluonCV's, whose features cannot be named."""
    if not hasattr(net, 'map_info'):
        name = getattr(net, 'name', 'this network')
        raise UserError(f'{name} is no recognizer of gluon_fg, so it cannot be looked into; choose from list_models()')
