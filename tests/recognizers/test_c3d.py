"""C3D of Quo Vadis against NumPy and PyTorch from its parameters, and beside public ports of the original."""

import mxnet as mx
import numpy as np
import pytest
import torch
from gluoncv.model_zoo.action_recognition.c3d import C3D as TheirC3D
from mxnet import autograd
from networks import CLASSES, parameters, randomized

from gluon_fg import factory
from gluon_fg.backbones import get_backbone
from gluon_fg.deploy.flops import count
from gluon_fg.deploy.fused import fuse
from gluon_fg.errors import UserError
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.recognizers import C3DNetwork
from gluon_fg.weights.warm_start import warm_start

STATIC = dict(static_alloc=True, static_shape=True)
F = torch.nn.functional


def clips(net, count=2, frames=8, height=48, width=48):
    return mx.nd.random.normal(shape=(count, net.input_spec.channels, frames, height, width))


class Reference:
    """The layers in the paper's order, from a dict of parameters, in PyTorch's float64; `times`: poolings over time."""

    LAYERS = ('stem.0', 1, 'res2.0', 2, 'res3.1', 'res3.2', 3, 'res4.1', 'res4.2', 4, 'res5.1', 'res5.2', 5)

    def __init__(self, params, statistics, times=3):
        self.params = {
            name[len('branches.') :]: torch.tensor(v.astype('float64'), requires_grad='running' not in name)
            for name, v in params.items()
        }
        self.statistics, self.times = statistics, times

    def unit(self, x, name, padding=1):
        p = self.params
        x = F.conv3d(x, p[f'{name}.0.weight'], padding=padding)
        mean, var = (p[f'{name}.1.running_{part}'].clone() for part in ('mean', 'var'))
        training = self.statistics == 'batch'
        return F.relu(F.batch_norm(x, mean, var, p[f'{name}.1.gamma'], p[f'{name}.1.beta'], training, eps=0.001))

    def __call__(self, x):
        for layer in self.LAYERS:
            if isinstance(layer, str):
                x = self.unit(x, f'backbone.{layer}')
            else:  # two and two; what hangs over the edge counts as it is
                size = (2 if layer <= self.times else 1, 2, 2)
                x = F.max_pool3d(x, size, size, ceil_mode=True)
        x = self.unit(self.unit(x, 'fc6', 0), 'fc7', 0)
        return x.mean((2, 3, 4)) @ self.params['classifier.weight'].T + self.params['classifier.bias']


@pytest.mark.parametrize('name', ['c3d_tiny_custom', 'c3d_tiny_flow_custom'])
@pytest.mark.parametrize('form', ['plain', 'static', 'fused'])
def test_it_equals_pytorch_at_any_size(name, form):
    net = randomized(name)
    expected = Reference(parameters(net), 'running')
    net.hybridize(form == 'static', **STATIC)
    forward = fuse(net) if form == 'fused' else net.branches
    for frames, height, width in ((8, 48, 48), (13, 33, 71), (5, 64, 40), (8, 48, 48)):
        x = clips(net, 2, frames, height, width)
        logits = expected(torch.tensor(x.asnumpy().astype('float64'))).detach().numpy()
        np.testing.assert_allclose(forward(x)[0].asnumpy(), logits, rtol=1e-3, atol=1e-3 * np.abs(logits).max())


@pytest.mark.parametrize('static', [False, True])
@pytest.mark.parametrize('frames, height, width', [(8, 48, 48), (11, 37, 50)])
def test_loss_and_gradients_equal_pytorch(static, frames, height, width):
    net = randomized('c3d_tiny_custom')
    net.hybridize(static, **STATIC)
    x, label = clips(net, 6, frames, height, width), [0, 1, 2, 3, 4, 0]
    theirs = Reference(parameters(net), 'batch')
    expected = F.cross_entropy(theirs(torch.tensor(x.asnumpy().astype('float64'))), torch.tensor(label))
    expected.backward()
    with autograd.record():
        loss = net.loss(net.branches(x), mx.nd.array(label)).mean()
    loss.backward()
    np.testing.assert_allclose(loss.asscalar(), expected.item(), rtol=1e-3)
    params = net._collect_params_with_prefix()
    assert len([p for p in params.values() if p.grad_req != 'null']) == 3 * 10 + 2
    for name, p in params.items():
        if p.grad_req != 'null':
            wanted = theirs.params[name[len('branches.') :]].grad.numpy()
            error = np.linalg.norm(p.grad().asnumpy() - wanted)
            assert error <= 2e-2 * np.linalg.norm(wanted) + 1e-6, name


def test_it_has_the_parameters_of_the_paper_and_of_the_public_ports():
    """Table 1: 79 M. The originals have a bias where this has gamma and beta: MMAction2's metafile counts 78,409,573
    parameters for 101 classes, and 38,615,475,200 multiply-adds for 16 frames of 112 pixels."""
    channels = 64 + 128 + 2 * 256 + 4 * 512 + 2 * 4096
    net = factory.build('c3d_bn_ucf101')
    cost = count(net)
    assert cost.parameters == 78_409_573 + channels and cost.input_shape == (1, 3, 16, 112, 112)
    kinetics = count(factory.build('c3d_bn_kinetics400')).parameters
    assert kinetics == cost.parameters + 4097 * 299 and abs(kinetics - 79e6) < 0.05 * 79e6
    # the stem's pooling leaves half of the frames to all convolutions behind it
    once = sum(cost.macs_by_part[part] for part in ('backbone.stem', 'fc6', 'fc7', 'classifier'))
    assert abs(2 * (cost.macs - once) + once - 38_615_475_200) < 0.003 * 38_615_475_200
    assert not cost.unknown


def test_its_layers_are_those_of_gluoncvs_port():
    """All but their order, and a form: the 8192 numbers that fc6 reads are 512x1x4x4."""
    theirs = {n: p.shape for n, p in TheirC3D(nclass=400)._collect_params_with_prefix().items() if 'weight' in n}
    ours = factory.build('c3d_bn_kinetics400')._collect_params_with_prefix()
    shapes = [p.shape for n, p in ours.items() if n.endswith('.weight')]
    flat = [s if s[2:] == (3, 3, 3) else (s[0], int(np.prod(s[1:]))) for s in shapes]
    assert sorted(theirs) == [
        'conv1.weight', 'conv2.weight', 'conv3a.weight', 'conv3b.weight', 'conv4a.weight', 'conv4b.weight',
        'conv5a.weight', 'conv5b.weight', 'fc6.weight', 'fc7.weight', 'fc8.weight',
    ]  # fmt: skip
    assert sorted(flat) == sorted(theirs.values()) and (4096, 512, 1, 4, 4) in shapes


def test_it_sees_what_the_paper_shows_it():
    """Table 1: 16 frames of 112 pixels in training, 240 in testing; a field of flow at each."""
    for name, channels in (('c3d_bn_kinetics400', 3), ('c3d_bn_flow_custom', 2)):
        net = factory.build(name, nclass=400)
        spec, protocol = net.input_spec, get_protocol(net.protocol)
        assert (spec.frames, spec.frame_stride, spec.crop_size, spec.channels) == (16, 1, 112, channels)
        assert protocol.count() * protocol.shown(spec).frames == 240 and spec.fields == (channels == 2)


def test_sizes_along_the_network_are_those_of_the_paper():
    """16 frames of 112 pixels: halved by every pooling; the fully connected layers see all of it at once."""
    backbone = get_backbone('c3d')
    net = C3DNetwork.build('c3d', 5, units=16)
    assert net.branches._min_size == (9, 97)
    assert [backbone.frames_at(stage, 16) for stage in (2, 3, 4, 5)] == [8, 4, 2, 1]
    assert backbone.geometry(5).stride == (16, 16) and net.input_spec.ndim == 3
    small = C3DNetwork.build('c3d_tiny', 5, units=16)
    small.initialize()
    assert small.maps(mx.nd.zeros((1, 3, 8, 48, 48)))['fc7'].shape == (1, 16, 1, 1, 1)
    assert small.maps(mx.nd.zeros((1, 3, 16, 48, 96)))['fc7'].shape == (1, 16, 2, 1, 2)


def test_too_small_a_view_is_refused_in_one_line():
    net = randomized('c3d_tiny_custom')
    for shape, message in (((1, 3, 8, 32, 48), 'has 32x48 pixels; .* at least 33'), ((1, 3, 4, 48, 48), 'at least 5')):
        with pytest.raises(UserError, match=message):
            net(mx.nd.zeros(shape))
    with pytest.raises(UserError, match='backbone i3d_tiny has no grid for fully connected layers; choose c3d'):
        C3DNetwork.build('i3d_tiny', 5)
    with pytest.raises(UserError, match='units must be at least 1, got 0'):
        C3DNetwork.build('c3d_tiny', 5, units=0)


def test_other_classes_start_from_it(tmp_path):
    source = randomized('c3d_tiny_custom')
    source.save_parameters(str(tmp_path / 'source.params'))
    net = factory.build('c3d_tiny_custom', nclass=CLASSES + 2)
    net.initialize(mx.init.MSRAPrelu('in', 0))
    report = warm_start(net, tmp_path / 'source.params')
    assert sorted(report.resized) == sorted(net.class_parameters()) == [
        'branches.classifier.bias', 'branches.classifier.weight',
    ]  # fmt: skip
    x = clips(net)
    np.testing.assert_array_equal(net.features(x)[0].asnumpy(), source.features(x)[0].asnumpy())
    flow = factory.build('c3d_tiny_flow_custom', nclass=CLASSES)
    flow.initialize(mx.init.MSRAPrelu('in', 0))
    report = warm_start(flow, tmp_path / 'source.params')  # its stem: the mean of the colours
    assert report.inflated == ['branches.backbone.stem.0.0.weight'] and not report.new
    stem = source.branches.backbone.stem[0][0].weight.data().asnumpy().mean(1, keepdims=True)
    given = flow.branches.backbone.stem[0][0].weight.data().asnumpy()
    np.testing.assert_allclose(given, np.repeat(stem, 2, axis=1), rtol=1e-5, atol=1e-7)
