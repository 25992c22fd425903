import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet import autograd
from reference import directional, triangle

from gluon_fg.errors import UserError
from gluon_fg.nn import CIDC, deploy_symbol
from gluon_fg.nn.cidc import DIRECTIONS, NORMALIZATIONS, visible

STATIC = dict(static_alloc=True, static_shape=True)


def parameters(unit):
    return {
        name[: -len('_weight')]: p.data().asnumpy().astype('float64')
        for name, p in unit._collect_params_with_prefix().items()
        if name.endswith('_weight')
    }


@settings(max_examples=30, deadline=None)
@given(
    channels=st.sampled_from([1, 3, 7, 16, 32]),
    frames=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    size=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
    direction=st.sampled_from(sorted(set(DIRECTIONS) - {'mean'})),  # which has nothing to learn: below
    normalize=st.sampled_from(NORMALIZATIONS),
    hybrid=st.booleans(),
)
def test_values_and_gradients_equal_numpy(channels, frames, size, direction, normalize, hybrid):
    in_frames, out_frames = frames
    unit = CIDC(channels, in_frames, out_frames, direction, normalize, pointwise=False)
    unit.initialize()
    if hybrid:
        unit.hybridize(**STATIC)
    x = np.random.normal(size=(size[0], channels, in_frames, *size[1:]))
    kernels = parameters(unit)
    given_x = mx.nd.array(x)
    given_x.attach_grad()
    with autograd.record():
        y = unit(given_x)
    expected = directional(x, kernels, direction, out_frames, normalize)
    np.testing.assert_allclose(y.asnumpy(), expected, rtol=1e-4, atol=3e-5)
    weight = np.random.normal(size=y.shape)
    y.backward(mx.nd.array(weight))

    def loss(x, kernels):
        return float((directional(x, kernels, direction, out_frames, normalize) * weight).sum())

    def along(change_x, change_k, h=1e-5):
        moved = [loss(x + s * change_x, {n: k + s * change_k[n] for n, k in kernels.items()}) for s in (h, -h)]
        return (moved[0] - moved[1]) / (2 * h)

    still = {n: np.zeros_like(k) for n, k in kernels.items()}
    step = np.random.normal(size=x.shape)
    scale = np.abs(weight).sum()
    assert float((given_x.grad.asnumpy() * step).sum()) == pytest.approx(along(step, still), rel=1e-3, abs=1e-5 * scale)
    # Rows whose range is near 0 have gradients of any size: one entry at a time, where the slope is moderate.
    grads = {n: getattr(unit, f'{n}_weight').grad().asnumpy() for n in kernels}
    for name, k in kernels.items():
        for place in [tuple(np.random.randint(0, n) for n in k.shape) for _ in range(4)]:
            change = {n: np.zeros_like(v) for n, v in kernels.items()}
            change[name][place] = 1
            slope = along(np.zeros_like(x), change, 1e-6)
            if abs(slope) < 100:
                assert grads[name][place] == pytest.approx(slope, rel=2e-2, abs=1e-4 * scale)


@pytest.mark.parametrize('frames', [(4, 4), (6, 3), (3, 6), (5, 1), (2, 7)])
@pytest.mark.parametrize('hybrid', [False, True])
def test_no_output_sees_the_future(frames, hybrid):
    in_frames, out_frames = frames
    unit = CIDC(16, in_frames, out_frames, 'both')
    unit.initialize()
    if hybrid:
        unit.hybridize(**STATIC)
    x = mx.nd.random.normal(shape=(2, 16, in_frames, 3, 3))
    before = unit(x).asnumpy()
    seen = np.concatenate([visible(in_frames, out_frames, name) for name in ('forward', 'backward')])
    assert seen[0].tolist() == [1] * (in_frames if out_frames == 1 else 1) + [0] * (in_frames - 1) * (out_frames > 1)
    assert seen[out_frames - 1].all()
    for frame in range(in_frames):
        changed = x.copy()
        changed[:, :, frame] += 1
        after = unit(changed).asnumpy()
        for output in range(2 * out_frames):
            same = np.array_equal(before[:, :, output], after[:, :, output])
            assert same == (not seen[output, frame]), (frame, output)


@settings(max_examples=60, deadline=None)
@given(in_frames=st.integers(1, 12), out_frames=st.integers(1, 12))
def test_what_is_visible_is_the_resized_triangle(in_frames, out_frames):
    np.testing.assert_array_equal(visible(in_frames, out_frames, 'forward'), triangle(in_frames, out_frames))
    np.testing.assert_array_equal(
        visible(in_frames, out_frames, 'backward'), triangle(in_frames, out_frames)[::-1, ::-1]
    )


def test_backward_is_forward_on_the_turned_clip():
    forward, backward = (CIDC(5, 4, 3, name, pointwise=False) for name in ('forward', 'backward'))
    forward.initialize()
    backward.initialize()
    backward.backward_weight.set_data(mx.nd.reverse(forward.forward_weight.data(), axis=(1, 2)))
    x = mx.nd.random.normal(shape=(2, 5, 4, 3, 3))
    turned = mx.nd.reverse(forward(mx.nd.reverse(x, axis=2)), axis=2)
    np.testing.assert_allclose(backward(x).asnumpy(), turned.asnumpy(), rtol=1e-5, atol=1e-6)


def test_kernel_gives_what_is_applied():
    unit = CIDC(3, 4, 2, 'both', pointwise=False)
    unit.initialize()
    x = mx.nd.random.normal(shape=(1, 3, 4, 2, 2))
    kernels = unit.kernel()
    assert [k.shape for k in kernels] == [(3, 2, 4)] * 2
    parts = [np.einsum('cij,ncjhw->ncihw', k.asnumpy(), x.asnumpy()) for k in kernels]
    np.testing.assert_allclose(unit(x).asnumpy(), np.concatenate(parts, axis=2), rtol=1e-5, atol=1e-5)
    for kernel in kernels[0].asnumpy():  # what it sees is stretched to [-1, 1] together
        assert kernel[0].tolist() == [1, 0, 0, 0]
        assert kernel[1].min() == pytest.approx(-1, abs=1e-6) and kernel[1].max() < 1


def gradients(normalize, channels=32, frames=4, direction='forward'):
    """Of each weight, for a random sum of outputs."""
    unit = CIDC(channels, frames, direction=direction, normalize=normalize, pointwise=False)
    unit.initialize()
    x = mx.nd.random.normal(shape=(2, channels, frames, 3, 3))
    with autograd.record():
        y = unit(x)
    y.backward(mx.nd.random.normal(shape=y.shape))
    return {n: getattr(unit, f'{n}_weight').grad().asnumpy() for n in DIRECTIONS[direction]}


def test_a_row_of_two_frames_learns_where_the_kernel_has_one_range():
    """By rows it is +1 and -1 whatever it learns: no gradient (up to rounding, over the range)."""
    frozen = gradients('row')['forward']
    assert np.median(np.abs(frozen[:, 1, :2])) < 1e-4 < 1e-2 < np.median(np.abs(frozen[:, 3]))
    learning = gradients('kernel')['forward']
    assert np.median(np.abs(learning[:, 1, :2])) > 0.1 * np.median(np.abs(learning[:, 3]))
    assert (np.abs(learning[:, 1, :2]) > 1e-3).mean() > 0.9
    assert not learning[:, 0].any()  # one frame: softmax of one number is 1


@pytest.mark.parametrize('direction', ['forward', 'backward', 'none', 'both'])
def test_a_kernel_without_a_range_is_all_one_and_finite(direction):
    unit = CIDC(16, 1, direction=direction, pointwise=False)
    unit.initialize()
    x = mx.nd.random.normal(shape=(2, 16, 1, 3, 3))
    for part in np.split(unit(x).asnumpy(), unit.out_frames, axis=2):
        np.testing.assert_array_equal(part, x.asnumpy())
    unit = CIDC(16, 4, direction=direction, pointwise=False)
    unit.initialize(mx.init.Zero())
    for p in unit.collect_params().values():
        if p.grad_req != 'null':
            p.set_data(mx.nd.zeros(p.shape))
    for kernel in unit.kernel():
        kernel = kernel.asnumpy()
        assert np.isfinite(kernel).all() and kernel.max() == 1 and kernel.min() >= -1
        if direction == 'none':
            assert (kernel == 1).all()
    with autograd.record():
        y = unit(mx.nd.random.normal(shape=(2, 16, 4, 3, 3)))
    y.backward()
    for p in unit.collect_params().values():
        assert p.grad_req == 'null' or np.isfinite(p.grad().asnumpy()).all()


def test_a_file_tells_the_range_that_its_weights_are_stretched_by():
    names = {n: set(CIDC(4, 3, normalize=n)._collect_params_with_prefix()) for n in NORMALIZATIONS}
    assert 'forward_visible' in names['kernel'] and 'forward_seen' in names['row']
    assert names['kernel'].isdisjoint({'forward_seen', 'backward_seen'})


def test_a_deploy_graph_and_training_with_the_pointwise_part():
    unit = CIDC(16, 4, 3)
    unit.initialize()
    unit.hybridize(**STATIC)
    x = mx.nd.random.normal(shape=(2, 16, 4, 5, 3))
    trainer = mx.gluon.Trainer(unit.collect_params(), 'sgd', {'learning_rate': 0.1})
    start = unit.forward_weight.data().asnumpy()
    with autograd.record():
        y = unit(x)
        loss = (y * y).sum()
    loss.backward()
    trainer.step(2)
    assert y.shape == (2, 16, 6, 5, 3) and (y.asnumpy() >= 0).all()
    assert not np.array_equal(start, unit.forward_weight.data().asnumpy())
    mx.nd.waitall()
    symbol, params = deploy_symbol(unit)
    block = mx.gluon.SymbolBlock(symbol, mx.sym.var('data'))
    for name, p in block.collect_params().items():
        p.shape = next(v for k, v in params.items() if k.split(':', 1)[1] == name).shape
        p.initialize()
        p.set_data(next(v for k, v in params.items() if k.split(':', 1)[1] == name))
    np.testing.assert_allclose(block(x).asnumpy(), unit(x).asnumpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    'options, message',
    [
        ({'direction': 'foward'}, "unknown direction 'foward'; did you mean 'forward'"),
        ({'out_frames': 0}, 'out_frames must be at least 1, got 0'),
        ({'normalize': True}, "normalize True is 'row' now .*, the default 'kernel' .*; write one"),
        ({'normalize': 'rows'}, "normalize must be kernel, row or false, got 'rows'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        CIDC(4, 3, **options)


def test_other_clips_are_refused():
    unit = CIDC(4, 3)
    unit.initialize()
    for shape in ((2, 4, 5, 3, 3), (2, 3, 3, 3, 3), (2, 4, 3, 3)):
        with pytest.raises(UserError, match=r'this unit takes \(N, 4, 3, H, W\)'):
            unit(mx.nd.zeros(shape))


def test_mean_is_blind_to_order_and_its_kernel_is_constant_over_time():
    unit = CIDC(16, 5, 3, 'mean', pointwise=False)
    unit.initialize()
    x = np.random.normal(size=(2, 16, 5, 3, 4)).astype('float32')
    y = unit(mx.nd.array(x)).asnumpy()
    np.testing.assert_allclose(y, np.repeat(x.mean(2, keepdims=True), 3, axis=2), atol=1e-6)
    shuffled = unit(mx.nd.array(x[:, :, [3, 0, 4, 2, 1]])).asnumpy()
    np.testing.assert_allclose(shuffled, y, atol=1e-6)
    np.testing.assert_array_equal(unit.kernel()[0].asnumpy(), np.full((16, 3, 5), np.float32(0.2)))
