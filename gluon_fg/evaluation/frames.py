"""Frames that a program holds already, in place of a file: arrays, or lists of pictures."""

from __future__ import annotations

import os
from typing import Any, Iterable

import numpy as np

from ..errors import UserError

_WANTED = 'frames are uint8, 0 to 255, (T, H, W, 3) in the order red, green, blue, or a list of such (H, W, 3)'


def is_frames(video: Any) -> bool:
    """Tell whether something is the frames of one video: an array, a picture, or a list of pictures."""
    if isinstance(video, (str, os.PathLike)):
        return False
    if _is_picture(video) or hasattr(video, 'shape'):
        return getattr(getattr(video, 'dtype', None), 'kind', '') not in ('O', 'U')  # those are names of files
    return isinstance(video, (list, tuple)) and bool(video) and is_picture(video[0])


def videos_of(video: Any) -> list:
    """What is given as a list of videos, each a path or frames; one video is a list of itself.

    Raises
    ------
    UserError
        neither a path, frames, nor several of them
    """
    if isinstance(video, (str, os.PathLike)) or is_frames(video):
        return [video]
    if isinstance(video, (bytes, bytearray, dict)) or hasattr(video, 'read') or not isinstance(video, Iterable):
        raise UserError(f'{_kind(video)} is no video; give a path, frames, or a list of these ({_WANTED})')
    return list(video)


def frames_of(video: Any) -> np.ndarray:
    """Frames as an array, uint8 (T, H, W, 3): of one, of a picture (H, W, 3), or of a list of pictures of one size.

    Arrays of MXNet, PyTorch and decord, and pictures of PIL, are taken, too.

    Raises
    ------
    UserError
        another type or shape; says what to do where that is plain
    """
    if isinstance(video, (list, tuple)):
        pictures = [_array(picture) for picture in video]
        sizes = {picture.shape for picture in pictures}
        if len(sizes) != 1:
            raise UserError(f'frames of a video have one size, got {" and ".join(map(str, sorted(sizes)[:2]))}')
        kinds = sorted({str(picture.dtype) for picture in pictures})
        if len(kinds) != 1:
            raise UserError(f'frames of a video have one type, got {" and ".join(kinds)}; {_WANTED}')
        frames = np.stack(pictures)
    else:
        frames = _array(video)
        frames = frames[None] if frames.ndim == 3 and frames.shape[2] in (3, 4) else frames
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size:
        raise UserError(f'got {frames.dtype} {frames.shape}{_hint(frames)}; {_WANTED}')
    return frames


def _hint(frames: np.ndarray) -> str:
    """What is to be done with frames of a usual other form; nothing where it is not plain."""
    shape = frames.shape
    if not frames.size:
        return ', which holds nothing'
    if frames.ndim == 5:
        return ', several videos: give list(frames)'
    if frames.ndim in (2, 3) or (frames.ndim == 4 and shape[3] == 1):
        gray = 'frames' if frames.ndim == 4 else 'frames[..., None]'
        return f', which looks gray: np.repeat({gray}, 3, -1) makes three channels of one'
    if frames.ndim != 4:
        return ''
    if shape[3] == 4:
        return ', with transparency: give frames[..., :3]'
    if shape[3] != 3 and shape[1] == 3:
        return ', channels first: give frames.transpose(0, 2, 3, 1)'
    if shape[3] != 3 and shape[0] == 3:
        return ', channels first: give frames.transpose(1, 2, 3, 0)'
    if shape[3] == 3 and frames.dtype.kind == 'f':
        scaled = '(255 * frames)' if float(np.nanmax(frames)) <= 1 else 'frames'
        return f": give {scaled}.round().clip(0, 255).astype('uint8')"
    if shape[3] == 3 and frames.dtype.kind in 'iu':
        return ": where all values are 0 to 255, give frames.astype('uint8')"
    return ''


def _array(video: Any) -> np.ndarray:
    """An array of anything that is one, or can be made one without loss."""
    if hasattr(video, 'asnumpy'):  # MXNet's, decord's
        return video.asnumpy()
    if hasattr(video, 'mode') and _is_picture(video):  # PIL: a palette's numbers are no colors
        video = video.convert('RGB') if video.mode not in ('RGB', 'L', 'RGBA', 'F', 'I') else video
    try:
        if hasattr(video, 'detach'):  # PyTorch's, wherever it lies
            video = video.detach().cpu()
        return np.asarray(video)
    except (TypeError, ValueError) as error:  # ragged lists
        raise UserError(f'{_kind(video)} is no array ({error}); {_WANTED}') from error


def _is_picture(video: Any) -> bool:
    return hasattr(video, '__array_interface__') and not isinstance(video, np.ndarray)


def is_picture(video: Any) -> bool:
    """Tell whether something is a single picture, or is taken for one: an array of two or three dimensions."""
    return _rank(video) in (2, 3)


def _rank(video: Any) -> int:
    """Dimensions of what is an array or a picture, else 0."""
    if _is_picture(video):
        return len(video.__array_interface__['shape'])
    return len(video.shape) if hasattr(video, 'shape') else 0


def _kind(video: Any) -> str:
    return f'an object of type {type(video).__name__}'
