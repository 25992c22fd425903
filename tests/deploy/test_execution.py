import subprocess
import sys

import mxnet as mx
import pytest
from networks import randomized

from gluon_fg.deploy import execution
from gluon_fg.deploy.execution import PRECISIONS, Execution, thread_count
from gluon_fg.errors import UserError
from gluon_fg.input_spec import InputSpec


class Net:
    name, takes_labels, branch_names, input_spec = 'net', False, ('only',), InputSpec()
    map_info, filters_per_class, _children = {}, 0, {}

    def branches(self, x):
        return (mx.sym.relu(x),)

    def collect_params(self):
        return {}


class Oracle(Net):
    takes_labels = True


@pytest.fixture
def everything(monkeypatch):
    """A computer that has every runtime and computes in bfloat16; nothing is said in the environment."""
    monkeypatch.setattr(execution, 'installed', lambda runtime: True)
    monkeypatch.setattr(execution, 'has_bfloat16', lambda: True)
    monkeypatch.delenv('GLUON_FG_RUNTIME')
    return monkeypatch


@pytest.mark.parametrize('precision', PRECISIONS[:2])
@pytest.mark.parametrize('there, chosen', [
    (('mxnet', 'openvino', 'onnxruntime'), 'openvino'),
    (('mxnet', 'onnxruntime'), 'mxnet'),
    (('mxnet',), 'mxnet'),
])  # fmt: skip
def test_auto_is_the_fastest_that_is_installed_and_can(everything, there, chosen, precision):
    everything.setattr(execution, 'installed', lambda runtime: runtime in there)
    if chosen == 'openvino':
        pytest.importorskip('onnx')
    if precision == 'bfloat16' and chosen == 'mxnet':
        with pytest.raises(UserError, match='bfloat16: mxnet has none; choose the runtime openvino$'):
            Execution(precision=precision).decided(Net())
    else:
        assert Execution(precision=precision).decided(Net()) == Execution(chosen, precision)


def test_auto_is_mxnet_on_a_gpu_and_for_networks_that_take_labels_or_as_the_environment_says(everything):
    assert Execution().decided(Oracle()).runtime == Execution().decided(Net(), mx.gpu()).runtime == 'mxnet'
    for net, ctx in ((Oracle(), None), (Net(), mx.gpu())):
        with pytest.raises(UserError, match='runtime onnxruntime: net is computed by mxnet there'):
            Execution('onnxruntime').decided(net, ctx)
    everything.setenv('GLUON_FG_RUNTIME', 'onnxruntime')
    assert Execution().decided(Net()).runtime == 'onnxruntime'
    assert Execution('openvino').decided(Net()).runtime == 'openvino'
    everything.setenv('GLUON_FG_RUNTIME', 'onxruntime')
    with pytest.raises(UserError, match="runtime in GLUON_FG_RUNTIME 'onxruntime'; did you mean 'onnxruntime'"):
        Execution().decided(Net())


@pytest.mark.parametrize('given, said', [
    ({'runtime': 'openvno'}, "unknown runtime 'openvno'; did you mean 'openvino'?"),
    ({'precision': 'float8'}, "unknown precision 'float8'; did you mean"),
    ({'threads': 0}, 'threads must be at least 1, got 0'),
])  # fmt: skip
def test_what_cannot_be_is_refused_at_once(given, said):
    with pytest.raises(UserError) as caught:
        Execution(**given)
    assert str(caught.value).startswith(said)


def test_auto_is_mxnet_for_operators_that_cannot_be_converted(everything, caplog):
    pytest.importorskip('onnx')
    net = Net()
    net.branches = lambda x: (mx.sym.Correlation(x, x),)
    assert Execution().decided(net).runtime == 'mxnet'
    assert [r.getMessage() for r in caplog.records] == [
        'net: computed by mxnet, as Correlation cannot be converted for openvino'
    ]


@pytest.mark.parametrize('made, chosen', [((), 'openvino'), (('mxnet',), 'mxnet'), (('mxnet', 'openvino'), 'openvino')])
def test_auto_in_int8_is_what_the_network_was_quantized_for(everything, tmp_path, monkeypatch, made, chosen):
    from gluon_fg.deploy.quantized import store

    monkeypatch.setattr(store, 'folder_of', lambda net, runtime: tmp_path / runtime)
    for runtime in made:
        (tmp_path / runtime).mkdir()
        (tmp_path / runtime / store.FACTS).write_text('{}')
    assert Execution(precision='int8').decided(Net()).runtime == chosen


def test_what_is_not_installed_or_not_in_the_processor_is_refused_in_a_line(everything):
    everything.setattr(execution, 'has_bfloat16', lambda: False)
    with pytest.raises(UserError, match='bfloat16: this processor does not compute in it'):
        Execution('openvino', 'bfloat16').decided(Net())
    everything.setattr(execution, 'installed', lambda runtime: runtime == 'mxnet')
    with pytest.raises(
        UserError, match=r"openvino is not installed: pip install 'gluon_fg\[deploy\]', or choose mxnet"
    ):
        Execution('openvino').decided(Net())


def test_threads_are_as_asked_or_said_or_one_a_core(monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '3,1')
    assert thread_count() == 3 and thread_count(5) == 5
    assert Execution('mxnet', threads=3).decided(Net()).threads == 3
    with pytest.raises(UserError, match='threads 5: MXNet .* OMP_NUM_THREADS=5'):
        Execution('mxnet', threads=5).decided(Net())
    monkeypatch.setenv('OMP_NUM_THREADS', 'many')
    monkeypatch.setattr(execution, 'cores', lambda: 2.5)
    assert thread_count() == 2


def test_asking_imports_no_runtime():
    code = (
        'import sys; sys.argv[0] = "gluon-fg"; from gluon_fg.deploy import execution;'
        'print(execution.installed("openvino"), [name for name in ("onnx", "onnxruntime", "openvino", "nncf") '
        'if name in sys.modules])'
    )
    said = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    assert said.split(maxsplit=1)[1].strip() == '[]'


@pytest.mark.parametrize(
    'name', ['i3d_tiny_custom_dfb', 'i3d_tiny_custom_cidc', 'topheavy_tiny_custom_u2s', 'c3d_tiny_custom']
)
def test_auto_converts_the_networks_of_every_method(everything, name):
    pytest.importorskip('onnx')
    assert Execution().decided(randomized(name)).runtime == 'openvino'
