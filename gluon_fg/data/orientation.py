"""How frames are set upright: phones write what the sensor saw, and how the film is to be turned or mirrored."""

from __future__ import annotations

from typing import Dict, NamedTuple, Tuple

import av
import numpy as np

_BYTES = 36  # nine 32-bit integers: a, b, u; c, d, v; x, y, w


class Orientation(NamedTuple):
    """Sets a frame upright: it is mirrored left to right, or not, and then turned counterclockwise.

    Parameters
    ----------
    turns
        quarter turns, 0 to 3
    mirrored
        whether it is mirrored first, as films of front cameras are
    """

    turns: int = 0
    mirrored: bool = False

    def size(self, width: int, height: int) -> Tuple[int, int]:
        """(W, H) of a frame when it is upright."""
        return (height, width) if self.turns % 2 else (width, height)

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """Set a picture (H, W, 3) upright; itself where it is."""
        if not self.turns and not self.mirrored:
            return picture
        return np.ascontiguousarray(np.rot90(picture[:, ::-1] if self.mirrored else picture, self.turns))


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """Read from a decoded frame how its file says it is shown: its display matrix, as FFmpeg applies it.

    Turns that are no quarter turns are taken for the nearest.
    """
    for entry in frame.side_data:
        if getattr(entry.type, 'name', '') == 'DISPLAYMATRIX':  # kinds that PyAV does not know are numbers
            a, b, _, c, d = np.frombuffer(bytes(entry)[:_BYTES], np.int32)[:5].astype(np.int64).tolist()
            if abs(a) + abs(d) >= abs(b) + abs(c):
                b = c = 0
            else:
                a = d = 0
            return _BY_MATRIX.get((int(np.sign(a)), int(np.sign(b)), int(np.sign(c)), int(np.sign(d))), Orientation())
    return Orientation()


def _by_matrix() -> Dict[Tuple[int, int, int, int], Orientation]:
    """Signs (a, b, c, d) of a matrix that shows the pixel (x, y) at (a x + c y, b x + d y) -> what it does."""
    turn, mirror, table = np.array([[0, 1], [-1, 0]]), np.array([[-1, 0], [0, 1]]), {}
    for turns in range(4):
        for mirrored in (False, True):
            (a, c), (b, d) = (
                np.linalg.matrix_power(turn, turns) @ (mirror if mirrored else np.eye(2, dtype=int))
            ).tolist()
            table[a, b, c, d] = Orientation(turns, mirrored)
    return table


_BY_MATRIX = _by_matrix()
