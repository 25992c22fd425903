"""The moving average of the weights: its numbers, and that it changes places with the weights bit by bit."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon

from gluon_fg import get_model
from gluon_fg.training.average import WeightAverage


@pytest.fixture
def net():
    net = get_model('i3d_tiny_synthfg', dropout=0.0)
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def views(count=2):
    return mx.nd.random.uniform(shape=(count, 3, 8, 48, 48))


def step(net, trainer):
    with autograd.record():
        loss = net.loss(net.branches(views()), mx.nd.array([1, 5]))
    loss.backward()
    trainer.step(2)


def values(net):
    mx.nd.waitall()
    return {name: p.data().asnumpy().copy() for name, p in net._collect_params_with_prefix().items()}


def test_it_is_the_formula_of_tensorflow(net):
    """tf.train.ExponentialMovingAverage(decay, num_updates): its decay is min(decay, (1 + n) / (10 + n))."""
    average, trainer = WeightAverage(net, 0.5), gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.5})
    expected = None
    for update in range(1, 15):  # (1 + t) / (10 + t) passes 0.5 at t = 8
        step(net, trainer)
        average.update(update)
        keep, now = min(0.5, (1 + update) / (10 + update)), values(net)
        expected = now if expected is None else {n: keep * expected[n] + (1 - keep) * now[n] for n in now}
    moved = 0
    for name, value in average.values.items():
        np.testing.assert_allclose(value.asnumpy(), expected[name], rtol=1e-4, atol=1e-6, err_msg=name)
        moved += not np.allclose(value.asnumpy(), now[name], rtol=1e-4, atol=1e-6)
    assert moved > 20  # weights and running statistics alike
    assert any('running_mean' in name and not np.allclose(v.asnumpy(), now[name]) for name, v in average.values.items())


def test_the_network_has_the_average_while_it_is_in_place_and_its_own_weights_after(net):
    average, trainer = WeightAverage(net, 0.9), gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.2})
    for update in (1, 2, 3):
        step(net, trainer)
        average.update(update)
        net(views())  # as validation does: oneDNN may keep weights in a layout of its own from now on
    own, averaged, x = values(net), {n: v.asnumpy().copy() for n, v in average.values.items()}, views(3)
    own_logits = net(x).asnumpy()
    with average.in_place():
        assert all(np.array_equal(value, averaged[name]) for name, value in values(net).items())
        averaged_logits = net(x).asnumpy()
        statistics = net._collect_params_with_prefix()
        name = next(name for name in statistics if name.endswith('running_mean'))
        statistics[name].set_data(statistics[name].data() + 1)
    assert all(np.array_equal(value, own[name]) for name, value in values(net).items())
    assert np.array_equal(net(x).asnumpy(), own_logits) and not np.allclose(averaged_logits, own_logits, rtol=1e-3)
    for other, value in average.values.items():  # what was changed in it stays in it
        assert np.array_equal(value.asnumpy(), averaged[other] + (1 if other == name else 0)), other
    fresh = get_model('i3d_tiny_synthfg', dropout=0.0)
    for other, p in fresh._collect_params_with_prefix().items():
        p.set_data(mx.nd.array(averaged[other]))
    np.testing.assert_allclose(fresh(x).asnumpy(), averaged_logits, rtol=1e-4, atol=1e-5)


def test_an_error_inside_gives_the_weights_back(net):
    average, trainer = WeightAverage(net, 0.9), gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.2})
    for update in (1, 2):
        step(net, trainer)
        average.update(update)
    own = values(net)
    with pytest.raises(ZeroDivisionError):
        with average.in_place():
            raise ZeroDivisionError
    assert all(np.array_equal(value, own[name]) for name, value in values(net).items())


def test_a_short_training_is_not_an_average_with_its_random_start(net):
    """mmpretrain issue 870, "EMAHook makes val acc 0": with a long memory the average stays where training began."""
    average, trainer = WeightAverage(net, 0.9999), gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.1})
    net(views())
    start = values(net)
    for update in range(1, 31):
        step(net, trainer)
        average.update(update)
    end = values(net)

    def distance(a, b):
        return sum(float(((a[name] - b[name]) ** 2).sum()) for name in end if name.endswith('weight')) ** 0.5

    averaged = {name: value.asnumpy() for name, value in average.values.items()}
    assert distance(averaged, end) < 0.5 * distance(start, end)
