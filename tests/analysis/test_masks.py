"""The masks of a network with known weights, against NumPy; which classes are shown."""

import cv2
import numpy as np
import pytest

from gluon_fg.analysis import activation_pictures
from gluon_fg.analysis.masks import clip_masks, selected, video_masks
from gluon_fg.data import sampling, transforms
from gluon_fg.data.video import ArrayReader
from gluon_fg.errors import UserError
from gluon_fg.factory import get_model


def noise(total=8, size=(54, 54)):
    frames = np.random.default_rng(0).integers(0, 256, (total, *size, 3), np.uint8)
    return ArrayReader('noise.mp4', frames, 8.0)


@pytest.fixture(scope='module', params=['topheavy_tiny_synthfg_u2s', 'tsn_tiny_synthfg_u2s'])
def net(request):
    """Its CSM holds the classes of a group to be confusing."""
    net = get_model(request.param)
    groups = np.array(net.labels.groups)
    net.set_csm(groups[:, None] == groups[None])
    return net


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def test_masks_are_the_convolution_of_universal_features(net):
    reader = noise()
    *shown, gate = clip_masks(net, reader, name='net')
    clips = net.input_spec.ndim == 3
    numbers = np.arange(8) if clips else sampling.segment_indices(8, net.input_spec.segments)
    seen = transforms.resize_short(reader.get_batch(numbers), net.input_spec.short_side)
    view = transforms.to_view(seen, net.input_spec)
    x = transforms.to_input(view[None] if clips else view, net.input_spec)
    x_u, z_u = (a.asnumpy().astype(np.float64) for a in net.universal(x))
    masks = net.branches.masks
    w = masks.weight.data().asnumpy().reshape(24, -1).astype(np.float64)
    every = np.einsum('mc,ncthw->mthw' if clips else 'mc,tchw->mthw', w, x_u)  # the bias is 0
    shares = softmax(z_u[0])
    predicted = int(shares.argmax())
    group = [i for i, g in enumerate(net.labels.groups) if g == net.labels.groups[predicted]]
    order = [predicted, *sorted((i for i in group if i != predicted), key=lambda i: -shares[i])]
    assert [one.parts[0].part for one in shown] == [net.classes[i] for i in order]
    for one, label in zip(shown, order):
        (part,) = one.parts
        np.testing.assert_allclose(part.maps, every[label], atol=1e-5 * np.abs(every).max())
        assert part.limits == (part.maps.min(), part.maps.max()) and part.quantity == 'mask'
        assert list(part.frames) == list(numbers)
        role = 'predicted' if label == predicted else 'confusing'
        assert one.name.startswith(f'{role} ({100 * shares[label]:.0f} % universal, mean ')
    opening = 1 / (1 + np.exp(-every[group].mean(axis=0)))
    np.testing.assert_allclose(gate.parts[0].maps, opening, atol=1e-5)
    assert gate.name == 'gate' and gate.parts[0].part.endswith('of 4 masks')
    # their means are the logits of the bridge
    z_m = net.branches(x)[2].asnumpy()[0]
    means = every.reshape(24, -1).mean(axis=1)
    np.testing.assert_allclose(z_m - z_m.mean(), means - means.mean(), atol=1e-5)
    assert shown[0].predictions and not shown[1].predictions
    assert shown[0].about.startswith('Masks of net before the gate')
    picture = activation_pictures.picture([*shown, gate], reader)
    assert picture.shape[0] > 5 * 120 and picture.std() > 10


def test_a_whole_video(net, tmp_path):
    reader = noise(21)
    found = video_masks(net, reader, partners=1)
    assert len(found) == 3
    if net.input_spec.ndim == 3 and net.input_spec.sampling == 'clip':
        assert found[0].clips[0][0] == 0 and found[0].clips[-1][1] == 20
        assert len(found[0].parts[0].maps) == 21 and 'each clip' in found[-1].parts[0].part
    assert activation_pictures.film(tmp_path / 'masks.mp4', found, reader) == 21
    film = cv2.VideoCapture(str(tmp_path / 'masks.mp4'))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 21 and film.read()[1].std() > 10


def test_chosen_classes(net):
    reader, names = noise(), list(net.classes)
    every = clip_masks(net, reader, classes=names)
    assert [one.parts[0].part for one in every[:-1]] == names
    assert sum(one.name.startswith('predicted') for one in every) == 1
    assert sum(one.name.startswith('not confusing') for one in every) == 20
    assert [one.parts[0].part for one in clip_masks(net, reader, partners=0)[:-1]] == [
        names[[one.name.startswith('predicted') for one in every].index(True)]
    ]
    with pytest.raises(UserError, match="unknown class of .* 'disc: pluss'; did you mean 'disc: plus'"):
        clip_masks(net, reader, classes=['disc: pluss'])
    with pytest.raises(UserError, match='partners must be 0 or more, got -1'):
        clip_masks(net, reader, partners=-1)


def test_selected_reads_the_column_of_the_prediction():
    csm = np.array([[1, 0, 1], [1, 1, 0], [1, 0, 1]])
    assert selected(csm, 0, np.array([0.5, 0.2, 0.3])) == [2, 1]
    assert selected(csm, 1, np.array([0.5, 0.2, 0.3])) == []
    assert selected(csm, 2, np.array([0.5, 0.2, 0.3])) == [0]


def test_networks_without_masks_to_show():
    reader = noise()
    for name, options, message in (
        ('i3d_tiny_synthfg', {}, 'i3d_tiny_synthfg has no mask network'),
        ('topheavy_tiny_synthfg_u2s', {'mask_network': False}, 'has no mask network'),
        ('topheavy_tiny_synthfg_u2s', {'select': 'oracle'}, 'selects masks by true labels'),
    ):
        with pytest.raises(UserError, match=message):
            clip_masks(get_model(name, **options), reader)


def test_its_own_mask_alone():
    net = get_model('topheavy_tiny_synthfg_u2s', select='predicted')
    shown, gate = clip_masks(net, noise())
    opening = 1 / (1 + np.exp(-shown.parts[0].maps))
    np.testing.assert_allclose(gate.parts[0].maps, opening, atol=1e-5)
