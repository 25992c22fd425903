"""Frames that say which one they are."""

import numpy as np

BLOCK = 8  # pixels: side of the square that shows one bit of a frame's number


def numbered_frame(number, height, width):
    """A frame (H, W, 3): its number in six black or white squares along the top, a moving gradient below."""
    y, x = np.mgrid[:height, :width]
    frame = np.stack([(3 * x + 7 * number) % 256, (5 * y + 11 * number) % 256, (2 * (x + y) + 13 * number) % 256], -1)
    frame = frame.astype(np.uint8) // 2 + 64
    for bit in range(6):
        frame[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 * (number >> bit & 1)
    return frame


def read_number(frame):
    """The number that a decoded frame shows."""
    return sum(int(frame[2:6, bit * BLOCK + 2 : bit * BLOCK + 6].mean() > 127) << bit for bit in range(6))
