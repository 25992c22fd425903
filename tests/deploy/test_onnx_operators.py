"""Single operators and layers in ONNX Runtime and OpenVINO, beside MXNet: forms in which the three could differ."""

import functools

import mxnet as mx
import numpy as np
import pytest

from gluon_fg.errors import UserError
from gluon_fg.nn.non_local import NonLocal
from gluon_fg.nn.norm import deploy_symbol
from gluon_fg.nn.same_padding import SameConv2D, SameConv3D, SameMaxPool2D, SameMaxPool3D

pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')
openvino = pytest.importorskip('openvino')

from gluon_fg.deploy.folding import fold  # noqa: E402
from gluon_fg.deploy.onnx import to_onnx  # noqa: E402

S, X = mx.sym, mx.sym.var('data')
IMAGE, CLIP, ROW = (1, 4, 7, 9), (1, 4, 5, 7, 6), (1, 6)
POOL = dict(kernel=(3, 3), stride=(2, 2))
OPERATORS = {  # name -> the operator, and the shape of its input
    'maximum of windows rounded up': (S.Pooling(X, pool_type='max', pooling_convention='full', **POOL), (1, 4, 8, 10)),
    'padded maximum rounded up': (S.Pooling(X, pad=(1, 1), pooling_convention='full', **POOL), (1, 4, 8, 9)),
    'average with padding': (S.Pooling(X, pool_type='avg', pad=(1, 1), **POOL), IMAGE),
    'average without padding': (S.Pooling(X, pool_type='avg', pad=(1, 1), count_include_pad=False, **POOL), IMAGE),
    'average rounded up': (
        S.Pooling(X, pool_type='avg', pooling_convention='full', count_include_pad=False, **POOL),
        (1, 4, 8, 10),
    ),
    'maximum of all': (S.Pooling(X, global_pool=True, kernel=(1, 1, 1), pool_type='max'), CLIP),
    'average of all': (S.Pooling(X, global_pool=True, kernel=(1, 1), pool_type='avg'), IMAGE),
    'edge': (S.Pad(X, mode='edge', pad_width=(0, 0, 0, 0, 0, 1, 2, 0, 1, 1)), CLIP),
    'constant': (S.Pad(X, mode='constant', constant_value=-2, pad_width=(0, 0, 0, 0, 0, 1, 2, 0)), IMAGE),
    'edge and maximum': (
        S.Pooling(S.Pad(X, mode='edge', pad_width=(0, 0, 0, 0, 0, 1, 0, 1)), kernel=(2, 2), stride=(2, 2)),
        IMAGE,
    ),
    'reshape with codes': (S.reshape(X, shape=(0, -4, 2, -1, -3, 0)), CLIP),
    'reshape from the end': (S.reshape(X, shape=(-1, 0, 0), reverse=True), IMAGE),
    'batch in the middle': (S.transpose(S.reshape(X, shape=(-3, 0)), axes=(1, 0)), (1, 4, 7)),
    'part as long as another': (S.slice_like(X, S.slice(X, begin=(0, 0, 1), end=(None, None, 4)), axes=(2,)), IMAGE),
    'backwards': (S.slice(X, begin=(None, -1), end=(None, None), step=(1, -2)), ROW),
    'from the end': (S.slice_axis(X, axis=1, begin=-3, end=-1), ROW),
    'first of equal ones': (S.argmax(S.floor(X), axis=1), ROW),
    'largest': (S.topk(X, axis=2, k=1, ret_typ='value'), (1, 4, 9)),
    'rows of a one': (S.one_hot(S.argmax(X, axis=1), 6), ROW),
    'over all axes but': (S.sum(X, axis=(0, 1), exclude=True), IMAGE),
    'softmax of an axis': (S.softmax(X, axis=1), IMAGE),
    'its logarithm': (S.log_softmax(X, axis=2), IMAGE),
    'softplus': (S.Activation(X, act_type='softrelu'), ROW),
    'number minus': (3 - X, ROW),
    'number divided by': (2 / (X + 10), ROW),
    'repeated': (S.repeat(X, repeats=3, axis=0), ROW),
    'repeated in time': (S.repeat(X, repeats=2, axis=2), CLIP),
    'zeros before': (S.concat(S.zeros_like(S.slice_axis(X, axis=2, begin=0, end=1)), X, dim=2), IMAGE),
    'compared': ((X > 0) * X + (X == 0), ROW),
    'products transposed': (S.batch_dot(X, X, transpose_b=True), (1, 3, 5)),
    'parts': (S.concat(*list(S.split(X, num_outputs=3, axis=1))[::-1], dim=1), ROW),
    'stacked': (S.stack(X, 2 * X, axis=-1), ROW),
}


@functools.lru_cache(maxsize=None)
def core():
    return openvino.Core()


def in_both(symbol, params, shape, x):
    model = to_onnx(symbol, params, shape, ['y'])
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=['CPUExecutionProvider'])
    compiled = core().compile_model(core().read_model(data), 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    return model, [session.run(None, {'data': x})[0], compiled([x])[0]]


@pytest.mark.parametrize('name', OPERATORS)
def test_operators(name):
    symbol, shape = OPERATORS[name]
    x = np.random.default_rng(0).normal(size=(3 * shape[0], *shape[1:])).astype('float32')
    wanted = symbol.eval(data=mx.nd.array(x))[0].asnumpy()
    for given in in_both(symbol, {}, shape, x)[1]:
        assert given.shape == wanted.shape
        np.testing.assert_allclose(given, wanted, atol=1e-6)


@pytest.mark.parametrize('size', [(6, 7, 8), (5, 8, 7)])
@pytest.mark.parametrize(
    'make',
    [
        lambda: SameConv3D(8, (3, 7, 3), (2, 2, 1), 4),
        lambda: SameConv2D(8, (3, 3), (2, 2), 4),
        lambda: SameMaxPool3D((1, 3, 3), (1, 2, 2)),
        lambda: SameMaxPool3D((2, 2, 2), (2, 2, 2)),
        lambda: SameMaxPool2D((3, 3), (2, 2)),
    ],
)
def test_same_padding_is_padding(make, size):
    layer = make()
    layer.initialize(mx.init.Normal(0.3))
    x = np.random.default_rng(0).normal(size=(2, 4, *size[-len(layer._kwargs['kernel']) :])).astype('float32')
    wanted = layer(mx.nd.array(x)).asnumpy()
    model, results = in_both(*fold(*deploy_symbol(layer)), (1, *x.shape[1:]), x)
    assert [node.op_type in ('Conv', 'MaxPool') for node in model.graph.node] == [True]  # nothing is turned around
    for given in results:
        np.testing.assert_allclose(given, wanted, atol=1e-5)


@pytest.mark.parametrize('subsample, size', [(False, (3, 5, 4)), (True, (3, 5, 4)), (True, (2, 6, 7))])
def test_a_non_local_layer(subsample, size):
    layer = NonLocal(6, subsample)
    layer.initialize(mx.init.Normal(0.7))
    layer.bn.gamma.set_data(mx.nd.array(np.linspace(1, 2, 6)))  # it starts as the identity
    x = np.random.default_rng(0).normal(size=(2, 6, *size)).astype('float32')
    wanted = layer(mx.nd.array(x)).asnumpy()
    assert np.abs(wanted - x).max() > 0.5
    for given in in_both(*deploy_symbol(layer), (1, 6, *size), x)[1]:
        np.testing.assert_allclose(given, wanted, atol=1e-5)


@pytest.mark.parametrize('fixed', [True, False])
def test_batch_norm_folds_into_what_it_follows(fixed):
    block = mx.gluon.nn.HybridSequential()
    block.add(
        mx.gluon.nn.BatchNorm(in_channels=4, scale=not fixed),
        mx.gluon.nn.Conv2D(6, 3, 2, 1, in_channels=4, groups=2, dilation=2),
        mx.gluon.nn.BatchNorm(in_channels=6, scale=not fixed, epsilon=1e-2),
        mx.gluon.nn.Conv2DTranspose(4, 3, 2, 1, in_channels=6, output_padding=1, groups=2),
    )
    block.initialize(mx.init.Uniform(0.5))
    rng = np.random.default_rng(0)
    for p in block.collect_params().values():  # also the gamma of a fixed one, which is not read
        p.set_data(mx.nd.array(rng.uniform(0.5, 1.5, p.shape)))
    x = rng.normal(size=(2, 4, 9, 8)).astype('float32')
    wanted = block(mx.nd.array(x)).asnumpy()
    model, results = in_both(*fold(*deploy_symbol(block)), (1, 4, 9, 8), x)
    assert [node.op_type for node in model.graph.node] == ['BatchNormalization', 'Conv', 'ConvTranspose']
    for given in results:
        np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    'symbol, said',
    [
        (S.Pooling(X, pool_type='lp', p_value=2, **POOL), 'pool_type lp'),
        (S.Pooling(X, pool_type='avg', pooling_convention='full', pad=(1, 1), **POOL), 'counts its padding'),
        (S.topk(X, axis=1, k=2, ret_typ='value'), 'largest value'),
        (S.softmax(X, temperature=2.0), 'temperature'),
        (S.cast(X, dtype='float16'), 'dtype float16'),
        (S.UpSampling(X, scale=2, sample_type='nearest'), 'operator UpSampling'),
        (S.broadcast_add(X, S.var('w', shape=(1, 1, 1, 1))), 'parameter w has no value'),
    ],
)
def test_what_has_no_counterpart_is_told(symbol, said):
    with pytest.raises(UserError, match=said):
        to_onnx(symbol, {}, (1, 4, 8, 10), ['y'])
