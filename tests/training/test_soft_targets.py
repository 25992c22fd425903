"""Targets that are shares of classes: every method's losses against NumPy, smoothing and weights."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from sklearn.utils.class_weight import compute_class_weight

from gluon_fg import get_model
from gluon_fg.data.dealing import shares_of
from gluon_fg.data.loader import Batch
from gluon_fg.data.transforms import to_input
from gluon_fg.errors import UserError
from gluon_fg.recognizers.losses import cross_entropy
from gluon_fg.training.precision import Scaler
from gluon_fg.training.step import forward_backward
from gluon_fg.training.targets import Targets, balanced_weights

CLASSES = 24
ALL, FUSED = 'sum of the branches', 'fused alone'
METHODS = [  # name, options, of which branches the loss is the sum
    ('i3d_tiny_synthfg', {}, ALL),
    ('tsn_tiny_synthfg', {}, ALL),
    ('i3d_tiny_synthfg_dfb', {}, ALL),
    ('i3d_tiny_synthfg_dfb', {'loss': 'mean'}, ALL),
    ('tsn_tiny_synthfg_dfb', {}, ALL),
    ('i3d_tiny_synthfg_cidc', {}, FUSED),
    ('i3d_tiny_synthfg_lstm', {}, FUSED),
    ('i3d_tiny_synthfg_attention', {}, FUSED),
    ('topheavy_tiny_synthfg_u2s', {}, 'u2s'),
    ('topheavy_tiny_synthfg_u2s', {'select': 'oracle'}, 'u2s'),
    ('topheavy_tiny_synthfg_u2s', {'mask_network': False}, 'u2s'),
    ('tsn_tiny_synthfg_u2s', {}, 'u2s'),
]


def soft(count, seed=0):
    """Shares of two or three classes a clip, and one clip of a single class."""
    rng = np.random.default_rng(seed)
    targets = np.zeros((count, CLASSES), np.float32)
    for row in targets:
        row[rng.choice(CLASSES, 3, replace=False)] = rng.dirichlet([1, 1, 1])
    targets[0] = np.eye(CLASSES)[5]
    return targets


def reference(logits, target):
    z = logits.astype(np.float64)
    z = z - z.max(axis=1, keepdims=True)
    return -(target * (z - np.log(np.exp(z).sum(axis=1, keepdims=True)))).sum(axis=1)


def views(net, count):
    spec = net.input_spec
    shape = (spec.frames, spec.crop_size, spec.crop_size) if spec.ndim == 3 else (spec.crop_size, spec.crop_size)
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (count * (1 if spec.ndim == 3 else spec.segments), 3, *shape), np.uint8)


def build(name, options):
    net = get_model(name, **options)
    for p in net.collect_params().values():  # logits of some size
        if p.name.endswith('weight') and 'dense' in p.name:
            p.set_data(p.data() * 30)
    return net


@pytest.mark.parametrize('name, options, kind', METHODS, ids=[f'{name}-{options}' for name, options, _ in METHODS])
def test_losses_of_every_method_are_linear_in_the_target(name, options, kind):
    net, target = build(name, options), soft(3)
    x = mx.nd.array(views(net, 3) / 255.0)
    args = (x, mx.nd.array(target)) if net.takes_labels else (x,)
    outputs = net.branches(*args)
    named = {n: value.asnumpy() for n, value in net.named_losses(outputs, mx.nd.array(target)).items()}
    expected = {n: reference(z.asnumpy(), target) for n, z in zip(net.branch_names, outputs)}
    for branch, value in expected.items():
        np.testing.assert_allclose(named[branch], value, rtol=1e-5, atol=1e-6, err_msg=branch)
    if kind == ALL:
        total = sum(expected.values()) / (len(expected) if options.get('loss') == 'mean' else 1)
    elif kind == FUSED:
        total = expected['fused']
    else:
        total = sum(value for branch, value in expected.items() if branch != 'fused')
        if 'regular' in named:
            total = total + 0.5 * outputs[-1].asnumpy()
    np.testing.assert_allclose(net.loss(outputs, mx.nd.array(target)).asnumpy(), total, rtol=1e-5)
    hard = np.array([5, 0, 23])
    assert np.array_equal(
        net.loss(outputs, mx.nd.array(shares_of(hard, CLASSES))).asnumpy(),
        net.loss(outputs, mx.nd.array(hard)).asnumpy(),
    )


def test_the_largest_share_selects_the_masks_of_the_oracle():
    net = build('topheavy_tiny_synthfg_u2s', {'select': 'oracle'})
    net.set_csm(np.eye(CLASSES))
    x, target = mx.nd.array(views(net, 3) / 255.0), soft(3)
    mixed = net.branches(x, mx.nd.array(target))
    named = net.branches(x, mx.nd.array(target.argmax(axis=1)))
    others = net.branches(x, mx.nd.array(target.argmin(axis=1)))
    assert all(np.array_equal(a.asnumpy(), b.asnumpy()) for a, b in zip(mixed, named))
    assert not np.array_equal(mixed[3].asnumpy(), others[3].asnumpy())


def test_a_target_of_other_classes_is_refused():
    with pytest.raises(UserError, match=r'targets have shape \(2, 5\); these logits take \(2,\) or \(2, 4\)'):
        cross_entropy(mx.nd.zeros((2, 4)), mx.nd.zeros((2, 5)))


def gradient(net, batch, targets):
    readings = forward_backward(net, batch, Scaler('float32', None), mx.cpu(), targets)
    grads = [p.grad().asnumpy().copy() for p in net.collect_params().values() if p.grad_req != 'null']
    return {name: value.asnumpy() for name, value in readings.items()}, grads


def difference(first, second):
    first, second = (np.concatenate([grad.ravel() for grad in grads]) for grads in (first, second))
    return np.linalg.norm(first - second) / np.linalg.norm(second)


def test_an_update_follows_smoothed_and_weighted_targets():
    """As PyTorch's CrossEntropyLoss(weight=w, label_smoothing=e, reduction='none'): smoothed, then weighted."""
    net = build('i3d_tiny_synthfg', {'dropout': 0.0})
    clips, labels = views(net, 4), np.array([3, 7, 7, 0], np.int32)
    weights = np.linspace(0.5, 2, CLASSES).astype(np.float32)
    net.branches(mx.nd.array(clips / 255.0))  # initializes
    batch = Batch(clips, labels, np.arange(4))
    plain, hard = gradient(net, batch, Targets())
    smoothed = np.full((4, CLASSES), 0.1 / CLASSES) + 0.9 * np.eye(CLASSES)[labels]
    for targets, expected in (
        (Targets(0.1), smoothed),
        (Targets(0.1, weights), smoothed * weights),
        (Targets(0.0, weights), np.eye(CLASSES)[labels] * weights),
    ):
        assert targets.of(labels, CLASSES).dtype == np.float32
        np.testing.assert_allclose(targets.of(labels, CLASSES), expected, rtol=1e-6)
        readings, grads = gradient(net, batch, targets)
        same, by_hand = gradient(net, batch._replace(labels=expected.astype(np.float32)), Targets())
        np.testing.assert_allclose(readings['loss'], same['loss'], rtol=1e-6)
        assert difference(grads, by_hand) < 1e-4 < 1e-2 < difference(grads, hard)
        assert np.array_equal(readings['top1_avg'], plain['top1_avg'])
    assert Targets().of(labels, CLASSES) is labels  # nothing to change: the very path of runs without


def test_readings_of_mixed_clips_count_the_class_with_the_largest_share():
    net = build('i3d_tiny_synthfg', {'dropout': 0.0})
    clips = views(net, 2)
    net.branches(mx.nd.array(clips / 255.0))
    readings, _ = gradient(net, Batch(clips, np.array([0, 0], np.int32), np.arange(2)), Targets())
    with autograd.train_mode():
        predicted = net.branches(to_input(clips, net.input_spec))[0].asnumpy().argmax(axis=1)
    mixed = np.zeros((2, CLASSES), np.float32)
    mixed[0, predicted[0]], mixed[0, (predicted[0] + 1) % CLASSES] = 0.6, 0.4
    mixed[1, predicted[1]], mixed[1, (predicted[1] + 1) % CLASSES] = 0.4, 0.6
    readings, _ = gradient(net, Batch(clips, mixed, np.arange(2)), Targets(weights=1 / (mixed.sum(axis=0) + 0.1)))
    assert readings['top1_avg'].tolist() == [1, 0]


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
@pytest.mark.parametrize('weighted', [False, True])
def test_losses_are_pytorchs(smoothing, weighted):
    torch = pytest.importorskip('torch')
    rng = np.random.default_rng(4)
    logits, labels = rng.normal(0, 3, (6, 5)).astype(np.float32), rng.integers(0, 5, 6)
    weights = rng.uniform(0.2, 3, 5).astype(np.float32) if weighted else None
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(logits),
        torch.tensor(labels),
        weight=None if weights is None else torch.tensor(weights),
        label_smoothing=smoothing,
        reduction='none',
    )
    target = Targets(smoothing, weights).of(labels, 5)
    got = cross_entropy(mx.nd.array(logits), mx.nd.array(target))
    np.testing.assert_allclose(got.asnumpy(), expected.numpy(), rtol=1e-5, atol=2e-5)  # float32


def test_balanced_weights_are_scikit_learns():
    labels = np.random.default_rng(3).choice(6, 200, p=[0.5, 0.3, 0.1, 0.06, 0.04, 0])
    weights = balanced_weights(labels, 7)
    present = np.unique(labels)
    np.testing.assert_allclose(weights[present], compute_class_weight('balanced', classes=present, y=labels), rtol=1e-6)
    assert weights[[5, 6]].tolist() == [1, 1] and weights[labels].mean() == pytest.approx(1, rel=1e-6)


def test_smoothing_of_several_labels_draws_each_towards_one_half():
    """Keras, BinaryCrossentropy(label_smoothing=e): t (1 - e) + e / 2."""
    labels = np.array([[1, 1, 0, 0], [0, 0, 0, 1]], np.float32)
    targets = Targets(0.2, multi_label=True).of(labels, 4)
    np.testing.assert_allclose(targets, [[0.9, 0.9, 0.1, 0.1], [0.1, 0.1, 0.1, 0.9]], rtol=1e-6)
