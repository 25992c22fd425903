"""Every source of evidence says what the function that makes it says, on the same clip and in the same places."""

import mxnet as mx
import numpy as np
import pytest

from gluon_fg.analysis.activation import att, clip_activations
from gluon_fg.analysis.evidence import evidence, sources_of
from gluon_fg.analysis.grad_cam import grad_cam
from gluon_fg.analysis.masks import clip_masks
from gluon_fg.data.video import ArrayReader
from gluon_fg.errors import UserError
from gluon_fg.factory import get_model


@pytest.fixture(scope='module')
def film():
    frames = np.random.RandomState(0).randint(0, 256, (12, 60, 72, 3)).astype(np.uint8)
    return ArrayReader('film.mp4', frames, 10.0)


@pytest.fixture(scope='module')
def networks():
    """Random tiny networks of each kind."""
    mx.random.seed(0)
    names = 'i3d_tiny_synthfg', 'i3d_tiny_synthfg_dfb', 'i3d_tiny_synthfg_cidc', 'topheavy_tiny_synthfg_u2s'
    return {name.split('_')[-1]: get_model(name) for name in names}


@pytest.mark.parametrize(
    'kind, sources',
    [
        ('synthfg', ('grad-cam', 'F5')),
        ('dfb', ('responses', 'grad-cam', 'F5')),
        ('cidc', ('grad-cam', 'F_CIDC')),
        ('u2s', ('grad-cam', 'F5', 'mask', 'gate')),
    ],
)
def test_sources_are_what_the_network_has_and_the_baselines(networks, film, kind, sources):
    net = networks[kind]
    assert sources_of(net) == (*sources, 'random', 'center')
    for source in sources_of(net):
        shown = evidence(net, film, 3, source)
        assert shown.source == source and shown.target == 3
        assert len(shown.maps.frames) == len(shown.maps.maps) and np.isfinite(shown.maps.maps).all()
        assert shown.maps.heat(0).shape == (60, 72)
    with pytest.raises(UserError, match="unknown source of evidence of .* 'magic'"):
        evidence(net, film, 3, 'magic')


def test_responses_are_the_highest_of_the_class_from_its_own_mean(networks, film):
    net = networks['dfb']
    shown = evidence(net, film, 5, 'responses')
    x = film.get_batch(np.arange(2, 10), (54, 65)).astype(np.float32) / 255  # the middle clip of 8 frames
    x = (x - np.float32(net.input_spec.mean)) / np.float32(net.input_spec.std)
    own = net.filter_responses(mx.nd.array(x.transpose(3, 0, 1, 2)[None])).asnumpy()[0, 25:30]
    wanted = np.max([volume - volume.mean() for volume in own], axis=0)
    np.testing.assert_allclose(shown.maps.maps, wanted, atol=1e-4)
    assert shown.maps.frames.tolist() == list(range(2, 10)) and shown.clips == [(2, 9)]
    assert shown.maps.placement.geometry == net.response_geometry


def test_masks_gate_and_features_are_those_of_their_own_pictures(networks, film):
    net = networks['u2s']
    masks = clip_masks(net, film, classes=[net.classes[7]])
    np.testing.assert_array_equal(evidence(net, film, 7, 'mask').maps.maps, masks.masks[0].series.maps)
    np.testing.assert_array_equal(evidence(net, film, 7, 'gate').maps.maps, masks.gate.maps)
    net = networks['cidc']
    parts = clip_activations(net, film).parts
    both = evidence(net, film, 7, 'F_CIDC').maps
    forward, backward = (parts[f'F_CIDC {side}'] for side in ('forward', 'backward'))
    for subclip, maps in enumerate(both.maps):
        pair = [side.maps[side.at_subclip(subclip)] for side in (forward, backward)]
        np.testing.assert_allclose(maps, np.mean(pair, axis=0), rtol=1e-12)
    cam = evidence(networks['synthfg'], film, 7)  # the first source of a network without others
    np.testing.assert_array_equal(cam.maps.maps, grad_cam(networks['synthfg'], film, 7).maps.maps)


def test_baselines_have_seen_no_video(networks, film):
    net = networks['synthfg']
    dark = ArrayReader('dark.mp4', np.zeros_like(film.get_batch(range(12))), 10.0)
    for source in ('random', 'center'):
        first, second = (evidence(net, video, 0, source, seed=4).maps.maps for video in (film, dark))
        np.testing.assert_array_equal(first, second)
    assert not (evidence(net, film, 0, 'random', seed=5).maps.maps == first).any()
    moments, rows, columns = first.shape  # of 'center': symmetric, and lower the farther from the middle
    np.testing.assert_allclose(first, first[::-1, ::-1, ::-1], atol=1e-12)
    middle = first[moments // 2, rows // 2, : (columns + 1) // 2]
    assert (np.diff(middle) > 0).all() and first[0, 0, 0] == pytest.approx(-np.sqrt(3))


def test_the_predicted_class_unless_another_is_named(networks, film):
    net = networks['synthfg']
    shown = evidence(net, film, None, 'F5')
    assert net.classes[shown.target] == shown.predictions[0][0]
    assert shown.branches['avg'] == pytest.approx(shown.predictions[0][1])
    assert evidence(net, film, net.classes[11], 'F5').target == 11


def test_images_have_maps_of_single_frames(film):
    net = get_model('tsn_tiny_custom_dfb', nclass=2)
    for source in sources_of(net):
        shown = evidence(net, film, 1, source)
        assert shown.maps.frames.tolist() == sorted(shown.maps.frames.tolist()) and len(shown.maps.maps) == 8
    features = evidence(net, film, 1, 'F5').maps
    batch = film.get_batch(features.frames, (54, 65)).astype(np.float32) / 255
    x = (batch - np.float32(net.input_spec.mean)) / np.float32(net.input_spec.std)
    f5 = net.maps(mx.nd.array(x.transpose(0, 3, 1, 2)))['F5'].asnumpy()
    np.testing.assert_allclose(features.maps, att(f5[:, :, None])[:, 0], atol=1e-5)
