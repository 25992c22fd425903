"""ConvNet + LSTM of Quo Vadis against NumPy from its parameters, and what training on all steps means."""

import mxnet as mx
import numpy as np
import pytest
import reference
from mxnet import autograd, gluon
from networks import CLASSES, parameters, randomize_norms, randomized

from gluon_fg import factory
from gluon_fg.deploy.flops import count
from gluon_fg.deploy.fused import fuse
from gluon_fg.errors import UserError
from gluon_fg.evaluation.load import load_network
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.recognizers import ConvNetLSTM
from gluon_fg.weights.warm_start import warm_start

STATIC = dict(static_alloc=True, static_shape=True)


def clips(net, count=2, frames=8, height=48, width=48):
    return mx.nd.random.normal(shape=(count, net.input_spec.channels, frames, height, width))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Reference(reference.TinyDFB):
    """The tiny network on every frame, and Cooijmans' LSTM; gives the logits of all steps. float64."""

    def norm_of(self, x, kind, at, gamma, beta):
        at = min(at, sum(n.startswith(f'branches.lstm.{kind}_norms.') for n in self.params) // 2 - 1)
        kept = [self.params[f'branches.lstm.{kind}_norms.{at}.running_{part}'] for part in ('mean', 'var')]
        return reference.batch_norm(x, gamma, beta, *(kept if self.statistics == 'running' else ()))

    def __call__(self, x):
        p = {name[len('branches.lstm.') :]: v for name, v in self.params.items() if name.startswith('branches.lstm.')}
        frames = np.moveaxis(self.stages(x.astype('float64'))[5].mean((3, 4)), 2, 0)  # (T, N, C)
        h = c = np.zeros((len(x), p['h2h_weight'].shape[1]))
        logits = []
        for t, frame in enumerate(frames):
            gates = self.norm_of(frame @ p['i2h_weight'].T, 'input', t, p['input_gamma'], p['bias'])
            if t:
                gates = gates + self.norm_of(h @ p['h2h_weight'].T, 'hidden', t - 1, p['hidden_gamma'], 0 * p['bias'])
            i, f, g, o = np.split(gates, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(self.norm_of(c, 'cell', t, p['cell_gamma'], p['cell_beta']))
            logits.append(h @ self.params['branches.classifier.weight'].T + self.params['branches.classifier.bias'])
        return np.stack(logits, 1)

    def loss(self, x, label):
        logits = self(x)
        return sum(reference.cross_entropy(logits[:, t], label).mean() for t in range(8)) / 8


@pytest.mark.parametrize('name', ['lstm_tiny_custom', 'lstm_tiny_flow_custom'])
@pytest.mark.parametrize('static', [False, True])
def test_it_equals_numpy_at_every_step(name, static):
    net = randomized(name)
    expected = Reference(parameters(net), CLASSES, statistics='running')
    net.hybridize(static, **STATIC)
    for frames, height, width in ((8, 48, 48), (11, 33, 40), (3, 48, 48)):  # behind the statistics the last step's
        x = clips(net, 2, frames, height, width)
        steps = expected(x.asnumpy())
        prediction, every = net.branches(x)
        np.testing.assert_allclose(every.asnumpy(), steps, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(prediction.asnumpy(), steps[:, -1], rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(net(x).asnumpy(), prediction.asnumpy())
        state = net.features(x)[0].asnumpy()[:, :, 0, 0, 0]  # what the classifier reads
        w, b = net.branches.classifier.weight.data().asnumpy(), net.branches.classifier.bias.data().asnumpy()
        np.testing.assert_allclose(state @ w.T + b, prediction.asnumpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('static', [False, True])
def test_loss_and_gradients_equal_numpy(static):
    """Slopes of the reference along the gradient itself, parameter by parameter."""
    net = randomized('lstm_tiny_custom')
    net.hybridize(static, **STATIC)
    x, label = clips(net, 6), np.array([0, 1, 2, 3, 4, 0])
    before = parameters(net)
    with autograd.record():
        outputs = net.branches(x)
        loss = net.loss(outputs, mx.nd.array(label)).mean()
    loss.backward()
    ours = Reference(before, CLASSES)
    np.testing.assert_allclose(loss.asscalar(), ours.loss(x.asnumpy(), label), rtol=1e-4)
    params = net._collect_params_with_prefix()
    for name in ('lstm.i2h_weight', 'lstm.h2h_weight', 'lstm.bias', 'lstm.input_gamma', 'lstm.hidden_gamma',
                 'lstm.cell_gamma', 'lstm.cell_beta', 'classifier.weight', 'classifier.bias',
                 'backbone.res5.0.conv2.weight', 'backbone.res2.0.bn1.gamma'):  # fmt: skip
        gradient = params[f'branches.{name}'].grad().asnumpy().astype('float64')
        length = np.linalg.norm(gradient)
        assert length > 0, name
        kept, values = ours.params[f'branches.{name}'], []
        for step in (1e-5, -1e-5):
            ours.params[f'branches.{name}'] = kept + step * gradient / length
            values.append(ours.loss(x.asnumpy(), label))
        ours.params[f'branches.{name}'] = kept
        np.testing.assert_allclose((values[0] - values[1]) / 2e-5, length, rtol=2e-2, err_msg=name)


def test_all_steps_are_trained_and_the_last_predicts():
    net, label = randomized('lstm_tiny_custom'), mx.nd.array([1, 4], dtype='int32')
    outputs = net.branches(clips(net))
    named = net.named_losses(outputs, label)
    assert list(named) == ['lstm', 'steps'] and net.branch_names == ('lstm',) and net.auxiliary_names == ('steps',)
    z = outputs[1].asnumpy().astype('float64')
    every = np.stack([reference.cross_entropy(z[:, t], [1, 4]) for t in range(8)])
    np.testing.assert_allclose(net.loss(outputs, label).asnumpy(), every.mean(0), rtol=1e-5)
    np.testing.assert_allclose(named['lstm'].asnumpy(), every[-1], rtol=1e-5)
    hot = mx.nd.one_hot(label, CLASSES)
    np.testing.assert_allclose(net.loss(outputs, hot).asnumpy(), every.mean(0), rtol=1e-5)
    other = mx.nd.array([0, 2])
    mixed = net.loss(outputs, 0.3 * hot + 0.7 * mx.nd.one_hot(other, CLASSES)).asnumpy()
    np.testing.assert_allclose(mixed, 0.3 * every.mean(0) + 0.7 * net.loss(outputs, other).asnumpy(), rtol=1e-5)


def test_videos_may_have_several_labels():
    net = randomized('lstm_tiny_custom')
    net.multi_label = True
    outputs = net.branches(clips(net))
    target = np.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 1]])
    z = outputs[1].asnumpy().astype('float64')
    every = np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0) - z * target[:, None]
    np.testing.assert_allclose(net.loss(outputs, mx.nd.array(target)).asnumpy(), every.mean((1, 2)), rtol=1e-4)


@pytest.mark.parametrize('form', ['static', 'fused'])
def test_one_length_after_another(form):
    """The network and its branches have graphs of their own, each of one length."""
    net = randomized('lstm_tiny_custom')
    given = [clips(net, 2), clips(net, 3, 5, 41, 60), clips(net, 1, 1), clips(net, 2, 11, 33, 33), clips(net, 2)]
    expected = [net(x).asnumpy() for x in given]
    net.hybridize(form == 'static', **STATIC)
    forward = fuse(net) if form == 'fused' else net.branches
    for number in (0, 1, 2, 3, 4, 0, 2, 1):
        for call in (net, lambda x: forward(x)[0]):
            np.testing.assert_allclose(call(given[number]).asnumpy(), expected[number], rtol=1e-4, atol=1e-4)
        net(given[number - 1])  # which leaves the branches' graph at another length than the network's


def test_training_goes_on_after_a_look_at_longer_clips():
    """As validation does in a run: by a static graph it comes to what it comes to without one."""
    kept = []
    for static in (False, True):
        mx.random.seed(3)
        np.random.seed(3)
        net = factory.get_model('lstm_tiny_custom', nclass=CLASSES)
        net.hybridize(static, **STATIC)
        trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.05, 'momentum': 0.9})
        x, label = clips(net, 6), mx.nd.array([0, 1, 2, 3, 4, 0])
        longer, seen = clips(net, 2, 12, 33, 33), []
        for _ in range(4):
            with autograd.record():
                loss = net.loss(net.branches(x), label)
            loss.backward()
            trainer.step(6)
            seen += [net(longer).asnumpy(), loss.asnumpy()]
        kept.append(seen)
    for plain, graph in zip(*kept):
        np.testing.assert_allclose(graph, plain, rtol=2e-3, atol=2e-3)
    assert kept[0][-1].mean() < 0.8 * kept[0][1].mean()


def test_training_needs_all_steps_that_have_statistics():
    net = randomized('lstm_tiny_custom')
    with autograd.record():
        net.branches(clips(net, 2, 11))
        with pytest.raises(UserError, match='clips of 7 frames; .* train on 8 frames, or build it with frames=7'):
            net.branches(clips(net, 2, 7))
    shorter = factory.build('lstm_tiny_custom', nclass=CLASSES, frames=7)
    assert shorter.input_spec.frames == 7 and shorter.branches.lstm.steps == 7
    shorter.initialize()
    with autograd.record():
        assert shorter(clips(net, 2, 7)).shape == (2, CLASSES)


def test_a_file_tells_how_many_frames_its_network_was_trained_on(tmp_path):
    net = randomized('lstm_tiny_custom', frames=5)
    net.save_parameters(str(tmp_path / 'five.params'))
    other = load_network('lstm_tiny_custom', str(tmp_path / 'five.params'), nclass=CLASSES)
    assert other.branches.lstm.steps == other.input_spec.frames == 5
    x = clips(net, 2, 7)
    np.testing.assert_array_equal(other(x).asnumpy(), net(x).asnumpy())


def test_it_has_the_parameters_and_the_input_of_the_paper():
    """Table 1: 9 M parameters, 25 frames over 5 seconds, 50 over 10 in testing; sec. 2: 512 units."""
    net = factory.build('lstm_inceptionv1_kinetics400')
    cost = count(net)
    assert abs(cost.parameters - 9e6) < 0.05 * 9e6 and not cost.unknown
    # torchvision counts 6,624,904 for its googlenet, with a classifier; 4 gates, and the classifier of 400
    assert cost.parameters == 6_624_904 - 1025 * 1000 + 2048 * (1024 + 512) + 3 * 2048 + 2 * 512 + 513 * 400
    spec = net.input_spec
    assert (spec.frames, spec.frame_stride, spec.crop_size, spec.short) == (25, 5, 224, 'loop')
    assert net.branches.lstm.h2h_weight.shape == (4 * 512, 512)
    protocol = get_protocol(net.protocol)
    assert (protocol.shown(spec).frames, protocol.count()) == (50, 1)
    # multiply-adds grow with the clip, and only with it
    dense = [count(net, (1, 3, frames, 224, 224)).macs for frames in (2, 3, 4)]
    assert dense[1] - dense[0] == dense[2] - dense[1] and 25 * (dense[1] - dense[0]) - cost.macs == 2048 * 512
    flow = factory.build('lstm_inceptionv1_flow_custom', nclass=3)
    assert (flow.input_spec.channels, flow.input_spec.fields) == (10, 5)  # the fields of five frames, each once


def test_a_network_of_frames_starts_it_and_its_classifier_stays_new(tmp_path):
    frames = factory.build('tsn_inceptionv1_custom', nclass=CLASSES)
    frames.initialize(mx.init.MSRAPrelu('in', 0))
    randomize_norms(frames)
    frames.save_parameters(str(tmp_path / 'frames.params'))
    net = factory.build('lstm_inceptionv1_custom', nclass=CLASSES, frames=3)
    net.initialize(mx.init.MSRAPrelu('in', 0))
    report = warm_start(net, tmp_path / 'frames.params')
    assert report.resized == ['branches.classifier.weight'] and net.trained_branches == ('lstm',)
    assert not report.inflated and all('.lstm.' in name for name in report.new)
    assert set(net.class_parameters()) == {'branches.classifier.weight', 'branches.classifier.bias'}
    x = clips(net, 1, 3, 64, 71)
    one_by_one = frames.branches.backbone(mx.nd.transpose(x[0], axes=(1, 0, 2, 3)))[3].asnumpy()
    together = net.maps(x)['F5'].asnumpy()[0].transpose(1, 0, 2, 3)
    np.testing.assert_allclose(together, one_by_one, rtol=0, atol=1e-5 * np.abs(one_by_one).max())


@pytest.mark.parametrize('options, message', [
    ({'backbone': 'inceptionv1'}, 'backbone inceptionv1 does not give the features of each frame'),
    ({'backbone': 'i3d_inceptionv1'}, 'backbone i3d_inceptionv1 does not give .* for example inceptionv1_frames'),
    ({'units': 0}, 'units must be at least 1, got 0'),
    ({'frames': 1}, 'frames must be at least 2, got 1'),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(options, message):
    with pytest.raises(UserError, match=message):
        ConvNetLSTM.build(**{'backbone': 'r2d_tiny', 'nclass': 5, **options})
