"""What a network sees at frames of a video: the frames, the optical flow from each on, or both.

Of a network that sees L fields at each frame, every stack lies inside the video: frames 0 to len - 1 - L may be taken.
"""

from __future__ import annotations

import numpy as np

from ..errors import VideoError
from ..input_spec import InputSpec
from .flow.sources import open_fields
from .video import VideoReader


def positions(reader: VideoReader, spec: InputSpec) -> int:
    """How many frames of a video, at the rate at which it is shown, may be taken: all with L fields behind them.

    Raises
    ------
    VideoError
        the video has too few frames for a single stack of fields
    """
    if len(reader) <= spec.fields:
        need = spec.fields + 1
        raise VideoError(
            reader.path, f'has {len(reader)} frames; {need} are needed for {spec.fields} fields of optical flow'
        )
    return len(reader) - spec.fields


def read(reader: VideoReader, indices: np.ndarray, spec: InputSpec, size: tuple) -> np.ndarray:
    """Read what is seen at frames of a video, resized to `size` (H, W): uint8 (T, H, W, C), as `InputSpec` has it.

    Parameters
    ----------
    reader
        the video, at the rate at which it is shown
    indices
        (T,) numbers below `positions`
    spec
        the network's input

    Raises
    ------
    VideoError
        a frame or field that cannot be read, flow that is missing or of another length or shape than the video
    UserError
        flow of another algorithm or bound than the network was trained on
    """
    if not spec.fields:
        return reader.get_batch(indices, size)
    first = spec.channels - 2 * spec.fields
    out = np.empty((len(indices), *size, spec.channels), np.uint8)
    if first:
        out[..., :first] = reader.get_batch(indices, size)
    numbers = np.asarray(indices)[:, None] + np.arange(spec.fields)
    needed, where = np.unique(numbers, return_inverse=True)
    fields = _fields(reader, needed, spec, size)
    for place, chosen in enumerate(where.reshape(numbers.shape).T):
        out[..., first + 2 * place : first + 2 * place + 2] = fields[chosen]
    return out


def _fields(reader: VideoReader, numbers: np.ndarray, spec: InputSpec, size: tuple) -> np.ndarray:
    """Fields from frames `numbers` on, uint8 (K, H, W, 2): as far as things move until the next frame shown."""
    film = reader.film
    with open_fields(film, spec) as flow:
        fields = flow.get_batch(np.minimum(reader.film_frames(numbers), len(flow) - 1), size)
    longer = 1.0 if spec.fps is None else film.fps / spec.fps  # than from one frame of the film to the next
    if longer == 1 and not spec.center_flow:
        return fields
    moved = (fields.astype(np.float32) - 127.5) * np.float32(longer)
    if spec.center_flow:
        moved -= moved.mean(axis=(1, 2), keepdims=True)
    return np.clip(np.rint(moved + 127.5), 0, 255).astype(np.uint8)
