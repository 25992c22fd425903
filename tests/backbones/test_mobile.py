"""Inverted residuals against their definition, in NumPy and float64, and where their features lie in the image."""

import itertools

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from networks import parameters, randomize

from gluon_fg.backbones import get_backbone
from gluon_fg.backbones.mobile import InvertedResidual, _Units
from gluon_fg.deploy.fused import fuse
from gluon_fg.nn.norm import freeze_batch_norm
from gluon_fg.nn.relu6 import ReLU6
from gluon_fg.recognizers import Baseline

NAMES = ['mobilenetv2', 'efficientnet_lite0']


class Depthwise:
    """A depthwise convolution: output, and gradients of sum(up * output) for input and weight."""

    def __init__(self, weight, stride, same):
        self.weight, self.stride, self.same = weight, stride, same

    def _taps(self, size):
        kernel, stride = self.weight.shape[2], self.stride
        out = [-(-n // stride) for n in size]
        if self.same:
            total = [max((o - 1) * stride + kernel - n, 0) for o, n in zip(out, size)]
            pads = [(t // 2, t - t // 2) for t in total]
        else:
            pads = [(kernel // 2, kernel // 2)] * 2
        windows = [
            (at, (..., *(slice(a, a + (o - 1) * stride + 1, stride) for a, o in zip(at, out))))
            for at in itertools.product(range(kernel), repeat=2)
        ]
        return pads, windows

    def forward(self, x):
        pads, windows = self._taps(x.shape[2:])
        padded = np.pad(x, [(0, 0), (0, 0), *pads])
        return sum(padded[window] * self.weight[:, 0, a, b][:, None, None] for (a, b), window in windows)

    def backward(self, x, up):
        pads, windows = self._taps(x.shape[2:])
        padded, dw = np.pad(x, [(0, 0), (0, 0), *pads]), np.zeros(self.weight.shape)
        dx = np.zeros(padded.shape)
        for (a, b), window in windows:
            dx[window] += up * self.weight[:, 0, a, b][:, None, None]
            dw[:, 0, a, b] = (up * padded[window]).sum((0, 2, 3))
        return dx[(..., *(slice(p, p + n) for (p, _), n in zip(pads, x.shape[2:])))], dw


def block_reference(params, x, up, stride, same, shortcut, epsilon):
    """Output of a block whose batch norms use their running statistics, and gradients of sum(up * output)."""
    x, up = x.astype('float64'), up.astype('float64')
    params = {name: value.astype('float64') for name, value in params.items()}
    steps, y = [], x
    for part in ('expand', 'depthwise', 'project'):
        if f'{part}.0.weight' not in params:
            continue
        weight = params[f'{part}.0.weight']
        gamma, beta, mean, var = (params[f'{part}.1.{n}'] for n in ('gamma', 'beta', 'running_mean', 'running_var'))
        scale = gamma / np.sqrt(var + epsilon)
        depthwise = Depthwise(weight, stride, same)
        z = depthwise.forward(y) if part == 'depthwise' else np.einsum('nchw,oc->nohw', y, weight[:, :, 0, 0])
        z = (z - mean[:, None, None]) * scale[:, None, None] + beta[:, None, None]
        open_ = (z > 0) & (z < 6) if part != 'project' else np.ones(z.shape, bool)
        steps.append((part, y, weight, scale, open_, depthwise))
        y = np.clip(z, 0, 6) if part != 'project' else z
    output, grads, g = y + x if shortcut else y, {}, up
    for part, y, weight, scale, open_, depthwise in reversed(steps):
        g = g * open_ * scale[:, None, None]
        if part == 'depthwise':
            g, grads[f'{part}.0.weight'] = depthwise.backward(y, g)
        else:
            grads[f'{part}.0.weight'] = np.einsum('nohw,nchw->oc', g, y)[:, :, None, None]
            g = np.einsum('nohw,oc->nchw', g, weight[:, :, 0, 0])
    return output, g + up if shortcut else g, grads


@pytest.mark.parametrize('same', [False, True])
@pytest.mark.parametrize(
    'inside, out, kernel, stride, expansion, size',
    [
        (16, 16, 3, 1, 6, (7, 10)),  # 96 channels inside, a multiple of 16; with a shortcut
        (16, 24, 5, 2, 6, (8, 6)),
        (24, 40, 5, 2, 6, (9, 7)),
        (32, 16, 3, 1, 1, (5, 6)),  # the stem's: nothing is expanded
        (5, 7, 3, 2, 3, (7, 4)),
        (5, 5, 5, 1, 1, (3, 3)),
    ],
)
@pytest.mark.parametrize('hybrid', [False, True])
def test_a_block_is_what_its_definition_says(same, inside, out, kernel, stride, expansion, size, hybrid):
    epsilon = 1e-3 if same else 1e-5
    block = randomize(InvertedResidual(_Units(same, epsilon), inside, out, kernel, stride, expansion))
    freeze_batch_norm(block)
    if hybrid:
        block.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.random.normal(scale=3, shape=(2, inside, *size))  # so that both ends of ReLU6 are met
    x.attach_grad()
    with autograd.record():
        y = block(x)
        up = mx.nd.random.normal(shape=y.shape)
        (y * up).sum().backward()
    shortcut = stride == 1 and inside == out
    arrays = x.asnumpy(), up.asnumpy()
    output, dx, grads = block_reference(parameters(block), *arrays, stride, same, shortcut, epsilon)
    assert y.shape == (2, out, *(-(-n // stride) for n in size))
    given = {'output': y.asnumpy(), 'input': x.grad.asnumpy()}
    params = block._collect_params_with_prefix()
    given.update({name: params[name].grad().asnumpy() for name in grads})
    for name, expected in {'output': output, 'input': dx, **grads}.items():
        error = np.linalg.norm(given[name] - expected) / np.linalg.norm(expected)
        assert error < 1e-5, f'{name}: off by {error:.2g}'


def test_relu6_and_its_gradient():
    x = mx.nd.array([-1, 0.5, 3, 5.5, 7])
    x.attach_grad()
    with autograd.record():
        y = ReLU6()(x)
        y.sum().backward()
    assert y.asnumpy().tolist() == [0, 0.5, 3, 5.5, 6] and x.grad.asnumpy().tolist() == [0, 1, 1, 1, 0]


@pytest.mark.parametrize('name, stage, field, offset', [
    ('mobilenetv2', 3, 59, 0), ('mobilenetv2', 5, 491, 0),
    ('efficientnet_lite0', 3, 67, 7), ('efficientnet_lite0', 5, 851, 31),
])  # fmt: skip
def test_geometry_is_where_gradients_arrive(name, stage, field, offset):
    """Of one position in the middle; there is no pooling, so every pixel of the field gets one."""
    net = get_backbone(name)
    net.initialize()
    geometry = net.geometry(stage)
    assert geometry.field == (1, field) and geometry.stride == (1, 2**stage) and geometry.offset == (0, offset)
    assert net.min_size == (1, 1)
    if stage == 5:
        return  # as wide as the picture would have to be, twice
    freeze_batch_norm(net)
    for p in net.collect_params('.*weight').values():
        p.set_data(mx.nd.ones(p.shape) / np.prod(p.shape[1:]))  # averages: no ReLU6 is closed
    x = mx.nd.random.uniform(0.1, 1, shape=(1, 3, 160, 144))  # even all the way
    x.attach_grad()
    with autograd.record():
        net(x)[stage - 2][0, :, 10, 9].sum().backward()
    touched = np.abs(x.grad.asnumpy()).sum((0, 1)) > 0
    _, *middle = geometry.center(0, 10, 9)
    for axis, center in enumerate(middle):
        where = np.flatnonzero(touched.any(1 - axis))
        assert (where[0], where[-1]) == (center - (field - 1) / 2, center + (field - 1) / 2)


@pytest.mark.parametrize('name', NAMES)
def test_sizes_and_channels_of_the_stages(name):
    net = randomize(get_backbone(name))
    for size in ((1, 2), (17, 33), (64, 95)):
        features = net(mx.nd.random.normal(shape=(1, 3, *size)))
        for stage, f in zip((2, 3, 4, 5), features):
            assert f.shape == (1, net.channels[stage], *(-(-n // 2**stage) for n in size))
    assert net.channels == {2: 24, 3: net.channels[3], 4: net.channels[4], 5: 1280}
    assert (net.channels[3], net.channels[4]) == ((32, 96) if name == 'mobilenetv2' else (40, 112))
    # Rectified where the classifier reads, of either sign before.
    assert features[3].min().asscalar() >= 0 > features[2].min().asscalar()


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('stage', [4, 5])
def test_a_new_stage_is_a_copy_with_its_own_parameters(name, stage):
    net = get_backbone(name)
    own, new, newer = getattr(net, f'res{stage}'), net.new_stage(stage), net.new_stage(stage)
    ours, theirs = own._collect_params_with_prefix(), new._collect_params_with_prefix()
    assert {n: p.shape for n, p in ours.items()} == {n: p.shape for n, p in theirs.items()}
    names = [p.name for block in (net, new, newer) for p in block.collect_params().values()]
    assert len(names) == len(set(names))
    randomize(net)
    new.initialize()
    for n, p in theirs.items():
        p.set_data(ours[n].data())
    features = net(mx.nd.random.normal(shape=(2, 3, 33, 47)))
    np.testing.assert_allclose(new(features[stage - 3]).asnumpy(), features[stage - 2].asnumpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize('name', NAMES)
def test_it_trains_and_every_parameter_gets_a_gradient(name):
    net = randomize(get_backbone(name))
    net.hybridize(static_alloc=True, static_shape=True)
    with autograd.record():
        f5 = net(mx.nd.random.normal(shape=(2, 3, 64, 95)))[3]
        (f5 * mx.nd.random.normal(shape=f5.shape)).sum().backward()
    for n, p in net._collect_params_with_prefix().items():
        if p.grad_req != 'null':
            g = p.grad().asnumpy()
            assert np.isfinite(g).all() and np.abs(g).max() > 0, n


@pytest.mark.parametrize('name', NAMES)
def test_one_graph_serves_every_size(name):
    """Hybridized with static memory, and fused for inference: what is odd at one size is even at another."""
    net = randomize(Baseline.build(name, 5, num_segments=2))
    net.branches.classifier.weight.set_data(mx.nd.random.normal(shape=(5, 1280)))
    frames = [mx.nd.random.normal(shape=(2, 3, *size)) for size in ((33, 64), (64, 47))]
    expected = [net(x).asnumpy() for x in frames]
    forward = fuse(net)
    net.hybridize(static_alloc=True, static_shape=True)
    for x, scores in zip(frames, expected):
        for given in (net(x), forward(x)[0]):
            np.testing.assert_allclose(given.asnumpy(), scores, rtol=0, atol=1e-4 * np.abs(scores).max())
