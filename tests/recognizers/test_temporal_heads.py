"""CIDC's rivals of Table 5a, against dense layers on concatenations as the paper puts it."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from networks import CLASSES, randomized

from gluon_fg import factory
from gluon_fg.deploy.fused import fuse
from gluon_fg.errors import UserError
from gluon_fg.recognizers import LSTMHead, SelfAttentionHead
from gluon_fg.weights.warm_start import warm_start

STATIC = dict(static_alloc=True, static_shape=True)
HEADS = ['lstm', 'attention']


def network(head, backbone='i3d_tiny', **options):
    return randomized(f'{backbone}_custom_{head}', **options)


def clips(count=2, frames=8, height=48, width=48):
    return mx.nd.random.normal(shape=(count, 3, frames, height, width))


def values(*arrays):
    return [a.asnumpy().astype('float64') for a in arrays]


def assert_close(found, expected):
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a.asnumpy(), b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('static', [False, True])
def test_the_lstm_joins_behind_the_pooling(static):
    net = network('lstm')
    branches, x = net.branches, clips()
    f5 = branches.backbone(x)[3]
    avg, answer = values(f5.mean(axis=(2, 3, 4)), branches.lstm(f5))
    w, v, b = values(
        branches.classifier.weight.data(), branches.lstm_classifier.weight.data(), net.branches.classifier.bias.data()
    )
    fused = np.concatenate([avg, answer], 1) @ np.concatenate([w, v], 1).T + b
    net.hybridize(static, **STATIC)
    assert_close(net.branches(x), [fused, avg @ w.T + b, answer @ v.T])
    assert_close([net(x)], [fused])


@pytest.mark.parametrize('static', [False, True])
def test_self_attention_joins_in_time_before_the_pooling(static):
    net = network('attention')
    branches, x = net.branches, clips()
    f5 = branches.backbone(x)[3]
    f5, attended = values(f5, branches.attention(f5))
    w, b = values(branches.classifier.weight.data(), branches.classifier.bias.data())
    both = np.concatenate([f5, attended], axis=2)
    expected = [f.mean((2, 3, 4)) @ w.T + b for f in (both, f5, attended)]
    net.hybridize(static, **STATIC)
    assert_close(net.branches(x), expected)
    assert_close([net(x)], expected[:1])


@pytest.mark.parametrize('head', HEADS)
def test_the_loss_is_that_of_the_prediction(head):
    net, label = network(head), mx.nd.array([1, 4])
    with autograd.record():
        outputs = net.branches(clips())
        loss = net.loss(outputs, label)
    z = outputs[0].asnumpy().astype('float64')
    expected = np.log(np.exp(z).sum(1)) - z[[0, 1], [1, 4]]
    np.testing.assert_allclose(loss.asnumpy(), expected, rtol=1e-4, atol=1e-5)
    assert list(net.named_losses(outputs, label)) == ['fused', 'avg', head]


def test_over_a_backbone_blind_to_order_the_lstm_alone_knows_it():
    x = clips()
    turned = mx.nd.reverse(x, axis=2)
    lstm, attention = (network(head, 'r2d_tiny') for head in HEADS)
    for net in (lstm, attention):
        avg, other = (net.branches(given)[1].asnumpy() for given in (x, turned))
        np.testing.assert_allclose(other, avg, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(attention(turned).asnumpy(), attention(x).asnumpy(), rtol=1e-4, atol=1e-4)
    assert np.abs((lstm(turned) - lstm(x)).asnumpy()).max() > 0.01


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('form', ['static', 'fused'])
def test_one_size_after_another(head, form):
    net = network(head)
    given = [clips(2), clips(3, 5, 41, 60), clips(1, 1), clips(2, 11, 33, 33), clips(2)]
    expected = [[z.asnumpy() for z in net.branches(x)] for x in given]
    net.hybridize(form == 'static', **STATIC)
    forward = fuse(net) if form == 'fused' else net.branches
    for x, z in zip(given, expected):
        assert_close(forward(x), z)


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('static', [False, True])
def test_a_baseline_starts_it_and_is_what_it_predicts_till_trained(head, static, tmp_path):
    baseline = factory.build('i3d_tiny_custom', nclass=CLASSES)
    baseline.initialize(mx.init.MSRAPrelu('in', 0))
    baseline.save_parameters(str(tmp_path / 'baseline.params'))
    net = factory.build(f'i3d_tiny_custom_{head}', nclass=CLASSES)
    net.initialize(mx.init.MSRAPrelu('in', 0))
    report = warm_start(net, tmp_path / 'baseline.params')
    assert set(report.loaded) == set(baseline._collect_params_with_prefix()) and not report.resized
    assert report.new and all(f'branches.{head}' in name for name in report.new)
    assert net.trained_branches == ('avg',)
    x = clips()
    plain = net.branches(x)
    net.hybridize(static, **STATIC)
    assert_close([net(x)], [baseline(x).asnumpy()])
    net.trained_branches = head
    assert_close([net(x), net.branches(x)[1]], [plain[2].asnumpy(), plain[1].asnumpy()])
    net.trained_branches = None
    both = plain[1].asnumpy() + plain[2].asnumpy()
    assert_close([net(x)], [both if head == 'lstm' else both / 2])


@pytest.mark.parametrize('head', HEADS)
def test_dropout_takes_from_all_that_is_classified(head):
    """With all dropped but a sliver the logits of training are far from those of use."""
    net, x = network(head, dropout=0.9), clips(1)
    with autograd.record(train_mode=True):
        first, second = net.branches(x)[0], net.branches(x)[0]
    assert not np.allclose(first.asnumpy(), second.asnumpy(), atol=1e-2)
    np.testing.assert_array_equal(net(x).asnumpy(), net(x).asnumpy())


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('backbone', ['i3d_tiny', 'r2d_tiny'])
def test_a_handful_of_clips_is_learned(head, backbone):
    net = factory.get_model(f'{backbone}_custom_{head}', nclass=CLASSES)
    net.hybridize(**STATIC)
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.02, 'momentum': 0.9})
    x, label = clips(4), mx.nd.array([0, 1, 2, 3])
    for _ in range(30):
        with autograd.record():
            loss = net.loss(net.branches(x), label)
        loss.backward()
        trainer.step(4)
    assert loss.mean().asscalar() < 0.1


def test_clips_that_differ_in_their_order_alone_are_learned_by_the_lstm():
    net = factory.get_model('r2d_tiny_custom_lstm', nclass=2)
    net.hybridize(**STATIC)
    trainer = gluon.Trainer(net.collect_params(), 'adam', {'learning_rate': 0.003})
    clip = clips(1)
    x, label = mx.nd.concat(clip, mx.nd.reverse(clip, axis=2), dim=0), mx.nd.array([0, 1])
    for _ in range(40):
        with autograd.record():
            loss = net.loss(net.branches(x), label)
        loss.backward()
        trainer.step(2)
    assert loss.mean().asscalar() < 0.2


@pytest.mark.parametrize(
    'head, options, message',
    [
        (LSTMHead, {'backbone': 'resnet18_v1b'}, 'backbone resnet18_v1b sees single images'),
        (SelfAttentionHead, {'backbone': 'tiny'}, 'backbone tiny sees single images'),
        (LSTMHead, {'units': 0}, 'units must be at least 1, got 0'),
        (SelfAttentionHead, {'blocks': 0}, 'blocks must be at least 1, got 0'),
        (SelfAttentionHead, {'heads': 7}, 'heads must divide the 64 channels, got 7'),
    ],
)
def test_wrong_options_are_named(head, options, message):
    with pytest.raises(UserError, match=message) as caught:
        head.build(**{'backbone': 'i3d_tiny', 'nclass': 2, **options})
    assert '\n' not in str(caught.value)
