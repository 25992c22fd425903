"""Optical flow of rendered scenes whose motion is known."""

import cv2
import numpy as np
import pytest

from gluon_fg.data.flow import compute, fields, quantize, resize_flow, restore
from gluon_fg.data.flow.scenes import MOTIONS, moving
from gluon_fg.errors import UserError

without_tvl1 = pytest.mark.skipif(not fields.has_tvl1(), reason='opencv-contrib-python is not installed')
ALGORITHMS = ['dis', pytest.param('tvl1', marks=without_tvl1)]


@pytest.mark.parametrize('motion', MOTIONS)
def test_the_scenes_move_as_they_say(motion):
    """The second frame, looked up where the flow leads, is the first."""
    frames, flow = moving(MOTIONS[motion], 3)
    at = np.stack(np.meshgrid(np.arange(128), np.arange(96)), -1).astype(np.float32) + flow
    for first, second in zip(frames, frames[1:]):
        back = cv2.remap(second, at, None, cv2.INTER_CUBIC)
        difference = np.abs(back.astype(int) - first)[8:-8, 8:-8].mean()
        off = cv2.remap(second, at + np.float32([0.2, 0]), None, cv2.INTER_CUBIC)
        assert difference < 3 and np.abs(off.astype(int) - first)[8:-8, 8:-8].mean() > 1.4 * difference


@pytest.mark.parametrize('algorithm', ALGORITHMS)
@pytest.mark.parametrize('motion', MOTIONS)
@pytest.mark.parametrize('size', [(96, 128), (80, 80)])
def test_known_motion_comes_out_within_a_quarter_pixel(algorithm, motion, size):
    frames, flow = moving(MOTIONS[motion], 2, *size)
    computed = compute(frames[0], frames[1], algorithm)
    assert computed.dtype == np.float32 and computed.shape == (*size, 2)
    assert np.linalg.norm(computed - flow, axis=-1).mean() < 0.25  # mean distance of all pixels, the border's too
    assert np.linalg.norm(computed - flow, axis=-1)[8:-8, 8:-8].mean() < 0.15
    stored = restore(quantize(computed))
    assert np.abs(stored - computed).max() <= 20 / 255 + 1e-5


def test_dis_follows_large_motion_which_tvl1_does_not():
    frames, flow = moving((9.4, 5.2, 0, 1), 2, 120, 160)
    assert np.linalg.norm(compute(frames[0], frames[1]) - flow, axis=-1).mean() < 0.25
    if fields.has_tvl1():
        assert np.linalg.norm(compute(frames[0], frames[1], 'tvl1') - flow, axis=-1).mean() > 1


@pytest.mark.parametrize('algorithm', ALGORITHMS)
@pytest.mark.parametrize('motion', ['translation', 'rotation', 'all three'])
def test_a_mirrored_video_has_the_mirrored_flow(algorithm, motion):
    """x is negated; both algorithms go over the pixels in one order, so that it is so to hundredths of a pixel."""
    frames, _ = moving(MOTIONS[motion])
    plain = compute(frames[0], frames[1], algorithm)
    mirrored = compute(frames[0][:, ::-1].copy(), frames[1][:, ::-1].copy(), algorithm)
    difference = np.abs(mirrored[:, ::-1] * np.float32([-1, 1]) - plain)
    assert difference.mean() < 0.03 and np.percentile(difference, 99) < 0.2


def test_the_sign_and_order_of_components():
    """A scene that moves right and down has x and y above 0."""
    frames, _ = moving((3, 1, 0, 1))
    assert compute(frames[0], frames[1]).mean(axis=(0, 1)) == pytest.approx([3, 1], abs=0.25)
    assert compute(frames[1], frames[0]).mean(axis=(0, 1)) == pytest.approx([-3, -1], abs=0.25)


def test_flow_depends_on_its_two_frames_alone():
    """OpenCV's DIS keeps what it chose for a small frame at some presets; threads cut frames into stripes."""
    small, large = moving(MOTIONS['all three'], 2, 24, 24)[0], moving(MOTIONS['all three'], 2, 120, 160)[0]
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        first = compute(large[0], large[1])
        compute(small[0], small[1])
        for threads in (1, 2, 3):
            cv2.setNumThreads(threads)
            np.testing.assert_array_equal(compute(large[0], large[1]), first)
    finally:
        cv2.setNumThreads(before)


def test_resized_frames_have_resized_flow():
    """Flow of half-size frames is the flow resized: displacements halve."""
    frames, _ = moving(MOTIONS['all three'], 2, 160, 200)
    small = np.stack([cv2.resize(frame, (100, 80), interpolation=cv2.INTER_AREA) for frame in frames])
    resized = restore(resize_flow(quantize(compute(frames[0], frames[1]))[None], 80, 100))[0]
    assert np.abs(resized - compute(small[0], small[1])).mean() < 0.1


def test_what_has_no_flow_is_refused():
    frame = np.zeros((16, 16, 3), np.uint8)
    for first, second, line in (
        (frame, frame[:8], 'of one size'),
        (frame.astype(float), frame, 'uint8'),
        (frame[..., 0], frame[..., 0], 'uint8'),
        (frame[:8, :11], frame[:8, :11], '11x8 is too small'),
    ):
        with pytest.raises(UserError, match=line):
            compute(first, second)
    assert compute(frame[:8, :12], frame[:8, :12]).shape == (8, 12, 2)
    with pytest.raises(UserError, match="unknown flow algorithm 'tv-l1'; did you mean 'tvl1'"):
        compute(frame, frame, 'tv-l1')


def test_a_plain_opencv_is_one_line(monkeypatch):
    monkeypatch.setattr(cv2, 'optflow', object(), raising=False)  # what opencv-python leaves over the other
    frame = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(
        UserError, match='TV-L1 needs the contrib modules of OpenCV .*opencv-contrib-python.*; or .* dis'
    ):
        compute(frame, frame, 'tvl1')
