"""Views with optical flow, against computations of their own: channels, mirror images, scales, places in the video."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg.data import sampling, seen, transforms
from gluon_fg.data.flow import FlowSettings
from gluon_fg.data.flow.stored import FlowReader
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.loader import random_view
from gluon_fg.data.rates import at_rate
from gluon_fg.data.segments import cut
from gluon_fg.data.transforms import TrainTransform
from gluon_fg.data.video import ArrayReader
from gluon_fg.errors import UserError, VideoError
from gluon_fg.evaluation.protocol import Protocol, get_protocol
from gluon_fg.input_spec import InputSpec

LABELS = LabelSet(('a', 'b'))


def spec_of(channels: int, **changes) -> InputSpec:
    values = dict(frames=3, frame_stride=2, crop_size=8, short_side=8, mean=(0.5,) * channels, std=(0.5,) * channels)
    return InputSpec(**{**values, **changes})


class Numbered(FlowReader):
    """Fields that tell their number and axis: x of field i is 2 i, y is 2 i + 1."""

    def _read(self, numbers):
        width, height = self.size
        fields = np.empty((len(numbers), height, width, 2), np.uint8)
        for field, number in zip(fields, numbers):
            field[..., 0], field[..., 1] = 2 * number, 2 * number + 1
        return fields


@pytest.fixture
def film(monkeypatch):
    """Make a film whose frame i has the value i, and whose flow is `Numbered`."""

    def make(total: int, size=(8, 8)) -> ArrayReader:
        frames = np.broadcast_to(np.arange(total, dtype=np.uint8)[:, None, None, None], (total, *size, 3)).copy()
        monkeypatch.setattr(seen, 'open_fields', lambda film, spec: Numbered('film', len(film) - 1, film.size))
        return ArrayReader('film', frames, fps=10)

    return make


def channels_at(view, spec):
    """The value of each channel (C, T) of a view that is the same all over."""
    pixels = view.pixels if spec.ndim == 3 else view.pixels.transpose(1, 0, 2, 3)
    assert (pixels == pixels[..., :1, :1]).all()
    return pixels[..., 0, 0]


def expected(frames, spec):
    """(C, T) by the rule: color of frame i, then x and y of fields i .. i + L - 1."""
    rows = [np.array(frames)] * 3 if spec.channels % 2 else []
    for place in range((spec.channels - len(rows)) // 2):
        rows += [2 * (np.array(frames) + place), 2 * (np.array(frames) + place) + 1]
    return np.array(rows)


@pytest.mark.parametrize('layout', ['NCTHW', 'NCHW'])
@pytest.mark.parametrize('channels', [2, 4, 10, 5, 23])
def test_stacks_are_of_the_fields_from_each_frame_on(film, channels, layout):
    spec = spec_of(channels, layout=layout, segments=3 if layout == 'NCHW' else 1)
    for view in get_protocol('5x1').cuts(film(30), spec if layout == 'NCTHW' else spec.replace(segments=1)):
        np.testing.assert_array_equal(channels_at(view, spec), expected(view.frames, spec))
    (view,) = get_protocol('train_time').cuts(film(30), spec)
    np.testing.assert_array_equal(channels_at(view, spec), expected(view.frames, spec))
    rng = np.random.default_rng(0)
    view = random_view(film(30), spec, TrainTransform(spec, 'random_crop'), rng, may_flip=False)
    np.testing.assert_array_equal(channels_at(view, spec), expected(view.frames, spec))


@given(
    st.integers(2, 24), st.integers(1, 12), st.integers(1, 5), st.integers(1, 3), st.sampled_from(['clip', 'spread'])
)
@settings(deadline=None, max_examples=50)
def test_every_stack_lies_inside_the_video(total, fields, frames, stride, kind):
    spec = spec_of(2 * fields, frames=frames, frame_stride=stride, sampling=kind, short='loop')
    reader = ArrayReader('film', np.zeros((total, 8, 8, 3), np.uint8))
    if total <= fields:
        with pytest.raises(VideoError, match=f'has {total} frames; {fields + 1} are needed for {fields} fields'):
            seen.positions(reader, spec)
        return
    assert seen.positions(reader, spec) == total - fields
    last = sampling.regular_clips(total - fields, frames, stride, 4, 'loop').max()
    assert last + fields - 1 <= total - 2  # the last field of a video is from its last but one frame


def test_both_ends_of_the_video_are_drawn_and_shown(film):
    spec = spec_of(10, frames=2, frame_stride=1)
    rng, transform = np.random.default_rng(0), TrainTransform(spec, 'random_crop')
    starts = {int(random_view(film(9), spec, transform, rng, False).frames[0]) for _ in range(60)}
    assert starts == {0, 1, 2}  # of positions 0 to 3, two apart by one
    shown = [view.frames.tolist() for view in get_protocol('3x1').cuts(film(9), spec)]
    assert shown == [[0, 1], [1, 2], [2, 3]]  # fields 3 .. 7 behind the last, of 8


def test_short_videos_start_again_or_stand_still(film):
    for rule, frames in (('loop', [0, 1, 2, 0, 1, 2, 0]), ('repeat_last', [0, 1, 2, 2, 2, 2, 2])):
        spec = spec_of(4, frames=7, frame_stride=1, short=rule)
        (view,) = get_protocol('train_time').cuts(film(5), spec)
        np.testing.assert_array_equal(view.frames, frames)
        np.testing.assert_array_equal(channels_at(view, spec), expected(frames, spec))
    spec = spec_of(3, frames=4, frame_stride=1, short='loop')
    view = random_view(film(3), spec, TrainTransform(spec, 'random_crop'), np.random.default_rng(0), False)
    assert view.frames.tolist() == [0, 1, 2, 0]


def test_a_protocol_may_show_longer_clips_than_training(film):
    spec = spec_of(3, frames=2, frame_stride=1, short='loop')
    whole = get_protocol('whole_video')
    (view,) = whole.cuts(film(90), spec)
    assert view.pixels.shape == (3, 250, 8, 8)
    np.testing.assert_array_equal(view.frames, np.arange(250) % 90)
    assert whole.shown(spec) == spec.replace(frames=250)
    assert get_protocol('1x1@250') == Protocol('1x1@250', 'as written: clips x crops', 1, frames=250)
    assert get_protocol('15x1@16-alternate').flips == 'alternate'
    (view,) = get_protocol('1x1@6').cuts(film(30), spec.replace(frame_stride=5))
    np.testing.assert_array_equal(view.frames, 2 + 5 * np.arange(6))
    images = spec.replace(layout='NCHW', frames=1, segments=3)
    assert get_protocol('1x1@25').num_segments(images) == 25
    with pytest.raises(UserError, match='protocol 1x1@0: frames must be at least 1, got 0'):
        get_protocol('1x1@0')


def test_a_mirrored_view_is_that_of_the_mirrored_video():
    """Of fields at random, and of a film turned left to right, whose fields are turned and negated."""
    fields = np.random.default_rng(0).integers(0, 256, (2, 6, 9, 4), np.uint8)
    mirrored = transforms.hflip(fields)
    assert np.array_equal(mirrored[..., 0::2].astype(int), 255 - fields[:, :, ::-1, 0::2].astype(int))
    assert np.array_equal(mirrored[..., 1::2], fields[:, :, ::-1, 1::2])
    assert np.array_equal(transforms.hflip(mirrored), fields)
    both = np.concatenate([np.random.default_rng(1).integers(0, 256, (2, 6, 9, 3), np.uint8), fields], axis=3)
    assert np.array_equal(transforms.hflip(both)[..., :3], both[:, :, ::-1, :3])
    assert np.array_equal(transforms.hflip(both)[..., 3:], mirrored)
    assert np.shares_memory(transforms.hflip(both[..., :3]), both)  # color alone is never copied

    spec = spec_of(5, frames=4, frame_stride=1, crop_size=24, short_side=28)
    frames = moving_squares(8, (28, 36))
    there, back = ArrayReader('there', frames), ArrayReader('back', frames[:, :, ::-1].copy())
    (plain, flipped), (turned, _) = (Protocol('p', '', 1, 'whole', 'all').cuts(r, spec, LABELS) for r in (there, back))
    assert (plain.cut.mirrored, flipped.cut.mirrored) == (False, True)
    assert np.array_equal(flipped.pixels[:3], turned.pixels[:3])
    # DIS looks at a frame from its upper left corner on, so that the two are not the same to the last digit.
    moved = [(view.pixels[3:].astype(float) - 127.5) * 20 / 127.5 for view in (flipped, turned, plain)]
    assert np.abs(moved[0] - moved[1]).mean() < 0.25
    assert np.abs(moved[2][0]).mean() > 0.5 and moved[0][0].mean() * moved[2][0].mean() < 0


def moving_squares(total, size):
    """Texture that moves 2 pixels to the right and 1 down each frame."""
    big = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (120, 120, 3), np.uint8), (5, 5), 0)
    big = cv2.normalize(big, None, 0, 255, cv2.NORM_MINMAX)
    return np.stack([big[40 - i : 40 - i + size[0], 60 - 2 * i : 60 - 2 * i + size[1]] for i in range(total)])


def test_displacements_grow_and_shrink_with_the_frames_in_each_direction():
    """Against bilinear values worked out in float64."""
    rng = np.random.default_rng(0)
    fields = cv2.GaussianBlur(rng.integers(60, 200, (1, 20, 30, 4), np.uint8)[0], (7, 7), 0)[None]
    for height, width in ((10, 45), (40, 30), (13, 7)):
        got = transforms.resize(fields, height, width).astype(float)
        y = np.clip((np.arange(height) + 0.5) * 20 / height - 0.5, 0, 19)
        x = np.clip((np.arange(width) + 0.5) * 30 / width - 0.5, 0, 29)
        top, left = np.minimum(y.astype(int), 18), np.minimum(x.astype(int), 28)
        dy, dx = (y - top)[:, None, None], (x - left)[None, :, None]
        f = fields[0].astype(float)
        value = (1 - dy) * ((1 - dx) * f[top][:, left] + dx * f[top][:, left + 1])
        value += dy * ((1 - dx) * f[top + 1][:, left] + dx * f[top + 1][:, left + 1])
        scale = np.array([width / 30, height / 20] * 2)
        want = np.clip((value - 127.5) * scale + 127.5, 0, 255)
        assert np.abs(got[0] - want).max() <= 0.51
    both = np.concatenate([rng.integers(0, 256, (1, 20, 30, 3), np.uint8), fields], axis=3)
    resized = transforms.resize(both, 10, 45)
    assert np.array_equal(resized[..., :3], transforms.resize(both[..., :3].copy(), 10, 45))
    assert np.array_equal(resized[..., 3:], transforms.resize(fields, 10, 45))


def test_a_training_crop_that_is_stretched_stretches_its_displacements():
    still = np.full((2, 40, 60, 2), 128, np.uint8)
    moving = still + np.uint8(20)
    where = transforms.Cut((20, 30), transforms.Window(2, 3, 10, 5), False)  # halved, then cut to 5 x 10 pixels
    view = transforms.apply(moving, where, 10).astype(float) - 127.5
    half = np.rint(20.5 / 2 + 127.5) - 127.5
    assert np.abs(view[..., 0] - 2 * half).max() <= 0.5 and np.abs(view[..., 1] - half).max() <= 0.5
    mirrored = transforms.apply(moving, where._replace(mirrored=True), 10).astype(float) - 127.5
    assert np.array_equal(mirrored[..., 0], -view[:, :, ::-1, 0])


def test_the_mean_of_each_field_is_subtracted_where_the_network_wants_it(monkeypatch):
    fields = np.random.default_rng(0).integers(90, 170, (9, 8, 8, 2), np.uint8)
    flow = type('Flow', (FlowReader,), {'_read': lambda self, numbers: fields[numbers]})
    monkeypatch.setattr(seen, 'open_fields', lambda film, spec: flow('film', 9, (8, 8)))
    reader = ArrayReader('film', np.zeros((10, 8, 8, 3), np.uint8))
    for channels in (4, 7):
        (view,) = get_protocol('train_time').cuts(reader, spec_of(channels, center_flow=True))
        for frame, at in zip(view.frames, view.pixels[channels - 4 :].transpose(1, 2, 3, 0)):
            pair = np.concatenate([fields[frame], fields[frame + 1]], axis=2).astype(float)
            centered = pair - pair.mean(axis=(0, 1)) + 127.5
            assert np.abs(at - centered).max() <= 0.501


def test_clips_by_times_and_other_rates_take_the_fields_of_the_film(film):
    spec = spec_of(5, frames=3, frame_stride=1)
    part = cut(film(30), 1.0, 2.0)  # frames 10 to 19
    (view,) = get_protocol('train_time').cuts(part, spec)
    assert view.frames.tolist() == [3, 4, 5]
    np.testing.assert_array_equal(
        channels_at(view, spec)[
            3:,
            :,
        ],
        expected(10 + view.frames, spec)[3:],
    )
    np.testing.assert_array_equal(channels_at(view, spec)[:3], expected(10 + view.frames, spec)[:3])

    half = spec.replace(fps=5)  # every other frame; things move twice as far until the next
    (view,) = get_protocol('train_time').cuts(film(30), half)
    assert view.frames.tolist() == [11, 13, 15]
    want = np.rint((expected(view.frames, spec)[3:] - 127.5) * 2 + 127.5)
    np.testing.assert_array_equal(channels_at(view, half)[3:], np.clip(want, 0, 255))
    assert at_rate(cut(film(30), 1.0, 2.0), 5).film_frames(np.arange(3)).tolist() == [11, 13, 15]


def test_colors_of_flow_are_not_changed():
    from gluon_fg.data.augment import Augment

    with pytest.raises(UserError, match='color_jitter and randaugment change colors.*set both to 0'):
        TrainTransform(spec_of(2), augment=Augment(color_jitter=0.4))
    erased = TrainTransform(spec_of(5), flip=0, augment=Augment(erase=1.0, fill=(128,) * 5))
    view, _ = erased(np.zeros((3, 8, 8, 5), np.uint8), np.random.default_rng(0))
    assert view.shape == (3, 8, 8, 5) and set(np.unique(view)) == {0, 128}


def test_flow_is_computed_from_the_frames_where_none_lies_on_the_disk(caplog, tmp_path):
    """The displacement of the texture is found, in the view's pixels: here twice those of the film, in both."""
    frames = moving_squares(6, (40, 40))
    spec = spec_of(5, frames=2, frame_stride=1, crop_size=80, short_side=80)
    with caplog.at_level(logging.WARNING):
        (view,) = get_protocol('train_time').cuts(ArrayReader('film', frames), spec)
    moved = (view.pixels[3:, :, 20:-20, 20:-20].astype(float) - 127.5) * spec.flow_bound / 127.5
    assert np.abs(moved.mean(axis=(1, 2, 3)) - [4, 2]).max() < 0.25
    assert FlowSettings('dis').bound == spec.flow_bound
    with pytest.raises(UserError, match='trained on flow by tvl1, and only dis is computed on the way; run gluon-fg'):
        get_protocol('train_time').cuts(ArrayReader('film', frames), spec.replace(flow='tvl1'))


def test_segments_and_stacks_are_those_of_tsn(film):
    """Its test on flow (tsn-pytorch's dataset.py, _get_test_indices): of 300 fields, stacks of 5, in 3 segments, those
    that start at fields 49, 148 and 246 (from 0), each x then y; of a mirror image, x inverted (transforms.py; it was
    forgotten there at first, issue 20, and so in EPIC-Kitchens' C1-Action-Recognition-TSN-TRN-TSM, issue 20)."""
    spec = spec_of(10, layout='NCHW', frames=1, segments=3)
    reader = film(301)
    (view,) = get_protocol('train_time').cuts(reader, spec)
    assert view.frames.tolist() == [49, 148, 246]
    plain, mirrored = Protocol('p', '', 1, 'center', 'all').cuts(reader, spec, LABELS)
    assert np.array_equal(mirrored.pixels[:, 0::2], 255 - plain.pixels[:, 0::2])
    assert np.array_equal(mirrored.pixels[:, 1::2], plain.pixels[:, 1::2])


# What a network sees, by its channels


@pytest.mark.parametrize(
    ('channels', 'rgb', 'fields'), [(3, True, 0), (2, False, 1), (20, False, 10), (5, True, 1), (23, True, 10)]
)
def test_channels_tell_what_a_network_sees(channels, rgb, fields):
    spec = spec_of(channels)
    assert (spec.sees_rgb, spec.fields, spec.channels) == (rgb, fields, channels)


def test_new_fields_are_written_where_they_are_not_as_ever():
    from gluon_fg.input_spec import FeatureSpec

    later = {'fps', 'flow', 'flow_bound', 'center_flow', 'short'}
    assert later.isdisjoint(spec_of(2).as_dict())
    assert later.isdisjoint(FeatureSpec.of(spec_of(2), 4).as_dict())
    full = spec_of(2, fps=25.0, flow='tvl1', flow_bound=15.0, center_flow=True, short='loop')
    assert later <= set(full.as_dict())
    assert InputSpec(**full.as_dict()) == full
    assert spec_of(20).summary.endswith('apart, 10 fields of optical flow at each, 8 of 8 pixels')
    assert spec_of(5).summary.endswith('apart, color and a field of optical flow at each, 8 of 8 pixels')
    assert spec_of(3).summary.endswith('2 apart, 8 of 8 pixels')


@pytest.mark.parametrize(
    ('channels', 'changes', 'message'),
    [
        (1, {}, 'of one channel; color has 3, L fields of flow 2 L, both 3 \\+ 2 L'),
        (2, {'flow': 'tv-l1'}, "unknown flow algorithm 'tv-l1'; did you mean 'tvl1'"),
        (2, {'flow_bound': 0.0}, 'flow_bound must be a number of pixels above 0, got 0'),
        (3, {'flow': 'dis'}, 'this one sees color alone'),
        (3, {'center_flow': True}, 'this one sees color alone'),
        (2, {'short': 'mirror'}, "unknown rule for short videos 'mirror'"),
    ],
)
def test_impossible_inputs_are_refused(channels, changes, message):
    with pytest.raises(UserError, match=message):
        spec_of(channels, **changes)
