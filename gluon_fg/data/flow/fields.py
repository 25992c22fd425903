"""Flow fields: how far each pixel moves from one frame to the next, and how 8 bits hold it.

A field has two values a pixel, x (to the right) and y (down), in pixels. In 8 bits 0 is -bound, 255 is +bound and 127.5
no motion, as TSN's dense_flow writes it; a step is 2 * bound / 255 pixels, 0.157 for the usual bound of 20.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import cv2
import numpy as np

from ...errors import UserError, unknown
from ...input_spec import FLOW_ALGORITHMS as ALGORITHMS
from ...input_spec import FLOW_BOUND as BOUND

LEAST_SIDE = 12  # pixels: OpenCV's DIS takes no frame whose longer side has fewer
ADVICE = 'pip install -c constraints.txt opencv-contrib-python'


class FlowSettings(NamedTuple):
    """How fields were made.

    Parameters
    ----------
    algorithm
        'dis' or 'tvl1'; None: not known
    bound
        pixels that the 8 bits reach in each direction; longer displacements are clipped
    short_side
        pixels of the frames' shorter side where larger frames were resized to it first; None: frames as they are
    """

    algorithm: Optional[str]
    bound: float = BOUND
    short_side: Optional[int] = None


def compute(first: np.ndarray, second: np.ndarray, algorithm: str = 'dis') -> np.ndarray:
    """Compute the optical flow from one frame to the next: what is at p in the first is at p + flow(p) in the second.

    DIS (Kroeger et al., ECCV 2016) is OpenCV's at its preset 'medium'. TV-L1 (Zach et al., DAGM 2007) is that of
    OpenCV's contrib modules with its defaults, as mmaction2 takes it: finer, some hundred times slower, and lost where
    things move more than about 5 pixels between frames of 256.

    Parameters
    ----------
    first, second
        frames, uint8 (H, W, 3), RGB
    algorithm
        one of `ALGORITHMS`

    Returns
    -------
    numpy.ndarray
        float32 (H, W, 2), pixels: x to the right, y down

    Raises
    ------
    UserError
        an unknown algorithm, TV-L1 where it is not installed, frames that differ in shape or are smaller than 12 pixels
    """
    check_algorithm(algorithm)
    if first.shape != second.shape or first.ndim != 3 or first.dtype != np.uint8 or second.dtype != np.uint8:
        raise UserError(f'flow is of two frames uint8 (H, W, 3) of one size, got {first.shape} and {second.shape}')
    if max(first.shape[:2]) < LEAST_SIDE:
        raise UserError(f'a frame of {first.shape[1]}x{first.shape[0]} is too small for flow: {LEAST_SIDE} at least')
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
    library: Any = cv2  # whose hints lack `optflow`, and want the fields that are to be filled
    # Made anew for each pair: at some presets one that has seen a small frame keeps other settings for large ones.
    if algorithm == 'dis':
        return library.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*gray, None)
    return library.optflow.DualTVL1OpticalFlow_create().calc(*gray, None)


def check_algorithm(algorithm: str) -> None:
    """Refuse an algorithm that is not known or cannot be had here; raises UserError with what to do."""
    if algorithm not in ALGORITHMS:
        raise unknown('flow algorithm', algorithm, ALGORITHMS)
    if algorithm == 'tvl1' and not has_tvl1():
        raise UserError(f'TV-L1 needs the contrib modules of OpenCV ({ADVICE}); or take the algorithm dis')


def has_tvl1() -> bool:
    """Whether the OpenCV that is installed has TV-L1.

    The packages opencv-python and opencv-contrib-python write the same files. Where the first was installed over the
    second, an empty `cv2.optflow` is left.
    """
    return hasattr(getattr(cv2, 'optflow', None), 'DualTVL1OpticalFlow_create')


def quantize(flow: np.ndarray, bound: float = BOUND) -> np.ndarray:
    """Turn displacements in pixels into 8 bits: -bound is 0, no motion 127.5 (so 128), bound 255; beyond it is clipped.

    Raises
    ------
    UserError
        a bound that is not above 0
    """
    if not bound > 0:
        raise UserError(f'the bound of flow is a number of pixels above 0, got {bound}')
    return np.clip(np.rint(flow * (127.5 / bound) + 127.5), 0, 255).astype(np.uint8)


def restore(fields: np.ndarray, bound: float = BOUND) -> np.ndarray:
    """Turn 8 bits back into displacements, float32 pixels; right to half a step, bound / 255."""
    return (fields.astype(np.float32) - 127.5) * np.float32(bound / 127.5)


def resize_flow(fields: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize fields in 8 bits, bilinear: displacements grow and shrink as the frames do, in height and width apart.

    `fields` is uint8 (K, H, W, 2 L), L fields of x and y. What would move beyond the bound is clipped to it.
    """
    (old_height, old_width), channels = fields.shape[1:3], fields.shape[3]
    if (old_height, old_width) == (height, width):
        return fields
    scale = np.tile(np.array([width / old_width, height / old_height], np.float32), channels // 2)
    out = np.empty((len(fields), height, width, channels), np.uint8)
    for source, target in zip(fields, out):
        resized = cv2.resize(source.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        target[:] = np.clip(np.rint((resized - 127.5) * scale + 127.5), 0, 255)
    return out
