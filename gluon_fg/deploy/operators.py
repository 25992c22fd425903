"""The multiply-adds of each operator of a graph, from its attributes and shapes.

Counted are convolutions (grouped ones by their groups), transposed convolutions, dense layers, matrix products and
recurrent layers: one multiply-add for each product that goes into a sum, those with padding included, biases left out.
"""

from __future__ import annotations

import math
from typing import Callable, Dict, List, Tuple

from .graph import Shape

Attributes = Dict[str, str]
Counted = Tuple[str, int]  # kind of operator, multiply-adds


def _flag(attributes: Dict[str, str], name: str) -> bool:
    return attributes.get(name) in ('True', '1')


def _convolution(attributes: Attributes, inputs: List[Shape], output: Shape) -> Counted:
    weight = inputs[1]  # (channels, in_channels / groups, kernel); with channels last the same numbers in another order
    kind = 'convolution' if int(attributes.get('num_group', 1)) == 1 else 'grouped convolution'
    return kind, math.prod(output) * math.prod(weight) // weight[0]


def _deconvolution(attributes: Attributes, inputs: List[Shape], output: Shape) -> Counted:
    data, weight = inputs[:2]  # (in_channels, channels / groups, kernel): each input goes into so many outputs
    return 'deconvolution', math.prod(data) * math.prod(weight) // weight[0]


def _dense(attributes: Attributes, inputs: List[Shape], output: Shape) -> Counted:
    return 'dense', math.prod(output) * inputs[1][1]


def _dot(attributes: Attributes, inputs: List[Shape], output: Shape) -> Counted:
    return 'matrix product', math.prod(output) * inputs[0][0 if _flag(attributes, 'transpose_a') else -1]


def _batch_dot(attributes: Attributes, inputs: List[Shape], output: Shape) -> Counted:
    return 'matrix product', math.prod(output) * inputs[0][-2 if _flag(attributes, 'transpose_a') else -1]


def _gemm(attributes: Attributes, inputs: List[Shape], output: Shape) -> Counted:
    rows = int(attributes.get('axis', -2))
    return 'matrix product', math.prod(output) * inputs[0][rows if _flag(attributes, 'transpose_a') else -1]


def _recurrent(attributes: Attributes, inputs: List[Shape], output: Shape) -> Counted:
    steps, batch, features = inputs[0]
    gates = {'lstm': 4, 'gru': 3}.get(attributes['mode'], 1)
    state = int(attributes['state_size'])
    projection = attributes.get('projection_size', 'None')
    fed_back = state if projection == 'None' else int(projection)
    ways = 2 if _flag(attributes, 'bidirectional') else 1
    products = 0
    for _ in range(int(attributes['num_layers'])):
        cell = gates * state * (features + fed_back) + (0 if projection == 'None' else state * fed_back)
        products += ways * cell
        features = ways * fed_back
    return 'recurrent', steps * batch * products


COUNTED: Dict[str, Callable[..., Counted]] = {
    'Convolution': _convolution,
    'Deconvolution': _deconvolution,
    'FullyConnected': _dense,
    'dot': _dot,
    'batch_dot': _batch_dot,
    '_linalg_gemm': _gemm,
    '_linalg_gemm2': _gemm,
    'RNN': _recurrent,
}

# Operators known to take next to nothing beside the above: at most a few operations for each number they read or write.
FREE = frozenset(
    """
    null
    Reshape reshape_like Flatten transpose SwapAxis expand_dims squeeze Concat stack SliceChannel _split_v2 slice
    slice_axis slice_like Pad tile repeat reverse take pick gather_nd one_hot Embedding where diag depth_to_space
    space_to_depth broadcast_to broadcast_axis broadcast_like Cast amp_cast amp_multicast _copy BlockGrad
    SequenceMask SequenceLast SequenceReverse _rnn_param_concat
    _zeros _ones _full _arange _linspace zeros_like ones_like shape_array size_array _contrib_arange_like
    Activation LeakyReLU relu sigmoid hard_sigmoid softsign tanh erf exp expm1 log log1p sqrt rsqrt square cbrt abs
    sign negative reciprocal clip round floor ceil sin cos smooth_l1 Dropout
    elemwise_add elemwise_sub elemwise_mul elemwise_div add_n _grad_add _power _maximum _minimum _mod _hypot
    _plus_scalar _minus_scalar _rminus_scalar _mul_scalar _div_scalar _rdiv_scalar _power_scalar _rpower_scalar
    _maximum_scalar _minimum_scalar _mod_scalar
    _equal _not_equal _greater _greater_equal _lesser _lesser_equal _logical_and _logical_or logical_not
    _equal_scalar _not_equal_scalar _greater_scalar _greater_equal_scalar _lesser_scalar _lesser_equal_scalar
    broadcast_add broadcast_sub broadcast_mul broadcast_div broadcast_mod broadcast_power broadcast_maximum
    broadcast_minimum broadcast_equal broadcast_not_equal broadcast_greater broadcast_greater_equal broadcast_lesser
    broadcast_lesser_equal broadcast_logical_and broadcast_logical_or
    mean sum nansum prod max min norm argmax argmin topk sort argsort cumsum _contrib_div_sqrt_dim
    BatchNorm LayerNorm InstanceNorm GroupNorm L2Normalization softmax log_softmax SoftmaxActivation SoftmaxOutput
    Pooling _contrib_AdaptiveAvgPooling2D _contrib_BilinearResize2D
    """.split()
)
