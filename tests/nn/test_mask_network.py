import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet import autograd
from mxnet.gluon import HybridBlock, nn

from gluon_fg.errors import UserError
from gluon_fg.nn import MaskedAvgPool, MaskGate, MaskNetwork
from gluon_fg.nn.mask_gate import FORMS, MODES
from gluon_fg.nn.mask_network import SELECTIONS, SIMILARITIES

STATIC = dict(static_alloc=True, static_shape=True)


def random_csm(classes, select, chance=0.4):
    """Not symmetric, so that a row taken for a column shows."""
    csm = np.random.uniform(size=(classes, classes))
    csm = csm if select == 'soft' else (csm < chance).astype(float)
    np.fill_diagonal(csm, 1)
    return csm.astype('float32').astype('float64')


def chosen_masks(select, category, csm):
    """Categories and their weights for one clip, as the paper tells it."""
    column = csm[:, category]
    if select == 'predicted':
        return [category], [1.0]
    if select == 'soft':
        return range(len(csm)), column / column.sum()
    picked = [j for j in range(len(csm)) if column[j] == 1]
    return picked, [1 / len(picked)] * len(picked)


def reference(x, category, w, b, csm, select):
    """All M masks first, then the selected ones' average: mask and z_M."""
    masks = np.einsum('mc,nc...->nm...', w, x) + b.reshape(1, -1, *(1,) * (x.ndim - 2))
    mask = np.zeros((len(x), 1, *x.shape[2:]))
    for i, of_clip in enumerate(masks):
        for j, share in zip(*chosen_masks(select, category[i], csm)):
            mask[i, 0] += share * of_clip[j]
    return mask, masks.mean(axis=tuple(range(2, x.ndim)))


def similarity_of_weights(w, similarity='absolute'):
    cosine = np.zeros((len(w), len(w)))
    for i, j in np.ndindex(*cosine.shape):
        cosine[i, j] = w[i] @ w[j] / np.sqrt((w[i] @ w[i]) * (w[j] @ w[j]))
    return {'absolute': np.abs(cosine), 'clipped': np.maximum(cosine, 0), 'signed': cosine}[similarity]


def w_regular(w, csm, similarity='absolute'):
    pairs = csm - np.eye(len(csm))
    return (pairs * similarity_of_weights(w, similarity)).sum() / pairs.sum() if pairs.sum() else 0.0


def opening_of(mask, form, mode, scale=None):
    """What features are multiplied with, clip by clip."""
    opening = np.zeros_like(mask)
    for i, m in enumerate(mask):
        if form == 'normalized':
            m = scale * (m - m.mean()) / np.sqrt(((m - m.mean()) ** 2).mean() + 1e-5)
        opening[i] = 1 / (1 + np.exp(-m))
    return opening + (mode == 'residual')


def parameters(net):
    w, b = net.weight.data().asnumpy().astype('float64'), net.bias.data().asnumpy().astype('float64')
    return w.reshape(len(w), -1), b


class Whole(HybridBlock):
    """A convolution whose output oneDNN keeps in its own layout, the gate behind it, and w_regular in the graph."""

    def __init__(self, classes, channels, masks, gate, ndim, into):
        super().__init__()
        with self.name_scope():
            self.before = (nn.Conv3D if ndim == 3 else nn.Conv2D)(channels, 1, in_channels=into)
            self.masks = MaskNetwork(classes, channels, ndim=ndim, weight_initializer=mx.init.Normal(0.5), **masks)
            self.gate, self.pool = MaskGate(**gate), MaskedAvgPool()

    def hybrid_forward(self, F, x, z, *label):
        x = self.before(x)
        mask, z_m = self.masks(x, z, *label)
        opening = self.gate(mask)
        return mask, z_m, F.broadcast_mul(x, opening), self.pool(x, opening), self.masks.regularization(F)


@settings(max_examples=60, deadline=None)
@given(
    classes=st.sampled_from([1, 2, 5, 16, 32]),
    channels=st.sampled_from([1, 3, 16, 48]),
    size=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
    select=st.sampled_from(SELECTIONS),
    similarity=st.sampled_from(SIMILARITIES),
    form=st.sampled_from(FORMS),
    mode=st.sampled_from(MODES),
    ndim=st.sampled_from([2, 3]),
    hybrid=st.booleans(),
)
def test_values_and_gradients_equal_numpy(classes, channels, size, select, similarity, form, mode, ndim, hybrid):
    masks, gate = dict(select=select, similarity=similarity), dict(form=form, mode=mode, scale=1.3)
    net = Whole(classes, channels, masks, gate, ndim, into=16)
    net.initialize(mx.init.Normal(0.3))
    net.masks.bias.set_data(mx.nd.random.normal(shape=(classes,)))
    csm = random_csm(classes, select)
    net.masks.set_csm(csm)
    if hybrid:
        net.hybridize(**STATIC)
    shape = (size[0], 16, *size[4 - ndim :])
    given_x, z = mx.nd.random.normal(shape=shape), mx.nd.random.normal(shape=(size[0], classes))
    label = np.random.randint(classes, size=size[0])
    z.attach_grad()
    given_x.attach_grad()
    with autograd.record():
        outputs = net(given_x, z, *([mx.nd.array(label)] if select == 'oracle' else []))
        heads = [mx.nd.random.normal(shape=y.shape) for y in outputs]
        loss = sum((y * h).sum() for y, h in zip(outputs, heads))
    loss.backward()
    category = label if select == 'oracle' else z.asnumpy().argmax(axis=1)
    (w, b), weight = parameters(net.masks), [h.asnumpy().astype('float64') for h in heads]
    k = net.before.weight.data().asnumpy().astype('float64').reshape(channels, 16)
    data = given_x.asnumpy().astype('float64')

    def forward(data, k, w, b, scale=None):
        x = np.einsum('oc,nc...->no...', k, data)
        mask, z_m = reference(x, category, w, b, csm, select)
        y = x * opening_of(mask, form, mode, scale)
        return mask, z_m, y, y.mean(axis=tuple(range(2, y.ndim))), np.array([w_regular(w, csm, similarity)])

    values = {'data': data, 'k': k, 'w': w, 'b': b}
    if form == 'normalized':
        values['scale'] = net.gate.scale.data().asnumpy().astype('float64')
        assert values['scale'] == pytest.approx(1.3)
    for y, expected in zip(outputs, forward(**values)):
        assert y.shape == expected.shape
        np.testing.assert_allclose(y.asnumpy(), expected, rtol=1e-4, atol=2e-5)

    def slope(change, h=1e-5):
        ends = [forward(**{n: v + s * change.get(n, 0) for n, v in values.items()}) for s in (h, -h)]
        losses = [sum((y * u).sum() for y, u in zip(end, weight)) for end in ends]
        return (losses[0] - losses[1]) / (2 * h)

    grads = {'data': given_x, 'k': net.before.weight.data(), 'w': net.masks.weight.data(), 'b': net.masks.bias.data()}
    if form == 'normalized':
        grads['scale'] = net.gate.scale.data()
    size_of_loss = sum(np.abs(u).sum() for u in weight)
    for name, array in grads.items():
        step = np.random.normal(size=values[name].shape)
        found = float((array.grad.asnumpy().reshape(step.shape) * step).sum())
        assert found == pytest.approx(slope({name: step}), rel=1e-3, abs=1e-4 * size_of_loss), name
    assert not z.grad.asnumpy().any()


def test_the_masks_that_are_averaged():
    net = MaskNetwork(4, 2)
    net.initialize()
    net.weight.set_data(mx.nd.array(np.arange(8).reshape(4, 2, 1, 1, 1)))
    x = mx.nd.random.normal(shape=(3, 2, 2, 3, 3))
    z = mx.nd.array([[0, 1, 0, 0], [0, 0, 0, 5], [2, 0, 0, 2]])  # 1; 3; 0 before 3
    masks = net.masks(x).asnumpy()
    own = np.stack([masks[0, 1], masks[1, 3], masks[2, 0]])
    np.testing.assert_allclose(net(x, z)[0].asnumpy()[:, 0], own, rtol=1e-5, atol=1e-5)  # the identity to start with
    csm = np.eye(4)
    csm[2, 1] = csm[0, 3] = csm[1, 3] = 1
    net.set_csm(csm)
    expected = np.stack([masks[0, [1, 2]].mean(0), masks[1, [0, 1, 3]].mean(0), masks[2, 0]])
    np.testing.assert_allclose(net(x, z)[0].asnumpy()[:, 0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('ndim', [2, 3])
def test_bridge_logits_are_the_masks_averages(ndim):
    net = MaskNetwork(16, 32, ndim=ndim)
    net.initialize(mx.init.Normal(1))
    x = mx.nd.random.normal(shape=(2, 32, 3, 5, 4)[: ndim + 2])
    masks = net.masks(x)
    assert masks.shape == (2, 16, *x.shape[2:])
    _, z_m = net(x, mx.nd.zeros((2, 16)))
    np.testing.assert_allclose(z_m.asnumpy(), masks.asnumpy().reshape(2, 16, -1).mean(2), rtol=1e-4, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    classes=st.integers(1, 20),
    channels=st.sampled_from([2, 7, 16, 64]),
    chance=st.sampled_from([0, 0.3, 1]),
    similarity=st.sampled_from(SIMILARITIES),
)
def test_regularization_outside_a_graph(classes, channels, chance, similarity):
    net = MaskNetwork(classes, channels, weight_initializer=mx.init.Normal(1), similarity=similarity)
    net.initialize()
    csm = random_csm(classes, 'csm', chance)
    net.set_csm(csm)
    w, _ = parameters(net)
    with autograd.record():
        value = net.regularization()
    value.backward()
    assert value.shape == (1,)
    assert value.asscalar() == pytest.approx(w_regular(w, csm, similarity), rel=1e-4, abs=1e-5)
    alike = net.weight_similarity().asnumpy()
    np.testing.assert_allclose(alike, similarity_of_weights(w, similarity), rtol=1e-4, atol=1e-5)
    step = np.random.normal(size=w.shape)
    expected = (w_regular(w + 1e-5 * step, csm, similarity) - w_regular(w - 1e-5 * step, csm, similarity)) / 2e-5
    assert (net.weight.grad().asnumpy().reshape(w.shape) * step).sum() == pytest.approx(expected, rel=1e-3, abs=1e-4)


class WithRegularization(HybridBlock):
    """z_M and w_regular out of one graph."""

    def __init__(self, classes, channels):
        super().__init__()
        with self.name_scope():
            self.masks = MaskNetwork(classes, channels, weight_initializer=mx.init.Normal(1))

    def hybrid_forward(self, F, x, z):
        _, z_m = self.masks(x, z)
        return z_m, self.masks.regularization(F)


@pytest.mark.parametrize('flags', [None, {}, STATIC])
def test_regularization_trains_beside_the_logits(flags):
    """Several steps: outside a static graph the second one's gradient would be the first one's (MXNet 1.9.1)."""
    net = WithRegularization(6, 16)
    net.initialize()
    csm = random_csm(6, 'csm')
    net.masks.set_csm(csm)
    if flags is not None:
        net.hybridize(**flags)
    trainer = mx.gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.5})
    x, z = mx.nd.random.normal(shape=(3, 16, 2, 3, 3)), mx.nd.random.normal(shape=(3, 6))
    label, strength = np.array([5, 0, 2]), 40
    pooled = x.asnumpy().astype('float64').mean(axis=(2, 3, 4))

    def loss_of(w, b):
        logits = pooled @ w.T + b
        entropy = np.log(np.exp(logits).sum(1)) - logits[np.arange(3), label]
        return entropy.sum() + 3 * strength * w_regular(w, csm)

    for _ in range(3):
        w, b = parameters(net.masks)
        with autograd.record():
            y, regular = net(x, z)
            entropy = -mx.nd.pick(mx.nd.log_softmax(y), mx.nd.array(label), axis=1)
            loss = mx.nd.broadcast_add(entropy, strength * regular)
        loss.backward()
        np.testing.assert_allclose(regular.asnumpy(), [w_regular(w, csm)], rtol=1e-4, atol=1e-5)
        assert float(loss.sum().asscalar()) == pytest.approx(loss_of(w, b), rel=1e-4)
        np.testing.assert_allclose(y.asnumpy(), pooled @ w.T + b, rtol=1e-4, atol=1e-5)
        step = np.random.normal(size=w.shape)
        expected = (loss_of(w + 1e-5 * step, b) - loss_of(w - 1e-5 * step, b)) / 2e-5
        found = (net.masks.weight.grad().asnumpy().reshape(w.shape) * step).sum()
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)
        trainer.step(3)


def test_filters_of_zeros_are_regularized_without_harm():
    net = MaskNetwork(3, 4, weight_initializer='zeros')
    net.initialize()
    net.set_csm(np.ones((3, 3)))
    with autograd.record():
        value = net.regularization()
    value.backward()
    assert value.asscalar() == 0 and np.isfinite(net.weight.grad().asnumpy()).all()


def trained_filters(similarity, steps=500):
    """Four filters whose classes may all be confused, after gradient steps on the regularization alone."""
    net = MaskNetwork(4, 16, weight_initializer=mx.init.Normal(1), similarity=similarity)
    net.initialize()
    net.set_csm(np.ones((4, 4)))
    rate = 3.0
    for _ in range(steps):
        with autograd.record():
            value = net.regularization()
        value.backward()
        net.weight.set_data(net.weight.data() - rate * net.weight.grad())
        rate *= 0.985
    return net.filters().astype('float64')


def test_regularization_leaves_look_alikes_a_mask():
    """The mask of a clip is the average of their filters: the signed cosine is least where that is nothing."""
    left = {}
    for similarity in SIMILARITIES:
        w = trained_filters(similarity)
        off_diagonal = similarity_of_weights(w, 'signed')[np.triu_indices(4, 1)]
        unit = w / np.linalg.norm(w, axis=1, keepdims=True)
        left[similarity] = np.linalg.norm(unit.mean(axis=0))
        if similarity == 'absolute':
            np.testing.assert_allclose(off_diagonal, 0, atol=0.03)  # orthogonal
        else:
            assert off_diagonal.max() < 0.03
    assert left['signed'] < 0.1 and left['absolute'] == pytest.approx(0.5, abs=0.03)  # 1 / sqrt(4)
    opposite = MaskNetwork(2, 2)
    opposite.initialize()
    opposite.weight.set_data(mx.nd.array([[1, 0], [-0.8, 0.6]]).reshape((2, 2, 1, 1, 1)))
    assert opposite.weight_similarity().asnumpy()[0, 1] == pytest.approx(0.8)


@pytest.mark.parametrize('select', SELECTIONS)
def test_the_csm_is_kept_and_not_trained(select, tmp_path):
    net = MaskNetwork(5, 16, select)
    net.initialize()
    csm = random_csm(5, select)
    x, z, label = mx.nd.random.normal(shape=(2, 16, 2, 3, 3)), mx.nd.array(np.eye(5)[[1, 3]]), mx.nd.array([1, 3])
    net.hybridize(**STATIC)
    before = net(x, z, label)[0].asnumpy()
    net.set_csm(csm)
    after = net(x, z, label)[0].asnumpy()  # the graph that exists uses it
    assert np.array_equal(before, after) == (select == 'predicted')
    trainer = mx.gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 1, 'wd': 0.1})
    with autograd.record():
        mask, z_m = net(x, z, label)
        loss = (mask**2).sum() + (z_m**2).sum()
    loss.backward()
    trainer.step(2)
    np.testing.assert_array_equal(net.csm.data().asnumpy(), csm)
    net.save_parameters(str(tmp_path / 'masks.params'))
    loaded = MaskNetwork(5, 16, select)
    loaded.load_parameters(str(tmp_path / 'masks.params'))
    np.testing.assert_array_equal(loaded.csm.data().asnumpy(), csm)
    np.testing.assert_array_equal(loaded(x, z, label)[0].asnumpy(), net(x, z, label)[0].asnumpy())


@pytest.mark.parametrize('select', SELECTIONS)
@pytest.mark.parametrize('ndim', [2, 3])
def test_export_gives_the_same_outputs(select, ndim, tmp_path):
    class Gated(HybridBlock):
        def __init__(self):
            super().__init__()
            with self.name_scope():
                self.masks, self.gate = MaskNetwork(5, 16, select, ndim), MaskGate()
                self.pool = MaskedAvgPool()

        def hybrid_forward(self, F, x, z, *label):
            mask, z_m = self.masks(x, z, *label)
            return mask, z_m, self.gate(mask), self.pool(x, self.gate(mask))

    net = Gated()
    net.initialize(mx.init.Normal(0.5))
    net.masks.set_csm(random_csm(5, select))
    net.hybridize(**STATIC)
    inputs = [mx.nd.random.normal(shape=(3, 16, 2, 4, 3)[: 2 + ndim]), mx.nd.random.normal(shape=(3, 5))]
    inputs += [mx.nd.array([4, 0, 2])] * (select == 'oracle')
    expected = net(*inputs)
    net.export(str(tmp_path / 'masks'))
    names = ['data0', 'data1', 'data2'][: len(inputs)]
    used = [names[0], names[-1]]  # of the oracle's inputs the logits are in no graph
    loaded = mx.gluon.SymbolBlock.imports(
        str(tmp_path / 'masks-symbol.json'), used, str(tmp_path / 'masks-0000.params')
    )
    for y, z in zip(loaded(inputs[0], inputs[-1]), expected):
        np.testing.assert_array_equal(y.asnumpy(), z.asnumpy())
    other = [mx.nd.random.normal(shape=(1, 16, 3, 5, 5)[: 2 + ndim]), *(a[:1] for a in inputs[1:])]
    for y, z in zip(loaded(other[0], other[-1]), net(*other)):
        np.testing.assert_allclose(y.asnumpy(), z.asnumpy(), rtol=1e-5, atol=1e-6)


def test_half_precision_logits_select_among_many_classes():
    net = MaskNetwork(400, 3, 'predicted')
    net.initialize(mx.init.Normal(1))
    x, z = mx.nd.random.normal(shape=(2, 3, 1, 2, 2)), mx.nd.zeros((2, 400))
    z[0, 257] = z[1, 399] = 1
    masks = net.masks(x).asnumpy()
    for dtype in ('float32', 'float16', np.dtype([('bfloat16', np.uint16)])):
        mask, _ = net(x, z.astype(dtype))
        np.testing.assert_allclose(mask.asnumpy()[:, 0], masks[[0, 1], [257, 399]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda: MaskNetwork(5, 4, 'cms'), "unknown mask selection 'cms'; did you mean 'csm'"),
        (lambda: MaskNetwork(5, 4, ndim=1), 'ndim must be 2'),
        (lambda: MaskNetwork(0, 4), 'classes must be at least 1, got 0'),
        (
            lambda: MaskNetwork(5, 4, similarity='cosine'),
            "unknown similarity of filters 'cosine'; ",
        ),
        (lambda: MaskGate(mode='resdual'), "unknown mask gate 'resdual'; did you mean 'residual'"),
        (lambda: MaskGate('normalised'), "unknown form of the gate 'normalised'; did you mean 'normalized'"),
    ],
)
def test_wrong_options_are_named(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_what_does_not_fit_is_refused():
    net = MaskNetwork(5, 4)
    net.initialize()
    x, z = mx.nd.zeros((2, 4, 1, 3, 3)), mx.nd.zeros((2, 5))
    with pytest.raises(UserError, match=r'features have shape \(2, 3, 1, 3, 3\); this mask network takes \(N, 4, T'):
        net(x[:, :3], z)
    with pytest.raises(UserError, match=r'logits have shape \(2, 4\); this mask network takes \(2, 5\)'):
        net(x, z[:, :4])
    with pytest.raises(UserError, match='takes the true labels as third input'):
        MaskNetwork(5, 4, 'oracle')(x, z)
    with pytest.raises(UserError, match='the CSM is 4x4; this network has 5 classes'):
        net.set_csm(np.eye(4))
    with pytest.raises(UserError, match='diagonal of other values than 1'):
        net.set_csm(np.zeros((5, 5)))
    with pytest.raises(UserError, match='values from -1.0 to 1.0'):
        net.set_csm(2 * np.eye(5) - 1)
    with pytest.raises(UserError, match="takes a CSM of 0 and 1; for real values choose 'soft'"):
        net.set_csm(0.5 + 0.5 * np.eye(5))
    np.testing.assert_array_equal(net.csm.data().asnumpy(), np.eye(5))
