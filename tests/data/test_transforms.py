"""Sizes and positions to the pixel, one draw for the whole clip, and the numbers that reach the network."""

import cv2
import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg.data import transforms
from gluon_fg.data.transforms import TrainTransform, to_input, to_view
from gluon_fg.errors import UserError
from gluon_fg.input_spec import InputSpec

quick = settings(max_examples=40, deadline=None)
sides = st.integers(8, 70)


def ramp(height, width, frames=2):
    """Frames whose pixel (y, x) holds (y, x, frame number)."""
    y, x = np.mgrid[:height, :width]
    return np.stack([np.stack([y, x, np.full_like(y, t)], -1) for t in range(frames)]).astype(np.uint8)


def corners(view):
    """((top, left), (bottom, right)) of a crop of `ramp`, read from its pixels."""
    return tuple(view[0, 0, 0, :2].tolist()), tuple(view[0, -1, -1, :2].tolist())


@quick
@given(sides, sides, st.integers(4, 60))
def test_short_side_is_exact_and_the_other_rounded(height, width, short):
    out = transforms.resize_short(ramp(height, width), short)
    assert min(out.shape[1:3]) == short and out.dtype == np.uint8 and out.shape[0] == 2
    exact = max(height, width) * short / min(height, width)
    assert abs(max(out.shape[1:3]) - exact) <= 0.5
    assert out.shape[1 if height <= width else 2] == short


def test_resize_is_opencv_bilinear_and_free_when_nothing_changes():
    frames = np.random.default_rng(0).integers(0, 256, (3, 20, 31, 3), np.uint8)
    out = transforms.resize_short(frames, 10)
    assert out.shape == (3, 10, 16, 3)  # 15.5 rounds up
    for source, target in zip(frames, out):
        np.testing.assert_array_equal(target, cv2.resize(source, (16, 10), interpolation=cv2.INTER_LINEAR))
    assert transforms.resize_short(frames, 20) is frames


def test_crops_are_where_they_should_be():
    frames = ramp(20, 31)
    places = [corners(view) for view in transforms.five_crops(frames, 9)]
    assert places == [
        ((0, 0), (8, 8)),
        ((0, 22), (8, 30)),
        ((11, 0), (19, 8)),
        ((11, 22), (19, 30)),
        ((5, 11), (13, 19)),
    ]
    assert corners(transforms.center_crop(frames, 9)) == ((5, 11), (13, 19))
    ten = transforms.ten_crops(frames, 9)
    assert len(ten) == 10
    for plain, mirrored in zip(ten[:5], ten[5:]):
        np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])
    assert [corners(v) for v in transforms.three_crops(frames, 20)] == [
        ((0, 0), (19, 19)),
        ((0, 5), (19, 24)),
        ((0, 11), (19, 30)),
    ]
    assert [corners(v) for v in transforms.three_crops(ramp(31, 20), 20)] == [
        ((0, 0), (19, 19)),
        ((5, 0), (24, 19)),
        ((11, 0), (30, 19)),
    ]
    with pytest.raises(UserError, match='a crop of 21x21 at .* leaves the frame of 20x31'):
        transforms.center_crop(frames, 21)


@quick
@given(sides, sides, st.sampled_from(transforms.KINDS), st.integers(0, 2**31), st.booleans())
def test_training_crops_fit_and_treat_all_frames_alike(height, width, kind, seed, may_flip):
    spec = InputSpec(frames=3, crop_size=17, short_side=20)
    frames = np.repeat(np.random.default_rng(seed).integers(0, 256, (1, height, width, 3), np.uint8), 3, axis=0)
    transform = TrainTransform(spec, kind, flip=0.5, jitter=1.25 if kind == 'random_crop' else 1.0)
    out, mirrored = transform(frames, np.random.default_rng(seed), may_flip)
    assert out.shape == (3, 17, 17, 3) and (may_flip or not mirrored)
    np.testing.assert_array_equal(out[0], out[1])
    np.testing.assert_array_equal(out[0], out[2])
    again, _ = transform(frames, np.random.default_rng(seed), may_flip)
    np.testing.assert_array_equal(out, again)
    # whether it may be mirrored changes nothing but the mirror image
    other, other_mirrored = transform(frames, np.random.default_rng(seed), not may_flip)
    np.testing.assert_array_equal(other if mirrored == other_mirrored else other[:, :, ::-1], out)


def test_flips_come_at_their_rate_and_random_crops_reach_the_corners():
    spec = InputSpec(frames=1, crop_size=4, short_side=6)
    rng, frames = np.random.default_rng(0), ramp(6, 7, 1)
    transform = TrainTransform(spec, 'random_crop', flip=0.3)
    seen, mirrors = set(), 0
    for _ in range(600):
        view, mirrored = transform(frames, rng)
        mirrors += mirrored
        seen.add(corners(view[:, :, ::-1] if mirrored else view)[0])
    assert seen == {(y, x) for y in range(3) for x in range(4)} and 140 < mirrors < 220
    assert not any(TrainTransform(spec, 'random_crop', flip=0)(frames, rng)[1] for _ in range(50))


@pytest.mark.parametrize('jitter, sides', [(1.0, {8}), (1.25, {8, 9, 10})])
def test_jitter_draws_the_shorter_side(jitter, sides):
    """CIDC sec. 3.3: from 256 to 320 pixels, both included. Read off the slope that resizing leaves in a ramp."""
    frames = np.broadcast_to(np.arange(80, dtype=np.uint8)[:, None, None], (1, 80, 90, 3)).copy()
    transform = TrainTransform(InputSpec(frames=1, crop_size=4, short_side=8), 'random_crop', 0.0, jitter)
    rng, drawn = np.random.default_rng(0), []
    for _ in range(200):
        rows = transform(frames, rng)[0][0, :, 0, 0].astype(float)
        drawn.append(round(80 * 3 / (rows[-1] - rows[0])))
    assert set(drawn) == sides and all(drawn.count(side) > 40 for side in sides)


def test_multiscale_crops_are_tsn_windows():
    # 40 x 60: sides 40, 35, 30, 26; without resizing (size = side) their corners can be read off
    rng, frames = np.random.default_rng(0), ramp(40, 60, 1)
    for side in (40, 35, 30, 26):
        windows = [transforms.multiscale_corner_window(40, 60, rng, (side / 40 + 1e-6,)) for _ in range(80)]
        places = {corners(transforms.crop(frames, *window))[0] for window in windows}
        bottom, right = 40 - side, 60 - side
        assert places == {(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)}


def test_wrong_options_and_frames_are_refused():
    spec = InputSpec(frames=1, crop_size=4, short_side=6)
    with pytest.raises(UserError, match="unknown transform 'randm_crop'; did you mean 'random_crop'"):
        TrainTransform(spec, 'randm_crop')
    with pytest.raises(UserError, match='flip is a probability'):
        TrainTransform(spec, flip=1.5)
    with pytest.raises(UserError, match='jitter must be at least 1'):
        TrainTransform(spec, 'random_crop', jitter=0.5)
    for wrong in (ramp(6, 6)[0], ramp(6, 6).astype(np.float32), ramp(6, 6)[..., :1], [1]):
        with pytest.raises(UserError, match=r'frames must be a uint8 array \(T, H, W, C\), got'):
            transforms.resize_short(wrong, 4)


@pytest.mark.parametrize('layout', ['NCTHW', 'NCHW'])
@pytest.mark.parametrize('as_ndarray', [False, True])
def test_network_input_is_the_normalized_view(layout, as_ndarray):
    spec = InputSpec(frames=4, crop_size=5, short_side=6, layout=layout, mean=(0.1, 0.4, 0.7), std=(0.2, 0.3, 0.5))
    frames = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 7, 3), np.uint8)  # two clips
    views = [to_view(clip, spec) for clip in frames]
    batch = np.stack(views) if layout == 'NCTHW' else np.concatenate(views)
    x = to_input(mx.nd.array(batch, dtype='uint8') if as_ndarray else batch, spec)
    want = (frames / 255 - np.array(spec.mean)) / np.array(spec.std)  # (N, T, H, W, C)
    want = want.transpose(0, 4, 1, 2, 3) if layout == 'NCTHW' else want.reshape(8, 5, 7, 3).transpose(0, 3, 1, 2)
    assert x.dtype == np.float32 and x.shape == want.shape and views[0].flags.c_contiguous
    np.testing.assert_allclose(x.asnumpy(), want, rtol=0, atol=2e-6)


def test_network_input_may_be_pooled_and_differentiated():
    # max pooling of an NDArray view has wrong gradients on CPU; each window must send its gradient to one place
    spec = InputSpec(frames=4, crop_size=8, short_side=8, mean=(0, 0, 0), std=(1, 1, 1))
    batch = np.random.default_rng(0).permutation(2 * 3 * 4 * 8 * 8).astype(np.uint8).reshape(2, 3, 4, 8, 8)
    x = to_input(batch, spec)
    x.attach_grad()
    with mx.autograd.record():
        y = mx.nd.Pooling(x, kernel=(1, 2, 2), stride=(1, 2, 2), pool_type='max')
    y.backward()
    assert x.grad.asnumpy().sum() == y.size


def test_wrong_network_input_is_refused_in_one_line():
    spec = InputSpec(frames=4, crop_size=5, short_side=6)
    good = np.zeros((2, 3, 4, 5, 5), np.uint8)
    for wrong in (good[0], good.astype(np.float32), good.transpose(0, 2, 1, 3, 4), good[:, :, :3], good[:0]):
        with pytest.raises(UserError, match=r'takes a uint8 batch \(N, 3, 4, H, W\), got') as error:
            to_input(wrong, spec)
        assert '\n' not in str(error.value)
    with pytest.raises(UserError, match=r'takes a uint8 batch \(N, 3, H, W\), got uint8 \(2, 3, 4, 5, 5\)'):
        to_input(good, spec.replace(layout='NCHW'))


def test_flow_has_two_channels():
    spec = InputSpec(frames=2, crop_size=4, short_side=6, mean=(0.5, 0.5), std=(0.5, 0.25))
    assert spec.channels == 2
    batch = np.random.randint(0, 256, (3, 2, 2, 4, 5)).astype('uint8')
    expected = (batch / 255 - 0.5) / np.array([0.5, 0.25]).reshape(1, 2, 1, 1, 1)
    np.testing.assert_allclose(to_input(batch, spec).asnumpy(), expected, atol=1e-5)
    with pytest.raises(UserError, match=r'\(N, 2, 2, H, W\), got uint8 \(3, 3, 2, 4, 5\)'):
        to_input(np.zeros((3, 3, 2, 4, 5), 'uint8'), spec)
    with pytest.raises(UserError, match='need one value for each channel'):
        spec.replace(std=(0.5, 0.5, 0.5))
