"""One reader for every video: PyAV, decord for files without times, a folder of images, or frames in memory.

An image is a video of one frame.

Frame i is the i-th frame that decoding the whole file from its start would show. Both back ends give the same pixels
for it. Decord does not by itself: it seeks by counting packets, so it returns other frames than those asked for where
key frames do not cut the stream cleanly (open groups of pictures: common in MPEG-4 AVI, MPEG-2, HEVC), where an edit
list hides frames, and in transport streams; it also mangles rotated films. `packets.scan` reads the packets first (no
decoding but the first frame) and says which of them a file has.

PyAV reads whatever has times of its frames, as it is at least as fast: it decodes only what is needed. Without times
(AVI) it would have to decode from the start; there decord is taken, where it is exact.
"""

from __future__ import annotations

import logging
import os
from typing import List, Optional, Tuple

import numpy as np

from ..errors import UserError, VideoError, unknown
from .decoding import DecordReader, PyAVReader, VideoReader, load_decord
from .images import IMAGE_SUFFIXES, FrameFolderReader, natural, read_image
from .packets import UNKNOWN_FPS, scan
from .scans import ScanCache
from .transforms import resize_frame

logger = logging.getLogger(__name__)

__all__ = (
    'BACKENDS',
    'IMAGE_SUFFIXES',
    'ArrayReader',
    'DecordReader',
    'FrameFolderReader',
    'PyAVReader',
    'VideoReader',
    'natural',
    'open_video',
    'read_image',
)

BACKENDS = ('auto', 'decord', 'pyav')


class ArrayReader(VideoReader):
    """Holds frames already decoded: uint8 (T, H, W, 3). Batches are copies, so that nobody can spoil the original."""

    backend = 'memory'

    def __init__(self, path: str, frames: np.ndarray, fps: float = UNKNOWN_FPS, times: Optional[np.ndarray] = None):
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not len(frames):
            raise UserError(f'{path}: frames must be uint8 (T, H, W, 3), got {frames.dtype} {frames.shape}')
        super().__init__(path, len(frames), fps, (frames.shape[2], frames.shape[1]))
        self._frames, self.times = frames, times

    def _decode(self, numbers: List[int], size: Tuple[int, int]) -> np.ndarray:
        out = np.empty((len(numbers), *size, 3), np.uint8)
        for picture, number in zip(out, numbers):
            resize_frame(self._frames[number], picture)
        return out


def open_video(path: str, backend: str = 'auto', scans: Optional[ScanCache] = None) -> VideoReader:
    """Open a video file, a folder of images, or an image.

    Parameters
    ----------
    path
        a file, or a folder of frames; one that ends like an image (`IMAGE_SUFFIXES`) is a video of one frame
    backend
        'auto' (PyAV; decord for files without times, where it is exact), 'decord' or 'pyav'; images need neither
    scans
        where scans of files are kept, so that each is read once; None: it is read now

    Raises
    ------
    VideoError
        missing, empty, not a video, nothing that can be decoded; or 'decord' was demanded and cannot take the file
    """
    path = os.fspath(path)
    if backend not in BACKENDS:
        raise unknown('video backend', backend, BACKENDS)
    if os.path.isdir(path):
        return FrameFolderReader(path)
    if path.lower().endswith(IMAGE_SUFFIXES):
        return ArrayReader(path, read_image(path)[None])
    info = scan(path) if scans is None else scans.get(path)
    if backend == 'pyav' or (backend == 'auto' and info.pts is not None):
        return PyAVReader(path, info)
    reason = info.not_decord or ('' if load_decord() else 'it is not installed, or horovod was imported before it')
    if not reason:
        try:
            return DecordReader(path, info)
        except VideoError as error:
            reason = error.reason
    if backend == 'decord':
        raise VideoError(path, f"decord cannot be used ({reason}); choose backend 'pyav'")
    logger.debug('%s: read with PyAV, not decord: %s', path, reason)
    return PyAVReader(path, info)
