"""What changes a training clip behind its crop and mirror: colors, RandAugment, an erased rectangle.

Clips are uint8 (T, H, W, 3). One draw serves all of it: all frames get the same operation, and what depends on the
picture (its mean, histogram or darkest value) is taken from all frames together, so that a color stands for the same
color at any time. None of the operations mirrors, so that none changes what a class that says left or right is called.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Dict, Tuple

import cv2
import numpy as np

Frames = np.ndarray

# RandAugment's operations (Cubuk et al. 2019, sec. 3), each with its value at the largest magnitude, 10, and whether
# its sign is drawn. The ranges are AutoAugment's, which torchvision has, too (it counts to 30). Posterizing leaves 8
# bits less these, solarizing inverts from 256 less this on; translations are shares of the side.
OPERATIONS: Dict[str, Tuple[float, bool]] = {
    'identity': (0.0, False),
    'auto_contrast': (0.0, False),
    'equalize': (0.0, False),
    'rotate': (30.0, True),  # degrees
    'solarize': (256.0, False),
    'color': (0.9, True),
    'posterize': (4.0, False),
    'contrast': (0.9, True),
    'brightness': (0.9, True),
    'sharpness': (0.9, True),
    'shear_x': (0.3, True),
    'shear_y': (0.3, True),
    'translate_x': (150 / 331, True),
    'translate_y': (150 / 331, True),
}
MAX_MAGNITUDE = 10
OPERATIONS_A_CLIP = 2


@dataclasses.dataclass(frozen=True)
class Augment:
    """Changes a cropped training clip at random, each step only where it is switched on.

    Parameters
    ----------
    color_jitter
        brightness, contrast and saturation are multiplied by factors from 1 - this to 1 + this, in random order
    randaugment
        magnitude, 0 to 10, of two operations drawn from `OPERATIONS` (Cubuk et al. 2019)
    erase
        probability of erasing a rectangle (Zhong et al. 2020): 2 to 33 % of the frame, its height 0.3 to 3.3 times its
        width
    fill
        RGB of erased pixels and of those that come in from outside; the network's mean, which is 0 to it
    """

    color_jitter: float = 0.0
    randaugment: float = 0.0
    erase: float = 0.0
    fill: Tuple[int, ...] = (128, 128, 128)

    def __call__(self, frames: Frames, rng: np.random.Generator) -> Frames:
        """Frames of the same shape; the ones given where nothing is switched on."""
        if self.randaugment:
            for name in rng.choice(list(OPERATIONS), OPERATIONS_A_CLIP):
                largest, signed = OPERATIONS[name]
                sign = -1 if signed and rng.random() < 0.5 else 1
                frames = operate(frames, str(name), sign * largest * self.randaugment / MAX_MAGNITUDE, self.fill)
        if self.color_jitter:
            for name in rng.permutation(['brightness', 'contrast', 'color']):
                frames = operate(frames, str(name), rng.uniform(-self.color_jitter, self.color_jitter))
        if self.erase and rng.random() < self.erase:
            top, left, height, width = erased_window(frames.shape[1], frames.shape[2], rng)
            frames = frames.copy()
            frames[:, top : top + height, left : left + width] = self.fill
        return frames


NOTHING = Augment()


def operate(frames: Frames, name: str, value: float, fill: Tuple[int, ...] = (128, 128, 128)) -> Frames:
    """Apply one of `OPERATIONS` to all frames alike.

    Parameters
    ----------
    name, value
        the operation, and how much of it; for brightness, contrast, color and sharpness the factor is 1 + value
    fill
        RGB of pixels from outside the frame
    """
    if name == 'identity' or not value and OPERATIONS[name][0]:
        return frames
    frames = np.ascontiguousarray(frames)
    if name in _MATRICES:
        return _warped(frames, np.array(_MATRICES[name](value, frames.shape[1], frames.shape[2]), np.float64), fill)
    if name == 'sharpness':
        return _blend(np.stack([_smoothed(frame) for frame in frames]), frames, 1 + value)
    if name == 'color':
        gray = cv2.cvtColor(_gray(frames).reshape(-1, frames.shape[2]), cv2.COLOR_GRAY2RGB).reshape(frames.shape)
        return _blend(gray, frames, 1 + value)
    return _mapped(frames, _TABLES[name](frames, value))


def erased_window(height: int, width: int, rng: np.random.Generator) -> Tuple[int, int, int, int]:
    """Draw (top, left, height, width) of a rectangle to erase: see `Augment`; of no size where ten draws do not fit."""
    for _ in range(10):
        area, ratio = height * width * rng.uniform(0.02, 0.33), np.exp(rng.uniform(np.log(0.3), np.log(3.3)))
        h, w = int(round(np.sqrt(area * ratio))), int(round(np.sqrt(area / ratio)))
        if h < height and w < width:
            return int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1)), h, w
    return 0, 0, 0, 0


# Colors. Where Pillow has the operation (ImageEnhance, ImageOps) it is the same, but for the clip's statistics.


def _gray(frames: Frames) -> np.ndarray:
    """(T, H, W) luminance, uint8."""
    return cv2.cvtColor(frames.reshape(-1, frames.shape[2], 3), cv2.COLOR_RGB2GRAY).reshape(frames.shape[:3])


def _blend(start: Frames, end: Frames, factor: float) -> Frames:
    """start + factor * (end - start), rounded and cut to 0..255."""
    rows = (-1, start.shape[2] * 3)
    return cv2.addWeighted(end.reshape(rows), factor, start.reshape(rows), 1 - factor, 0).reshape(end.shape)


def _mapped(frames: Frames, table: np.ndarray) -> Frames:
    """Every value replaced by the table's: (256,) for all channels, or (256, 3)."""
    table = np.clip(table, 0, 255).astype(np.uint8)
    table = table[:, None] if table.ndim == 1 else table
    table = np.broadcast_to(table, (256, 3)).reshape(1, 256, 3)
    return cv2.LUT(frames.reshape(-1, frames.shape[2], 3), np.ascontiguousarray(table)).reshape(frames.shape)


def _around(center: float, value: float) -> np.ndarray:
    return center + (1 + value) * (np.arange(256) - center)


def _histograms(frames: Frames) -> np.ndarray:
    """(256, 3) how often each value occurs in each channel of the clip."""
    pixels = frames.reshape(-1, 3)
    return np.stack([np.bincount(pixels[:, channel], minlength=256) for channel in range(3)], axis=1)


def _auto_contrast(frames: Frames, value: float) -> np.ndarray:
    occurs = _histograms(frames) > 0
    low, high = occurs.argmax(axis=0).astype(float), 255.0 - occurs[::-1].argmax(axis=0)
    scale = np.where(high > low, 255 / np.maximum(high - low, 1), 1)
    return np.trunc((np.arange(256)[:, None] - np.where(high > low, low, 0)) * scale)


def _equalized(frames: Frames, value: float) -> np.ndarray:
    counts = _histograms(frames)
    last = counts[[255 - int((column[::-1] > 0).argmax()) for column in counts.T], [0, 1, 2]]
    step = (counts.sum(axis=0) - last) // 255
    before = np.cumsum(counts, axis=0) - counts
    return np.where(step > 0, (step // 2 + before) // np.maximum(step, 1), np.arange(256)[:, None])


def _smoothed(frame: np.ndarray) -> np.ndarray:
    """Each pixel averaged with its eight neighbors, itself five times as heavy; the rim is left alone."""
    kernel = np.ones((3, 3), np.float32)
    kernel[1, 1] = 5
    out = frame.copy()
    out[1:-1, 1:-1] = cv2.filter2D(frame, -1, kernel / 13)[1:-1, 1:-1]
    return out


_TABLES: Dict[str, Callable[[Frames, float], np.ndarray]] = {
    'brightness': lambda frames, value: np.trunc(_around(0, value)),
    'contrast': lambda frames, value: np.trunc(_around(np.floor(_gray(frames).mean() + 0.5), value)),
    'posterize': lambda frames, value: np.arange(256) & ~((1 << int(round(value))) - 1),
    'solarize': lambda frames, value: np.where(np.arange(256) < 256 - value, np.arange(256), 255 - np.arange(256)),
    'auto_contrast': _auto_contrast,
    'equalize': _equalized,
}


# Geometry: (value, height, width) -> the 2x3 matrix that tells where in the frame a pixel of the result comes from.
# Shears leave the top left corner in place, as AutoAugment's.


def _rotation(degrees: float, height: int, width: int) -> np.ndarray:
    return cv2.invertAffineTransform(cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), degrees, 1))


_MATRICES: Dict[str, Callable[[float, int, int], Any]] = {
    'rotate': _rotation,
    'shear_x': lambda value, height, width: [[1, value, value / 2], [0, 1, 0]],
    'shear_y': lambda value, height, width: [[1, 0, 0], [value, 1, value / 2]],
    'translate_x': lambda value, height, width: [[1, 0, int(value * width)], [0, 1, 0]],
    'translate_y': lambda value, height, width: [[1, 0, 0], [0, 1, int(value * height)]],
}


def _warped(frames: Frames, matrix: np.ndarray, fill: Tuple[int, ...]) -> Frames:
    out = np.empty_like(frames)
    for frame, target in zip(frames, out):
        cv2.warpAffine(
            frame,
            matrix,
            (frames.shape[2], frames.shape[1]),
            dst=target,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=[float(value) for value in fill],
        )
    return out
