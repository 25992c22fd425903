"""From a cell of a response volume to frames and pixels of the video it came from.

A network input is clip frames t and resized pixels y, x; a response cell is (t', y', x'). Along each axis a cell is
centered on input index `offset + stride * cell` (`backbones.Geometry`). Pixel i covers the interval [i, i + 1), so its
center lies at i + 0.5: this is what OpenCV's bilinear resizing assumes too, and what every conversion to the original
video's pixels here uses.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Tuple

import cv2
import numpy as np

from ..backbones.geometry import Geometry
from ..errors import UserError, unknown

BOXES = ('cell', 'receptive_field')

Box = Tuple[float, float, float, float]


class Placement(NamedTuple):
    """Where a response volume lies in a video.

    Parameters
    ----------
    geometry
        stride, offset and receptive field of its cells in the network's input
    frames
        frames of a clip (1 for 2-D networks)
    seen, size
        (height, width) of the frames fed to the network, and of the video's own
    """

    geometry: Geometry
    frames: int
    seen: Tuple[int, int]
    size: Tuple[int, int]

    def frame(self, cell: float) -> int:
        """Position in the clip (0..frames-1) of the frame nearest to a cell's center; between two, the earlier one."""
        return self._in_clip(math.ceil(self._moment(cell) - 0.5))

    def span(self, cell: int) -> Tuple[int, int]:
        """First and last position in the clip of the frames nearer to this cell's center than to another one's."""
        half = 0.5 * self.geometry.stride[0]
        first = math.ceil(self._moment(cell) - half)
        last = max(math.ceil(self._moment(cell) + half) - 1, first)
        return self._in_clip(first), self._in_clip(last)

    def point(self, cell: Tuple[float, float]) -> Tuple[float, float]:
        """(x, y) of the center of cell (y', x') in the original video's pixels, brought into the frame.

        A cell between others is a place between their centers.
        """
        y, x = (self._to_video(self._place(i), axis) for axis, i in enumerate(cell))
        # at most just below the far edge, which belongs to no pixel
        return min(max(x, 0.0), float(np.nextafter(self.size[1], 0))), min(
            max(y, 0.0), float(np.nextafter(self.size[0], 0))
        )

    def box(self, cell: Tuple[int, int], kind: str = 'cell', cells: float = 2.0) -> Box:
        """(x0, y0, x1, y1) around the center of cell (y', x') in the original video's pixels, clipped to the frame.

        Parameters
        ----------
        cell
            (y', x')
        kind
            'cell': `cells` strides wide. The region that drives a response is much smaller than the theoretical
            receptive field (Luo et al. 2016, arXiv:1701.04128), which in deep networks is larger than the frame.
            'receptive_field': that theoretical field
        """
        check_box(kind, cells)
        half = 0.5 * (cells * self.geometry.stride[1] if kind == 'cell' else self.geometry.field[1])
        (y0, y1), (x0, x1) = (
            [
                min(max(self._to_video(self._place(i) + side, axis), 0.0), float(self.size[axis]))
                for side in (-half, half)
            ]
            for axis, i in enumerate(cell)
        )
        return x0, y0, x1, y1

    def heat(self, responses: np.ndarray) -> np.ndarray:
        """Responses (H', W') spread over the original frame, bilinear between cells' centers: (height, width) float32.

        At a cell's center it is that cell's response; beyond the outermost centers the nearest value continues.
        """
        rows, columns = (
            ((np.arange(whole) + 0.5) * part / whole - 0.5 - self.geometry.offset[1]) / self.geometry.stride[1]
            for part, whole in zip(self.seen, self.size)
        )
        x, y = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
        return cv2.remap(
            np.ascontiguousarray(responses, np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )

    def _moment(self, cell: float) -> float:
        return self.geometry.offset[0] + self.geometry.stride[0] * cell

    def _place(self, cell: float) -> float:
        """Middle of a cell on an edge scale, where pixel i covers [i, i + 1)."""
        return self.geometry.offset[1] + self.geometry.stride[1] * cell + 0.5

    def _to_video(self, place: float, axis: int) -> float:
        return place * self.size[axis] / self.seen[axis]

    def _in_clip(self, position: int) -> int:
        return min(max(position, 0), self.frames - 1)


def check_box(kind: str, cells: float) -> None:
    """Refuse an unknown kind of box, or one without extent."""
    if kind not in BOXES:
        raise unknown('kind of box', kind, BOXES)
    if not cells > 0:
        raise UserError(f'a box must be more than 0 cells wide, got {cells}')
