"""Our I3D and TSN networks are GluonCV's: with its parameters they give its scores."""

import mxnet as mx
import numpy as np
import pytest
from gluoncv.model_zoo import get_model as gluoncv_model
from gluoncv.model_zoo.action_recognition.actionrec_resnetv1b import ActionRecResNetV1b
from networks import randomize

from gluon_fg import factory, registry
from gluon_fg.weights import imagenet, inflate
from gluon_fg.weights.warm_start import warm_start


def gluoncv_network(name, nclass, segments=1):
    """GluonCV's own, with random weights for which no layer is the identity."""
    if name.startswith('resnet'):  # its TSN builders fetch ImageNet weights in any case: the class itself
        depth = int(name[len('resnet') : name.index('_')])
        net = ActionRecResNetV1b(depth, nclass, pretrained_base=False, num_segments=segments)
    else:
        net = gluoncv_model(name, nclass=nclass, pretrained_base=False)
    net.initialize(mx.init.Zero(), force_reinit=True)
    net(mx.nd.zeros((segments, 3, 32, 32) if name.startswith('resnet') else (1, 3, 16, 32, 32)))  # settles shapes
    return randomize(net)


@pytest.mark.parametrize('sibling, entry, shape', [
    ('i3d_resnet50_v1_kinetics400', 'i3d_resnet50_v1_kinetics400', (1, 3, 16, 40, 48)),
    ('i3d_resnet101_v1_kinetics400', 'i3d_resnet101_v1_kinetics400', (1, 3, 16, 32, 40)),
    ('resnet18_v1b_kinetics400', 'tsn_resnet18_v1b_kinetics400', (3, 3, 64, 48)),
    ('resnet50_v1b_kinetics400', 'tsn_resnet50_v1b_kinetics400', (3, 3, 64, 48)),
    ('resnet101_v1b_kinetics400', 'tsn_resnet101_v1b_kinetics400', (3, 3, 64, 48)),
    ('resnet152_v1b_kinetics400', 'tsn_resnet152_v1b_kinetics400', (3, 3, 64, 48)),
])  # fmt: skip
def test_a_file_of_gluoncvs_gives_its_scores(sibling, entry, shape, tmp_path):
    assert registry.model_entry(entry).gluoncv == sibling
    theirs = gluoncv_network(sibling, 11, 3)
    theirs.save_parameters(str(tmp_path / 'theirs.params'))
    net = factory.build(entry, nclass=11)
    net.initialize(mx.init.Zero())  # fast
    report = warm_start(net, tmp_path / 'theirs.params')
    assert not report.new and not report.resized
    assert set(report.loaded) == set(net._collect_params_with_prefix())
    x = mx.nd.random.normal(shape=shape)
    expected = theirs(x).asnumpy()
    np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_its_2d_kinetics_weights_start_the_top_heavy_network(tmp_path):
    """A still clip gives the image's features wherever the padding in time does not reach: nine layers span time."""
    gluoncv_network('resnet50_v1b_kinetics400', 7).save_parameters(str(tmp_path / 'theirs.params'))
    images, clips = (
        factory.build('tsn_resnet50_v1b_custom', nclass=7),
        factory.build('topheavy_resnet50_custom', nclass=7, temporal_downsample=1),
    )
    for net in (images, clips):
        net.initialize()
    assert not warm_start(images, tmp_path / 'theirs.params').inflated
    report = warm_start(clips, tmp_path / 'theirs.params')
    assert not report.new and not report.resized and len(report.inflated) == 29  # every convolution of res4 and res5
    assert f'{len(report.loaded)} parameters loaded (29 of them inflated)' in str(report)
    image = mx.nd.random.normal(shape=(1, 3, 32, 48))
    clip = mx.nd.repeat(mx.nd.expand_dims(image, 2), 21, axis=2)
    *_, expected = images.branches.backbone(image)
    *_, features = clips.branches.backbone(clip)
    expected, middle = expected.asnumpy(), features.asnumpy()[:, :, 10]
    np.testing.assert_allclose(middle, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert not np.allclose(features.asnumpy()[:, :, 0], expected, atol=1e-2 * np.abs(expected).max())


@pytest.fixture
def imagenet_file(tmp_path, monkeypatch):
    """A file as GluonCV's store would give, of random weights."""
    source = gluoncv_model('resnet18_v1b')
    source.initialize(mx.init.MSRAPrelu('in', 0))
    source(mx.nd.zeros((1, 3, 32, 32)))
    source.save_parameters(str(tmp_path / 'resnet18.params'))
    monkeypatch.setattr(imagenet, 'gluoncv_file', lambda name, root=None, attempts=4: tmp_path / f'{name[:8]}.params')
    return randomize(source), tmp_path / 'resnet18.params'


def test_imagenet_weights_reach_the_2d_backbone(imagenet_file):
    source, path = imagenet_file
    source.save_parameters(str(path))
    net = factory.get_model('tsn_resnet18_v1b_kinetics400_dfb', local_init='copy')
    x = mx.nd.random.normal(shape=(2, 3, 48, 48))
    f = x
    for layer in (source.conv1, source.bn1, source.relu, source.maxpool, source.layer1, source.layer2, source.layer3):
        f = layer(f)
    _, _, f4, f5 = net.branches.backbone(x)
    np.testing.assert_allclose(f4.asnumpy(), f.asnumpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(f5.asnumpy(), source.layer4(f).asnumpy(), rtol=1e-4, atol=1e-4)
    # the copy is made after the weights have arrived
    np.testing.assert_array_equal(net.branches.local.stage(f4).asnumpy(), f5.asnumpy())


def test_imagenet_weights_are_inflated_for_clips(imagenet_file):
    source, path = imagenet_file
    source.save_parameters(str(path))
    backbone = factory.get_model('i3d_resnet18_v1_kinetics400').branches.backbone
    given = source._collect_params_with_prefix()
    stem = given['conv1.weight'].data().asnumpy()
    np.testing.assert_allclose(
        backbone.stem[0].weight.data().asnumpy(), np.repeat(stem[:, :, None], 5, 2) / 5, rtol=1e-6
    )
    last = given['layer4.1.conv2.weight'].data().asnumpy()
    np.testing.assert_allclose(backbone.res5[1].conv2.weight.data().asnumpy().sum(2), last, rtol=1e-5, atol=1e-6)
    mean = given['layer2.0.downsample.1.running_mean'].data().asnumpy()
    np.testing.assert_array_equal(backbone.res3[0].downsample[1].running_mean.data().asnumpy(), mean)


def test_a_foreign_imagenet_file_is_refused(imagenet_file):
    source, path = imagenet_file
    arrays = mx.nd.load(str(path))
    backbone = factory.build('tsn_resnet18_v1b_kinetics400').branches.backbone
    backbone.initialize()
    for change, message in (({'layer1.0.conv1.weight': None}, 'lacks res2.0.conv1.weight'),
                            ({'layer1.0.conv9.weight': mx.nd.zeros(1)}, 'holds an unknown res2.0.conv9.weight'),
                            ({'conv1.weight': mx.nd.zeros((64, 3, 5, 5))}, 'stem.0.weight has shape')):  # fmt: skip
        mx.nd.save(str(path), {n: a for n, a in {**arrays, **change}.items() if a is not None})
        with pytest.raises(ValueError, match=message):
            imagenet.load(backbone)


def test_without_a_network_one_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv('MXNET_GLUON_REPO', (tmp_path / 'nowhere').as_uri())
    with pytest.raises(ValueError) as caught:
        factory.get_model('tsn_resnet18_v1b_kinetics400', root=str(tmp_path))
    text = str(caught.value)
    assert 'resnet18_v1b-2d9d980c.params' in text and str(tmp_path) in text and 'pretrained_base=False' in text
    assert '\n' not in text


def test_inflated_filters_answer_a_still_clip_as_the_image():
    """Quo Vadis, sec. 2.4, where no zero padding in time is met."""
    weight = mx.nd.random.normal(shape=(16, 3, 3, 3))
    image = mx.nd.random.normal(shape=(2, 3, 9, 8))
    still = mx.nd.repeat(image.expand_dims(2), 7, axis=2)
    for depth in (1, 3, 5):
        kernel = inflate(weight, depth)
        assert kernel.shape == (16, 3, depth, 3, 3)
        y = mx.nd.Convolution(still, kernel, kernel=(depth, 3, 3), num_filter=16, no_bias=True)
        flat = mx.nd.Convolution(image, weight, kernel=(3, 3), num_filter=16, no_bias=True)
        for t in range(y.shape[2]):
            np.testing.assert_allclose(y[:, :, t].asnumpy(), flat.asnumpy(), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r'cannot inflate a weight of shape \(16, 3\)'):
        inflate(mx.nd.zeros((16, 3)), 3)
