"""One reader for every video: PyAV or decord for files, a folder of images, or frames in memory.

An image is a video of one frame.

Frame i is the i-th frame that decoding the whole file from its start shows, upright, in the file's own colors, and in
the life of a reader a number never means two frames. Both back ends give the same pixels, or the file is refused.
`packets.scan` says which frames there are, mostly by the packets alone: nothing is decoded but the first frame. Where
frames are damaged it holds as far as damage can be seen: a packet that cannot be decoded is an error for the frames
that need it; one that decodes to other pixels may do so differently after a seek than when read from the start.

PyAV is taken unless decord is asked for: it decodes only what is needed, and enters the file at the last key frame
before. Where the times of packets tell too little for that (AVI with frames that are shown later than others, joined
files), it decodes from the start. Decord seeks by counting packets, so that it returns other frames than those asked
for where key frames do not cut the stream cleanly, where an edit list hides frames, in transport streams, and in H.264
in AVI; it is refused where it was not found exact.
"""

from __future__ import annotations

import os
from typing import List, Optional, Tuple

import numpy as np

from ..errors import UserError, VideoError, unknown
from .decoding import DecordReader, PyAVReader, VideoReader, load_decord
from .images import IMAGE_SUFFIXES, FrameFolderReader, natural, read_image
from .packets import UNKNOWN_FPS, scan
from .scans import ScanCache
from .transforms import resize_frame

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
        'auto' (PyAV), 'pyav', or 'decord' (refused where it is not exact); images need neither
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
    if backend != 'decord':
        return PyAVReader(path, info)
    reason = info.not_decord or ('' if load_decord() else 'it is not installed, or horovod was imported before it')
    if not reason:
        try:
            return DecordReader(path, info)
        except VideoError as error:
            reason = error.reason
    raise VideoError(path, f"decord cannot be used ({reason}); choose backend 'pyav'")
