import contextlib

import mxnet as mx
import numpy as np
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet import autograd

from gluon_fg.nn import BilinearUpsample, GlobalAvgPool
from gluon_fg.nn.norm import deploy_mode
from gluon_fg.nn.upsample import doubled_onto


@settings(max_examples=15, deadline=None)
@given(
    ndim=st.sampled_from([2, 3]),
    channels=st.sampled_from([1, 7, 16, 32]),
    size=st.tuples(*[st.integers(1, 7)] * 3),
    time=st.booleans(),
)
def test_values_and_gradient_are_linear_interpolation(ndim, channels, size, time):
    time = time and ndim == 3
    axes = (-3, -2, -1) if time else (-2, -1)
    block = BilinearUpsample(channels, ndim, time)
    block.initialize()
    block.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.random.normal(shape=(2, channels, *size[:ndim]))
    x.attach_grad()
    with autograd.record():
        y = block(x)
        up = mx.nd.random.normal(shape=y.shape)
        (y * up).sum().backward()
    np.testing.assert_allclose(y.asnumpy(), reference.upsample(x.asnumpy(), axes), rtol=1e-5, atol=1e-5)
    # a linear map: <up, f(v)> = <f'(up), v> for every v
    v = np.random.randn(*x.shape)
    np.testing.assert_allclose(
        (x.grad.asnumpy() * v).sum(), (up.asnumpy() * reference.upsample(v, axes)).sum(), rtol=1e-3, atol=1e-3
    )


def test_a_straight_line_stays_straight_inside():
    block = BilinearUpsample(1, 2)
    block.initialize()
    line = mx.nd.arange(5).reshape((1, 1, 1, 5)).copy()
    np.testing.assert_allclose(block(line).asnumpy()[0, 0, 0, 1:-1], np.arange(0.25, 4, 0.5), rtol=1e-6)


def test_a_steady_motion_stays_steady_inside_and_still_at_the_ends():
    block = BilinearUpsample(1, 3, time=True)
    block.initialize()
    clip = mx.nd.arange(4).reshape((1, 1, 4, 1, 1)).copy()
    expected = [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    np.testing.assert_allclose(block(clip).asnumpy()[0, 0, :, 1, 0], expected, rtol=1e-6)


def test_its_kernel_is_no_trainable_parameter_but_is_saved(tmp_path):
    block = BilinearUpsample(4)
    block.initialize()
    assert [p.grad_req for p in block.collect_params().values()] == ['null']
    block.save_parameters(str(tmp_path / 'up.params'))
    other = BilinearUpsample(4)
    other.load_parameters(str(tmp_path / 'up.params'))
    x = mx.nd.random.normal(shape=(1, 4, 2, 3, 3))
    np.testing.assert_array_equal(block(x).asnumpy(), other(x).asnumpy())


def test_global_average():
    x = mx.nd.random.normal(shape=(2, 5, 3, 4, 6))
    np.testing.assert_allclose(GlobalAvgPool(3)(x).asnumpy(), x.asnumpy().mean((2, 3, 4)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(GlobalAvgPool(2)(x[0]).asnumpy(), x[0].asnumpy().mean((2, 3)), rtol=1e-5, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    ndim=st.sampled_from([2, 3]),
    channels=st.sampled_from([1, 5, 16]),
    size=st.tuples(*[st.integers(1, 7)] * 3),
    beyond=st.tuples(*[st.integers(-1, 1)] * 3),
    time=st.booleans(),
)
def test_products_with_matrices_give_the_same_at_any_size_wanted(ndim, channels, size, beyond, time):
    time = time and ndim == 3
    doubled = (2, 3, 4) if time else (ndim, ndim + 1)
    x = mx.nd.random.normal(shape=(2, channels, *size[:ndim]))
    wanted = [2 * n + b if axis in doubled else n for axis, (n, b) in enumerate(zip(size[:ndim], beyond), 2)]
    y = doubled_onto(mx.nd, x, mx.nd.full((2, 3, *wanted), np.nan), ndim, time)

    expected = reference.upsample(x.asnumpy(), doubled)
    for axis in doubled:  # cut, or its last position repeated
        places = np.minimum(np.arange(wanted[axis - 2]), expected.shape[axis] - 1)
        expected = expected.take(places, axis)
    np.testing.assert_allclose(y.asnumpy(), expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(
    ndim=st.sampled_from([2, 3]),
    channels=st.sampled_from([2, 5, 16, 32, 48]),
    size=st.tuples(*[st.integers(1, 7)] * 3),
    time=st.booleans(),
)
def test_the_form_of_networks_that_predict_is_grouped_and_gives_clips_the_same_bits(ndim, channels, size, time):
    values = np.random.default_rng(0).standard_normal((2, channels, *size[:ndim]), 'float32')
    results = []
    for mode in (contextlib.nullcontext, deploy_mode):
        block = BilinearUpsample(channels, ndim, time and ndim == 3)
        block.initialize()
        block.hybridize(static_alloc=True, static_shape=True)
        x = mx.nd.array(values)
        x.attach_grad()
        with mode(), autograd.record():
            y = block(x)
            y.backward(y * y)
        results.append((y.asnumpy(), x.grad.asnumpy()))
        with mode():
            groups = [a.get('num_group', '1') for a in block(mx.sym.var('data')).attr_dict().values() if 'stride' in a]
        assert groups == ['1' if mode is contextlib.nullcontext else str(channels)]
    (y, grad), (grouped, grouped_grad) = results
    if ndim == 3:
        np.testing.assert_array_equal(y, grouped)
        np.testing.assert_array_equal(grad, grouped_grad)
    else:  # oneDNN adds up images of 16 channels in another order than images of 1
        np.testing.assert_allclose(y, grouped, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(grad, grouped_grad, rtol=1e-5, atol=1e-5)
