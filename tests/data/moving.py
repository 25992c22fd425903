"""Rendered frames whose motion is known exactly."""

import cv2
import numpy as np

MARGIN = 40  # pixels of texture around the first frame

# (x, y) pixels, degrees and zoom from a frame to the next
MOTIONS = {
    'translation': (2.3, -1.6, 0, 1),
    'rotation': (0, 0, 2, 1),
    'zoom': (0, 0, 0, 1.03),
    'all': (1.2, 0.7, 1, 0.98),
    'none': (0, 0, 0, 1),
}


def texture(height, width, seed=0):
    """Random blobs of several sizes: float32 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 128, np.float32)
    for size, strength in ((4, 40), (8, 50), (16, 40), (32, 30)):
        coarse = rng.normal(0, strength, (height // size + 2, width // size + 2, 3)).astype(np.float32)
        image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255)


def moving(motion, frames=2, height=96, width=128, seed=0):
    """A rigid scene that moves the same way from each frame to the next.

    Returns frames, uint8 (T, H, W, 3), and the flow from each to the next, the same for all: float32 (H, W, 2).
    """
    x, y, degrees, zoom = motion
    angle, center = np.deg2rad(degrees), np.array([(width - 1) / 2, (height - 1) / 2])
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = center - turn @ center + [x, y]  # what is at p in a frame is at turn p + shift in the next
    image = texture(height + 2 * MARGIN, width + 2 * MARGIN, seed)
    shown, back, offset = [], np.eye(2), np.zeros(2)
    for _ in range(frames):
        lookup = np.hstack([back, (offset + MARGIN)[:, None]])
        picture = cv2.warpAffine(image, lookup, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        shown.append(np.clip(np.rint(picture), 0, 255).astype(np.uint8))
        back = back @ np.linalg.inv(turn)
        offset = offset - back @ shift
    at = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(float)
    return np.stack(shown), (at @ turn.T + shift - at).astype(np.float32)


def write_frames(folder, frames):
    """A folder of lossless frames, img_00001.png and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start=1):
        cv2.imwrite(str(folder / f'img_{number:05d}.png'), frame[..., ::-1])
    return folder
