"""The gate opens and closes within every clip, whatever the mask's height; `test_mask_network` compares it to NumPy."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from mxnet.gluon import HybridBlock

from gluon_fg.nn import MaskedAvgPool, MaskGate

STATIC = dict(static_alloc=True, static_shape=True)
BFLOAT16 = np.dtype([('bfloat16', np.uint16)])


def class_map(height=12.0, deviation=1.2):
    """What the mask of a winning class looks like: a logit on average, a little less or more from place to place."""
    return mx.nd.array(np.random.normal(height, deviation, size=(3, 1, 4, 5, 7)))


def test_a_class_map_opens_and_closes_it():
    mask = class_map()
    gate, former = MaskGate(), MaskGate('sigmoid')
    gate.initialize()
    opening, saturated = gate(mask).asnumpy(), former(mask).asnumpy()
    for clip in opening:
        assert clip.min() < 0.1 and clip.max() > 0.9 and 0.25 < clip.std() and 0.35 < clip.mean() < 0.65
    assert saturated.min() > 0.9 and not list(former.collect_params())
    np.testing.assert_allclose(gate(3 * mask - 100).asnumpy(), opening, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('dtype, tolerance', [('float16', 4e-3), (BFLOAT16, 0.04)])
def test_statistics_of_half_precision_masks_are_float32(dtype, tolerance):
    """Squares of a mask of this height are beyond float16, and bfloat16 has no digits left for deviations."""
    mask = class_map(300.0, 40.0).astype(dtype)
    gate = MaskGate()
    gate.initialize()
    opening = gate(mask)
    assert opening.dtype == np.float32
    np.testing.assert_allclose(opening.asnumpy(), gate(mask.astype('float32')).asnumpy(), atol=1e-6)
    assert np.isfinite(opening.asnumpy()).all() and opening.asnumpy().std() > 0.25


@pytest.mark.parametrize(
    'mask', [mx.nd.full((2, 1, 1, 1, 1), 7), mx.nd.zeros((2, 1, 3, 4)), mx.nd.full((2, 1, 5, 5), 30)]
)
@pytest.mark.parametrize('flags', [None, STATIC])
def test_a_mask_without_differences_opens_by_half_and_harms_no_gradient(mask, flags):
    gate = MaskGate()
    gate.initialize()
    if flags:
        gate.hybridize(**flags)
    mask = mask.copy()
    mask.attach_grad()
    for _ in range(2):
        with autograd.record():
            opening = gate(mask)
        opening.backward(mx.nd.random.normal(shape=opening.shape))
        np.testing.assert_array_equal(opening.asnumpy(), 0.5)
        assert np.isfinite(mask.grad.asnumpy()).all() and gate.scale.grad().asscalar() == 0


@pytest.mark.parametrize('form, mode', [('normalized', 'gate'), ('normalized', 'residual'), ('sigmoid', 'gate')])
@pytest.mark.parametrize('flags', [None, STATIC])
def test_flat_is_the_mean_of_each_clip(form, mode, flags):
    gate = MaskGate(form, mode)
    gate.initialize()
    if flags:
        gate.hybridize(**flags)
    mask = class_map(1.0)
    opening = gate(mask).asnumpy()
    gate.flat = True
    gate._clear_cached_op()
    mean = opening.mean(axis=(1, 2, 3, 4), keepdims=True)
    assert opening.std() > 0.1
    np.testing.assert_allclose(gate(mask).asnumpy(), np.broadcast_to(mean, opening.shape), rtol=1e-5)


def test_weight_decay_leaves_the_scale_alone():
    gate = MaskGate()
    gate.initialize()
    trainer = mx.gluon.Trainer(gate.collect_params(), 'sgd', {'learning_rate': 0.5, 'wd': 0.1})
    mask = class_map()
    for decayed in (False, True):
        with autograd.record():
            loss = 0 * gate(mask).sum() if decayed else gate(mask)[:, :, :2].sum()
        loss.backward()
        before, gradient = gate.scale.data().asscalar(), gate.scale.grad().asscalar()
        trainer.step(1)
        assert gate.scale.data().asscalar() == pytest.approx(before - 0.5 * gradient)
    assert gate.scale.data().asscalar() != 2


def test_it_trains_and_converts_as_a_symbol(tmp_path):
    class Gated(HybridBlock):
        def __init__(self):
            super().__init__()
            with self.name_scope():
                self.gate, self.pool = MaskGate(), MaskedAvgPool()

        def hybrid_forward(self, F, x, mask):
            return self.pool(x, self.gate(mask))

    net = Gated()
    net.initialize()
    net.hybridize(**STATIC)
    x, mask = mx.nd.random.normal(shape=(3, 16, 4, 5, 7)), class_map()
    expected = net(x, mask).asnumpy()
    net.export(str(tmp_path / 'gate'))
    loaded = mx.gluon.SymbolBlock.imports(
        str(tmp_path / 'gate-symbol.json'), ['data0', 'data1'], str(tmp_path / 'gate-0000.params')
    )
    np.testing.assert_allclose(loaded(x, mask).asnumpy(), expected, rtol=1e-5, atol=1e-6)
    small = x[:1, :, :, :2, :3], mask[:1, :, :, :2, :3]
    np.testing.assert_allclose(loaded(*small).asnumpy(), net(*small).asnumpy(), rtol=1e-5, atol=1e-6)
