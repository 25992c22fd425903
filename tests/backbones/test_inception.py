import itertools

import mxnet as mx
import numpy as np
import pytest
import reference
from mxnet import autograd
from networks import randomize

from gluon_fg.backbones import get_backbone
from gluon_fg.backbones.geometry import geometry
from gluon_fg.backbones.inceptionv1 import InceptionV1
from gluon_fg.deploy.fused import fuse
from gluon_fg.errors import UserError
from gluon_fg.nn.norm import freeze_batch_norm
from gluon_fg.recognizers import Baseline


def same_padded(x, kernel, stride, fill=0):
    total = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(x.shape[2:], kernel, stride)]
    return np.pad(x, [(0, 0), (0, 0), *((t // 2, t - t // 2) for t in total)], constant_values=fill)


def same_max_pool(x, kernel, stride):
    """Padded with zeros, as the common port does: nothing here is negative."""
    x = same_padded(x, kernel, stride)
    sizes = [(n - k) // s + 1 for n, k, s in zip(x.shape[2:], kernel, stride)]
    windows = [
        x[(..., *(slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(at, sizes, stride)))]
        for at in itertools.product(*map(range, kernel))
    ]
    return np.max(windows, axis=0)


class ReferenceI3D:
    """The Quo Vadis network as its authors' code lists it (end points by their names), in NumPy, float64.

    Gives the logits of their head: mean over (2, 7, 7) windows of the features, linear classifier, mean over time.
    """

    LAYERS = (
        ('Conv3d_1a_7x7', 'stem.0', (2, 2, 2)), ('MaxPool3d_2a_3x3', (1, 3, 3), (1, 2, 2)),
        ('Conv3d_2b_1x1', 'res2.0', (1, 1, 1)), ('Conv3d_2c_3x3', 'res2.1', (1, 1, 1)),
        ('MaxPool3d_3a_3x3', (1, 3, 3), (1, 2, 2)), ('Mixed_3b', 'res3.1'), ('Mixed_3c', 'res3.2'),
        ('MaxPool3d_4a_3x3', (3, 3, 3), (2, 2, 2)), ('Mixed_4b', 'res4.1'), ('Mixed_4c', 'res4.2'),
        ('Mixed_4d', 'res4.3'), ('Mixed_4e', 'res4.4'), ('Mixed_4f', 'res4.5'),
        ('MaxPool3d_5a_2x2', (2, 2, 2), (2, 2, 2)), ('Mixed_5b', 'res5.1'), ('Mixed_5c', 'res5.2'),
    )  # fmt: skip

    def __init__(self, params):
        self.params = {name: value.astype('float64') for name, value in params.items()}

    def unit(self, x, name, stride=(1, 1, 1)):
        w = self.params[f'{name}.0.weight']
        y = reference.conv(same_padded(x, w.shape[2:], stride), w, stride=stride, pad=(0, 0, 0))
        norm = [self.params[f'{name}.1.{part}'] for part in ('gamma', 'beta', 'running_mean', 'running_var')]
        return reference.relu(reference.batch_norm(y, *norm, eps=0.001))

    def mixed(self, x, name):
        pooled = same_max_pool(x, (3, 3, 3), (1, 1, 1))
        branches = [
            self.unit(x, f'{name}.0.0'),
            self.unit(self.unit(x, f'{name}.1.0'), f'{name}.1.1'),
            self.unit(self.unit(x, f'{name}.2.0'), f'{name}.2.1'),
            self.unit(pooled, f'{name}.3.1'),
        ]
        return np.concatenate(branches, axis=1)

    def features(self, x):
        for end_point, *how in self.LAYERS:
            if end_point.startswith('Mixed'):
                x = self.mixed(x, *how)
            else:
                x = same_max_pool(x, *how) if 'Pool' in end_point else self.unit(x, *how)
            yield end_point, x


@pytest.mark.parametrize('channels, size', [(2, (9, 33, 40)), (3, (16, 32, 32))])
def test_padded_as_tensorflow_it_is_the_quo_vadis_network(channels, size):
    """At sizes that are odd on the way, and at those where every padding is uneven; channels 2 is the flow network."""
    name = {2: 'i3d_inceptionv1_same_flow', 3: 'i3d_inceptionv1_same'}[channels]
    net = randomize(Baseline.build(name, 5))
    net.branches.classifier.weight.set_data(mx.nd.random.normal(shape=(5, 1024)))
    x = mx.nd.random.normal(shape=(1, channels, *size))
    params = {n: p.data().asnumpy() for n, p in net.branches.backbone._collect_params_with_prefix().items()}
    ends = dict(ReferenceI3D(params).features(x.asnumpy().astype('float64')))
    given = net.branches.backbone(x)
    for end_point, f in zip(('Conv3d_2c_3x3', 'Mixed_3c', 'Mixed_4f', 'Mixed_5c'), given):
        expected = ends[end_point]
        assert f.shape == expected.shape
        assert np.linalg.norm(f.asnumpy() - expected) <= 1e-5 * np.linalg.norm(expected)
    pairs = expected.mean((3, 4))
    pairs = (pairs[:, :, 1:] + pairs[:, :, :-1]) / 2  # their windows of two frames
    weight = net.branches.classifier.weight.data().asnumpy().astype('float64')
    logits = np.einsum('nct,mc->nmt', pairs, weight).mean(2)
    scores = net(x).asnumpy()
    np.testing.assert_allclose(scores, logits, rtol=1e-4, atol=1e-4 * np.abs(logits).max())


def test_parameters_are_counted_as_published():
    """torchvision's GoogLeNet has 6,624,904 with its classifier; I3D 12.3 million a stream (Quo Vadis, table 1: 25)."""

    def count(name):
        params = get_backbone(name)._collect_params_with_prefix()
        return sum(int(np.prod(p.shape)) for n, p in params.items() if p.grad_req != 'null')

    assert count('inceptionv1') == 6_624_904 - 1025 * 1000
    assert count('i3d_inceptionv1') == count('i3d_inceptionv1_same') == 12_287_264
    assert count('i3d_inceptionv1_same') - count('i3d_inceptionv1_same_flow') == 64 * 343


@pytest.mark.parametrize('name, size', [
    ('i3d_inceptionv1', (9, 45, 70)), ('i3d_inceptionv1_same', (9, 45, 70)), ('inceptionv1', (79, 95)),
    ('i3d_inceptionv3', (9, 99, 80)),
])  # fmt: skip
def test_sizes_and_smallest_input(name, size):
    net = randomize(get_backbone(name))
    frames = size[:-2]
    features = net(mx.nd.random.normal(shape=(1, 3, *size)))
    for stage, f in zip((2, 3, 4, 5), features):
        assert f.shape[1] == net.channels[stage]
        for n, given, stride in zip(size, f.shape[2:], net.geometry(stage).stride[1 - len(frames) :]):
            if name == 'i3d_inceptionv3' and n > 9:
                assert n // stride - 3 <= given <= n // stride  # not padded
            else:
                assert given in (n // stride, -(-n // stride))
    time, space = net.min_size
    smallest = (time,) * len(frames) + (space, space)
    net(mx.nd.random.normal(shape=(1, 3, *smallest)))[3].wait_to_read()
    if name != 'i3d_inceptionv1_same':
        with pytest.raises(mx.MXNetError):
            net(mx.nd.random.normal(shape=(1, 3, *smallest[:-1], space - 1)))[3].wait_to_read()
    assert (
        net.min_size
        == {
            'i3d_inceptionv1': (5, 17),
            'i3d_inceptionv1_same': (9, 1),
            'inceptionv1': (1, 31),
            'i3d_inceptionv3': (1, 75),
        }[name]
    )


@pytest.mark.parametrize('name, stage, size', [
    ('i3d_inceptionv1', 3, (24, 80, 64)), ('i3d_inceptionv1_same', 3, (24, 80, 64)), ('inceptionv1', 4, (256, 256)),
    ('i3d_inceptionv3', 3, (24, 96, 112)),
])  # fmt: skip
def test_receptive_fields_are_where_gradients_arrive(name, stage, size):
    """Of the widest branch. The maximum passes the gradient on to one position of its window: a border may be dark."""
    net = get_backbone(name)
    net.initialize()
    freeze_batch_norm(net)
    for p in net.collect_params('.*weight').values():
        p.set_data(mx.nd.random.uniform(0.5, 1, shape=p.shape) / np.prod(p.shape[1:]))  # nothing cancels
    (stride_t, stride), (field_t, field), (offset_t, offset) = (
        getattr(net.geometry(stage), what) for what in ('stride', 'field', 'offset')
    )
    time = len(size) - 2
    axes = [(stride_t, field_t, offset_t)] * time + [(stride, field, offset)] * 2
    cell = [int((n / 2 - o) // s) for n, (s, _, o) in zip(size, axes)]
    x = mx.nd.random.uniform(1, 2, shape=(1, 3, *size))
    x.attach_grad()
    with autograd.record():
        y = x
        for block in net.path(stage):
            y = block(y)
        y[(0, slice(None), *cell)].sum().backward()
    touched = np.abs(x.grad.asnumpy()).sum((0, 1)) > 0
    for axis, (n, at, (s, f, o)) in enumerate(zip(size, cell, axes)):
        where = np.flatnonzero(touched.any(tuple(set(range(len(size))) - {axis})))
        low, high = max(0, o + s * at - (f - 1) / 2), min(n - 1, o + s * at + (f - 1) / 2)
        assert low <= where[0] <= low + s / 2 and high - s / 2 <= where[-1] <= high


def test_known_receptive_fields():
    """Quo Vadis, figure 3, as far as it counts every layer: (7, 11), (11, 27), (23, 75) behind the first poolings."""
    net = get_backbone('i3d_inceptionv1_same')
    blocks = net.path(3)
    assert geometry(blocks[:1]).field == (7, 11)
    assert geometry([*blocks[:2], net.res3[0]]).field == (11, 27)
    assert geometry([*blocks, net.res4[0]]).field == (23, 75)
    assert net.geometry(5).field == (99, 379) and net.geometry(5).stride == (8, 32)


@pytest.mark.parametrize('name, frames, size', [
    ('i3d_inceptionv1', 8, 40), ('i3d_inceptionv1_same', 9, 40), ('i3d_inceptionv3', 8, 75)
])  # fmt: skip
def test_it_trains_on_a_cpu(name, frames, size):
    net = randomize(get_backbone(name))
    net.hybridize(static_alloc=True, static_shape=True)
    with autograd.record():
        f5 = net(mx.nd.random.normal(shape=(2, 3, frames, size, size)))[3]
        (f5 * mx.nd.random.normal(shape=f5.shape)).sum().backward()
    for n, p in net._collect_params_with_prefix().items():
        if p.grad_req != 'null':
            g = p.grad().asnumpy()
            assert np.isfinite(g).all() and np.abs(g).max() > 0, n


@pytest.mark.parametrize('name', ['i3d_inceptionv1_same', 'inceptionv1'])
def test_one_graph_serves_every_size(name):
    """Hybridized with static memory, and fused for inference: what is odd at one size is even at another."""
    net = randomize(Baseline.build(name, 5))
    net.branches.classifier.weight.set_data(mx.nd.random.normal(shape=net.branches.classifier.weight.shape))
    sizes = [(9, 33, 40), (10, 40, 33)]
    clips = [mx.nd.random.normal(shape=(1, 3, *size[3 - net.branches.backbone.ndim :])) for size in sizes]
    expected = [net(x).asnumpy() for x in clips]
    forward = fuse(net)
    net.hybridize(static_alloc=True, static_shape=True)
    for x, scores in zip(clips, expected):
        for given in (net(x), forward(x)[0]):
            np.testing.assert_allclose(given.asnumpy(), scores, rtol=0, atol=1e-4 * np.abs(scores).max())


def test_a_new_stage_is_a_copy_with_its_own_parameters():
    net = get_backbone('i3d_inceptionv1')
    for stage in (4, 5):
        own, other = getattr(net, f'res{stage}'), net.new_stage(stage)
        ours = other._collect_params_with_prefix()
        assert {n: p.shape for n, p in own._collect_params_with_prefix().items()} == {
            n: p.shape for n, p in ours.items()
        }
        assert not {p.name for p in own.collect_params().values()} & {p.name for p in ours.values()}


def test_the_network_says_how_many_channels_it_takes():
    net = Baseline.build('i3d_inceptionv1_same_flow', 4)
    net.initialize()
    with pytest.raises(UserError, match=r'shape \(1, 3, 16, 32, 32\); this network takes \(N, 2, T, H, W\)'):
        net(mx.nd.zeros((1, 3, 16, 32, 32)))
    with pytest.raises(UserError, match='clips of 8 frames; this network takes at least 9'):
        net(mx.nd.zeros((1, 2, 8, 32, 32)))


@pytest.mark.parametrize('options, message', [
    ({'padding': 'smae'}, "unknown padding 'smae'; did you mean 'same'"), ({'in_channels': 0}, 'at least 1, got 0'),
])  # fmt: skip
def test_impossible_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        InceptionV1(3, **options)
