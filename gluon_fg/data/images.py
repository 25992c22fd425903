"""Pictures from files: one alone, or a folder of them as a film. Their headers are read before memory is asked for."""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import warnings
import zlib
from typing import Dict, List, Tuple

import cv2
import numpy as np
from PIL import Image, ImageOps

from ..errors import VideoError
from .decoding import VideoReader
from .limits import MAX_PICTURE_BYTES, check_picture
from .packets import UNKNOWN_FPS, short_reason
from .transforms import resize_frame

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png')


def read_image(path: str) -> np.ndarray:
    """Read an image file, turned upright: uint8 (H, W, 3), RGB.

    What it is is told by its bytes, not by its name: JPEG and PNG, and what is often so called (WebP, GIF, BMP);
    of an animation the first picture.

    Raises
    ------
    VideoError
        missing, not a file that can be read, not an image that can be decoded, cut short, or larger than
        `limits.MAX_PIXELS`
    """
    data = _bytes_of(path)
    if data[:3] == b'\xff\xd8\xff':
        data = _checked_jpeg(path, data)
    elif data[:8] == b'\x89PNG\r\n\x1a\n':
        data = _checked_png(path, data)
    else:
        return _other_image(path, data)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise VideoError(path, f'cannot be decoded ({short_reason(error)})') from error
    if image is None:
        raise VideoError(path, 'is not an image that can be read')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _bytes_of(path: str) -> bytes:
    """All bytes of a file; waits for no pipe and no device."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise VideoError(path, 'is not a file')
        if status.st_size == 0:
            raise VideoError(path, 'is an empty file')
        if status.st_size > MAX_PICTURE_BYTES:
            raise VideoError(
                path, f'has {status.st_size / 1e6:.0f} MB; a picture may have {MAX_PICTURE_BYTES / 1e6:.0f}'
            )
        with open(path, 'rb') as stream:
            return stream.read()
    except FileNotFoundError:
        raise VideoError(path, 'no such file') from None
    except OSError as error:
        raise VideoError(path, f'cannot be read ({short_reason(error)})') from error


def _checked_jpeg(path: str, data: bytes) -> bytes:
    """Follow the segments up to the coded picture, and look for its end: OpenCV fills up with gray what is cut off."""
    at, sized = 2, False
    while True:
        at = data.find(b'\xff', at) + 1
        if at == 0 or at + 3 > len(data):
            raise VideoError(path, 'is cut short, or not an image that can be read')
        marker = data[at]
        if marker in (0, 0xFF) or 0xD0 <= marker <= 0xD8:  # filling, or a marker alone
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and at + 8 <= len(data):
            height, width = struct.unpack_from('>HH', data, at + 4)
            # a progressive one is decoded in several passes, and its coefficients are kept in between
            check_picture(path, width, height, 1.5 if marker in (0xC2, 0xC6, 0xCA, 0xCE) else 1.0)
            sized = True
        at += 1 + max(int.from_bytes(data[at + 1 : at + 3], 'big'), 2)
        if marker == 0xDA:
            break
    if not sized:
        raise VideoError(path, 'is not an image that can be read')
    if data.rfind(b'\xff\xd9', at) < 0:
        raise VideoError(path, 'is cut short')
    return data


# Parts of a PNG that say how the picture looks. OpenCV 4.11 crashes on animations that are damaged.
_PNG_PARTS = (b'IHDR', b'PLTE', b'tRNS', b'eXIf', b'IDAT', b'IEND')


def _checked_png(path: str, data: bytes) -> bytes:
    """Check each part, whose length OpenCV would ask for as memory, and give those that make up the picture."""
    at, kind, parts = 8, b'', [data[:8]]
    while at + 12 <= len(data) and kind != b'IEND':
        length, kind = struct.unpack_from('>I4s', data, at)
        part = data[at : at + 12 + length]
        if at == 8 and (kind != b'IHDR' or length != 13):
            raise VideoError(path, 'is not an image that can be read')
        if len(part) < 12 + length:
            break
        if zlib.crc32(part[4:-4]) != int.from_bytes(part[-4:], 'big'):
            raise VideoError(path, f'is damaged (in its part {kind.decode("ascii", "backslashreplace")})')
        if kind in _PNG_PARTS:
            parts.append(part)
        at += len(part)
    if kind != b'IEND' or len(parts[-1]) < 12:
        raise VideoError(path, 'is cut short, or damaged')
    check_picture(path, *struct.unpack_from('>II', data, 16))
    return b''.join(parts)


def _bmp_end(data: bytes) -> int:
    """Bytes that a BMP needs; of one that is compressed what its header says."""
    (claimed, start), (width, height, _, bits, packed) = (
        struct.unpack_from('<I4xI', data, 2),
        _BMP.unpack_from(data, 18),
    )
    return claimed if packed else start + (width * bits + 31) // 32 * 4 * abs(height)


_BMP = struct.Struct('<iiHHI')
# By kind: whether a file reaches to its end. Pillow is told by GluonCV to fill up with black what is cut off.
_OTHER_KINDS = {
    'WEBP': lambda data: 8 + int.from_bytes(data[4:8], 'little') <= len(data),
    'BMP': lambda data: len(data) >= 54 and _bmp_end(data) <= len(data),
    'GIF': lambda data: data.rstrip(b'\0').endswith(b';'),
}
_OTHER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def _other_image(path: str, data: bytes) -> np.ndarray:
    """Read one of `_OTHER_KINDS` with Pillow: builds of OpenCV lack this one or that."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of many pixels, which is judged here, and of damaged EXIF
        try:
            image = Image.open(io.BytesIO(data), formats=tuple(_OTHER_KINDS))
        except _OTHER_ERRORS as error:
            raise VideoError(path, 'is not an image that can be read') from error
        check_picture(path, *image.size, memory=1.5)
        if not _OTHER_KINDS[str(image.format)](data):
            raise VideoError(path, 'is cut short')
        try:
            return np.array((ImageOps.exif_transpose(image) or image).convert('RGB'))
        except _OTHER_ERRORS as error:
            raise VideoError(path, f'cannot be decoded ({short_reason(error)})') from error


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
        try:
            listed = os.listdir(path)
        except OSError as error:
            raise VideoError(path, f'cannot be read ({short_reason(error)})') from error
        names = [name for name in listed if name.lower().endswith(IMAGE_SUFFIXES) and name[0] != '.']
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


def natural(name: str) -> list:
    """Return a sort key in which 'frame2' comes before 'frame10'."""
    return [(1, int(part), '') if part.isdecimal() else (0, 0, part) for part in re.split(r'(\d+)', name) if part]
