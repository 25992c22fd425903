import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet import autograd
from mxnet.gluon import nn

from gluon_fg.errors import UserError
from gluon_fg.nn import TemporalShift, deploy_symbol, set_segments

STATIC = dict(static_alloc=True, static_shape=True)


def shifted(x, segments, fold_div):
    """Frame by frame and channel by channel."""
    frames, channels = x.shape[:2]
    fold, y = channels // fold_div, np.zeros_like(x)
    for f in range(frames):
        video, t = divmod(f, segments)
        for c in range(channels):
            source = t + 1 if c < fold else t - 1 if c < 2 * fold else t
            if 0 <= source < segments:
                y[f, c] = x[video * segments + source, c]
    return y


@settings(max_examples=25, deadline=None)
@given(
    videos=st.integers(1, 3),
    segments=st.integers(2, 5),
    fold_div=st.sampled_from([2, 3, 8]),
    fold=st.integers(1, 3),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    hybrid=st.booleans(),
)
def test_values_and_gradient(videos, segments, fold_div, fold, size, hybrid):
    block = TemporalShift(segments, fold_div)
    if hybrid:
        block.hybridize(**STATIC)
    x = mx.nd.random.normal(shape=(videos * segments, fold * fold_div, *size))
    x.attach_grad()
    with autograd.record():
        y = block(x)
        up = mx.nd.random.normal(shape=y.shape)
        (y * up).sum().backward()
    np.testing.assert_array_equal(y.asnumpy(), shifted(x.asnumpy(), segments, fold_div))
    # Values only move: the gradient is what moves back. A shift's adjoint is the shift with time turned.
    turned = up.asnumpy().reshape(videos, segments, *up.shape[1:])[:, ::-1].reshape(up.shape)
    back = shifted(turned, segments, fold_div).reshape(videos, segments, *up.shape[1:])[:, ::-1].reshape(up.shape)
    np.testing.assert_array_equal(x.grad.asnumpy(), back)


def test_one_video_in_numbers():
    x = mx.nd.array([[[1]], [[2]], [[3]]]).reshape((3, 1, 1, 1)) * mx.nd.array([1, 10, 100, 1000]).reshape((1, 4, 1, 1))
    got = TemporalShift(3, fold_div=4)(x).asnumpy().reshape(3, 4)
    np.testing.assert_array_equal(got, [[2, 0, 100, 1000], [3, 10, 200, 2000], [0, 20, 300, 3000]])


def test_the_number_of_segments_can_change_in_a_hybridized_network():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(8, 1, in_channels=8), TemporalShift(2))
    net.initialize(mx.init.Normal(1))
    net.hybridize(**STATIC)
    x = mx.nd.random.normal(shape=(4, 8, 2, 3))
    before = net(x).asnumpy()
    inside = net[0](x).asnumpy()
    set_segments(net, 4)
    np.testing.assert_array_equal(before, shifted(inside, 2, 8))
    np.testing.assert_array_equal(net(x).asnumpy(), shifted(inside, 4, 8))
    with pytest.raises(UserError, match='num_segments 1: .* at least 2 frames'):
        set_segments(net, 1)
    np.testing.assert_array_equal(net(x).asnumpy(), shifted(inside, 4, 8))
    set_segments(nn.Conv2D(8, 1), 1)  # nothing shifts there


def test_it_exports(tmp_path):
    block = TemporalShift(2, 4)
    x = mx.nd.random.normal(shape=(4, 8, 2, 3))
    symbol, _ = deploy_symbol(block)
    got = mx.gluon.SymbolBlock(symbol, mx.sym.var('data'))(x)
    np.testing.assert_array_equal(got.asnumpy(), block(x).asnumpy())


@pytest.mark.parametrize('call, message', [
    (lambda: TemporalShift(1), 'segments and fold_div of at least 2, got 1, 8'),
    (lambda: TemporalShift(3, 1), 'of at least 2, got 3, 1'),
    (lambda: TemporalShift(3)(mx.nd.zeros((4, 8, 2, 2))), r'shape \(4, 8, 2, 2\); this shift takes \(N \* 3, C, H'),
    (lambda: TemporalShift(3)(mx.nd.zeros((3, 12, 2, 2))), 'C a multiple of 8'),
    (lambda: TemporalShift(3)(mx.nd.zeros((3, 8, 2, 2, 2))), 'this shift takes'),
])  # fmt: skip
def test_what_it_cannot_take_is_refused_in_one_line(call, message):
    with pytest.raises(UserError, match=message) as caught:
        call()
    assert '\n' not in str(caught.value)
