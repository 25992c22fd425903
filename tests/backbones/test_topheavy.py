"""The top-heavy networks of U2S: what their 2-D part is, what their 3-D part does with time, and where weights go."""

import mxnet as mx
import numpy as np
import pytest
import reference
from gluoncv.model_zoo import get_model as gluoncv_model
from mxnet import autograd
from networks import randomize

from gluon_fg.backbones import TopHeavyResNet50, TopHeavyTiny, get_backbone
from gluon_fg.backbones.residual import PreActivationBlock, ResidualBlock
from gluon_fg.errors import UserError
from gluon_fg.weights import imagenet

STATIC = dict(static_alloc=True, static_shape=True)


def values(net):
    return {name: p.data().asnumpy().astype('float64') for name, p in net._collect_params_with_prefix().items()}


def frames_of(clips):
    """(N, C, T, H, W) -> (N * T, C, H, W), video by video."""
    x = clips.asnumpy().transpose(0, 2, 1, 3, 4)
    return mx.nd.array(x.reshape(-1, *x.shape[2:]))


def assert_frames_equal(clips, frames):
    got, frames = frames_of(clips).asnumpy(), frames.asnumpy()
    np.testing.assert_allclose(got, frames, rtol=1e-4, atol=1e-4 * np.abs(frames).max())


@pytest.mark.parametrize('name, flat', [('topheavy_tiny', 'tiny'), ('topheavy_resnet50', 'resnet50_v1b')])
@pytest.mark.parametrize('static', [False, True])
def test_up_to_res3_it_is_the_2d_network_on_every_frame(name, flat, static):
    net, images = randomize(get_backbone(name)), randomize(get_backbone(flat))
    params, given = net._collect_params_with_prefix(), images._collect_params_with_prefix()
    assert set(params) == set(given)
    for key, p in params.items():
        if not key.startswith(('res4.', 'res5.')):
            p.set_data(given[key].data())
    if static:
        net.hybridize(**STATIC)
    x = mx.nd.random.normal(shape=(2, 3, 3, 45, 38))
    for ours, theirs in list(zip(net(x), images(frames_of(x))))[:2]:
        assert_frames_equal(ours, theirs)


def gluoncv_v2(net):
    """GluonCV's ResNet-50 v2 with the 2-D part of a pre-activated backbone."""
    source = random_gluoncv('resnet50_v2')
    for key, p in net._collect_params_with_prefix().items():
        layer, _, rest = key.partition('.')
        number = {'stem': 0, 'res2': 5, 'res3': 6}.get(layer)
        if number is not None:
            where = f'features.{rest}' if layer == 'stem' else f'features.{number}.{rest}'
            p.set_data(source._collect_params_with_prefix()[where].data())
    return source


def random_gluoncv(name):
    source = gluoncv_model(name)
    source.infer_shape(mx.nd.empty((1, 3, 32, 32)))
    return randomize(source)


def test_pre_activated_it_is_gluoncvs_resnet_v2_on_every_frame():
    net = randomize(get_backbone('topheavy_resnet50_v2'))
    source = gluoncv_v2(net)
    x = mx.nd.random.normal(shape=(2, 3, 3, 45, 38))
    f2, f3 = net(x)[:2]
    y = frames_of(x)
    for number, layer in enumerate(source.features[:7]):
        y = layer(y)
        if number == 5:
            assert_frames_equal(f2, y)
    assert_frames_equal(f3, y)


@pytest.mark.parametrize('name', ['topheavy_resnet50', 'topheavy_resnet50_v2'])
def test_time_is_halved_in_res4_and_in_res5(name):
    """18 frames, the paper's, at odd sizes of the image."""
    net = randomize(get_backbone(name))
    x = mx.nd.random.normal(shape=(1, 3, 18, 45, 70))
    for stage, f in zip((2, 3, 4, 5), net(x)):
        time, space = net.geometry(stage).stride
        assert f.shape == (1, net.channels[stage], -(-18 // time), -(-45 // space), -(-70 // space))
    assert [net.frames_at(stage, 18) for stage in (2, 3, 4, 5)] == [18, 18, 9, 5]
    kept = get_backbone(name, temporal_downsample=1)
    assert [kept.frames_at(stage, 18) for stage in (2, 3, 4, 5)] == [18] * 4
    assert net.min_size[0] == kept.min_size[0] == 1
    assert net(x[:, :, :1])[3].shape[2] == 1


def test_the_3d_part_sees_neighbouring_frames_and_the_2d_part_does_not():
    net = randomize(TopHeavyTiny())
    x = mx.nd.random.normal(shape=(1, 3, 9, 48, 48))
    other = x.copy()
    other[:, :, 4] += 1
    changed = [np.abs((a - b).asnumpy()).max((0, 1, 3, 4)) > 1e-6 for a, b in zip(net(x), net(other))]
    assert [np.flatnonzero(c).tolist() for c in changed] == [[4], [4], [3, 4, 5], [2, 3, 4, 5, 6]]
    assert net.geometry(5).field[0] == 5 and net.geometry(3).field[0] == 1


def test_the_first_convolution_of_res4_reads_three_frames_and_strides():
    for name in ('topheavy_resnet50', 'topheavy_resnet50_v2'):
        net = get_backbone(name)
        for stage in (net.res4, net.res5):
            first, second = stage[0], stage[1]
            assert first.conv1._kwargs['kernel'] == (3, 1, 1) and first.conv1._kwargs['stride'] == (2, 1, 1)
            assert first.conv2._kwargs['kernel'] == (1, 3, 3) and first.conv2._kwargs['stride'] == (1, 2, 2)
            assert second.conv1._kwargs['kernel'] == (3, 1, 1) and second.conv1._kwargs['stride'] == (1, 1, 1)


# Values and gradients against NumPy ---------------------------------------------------------------------------------


def norm(x, p, name):
    return reference.batch_norm(x, p[f'{name}.gamma'], p[f'{name}.beta'])


def tiny_features(p, x):
    """F4 and F5 of the tiny network with batch statistics; 2-D kernels are ones of one frame."""

    def conv(x, name, stride=1):
        w = p[f'{name}.weight']
        return reference.conv(x, w[:, :, None] if w.ndim == 4 else w, stride=(1, stride, stride))

    y = reference.max_pool(conv(x, 'stem.0', 2), (1, 3, 3), (1, 2, 2), (0, 1, 1))
    y, found = reference.relu(norm(y, p, 'stem.2')), []
    for stage, stride in ((2, 1), (3, 2), (4, 1), (5, 2)):
        x, name = y, f'res{stage}.0'
        y = reference.relu(norm(conv(x, f'{name}.conv1', stride), p, f'{name}.bn1'))
        y = norm(conv(y, f'{name}.conv2'), p, f'{name}.bn2')
        if f'{name}.downsample.0.weight' in p:
            x = norm(conv(x, f'{name}.downsample.0', stride), p, f'{name}.downsample.1')
        y = reference.relu(y + x)
        found.append(y)
    return found


def block_values(p, x, preactivation):
    """A bottleneck with time_stride 2 and stride 2."""

    def conv(x, name, stride):
        return reference.conv(x, p[f'{name}.weight'], stride=stride)

    relu, whole = reference.relu, (2, 2, 2)
    if preactivation:
        y = relu(norm(x, p, 'bn1'))
        shortcut = conv(y, 'downsample', whole)
        y = relu(norm(conv(y, 'conv1', (2, 1, 1)), p, 'bn2'))
        return conv(relu(norm(conv(y, 'conv2', (1, 2, 2)), p, 'bn3')), 'conv3', (1, 1, 1)) + shortcut
    y = relu(norm(conv(x, 'conv1', (2, 1, 1)), p, 'bn1'))
    y = relu(norm(conv(y, 'conv2', (1, 2, 2)), p, 'bn2'))
    y = norm(conv(y, 'conv3', (1, 1, 1)), p, 'bn3')
    return relu(y + norm(conv(x, 'downsample.0', whole), p, 'downsample.1'))


def assert_gradients_are_slopes(net, x, scalar):
    """`scalar(params)` in NumPy is differenced along each parameter's gradient and random noise."""
    rng, params = np.random.default_rng(0), values(net)
    for key, p in net._collect_params_with_prefix().items():
        if p.grad_req == 'null':
            continue
        gradient = p.grad().asnumpy().astype('float64')
        size = np.linalg.norm(gradient)
        assert size > 0, key
        noise = rng.standard_normal(gradient.shape)
        direction = gradient / size + noise / np.linalg.norm(noise)
        step = 1e-6 * max(1.0, np.abs(params[key]).max()) / np.abs(direction).max()
        ends = [scalar({**params, key: params[key] + sign * step * direction}) for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert slope == pytest.approx((gradient * direction).sum(), rel=2e-2), key


def test_values_and_gradients_equal_numpy_at_odd_sizes():
    net = randomize(TopHeavyTiny())
    net.hybridize(**STATIC)
    x = mx.nd.random.normal(shape=(2, 3, 5, 37, 42))
    weights = [mx.nd.random.normal(shape=f.shape) for f in net(x)[2:]]
    with autograd.record():
        f4, f5 = net(x)[2:]
        loss = (f4 * weights[0]).sum() + (f5 * weights[1]).sum()
    loss.backward()
    data, w = x.asnumpy().astype('float64'), [v.asnumpy().astype('float64') for v in weights]
    expected = tiny_features(values(net), data)
    for got, e in ((f4, expected[2]), (f5, expected[3])):
        np.testing.assert_allclose(got.asnumpy(), e, rtol=1e-3, atol=1e-3)

    def scalar(p):
        found = tiny_features(p, data)
        return (found[2] * w[0]).sum() + (found[3] * w[1]).sum()

    assert_gradients_are_slopes(net, x, scalar)


@pytest.mark.parametrize('block', [ResidualBlock, PreActivationBlock])
def test_a_block_that_strides_time_equals_numpy(block):
    net = randomize(block(6, (4, 4, 8), [(3, 1, 1), (1, 3, 3), (1, 1, 1)], stride_at=1, stride=2, time_stride=2))
    net.hybridize(**STATIC)
    x = mx.nd.random.normal(shape=(2, 6, 5, 7, 10))
    with autograd.record():
        y = net(x)
        w = mx.nd.random.normal(shape=y.shape)
        loss = (y * w).sum()
    loss.backward()
    data, pre = x.asnumpy().astype('float64'), block is PreActivationBlock
    expected = block_values(values(net), data, pre)
    assert y.shape == (2, 8, 3, 4, 5)
    np.testing.assert_allclose(y.asnumpy(), expected, rtol=1e-3, atol=1e-4)
    assert_gradients_are_slopes(net, x, lambda p: (block_values(p, data, pre) * w.asnumpy()).sum())


@pytest.mark.parametrize('name', ['topheavy_resnet50', 'topheavy_resnet50_v2'])
def test_all_of_it_trains(name):
    net = randomize(get_backbone(name))
    net.hybridize(**STATIC)
    with autograd.record():
        f5 = net(mx.nd.random.normal(shape=(2, 3, 4, 32, 32)))[3]
        (f5 * mx.nd.random.normal(shape=f5.shape)).sum().backward()
    for key, p in net._collect_params_with_prefix().items():
        if p.grad_req != 'null':
            g = p.grad().asnumpy()
            assert np.isfinite(g).all() and np.abs(g).max() > 0, key


# Copies of stages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['topheavy_tiny', 'topheavy_resnet50', 'topheavy_resnet50_v2'])
def test_new_stages_are_a_second_3d_part(name):
    net = randomize(get_backbone(name))
    res4, res5 = net.new_stage(4), net.new_stage(5)
    names = [p.name for block in (net, res4, res5) for p in block.collect_params().values()]
    assert len(set(names)) == len(names)
    for new, own in ((res4, net.res4), (res5, net.res5)):
        new.initialize()
        for key, p in own._collect_params_with_prefix().items():
            new._collect_params_with_prefix()[key].set_data(p.data())
        assert set(new._collect_params_with_prefix()) == set(own._collect_params_with_prefix())
    f = net(mx.nd.random.normal(shape=(1, 3, 5, 40, 33)))
    again = res5(res4(f[1])).asnumpy()
    np.testing.assert_allclose(again, f[3].asnumpy(), rtol=1e-5, atol=1e-5 * np.abs(again).max())
    if name != 'topheavy_tiny':
        assert (f[3].asnumpy() >= 0).all(), 'what the CSM counts is behind a ReLU'


# Weights ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def imagenet_load(tmp_path, monkeypatch):
    """GluonCV's own network with random weights, put into a backbone as those of ImageNet; returns it."""

    def load(net):
        source = random_gluoncv(net.imagenet)
        source.save_parameters(str(tmp_path / 'imagenet.params'))
        net.initialize()
        imagenet.load(net)
        return source

    monkeypatch.setattr(imagenet, 'gluoncv_file', lambda name, root=None, attempts=4: tmp_path / 'imagenet.params')
    return load


@pytest.mark.parametrize('preactivation', [False, True])
def test_with_imagenet_weights_a_still_clip_is_an_image(imagenet_load, preactivation):
    """Where no padding in time is seen: F4 reaches 6 frames to each side, F5 9."""
    net = TopHeavyResNet50(1, preactivation)
    source = imagenet_load(net)
    x = mx.nd.random.normal(shape=(1, 3, 40, 52))
    layers = source.features[:11] if preactivation else [
        source.conv1, source.bn1, source.relu, source.maxpool,
        source.layer1, source.layer2, source.layer3, source.layer4,
    ]  # fmt: skip
    expected = x
    for layer in layers:
        expected = layer(expected)
    expected = expected.asnumpy()
    f5 = net(mx.nd.repeat(x.expand_dims(2), 21, axis=2))[3].asnumpy()
    np.testing.assert_allclose(f5[:, :, 10], expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert np.abs(f5[:, :, 0] - expected).max() > 1e-3 * np.abs(expected).max()


def test_a_stack_of_flow_starts_from_the_mean_of_the_colours(imagenet_load):
    net = TopHeavyResNet50(in_channels=10)
    source = imagenet_load(net)
    mean = source.conv1.weight.data().asnumpy().mean(1, keepdims=True)
    np.testing.assert_allclose(net.stem[0].weight.data().asnumpy(), np.repeat(mean, 10, 1), rtol=1e-4, atol=1e-7)
    assert TopHeavyTiny(in_channels=10).stem[0].weight.shape == (16, 10, 5, 5)


def test_a_preactivated_stack_of_flow_normalizes_each_channel_by_the_mean_of_the_colors_statistics(imagenet_load):
    net = TopHeavyResNet50(preactivation=True, in_channels=10)
    source = imagenet_load(net)
    stem, norm = source.features[1].weight.data().asnumpy(), source.features[0]
    np.testing.assert_allclose(
        net.stem[1].weight.data().asnumpy(), np.repeat(stem.mean(1, keepdims=True), 10, 1), rtol=1e-4, atol=1e-7
    )
    for name in ('running_mean', 'running_var'):
        theirs, ours = getattr(norm, name).data().asnumpy(), getattr(net.stem[0], name).data().asnumpy()
        assert theirs.shape == (3,) and np.ptp(theirs) > 0
        np.testing.assert_allclose(ours, np.full(10, theirs.mean()), rtol=1e-5)


def test_another_reduction_of_time_is_refused():
    with pytest.raises(UserError, match=r'temporal_downsample of a top-heavy network must be 1 .* or 4, got 8'):
        get_backbone('topheavy_resnet50', temporal_downsample=8)
    with pytest.raises(UserError, match='topheavy_tiny reduces time in one way only'):
        get_backbone('topheavy_tiny', temporal_downsample=4)
