"""A target frame rate: the same moments of a film are taken, whatever the rate of its file."""

import dataclasses
from fractions import Fraction

import mxnet as mx
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from numbered import read_number

from gluon_fg.data import rates
from gluon_fg.data.datasets import VideoDataset, VideoRecord
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.loader import random_view
from gluon_fg.data.transforms import TrainTransform
from gluon_fg.data.video import ArrayReader, open_video
from gluon_fg.errors import UserError
from gluon_fg.evaluation.protocol import PROTOCOLS, get_protocol
from gluon_fg.input_spec import FeatureSpec, InputSpec
from gluon_fg.training.config import load_config, save_config
from gluon_fg.training.run import build_network
from gluon_fg.weights.entries import dump_index, parse_index

SPEC = InputSpec(frames=8, frame_stride=4, crop_size=6, short_side=8, fps=25)
IMAGES = InputSpec(frames=1, frame_stride=1, segments=5, crop_size=6, short_side=8, layout='NCHW', fps=25)
RATES = (25.0, 60.0, 50.0, 30000 / 1001, 24.0, 12.0, 15.0)


def film(fps, seconds=10):
    """Frames that hold their own number."""
    numbers = np.arange(round(fps * seconds))
    pixels = np.zeros((len(numbers), 8, 10, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = (numbers // 256)[:, None, None], (numbers % 256)[:, None, None]
    return ArrayReader('film', pixels, fps)


def shown(view, spec):
    """Numbers that the frames of a view hold."""
    planes = view.pixels.astype(int) if spec.ndim == 3 else view.pixels.astype(int).swapaxes(0, 1)
    return planes[0, :, 0, 0] * 256 + planes[1, :, 0, 0]


@pytest.mark.parametrize('spec', [SPEC, SPEC.replace(sampling='spread'), IMAGES, SPEC.replace(fps=7.5)])
@pytest.mark.parametrize('fps', RATES)
def test_training_takes_the_same_moments_at_any_rate(spec, fps):
    """The moments are those of a film that has the target rate itself."""
    for seed in range(5):
        views = [
            random_view(film(rate), spec, TrainTransform(spec), np.random.default_rng(seed), True)
            for rate in (spec.fps, fps)
        ]
        assert views[0].cut == views[1].cut
        wanted = (views[0].frames + 0.5) / spec.fps
        assert np.abs((views[1].frames + 0.5) / fps - wanted).max() <= 0.5 / fps + 1e-9
        np.testing.assert_array_equal(shown(views[1], spec), views[1].frames)


@pytest.mark.parametrize('name', [*PROTOCOLS, '3x5-flips'])
def test_all_protocols_take_the_same_moments_at_25_and_60(name):
    protocol = get_protocol(name)
    for spec in (SPEC, SPEC.replace(sampling='spread'), IMAGES):
        at25, at60 = (protocol.cuts(film(fps), spec) for fps in (25.0, 60.0))
        assert len(at25) == len(at60) == protocol.count()
        for a, b in zip(at25, at60):
            assert a.cut == b.cut
            assert np.abs((a.frames + 0.5) / 25 - (b.frames + 0.5) / 60).max() <= 0.5 / 60 + 1e-9
            np.testing.assert_array_equal(shown(b, spec), b.frames)
        plain = protocol.cuts(film(60.0), spec.replace(fps=None))  # strides in frames where none is set
        if spec.ndim == 3 and spec.sampling == 'clip' and protocol.frames is None:
            assert (np.diff(plain[0].frames) == 4).all() and np.diff(at60[0].frames).max() > 8


@given(st.integers(1, 2000), st.sampled_from(RATES), st.floats(0.5, 120))
def test_every_frame_is_within_half_a_frame_of_its_moment(total, fps, target):
    length = rates.frame_count(total, fps, target)
    numbers = rates.source_frames(np.arange(length), total, fps, target)
    assert numbers.min() >= 0 and numbers.max() < total and (np.diff(numbers) >= 0).all()
    assert abs(length / target - total / fps) <= 0.5 / target + 1e-9 or length == 1
    if length > 1:
        assert np.abs((numbers + 0.5) / fps - (np.arange(length) + 0.5) / target).max() <= 0.5 / fps + 1e-6


def test_rates_by_hand():
    np.testing.assert_array_equal(rates.source_frames(np.arange(5), 10, 60, 30), [1, 3, 5, 7, 9])
    np.testing.assert_array_equal(rates.source_frames(np.arange(6), 3, 25, 50), [0, 0, 1, 1, 2, 2])
    assert [rates.frame_count(n, 60, 25) for n in (1, 600, 12)] == [1, 250, 5]
    exact = Fraction(30000, 1001)
    np.testing.assert_array_equal(
        rates.source_frames(np.arange(500), 1000, float(exact), float(exact / 2)), np.arange(1, 1000, 2)
    )


@pytest.mark.parametrize('fps', RATES)
def test_a_clip_lasts_as_long_as_in_slowfast(fps):
    """facebookresearch/SlowFast, datasets/decoder.py: num_frames * sampling_rate / target_fps * fps frames of the file;
    its default target_fps is 30 (issue 106 there asks why it is not the other way round)."""
    spec = SPEC.replace(frames=8, frame_stride=8, fps=30)
    view = random_view(film(fps), spec, TrainTransform(spec), np.random.default_rng(0), True)
    clip_size = spec.frames * spec.frame_stride / 30 * fps
    assert view.frames[-1] - view.frames[0] == pytest.approx(clip_size * 7 / 8, abs=1)


def test_rates_that_do_not_divide_keep_time():
    """pytorch/vision#1077: 30 to 13 frames per second is these frames, not every third one, as it was at first."""
    theirs = np.array([0, 2, 4, 6, 9, 11, 13, 16, 18, 20])  # seen at the beginning of each new frame; ours: the middle
    ours = rates.source_frames(np.arange(10), 30, 30, 13)
    assert set((ours - theirs).tolist()) == {1, 2}
    assert rates.frame_count(30, 30, 13) == 13


def test_a_run_and_an_index_keep_the_rate(tmp_path):
    config = load_config(None, ['model.name=i3d_tiny_synthfg', 'data.fps=12.5'])
    save_config(config, tmp_path / 'config.yaml')
    net = build_network(load_config(str(tmp_path / 'config.yaml'), saved=True), mx.cpu())
    assert net.input_spec.fps == 12.5 and net.input_spec.as_dict()['fps'] == 12.5
    plain = build_network(load_config(None, ['model.name=i3d_tiny_synthfg']), mx.cpu())
    assert plain.input_spec == net.input_spec.replace(fps=None)
    entry = dict(
        weights=dict(file='a-00000000.params', sha256='0' * 64, bytes=1, params=1, dtype='float32'),
        input=net.input_spec.as_dict(),
        protocol='train_time',
        classes=dict(fingerprint='0' * 64, names=['a', 'b']),
        origin=dict(licence='MIT', source='a test'),
    )
    entry['input'] = {key: list(v) if isinstance(v, tuple) else v for key, v in entry['input'].items()}
    entries = parse_index(yaml.safe_dump({'a': entry}), 'x')
    assert entries['a'].input['fps'] == 12.5 and parse_index(dump_index(entries), 'x') == entries
    entry['input']['fps'] = 0
    with pytest.raises(UserError, match='x: a: input.fps is 0'):
        parse_index(yaml.safe_dump({'a': entry}), 'x')


def test_a_video_at_its_own_rate_is_left_alone():
    reader = film(25.0)
    assert rates.at_rate(reader, None) is reader and rates.at_rate(reader, 25) is reader
    with pytest.raises(UserError, match='fps must be above 0, got -1'):
        rates.at_rate(reader, -1)


def test_the_times_of_unsteady_frames_decide(write_video):
    """A phone's film: its frames are 10 to 200 ms apart."""
    times = np.cumsum(np.random.default_rng(0).integers(10, 200, 40))
    for name in ('unsteady.mp4', 'unsteady.mkv'):
        with open_video(write_video(name, bf='2', times=times.tolist())) as reader:
            np.testing.assert_allclose(reader.times, (times - times[0]) / 1000, atol=2e-3)
            rated = rates.at_rate(reader, 20)
            frames = rated.source_frames(np.arange(len(rated)))
            middles = times[0] + 50 * np.arange(len(rated)) + 25
            for middle, frame in zip(middles, frames):
                assert times[frame] <= middle + 2 and (frame == 39 or times[frame + 1] >= middle - 2)
            np.testing.assert_array_equal(rated.get_batch([7, 3]), reader.get_batch(frames[[7, 3]]))
            assert len(rated) == pytest.approx(20 * (times[-1] - times[0]) / 1000, abs=4)


@pytest.mark.parametrize('cache', ['none', 'memory'])
def test_a_stretch_of_a_film_has_the_rate_too(plain_video, cache):
    """Frames 10 to 29 of a film of 25 frames per second, seen at 12.5."""
    data = VideoDataset([VideoRecord(str(plain_video), 0, 0.4, 1.2)], LabelSet(('a',)), cache=cache)
    with data.open(0) as reader:
        rated = rates.at_rate(reader, 12.5)
        assert len(reader) == 20 and len(rated) == 10
        assert [read_number(frame) for frame in rated.get_batch(np.arange(10))] == list(range(11, 30, 2))
        small = rated.get_batch([9, 0, 9], (24, 32))
        np.testing.assert_array_equal(small, reader.get_batch([19, 1, 19], (24, 32)))


def test_fps_is_kept_only_where_it_is_set():
    """Files from before it have none, and must stay equal to those of today."""
    assert 'fps' not in InputSpec().as_dict() and SPEC.as_dict()['fps'] == 25
    assert InputSpec(**SPEC.as_dict()) == SPEC and FeatureSpec.of(SPEC, 5).views == SPEC
    assert set(InputSpec().as_dict()) == {f.name for f in dataclasses.fields(InputSpec)} - {
        'fps',
        'flow',
        'flow_bound',
        'center_flow',
        'short',
    }
    assert load_config(None, ['data.fps=12.5']).data.fps == 12.5 and load_config(None).data.fps is None
    for wrong in (0, -2, float('nan'), float('inf')):
        with pytest.raises(UserError, match='fps must be a number above 0'):
            InputSpec(fps=wrong)
