"""The same answers whatever computes them."""

import concurrent.futures
import logging

import mxnet as mx
import numpy as np
import pytest
from networks import randomized

import gluon_fg
from gluon_fg.data.catalog import build_dataset
from gluon_fg.deploy import Predictor, cache, compiled
from gluon_fg.deploy.execution import Execution
from gluon_fg.deploy.fused import with_segments
from gluon_fg.deploy.predictor import forward_of, layers_forward
from gluon_fg.errors import UserError
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.score import Scores, score_dataset

OTHERS = ('openvino', 'onnxruntime')
SHAPES = {  # of one video, never the size that the network was made for
    'i3d_tiny_custom_dfb': (3, 8, 33, 48),
    'topheavy_tiny_custom_u2s': (3, 8, 48, 48),
    'tsn_tiny_custom_dfb': (3, 48, 33),
    'lstm_tiny_custom': (3, 5, 32, 32),
}


@pytest.fixture(params=OTHERS)
def other(request):
    """A runtime besides MXNet."""
    pytest.importorskip('onnx')
    pytest.importorskip(request.param)
    return request.param


@pytest.fixture(scope='module')
def nets():
    return {name: randomized(name) for name in SHAPES}


def batch(net, name, count, seed=0):
    rows = count * (net.num_segments if net.input_spec.ndim == 2 else 1)
    return np.random.default_rng(seed).normal(size=(rows, *SHAPES[name])).astype('f')


def assert_same(ours, theirs, tolerance=1e-4):
    assert len(ours) == len(theirs)
    for z, y in zip(ours, theirs):
        np.testing.assert_allclose(z, y, rtol=tolerance, atol=tolerance * np.abs(y).max())


@pytest.mark.parametrize('name', sorted(SHAPES))
def test_every_runtime_gives_the_networks_own_logits_for_any_batch(nets, other, name):
    net = nets[name]
    x = batch(net, name, 3)
    with mx.autograd.predict_mode():
        right = [z.asnumpy() for z in net.branches(mx.nd.array(x))[: len(net.branch_names)]]
    predictor = Predictor(net, other, batch_size=2)  # a whole batch, and one of what is left
    assert (predictor.runtime, predictor.precision, predictor.branch_names) == (other, 'float32', net.branch_names)
    out = predictor(x)
    assert all(z.dtype == np.float32 for z in out) and predictor.seconds > 0
    assert_same(out, right)
    assert_same(predictor(mx.nd.array(x)), right)
    assert_same(Predictor(net, 'mxnet', batch_size=2)(x), right)
    assert_same([z.asnumpy() for z in forward_of(net, Execution(other))(mx.nd.array(x))], right)


def test_networks_on_images_take_as_many_frames_as_are_asked_for(nets, other):
    net = nets['tsn_tiny_custom_dfb']
    before, x = net.num_segments, batch(net, 'tsn_tiny_custom_dfb', 4)
    for segments in (2, 4):
        with with_segments(net, segments):
            right = [z.asnumpy() for z in net.branches(mx.nd.array(x))]
        out = forward_of(net, Execution(other), None, segments)(mx.nd.array(x))
        assert len(out[0]) == len(x) // segments
        assert_same([z.asnumpy() for z in out], right)
    assert net.num_segments == before


def test_clips_of_other_lengths_and_sizes_follow_each_other(nets, other):
    net = nets['lstm_tiny_custom']
    predictor = Predictor(net, other)
    for frames, size in ((3, 32), (6, 32), (3, 40), (3, 32)):
        x = np.random.default_rng(frames).normal(size=(1, 3, frames, size, 32)).astype('f')
        assert_same(predictor(x), [net(mx.nd.array(x)).asnumpy()])


def test_threads_share_a_predictor(nets, other):
    name = 'i3d_tiny_custom_dfb'
    predictor = Predictor(nets[name], other)
    inputs = [batch(nets[name], name, 1 + n % 2, n) for n in range(8)]
    right = [predictor(x) for x in inputs]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for out, z in zip(pool.map(predictor, inputs), right):
            assert_same(out, z, 1e-6)


@pytest.mark.parametrize('name', ['i3d_tiny_custom_dfb', 'r2d_tiny_custom', 'tsn_tiny_custom'])
def test_layers_are_computed_as_networks_are(other, name):
    net = randomized(name)
    layers = mx.gluon.nn.HybridSequential()
    layers.add(*net.branches.backbone.path(4))
    size = (8, 40, 33) if net.input_spec.ndim == 3 else (40, 33)
    x = np.random.default_rng(0).normal(size=(2 * net.num_segments, 3, *size)).astype('f')
    right = layers(mx.nd.array(x)).asnumpy()
    (out,) = layers_forward(layers, Execution(other), num_segments=net.num_segments)(mx.nd.array(x))
    assert right.std() > 0
    assert_same([out.asnumpy()], [right])


def test_bfloat16_is_near_and_not_the_same(nets):
    pytest.importorskip('onnx')
    pytest.importorskip('openvino')
    net, x = nets['i3d_tiny_custom_dfb'], batch(nets['i3d_tiny_custom_dfb'], 'i3d_tiny_custom_dfb', 1)
    try:
        predictor = Predictor(net, 'openvino', 'bfloat16')
    except UserError as error:
        pytest.skip(str(error))
    near, exact = predictor(x)[0], Predictor(net, 'openvino')(x)[0]
    assert predictor.precision == 'bfloat16'
    assert 0 < np.abs(near - exact).max() < 0.05 * np.abs(exact).max()


def test_shapes_that_do_not_fit_and_batches_below_1_are_refused(nets):
    predictor = Predictor(nets['tsn_tiny_custom_dfb'], 'mxnet')
    with pytest.raises(
        UserError, match=r'tsn_tiny_custom_dfb takes batches of .*, of 8 frames for each .*\(5, 3, 9, 9\)'
    ):
        predictor(np.zeros((5, 3, 9, 9)))
    with pytest.raises(UserError, match='batch_size must be at least 1, got 0'):
        Predictor(nets['tsn_tiny_custom_dfb'], batch_size=0)
    with pytest.raises(ValueError, match='another network'):
        forward_of(nets['lstm_tiny_custom'], predictor)


# The cache ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def conversions(monkeypatch, tmp_path):
    """The shapes that were converted, in an empty cache."""
    pytest.importorskip('onnxruntime')
    from gluon_fg.deploy import onnx

    done, to_onnx = [], onnx.to_onnx
    monkeypatch.setattr(onnx, 'to_onnx', lambda *given: done.append(given[2]) or to_onnx(*given))
    monkeypatch.setenv('GLUON_FG_CACHE', str(tmp_path))
    return done


def test_a_network_is_converted_once_for_each_size_and_all_batches(nets, conversions):
    name = 'i3d_tiny_custom_dfb'
    net, shape = nets[name], (1, *SHAPES[name])
    right = Predictor(net, 'onnxruntime')(batch(net, name, 1))
    for count in (1, 2, 1):
        assert_same(Predictor(net, 'onnxruntime')(batch(net, name, count)), right if count == 1 else [
            np.concatenate(pair) for pair in zip(*(Predictor(net, 'mxnet')(x[None]) for x in batch(net, name, count)))
        ])  # fmt: skip
    assert conversions == [shape]
    Predictor(net, 'onnxruntime')(np.zeros((1, 3, 8, 40, 40), 'f'))
    assert conversions == [shape, (1, 3, 8, 40, 40)]


def test_other_weights_are_another_entry(nets, conversions):
    net, x = nets['lstm_tiny_custom'], batch(nets['lstm_tiny_custom'], 'lstm_tiny_custom', 1)
    before = Predictor(net, 'onnxruntime')(x)[0]
    bias = net.branches.classifier.bias
    kept = bias.data().copy()
    bias.set_data(kept + 1)
    try:
        np.testing.assert_allclose(Predictor(net, 'onnxruntime')(x)[0], before + 1, rtol=1e-4, atol=1e-4)
    finally:
        bias.set_data(kept)
    assert len(conversions) == 2
    Predictor(net, 'onnxruntime')(x)  # a parameter that was set anew and has its former numbers
    assert len(conversions) == 2


@pytest.mark.parametrize('damage', [
    lambda whole: whole[:-1], lambda whole: b'', lambda whole: whole[:-9] + b'another.x',
    lambda whole: whole.replace(b'cache 1', b'cache 0', 1), lambda whole: b'something else',
])  # fmt: skip
def test_a_damaged_or_foreign_entry_is_made_anew_with_a_line(tmp_path, monkeypatch, caplog, damage):
    monkeypatch.setenv('GLUON_FG_CACHE', str(tmp_path))
    assert cache.kept('key', lambda: b'the model 123456789') == b'the model 123456789'
    entry = tmp_path / 'key.onnx'
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    assert cache.kept('key', lambda: b'the model 123456789') == b'the model 123456789'
    assert entry.read_bytes() == whole and [r.getMessage() for r in caplog.records] == [
        f'{entry}: no model of this cache, or damaged; it is made anew'
    ]
    assert cache.kept('key', lambda: pytest.fail('is there')) == b'the model 123456789'


def test_what_was_not_used_for_longest_goes_first(tmp_path, monkeypatch):
    monkeypatch.setenv('GLUON_FG_CACHE', str(tmp_path))
    monkeypatch.setattr(cache, 'LIMIT', 1000)
    (tmp_path / 'of another program').write_bytes(b'x' * 5000)
    for age, key in enumerate('abc'):
        cache.kept(key, lambda: b'x' * 220)
        cache.os.utime(tmp_path / f'{key}.onnx', (age, age))
    cache.kept('a', lambda: pytest.fail('is there'))  # used just now
    cache.kept('d', lambda: b'x' * 220)
    assert sorted(path.stem for path in tmp_path.glob('*.onnx')) == ['a', 'c', 'd']
    cache.kept('e', lambda: b'x' * 5000)  # larger than all may be: it alone is left
    assert sorted(path.name for path in tmp_path.iterdir()) == ['e.onnx', 'of another program']


def test_folders_not_used_for_longest_go_first_but_none_in_use(tmp_path, monkeypatch):
    monkeypatch.setenv('GLUON_FG_CACHE', str(tmp_path))
    monkeypatch.setattr(cache, 'LIMIT', 1000)
    forms = tmp_path / 'forms'
    for age, key in enumerate('abc'):
        own = cache.folder_of('forms', key * 64)
        assert own == forms / (key * 16) and not list(own.iterdir())
        (own / 'deep').mkdir()
        (own / 'deep' / 'file').write_bytes(b'x' * 400)
        cache.os.utime(own, (age, age))
    assert (cache.folder_of('forms', 'a' * 64) / 'deep' / 'file').read_bytes() == b'x' * 400  # used just now
    assert sorted(path.name[0] for path in forms.iterdir()) == ['a', 'c']
    (cache.folder_of('forms', 'd' * 64) / 'file').write_bytes(b'x' * 5000)
    cache.folder_of('forms', 'e' * 64)
    assert sorted(path.name[0] for path in forms.iterdir()) == ['a', 'd', 'e']  # all used within the hour
    (tmp_path / 'file').write_text('no folder')
    monkeypatch.setenv('GLUON_FG_CACHE', str(tmp_path / 'file'))
    with pytest.raises(UserError, match='GLUON_FG_CACHE=FOLDER names another'):
        cache.folder_of('forms', 'a' * 64)


def test_a_folder_that_cannot_be_written_costs_a_line(tmp_path, monkeypatch, caplog):
    (tmp_path / 'file').write_text('no folder')
    monkeypatch.setenv('GLUON_FG_CACHE', str(tmp_path / 'file'))
    assert cache.kept('key', lambda: b'model') == b'model'
    assert 'GLUON_FG_CACHE=FOLDER names another' in caplog.text and 'Traceback' not in caplog.text


# Evaluation -----------------------------------------------------------------------------------------------------------


def test_scores_are_the_same_and_say_what_computed_them(other, tiny_synthfg, tmp_path):
    net = gluon_fg.get_model('i3d_tiny_synthfg_dfb', pretrained=True)
    videos = build_dataset('synthfg', 'test', tiny_synthfg)
    protocol = get_protocol('train_time')
    scores = score_dataset(net, videos, protocol, batch_size=5, progress=False, execution=Execution(other))
    right = score_dataset(net, videos, protocol, progress=False)
    np.testing.assert_allclose(scores.probabilities, right.probabilities, atol=1e-4)
    scores.save(tmp_path / 'scores.npz')
    assert Scores.load(tmp_path / 'scores.npz').execution == f'{other} float32' and right.execution == 'mxnet float32'


def test_a_predictor_by_name_answers_as_predict_does(other, tiny_synthfg, caplog):
    caplog.set_level(logging.INFO, compiled.__name__)
    predictor = Predictor('i3d_tiny_synthfg', other)
    film = str(next((tiny_synthfg / 'test').glob('*.mp4')))
    answers = predictor.predict(film, topk=2)
    for (label, p), (expected, q) in zip(answers, gluon_fg.predict(film, 'i3d_tiny_synthfg', topk=2)):
        assert label == expected and p == pytest.approx(q, abs=1e-4)
    assert len(answers) == 2 and len(caplog.records) == 1 and 'compiled for 1x3x8x48x48 in' in caplog.text
    assert predictor.predict(film, topk=2) == answers and len(caplog.records) == 1  # compiled once
    with pytest.raises(UserError, match='a Predictor has its own'):
        gluon_fg.predict(film, predictor, precision='bfloat16')
