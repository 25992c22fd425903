"""Emulated float16 beside NumPy's: rounding switches a process for good, so one child does all of it."""

import json
import subprocess
import sys

SCRIPT = """
import json

import gluon_fg
import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

from gluon_fg.training import precision

precision.enable('float16_emulated', mx.cpu())
seen = {}


def half(array):
    with np.errstate(over='ignore'):
        return array.astype(np.float16).astype(np.float32)


def same(name, array, expected):
    seen[name] = bool(np.array_equal(array, expected))


draw = np.random.RandomState(0)
x, weight, bias = (draw.standard_normal(shape).astype('float32') for shape in ((4, 6), (5, 6), (5,)))
head = (draw.standard_normal((4, 5)) * 100).astype('float32')
for hybrid in (False, True):
    dense = gluon.nn.Dense(5, in_units=6)
    dense.initialize()
    dense.weight.set_data(mx.nd.array(weight))
    dense.bias.set_data(mx.nd.array(bias))
    if hybrid:
        dense.hybridize(static_alloc=True)
    data = mx.nd.array(x)
    data.attach_grad()
    with autograd.record():
        out = dense(data)
    out.backward(mx.nd.array(head))
    inner = mx.nd.dot(mx.nd.array(half(x)), mx.nd.array(half(weight)).T).asnumpy() + half(bias)
    seen[f'output {hybrid}'] = float(np.abs(out.asnumpy() - half(inner)).max() / np.abs(inner).max())
    same(f'output is float16 {hybrid}', out.asnumpy(), half(out.asnumpy()))
    expected = half(half(head).T @ half(x)), half(half(head).sum(axis=0)), half(half(head) @ half(weight))
    gradients = dense.weight.grad(), dense.bias.grad(), data.grad
    for name, array, wanted in zip(('weight', 'bias', 'data'), gradients, expected):
        same(f'gradient is float16 {name} {hybrid}', array.asnumpy(), half(array.asnumpy()))
        seen[f'gradient {name} {hybrid}'] = float(np.abs(array.asnumpy() - wanted).max() / np.abs(wanted).max())

# The mean of one number is the number: pooling shows rounding alone, of values and of gradients
ends = np.array([1 + 2.0**-11, 1 + 3 * 2.0**-11, 65519.0, 65520.0, -7e4, 2.0**-25, 1.0001 * 2.0**-25, 1 / 3], 'float32')
data = mx.nd.array(ends.reshape(1, 1, 2, 4))
data.attach_grad()
with autograd.record():
    out = mx.nd.Pooling(data, kernel=(1, 1), pool_type='avg')
out.backward(mx.nd.array(ends[::-1].reshape(1, 1, 2, 4)))
same('pooled', out.asnumpy().ravel(), half(ends))
same('pooled gradient', data.grad.asnumpy().ravel(), half(ends[::-1]))
seen['infinite'] = np.isinf(out.asnumpy()).sum().item()

for name, block, shape in (
    ('batch norm', gluon.nn.BatchNorm(), (2, 3, 4, 4)),
    ('convolution', gluon.nn.Conv2D(2, 3), (2, 3, 4, 4)),
    ('deconvolution', gluon.nn.Conv2DTranspose(2, 3), (2, 3, 4, 4)),
    ('lstm', gluon.rnn.LSTM(4), (3, 2, 5)),
):
    block.initialize()
    block.hybridize()
    data = mx.nd.random.normal(shape=shape)
    data.attach_grad()
    with autograd.record():
        out = block(data)
    out.backward()
    for kind, array in (('output', out), ('gradient', data.grad)):
        same(f'{name} {kind}', array.asnumpy(), half(array.asnumpy()))


def trained(stop):
    # Six updates from one start; with `stop` a new trainer and scaler go on behind the third, as a resumed run does
    net = gluon.nn.Dense(3, in_units=6)
    net.initialize()
    net.weight.set_data(mx.nd.array(weight[:3]))
    told, scaler = [], None
    for step in range(6):
        if scaler is None or stop and step == 3:
            kept = scaler.state() if scaler else {}
            trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.01})
            scaler = precision.Scaler('float16_emulated', trainer)
            scaler.load_state(json.loads(json.dumps(kept)))
        with autograd.record():
            scaler.backward([(net(mx.nd.array(x)) ** 2).sum() * 0.5])
        before = net.weight.data().asnumpy()
        scaler.unscale()
        trainer.update(4)
        told.append((scaler.skipped, scaler.scale, bool((before == net.weight.data().asnumpy()).all())))
    return told, net.weight.data().asnumpy()


whole, weights = trained(stop=False)
parts, others = trained(stop=True)
seen['whole'], seen['parts'] = whole, parts
same('resumed', weights, others)
print(json.dumps(seen))
"""


def test_values_and_gradients_are_numpys_float16_and_an_overflow_skips_the_update():
    done = subprocess.run([sys.executable, '-c', SCRIPT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    whole, parts, infinite = (seen.pop(name) for name in ('whole', 'parts', 'infinite'))
    assert infinite == 2  # 65,520 is the first number that rounds beyond float16
    wrong = {name: value for name, value in seen.items() if value is False or value is not True and value > 2.0**-10}
    assert not wrong
    skipped, scales, kept = zip(*whole)
    skips = sum(skipped)
    assert 1 <= skips < 6 and skipped == (True,) * skips + (False,) * (6 - skips)
    assert kept == skipped  # the weights stay where an update is left out, and there only
    assert scales == tuple(2.0 ** (16 - min(i + 1, skips)) for i in range(6))
    assert parts == whole
