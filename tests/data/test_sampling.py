"""Sampling rules against their definitions, over any length of video."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg.data import sampling
from gluon_fg.errors import UserError

counts = st.integers(1, 300)
small = st.integers(1, 40)
seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=60, deadline=None)


@quick
@given(counts, small, seeds)
def test_segments_give_one_frame_each_in_order(total, segments, seed):
    for rng in (None, np.random.default_rng(seed)):
        indices = sampling.segment_indices(total, segments, rng)
        assert indices.shape == (segments,) and indices.dtype == np.int64
        # frame i covers the time [i, i + 1): it must meet its own segment's part of the video
        begin = np.arange(segments) * total / segments
        assert (indices + 1 > begin - 1e-9).all() and (indices < begin + total / segments + 1e-9).all()
        assert (np.diff(indices) >= 0).all() and indices.min() >= 0 and indices.max() < total
    if total >= segments and total % segments == 0:
        np.testing.assert_array_equal(indices // (total // segments), np.arange(segments))


@quick
@given(counts, small)
def test_without_rng_the_middle_frame_is_taken_the_same_each_time(total, segments):
    middle = [int((s + 0.5) * total / segments + 1e-9) for s in range(segments)]
    np.testing.assert_array_equal(sampling.segment_indices(total, segments), middle)


def test_random_segments_reach_every_frame():
    rng = np.random.default_rng(0)
    seen = np.concatenate([sampling.segment_indices(12, 3, rng) for _ in range(300)])
    assert set(seen.tolist()) == set(range(12))
    assert np.bincount(seen, minlength=12).min() > 40  # 75 expected


@quick
@given(counts, small, st.integers(1, 9), seeds)
def test_a_spread_clip_has_the_same_place_in_every_part(total, frames, clips, seed):
    rows = [
        *sampling.spread_clips(total, frames, clips),
        sampling.random_spread(total, frames, np.random.default_rng(seed)),
    ]
    for row in rows:
        assert row.shape == (frames,) and row.dtype == np.int64 and row.min() >= 0 and row.max() < total
        begin = np.arange(frames) * total / frames
        assert (row + 1 > begin - 1e-9).all() and (row < begin + total / frames + 1e-9).all()
        # the movement from frame to frame is the video's own: equal steps, but for rounding
        assert np.abs(np.diff(row) - total / frames).max(initial=0) < 1
        if total % frames == 0:
            assert len(set((row % (total // frames)).tolist())) == 1
    np.testing.assert_array_equal(rows[clips // 2] if clips % 2 else sampling.spread_clips(total, frames, 1)[0],
                                  sampling.segment_indices(total, frames))  # fmt: skip


def test_spread_clips_by_hand():
    # 36 frames, 18 parts of two: the middle is the second; of two clips one has the first, one the second
    np.testing.assert_array_equal(sampling.spread_clips(36, 18, 1), [np.arange(1, 36, 2)])
    np.testing.assert_array_equal(sampling.spread_clips(36, 18, 2), [np.arange(0, 36, 2), np.arange(1, 36, 2)])
    np.testing.assert_array_equal(sampling.spread_clips(10, 4, 1), [[1, 3, 6, 8]])
    np.testing.assert_array_equal(sampling.spread_clips(3, 6, 1), [[0, 0, 1, 1, 2, 2]])  # shorter than a clip
    np.testing.assert_array_equal(sampling.spread_clips(1, 18, 10), np.zeros((10, 18)))


def test_random_spreads_reach_every_frame_alike():
    rng = np.random.default_rng(0)
    clips = np.array([sampling.random_spread(12, 3, rng) for _ in range(400)])
    assert (np.diff(clips, axis=1) == 4).all()
    assert np.bincount(clips[:, 0], minlength=4).min() > 70  # 100 expected
    np.testing.assert_array_equal(sampling.random_spread(2, 4, rng), [0, 0, 1, 1])


@quick
@given(counts, small, st.integers(1, 8), seeds, st.sampled_from(sampling.SHORT_RULES))
def test_random_clips_stay_inside_and_keep_the_stride(total, frames, stride, seed, short):
    clip = sampling.random_clip(total, frames, stride, np.random.default_rng(seed), short)
    assert clip.shape == (frames,) and clip.min() >= 0 and clip.max() < total
    if total > (frames - 1) * stride:
        assert (np.diff(clip) == stride).all()


def test_a_random_clip_reaches_the_first_and_the_last_frame():
    rng = np.random.default_rng(0)
    clips = np.array([sampling.random_clip(20, 4, 3, rng) for _ in range(300)])
    assert set(clips[:, 0].tolist()) == set(range(11)) and clips.max() == 19


def test_short_videos_follow_the_rule():
    np.testing.assert_array_equal(sampling.clip_indices(5, 4, 2, 1), [1, 3, 4, 4])
    np.testing.assert_array_equal(sampling.clip_indices(5, 4, 2, 1, 'loop'), [1, 3, 0, 2])
    np.testing.assert_array_equal(sampling.regular_clips(1, 3, 2, 2), [[0, 0, 0], [0, 0, 0]])
    with pytest.raises(UserError, match="unknown rule for short videos 'lop'; did you mean 'loop'"):
        sampling.clip_indices(5, 4, 2, 1, 'lop')


@quick
@given(counts, small, st.integers(1, 8), st.integers(1, 12))
def test_regular_clips_span_the_video_and_differ(total, frames, stride, clips):
    indices = sampling.regular_clips(total, frames, stride, clips)
    assert indices.shape == (clips, frames) and indices.min() >= 0 and indices.max() < total
    starts, last = indices[:, 0], sampling.last_start(total, frames, stride)
    if clips == 1:
        assert starts[0] == last // 2
    else:
        assert starts[0] == 0 and starts[-1] == last
        assert np.abs(starts - np.arange(clips) * last / (clips - 1)).max() <= 0.5
    if total > (frames - 1) * stride:
        assert indices[-1, -1] == total - 1 or clips == 1
    if last >= clips - 1:  # long enough: no two views in time are the same frames
        assert len(set(starts.tolist())) == clips
    np.testing.assert_array_equal(indices, sampling.regular_clips(total, frames, stride, clips))


def test_the_centre_clip_by_hand():
    # 10 frames, clip of 4 at stride 2 spans 7: starts 0..3, the centre one is 1
    np.testing.assert_array_equal(sampling.regular_clips(10, 4, 2, 1), [[1, 3, 5, 7]])
    np.testing.assert_array_equal(sampling.regular_clips(10, 4, 2, 2)[:, 0], [0, 3])
    np.testing.assert_array_equal(sampling.segment_indices(10, 3), [1, 5, 8])


@pytest.mark.parametrize(
    'call',
    [
        lambda: sampling.segment_indices(0, 3),
        lambda: sampling.segment_indices(5, 0),
        lambda: sampling.clip_indices(5, 0, 1, 0),
        lambda: sampling.clip_indices(5, 2, 0, 0),
        lambda: sampling.clip_indices(5, 2, 1, 5),
        lambda: sampling.clip_indices(5, 2, 1, -1),
        lambda: sampling.regular_clips(5, 2, 1, 0),
        lambda: sampling.spread_clips(5, 2, 0),
        lambda: sampling.random_spread(0, 2, np.random.default_rng(0)),
    ],
)
def test_impossible_requests_are_refused(call):
    with pytest.raises(UserError):
        call()
