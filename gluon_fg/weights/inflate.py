"""Inflation of 2-D filters to 3-D (Carreira and Zisserman 2017, sec. 2.4)."""

from __future__ import annotations

import mxnet as mx

from ..errors import UserError


def inflate(weight_2d: mx.nd.NDArray, depth: int) -> mx.nd.NDArray:
    """(O, I, h, w) -> (O, I, depth, h, w): repeated along time and divided by `depth`.

    A clip of one repeated image then gives the image's response, wherever no zero padding in time is met.

    Raises
    ------
    UserError
        the weight is not 4-D, or depth is below 1
    """
    if weight_2d.ndim != 4 or depth < 1:
        raise UserError(
            f'cannot inflate a weight of shape {weight_2d.shape} to depth {depth}; give (O, I, h, w) and depth >= 1'
        )
    return mx.nd.repeat(mx.nd.expand_dims(weight_2d, axis=2), repeats=depth, axis=2) / depth
