"""Weights of convolutions and dense layers as INT8 with a scale for each output channel: a quarter of their bytes."""

from __future__ import annotations

from typing import Collection, Dict, Mapping

import numpy as np

_LEVELS = 127  # of both signs, as oneDNN rounds weights


def pack(arrays: Mapping[str, np.ndarray], weights: Collection[str]) -> Dict[str, np.ndarray]:
    """Turn those of some arrays that are weights into 'int8:NAME' and 'scale:NAME'; the others keep their names.

    Parameters
    ----------
    arrays
        name -> float32
    weights
        names of weights, whose first axis is the output channels
    """
    packed: Dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if name not in weights:
            packed[name] = array
            continue
        rows = array.reshape(len(array), -1)
        scale = (np.abs(rows).max(axis=1) / _LEVELS).astype(np.float32)
        scale[scale == 0] = 1  # a channel of zeros
        packed[f'int8:{name}'] = np.rint(rows / scale[:, None]).astype(np.int8).reshape(array.shape)
        packed[f'scale:{name}'] = scale
    return packed


def unpack(packed: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Give the arrays that `pack` was given, float32, the weights among them rounded."""
    arrays: Dict[str, np.ndarray] = {}
    for name, array in packed.items():
        kind, _, own = name.partition(':')
        if kind == 'int8':
            scale = packed[f'scale:{own}'].reshape((-1,) + (1,) * (array.ndim - 1))
            arrays[own] = array.astype(np.float32) * scale
        elif kind != 'scale':
            arrays[name] = array
    return arrays
