"""Which frames make a clip: pure functions of the number of frames in the video.

Indices are 0-based. A clip of `frames` frames at `stride` spans (frames - 1) * stride + 1 decoded frames. A clip that
runs past the end of its video is clamped by the rule `short`:

- 'repeat_last': the last frame stands in for every one beyond the end
- 'loop': the video starts again at its first frame
"""

from __future__ import annotations

from typing import Optional

import numpy as np

from ..errors import UserError, unknown
from ..input_spec import SHORT_RULES


def _positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise UserError(f'{name} must be at least 1, got {value}')


def clamp(indices: np.ndarray, total: int, short: str = 'repeat_last') -> np.ndarray:
    """Bring indices beyond the end of a video of `total` frames back into 0..total-1, by the rule `short`."""
    if short == 'repeat_last':
        return np.minimum(indices, total - 1)
    if short == 'loop':
        return indices % total
    raise unknown('rule for short videos', short, SHORT_RULES)


def segment_indices(total: int, segments: int, rng: Optional[np.random.Generator] = None) -> np.ndarray:
    """Take one frame from each of `segments` equal parts of a video (TSN, Wang et al. 2016; Zhao et al., sec. IV).

    Part s covers the real interval [s * total / segments, (s + 1) * total / segments). With `rng` the frame is drawn
    uniformly in time inside it; without, it is the one at the middle: floor((2 s + 1) * total / (2 * segments)).
    A video shorter than `segments` frames gives some frame more than once; the order in time is always kept.

    Returns
    -------
    numpy.ndarray
        (segments,) int64, not decreasing
    """
    _positive(total=total, segments=segments)
    part = np.arange(segments)
    if rng is None:
        return (2 * part + 1) * total // (2 * segments)
    return np.minimum(((part + rng.random(segments)) * total / segments).astype(np.int64), total - 1)


def spread_clips(total: int, frames: int, clips: int) -> np.ndarray:
    """Take `clips` clips for testing, each spread over the whole video (Zhao et al., sec. IV-B): (clips, frames) int64.

    Frame s of a clip lies in part s of `frames` equal ones, at the same position in each: the middle for one clip; of
    several, clip c has floor((s + p) * total / frames) with p = (c + 1/2) / clips. From one frame to the next it is as
    far everywhere, but for rounding. A video shorter than `frames` gives some frames more than once, in order.
    """
    _positive(total=total, frames=frames, clips=clips)
    place = 2 * clips * np.arange(frames)[None] + 2 * np.arange(clips)[:, None] + 1  # in parts of 1 / (2 * clips)
    return place * total // (2 * clips * frames)


def random_spread(total: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Take a clip as `spread_clips` does, its position in the parts drawn uniformly, once for all: (frames,) int64."""
    _positive(total=total, frames=frames)
    return np.minimum(((np.arange(frames) + rng.random()) * total / frames).astype(np.int64), total - 1)


def clip_indices(total: int, frames: int, stride: int, start: int, short: str = 'repeat_last') -> np.ndarray:
    """Take the `frames` frames start, start + stride, ... of a video of `total` frames: (frames,) int64."""
    _positive(total=total, frames=frames, stride=stride)
    if not 0 <= start < total:
        raise UserError(f'a clip starts at one of the frames 0..{total - 1}, got {start}')
    return clamp(start + stride * np.arange(frames), total, short)


def last_start(total: int, frames: int, stride: int) -> int:
    """Return the last start whose clip lies wholly inside the video; 0 for a video shorter than a clip."""
    _positive(total=total, frames=frames, stride=stride)
    return max(total - 1 - (frames - 1) * stride, 0)


def random_clip(
    total: int, frames: int, stride: int, rng: np.random.Generator, short: str = 'repeat_last'
) -> np.ndarray:
    """Take a clip whose start is drawn uniformly among all that lie inside the video: (frames,) int64."""
    start = int(rng.integers(0, last_start(total, frames, stride) + 1))
    return clip_indices(total, frames, stride, start, short)


def regular_clips(total: int, frames: int, stride: int, clips: int, short: str = 'repeat_last') -> np.ndarray:
    """Take `clips` clips evenly over the video, for testing: (clips, frames) int64.

    One clip is the center one, starting at floor(last / 2) where `last` is the last start inside the video; of several
    the first starts at 0, the last at `last`, clip c at floor(c * last / (clips - 1) + 1/2). They overlap where the
    video is shorter than all of them together, and are one and the same where it is no longer than a clip.
    """
    _positive(clips=clips)
    last = last_start(total, frames, stride)
    if clips == 1:
        starts = np.array([last // 2])
    else:
        starts = (2 * np.arange(clips) * last + clips - 1) // (2 * (clips - 1))
    return clamp(starts[:, None] + stride * np.arange(frames)[None], total, short)
