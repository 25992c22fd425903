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
import re
from typing import Dict, List, Optional, Tuple

import cv2
import numpy as np

from ..errors import UserError, VideoError, unknown
from .decoding import DecordReader, PyAVReader, VideoReader, load_decord
from .packets import UNKNOWN_FPS, scan
from .scans import ScanCache
from .transforms import resize_frame

logger = logging.getLogger(__name__)

BACKENDS = ('auto', 'decord', 'pyav')
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png')


def read_image(path: str) -> np.ndarray:
    """Read an image file, turned upright: uint8 (H, W, 3), RGB.

    Raises
    ------
    VideoError
        missing, or not an image that can be decoded
    """
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        raise VideoError(path, 'is not an image that can be read' if os.path.exists(path) else 'no such file')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


_FRAMES = ('', 'img', 'image', 'frame', 'rgb')


def _of_one_kind(path: str, names: List[str]) -> List[str]:
    """The names of a folder's frames: of several series of numbered images, the one that is called like a film's."""
    kinds: Dict[str, List[str]] = {}
    for name in names:
        kinds.setdefault(re.sub(r'[\d_.-]+', ' ', os.path.splitext(name)[0]).strip().lower(), []).append(name)
    numbered = any(char.isdigit() for name in names for char in name)
    if len(kinds) == 1 or not numbered:
        return names
    frames = [kind for kind in _FRAMES if kind in kinds]
    if len(frames) != 1:
        shown = ', '.join(sorted(group[0] for group in kinds.values())[:4])
        raise VideoError(path, f'holds several series of images ({shown}); keep the frames of one film in a folder')
    return kinds[frames[0]]


class FrameFolderReader(VideoReader):
    """Reads a folder of images, one a frame, in the order of the numbers in their names (00001.jpg, 00002.jpg).

    Where names differ in more than numbers, as where optical flow lies beside the frames (flow_x_00001.jpg), those
    called by a number alone, img, image, frame or rgb are the film.

    Raises
    ------
    VideoError
        no image in the folder, or several series of which none is so called; while reading, an image that is missing,
        cannot be decoded or has another size
    """

    backend = 'images'

    def __init__(self, path: str, fps: float = UNKNOWN_FPS):
        names = [name for name in os.listdir(path) if name.lower().endswith(IMAGE_SUFFIXES) and name[0] != '.']
        if not names:
            raise VideoError(path, f'this folder holds no image ({", ".join(IMAGE_SUFFIXES)})')
        names = sorted(_of_one_kind(path, names), key=natural)
        self._names = [os.path.join(path, name) for name in names]
        height, width = read_image(self._names[0]).shape[:2]
        super().__init__(path, len(names), fps, (width, height))

    def _decode(self, numbers: List[int], size: Tuple[int, int]) -> np.ndarray:
        out = np.empty((len(numbers), *size, 3), np.uint8)
        for picture, number in zip(out, numbers):
            resize_frame(self._image(self._names[number]), picture)
        return out

    def _image(self, path: str) -> np.ndarray:
        image, (width, height) = read_image(path), self.size
        if image.shape[:2] != (height, width):
            raise VideoError(path, f'is {image.shape[1]}x{image.shape[0]}, the first frame {width}x{height}')
        return image


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


def natural(name: str) -> list:
    """Return a sort key in which 'frame2' comes before 'frame10'."""
    return [(1, int(part), '') if part.isdigit() else (0, 0, part) for part in re.split(r'(\d+)', name) if part]


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
