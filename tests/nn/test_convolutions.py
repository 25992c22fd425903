"""Every convolution of the zoo against NumPy, under the instruction set of the processor that runs this.

MXNet's oneDNN has faults on some processors alone: where there is AVX-512, convolutions of stride 2 in time get wrong
gradients of their weights, and corrupt memory, on 3 frames (kernel 3) or 5 to 7 (kernel 7), which training refuses.
So what the networks use is tried here: all kernels, strides, paddings and groups, with few channels, on all short
clips that are trained on and small even and odd heights and widths, the output and both gradients.
"""

import ast
import itertools

import mxnet as mx
import numpy as np
from mxnet import autograd

from gluon_fg import get_model, list_models
from gluon_fg.backbones import BACKBONES, get_backbone
from gluon_fg.backbones.geometry import Layer
from gluon_fg.deploy.graph import inferred_shapes
from gluon_fg.nn.norm import deploy_mode


def few(channels):
    """Fewer channels that are, or are not, a multiple of 16 as before."""
    return channels if channels <= 32 else 32 + channels % 16


def convolutions(block, shape):
    """(operator, kernel, stride, pad, channels in, channels out, groups) of all convolutions of a network."""
    with deploy_mode():
        outputs = block(mx.sym.var('data'))
    symbol = mx.sym.Group(list(outputs)) if isinstance(outputs, (list, tuple)) else outputs
    nodes, shapes = inferred_shapes(symbol, shape, block.name)
    for number, node in enumerate(nodes):
        if node['op'] in ('Convolution', 'Deconvolution'):
            sizes = {name: ast.literal_eval(node['attrs'].get(name, 'None')) for name in ('kernel', 'stride', 'pad')}
            kernel, groups = sizes['kernel'], int(node['attrs'].get('num_group', 1))
            assert ast.literal_eval(node['attrs'].get('dilate', '1')) in (1, (1,) * len(kernel))
            stride, pad = sizes['stride'] or (1,) * len(kernel), sizes['pad'] or (0,) * len(kernel)
            before, after = shapes[tuple(node['inputs'][0][:2])][1], shapes[number, 0][1]
            if groups > 1:
                each, fewer = [min(channels // groups, 4) for channels in (before, after)], few(groups)
                yield node['op'], kernel, stride, pad, fewer * each[0], fewer * each[1], fewer
            else:
                yield node['op'], kernel, stride, pad, few(before), few(after), groups


def of_the_zoo():
    """All that its backbones have, and what its methods add: the tiny networks have every one."""
    used = set()
    for name in BACKBONES:
        backbone = get_backbone(name)
        shape = (1, backbone.in_channels, 16, 96, 96) if backbone.ndim == 3 else (8, backbone.in_channels, 96, 96)
        used.update(convolutions(backbone, shape))
    for name in list_models('*tiny_custom*'):
        net = get_model(name, nclass=5)
        spec = net.input_spec
        shape = (1, spec.channels, spec.frames, 64, 64) if spec.ndim == 3 else (spec.segments, spec.channels, 64, 64)
        used.update(convolutions(net.branches, shape))
    return sorted(used)


def expected(x, w, stride, pad, groups, up):
    """A convolution by its definition, in float64: output, and gradients of sum(up * output) for x and w."""
    x, w, up = (array.astype('float64') for array in (x, w, up))
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)])
    y, dx, dw = np.zeros(up.shape), np.zeros(padded.shape), np.zeros(w.shape)

    def grouped(array):
        return array.reshape(len(array), groups, array.shape[1] // groups, -1)

    weights = w.reshape(groups, len(w) // groups, *w.shape[1:])
    for offset in itertools.product(*map(range, w.shape[2:])):
        window = (..., *(slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(offset, up.shape[2:], stride)))
        read, tap = grouped(padded[window]), weights[(..., *offset)]  # (N, G, C, P), (G, K, C)
        y += (tap @ read).reshape(y.shape)
        dx[window] += (tap.transpose(0, 2, 1) @ grouped(up)).reshape(padded[window].shape)
        dw[(..., *offset)] = (grouped(up) @ read.transpose(0, 1, 3, 2)).sum(0).reshape(w.shape[:2])
    return y, dx[(..., *(slice(p, p + n) for p, n in zip(pad, x.shape[2:])))], dw


def sizes(kernel, stride, pad):
    """Small sizes of an input, even along one axis and odd along another; all numbers of frames that are trained on."""
    smallest = [max(k - 2 * p, 1) for k, p in zip(kernel, pad)]
    spaces = [tuple(map(max, space, smallest[-2:])) for space in ((7, 10), (12, 5))]
    if len(kernel) == 2:
        return spaces
    layer = Layer(kernel[0], stride[0], pad[0], learned=True)
    frames = range(smallest[0], smallest[0] + (9 if stride[0] > 1 else 3))
    return [(n, *space) for n in frames if layer.gradient_is_right(n) for space in spaces]


def measured(operator, x, w, up, **options):
    arrays = [mx.nd.array(array, dtype='float32') for array in (x, w)]
    for array in arrays:
        array.attach_grad()
    with autograd.record():
        y = getattr(mx.nd, operator)(*arrays, no_bias=True, **options)
    y.backward(mx.nd.array(up, dtype='float32'))
    return [y.asnumpy(), *(array.grad.asnumpy() for array in arrays)]


def check(convolution, size, count=2):
    operator, kernel, stride, pad, before, after, groups = convolution
    after_size = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, pad)]
    if operator == 'Deconvolution':  # the same with output and input exchanged
        before, after = after, before
    x, w = np.random.randn(count, before, *size), np.random.randn(after, before // groups, *kernel)
    up = np.random.randn(count, after, *after_size)
    y, dx, dw = expected(x, w, stride, pad, groups, up)
    options = {'kernel': kernel, 'stride': stride, 'pad': pad, 'num_group': groups}
    if operator == 'Convolution':
        given, wanted = measured(operator, x, w, up, num_filter=after, **options), (y, dx, dw)
    else:
        given = measured(operator, up, w, x, num_filter=before, target_shape=size, **options)
        wanted = dx, y, dw
    for name, measure, true in zip(('output', 'gradient of the input', 'gradient of the weight'), given, wanted):
        error = np.linalg.norm(measure - true) / max(np.linalg.norm(true), 1e-6)
        assert error < 1e-5, f'{name} of {convolution} on {size}: off by {error:.2g}'


def test_convolutions_of_the_zoo_equal_numpy():
    used = of_the_zoo()
    assert ('Convolution', (7, 7, 7), (2, 2, 2), (3, 3, 3), 3, 32, 1) in used
    assert len(used) > 50 and {'Convolution', 'Deconvolution'} == {operator for operator, *_ in used}
    for kernel, stride in itertools.product((3, 5), (1, 2)):  # depthwise, of the networks for phones
        assert ('Convolution', (kernel,) * 2, (stride,) * 2, (kernel // 2,) * 2, 32, 32, 32) in used
    for convolution in used:
        for size in sizes(*convolution[1:4]):
            check(convolution, size)
