"""Backbones with a sibling in GluonCV: its own network's parameters, by the names of its file, give its scores."""

import mxnet as mx
import numpy as np
import pytest
from gluoncv.model_zoo import get_model as gluoncv_model
from gluoncv.model_zoo import model_store
from gluoncv.model_zoo.action_recognition.actionrec_inceptionv1 import ActionRecInceptionV1
from gluoncv.model_zoo.action_recognition.non_local import NonLocal as TheirNonLocal
from networks import randomize

from gluon_fg import factory, registry
from gluon_fg.backbones import InceptionV1, get_backbone
from gluon_fg.nn import NonLocal
from gluon_fg.recognizers import Baseline
from gluon_fg.weights import imagenet
from gluon_fg.weights.gluoncv_names import our_name, translated

# GluonCV's network: (backbone, options, the smallest clip it takes or little more)
SIBLINGS = {
    'i3d_inceptionv1_kinetics400': ('i3d_inceptionv1', {}, (9, 40, 33)),
    'i3d_inceptionv3_kinetics400': ('i3d_inceptionv3', {}, (5, 75, 80)),
    'i3d_nl5_resnet50_v1_kinetics400': ('i3d_nl5_resnet50_v1', {'temporal_downsample': 8}, (8, 33, 32)),
    'i3d_nl10_resnet50_v1_kinetics400': ('i3d_nl10_resnet50_v1', {'temporal_downsample': 8}, (8, 33, 32)),
    'i3d_nl5_resnet101_v1_kinetics400': ('i3d_nl5_resnet101_v1', {'temporal_downsample': 8}, (8, 33, 32)),
    'i3d_nl10_resnet101_v1_kinetics400': ('i3d_nl10_resnet101_v1', {'temporal_downsample': 8}, (8, 33, 32)),
    'i3d_slow_resnet101_f16s4_kinetics700': ('slowonly_resnet101_v1', {}, (3, 40, 33)),
}


def load(net, path):
    """All parameters of a file of GluonCV's; `translated` refuses one too many or too few."""
    net.initialize(mx.init.Zero())  # fast
    params = net._collect_params_with_prefix()
    for name, array in translated(mx.nd.load(str(path)), net.branches.backbone.family, params, path).items():
        params[name].set_data(array)


@pytest.mark.parametrize('name', SIBLINGS)
def test_scores_equal_gluoncvs(name, tmp_path):
    backbone, options, size = SIBLINGS[name]
    theirs = randomize(gluoncv_model(name, nclass=7, pretrained_base=False))
    theirs.save_parameters(str(tmp_path / 'theirs.params'))
    net = Baseline.build(backbone, 7, **options)
    load(net, tmp_path / 'theirs.params')
    x = mx.nd.random.normal(shape=(1, 3, *size))
    expected = theirs(x).asnumpy()
    assert expected.std() > 1e-3
    np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_a_non_local_block_is_gluoncvs():
    """At a scale where softmax is far from picking one position, as deep in a random network it does."""
    theirs, ours = TheirNonLocal(in_channels=16), NonLocal(16)
    randomize(theirs)
    ours.initialize()
    params = theirs._collect_params_with_prefix()
    for name, p in ours._collect_params_with_prefix().items():
        p.set_data(params[name].data())
    x = 0.3 * mx.nd.random.normal(shape=(2, 16, 3, 4, 5))
    np.testing.assert_allclose(ours(x).asnumpy(), theirs(x).asnumpy(), rtol=1e-5, atol=1e-6)


def test_entries_are_built_as_their_siblings():
    for name, (backbone, options, _) in SIBLINGS.items():
        assert name in model_store._model_sha1
        mine = [entry for entry in map(registry.model_entry, factory.list_models()) if entry.gluoncv == name]
        assert mine and all((entry.backbone, entry.defaults) == (backbone, options) for entry in mine), name


def test_frames_on_googlenet_are_gluoncvs(tmp_path):
    entry = registry.model_entry('tsn_inceptionv1_kinetics400')
    assert entry.gluoncv == 'inceptionv1_kinetics400' in model_store._model_sha1
    theirs = randomize(ActionRecInceptionV1(7, pretrained_base=False, num_segments=2))
    theirs.save_parameters(str(tmp_path / 'theirs.params'))
    net = Baseline.build(entry.backbone, 7, num_segments=2)
    load(net, tmp_path / 'theirs.params')
    x = mx.nd.random.normal(shape=(2, 3, 224, 224))  # its pooling wants 7x7
    expected = theirs(x).asnumpy()
    np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_googlenet_on_images_is_gluoncvs():
    theirs = randomize(gluoncv_model('googlenet', pretrained_base=False))
    net = get_backbone('inceptionv1')
    net.initialize(mx.init.Zero())  # fast
    params = net._collect_params_with_prefix()
    given = {our_name(n, net.family): p for n, p in theirs._collect_params_with_prefix().items()}
    assert {n for n in given if n.startswith('backbone.')} == {f'backbone.{n}' for n in params}
    for name, p in params.items():
        p.set_data(given[f'backbone.{name}'].data())
    x = mx.nd.random.normal(shape=(1, 3, 71, 95))
    f = x
    for layer in ('conv1', 'maxpool1', 'conv2', 'conv3', 'maxpool2', 'inception3a', 'inception3b', 'maxpool3',
                  *(f'inception4{i}' for i in 'abcde'), 'maxpool4', 'inception5a', 'inception5b'):  # fmt: skip
        f = getattr(theirs, layer)(f)
    expected = f.asnumpy()
    np.testing.assert_allclose(net(x)[3].asnumpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_mobilenetv2_is_gluoncvs(imagenet_load):
    """Its file is taken as the start from ImageNet; odd sizes."""
    net = get_backbone('mobilenetv2')
    net.initialize()
    given = imagenet_load(net, randomize)
    theirs = gluoncv_model('mobilenetv2_1.0')
    theirs.initialize()
    theirs(mx.nd.zeros((1, 3, 32, 32)))
    for name, p in theirs._collect_params_with_prefix().items():
        p.set_data(mx.nd.array(given[name]))
    x = mx.nd.random.normal(shape=(1, 3, 71, 95))
    expected = x
    for layer in theirs.features[:-1]:  # up to the average
        expected = layer(expected)
    expected = expected.asnumpy()
    assert expected.std() > 0.1
    np.testing.assert_allclose(net(x)[3].asnumpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_images_and_clips_have_the_same_names_and_shapes_but_for_time():
    """So that ImageNet weights inflate by name: 2-D GoogLeNet is this zoo's own, Inception-V3 is GluonCV's."""
    theirs = gluoncv_model('inceptionv3')
    theirs.infer_shape(mx.nd.empty((1, 3, 299, 299)))
    flat = {our_name(n, 'inceptionv3'): p.shape for n, p in theirs._collect_params_with_prefix().items()}
    v3 = {n[len('backbone.') :]: shape for n, shape in flat.items() if n.startswith('backbone.')}
    v1 = {n: p.shape for n, p in get_backbone('inceptionv1')._collect_params_with_prefix().items()}
    for name, images in (('i3d_inceptionv1', v1), ('i3d_inceptionv3', v3)):
        clips = {n: p.shape for n, p in get_backbone(name)._collect_params_with_prefix().items()}
        assert {n: s[:2] + s[3:] if len(s) == 5 else s for n, s in clips.items()} == images


@pytest.fixture
def imagenet_load(tmp_path, monkeypatch):
    """Weights of GluonCV's own network, random, into a backbone as those of ImageNet; returns them as well."""

    def load(net, change=lambda source: None):
        source = gluoncv_model(net.imagenet, **({'pretrained_base': False} if net.imagenet == 'googlenet' else {}))
        source.initialize(mx.init.MSRAPrelu('in', 0))
        if net.imagenet != 'googlenet':
            source(mx.nd.zeros((1, 3, 32, 32)))  # settles shapes
        change(source)
        source.save_parameters(str(tmp_path / 'imagenet.params'))
        imagenet.load(net)
        return {name: p.data().asnumpy() for name, p in source._collect_params_with_prefix().items()}

    monkeypatch.setattr(imagenet, 'gluoncv_file', lambda name, root=None, attempts=4: tmp_path / 'imagenet.params')
    monkeypatch.setattr(imagenet, 'gluoncv_here', lambda name, root=None, attempts=4: True)
    return load


def test_googlenet_inflates_and_a_still_clip_is_an_image(imagenet_load):
    """Exact where no padding in time is seen: F3 sees 19 frames."""
    images, clips = InceptionV1(2, 'same'), InceptionV1(3, 'same')
    for net in (images, clips):
        net.initialize()
    imagenet_load(images)
    imagenet.load(clips)
    x = mx.nd.random.normal(shape=(1, 3, 49, 60))
    flat, still = images(x)[1].asnumpy(), mx.nd.repeat(x.expand_dims(2), 32, axis=2)
    for block in clips.path(3):
        still = block(still)
    np.testing.assert_allclose(still[:, :, 8].asnumpy(), flat, rtol=0, atol=1e-5 * np.abs(flat).max())
    assert np.abs(still[:, :, 0].asnumpy() - flat).max() > 1e-2 * np.abs(flat).max()


def test_frame_by_frame_googlenet_starts_as_it_is(imagenet_load):
    """What it makes of a clip's frames is what the network for images makes of them."""
    images, frames = get_backbone('inceptionv1'), get_backbone('inceptionv1_frames')
    for net in (images, frames):
        net.initialize()
    imagenet_load(images, randomize)
    imagenet.load(frames)
    x = mx.nd.random.normal(shape=(2, 3, 3, 49, 60))
    one_by_one = images(mx.nd.transpose(x, axes=(0, 2, 1, 3, 4)).reshape((6, 3, 49, 60)))
    for stage, features in zip((2, 3, 4, 5), frames(x)):
        expected = one_by_one[stage - 2].asnumpy()
        given = features.asnumpy().transpose(0, 2, 1, 3, 4).reshape(expected.shape)
        np.testing.assert_allclose(given, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
        assert frames.frames_at(stage, 25) == 25 and frames.geometry(stage) == images.geometry(stage)


def test_a_stem_for_flow_gets_the_mean_of_the_colours(imagenet_load):
    net = get_backbone('i3d_inceptionv1_same_flow')
    net.initialize()
    given = imagenet_load(net)
    mean = given['conv1.0.weight'].mean(1)
    stem = net.stem[0][0].weight.data().asnumpy()
    assert stem.shape == (64, 2, 7, 7, 7)
    np.testing.assert_allclose(stem, np.broadcast_to(mean[:, None, None], stem.shape) / 7, rtol=1e-4, atol=1e-7)


def test_non_local_blocks_stay_as_they_are_among_imagenet_weights(imagenet_load):
    net = get_backbone('i3d_nl5_resnet50_v1')
    net.initialize()
    before = net.res4[1].non_local.g.weight.data().asnumpy()
    given = imagenet_load(net)
    block = net.res4[1]
    np.testing.assert_array_equal(block.non_local.g.weight.data().asnumpy(), before)
    assert not block.non_local.bn.gamma.data().asnumpy().any()
    np.testing.assert_array_equal(block.conv2.weight.data().asnumpy()[:, :, 0], given['layer3.1.conv2.weight'])
