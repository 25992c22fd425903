"""The two-stream networks of Quo Vadis against PyTorch from their parameters, and against their streams."""

import math

import mxnet as mx
import numpy as np
import pytest
import torch
from mxnet import autograd
from networks import CLASSES, parameters, randomize, randomized
from torch.nn import functional as TF

from gluon_fg import factory
from gluon_fg.backbones import BACKBONES, TWO_STREAM, InceptionV1, TwoStreamBackbone
from gluon_fg.backbones.geometry import geometry, positions
from gluon_fg.deploy.flops import count
from gluon_fg.deploy.fused import fuse
from gluon_fg.deploy.graph import inferred_shapes
from gluon_fg.errors import UserError
from gluon_fg.recognizers import Fused3D, TwoStream
from gluon_fg.training.joined import stream_name
from gluon_fg.training.optimizer import freeze_parts
from gluon_fg.training.sections import TrainConfig
from gluon_fg.weights.fingerprint import fingerprint
from gluon_fg.weights.inflate import inflate_all

STATIC = dict(static_alloc=True, static_shape=True)
PAIRS = {
    'twostream_tiny_custom': ('twostream_tiny_rgb_custom', 'twostream_tiny_flow_custom'),
    'twostream_i3d_tiny_custom': ('i3d_tiny_custom', 'i3d_tiny_flow_custom'),
}
FUSED = ['fused3d_tiny_custom', 'fused3d_tiny_rgb_custom', 'fused3d_tiny_flow_custom']
STRIDES = {2: 1, 3: 2, 4: 1, 5: 2}


def views(net, count=2, frames=None, height=45, width=39):
    spec = net.input_spec
    if spec.ndim == 2:
        return mx.nd.random.normal(shape=(count * net.num_segments, spec.channels, height, width))
    return mx.nd.random.normal(shape=(count, spec.channels, frames or spec.frames, height, width))


def softmax(z):
    e = np.exp(z.astype('float64') - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


# Independent networks -------------------------------------------------------------------------------------------------


class TorchNet:
    """The tiny networks in PyTorch, float64, from a recognizer's parameters; batch norm as in training or in use."""

    def __init__(self, params, train=False):
        self.train = train
        self.p = {name[len('branches.') :]: torch.from_numpy(v.astype('float64')) for name, v in params.items()}
        for name, value in self.p.items():
            value.requires_grad_(not name.endswith(('running_mean', 'running_var')))

    def norm(self, x, name):
        mean, var = (self.p[f'{name}.running_{part}'].clone() for part in ('mean', 'var'))
        return TF.batch_norm(x, mean, var, self.p[f'{name}.gamma'], self.p[f'{name}.beta'], self.train, eps=1e-5)

    def conv(self, x, name, stride=1):
        w = self.p[f'{name}.weight']
        pad, strides = [k // 2 for k in w.shape[2:]], (1,) * (w.dim() - 4) + (stride, stride)
        return (TF.conv3d if w.dim() == 5 else TF.conv2d)(x, w, None, strides, pad)

    def features(self, x, prefix):
        x = self.conv(x, f'{prefix}stem.0', 2)
        pool = (3, 3), (2, 2), (1, 1)
        if x.dim() == 5:
            x = TF.max_pool3d(x, *((n, *sizes) for n, sizes in zip((1, 1, 0), pool)))
        else:
            x = TF.max_pool2d(x, *pool)
        x = torch.relu(self.norm(x, f'{prefix}stem.2'))
        for stage, stride in STRIDES.items():
            at = f'{prefix}res{stage}.0'
            y = torch.relu(self.norm(self.conv(x, f'{at}.conv1', stride), f'{at}.bn1'))
            y = self.norm(self.conv(y, f'{at}.conv2'), f'{at}.bn2')
            if f'{at}.downsample.0.weight' in self.p:
                x = self.norm(self.conv(x, f'{at}.downsample.0', stride), f'{at}.downsample.1')
            x = torch.relu(x + y)
        return x

    def dense(self, x, name):
        return TF.linear(x, self.p[f'{name}.weight'], self.p[f'{name}.bias'])

    def two_stream(self, x):
        """Logits of each stream, which share nothing."""
        parts = {'rgb': x[:, :3], 'flow': x[:, 3:]}
        pooled = {name: self.features(part, f'backbone.{name}.').flatten(2).mean(2) for name, part in parts.items()}
        return [self.dense(value, f'classifier.{name}') for name, value in pooled.items()]

    def fused(self, x):
        if 'backbone.rgb.stem.0.weight' in self.p:
            sides = (x[:, :3], 'backbone.rgb.'), (x[:, 3:], 'backbone.flow.')
            f5 = torch.cat([self.features(*side) for side in sides], 1)
        else:
            f5 = self.features(x, 'backbone.')
        y = torch.relu(self.norm(self.conv(f5, 'fusion.0'), 'fusion.1'))
        y = TF.max_pool3d(y, 3, 2, 1)
        return self.dense(y.flatten(2).mean(2), 'classifier')


@pytest.mark.parametrize('static', [False, True])
@pytest.mark.parametrize('name', [*PAIRS, *FUSED])
def test_it_equals_pytorch(name, static):
    net = randomized(name)
    net.hybridize(static, **STATIC)
    theirs = TorchNet(parameters(net))
    for frames, height, width in ((5, 45, 39), (8, 48, 48), (1, 33, 64)):
        x = views(net, 2, frames, height, width)
        given = torch.from_numpy(x.asnumpy().astype('float64'))
        ours = [z.asnumpy() for z in net.branches(x)]
        with torch.no_grad():
            expected = theirs.two_stream(given) if name in PAIRS else [theirs.fused(given)]
        if name in PAIRS:
            mean = np.mean([softmax(z.numpy()) for z in expected], axis=0)
            np.testing.assert_allclose(softmax(ours.pop(0)), mean, rtol=1e-3, atol=1e-5)
        for z, other in zip(ours, expected):
            np.testing.assert_allclose(z, other.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('static', [False, True])
@pytest.mark.parametrize('name', [*PAIRS, *FUSED])
def test_loss_and_every_gradient_equal_pytorch(name, static):
    net = randomized(name, dropout=0.0)
    net.hybridize(static, **STATIC)
    theirs = TorchNet(parameters(net), train=True)
    x, label = views(net, 6), np.array([0, 1, 2, 3, 4, 0])
    with autograd.record():
        loss = net.loss(net.branches(x), mx.nd.array(label)).mean()
    loss.backward()
    given = torch.from_numpy(x.asnumpy().astype('float64'))
    logits = theirs.two_stream(given) if name in PAIRS else [theirs.fused(given)]
    expected = sum(TF.cross_entropy(z, torch.from_numpy(label)) for z in logits)
    expected.backward()
    np.testing.assert_allclose(loss.asscalar(), expected.item(), rtol=1e-4)
    for part, p in net._collect_params_with_prefix().items():
        if p.grad_req != 'null':
            other = theirs.p[part[len('branches.') :]].grad.numpy()
            assert np.linalg.norm(other) > 0, part
            error = np.linalg.norm(p.grad().asnumpy() - other) / np.linalg.norm(other)
            assert error < 2e-2, (part, error)  # a ReLU or maximum may fall to the other side


# Both streams and each of them ----------------------------------------------------------------------------------------


def joined(name, **options):
    """A network of both streams and the two whose weights it has, under a change of their names' beginnings."""
    streams = [randomized(stream) for stream in PAIRS[name]]
    both = factory.get_model(name, nclass=CLASSES, **options)
    given = {}
    for stream, net in zip(('rgb', 'flow'), streams):
        given.update({stream_name(part, stream): p for part, p in net._collect_params_with_prefix().items()})
    params = both._collect_params_with_prefix()
    assert list(sorted(given)) == list(sorted(params))
    for part, p in params.items():
        p.set_data(given[part].data())
    return both, streams


@pytest.mark.parametrize('weights', [(1, 1), (1, 1.5), (0, 2)])
@pytest.mark.parametrize('name', PAIRS)
def test_its_prediction_is_the_mean_of_its_streams(name, weights):
    """Of their probabilities, to 1e-6; and each stream's logits are its own network's, to the bit."""
    both, (rgb, flow) = joined(name, rgb_weight=weights[0], flow_weight=weights[1])
    x = views(both, 3)
    alone = [rgb(x[:, :3].copy()).asnumpy(), flow(x[:, 3:].copy()).asnumpy()]
    shares = np.array(weights) / sum(weights)
    expected = sum(share * softmax(z) for share, z in zip(shares, alone))
    for z in (both(x), fuse(both)(x)[0]):
        np.testing.assert_allclose(softmax(z.asnumpy()), expected, rtol=0, atol=1e-6)
    _, z_rgb, z_flow = both.branches(x)
    np.testing.assert_array_equal(z_rgb.asnumpy(), alone[0])
    np.testing.assert_array_equal(z_flow.asnumpy(), alone[1])
    for stream, z in zip(('rgb', 'flow'), alone):
        both.trained_branches = stream
        np.testing.assert_allclose(softmax(both(x).asnumpy()), softmax(z), rtol=0, atol=1e-6)


@pytest.mark.parametrize('static', [False, True])
def test_where_videos_have_several_labels_it_is_the_mean_of_sigmoids(static):
    both, streams = joined('twostream_tiny_custom', flow_weight=3)
    both.hybridize(static, **STATIC)
    x = views(both, 3)
    single = both(x).asnumpy()
    both.multi_label = True
    sigmoids = [1 / (1 + np.exp(-net(part.copy()).asnumpy())) for net, part in zip(streams, (x[:, :3], x[:, 3:]))]
    given = both.to_probabilities(both(x)).asnumpy()
    np.testing.assert_allclose(given, (sigmoids[0] + 3 * sigmoids[1]) / 4, rtol=1e-5, atol=1e-6)
    both.multi_label = False
    np.testing.assert_array_equal(both(x).asnumpy(), single)


def test_far_apart_logits_stay_finite():
    both, _ = joined('twostream_tiny_custom', rgb_weight=1, flow_weight=3)
    for stream, value in (('rgb', 400.0), ('flow', -300.0)):
        getattr(both.branches.classifier, stream).bias.set_data(mx.nd.array([value, 0, 0, 0, 0]))
    z = both(views(both)).asnumpy()
    assert np.isfinite(z).all()
    np.testing.assert_allclose(softmax(z)[:, 0], 0.25, atol=1e-5)  # one stream is sure of it, the other of the rest
    both.multi_label = True
    z = both(views(both)).asnumpy()
    assert np.isfinite(z).all()
    np.testing.assert_allclose(1 / (1 + np.exp(-z[:, 0])), 0.25, atol=1e-5)


def test_streams_learn_apart():
    """A step of the joined network moves each stream as a step of its own network does."""
    both, streams = joined('twostream_tiny_custom', dropout=0.0)
    x, label = views(both, 4), mx.nd.array([0, 1, 2, 3])
    for net, given in zip((both, *streams), (x, x[:, :3].copy(), x[:, 3:].copy())):
        with autograd.record():
            loss = net.loss(net.branches(given), label)
        loss.backward()
    params = both._collect_params_with_prefix()
    for stream, net in zip(('rgb', 'flow'), streams):
        for part, p in net._collect_params_with_prefix().items():
            if p.grad_req != 'null':
                ours = params[stream_name(part, stream)].grad().asnumpy()
                np.testing.assert_allclose(ours, p.grad().asnumpy(), rtol=1e-3, atol=1e-5, err_msg=part)


def test_it_says_what_each_stream_sees():
    both, (rgb, flow) = joined('twostream_i3d_tiny_custom')
    x = views(both)
    maps = both.maps(x)
    np.testing.assert_array_equal(maps['rgb'].asnumpy(), rgb.maps(x[:, :3].copy())['F5'].asnumpy())
    np.testing.assert_array_equal(maps['flow'].asnumpy(), flow.maps(x[:, 3:].copy())['F5'].asnumpy())
    assert [kind.branch for kind in both.feature_kinds] == ['rgb', 'flow']
    assert both.branches.backbone.geometry(5) == rgb.branches.backbone.geometry(5)
    assert count(both).macs == count(rgb).macs + count(flow).macs
    assert count(both).backbone_parameters == sum(count(net).backbone_parameters for net in (rgb, flow))


@pytest.mark.parametrize('name', ['twostream_i3d_tiny_custom', 'fused3d_tiny_custom'])
def test_freezing_a_stage_freezes_it_in_both_streams(name):
    net = randomized(name)
    freeze_parts(net, TrainConfig(freeze=['stem', 'res2']))
    x = views(net, 4)
    with autograd.record():
        loss = net.loss(net.branches(x), mx.nd.array([0, 1, 2, 3]))
    before = parameters(net)
    loss.backward()
    mx.nd.waitall()
    params, frozen = net._collect_params_with_prefix(), []
    for part, value in parameters(net).items():
        if '.stem.' in part or '.res2.' in part:
            frozen.append(part)
            assert params[part].grad_req == 'null'
            np.testing.assert_array_equal(value, before[part])
    assert {part.split('.')[2] for part in frozen} == {'rgb', 'flow'}


def test_a_fingerprint_is_of_both_streams():
    net = randomized('twostream_i3d_tiny_custom')
    backbone = net.branches.backbone
    before = {stage: fingerprint(backbone, stage) for stage in (3, 5)}
    assert len({print.layers for print in before.values()}) == 2
    weight = net._collect_params_with_prefix()['branches.backbone.flow.res4.0.conv1.weight']
    weight.set_data(weight.data() + 1)
    assert fingerprint(backbone, 3) == before[3]
    assert fingerprint(backbone, 5).weights != before[5].weights
    assert fingerprint(backbone, 5).layers == before[5].layers


def test_what_cannot_be_two_streams_is_refused():
    with pytest.raises(UserError, match='backbone i3d_tiny has one stream; choose one of two, for example twostream_'):
        TwoStream.build('i3d_tiny', 5)
    with pytest.raises(UserError, match='rgb_weight -1 and flow_weight 1.0: give numbers of 0 or more'):
        factory.build('twostream_tiny_custom', 5, rgb_weight=-1)
    with pytest.raises(UserError, match='flow_weight 0: give'):
        factory.build('twostream_tiny_custom', 5, rgb_weight=0, flow_weight=0)
    with pytest.raises(UserError, match='does not give the features of each frame'):
        Fused3D.build('twostream_i3d_inceptionv1_same', 5)
    with pytest.raises(UserError, match='channels must be at least 1, got 0'):
        Fused3D.build('r2d_tiny', 5, channels=0)
    net = randomized('twostream_i3d_tiny_custom')
    with pytest.raises(UserError, match=r'has shape \(2, 3, 8, 48, 48\); this network takes \(N, 5, T, H, W\)'):
        net(mx.nd.zeros((2, 3, 8, 48, 48)))


# As the paper has them ------------------------------------------------------------------------------------------------


def trainable(name, nclass=None):
    params = factory.build(name, nclass)._collect_params_with_prefix()
    return sum(math.prod(p.shape) for p in params.values() if p.grad_req != 'null')


GOOGLENET = 6_624_904 - 1025 * 1000  # torchvision's googlenet, without its classifier of ImageNet's classes
I3D = 12_287_264  # a stream of the authors' network without classifier


def test_parameters_are_as_many_as_in_table_1():
    """12, 39 and 25 million for Kinetics' 400 classes; the first two also by torchvision's count of one Inception."""
    found = {
        name: trainable(f'{name}_kinetics400')
        for name in ('twostream_inceptionv1', 'fused3d_inceptionv1', 'twostream_i3d_inceptionv1_same')
    }
    streams = 2 * GOOGLENET + 64 * 49 * (20 - 3)
    assert found['twostream_inceptionv1'] == streams + 2 * 1025 * 400
    assert found['fused3d_inceptionv1'] == streams + 2048 * 512 * 27 + 2 * 512 + 513 * 400
    assert found['twostream_i3d_inceptionv1_same'] == 2 * I3D - 64 * 343 + 2 * 1025 * 400
    for given, million in zip(found.values(), (12, 39, 25)):
        assert abs(given / 1e6 - million) < 0.05 * million


def test_it_costs_what_others_report():
    """SlowFast (Feichtenhofer et al. 2019, table 2) gives Two-Stream I3D 216 G multiply-adds on 64 frames."""
    net = factory.build('twostream_i3d_inceptionv1_same_kinetics400')
    assert count(net, (1, 5, 64, 224, 224)).macs == pytest.approx(216e9, rel=0.02)


@pytest.mark.parametrize('dataset', ['kinetics400', 'minikinetics', 'ucf101', 'hmdb51', 'custom'])
def test_every_dataset_has_both_streams_and_each(dataset):
    """The view of both is those of the two, one behind the other; so are the backbones."""
    for both, rgb, flow in (
        ('twostream_inceptionv1_{}', 'twostream_inceptionv1_rgb_{}', 'twostream_inceptionv1_flow_{}'),
        ('fused3d_inceptionv1_{}', 'fused3d_inceptionv1_rgb_{}', 'fused3d_inceptionv1_flow_{}'),
        ('twostream_i3d_inceptionv1_same_{}', 'i3d_inceptionv1_same_{}', 'i3d_inceptionv1_same_flow_{}'),
    ):
        settings = [factory.setting(name.format(dataset)) for name in (both, rgb, flow)]
        specs = [setting.input_spec for setting in settings]
        assert specs[0].mean == specs[1].mean + specs[2].mean and specs[0].std == specs[1].std + specs[2].std
        shown = [spec.replace(mean=(0.5,) * 3, std=(0.5,) * 3) for spec in specs]
        assert shown[0] == shown[1] == shown[2] and len({setting.nclass for setting in settings}) == 1
        backbones = [factory.model_entry(name.format(dataset)).backbone for name in (both, rgb, flow)]
        assert TWO_STREAM[backbones[0]] == tuple(backbones[1:])


@pytest.mark.parametrize('name, frames, stride, fields', [
    ('twostream_inceptionv1_custom', 1, 1, 10), ('fused3d_inceptionv1_custom', 5, 10, 10),
    ('twostream_i3d_inceptionv1_same_custom', 64, 1, 1),
])  # fmt: skip
def test_views_are_those_of_table_1(name, frames, stride, fields):
    spec = factory.setting(name).input_spec
    assert (spec.frames, spec.frame_stride, spec.crop_size) == (frames, stride, 224)
    assert spec.channels == 3 + 2 * fields and spec.segments == 1


def test_features_are_fused_on_a_grid_of_5_by_7_by_7():
    net = factory.build('fused3d_inceptionv1_kinetics400')
    symbol = net.branches.backbone(mx.sym.var('data'))[3]
    nodes, shapes = inferred_shapes(symbol, (1, 23, 5, 224, 224), 'net', None)
    assert shapes[len(nodes) - 1, 0] == (1, 2048, 5, 7, 7)
    shown = net.views['fused'](mx.sym.var('data'))
    nodes, shapes = inferred_shapes(shown, (1, 23, 5, 224, 224), 'net', None)
    assert shapes[len(nodes) - 1, 0] == (1, 512, 3, 4, 4)


def test_streams_of_other_grids_cannot_stand_side_by_side():
    with pytest.raises(UserError, match='whose features lie on the same grid'):
        TwoStreamBackbone(BACKBONES['i3d_inceptionv1_same'], BACKBONES['i3d_tiny_flow'])


# The boring video (sec. 2.4) ------------------------------------------------------------------------------------------


def outputs_of_layers(net, x):
    """Structural name -> output of every layer and block of an Inception, called imperatively."""
    seen, hooks = {}, []

    def follow(block, path):
        for name, child in block._children.items():
            here = f'{path}.{name}'
            hooks.append(child.register_forward_hook(lambda _, __, out, here=here: seen.setdefault(here, out)))
            follow(child, here)

    follow(net, '')
    net(x)
    for hook in hooks:
        hook.detach()
    return {name: out.asnumpy() for name, out in seen.items() if not isinstance(out, (list, tuple))}


@pytest.mark.parametrize('channels', [3, 2])
def test_a_boring_video_gives_the_images_activations_at_every_layer_inside_the_padding(channels):
    """A 2-D Inception-V1 inflated, each stream of (e): on 128 frames of one image, every one of the 57 convolutions, 57
    batch norms, ReLUs and 13 poolings gives at each frame what the image gives, to 1e-5 of the layer's largest value,
    wherever its receptive field of up to 99 frames lies within the video. Beyond, it does not.
    """
    frames = 128
    flat, deep = InceptionV1(2, 'same', channels), InceptionV1(3, 'same', channels)
    assert deep.geometry(5).field[0] == 99
    randomize(flat)
    deep.initialize()
    params = deep._collect_params_with_prefix()
    given = {name: p.data() for name, p in flat._collect_params_with_prefix().items()}
    for name, value in inflate_all(given, {name: p.shape for name, p in params.items()}).items():
        params[name].set_data(value)
    image = mx.nd.random.normal(shape=(1, channels, 33, 40))
    clip = mx.nd.repeat(mx.nd.expand_dims(image, axis=2), repeats=frames, axis=2)
    images, clips = outputs_of_layers(flat, image), outputs_of_layers(deep, clip)
    kinds = {name: type(layer).__name__ for name, layer in _layers(deep)}
    assert sum('Conv' in kind for kind in kinds.values()) == 57
    inside, broken = 0, 0
    for name, activation in clips.items():
        if name.startswith('.head_pool'):
            continue
        expected, where = images[name], _whole_field(deep, name, frames)
        assert activation.shape[2] == len(where) and where.any(), name
        scale = np.abs(expected).max()
        error = np.abs(activation - expected[:, :, None]).max(axis=(0, 1, 3, 4)) / scale
        assert (error[where] <= 1e-5).all(), (name, error[where].max())
        inside += where.sum()
        broken += error[0] > 1e-3
    assert inside > 1000 and broken > 100


def _layers(net):
    for name in net._children:
        if name.startswith(('stem', 'res')):
            yield from ((f'.{name}{path}', layer) for path, layer in _leaves(net._children[name]))


def _leaves(block):
    if not block._children:
        yield '', block
    for name, child in block._children.items():
        yield from ((f'.{name}{path}', layer) for path, layer in _leaves(child))


def _whole_field(net, name, frames):
    """Positions in time of a layer's output whose receptive field, of all that its block sees, lies in the video."""
    stage, *rest = name[1:].split('.')
    before = [] if stage == 'stem' else net.path(int(stage[3:]) - 1 if stage != 'res2' else 0)
    if stage == 'res2':
        before = [net.stem]
    children = list(getattr(net, stage)._children.values())
    blocks = [*before, *children[: int(rest[0]) + 1 if rest else len(children)]]
    place = geometry(blocks)
    length = frames
    for block in blocks:
        length = positions([block], 0, length)
    centers = place.offset[0] + place.stride[0] * np.arange(length)
    return (centers - place.field[0] // 2 >= 0) & (centers + place.field[0] // 2 <= frames - 1)
