"""ONNX Runtime on a GPU, as far as it can be tried without one: the GPU's provider is made up, the CPU computes."""

import types

import mxnet as mx
import numpy as np
import pytest
from networks import moderate

from gluon_fg.deploy import Predictor
from gluon_fg.deploy.execution import Execution
from gluon_fg.deploy.flops import input_shape
from gluon_fg.errors import UserError
from gluon_fg.training import devices

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')

from gluon_fg.deploy.half import to_float16  # noqa: E402
from gluon_fg.deploy.onnx import network_onnx  # noqa: E402
from gluon_fg.deploy.runtimes import onnxruntime_cuda  # noqa: E402

ON_CPU, Session = ['CPUExecutionProvider'], onnxruntime.InferenceSession
NETWORKS = (  # of each kind
    'i3d_tiny_custom_dfb',
    'i3d_tiny_custom_cidc',
    'topheavy_tiny_custom_u2s',
    'tsn_tiny_custom',
    'lstm_tiny_custom',
    'i3d_tiny_custom_attention',
    'i3d_tiny_flow_custom',
    'twostream_tiny_custom',
)


def rounding_session(model):
    """A session on the CPU that rounds what a GPU would: by itself it computes float16 in float32."""
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(model))
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    nodes = []
    for node in model.graph.node:
        nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
        for place, name in enumerate(node.output):
            if kinds.get(name) == onnx.TensorProto.FLOAT16:
                nodes[-1].output[place] = f'{name}.wide'
                nodes.append(onnx.helper.make_node('Identity', [f'{name}.wide'], [name]))
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return Session(model.SerializeToString(), options, providers=ON_CPU)


@pytest.fixture
def made_up(monkeypatch):
    """An ONNX Runtime that says it has CUDA, and computes on the CPU; what is noted of its sessions."""
    noted = types.SimpleNamespace(given=[], providers=[onnxruntime_cuda.CUDA, *ON_CPU], nodes=None, error=None)

    class MadeUp:
        def __init__(self, model, options, providers, **given):
            if noted.error:
                raise noted.error
            noted.given.append({'providers': providers, 'threads': options.intra_op_num_threads, **given})
            self._session = rounding_session(model)
            self.run, self.falls_back = self._session.run, True

        def get_providers(self):
            return noted.providers

        def disable_fallback(self):
            self.falls_back = False

        def get_provider_graph_assignment_info(self):
            node = types.SimpleNamespace
            for name, kinds in (noted.nodes or {}).items():
                yield node(ep_name=name, get_nodes=lambda kinds=kinds: [node(op_type=kind) for kind in kinds])

    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: [onnxruntime_cuda.CUDA, *ON_CPU])
    monkeypatch.setattr(onnxruntime, 'InferenceSession', MadeUp)
    monkeypatch.setattr(onnxruntime, 'set_default_logger_severity', lambda level: setattr(noted, 'level', level))
    monkeypatch.setattr(onnxruntime_cuda, '_preloaded', lambda: '')
    return noted


@pytest.fixture(scope='module')
def small():
    """(network on clips, its ONNX model, a batch)."""
    net = moderate('i3d_tiny_custom')
    x = np.random.default_rng(0).standard_normal((2, *input_shape(net.input_spec)[1:]), 'float32')
    return net, network_onnx(net).SerializeToString(), x


def test_an_onnx_runtime_without_cuda_is_refused_in_a_line(small):
    if onnxruntime_cuda.CUDA in onnxruntime.get_available_providers():
        pytest.skip('this one has CUDA')
    line = r"onnxruntime_cuda: this ONNX Runtime .* cannot use a GPU .*CPU.*pip install 'gluon_fg\[deploy-gpu\]'"
    with pytest.raises(UserError, match=line):
        Execution('onnxruntime_cuda').decided(small[0])
    with pytest.raises(UserError, match=line):
        onnxruntime_cuda.opened(small[1], 'float32', 1)


def test_float32_is_float32_on_the_first_gpu_and_nothing_else_takes_over(made_up, small):
    net, model, x = small
    predictor = Predictor(net, 'onnxruntime_cuda', threads=2, batch_size=2)
    (z,) = predictor(x)
    np.testing.assert_allclose(z, net(mx.nd.array(x)).asnumpy(), rtol=1e-4, atol=1e-5)
    (given,) = made_up.given
    (name, options), cpu = given['providers']
    assert (name, cpu, given['threads'], given['enable_fallback']) == (onnxruntime_cuda.CUDA, *ON_CPU, 2, 0)
    assert options['use_tf32'] == options['device_id'] == '0'
    assert predictor.text == 'onnxruntime_cuda float32'


def test_a_session_that_fell_back_to_the_processor_is_refused(made_up, small, monkeypatch):
    made_up.providers = ON_CPU
    with pytest.raises(UserError, match='cannot use the GPU .its libraries.*cannot be loaded.*runtime onnxruntime$'):
        onnxruntime_cuda.opened(small[1], 'float32', 1)
    monkeypatch.setattr(onnxruntime_cuda, '_preloaded', lambda: 'Failed to load libcudnn.so.9: no such file')
    with pytest.raises(UserError, match=r'.Failed to load libcudnn.so.9.*onnxruntime-gpu\[cuda,cudnn\]'):
        onnxruntime_cuda.opened(small[1], 'float32', 1)
    made_up.error = RuntimeError('CUDA failure 100:\n no CUDA-capable device is detected')
    with pytest.raises(UserError, match='CUDA failure 100: no CUDA-capable device') as caught:
        onnxruntime_cuda.opened(small[1], 'float32', 1)
    assert '\n' not in str(caught.value)


def test_what_onnx_runtime_says_on_a_machine_whose_gpu_is_hidden_becomes_plain_words(made_up, small):
    made_up.error = RuntimeError(  # said by 1.31.1 on an H100 with CUDA_VISIBLE_DEVICES=''
        '/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider_info.cc:63 static onnxruntime::CUDA'
        'ExecutionProviderInfo onnxruntime::CUDAExecutionProviderInfo::FromProviderOptions(const onnxruntime::Provider'
        'Options&) [ONNXRuntimeError] : 1 : FAIL : provider_options_utils.h:187 Parse Failed'
    )
    with pytest.raises(UserError, match=r'cannot use the GPU .CUDA finds none.; see nvidia-smi'):
        onnxruntime_cuda.opened(small[1], 'float32', 1)


def test_plans_of_cudnn_that_do_not_fit_are_not_printed_as_errors(made_up, small):
    onnxruntime_cuda.opened(small[1], 'float32', 1)  # on an H100: 1,273 lines for 17 networks, which all were right
    assert made_up.level == 4  # fatal errors alone


def test_what_is_left_to_the_processor_is_said_but_not_sizes(made_up, small, caplog):
    made_up.nodes = {onnxruntime_cuda.CUDA: ['Conv', 'Relu'], ON_CPU[0]: ['Shape', 'Gather']}
    onnxruntime_cuda.opened(small[1], 'float32', 1)
    assert not caplog.records
    made_up.nodes[ON_CPU[0]] += ['LSTM', 'Conv', 'LSTM']
    onnxruntime_cuda.opened(small[1], 'float32', 1)
    assert caplog.messages == ['onnxruntime_cuda: computed on the processor, which is slow: 1 Conv, 2 LSTM']


def test_libraries_are_preloaded_once_and_print_nothing(monkeypatch, capsys):
    calls = []

    def preload():
        calls.append(1)
        print('Failed to load libcublas.so.12: not there\nPlease follow the documentation')

    monkeypatch.setattr(onnxruntime, 'preload_dlls', preload, raising=False)
    onnxruntime_cuda._preloaded.cache_clear()
    said = {onnxruntime_cuda._preloaded() for _ in range(2)}
    onnxruntime_cuda._preloaded.cache_clear()
    assert said == {'Failed to load libcublas.so.12: not there'} and calls == [1] and capsys.readouterr().out == ''


@pytest.mark.parametrize('name', NETWORKS)
def test_float16_is_near_float32(name):
    net = moderate(name)
    model = network_onnx(net).SerializeToString()
    half = onnx.load_from_string(to_float16(model))
    onnx.checker.check_model(half, full_check=True)
    kinds = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    weights = [kinds[node.input[1]] for node in half.graph.node if node.op_type == 'Conv']
    assert set(weights) == {onnx.TensorProto.FLOAT16}
    ends = [*half.graph.input, *half.graph.output]
    assert {value.type.tensor_type.elem_type for value in ends} == {onnx.TensorProto.FLOAT}
    x = np.random.default_rng(0).standard_normal(input_shape(net.input_spec), 'float32')
    right = Session(model, providers=ON_CPU).run(None, {'data': x})
    given = rounding_session(half.SerializeToString()).run(None, {'data': x})
    apart = [np.abs(a - b).max() / np.abs(b).max() for a, b in zip(given, right)]
    assert 1e-5 < max(apart) < 3e-3


def test_numbers_go_to_float16_and_back_only_where_they_must():
    """Of what is computed in float32 nothing is rounded on its way to another such operator."""
    half = onnx.load_from_string(to_float16(network_onnx(moderate('topheavy_tiny_custom_u2s')).SerializeToString()))
    casts = {node.output[0]: node for node in half.graph.node if node.op_type == 'Cast'}
    assert len(casts) > 3
    assert not [name for name, node in casts.items() if node.input[0] in casts and name.endswith('.float32')]
    taken = {node.op_type: node.input for node in half.graph.node}
    for kind in ('MatMul', 'ReduceSum', 'Sqrt', 'LogSoftmax', 'Exp'):
        assert not any(name.endswith('.float16') for name in taken[kind])


def test_what_float16_cannot_hold_is_refused_in_a_line(made_up):
    net = moderate('i3d_tiny_custom')
    weight = next(p for p in net.collect_params().values() if p.shape[1:2] == (3,))
    kept, x = weight.data().copy(), 100 * np.ones(input_shape(net.input_spec), 'f')
    for factor, line in ((1e7, 'above 65504'), (1e4, 'a number of this network leaves its range')):
        weight.set_data(kept * factor)
        with pytest.raises(UserError, match=f'precision float16: .*{line}.*; choose float32'):
            Predictor(net, 'onnxruntime_cuda', 'float16')(x)
        assert np.isfinite(Predictor(net, 'onnxruntime_cuda')(x)).all()


def test_the_network_lies_on_the_processor_beside_a_runtime_on_a_gpu(made_up, small, monkeypatch):
    monkeypatch.delenv('GLUON_FG_RUNTIME', raising=False)
    monkeypatch.setattr(devices, 'choose_context', lambda device, rank: mx.cpu() if device == 'cpu' else mx.gpu(rank))
    monkeypatch.setattr(devices, 'capability', lambda number: '9.0')
    asked = Execution('onnxruntime_cuda', 'float16')
    assert devices.computing_device('auto', 0, asked) == devices.computing_device('gpu', 0, asked) == mx.cpu()
    assert asked.decided(small[0], mx.gpu()) == asked, 'also where a program has put the network on a GPU'
    with pytest.raises(UserError, match='device cpu: onnxruntime_cuda computes on a GPU; choose the device auto'):
        devices.computing_device('cpu', 0, asked)
    line = 'MXNet cannot use the GPU: compute capability 9.0.*choose --runtime onnxruntime_cuda, or --device cpu'
    with pytest.raises(UserError, match=line):
        devices.computing_device('auto', 0, Execution())
    with pytest.raises(UserError, match='holds code for 5.0 to 8.9 alone; choose --device cpu'):
        devices.computing_device('gpu')
    monkeypatch.setattr(devices, 'capability', lambda number: '8.6')
    assert devices.computing_device('auto', 1, Execution()) == mx.gpu(1)
    monkeypatch.setenv('GLUON_FG_RUNTIME', 'onnxruntime_cuda')
    assert devices.computing_device('auto', 0, Execution()) == mx.cpu()
    assert Execution().decided(small[0]).runtime == 'onnxruntime_cuda'
