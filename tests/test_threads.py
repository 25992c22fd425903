"""One process, many threads: a web page that answers several people, a notebook that trains beside what it shows."""

import concurrent.futures
import signal
import sys
import threading

import mxnet as mx
import numpy as np
import pytest
from matplotlib import get_backend

import gluon_fg
from gluon_fg.deploy import fused
from gluon_fg.deploy.fused import fuse
from gluon_fg.factory import get_model
from gluon_fg.nn.norm import deploy_symbol
from gluon_fg.training import loop
from gluon_fg.training.config import load_config
from gluon_fg.training.run import StopFlag

THREADS = 8
FILMS = [np.random.default_rng(n).integers(0, 255, (8 + n, 56, 64, 3), np.uint8) for n in range(4)]


def at_once(work, count=THREADS):
    """[work(0), work(1), ...], each in a thread of its own, all started at one moment."""
    start, before = threading.Barrier(count), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads take turns in the midst of everything

    def run(number):
        start.wait()
        return work(number)

    try:
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            return list(pool.map(run, range(count)))
    finally:
        sys.setswitchinterval(before)


def assert_same(answers, expected):
    assert [name for name, _ in answers] == [name for name, _ in expected]
    np.testing.assert_allclose([p for _, p in answers], [p for _, p in expected], rtol=1e-4)


def test_one_network_answers_many_at_once():
    name = 'i3d_tiny_synthfg_dfb'
    expected = [gluon_fg.predict(film, gluon_fg.load_model(name)) for film in FILMS]
    net = gluon_fg.load_model(name)  # never called before
    for answer, right in zip(at_once(lambda n: gluon_fg.predict(FILMS[n % 4], net)), expected * 2):
        assert_same(answer, right)
    for answer, right in zip(at_once(lambda n: gluon_fg.predict(FILMS[n % 4], name), 3), expected):
        assert_same(answer, right)


@pytest.mark.parametrize('name', ['tsn_tiny_custom_dfb', 'lstm_tiny_custom'])
def test_protocols_and_lengths_do_not_mix(name):
    """Networks on images have another number of segments by each protocol, recurrent ones a graph for each length."""
    net = get_model(name, nclass=5, pretrained_base=False)
    jobs = [(FILMS[n % 4], ('train_time', '3x1')[n // 4]) for n in range(THREADS)]
    expected = [gluon_fg.predict(film, net, protocol=protocol) for film, protocol in jobs]
    segments = net.num_segments
    answers = at_once(lambda n: gluon_fg.predict(jobs[n][0], net, protocol=jobs[n][1]))
    for answer, right in zip(answers, expected):
        assert_same(answer, right)
    assert net.num_segments == segments


@pytest.mark.parametrize('graphs', [True, False], ids=['fused', 'plain'])
def test_one_function_and_one_network_are_called_at_once(graphs, monkeypatch):
    monkeypatch.setattr(fused, '_has_fused_graphs', lambda ctx: graphs)
    net = get_model('i3d_tiny_custom_dfb', nclass=5, pretrained_base=False)
    inputs = [mx.nd.array(np.random.default_rng(n).normal(size=(1, 3, 4, 32, 32 + n % 3))) for n in range(THREADS)]
    expected = [[z.asnumpy() for z in net.branches(x)] for x in inputs]
    net.hybridize(static_alloc=True, static_shape=True)
    shared = fuse(net)

    def check(forward):
        for outputs, right in zip(at_once(lambda n: [z.asnumpy() for z in forward(inputs[n])]), expected):
            for z, y in zip(outputs, right):
                np.testing.assert_allclose(z, y, rtol=1e-4, atol=1e-5)

    check(shared)
    check(lambda x: fuse(net)(x))
    check(net.branches)
    check(lambda x: (net(x),))


def test_graphs_of_one_length_serve_clips_of_any_at_once():
    net = get_model('lstm_tiny_custom', nclass=5, pretrained_base=False)
    inputs = [mx.nd.array(np.random.default_rng(n).normal(size=(1, 3, 3 + n % 3, 32, 32))) for n in range(THREADS)]
    expected = [net(x).asnumpy() for x in inputs]
    shared = fuse(net)
    for logits, right in zip(at_once(lambda n: shared(inputs[n])[0].asnumpy()), expected):
        np.testing.assert_allclose(logits, right, rtol=1e-4, atol=1e-5)


def test_the_form_for_inference_is_that_of_its_thread(monkeypatch):
    """A network that another thread trains meanwhile must not be traced in it: its gradients would fail."""
    net = get_model('i3d_tiny_custom', nclass=5, pretrained_base=False)
    other = get_model('i3d_tiny_custom', nclass=5, pretrained_base=False)
    tracing, seen = threading.Event(), threading.Event()
    first = net.branches.backbone.stem

    def slow(*args):  # in the midst of a trace
        tracing.set()
        assert seen.wait(60)
        return type(first).hybrid_forward(first, *args)

    monkeypatch.setattr(first, 'hybrid_forward', slow)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        trace = pool.submit(deploy_symbol, net)
        assert tracing.wait(60)
        symbol = other.branches(mx.sym.var('data'))[0].tojson()
        seen.set()
        assert 'reshape_like' not in trace.result()[0].tojson()
    assert 'reshape_like' in symbol, 'the training form was expected'


def test_training_in_a_thread_is_training(tiny_synthfg, tmp_path):
    """Beside predictions of another network, with the signals and figures of the program left alone."""

    def config():
        return load_config(
            None,
            [
                'model.name=i3d_tiny_synthfg', f'data.root={tiny_synthfg}', 'data.augment=random_crop',
                'data.workers=1', 'data.sizes={train: 48, val: 24, test: 24}', 'train.epochs=1', 'train.lr_epochs=[]',
                'train.batch_size=16', 'train.lr=0.02', 'data.frames=4', 'data.short_side=36', 'data.crop_size=32',
            ],
        )  # fmt: skip

    handlers, backend = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)], get_backend()
    loop.train(config(), tmp_path / 'alone', progress=False)
    net, done = gluon_fg.load_model('i3d_tiny_synthfg_dfb'), threading.Event()
    expected = gluon_fg.predict(FILMS[0], net)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        training = pool.submit(loop.train, config(), tmp_path / 'beside', progress=False)
        training.add_done_callback(lambda _: done.set())

        def ask():
            answers = []
            while not done.wait(0.2):
                answers.append(gluon_fg.predict(FILMS[0], net))
            return answers

        asked = pool.submit(ask)
        assert training.result()['epochs'] == 1
    assert len(asked.result()) > 1
    for answer in asked.result():
        assert_same(answer, expected)
    alone, beside = (mx.nd.load(str(tmp_path / name / 'final.params')) for name in ('alone', 'beside'))
    for name, value in alone.items():
        np.testing.assert_array_equal(beside[name].asnumpy(), value.asnumpy())
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers and get_backend() == backend


def test_a_stop_is_asked_for_in_the_main_thread_alone():
    before = signal.getsignal(signal.SIGTERM)

    def in_thread():
        with StopFlag() as stop:
            return stop.set, signal.getsignal(signal.SIGTERM)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(in_thread).result() == (False, before)
    with StopFlag() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.set
    assert signal.getsignal(signal.SIGTERM) == before
