"""Streams start from weights for colors: exactly where they see colors, through the stem's mean where they see flow.

The mean over the input channels, repeated, is what the ports of TSN do (`_construct_flow_model`: mean over dimension 1,
expanded to 2 L channels, the bias kept), with no other scale.
"""

import mxnet as mx
import numpy as np
import pytest
from gluoncv.model_zoo.action_recognition.actionrec_inceptionv1 import ActionRecInceptionV1

from gluon_fg import get_model
from gluon_fg.backbones import BACKBONES, get_backbone
from gluon_fg.errors import UserError
from gluon_fg.nn import batch_norms
from gluon_fg.weights import imagenet
from gluon_fg.weights.inflate import inflate_stem
from gluon_fg.weights.streams import starting_backbones
from gluon_fg.weights.warm_start import warm_start


def values(net):
    return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}


def built(name, nclass=4, seed=0):
    mx.random.seed(seed)
    net = get_model(name, nclass=nclass, pretrained_base=False)
    for layer in batch_norms(net):
        for p in layer.params.values():
            p.set_data(mx.nd.random.uniform(0.5, 1.5, shape=p.shape))
    return net


@pytest.fixture
def saved(tmp_path):
    """A network's values, and the file of them."""

    def save(name, nclass=4, seed=1):
        net = built(name, nclass, seed)
        net.save_parameters(str(tmp_path / f'{name}.params'))
        return values(net), tmp_path / f'{name}.params'

    return save


def as_stem(weight, channels):
    """By hand: TSN's mean over the colors, for every channel of flow."""
    return np.repeat(weight.mean(axis=1, keepdims=True), channels, axis=1)


STEM = 'branches.backbone.stem.0.weight'


@pytest.mark.parametrize(
    'rgb, flow, channels',
    [('tsn_tiny_custom', 'twostream_tiny_flow_custom', 10), ('i3d_tiny_custom', 'i3d_tiny_flow_custom', 2)],
)
def test_a_flow_network_takes_all_of_an_rgb_file_but_the_colors_of_its_stem(saved, rgb, flow, channels):
    given, path = saved(rgb)
    net = built(flow)
    report = warm_start(net, path)
    after = values(net)
    assert list(report.crossed) == report.inflated == [STEM] and not report.new and not report.resized
    np.testing.assert_allclose(after.pop(STEM), as_stem(given.pop(STEM), channels), rtol=1e-5, atol=1e-7)
    for name in given:
        np.testing.assert_array_equal(after[name], given[name], err_msg=name)
    assert f'{STEM}: mean over the input channels' in str(report)


def split(name, stream):
    for block in ('branches.backbone.', 'branches.classifier.'):
        if name.startswith(block):
            return f'{block}{stream}.{name[len(block) :]}'
    return name


@pytest.mark.parametrize('nclass', [4, 7])
def test_both_streams_take_an_rgb_file_and_only_flows_stem_is_a_mean(saved, nclass):
    given, path = saved('tsn_tiny_custom', nclass)
    net = built('twostream_tiny_custom')
    before = values(net)
    report = warm_start(net, path)
    after = values(net)
    assert list(report.crossed) == [split(STEM, 'flow')] and not report.new
    for name, value in given.items():
        rgb, flow = after[split(name, 'rgb')], after[split(name, 'flow')]
        if nclass == 7 and 'classifier' in name:
            np.testing.assert_array_equal(rgb, before[split(name, 'rgb')])
            np.testing.assert_array_equal(flow, before[split(name, 'flow')])
            continue
        np.testing.assert_array_equal(rgb, value, err_msg=name)
        np.testing.assert_allclose(flow, as_stem(value, 10) if name == STEM else value, rtol=1e-5, atol=1e-7)
    assert len(report.resized) == (4 if nclass == 7 else 0)


def test_images_start_both_streams_of_clips(saved):
    """Inflated, and the stem of flow a mean: in one."""
    given, path = saved('tsn_tiny_custom')
    net = built('twostream_i3d_tiny_custom')
    report = warm_start(net, path)
    assert list(report.crossed) == [split(STEM, 'flow')] and split(STEM, 'rgb') in report.inflated
    after = values(net)
    depth = after[split(STEM, 'rgb')].shape[2]
    for stream, stem in (('rgb', given[STEM]), ('flow', as_stem(given[STEM], 2))):
        np.testing.assert_allclose(after[split(STEM, stream)].sum(2), stem, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(after[split(STEM, stream)][:, :, 0] * depth, stem, rtol=1e-4, atol=1e-6)


def test_a_flow_file_starts_the_flow_stream_alone(saved):
    given, path = saved('twostream_tiny_flow_custom')
    net = built('twostream_tiny_custom')
    before = values(net)
    report = warm_start(net, path)
    after = values(net)
    assert not report.inflated and report.new and all('.rgb.' in name for name in report.new)
    for name, value in given.items():
        np.testing.assert_array_equal(after[split(name, 'flow')], value, err_msg=name)
        np.testing.assert_array_equal(after[split(name, 'rgb')], before[split(name, 'rgb')], err_msg=name)


def test_a_file_of_both_streams_is_taken_as_it_is(saved):
    given, path = saved('twostream_tiny_custom', seed=3)
    net = built('twostream_tiny_custom')
    report = warm_start(net, path)
    assert not (report.new or report.inflated or report.resized or report.crossed)
    after = values(net)
    assert all(np.array_equal(after[name], value) for name, value in given.items())


def test_a_file_for_another_network_changes_neither_stream(saved):
    _, path = saved('topheavy_tiny_custom')
    net = built('twostream_tiny_custom')
    before = values(net)
    with pytest.raises(UserError, match='parameters do not exist in twostream_tiny_custom|the network needs') as caught:
        warm_start(net, path)
    assert '\n' not in str(caught.value)
    assert all(np.array_equal(value, before[name]) for name, value in values(net).items())


def test_from_fields_to_fields_x_stays_x():
    w = mx.nd.array([[1, 10, 3, 30]]).reshape((1, 4, 1, 1))  # x, y, x, y
    np.testing.assert_array_equal(inflate_stem(w, 6).asnumpy().ravel(), [2, 20] * 3)
    np.testing.assert_array_equal(inflate_stem(w, 2).asnumpy().ravel(), [2, 20])
    np.testing.assert_array_equal(inflate_stem(w, 3).asnumpy().ravel(), [11] * 3)  # colors have no axes


def test_gluoncvs_file_starts_both_streams(tmp_path):
    theirs = ActionRecInceptionV1(5, pretrained_base=False)
    theirs.initialize(mx.init.Xavier(), force_reinit=True)
    theirs(mx.nd.zeros((1, 3, 224, 224)))
    path = tmp_path / 'inceptionv1_kinetics400.params'
    theirs.save_parameters(str(path))
    net = get_model('twostream_inceptionv1_custom', nclass=5, pretrained_base=False)
    report = warm_start(net, path)
    assert not report.new and not report.resized and len(report.crossed) == 1
    stem = theirs.conv1[0].weight.data().asnumpy()
    parts = net.branches.backbone
    np.testing.assert_array_equal(parts.rgb.stem[0][0].weight.data().asnumpy(), stem)
    np.testing.assert_allclose(parts.flow.stem[0][0].weight.data().asnumpy(), as_stem(stem, 20), rtol=1e-4, atol=1e-7)
    head = theirs.output.weight.data().asnumpy()
    for dense in (net.branches.classifier.rgb, net.branches.classifier.flow):
        np.testing.assert_array_equal(dense.weight.data().asnumpy(), head)


@pytest.mark.parametrize('name, channels', [('twostream_tiny', 10), ('twostream_i3d_tiny', 2), ('tiny_flow', 10)])
def test_imagenet_starts_every_stream(name, channels, tmp_path, monkeypatch):
    source = get_backbone('tiny')
    source.initialize(mx.init.Normal(1))
    given = {n: p.data() for n, p in source._collect_params_with_prefix().items()}
    mx.nd.save(str(tmp_path / 'tiny.params'), {f'branches.backbone.{n}': value for n, value in given.items()})
    monkeypatch.setattr(imagenet, 'file_of', lambda *args: ('a stand-in', tmp_path / 'tiny.params'))
    backbone = get_backbone(name)
    backbone.imagenet = 'tiny'
    backbone.initialize()
    assert imagenet.load(backbone) == 'a stand-in'
    stem = given['stem.0.weight'].asnumpy()
    for part in backbone.parts:
        got = {n: p.data().asnumpy() for n, p in part._collect_params_with_prefix().items()}
        flat = {n: a.sum(2) if a.ndim == 5 else a for n, a in got.items()}
        expected = stem if part.in_channels == 3 else as_stem(stem, channels)
        np.testing.assert_allclose(flat.pop('stem.0.weight'), expected, rtol=1e-4, atol=1e-5)
        for n, value in flat.items():
            np.testing.assert_allclose(value, given[n].asnumpy(), rtol=1e-4, atol=1e-5, err_msg=n)


def test_a_file_of_colors_gives_batch_norm_of_the_input_the_mean_of_its_statistics(tmp_path):
    rgb, flow = (
        get_model(f'topheavy_resnet50_v2{kind}_custom', nclass=3, pretrained_base=False) for kind in ('', '_flow')
    )
    norm = 'branches.backbone.stem.0.running_var'
    rgb._collect_params_with_prefix()[norm].set_data(mx.nd.array([1, 2, 6]))
    rgb.save_parameters(str(tmp_path / 'rgb.params'))
    report = warm_start(flow, tmp_path / 'rgb.params')
    assert not report.resized and not report.new and 'branches.backbone.stem.1.weight' in report.crossed
    np.testing.assert_allclose(values(flow)[norm], np.full(10, 3.0), rtol=1e-6)


def test_where_weights_of_a_backbone_may_come_from():
    assert starting_backbones('i3d_resnet50_v1') == ['i3d_resnet50_v1']
    assert starting_backbones('topheavy_resnet50_flow') == ['topheavy_resnet50_flow', 'topheavy_resnet50']
    both = 'twostream_i3d_inceptionv1_same'
    assert starting_backbones(both) == [both, 'i3d_inceptionv1_same']
    assert starting_backbones('inceptionv1_flow') == ['inceptionv1_flow', 'inceptionv1']
    frames = starting_backbones('inceptionv1_frames_flow')
    assert frames == ['inceptionv1_frames_flow', 'inceptionv1_frames', 'inceptionv1']
    assert all(each in BACKBONES for name in BACKBONES for each in starting_backbones(name))
