"""Weights of one network for another: 2-D filters over time, other depths in time, stems of other inputs.

Inflation is Carreira and Zisserman's (2017, sec. 2.4): a clip of one repeated image keeps the image's response,
wherever no zero padding in time is met. Cross-modality initialization of stems is TSN's (Wang et al. 2016, sec. 3.2).
"""

from __future__ import annotations

from typing import Dict, Optional, Tuple

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


def inflate_time(weight: mx.nd.NDArray, depth: int) -> mx.nd.NDArray:
    """(O, I, t, h, w) -> (O, I, depth, h, w): the kernel stretched or squeezed to another odd number of frames.

    Our choice: both kernels are laid over the same stretch of time, and each frame of the new one gets what the old
    frames hold in its part of it (3 to 5: w0 * 3/5, w0 * 2/5 + w1 * 1/5, w1 * 3/5, ...). The sum over time stays, and
    with it the response to a clip of one repeated image; a kernel that is even in time stays even; from 1 it is
    `inflate`.

    Raises
    ------
    UserError
        the weight is not 5-D, or one of the depths is even: such a kernel has no middle frame, and padding by half of
        it would move the clip
    """
    if weight.ndim != 5 or depth < 1 or depth % 2 == 0 or weight.shape[2] % 2 == 0:
        raise UserError(
            f'cannot inflate a weight of shape {weight.shape} to depth {depth}; '
            f'give (O, I, t, h, w) and an odd depth (1, 3, 5, ...), t odd too'
        )
    frames = weight.shape[2]
    if frames == depth:
        return weight
    # Time in units of 1 / (frames * depth): old frame i is [i * depth, (i + 1) * depth), a new one `frames` long.
    shares = [
        [max(0, min((i + 1) * depth, (j + 1) * frames) - max(i * depth, j * frames)) / depth for i in range(frames)]
        for j in range(depth)
    ]
    by_time = mx.nd.transpose(weight, axes=(2, 0, 1, 3, 4))
    new = mx.nd.dot(mx.nd.array(shares, ctx=weight.context, dtype=weight.dtype), by_time.reshape((frames, -1)))
    return mx.nd.transpose(new.reshape((depth, *by_time.shape[1:])), axes=(1, 2, 0, 3, 4))


def inflate_stem(weight: mx.nd.NDArray, in_channels: int) -> mx.nd.NDArray:
    """(O, I, ...) -> (O, in_channels, ...): the mean over the input channels, repeated; 2 * L for L frames of flow.

    4-D or 5-D. TSN's cross-modality initialization (Wang et al. 2016, sec. 3.2) does not divide by the number of new
    channels: ten channels of equal values give 10/3 of the RGB response, as there. A stem that has `in_channels`
    already is returned as it is. From one number of flow fields to another, the means of the filters for x and of those
    for y are repeated, each for its own (our choice).

    Raises
    ------
    UserError
        the weight is neither 4-D nor 5-D, or in_channels is below 1
    """
    if weight.ndim not in (4, 5) or in_channels < 1:
        raise UserError(
            f'cannot make a stem of {in_channels} channels from a weight of shape {weight.shape}; '
            f'give (O, I, h, w) or (O, I, t, h, w) and in_channels >= 1'
        )
    if weight.shape[1] == in_channels:
        return weight
    axes = 2 if weight.shape[1] % 2 == in_channels % 2 == 0 else 1  # x, y, x, y, ... of flow
    means = [
        mx.nd.mean(mx.nd.slice_axis(weight, axis=1, begin=first, end=None)[:, ::axes], axis=1, keepdims=True)
        for first in range(axes)
    ]
    return mx.nd.concat(*(means * (in_channels // axes)), dim=1)


def inflate_all(
    arrays: Dict[str, mx.nd.NDArray], shapes: Dict[str, Tuple[int, ...]], stem: Optional[str] = None
) -> Dict[str, mx.nd.NDArray]:
    """Parameters of a network brought to the shapes of another one's, where these differ in time or the stem's input.

    Parameters
    ----------
    arrays
        name -> parameter of any kind
    shapes
        name -> shape wanted, for every name in `arrays`
    stem
        name of the weight that reads the input, if that may have another number of channels; what batch norm of the
        input itself keeps of each channel, in front of it, becomes the mean over them, too

    Raises
    ------
    UserError
        a shape that inflation does not lead to; named
    """
    result = {}
    for name, array in arrays.items():
        wanted, new = tuple(shapes[name]), array
        if name == stem and new.ndim in (4, 5):
            new = inflate_stem(new, wanted[1])
        elif stem is not None and is_input_norm(name, stem) and new.ndim == len(wanted) == 1 and new.shape != wanted:
            new = inflate_stem(new.reshape((1, -1, 1, 1)), wanted[0]).reshape(wanted)
        if len(wanted) == 5 and new.ndim == 4:
            new = inflate(new, wanted[2])
        elif len(wanted) == 5 and new.ndim == 5:
            new = inflate_time(new, wanted[2])
        if new.shape != wanted:
            raise UserError(f'{name} has shape {array.shape}, which cannot become {wanted}')
        result[name] = new
    return result


def is_input_norm(name: str, stem: str) -> bool:
    """Whether a parameter is one of batch norm in front of the weight that reads the input (ResNet V2)."""
    first, _, second = stem.rpartition('.')[0].rpartition('.')  # '...stem', '1' of '...stem.1.weight'
    return second == '1' and name.startswith(f'{first}.0.')
