"""Activation maps against NumPy, at the right places and moments."""

import math
from types import SimpleNamespace

import mxnet as mx
import numpy as np
import pytest
from lamps import Backbone, Directed, Lamp, video

from gluon_fg.analysis.activation import att, clip_activations, places, video_activations
from gluon_fg.data import sampling, transforms
from gluon_fg.data.video import ArrayReader
from gluon_fg.errors import UserError
from gluon_fg.factory import get_model
from gluon_fg.nn.cidc import visible


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def test_att_is_the_sigmoid_of_the_mean_over_channels():
    f = np.random.default_rng(0).normal(size=(2, 5, 3, 4, 6)).astype(np.float32)
    for given in (f, mx.nd.array(f)):
        maps = att(given)
        assert maps.shape == (2, 3, 4, 6)
        for n, t, i, j in [(0, 0, 0, 0), (1, 2, 3, 5), (0, 1, 2, 4)]:
            mean = sum(float(f[n, c, t, i, j]) for c in range(5)) / 5
            assert maps[n, t, i, j] == pytest.approx(1 / (1 + math.exp(-mean)), rel=1e-9)
    steep = att(np.array([20.0, 20.5, 21]).reshape(1, 1, 3, 1, 1))  # float32 would call them all 1
    assert (np.diff(steep[0, :, 0, 0]) > 0).all() and steep.max() < 1


@pytest.mark.parametrize('subclips', [2, 4, 5, 8])
@pytest.mark.parametrize('outputs', [1, 2, 3, 4, 8, 11])
def test_outputs_lie_where_their_masks_end(outputs, subclips):
    forward, backward = (places(outputs, subclips, direction) for direction in ('forward', 'backward'))
    for direction, where in (('forward', forward), ('backward', backward)):
        for row, place in zip(visible(subclips, outputs, direction), where):
            seen = np.flatnonzero(row)
            end = seen[-1] if direction == 'forward' else seen[0]
            assert abs(end - place) <= 0.5
    if outputs > 1:
        assert list(forward) == list(backward) == list(places(outputs, subclips))
    else:
        assert places(1, subclips)[0] == (subclips - 1) / 2


def test_a_light_shows_in_its_subclip_and_place():
    """Clips of 8 frames, every other one of the video's: sub-clips of 2 x 2 frames, cells of 8 of 32 pixels."""
    reader = video(20, (64, 64), [(9, 32, 16, 48, 32)])  # cell (1, 2) of each frame
    found = clip_activations(Lamp(frame_stride=2), reader, start=1)
    ((name, part),) = found.parts.items()
    assert name == 'F5' and part.maps.shape == (4, 4, 4) and found.clips == [(1, 15)]
    # between the clip's frames 0 and 1, 2 and 3, ...: the earlier one
    assert list(found.frames) == list(part.frames) == [1, 5, 9, 13]
    expected = np.full((4, 4, 4), 0.5)
    expected[2, 1, 2] = sigmoid(1 / 2)  # lit in one of its two frames; the mean of 0, 1 and 2 over channels is 1
    np.testing.assert_allclose(part.maps, expected, rtol=1e-6)
    assert part.limits == pytest.approx((0.5, sigmoid(0.5)))
    heat = part.heat(2)
    rows, columns = np.nonzero(heat == heat.max())  # the cell's centre is where the four pixels in its middle meet
    assert heat.shape == (64, 64) and set(rows) == {23, 24} and set(columns) == {39, 40} and heat[60, 4] == 0.5
    assert [part.at_subclip(i) for i in range(4)] == [0, 1, 2, 3]
    assert [part.at_frame(n) for n in (0, 3, 4, 9, 19)] == [0, 0, 1, 2, 3]
    light = np.exp([1 / 8 / 16, 1 - 1 / 8 / 16])
    assert dict(found.predictions) == pytest.approx(dict(zip(('bright', 'dark'), light / light.sum())), rel=1e-5)


def test_the_middle_clip_is_the_default():
    assert clip_activations(Lamp(), video(21)).clips == [(6, 13)]
    assert clip_activations(Lamp(), video(5)).clips == [(0, 4)]  # its last frame repeated
    assert list(clip_activations(Lamp(), video(5)).frames) == [0, 2, 4, 4]


def test_frames_spread_over_the_whole_video():
    """What U2S's networks take: one clip, whose frames are the middles of equal parts."""
    lamp, reader = Lamp(), video(40)
    size = {
        name: getattr(lamp.input_spec, name)
        for name in ('frames', 'short_side', 'mean', 'std', 'channels', 'layout', 'ndim')
    }
    lamp.input_spec = SimpleNamespace(**size, sampling='spread', fps=None, fields=0)
    for found in (clip_activations(lamp, reader), video_activations(lamp, reader)):
        assert list(found.frames) == [2, 12, 22, 32] and found.clips == [(2, 37)]
    with pytest.raises(UserError, match='lamp takes frames spread over the whole video'):
        clip_activations(lamp, reader, start=0)


def test_a_target_rate_takes_frames_of_the_file_at_its_moments():
    """At 10 frames per second a network that sees 5 has every other frame; maps lie on frames of the file."""
    lamp, reader = Lamp(), video(40)
    lamp.input_spec = lamp.input_spec.replace(fps=5)
    assert clip_activations(lamp, reader).clips == [(13, 27)]  # 20 frames are seen, of which 6 to 13
    assert clip_activations(lamp, reader, start=4).clips == [(5, 19)]
    assert video_activations(lamp, reader).clips == [(1, 15), (17, 31), (25, 39)]
    with pytest.raises(UserError, match='starts at one of the frames 0..39, got 40'):
        clip_activations(lamp, reader, start=40)


def test_both_directions_are_maps_of_the_same_subclips():
    found = clip_activations(Directed(), video(8), backbone=True)
    assert list(found.parts) == ['F5', 'F_CIDC forward', 'F_CIDC backward']
    f5, forward, backward = found.parts.values()
    np.testing.assert_allclose(forward.maps[:, 0, 0], sigmoid(np.array([0.1, 0.11])), rtol=1e-6)
    np.testing.assert_allclose(backward.maps[:, 3, 3], sigmoid(np.array([0.2, 0.21])), rtol=1e-6)
    assert forward.limits == backward.limits == pytest.approx((sigmoid(0.1), sigmoid(0.21)))
    assert f5.limits == (0.5, 0.5)
    for part in (forward, backward):
        assert list(part.places) == [0, 3] and list(part.frames) == [0, 6]
        assert [part.at_subclip(i) for i in range(4)] == [0, 0, 1, 1]
    assert list(clip_activations(Directed(), video(8)).parts) == ['F_CIDC forward', 'F_CIDC backward']


@pytest.mark.parametrize('total', [3, 8, 16, 17, 21, 40])
def test_a_whole_video_is_its_clips_one_behind_the_other(total):
    reader = video(total, lights=[(n, 8, 8, 16, 16) for n in range(0, total, 3)])
    found = video_activations(Directed(), reader, backbone=True)
    assert found.clips[0][0] == 0 and found.clips[-1][1] == total - 1 and len(found.clips) == max(-(-total // 8), 1)
    for part in found.parts.values():
        assert len(part.maps) == len(part.frames) and (np.diff(part.frames) >= (0 if total < 8 else 1)).all()
    f5 = found.parts['F5']
    first = clip_activations(Directed(), reader, 0, backbone=True)
    np.testing.assert_array_equal(f5.maps[:4], first.parts['F5'].maps)
    assert list(found.frames) == list(f5.frames) and f5.limits == (f5.maps.min(), f5.maps.max())
    if total >= 8:  # every frame has a map of its own sub-clip, or of its neighbour where the last clips meet
        assert max(abs(f5.frames[f5.at_frame(n)] - n) for n in range(total)) <= 2


def test_a_networks_own_features():
    net = get_model('i3d_tiny_synthfg')
    frames = np.random.default_rng(0).integers(0, 256, (11, 40, 60, 3), np.uint8)
    found = clip_activations(net, ArrayReader('noise.mp4', frames, 8.0), start=2)
    spec = net.input_spec
    seen = transforms.resize_short(frames[sampling.clip_indices(11, 8, 1, 2)], spec.short_side)
    x = transforms.to_input(transforms.to_view(seen, spec)[None], spec)
    f5 = net.branches.backbone(x)[3].asnumpy()[0]
    np.testing.assert_allclose(found.parts['F5'].maps, sigmoid(f5.astype(np.float64).mean(axis=0)), rtol=1e-6)
    assert list(found.frames) == list(range(2, 10)) and len(found.predictions) == 3
    z = net.branches(x)[0].asnumpy()[0].astype(np.float64)
    best = np.exp(z - z.max()).max() / np.exp(z - z.max()).sum()
    assert found.predictions[0] == (net.classes[z.argmax()], pytest.approx(best, rel=1e-4))


def test_a_cidc_networks_maps_are_those_of_its_features():
    net = get_model('i3d_tiny_synthfg_cidc')
    assert net.map_info['F_CIDC'].directions == ('forward', 'backward')
    assert get_model('i3d_tiny_synthfg_cidc', direction='none').map_info['F_CIDC'].directions == ('full',)
    frames = np.random.default_rng(0).integers(0, 256, (8, 54, 54, 3), np.uint8)
    f5, forward, backward = clip_activations(net, ArrayReader('noise.mp4', frames, 8.0), backbone=True).parts.values()
    x = transforms.to_input(transforms.to_view(frames, net.input_spec)[None], net.input_spec)
    theirs = [sigmoid(f.asnumpy()[0].astype(np.float64).mean(axis=0)) for f in net.maps(x).values()]
    assert theirs[0].shape == (8, 4, 4) and theirs[1].shape == (16, 4, 4)
    for part, expected in ((f5, theirs[0]), (forward, theirs[1][:8]), (backward, theirs[1][8:])):
        np.testing.assert_allclose(part.maps, expected, rtol=1e-5)
    assert list(forward.frames) == list(backward.frames) == list(range(8))
    assert forward.limits == backward.limits == pytest.approx((theirs[1].min(), theirs[1].max()), rel=1e-5)


def test_what_has_no_maps_is_refused():
    reader = video(8)
    with pytest.raises(UserError, match='tsn_tiny_synthfg sees single images.*i3d_'):
        clip_activations(get_model('tsn_tiny_synthfg'), reader)
    with pytest.raises(UserError, match='theirs is no recognizer'):
        video_activations(SimpleNamespace(name='theirs'), reader)
    with pytest.raises(UserError, match='starts at one of the frames 0..7, got 8'):
        clip_activations(Lamp(), reader, start=8)
    broken = Lamp()
    broken.branches.backbone.__class__ = type(
        'Broken',
        (Backbone,),
        {'__call__': lambda self, x: (*Backbone.__call__(self, x)[:3], mx.nd.ones((1, 3, 4, 4, 4)) * np.nan)},
    )
    with pytest.raises(UserError, match='not finite'):
        clip_activations(broken, reader)
