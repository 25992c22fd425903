"""Inflation of weights, and of a whole ResNet-50 on a clip of one repeated image."""

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import randomize_norms

from gluon_fg.backbones import get_backbone
from gluon_fg.errors import UserError
from gluon_fg.weights.inflate import inflate, inflate_all, inflate_stem, inflate_time

ODD, FEW, SEEDS = st.sampled_from([1, 3, 5, 7]), st.integers(1, 4), st.integers(0, 99)


def conv_time(x, w):
    """(C, T) clip through (O, C, t) kernels at the positions that meet no padding, in float64."""
    t = w.shape[2]
    return np.stack([np.tensordot(w, x[:, i : i + t], 2) for i in range(x.shape[1] - t + 1)], 1)


def test_a_2d_filter_is_repeated_and_divided():
    w = mx.nd.array(np.arange(24).reshape(2, 3, 2, 2))
    got = inflate(w, 4).asnumpy()
    assert got.shape == (2, 3, 4, 2, 2)
    for frame in range(4):
        np.testing.assert_array_equal(got[:, :, frame], np.arange(24).reshape(2, 3, 2, 2) / 4)


@pytest.mark.parametrize('old, new', [
    ([6], [2, 2, 2]),
    ([3, 5, 7], [9 / 5, 6 / 5 + 5 / 5, 15 / 5, 5 / 5 + 14 / 5, 21 / 5]),
    ([3, 6, 9, 12, 15], [3 + 6 * 2 / 3, 6 / 3 + 9 + 12 / 3, 12 * 2 / 3 + 15]),
    ([1, 2, 3, 4, 5], [15]),
    ([1, 2, 4], [1, 2, 4]),
])  # fmt: skip
def test_depths_of_time_kernels(old, new):
    got = inflate_time(mx.nd.array(old).reshape((1, 1, -1, 1, 1)), len(new))
    np.testing.assert_allclose(got.asnumpy().ravel(), new, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    old=ODD, new=ODD, out=st.integers(1, 4), channels=st.integers(1, 4), h=st.integers(1, 3), seed=st.integers(0, 99)
)
def test_a_repeated_image_keeps_its_response_whatever_the_depth(old, new, out, channels, h, seed):
    random = np.random.RandomState(seed)
    w = random.randn(out, channels, old, h, h + 1).astype('float32')
    got = inflate_time(mx.nd.array(w), new).asnumpy()
    assert got.shape == (out, channels, new, h, h + 1)
    np.testing.assert_allclose(got.sum(2), w.sum(2, dtype='float64'), rtol=1e-4, atol=1e-5)
    backwards = inflate_time(mx.nd.array(w[:, :, ::-1]), new).asnumpy()
    np.testing.assert_allclose(backwards, got[:, :, ::-1], rtol=1e-5, atol=1e-6)
    image = random.randn(channels)
    clip = np.repeat(image[:, None], 9, 1)
    response, before = conv_time(clip, got[..., 0, 0]), conv_time(clip, w[..., 0, 0])
    np.testing.assert_allclose(response, np.repeat(before[:, :1], response.shape[1], 1), rtol=1e-4, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(depth=ODD, channels=FEW, h=FEW, seed=SEEDS)
def test_a_2d_filter_and_a_kernel_of_one_frame_inflate_alike(depth, channels, h, seed):
    w = mx.nd.array(np.random.RandomState(seed).randn(2, channels, h, h))
    from_time = inflate_time(w.expand_dims(2), depth).asnumpy()
    np.testing.assert_allclose(from_time, inflate(w, depth).asnumpy(), rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    wanted=st.integers(1, 20),
    given_=st.sampled_from([1, 3, 5]),
    space=st.sampled_from([(3, 2), (1, 1), (3, 2, 2), (5, 1, 3)]),
)
def test_a_stem_for_flow_is_the_mean_of_rgb_repeated_without_another_scale(wanted, given_, space):
    w = np.random.RandomState(wanted).randn(4, given_, *space).astype('float32')
    got = inflate_stem(mx.nd.array(w), wanted).asnumpy()
    expected = w if wanted == given_ else np.repeat(w.astype('float64').mean(1, keepdims=True), wanted, 1)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_ten_channels_of_flow_in_numbers():
    w = mx.nd.array([[1, 2, 6], [0, -3, 0]]).reshape((2, 3, 1, 1))
    got = inflate_stem(w, 10).asnumpy().reshape(2, 10)
    np.testing.assert_array_equal(got, [[3] * 10, [-1] * 10])


@pytest.mark.parametrize('call, message', [
    (lambda: inflate(mx.nd.zeros((2, 3, 1, 3, 3)), 3), r'shape \(2, 3, 1, 3, 3\) to depth 3; give \(O, I, h, w\)'),
    (lambda: inflate(mx.nd.zeros((2, 3, 3, 3)), 0), 'to depth 0'),
    (lambda: inflate_time(mx.nd.zeros((2, 3, 3, 3)), 3), r'give \(O, I, t, h, w\) and an odd depth'),
    (lambda: inflate_time(mx.nd.zeros((2, 3, 3, 1, 1)), 4), 'to depth 4'),
    (lambda: inflate_time(mx.nd.zeros((2, 3, 2, 1, 1)), 3), 't odd too'),
    (lambda: inflate_time(mx.nd.zeros((2, 3, 3, 1, 1)), 0), 'to depth 0'),
    (lambda: inflate_stem(mx.nd.zeros((2, 3)), 10), r'a stem of 10 channels from a weight of shape \(2, 3\)'),
    (lambda: inflate_stem(mx.nd.zeros((2, 3, 7, 7)), 0), 'a stem of 0 channels'),
    (lambda: inflate_all({'a.weight': mx.nd.zeros((2, 3, 7, 7))}, {'a.weight': (2, 3, 5, 5, 5)}),
     r'a.weight has shape \(2, 3, 7, 7\), which cannot become \(2, 3, 5, 5, 5\)'),
    (lambda: inflate_all({'a.weight': mx.nd.zeros((2, 3, 7, 7))}, {'a.weight': (2, 10, 7, 7)}), 'cannot become'),
    (lambda: inflate_all({'a.weight': mx.nd.zeros((2, 3, 1, 7, 7))}, {'a.weight': (2, 3, 7, 7)}), 'cannot become'),
])  # fmt: skip
def test_what_cannot_be_done_is_refused_in_one_line(call, message):
    with pytest.raises(UserError, match=message) as caught:
        call()
    assert '\n' not in str(caught.value)


def test_a_2d_rgb_stem_becomes_one_for_clips_of_flow():
    w = np.random.randn(4, 3, 7, 7).astype('float32')
    got = inflate_all({'stem.0.weight': mx.nd.array(w)}, {'stem.0.weight': (4, 2, 5, 7, 7)}, stem='stem.0.weight')
    expected = np.broadcast_to((w.mean(1) / 5)[:, None, None], (4, 2, 5, 7, 7))
    np.testing.assert_allclose(got['stem.0.weight'].asnumpy(), expected, rtol=1e-4, atol=1e-6)


# A whole network ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def networks():
    """A 2-D ResNet-50 with random weights and statistics, and the I3D one inflated from it."""
    flat, deep = get_backbone('resnet50_v1b'), get_backbone('i3d_resnet50_v1')
    flat.initialize(mx.init.MSRAPrelu('in', 0))
    randomize_norms(flat, center=0.0)
    params = deep._collect_params_with_prefix()
    values = {name: p.data() for name, p in flat._collect_params_with_prefix().items()}
    assert set(values) == set(params)
    deep.initialize()
    for name, value in inflate_all(values, {name: p.shape for name, p in params.items()}).items():
        params[name].set_data(value)
    return flat, deep


def test_an_inflated_resnet50_sees_a_repeated_image_as_the_2d_one_does(networks):
    """At the positions whose receptive field lies within the clip: 77 frames at res5."""
    flat, deep = networks
    frames = 84
    image = mx.nd.random.normal(shape=(1, 3, 64, 64))
    expected = [f.asnumpy() for f in flat(image)]
    got = [f.asnumpy() for f in deep(mx.nd.repeat(image.expand_dims(2), frames, axis=2))]
    inner = {}
    for stage, a, b in zip((2, 3, 4, 5), expected, got):
        where = deep.geometry(stage)
        centres = where.offset[0] + where.stride[0] * np.arange(b.shape[2])
        reach = (where.field[0] - 1) / 2
        inner[stage] = np.flatnonzero((centres - reach >= 0) & (centres + reach <= frames - 1))
        error = np.abs(b - a[:, :, None]).max((0, 1, 3, 4)) / np.abs(a).max()
        assert error[inner[stage]].max() < 1e-4
        assert error[0] > 1e-3 and error[-1] > 1e-3, 'padding shows at the ends, or the test sees nothing'
    assert {stage: len(positions) for stage, positions in inner.items()} == {2: 14, 3: 10, 4: 4, 5: 2}
