"""Rendered scenes whose motion is known exactly, to judge optical flow by."""

from __future__ import annotations

from typing import Tuple

import cv2
import numpy as np

_MARGIN = 40  # pixels of texture around the first frame

# (x, y) pixels, degrees and zoom from a frame to the next
MOTIONS = {
    'translation': (2.3, -1.6, 0.0, 1.0),
    'rotation': (0.0, 0.0, 2.0, 1.0),
    'zoom': (0.0, 0.0, 0.0, 1.03),
    'all three': (1.2, 0.7, 1.0, 0.98),
    'none': (0.0, 0.0, 0.0, 1.0),
}


def moving(
    motion: Tuple[float, float, float, float], frames: int = 2, height: int = 96, width: int = 128, seed: int = 0
) -> Tuple[np.ndarray, np.ndarray]:
    """Render a rigid textured scene that moves the same way from each frame to the next.

    Parameters
    ----------
    motion
        (x, y) displacement in pixels, rotation in degrees and zoom about the middle of the frame

    Returns
    -------
    tuple
        frames, uint8 (T, H, W, 3); the flow from each to the next, the same for all, float32 (H, W, 2) in pixels
    """
    x, y, degrees, zoom = motion
    angle, center = np.deg2rad(degrees), np.array([(width - 1) / 2, (height - 1) / 2])
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = center - turn @ center + [x, y]  # what is at p in a frame is at turn p + shift in the next
    image = _texture(height + 2 * _MARGIN, width + 2 * _MARGIN, seed)
    shown, back, offset = [], np.eye(2), np.zeros(2)
    for _ in range(frames):
        lookup = np.hstack([back, (offset + _MARGIN)[:, None]])
        picture = cv2.warpAffine(image, lookup, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        shown.append(np.clip(np.rint(picture), 0, 255).astype(np.uint8))
        back = back @ np.linalg.inv(turn)
        offset = offset - back @ shift
    at = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(float)
    return np.stack(shown), (at @ turn.T + shift - at).astype(np.float32)


def _texture(height: int, width: int, seed: int) -> np.ndarray:
    """Random blobs of several sizes: float32 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 128, np.float32)
    for size, strength in ((4, 40), (8, 50), (16, 40), (32, 30)):
        coarse = rng.normal(0, strength, (height // size + 2, width // size + 2, 3)).astype(np.float32)
        image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255)
