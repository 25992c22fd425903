"""Precise batch norm against the batches themselves."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon

from gluon_fg import get_model
from gluon_fg.data.loader import Batch
from gluon_fg.data.transforms import to_input
from gluon_fg.nn.norm import batch_norms, freeze_batch_norm
from gluon_fg.training.distributed import World
from gluon_fg.training.population import first_batches, measure_statistics, share_statistics

NAMES = [
    ('i3d_tiny_synthfg_dfb', {}),
    ('tsn_tiny_synthfg', {}),
    ('i3d_tiny_synthfg_cidc', {}),
    ('topheavy_tiny_synthfg_u2s', {'select': 'oracle'}),
    ('lstm_tiny_custom', {'nclass': 4}),  # each step has statistics of its own
    ('c3d_tiny_custom', {'nclass': 4}),
]


def build(name, **options):
    net = get_model(name, dropout=0.0, **options)
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def batches(net, count, clips=4, seed=0):
    spec, rng = net.input_spec, np.random.default_rng(seed)
    side = (spec.crop_size, spec.crop_size)
    shape = (clips, 3, spec.frames, *side) if spec.ndim == 3 else (clips * spec.segments, 3, *side)
    for _ in range(count):
        low = rng.integers(0, 120)
        yield Batch(
            rng.integers(low, low + 120, shape).astype(np.uint8), np.arange(clips, dtype=np.int32), np.arange(clips)
        )


def forward(net, batch, training=False):
    x, label = to_input(batch.clips, net.input_spec), mx.nd.array(batch.labels)
    with autograd.train_mode() if training else autograd.predict_mode():
        return [z.asnumpy() for z in (net.branches(x, label) if net.takes_labels else net.branches(x))]


def statistics(net):
    mx.nd.waitall()
    return [p.data().asnumpy() for layer in batch_norms(net) for p in (layer.running_mean, layer.running_var)]


def alone(values):
    return values


@pytest.mark.parametrize('name, options', NAMES)
def test_after_one_batch_the_network_predicts_it_as_it_trains_it(name, options):
    """The statistics of a single batch are those that training normalizes it with, in every layer."""
    net, (batch,) = build(name, **options), batches(build(name, **options), 1)
    before = forward(net, batch)
    count = measure_statistics(net, [batch], alone, mx.cpu())
    assert count == len(batch_norms(net)) > 4
    trained = forward(net, batch, training=True)
    for a, b, c in zip(forward(net, batch), trained, before):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4 * max(1, np.abs(b).max()))
        if a.size > 1:
            assert not np.allclose(c, b, rtol=1e-2)


def test_the_population_is_that_of_all_clips_in_the_first_layer():
    """Its input does not depend on other layers: mean and biased variance over all batches at once."""
    net = build('tsn_tiny_synthfg')
    data = list(batches(net, 3))
    first, seen = batch_norms(net)[0], []
    net.hybridize(False)
    hook = first.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].asnumpy()))
    for batch in data:
        forward(net, batch)
    hook.detach()
    everything = np.concatenate(seen).astype(np.float64)
    measure_statistics(net, data, alone, mx.cpu())
    np.testing.assert_allclose(
        first.running_mean.data().asnumpy(), everything.mean(axis=(0, 2, 3)), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(first.running_var.data().asnumpy(), everything.var(axis=(0, 2, 3)), rtol=1e-4)
    mean_of_variances = np.mean([x.astype(np.float64).var(axis=(0, 2, 3)) for x in seen], axis=0)
    assert not np.allclose(mean_of_variances, everything.var(axis=(0, 2, 3)), rtol=1e-2)  # batches differ in mean


def test_ranks_end_with_the_statistics_of_all_their_batches():
    whole, ranks = build('i3d_tiny_synthfg'), [build('i3d_tiny_synthfg') for _ in range(2)]
    for net in ranks:
        for name, p in net._collect_params_with_prefix().items():
            p.set_data(whole._collect_params_with_prefix()[name].data())
    data, sent = list(batches(whole, 4)), []
    measure_statistics(whole, data, alone, mx.cpu())
    measure_statistics(ranks[1], data[1::2], lambda values: sent.append(values) or values, mx.cpu())
    first = iter(sent)
    measure_statistics(ranks[0], data[::2], lambda values: (values + next(first)) / 2, mx.cpu())
    for a, b in zip(statistics(ranks[0]), statistics(whole)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_frozen_layers_keep_theirs_and_nothing_else_changes():
    net = build('i3d_tiny_synthfg')
    (batch,) = batches(net, 1)
    forward(net, batch)
    kept = freeze_batch_norm(net, keep_first=True)
    before = {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}
    assert measure_statistics(net, [batch], alone, mx.cpu()) == 1
    changed = [
        n for n, p in net._collect_params_with_prefix().items() if not np.array_equal(p.data().asnumpy(), before[n])
    ]
    assert len(kept) > 4 and len(changed) == 2 and all('running' in name for name in changed)
    freeze_batch_norm(net)
    assert measure_statistics(net, iter(()), alone, mx.cpu()) == 0  # nothing to measure: no batch is read


def test_training_goes_on_as_if_it_had_not_been_measured():
    results = []
    for measured in (False, True):
        mx.random.seed(3)
        np.random.seed(3)
        net = build('i3d_tiny_synthfg')
        trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.1, 'momentum': 0.9})
        for update, batch in enumerate(batches(net, 4, seed=1)):
            if measured and update == 2:
                measure_statistics(net, batches(net, 2, seed=9), alone, mx.cpu())
            with autograd.record():
                loss = net.loss(net.branches(to_input(batch.clips, net.input_spec)), mx.nd.array(batch.labels))
            loss.backward()
            trainer.step(4)
        mx.nd.waitall()
        results.append(
            {n: p.data().asnumpy() for n, p in net._collect_params_with_prefix().items() if 'running' not in n}
        )
    assert all(np.array_equal(value, results[1][name]) for name, value in results[0].items())


def test_batches_are_read_no_further_than_asked():
    ended = []

    def endless():
        try:
            while True:
                yield 1
        finally:
            ended.append(True)

    assert list(first_batches(endless(), 3)) == [1, 1, 1] and ended == [True]
    assert list(first_batches(iter_of(2), 3)) == [0, 1]


def iter_of(count):
    yield from range(count)


class SecondOfTwo(World):
    """The second rank of a job, with network `net`; the first one's is `first`."""

    rank, size = 1, 2

    def __init__(self, net, first):
        theirs = first._collect_params_with_prefix()
        self._theirs = {p.name: theirs[name] for name, p in net._collect_params_with_prefix().items()}

    def broadcast_parameters(self, params):
        for name, p in params.items():
            p.set_data(self._theirs[name].data())


@pytest.mark.parametrize('name, options', NAMES)
def test_ranks_get_the_statistics_of_the_first_and_keep_their_weights(name, options):
    first, net = build(name, **options), build(name, **options)
    measure_statistics(first, batches(first, 1), alone, mx.cpu())
    measure_statistics(net, batches(net, 1, seed=1), alone, mx.cpu())
    weights = {n: p.data().asnumpy() for n, p in net._collect_params_with_prefix().items() if 'running' not in n}
    assert not all(np.array_equal(a, b) for a, b in zip(statistics(net), statistics(first)))
    share_statistics(net, SecondOfTwo(net, first))
    assert all(np.array_equal(a, b) for a, b in zip(statistics(net), statistics(first)))
    for n, value in weights.items():
        assert np.array_equal(net._collect_params_with_prefix()[n].data().asnumpy(), value), n
