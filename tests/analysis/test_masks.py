"""The masks of a network with known weights, against NumPy; which classes are shown."""

import numpy as np
import pytest

from gluon_fg.analysis.masks import clip_masks, video_masks
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


def opening_of(mask, axes):
    """Of a mask (T, H, W), normalized over some axes, with the scale that gates start from."""
    mask = mask - mask.mean(axes, keepdims=True)
    return 1 / (1 + np.exp(-2 * mask / np.sqrt((mask**2).mean(axes, keepdims=True) + 1e-5)))


def test_masks_are_the_convolution_of_universal_features(net):
    reader = noise()
    found = clip_masks(net, reader, name='net')
    shown, gate = found.masks, found.gate
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
    assert [one.class_name for one in shown] == [net.classes[i] for i in order]
    for one, label in zip(shown, order):
        part = one.series
        np.testing.assert_allclose(part.maps, every[label], atol=1e-5 * np.abs(every).max())
        assert part.limits == (part.maps.min(), part.maps.max()) and part.quantity == 'mask'
        assert list(part.frames) == list(numbers)
        assert one.role == ('predicted' if label == predicted else 'confusing')
        assert one.share == pytest.approx(shares[label], rel=1e-5)
    opening = opening_of(every[group].mean(axis=0), (0, 1, 2) if clips else (1, 2))
    np.testing.assert_allclose(gate.maps, opening, atol=1e-4)
    assert gate.quantity == 'gate' and found.averaged == 4
    # their means are the logits of the bridge
    z_m = net.branches(x)[2].asnumpy()[0]
    means = every.reshape(24, -1).mean(axis=1)
    np.testing.assert_allclose(z_m - z_m.mean(), means - means.mean(), atol=1e-5)
    assert (found.name, found.branch, len(found.predictions)) == ('net', 'universal', 3)


def test_a_whole_video(net):
    found = video_masks(net, noise(21), partners=1)
    assert len(found.masks) == 2
    if net.input_spec.ndim == 3 and net.input_spec.sampling == 'clip':
        assert found.clips[0][0] == 0 and found.clips[-1][1] == 20
        assert len(found.gate.maps) == 21 and found.averaged is None


def test_chosen_classes(net):
    reader, names = noise(), list(net.classes)
    every = clip_masks(net, reader, classes=names).masks
    assert [one.class_name for one in every] == names
    roles = [one.role for one in every]
    assert roles.count('predicted') == 1 and roles.count('not confusing') == 20
    (one,) = clip_masks(net, reader, partners=0).masks
    assert one.class_name == names[roles.index('predicted')]
    with pytest.raises(UserError, match="unknown class of .* 'disc: pluss'; did you mean 'disc: plus'"):
        clip_masks(net, reader, classes=['disc: pluss'])
    with pytest.raises(UserError, match='partners must be 0 or more, got -1'):
        clip_masks(net, reader, partners=-1)


def test_selected_reads_the_column_of_the_prediction():
    net = get_model('topheavy_tiny_custom_u2s', nclass=3)
    net.set_csm(np.array([[1, 0, 1], [1, 1, 0], [1, 0, 1]]))
    assert [net.selected_classes(label) for label in range(3)] == [[1, 2], [], [0]]


def test_networks_without_masks_to_show():
    reader = noise()
    for name, options, message in (
        ('i3d_tiny_synthfg', {}, 'i3d_tiny_synthfg has no masks of classes'),
        ('topheavy_tiny_synthfg_u2s', {'mask_network': False}, 'has no masks of classes'),
        ('topheavy_tiny_synthfg_u2s', {'select': 'oracle'}, 'selects masks by true labels'),
    ):
        with pytest.raises(UserError, match=message):
            clip_masks(get_model(name, **options), reader)


def test_its_own_mask_alone():
    net = get_model('topheavy_tiny_synthfg_u2s', select='predicted')
    found = clip_masks(net, noise())
    (shown,) = found.masks
    np.testing.assert_allclose(found.gate.maps, opening_of(shown.series.maps, (0, 1, 2)), atol=1e-4)
    assert found.averaged == 1
