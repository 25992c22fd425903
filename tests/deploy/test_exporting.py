import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

import gluon_fg
from gluon_fg.deploy import exporting
from gluon_fg.errors import UserError
from gluon_fg.factory import get_model
from gluon_fg.weights.fingerprint import weights_sha256

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')
openvino = pytest.importorskip('openvino')

MODEL = 'i3d_tiny_synthfg_dfb'
REPO = Path(__file__).resolve().parents[2]
# Packages that the script may import, with what these need; nothing else is there
ALLOWED = ('numpy', 'av', 'onnxruntime', 'openvino', 'openvino_telemetry')


@pytest.fixture(scope='module')
def net():
    return gluon_fg.load_model(MODEL)


@pytest.fixture(scope='module', autouse=True)
def short_timing():
    """Timing itself is not what these tests are about, and others share the processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, '_SECONDS', 0.0)
        patch.setattr(exporting, 'SLOWER', 100.0)
        yield


@pytest.fixture(scope='module')
def files(net, tmp_path_factory):
    """The network in every format, by format."""
    folder = tmp_path_factory.mktemp('exported')
    return {to: exporting.export(net, folder / f'm{exporting.SUFFIXES[to][0]}', to) for to in exporting.SUFFIXES}


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    """Run a script in a Python that has nothing but numpy, PyAV and the two runtimes."""
    folder, site = tmp_path_factory.mktemp('alone'), Path(sysconfig.get_paths()['purelib'])
    for name in ALLOWED:
        for part in (name, f'{name}.libs'):
            if (site / part).exists():
                (folder / part).symlink_to(site / part)

    def run(*words):
        start = f'import sys, runpy; sys.path.insert(0, {str(folder)!r}); sys.argv = sys.argv[1:]; '
        code = start + words[0]
        # -I -S: neither the environment nor site-packages
        python = [sys.executable, '-I', '-S', '-c', code, *map(str, words[1:])]
        env = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
        return subprocess.run(python, cwd=folder, env=env, capture_output=True, text=True, timeout=120)

    return run


def test_the_script_runs_where_nothing_of_mxnet_is(files, net, alone, tiny_synthfg):
    missing = alone('import importlib.util as u; print([u.find_spec(n) for n in ("mxnet", "gluoncv", "gluon_fg")])')
    assert missing.stdout.strip() == '[None, None, None]'
    film = sorted((tiny_synthfg / 'test').glob('*.mp4'))[0]
    wanted = gluon_fg.predict(str(film), net, topk=3, protocol='3x1', runtime='mxnet')
    script = 'runpy.run_path(sys.argv[0], run_name="__main__")'
    for runtime, to in (('onnxruntime', 'onnx'), ('openvino', 'openvino'), ('openvino', 'onnx')):
        model, options = files[to].paths[0], ('--runtime', runtime, '--clips', 3, '--topk', 3, '--threads', 1)
        done = alone(script, REPO / 'scripts' / 'run_exported.py', model, film, *options)
        lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
        assert [label for _, _, label in lines] == [label for label, _ in wanted], done.stderr
        assert [float(p) for p, _, _ in lines] == pytest.approx([100 * p for _, p in wanted], abs=0.006)


def test_what_the_script_shows_the_network_is_what_predict_does(files, net, tiny_synthfg, monkeypatch):
    monkeypatch.syspath_prepend(str(REPO / 'scripts'))
    import run_exported

    film = str(sorted((tiny_synthfg / 'test').glob('*.mp4'))[1])
    own = run_exported.predict(str(files['onnx'].paths[0]), film, 'onnxruntime', 2, 1)
    wanted = dict(gluon_fg.predict(film, net, topk=net.nclass, protocol='2x1', runtime='mxnet'))
    np.testing.assert_allclose(own, [wanted[name] for name in net.classes], atol=1e-6)


@pytest.mark.parametrize('sizes', [(240, 320, 54, 72), (50, 38, 54, 41), (54, 96, 54, 96)])
def test_the_script_resizes_as_opencv(monkeypatch, sizes):
    import cv2

    monkeypatch.syspath_prepend(str(REPO / 'scripts'))
    import run_exported

    height, width, *new = sizes
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), 'uint8')
    wanted = cv2.resize(picture, tuple(new[::-1]), interpolation=cv2.INTER_LINEAR)
    assert np.abs(run_exported.resized(picture, *new).astype(int) - wanted).max() <= (new[0] > height)


def test_what_stands_in_the_files(files, net):
    model = onnx.load(str(files['onnx'].paths[0]))
    known = {each.key: each.value for each in model.metadata_props}
    assert json.loads(known['classes']) == list(net.classes)
    assert json.loads(known['input'])['shape'] == [1, 3, 8, 48, 48]
    assert json.loads(known['branches']) == list(net.branch_names)
    assert known['weights_sha256'] == weights_sha256(net) != weights_sha256(gluon_fg.load_model('i3d_tiny_synthfg'))
    assert model.opset_import[0].version >= 13
    assert [each.name for each in model.graph.input] == ['data']  # weights are initializers alone
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == 'batch'
    stored = openvino.Core().read_model(str(files['openvino'].paths[0]))
    assert {key: value.astype(str) for key, value in stored.get_rt_info(['framework']).astype(dict).items()} == known
    said = json.loads(files['symbol'].paths[2].read_text())
    assert said['classes'] == list(net.classes) and said['outputs'] == list(net.branch_names)


def test_every_format_was_compared(files):
    runtimes = {to: [check.runtime for check in done.checks] for to, done in files.items()}
    assert runtimes == {'onnx': ['openvino', 'onnxruntime'], 'openvino': ['openvino'], 'symbol': ['mxnet']}
    for done in files.values():
        assert not done.problem and all(0 <= check.deviation < 1e-5 for check in done.checks)


def test_the_symbol_loads_with_mxnet_alone(files, net):
    graph, params, _ = map(str, files['symbol'].paths)
    block = mx.gluon.SymbolBlock.imports(graph, ['data'], params)
    x = mx.nd.random.normal(shape=(2, 3, 8, 48, 48))
    for given, wanted in zip(block(x), net.branches(x)):
        np.testing.assert_allclose(given.asnumpy(), wanted.asnumpy(), atol=1e-5)


def test_a_file_that_deviates_is_not_kept(net, tmp_path, monkeypatch):
    from gluon_fg.deploy.onnx import convert

    monkeypatch.setitem(convert.OPERATORS, 'mean', convert.OPERATORS['max'])
    out = tmp_path / 'wrong.onnx'
    with pytest.raises(UserError, match='deviates from MXNet by .*more than 0.0001; nothing was written'):
        exporting.export(net, out)
    assert not list(tmp_path.iterdir())
    assert 'deviates' in exporting.export(net, out, force=True).problem and out.exists()


def test_a_slow_file_is_not_kept(net, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, 'SLOWER', 0.0)
    with pytest.raises(UserError, match=r'slower than MXNet, .* ms in mxnet beside .* ms'):
        exporting.export(net, tmp_path / 'm-symbol.json', 'symbol')
    assert not list(tmp_path.iterdir())


def test_the_fastest_runtime_decides_and_the_worst_deviation():
    right, wrong = 1e-6, float('nan')
    slow, fast = (exporting.Check('x', right, 1.0, 1.0, ratio) for ratio in (200.0, 0.5))
    assert not exporting._problem([slow, fast]) and 'slower' in exporting._problem([slow])
    assert 'deviates' in exporting._problem([fast, exporting.Check('y', wrong, 1.0, 1.0, 0.5)][::-1])


def test_mistakes_are_one_line(error_line, files, tmp_path, monkeypatch):
    out = str(files['onnx'].paths[0])
    assert 'is there already' in error_line('export', MODEL, '--out', out)
    assert 'written to a file *.xml' in error_line('export', MODEL, '--to', 'openvino', '--out', out)
    assert 'view' in error_line('export', MODEL, '--views', 'masks', '--out', tmp_path / 'm.onnx')
    assert 'exclude each other' in error_line('export', MODEL, '--model', MODEL)
    assert 'no such file' in error_line('export', MODEL, '--videos', 'missing.mp4', '--out', tmp_path / 'm.onnx')
    find = exporting.importlib.util.find_spec
    extra = ('onnx', 'openvino', 'onnxruntime')
    monkeypatch.setattr(exporting.importlib.util, 'find_spec', lambda name: None if name in extra else find(name))
    assert 'gluon_fg[deploy]' in error_line('export', MODEL, '--out', tmp_path / 'm.onnx')


def test_networks_that_take_labels_are_refused(tmp_path):
    oracle = get_model('topheavy_tiny_custom_u2s', nclass=4, select='oracle')
    with pytest.raises(UserError, match='takes the true labels'):
        exporting.export(oracle, tmp_path / 'm.onnx')


def test_the_command_compares_on_films(command, tiny_synthfg, tmp_path):
    film = sorted((tiny_synthfg / 'test').glob('*.mp4'))[0]
    code, out, _ = command(
        'export', 'topheavy_tiny_synthfg_u2s', '--views', 'all', '--videos', film, '--out', tmp_path / 'm.onnx'
    )
    assert code == 0 and 'map.masks' in out and 'on 3 batches (1 of films)' in out
