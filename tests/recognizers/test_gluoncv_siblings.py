"""Backbones with a sibling in GluonCV: its own network's parameters, by the names of its file, give its scores."""

import mxnet as mx
import numpy as np
import pytest
from gluoncv.model_zoo import get_model as gluoncv_model
from gluoncv.model_zoo import model_store

from gluon_fg.backbones import get_backbone
from gluon_fg.nn.norm import batch_norms
from gluon_fg.recognizers import Baseline
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


def randomized(net):
    """Weights for which no layer is the identity; also the non-local blocks' last norms, which start at 0."""
    net.initialize(mx.init.MSRAPrelu('in', 0), force_reinit=True)
    for layer in batch_norms(net):
        for p in layer.params.values():
            p.set_data(mx.nd.random.uniform(0.5, 1.5, shape=p.shape))
    return net


@pytest.mark.parametrize('name', SIBLINGS)
def test_scores_equal_gluoncvs(name, tmp_path):
    backbone, options, size = SIBLINGS[name]
    theirs = randomized(gluoncv_model(name, nclass=7, pretrained_base=False))
    theirs.save_parameters(str(tmp_path / 'theirs.params'))
    net = Baseline(backbone, 7, **options)
    net.initialize()
    params = net._collect_params_with_prefix()
    arrays = translated(mx.nd.load(str(tmp_path / 'theirs.params')), net.branches.backbone.family, params, 'file')
    for parameter, array in arrays.items():
        params[parameter].set_data(array)
    x = mx.nd.random.normal(shape=(1, 3, *size))
    expected = theirs(x).asnumpy()
    assert expected.std() > 1e-3
    np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize('name', SIBLINGS)
def test_the_files_are_published(name):
    assert name in model_store._model_sha1


def test_googlenet_on_images_is_gluoncvs():
    theirs = randomized(gluoncv_model('googlenet', pretrained_base=False))
    net = get_backbone('inceptionv1')
    net.initialize()
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
