import mxnet as mx
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet import autograd
from mxnet.gluon import nn

from gluon_fg.errors import UserError
from gluon_fg.nn import DiscriminativeFilterBank, GlobalMaxPool


def make(classes, channels, k, ndim):
    bank = DiscriminativeFilterBank(classes, channels, k, ndim)
    bank.initialize()
    for p in bank.collect_params().values():
        p.set_data(mx.nd.random.normal(shape=p.shape))
    return bank, [p.data().asnumpy().astype('float64') for p in bank.collect_params().values()]


@settings(max_examples=20, deadline=None)
@given(
    ndim=st.sampled_from([2, 3]), channels=st.sampled_from([1, 7, 16, 32, 48]), classes=st.integers(2, 6),
    k=st.integers(1, 5), size=st.tuples(*[st.integers(1, 6)] * 3), hybrid=st.booleans(),
)  # fmt: skip
def test_values_and_gradients_equal_numpy(ndim, channels, classes, k, size, hybrid):
    bank, (w, b, v, c) = make(classes, channels, k, ndim)
    if hybrid:
        bank.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.random.normal(shape=(2, channels, *size[:ndim]))
    x.attach_grad()
    up = [np.random.randn(2, classes) for _ in range(2)]
    with autograd.record():
        z_max, z_xchannel = bank(x)
        total = (z_max * mx.nd.array(up[0])).sum() + (z_xchannel * mx.nd.array(up[1])).sum()
    total.backward()

    flat = x.asnumpy().astype('float64').reshape(2, channels, -1)
    responses = np.einsum('fc,ncp->nfp', w.reshape(len(w), -1), flat) + b[:, None]
    where, r = responses.argmax(-1), responses.max(-1)
    np.testing.assert_allclose(z_max.asnumpy(), r @ v.T + c, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(z_xchannel.asnumpy(), r.reshape(2, classes, k).mean(-1), rtol=1e-4, atol=1e-4)
    dr = up[0] @ v + np.repeat(up[1], k, axis=1) / k  # (N, M*K)
    peak = np.take_along_axis(flat[:, None], where[:, :, None, None], axis=3)[..., 0]  # (N, M*K, C)
    dx = np.zeros_like(flat)
    for n in range(2):
        np.add.at(dx[n].T, where[n], dr[n][:, None] * w.reshape(len(w), -1))
    expected = [np.einsum('nf,nfc->fc', dr, peak), dr.sum(0), up[0].T @ r, up[0].sum(0)]
    for p, e in zip(bank.collect_params().values(), expected):
        np.testing.assert_allclose(p.grad().asnumpy().reshape(e.shape), e, rtol=1e-3, atol=1e-3, err_msg=p.name)
    np.testing.assert_allclose(x.grad.asnumpy().reshape(dx.shape), dx, rtol=1e-3, atol=1e-3)


def test_responses_are_read_where_they_are_highest_and_grouped_by_class():
    bank, (w, b, _, _) = make(4, 16, 3, 3)
    x = mx.nd.random.normal(shape=(2, 16, 3, 4, 5))
    responses = bank.responses(x)
    assert responses.shape == (2, 12, 3, 4, 5)
    expected = reference.conv(x.asnumpy().astype('float64'), w, b)
    np.testing.assert_allclose(responses.asnumpy(), expected, rtol=1e-4, atol=1e-4)
    r = responses.asnumpy().max((2, 3, 4))
    np.testing.assert_allclose(bank(x)[1].asnumpy()[:, 1], r[:, 3:6].mean(1), rtol=1e-5)


def test_a_response_moves_with_its_feature_and_the_scores_do_not_change():
    bank, _ = make(3, 16, 2, 3)
    x = mx.nd.random.normal(shape=(1, 16, 4, 5, 6))
    moved = mx.nd.array(np.roll(x.asnumpy(), (1, 2, 3), axis=(2, 3, 4)))
    for a, b in zip(bank(x), bank(moved)):
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('static', [False, True])
def test_of_equal_maxima_one_alone_takes_the_gradient(static):
    """A dead or letterboxed region ties everywhere: its bias must not be pushed once for every position."""
    net = nn.HybridSequential()
    net.add(nn.Conv3D(16, 1, in_channels=16, weight_initializer='zeros'), GlobalMaxPool())
    net.initialize()
    if static:
        net.hybridize(static_alloc=True, static_shape=True)
    with autograd.record():
        y = net(mx.nd.ones((3, 16, 2, 4, 4))).sum()
    y.backward()
    np.testing.assert_array_equal(net[0].bias.grad().asnumpy(), np.full(16, 3.0))


def test_first_logits_are_neither_silent_nor_loud():
    """Features of unit variance give logits of about unit variance, at any size: the summed loss starts near chance."""
    for classes, channels in ((24, 64), (174, 512)):
        bank = DiscriminativeFilterBank(classes, channels)
        bank.initialize()
        z_max, z_xchannel = bank(mx.nd.random.normal(shape=(8, channels, 4, 7, 7)))
        assert 0.5 < z_max.asnumpy().std() < 2
        assert z_xchannel.asnumpy().std() < 1


def test_impossible_banks_are_refused():
    with pytest.raises(UserError, match='ndim must be 2 .* or 3'):
        DiscriminativeFilterBank(4, 8, ndim=4)
    with pytest.raises(UserError, match='filters_per_class must be at least 1'):
        DiscriminativeFilterBank(4, 8, filters_per_class=0)
