"""Checkpoints: exact, of arrays and JSON alone, checked whole before anything of them is taken over."""

import hashlib
import json
import os
import pickle
import shutil

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon

from gluon_fg.errors import UserError
from gluon_fg.training import checkpoint
from gluon_fg.training.average import WeightAverage
from gluon_fg.training.former_states import read_states
from gluon_fg.training.optimizer import AdamW
from gluon_fg.weights.pickled import Refused

CPU = mx.cpu()
OPTIMIZERS = {
    'momentum': ('sgd', {'learning_rate': 0.1, 'momentum': 0.9}),
    'plain': ('sgd', {'learning_rate': 0.1}),
    'adamw': ('adamw', {'learning_rate': 0.1, 'wd': 0.01}),
}
STATE = {'best': {'top1': 0.1, 'epoch': 1}, 'seconds': 1.25, 'cpu_seconds': 2.5, 'sums': {}, 'scaler': {}}


def made(kind, updates=0):
    """A network and its trainer, the same each time, after some updates."""
    mx.random.seed(1)
    np.random.seed(1)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(4, in_units=3), gluon.nn.BatchNorm(in_channels=4), gluon.nn.Dense(2, in_units=4))
    net.initialize()
    name, options = OPTIMIZERS[kind]
    trainer = gluon.Trainer(net.collect_params(), name, dict(options), kvstore=None)
    go_on(net, trainer, range(updates))
    return net, trainer


def go_on(net, trainer, updates):
    for number in updates:
        x = mx.nd.array(np.random.RandomState(number).rand(5, 3))
        with autograd.record():
            loss = (net(x) ** 2).sum()
        loss.backward()
        trainer.step(5)
    mx.nd.waitall()


def values(net):
    return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}


def assert_same(a, b):
    a, b = values(a), values(b)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def saved(folder, kind='momentum', updates=3, keep=2, former=False):
    net, trainer = made(kind, updates)
    path = checkpoint.save_checkpoint(folder, updates, net, trainer, STATE, keep)
    if former:  # as it was written up to 2026
        (path / 'optimizer.params').unlink() if (path / 'optimizer.params').exists() else None
        trainer.save_states(str(path / 'trainer.states'))
        (path / 'state.json').write_text(json.dumps({'step': updates, **STATE}, indent=1))
    return path


@pytest.mark.parametrize('former', [False, True])
@pytest.mark.parametrize('kind', list(OPTIMIZERS))
def test_training_goes_on_from_a_checkpoint_as_if_nothing_had_been(kind, former, tmp_path):
    path = saved(tmp_path, kind, former=former)
    assert not any(name.endswith('.states') for name in os.listdir(path)) or former
    net, trainer = made(kind)
    state = checkpoint.load_checkpoint(path, net, trainer, CPU)
    assert state == {'step': 3, **STATE}
    go_on(net, trainer, range(3, 6))
    assert_same(net, made(kind, 6)[0])


def test_nothing_that_a_checkpoint_holds_is_executed(tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'harmed'),)

    path = saved(tmp_path, former=True)
    for content in (Harm(), ({0: Harm()}, None), ({}, Harm())):
        (path / 'trainer.states').write_bytes(pickle.dumps(content))
        with pytest.raises(UserError, match='trainer.states names posix.mkdir, which is no array'):
            checkpoint.load_checkpoint(path, *made('momentum'), CPU)
    assert not (tmp_path / 'harmed').exists()


def test_one_inverted_byte_anywhere_is_noticed(tmp_path):
    path = saved(tmp_path)
    net, trainer = made('momentum')
    before = values(net)
    files = {file: file.read_bytes() for file in path.iterdir()}
    assert {file.name for file in files} == {'net.params', 'optimizer.params', 'state.json'}
    for file, data in files.items():
        for place in range(0, len(data), 7):
            wrong = bytearray(data)
            wrong[place] ^= 0xFF
            file.write_bytes(wrong)
            with pytest.raises(UserError) as caught:
                checkpoint.load_checkpoint(path, net, trainer, CPU)
            text = str(caught.value)
            assert f'checkpoint {path} cannot be loaded' in text and '\n' not in text
            assert text.endswith('remove that folder to resume from the one before it')
        file.write_bytes(data)
    assert all(np.array_equal(before[name], value) for name, value in values(net).items())  # nothing was taken over
    assert trainer._updaters[0].states == {}
    assert checkpoint.load_checkpoint(path, net, trainer, CPU)['step'] == 3


def sealed(path, **changes):
    """state.json with other content, its checksum made to fit."""
    content = {**json.loads((path / 'state.json').read_text()), **changes}
    content.pop('sha256')
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (path / 'state.json').write_text(json.dumps({**content, 'sha256': digest}))


def of_another_network(path):
    mx.nd.save(str(path / 'optimizer.params'), {'9.weight/0': mx.nd.ones((4, 3))})
    sealed(path, files={name: checkpoint.sha256(path / name) for name in ('net.params', 'optimizer.params')})


@pytest.mark.parametrize(
    'damage, reason',
    [
        (lambda path: (path / 'net.params').unlink(), 'No such file'),
        (lambda path: (path / 'optimizer.params').unlink(), 'No such file'),
        (lambda path: (path / 'state.json').unlink(), 'No such file'),
        (lambda path: (path / 'state.json').write_text('{"step": 3}'), 'not as it was written'),
        (lambda path: (path / 'state.json').write_text('[' * 9999), 'brackets within brackets'),
        (lambda path: (path / 'state.json').write_bytes(b'{"\xff'), 'utf-8'),
        (lambda path: sealed(path, step=10**9), 'is of update 1000000000'),
        (lambda path: sealed(path, files={}), 'params is of another checkpoint'),
        (lambda path: mx.nd.save(str(path / 'average.params'), {'a': mx.nd.ones(1)}), 'is of another checkpoint'),
        (of_another_network, '9.weight is not trained'),
    ],
)
def test_damage_is_one_line(damage, reason, tmp_path):
    path = saved(tmp_path)
    damage(path)
    with pytest.raises(UserError, match=reason) as caught:
        checkpoint.load_checkpoint(path, *made('momentum'), CPU)
    assert '\n' not in str(caught.value)


def test_an_average_of_another_network_is_refused(tmp_path):
    net, trainer = made('momentum', 1)
    average = WeightAverage(net, 0.9)
    average.values = {'weight': mx.nd.ones(1)}
    path = checkpoint.save_checkpoint(tmp_path, 1, net, trainer, STATE, 1, average)
    with pytest.raises(UserError, match='average.params is of another network'):
        checkpoint.load_checkpoint(path, net, trainer, CPU, average)


@pytest.mark.parametrize('name', ['net.params', 'trainer.states', 'state.json'])
def test_damage_of_a_former_checkpoint_is_one_line(name, tmp_path):
    path = saved(tmp_path, former=True)
    data, random = (path / name).read_bytes(), np.random.RandomState(0)
    for content in (b'', data[: len(data) // 2], data[:-1], random.bytes(len(data)), b'\x80\x04K\x01.', b'{}', b'[]'):
        (path / name).write_bytes(content)
        with pytest.raises(UserError, match='cannot be loaded .*remove that folder') as caught:
            checkpoint.load_checkpoint(path, *made('momentum'), CPU)
        assert '\n' not in str(caught.value)
    for _ in range(50):  # an inverted byte of numbers changes them; anything else is a line
        wrong = bytearray(data)
        wrong[random.randint(len(data))] ^= 0xFF
        (path / name).write_bytes(wrong)
        try:
            assert checkpoint.load_checkpoint(path, *made('momentum'), CPU)['step'] == 3
        except UserError as error:
            assert '\n' not in str(error)


@pytest.mark.parametrize('state', [
    {0: 'text'}, {'a': mx.nd.ones(1)}, {0: (None, None)}, {0: {'a': 1}}, [mx.nd.ones(1)],
    {0: mx.nd.ones(1, dtype='int32')},
])  # fmt: skip
def test_states_that_are_no_arrays_are_refused(state):
    with pytest.raises(Refused):
        read_states(pickle.dumps((state, AdamW())))
    with pytest.raises(Refused, match='no optimizer'):
        read_states(pickle.dumps(({}, {})))


def test_the_same_update_again_replaces_its_checkpoint_and_old_ones_go(tmp_path):
    for updates in (1, 2, 2, 3):
        saved(tmp_path, updates=updates)
    assert sorted(os.listdir(tmp_path)) == ['checkpoint-00000002', 'checkpoint-00000003']
    shutil.rmtree(tmp_path / 'checkpoint-00000003')
    assert checkpoint.latest_checkpoint(tmp_path).name == 'checkpoint-00000002'
    for updates in (4, 5):  # a kill may come before the oldest goes
        saved(tmp_path, updates=updates, keep=3)
    checkpoint.remove_old(tmp_path, 2)
    assert sorted(os.listdir(tmp_path)) == ['checkpoint-00000004', 'checkpoint-00000005']
