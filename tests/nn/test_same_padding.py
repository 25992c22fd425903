"""Against TensorFlow's rule written out: ceil(size / stride) positions, the odd zero at the end."""

import itertools

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from gluon_fg.errors import UserError
from gluon_fg.nn import deploy_symbol
from gluon_fg.nn.same_padding import SameConv2D, SameConv3D, SameMaxPool2D, SameMaxPool3D


def taps(x, kernel, stride, fill):
    """Yield (offset, slices into the padded input, padded input): which element of each window an offset reads."""
    sizes = x.shape[2:]
    out = [-(-n // s) for n, s in zip(sizes, stride)]
    total = [max((o - 1) * s + k - n, 0) for o, s, k, n in zip(out, stride, kernel, sizes)]
    padded = np.pad(x, [(0, 0), (0, 0), *((t // 2, t - t // 2) for t in total)], constant_values=fill)
    inner = (..., *(slice(t // 2, t // 2 + n) for t, n in zip(total, sizes)))
    offsets = [
        (offset, (..., *(slice(a, a + (o - 1) * s + 1, s) for a, o, s in zip(offset, out, stride))))
        for offset in itertools.product(*map(range, kernel))
    ]
    return padded, inner, offsets


def conv(x, w, stride, up):
    """Output, and gradients of sum(up * output) for x and w."""
    padded, inner, offsets = taps(x, w.shape[2:], stride, 0)
    at = (slice(None), slice(None))
    y = sum(np.einsum('nc...,oc->no...', padded[window], w[at + offset]) for offset, window in offsets)
    dx, dw = np.zeros_like(padded), np.zeros_like(w)
    for offset, window in offsets:
        dx[window] += np.einsum('no...,oc->nc...', up, w[at + offset])
        dw[at + offset] = np.tensordot(up, padded[window], axes=[(0, *range(2, x.ndim))] * 2)
    return y, dx[inner], dw


def max_pool(x, kernel, stride, up):
    padded, inner, offsets = taps(x, kernel, stride, -np.inf)
    seen = np.stack([padded[window] for _, window in offsets])
    best, dx = seen.argmax(0), np.zeros(padded.shape)
    for i, (_, window) in enumerate(offsets):
        dx[window] += up * (best == i)
    return seen.max(0), dx[inner]


def run(layer, x, up, mode):
    layer.initialize(mx.init.Normal(1))
    if mode == 'hybrid':
        layer.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.array(x)
    x.attach_grad()
    with autograd.record():
        y = layer(x)
        (y * mx.nd.array(up)).sum().backward()
    return y.asnumpy(), x.grad.asnumpy()


def assert_close(given, expected):
    assert given.shape == expected.shape
    assert np.linalg.norm(given - expected) <= 1e-5 * np.linalg.norm(expected)


SIZES_3D = [(4, 6, 8), (5, 7, 9), (1, 6, 3), (6, 5, 4), (2, 1, 7)]
STEM_SIZES = [(8, 6, 8), (9, 7, 9), (10, 5, 4), (11, 1, 7)]  # a stem that spans 7 frames is trained on 8 at least


@pytest.mark.parametrize('mode', ['imperative', 'hybrid'])
@pytest.mark.parametrize(
    'kernel, stride, size',
    [
        *(((7, 7, 7), (2, 2, 2), size) for size in STEM_SIZES),
        *(
            (kernel, stride, size)
            for kernel, stride in (((3, 3, 3), (2, 2, 2)), ((5, 3, 1), (1, 2, 2)))
            for size in SIZES_3D
        ),
    ],
)
def test_convolution_equals_numpy(kernel, stride, size, mode):
    x = np.random.randn(2, 3, *size)
    up = np.random.randn(2, 16, *(-(-n // s) for n, s in zip(size, stride)))
    layer = SameConv3D(16, kernel, stride, in_channels=3)
    y, dx = run(layer, x, up, mode)
    expected = conv(x, layer.weight.data().asnumpy().astype('float64'), stride, up)
    for given, wanted in zip((y, dx, layer.weight.grad().asnumpy()), expected):
        assert_close(given, wanted)


@pytest.mark.parametrize('mode', ['imperative', 'hybrid'])
@pytest.mark.parametrize('size', SIZES_3D)
@pytest.mark.parametrize('kernel, stride', [
    ((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2)), ((3, 3, 3), (1, 1, 1)),
])  # fmt: skip
def test_max_pool_equals_numpy(kernel, stride, size, mode):
    """Negative values too: padding is never the maximum."""
    x = np.random.randn(2, 16, *size) - 2
    up = np.random.randn(2, 16, *(-(-n // s) for n, s in zip(size, stride)))
    for given, wanted in zip(run(SameMaxPool3D(kernel, stride), x, up, mode), max_pool(x, kernel, stride, up)):
        assert_close(given, wanted)


@pytest.mark.parametrize('size', [(8, 6), (7, 9), (6, 5)])
def test_images_equal_numpy(size):
    x, half = np.random.randn(2, 16, *size), [-(-n // 2) for n in size]
    up = np.random.randn(2, 16, *half)
    layer = SameConv2D(16, (7, 7), (2, 2), in_channels=16)
    y, dx = run(layer, x, up, 'hybrid')
    for given, wanted in zip((y, dx), conv(x, layer.weight.data().asnumpy().astype('float64'), (2, 2), up)):
        assert_close(given, wanted)
    for window in ((3, 3), (2, 2)):
        given = run(SameMaxPool2D(window, (2, 2)), x, up, 'imperative')
        for g, w in zip(given, max_pool(x, window, (2, 2), up)):
            assert_close(g, w)


def test_one_traced_graph_serves_every_size(tmp_path):
    layer = SameConv3D(16, (7, 7, 7), (2, 2, 2), in_channels=3)
    layer.initialize(mx.init.Normal(1))
    symbol, params = deploy_symbol(layer)
    symbol.save(str(tmp_path / 'layer.json'))
    mx.nd.save(str(tmp_path / 'layer.params'), params)
    graph = mx.gluon.SymbolBlock.imports(str(tmp_path / 'layer.json'), ['data'], str(tmp_path / 'layer.params'))
    layer.hybridize(static_alloc=True, static_shape=True)
    w = layer.weight.data().asnumpy()
    for size in ((4, 6, 8), (5, 8, 7), (4, 7, 8)):
        x = np.random.randn(1, 3, *size).astype('float32')
        expected = conv(x, w, (2, 2, 2), np.zeros((1, 16, *(-(-n // 2) for n in size))))[0]
        for block in (layer, graph):
            assert_close(block(mx.nd.array(x)).asnumpy(), expected)


@pytest.mark.parametrize('make', [
    lambda: SameConv3D(16, (3, 3, 3), (3, 3, 3), 3), lambda: SameConv2D(16, (4, 4), (1, 1), 3),
    lambda: SameMaxPool2D((4, 4), (2, 2)),
])  # fmt: skip
def test_other_strides_and_even_kernels_are_refused(make):
    with pytest.raises(UserError, match='SAME padding here takes'):
        make()
