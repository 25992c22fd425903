"""Grad-CAM against independent gradients: NumPy, PyTorch, and finite differences of what it sums up to."""

import threading

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn
from networks import moderate

from gluon_fg import factory
from gluon_fg.analysis.grad_cam import GradCam, grad_cam, layers_of
from gluon_fg.analysis.layer_graph import LayerGraph
from gluon_fg.analysis.layer_maps import signed_maps
from gluon_fg.analysis.network_facts import spec_of
from gluon_fg.data.video import ArrayReader
from gluon_fg.deploy.folding import fold
from gluon_fg.deploy.peers.graph_files import describe
from gluon_fg.errors import UserError
from gluon_fg.nn.batch_norm_lstm import set_length
from gluon_fg.nn.norm import deploy_symbol

RNG = np.random.default_rng(0)


def noise(shape):
    return mx.nd.array(RNG.normal(size=shape))


def film(frames=12, height=40, width=56):
    return ArrayReader('film.mp4', RNG.integers(0, 255, (frames, height, width, 3), dtype=np.uint8), 10.0)


def close(ours, theirs):
    """Whether they are equal to 1e-5 of the largest value."""
    assert ours.shape == theirs.shape and np.abs(theirs).max() > 0
    return np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


# Against NumPy ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name, shape', [('i3d_tiny_synthfg', (1, 3, 8, 48, 56)), ('tsn_tiny_synthfg', (4, 3, 48, 56))])
def test_behind_average_pooling_the_gradient_is_the_classifier(name, shape):
    """z_c = W_c mean(F5) + b_c: each position of F5 has the gradient W_c over their number, segments included."""
    net = factory.build(name, nclass=5, **({'num_segments': 4} if len(shape) == 4 else {}))
    net.initialize(mx.init.MSRAPrelu('in', 0))
    graph = LayerGraph(net, shape)
    passed = graph.passing('F5')(noise(shape))
    weights, bias = (p.data().asnumpy() for p in (net.branches.classifier.weight, net.branches.classifier.bias))
    for chosen in (np.eye(5)[3], np.eye(5)[1] - np.eye(5)[4]):  # a class, a pair
        (gradient,) = passed.gradient(chosen)
        places = gradient.size // gradient.shape[1]
        expected = np.broadcast_to(
            (chosen @ weights / places)[(slice(None), *[None] * (len(shape) - 2))], gradient.shape
        )
        assert close(gradient, expected)
        features = passed.features[0]
        moments = features[0].swapaxes(0, 1) if len(shape) == 5 else features
        slopes = gradient[0].swapaxes(0, 1) if len(shape) == 5 else gradient
        maps = signed_maps(moments, slopes)
        assert close(maps, np.einsum('k,tkij->tij', chosen @ weights / places, moments.astype(float)))
        assert maps.sum() == pytest.approx(chosen @ (passed.logits[0][0] - bias), rel=1e-4)


def test_maps_are_what_speaks_for_a_class_moment_by_moment():
    features, gradient = RNG.normal(size=(2, 3, 4, 5)), RNG.normal(size=(2, 3, 4, 5))
    expected = np.zeros((2, 4, 5))
    for t in range(2):
        for k in range(3):
            expected[t] += gradient[t, k].mean() * features[t, k]
    np.testing.assert_allclose(signed_maps(features, gradient), expected, rtol=1e-12)


# Against PyTorch -------------------------------------------------------------------------------------------------


def torch_gradient(net, shape, layer, x, weights):
    """Gradient of the prediction with respect to a layer's output, by PyTorch's autograd over the inference graph."""
    torch = pytest.importorskip('torch')
    from gluon_fg.deploy.peers.torch_network import OPERATORS, TorchNetwork

    set_length(net, shape[2])
    symbol, params = deploy_symbol(getattr(net, 'branches', net))
    symbol, params = fold(symbol[0], params, shape)
    arrays = {name.split(':', 1)[1]: value.asnumpy() for name, value in params.items()}
    module = TorchNetwork(describe(symbol, shape, 'network'), arrays)
    graph = LayerGraph(net, shape)
    output = graph._nodes[graph._entries[layer][0][0]]['name']
    values, node_of = {}, {node.name: number for number, node in enumerate(module._nodes)}
    for number, node in enumerate(module._nodes):
        if node.op == 'null':
            leaf = torch.from_numpy(x.asnumpy()).requires_grad_() if node.name == 'data' else None
            values[number, 0] = getattr(module, f'p{number}') if leaf is None else leaf
        else:
            result = OPERATORS[node.op](node, *(values[source] for source in node.inputs))
            outputs = result if isinstance(result, (list, tuple)) else [result]
            values.update({(number, index): value for index, value in enumerate(outputs)})
    logit = (values[tuple(module._heads[0])] * torch.tensor(weights, dtype=torch.float32)).sum()
    features = values[node_of[output], 0]
    return features.detach().numpy(), torch.autograd.grad(logit, features)[0].numpy()


# Inputs and classifiers are small, so that no softmax is all but 0 and 1, where float32 has few digits left.
CASES = [
    ('i3d_tiny_synthfg', (2, 3, 8, 40, 48), 'F3'),
    ('i3d_tiny_synthfg', (1, 3, 8, 41, 47), 'res4.0.conv1'),
    ('tsn_tiny_synthfg', (3, 3, 40, 48), 'F4'),
    ('i3d_tiny_synthfg_dfb', (1, 3, 8, 48, 56), 'F4'),
    ('i3d_tiny_synthfg_dfb', (1, 3, 8, 48, 56), 'local'),
    ('i3d_tiny_synthfg_cidc', (1, 3, 8, 48, 48), 'F4'),
    ('topheavy_tiny_synthfg_u2s', (1, 3, 8, 48, 48), 'F5'),
    ('i3d_tiny_synthfg_lstm', (1, 3, 8, 48, 48), 'F5'),
    ('i3d_tiny_synthfg_attention', (1, 3, 8, 48, 48), 'F5'),
    ('lstm_tiny_custom', (1, 3, 8, 48, 48), 'F5'),
    ('c3d_tiny_custom', (1, 3, 8, 48, 56), 'F4'),
    ('fused3d_tiny_custom', (1, 7, 3, 48, 48), 'rgb.res5'),
    ('twostream_tiny_custom', (1, 13, 48, 48), 'flow.res4'),
]


@pytest.mark.parametrize('name, shape, layer', CASES, ids=[f'{name}-{layer}' for name, _, layer in CASES])
def test_gradients_of_every_family_equal_pytorchs(name, shape, layer):
    net = moderate(name)
    net.num_segments = shape[0] if name.startswith('tsn') else 1
    for p in net.collect_params('.*dense.*weight').values():
        p.set_data(p.data() / 100)
    x, weights = noise(shape) / 10, np.array([0, 1, 0, -1, 0.5])
    passed = LayerGraph(net, shape).passing(layer)(x)
    features, gradient = torch_gradient(net, shape, layer, x, weights)
    assert close(passed.features[0], features)
    assert close(passed.gradient(weights)[0], gradient)


class Plain(nn.HybridSequential):
    """Convolutions, plain batch norms, max pooling and dropout, as somebody's own network, on clips or images."""

    def __init__(self, ndim, channels, norm=nn.BatchNorm):
        super().__init__()
        conv, pool = (nn.Conv3D, nn.MaxPool3D) if ndim == 3 else (nn.Conv2D, nn.MaxPool2D)
        self.nclass = 4
        with self.name_scope():
            for number, width in enumerate(channels):
                self.add(conv(width, 3, padding=1, use_bias=False), norm(), nn.Activation('relu'))
                if number == 0:
                    self.add(pool(2, 2))
            self.add(nn.Flatten(), nn.Dropout(0.5), nn.Dense(4))


@pytest.mark.parametrize('channels', [(16, 32), (7, 13), (16, 5)])
@pytest.mark.parametrize('ndim', [3, 2])
def test_gradients_of_other_networks_equal_pytorchs(ndim, channels):
    """Channels that are multiples of 16 take other ways through oneDNN; plain batch norm fails there on clips."""
    net, shape = Plain(ndim, channels), (2, 3, 4, 12, 10)[: ndim + 2] if ndim == 3 else (2, 3, 12, 10)
    net.initialize(mx.init.MSRAPrelu('in', 0))
    x = noise(shape)
    net(x)
    for p in net.collect_params('.*(gamma|beta|running_mean|running_var)').values():
        p.set_data(mx.nd.random.uniform(0.5, 1.5, p.shape))
    weights = np.array([1, -1, 0, 0.5])
    for layer in ('3', '0'):  # the pooling, and the convolution in front of it
        passed = LayerGraph(net, shape).passing(layer)(x)
        assert close(passed.logits[0], net(x).asnumpy())
        features, gradient = torch_gradient(net, shape, layer, x, weights)
        assert close(passed.features[0], features)
        assert close(passed.gradient(weights)[0], gradient)


# What is left as it was ------------------------------------------------------------------------------------------


def test_the_network_is_left_as_it_was():
    net = factory.get_model('i3d_tiny_synthfg', pretrained=True)
    net.hybridize(static_alloc=True, static_shape=True)
    net.branches.backbone.collect_params().setattr('grad_req', 'null')  # frozen
    x = noise((1, 3, 8, 54, 54))
    before, graph = net(x).asnumpy(), net._cached_op
    values = {name: p.data().asnumpy() for name, p in net.collect_params().items()}
    first, second = (grad_cam(net, film(), target=3).maps.maps for _ in range(2))
    assert net._cached_op is graph is not None and net._active
    assert (net(x).asnumpy() == before).all()
    assert {p.grad_req for p in net.branches.backbone.collect_params().values()} == {'null'}
    assert {p.grad_req for p in net.branches.classifier.collect_params().values()} == {'write'}
    assert not any(block._forward_hooks for block in (net.branches.backbone, net.branches.backbone.res5))
    assert all((p.data().asnumpy() == values[name]).all() for name, p in net.collect_params().items())
    assert (net.branches.classifier.weight.grad().asnumpy() == 0).all()


def test_a_frozen_network_has_the_maps_of_a_trainable_one():
    video, maps = film(), []
    net = factory.get_model('i3d_tiny_synthfg', pretrained=True)
    for wanted in ('write', 'null', 'add'):
        net.collect_params('.*(weight|gamma|beta|bias)').setattr('grad_req', wanted)
        maps.append(grad_cam(net, video, target=3, layer='F3').maps.maps)
    assert (maps[0] == maps[1]).all() and (maps[0] == maps[2]).all() and maps[0].max() > 0


def test_threads_share_a_network():
    net, videos = factory.get_model('i3d_tiny_synthfg', pretrained=True), [film() for _ in range(4)]
    alone = [grad_cam(net, video, target=2).maps.maps for video in videos]
    together = [None] * 4

    def work(number):
        together[number] = grad_cam(net, videos[number], target=2).maps.maps

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((a == b).all() for a, b in zip(alone, together))


# Evidence of videos ----------------------------------------------------------------------------------------------


def test_evidence_for_a_pair_is_what_the_classes_differ_in():
    net, video = factory.get_model('i3d_tiny_synthfg', pretrained=True), film()
    cam = GradCam(net, 'F5')
    a, b, pair, back = cam.answers(video, [(1, None), (2, None), (1, net.classes[0]), (net.classes[0], 1)])
    assert back.target == pair.against == 0 and pair.title == 'evidence for {1} over {0}'.format(*net.classes)
    assert back.total == pytest.approx(-pair.total) and not ((pair.maps.maps > 0) & (back.maps.maps > 0)).any()
    zero = cam(video, 0)
    assert pair.total == pytest.approx(a.total - zero.total) and a.total != b.total
    assert pair.maps.maps.min() >= 0 and pair.maps.limits == (0.0, pair.maps.maps.max())
    assert pair.maps.heat(0).shape == (40, 56)


def test_a_film_is_clips_one_behind_the_other():
    net, video = factory.get_model('i3d_tiny_synthfg', pretrained=True), film(20)
    whole = grad_cam(net, video, target=4, whole=True)
    assert whole.clips == [(0, 7), (8, 15), (12, 19)]  # the last one ends with the video
    assert list(whole.maps.frames) == list(range(20))
    for start, frames in ((0, range(8)), (8, range(8, 16)), (12, range(16, 20))):
        clip = grad_cam(net, video, target=4, start=start)
        np.testing.assert_allclose(whole.maps.maps[frames], clip.maps.maps[np.array(frames) - start], atol=1e-6)
    predicted = grad_cam(net, video, whole=True)
    assert net.classes[predicted.target] == predicted.predictions[0][0]


def test_segments_are_moments():
    net = factory.get_model('tsn_tiny_synthfg')
    net.initialize(mx.init.MSRAPrelu('in', 0), force_reinit=True)
    seen = grad_cam(net, film(16), target=0)
    assert len(seen.maps.maps) == net.input_spec.segments == 8 and list(seen.maps.frames) == list(range(1, 16, 2))


def test_the_layer_is_the_last_that_every_branch_reads():
    net = factory.build('i3d_tiny_synthfg_dfb', nclass=5)
    net.initialize()
    graph = LayerGraph(net, (1, 3, 8, 48, 48))
    assert graph.default == 'F4' and graph.reads('F5') == [True, True, False, False]
    net.trained_branches = 'avg'
    assert GradCam(net).layer == 'F5'


def test_both_streams_say_how_much_is_theirs():
    net = moderate('twostream_i3d_tiny_custom')
    net.trained_branches = 'flow'
    seen = grad_cam(net, film(), target=1)
    assert set(seen.parts) == set(seen.totals) == {'rgb', 'flow'} and not seen.parts['rgb'].maps.any()
    assert seen.totals['rgb'] == 0 and seen.totals['flow'] == pytest.approx(seen.total) != 0
    np.testing.assert_allclose(seen.parts['flow'].maps, seen.maps.maps)
    assert list(seen.branches) == ['fused', 'rgb', 'flow'] and seen.branches['fused'] == seen.branches['flow']


def test_layers_that_there_are_not():
    net = factory.build('i3d_tiny_synthfg', nclass=5)
    net.initialize()
    assert (
        layers_of(net)[:4] == ('F2', 'F3', 'F4', 'F5') and 'stem' in layers_of(net) and 'res4.0.conv1' in layers_of(net)
    )
    with pytest.raises(
        UserError, match="has no layer 'res6'; did you mean 'res5'.* choose from F2, F3, F4, F5, or a block"
    ):
        grad_cam(net, film(), layer='res6')
    with pytest.raises(UserError, match="unknown class of .*'square'"):
        grad_cam(net, film(), target='square')
    with pytest.raises(UserError, match='over itself'):
        grad_cam(net, film(), target=1, against=1)
    net.branches.classifier.weight.set_data(net.branches.classifier.weight.data() * np.nan)
    with pytest.raises(UserError, match='not finite'):
        grad_cam(net, film())


def test_networks_of_gluoncv_say_less_of_themselves():
    from gluoncv.model_zoo.action_recognition.actionrec_resnetv1b import ActionRecResNetV1b

    net = ActionRecResNetV1b(18, 6, pretrained_base=False, num_segments=2)
    net.initialize(mx.init.MSRAPrelu('in', 0), force_reinit=True)
    net(noise((2, 3, 64, 64)))
    spec = spec_of(net).replace(short_side=64, crop_size=64)
    assert spec.segments == 2 and spec.ndim == 2
    first, second = GradCam(net, spec=spec).answers(film(), [(5, None), (4, None)])
    bias = net.output.bias.data().asnumpy()
    assert first.layer == 'layer4' and first.maps.maps.shape == (2, 2, 3) and first.title == 'evidence for class 5'
    odds = first.branches[''] / second.branches['']
    assert first.total - second.total + bias[5] - bias[4] == pytest.approx(np.log(odds), abs=1e-4) != 0
