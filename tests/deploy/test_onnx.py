import mxnet as mx
import numpy as np
import pytest
from networks import moderate

import gluon_fg
from gluon_fg.deploy.flops import input_shape

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')
openvino = pytest.importorskip('openvino')

from gluon_fg.deploy.onnx import network_onnx, view_names  # noqa: E402

ALL = [name for name in gluon_fg.list_models() if 'tiny' in name and 'custom' in name]
TINY = [name for name in ALL if 'flow_' not in name or name.replace('flow_', '') not in ALL]  # other channels alone


def in_onnxruntime(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ['CPUExecutionProvider'])
    names = [output.name for output in session.get_outputs()]
    return lambda x: dict(zip(names, session.run(None, {'data': x})))


def in_openvino(model):
    core = openvino.Core()
    settings = {'INFERENCE_PRECISION_HINT': 'f32', 'INFERENCE_NUM_THREADS': 1}
    compiled = core.compile_model(core.read_model(model.SerializeToString()), 'CPU', settings)
    return lambda x: {output.any_name: value for output, value in compiled({'data': x}).items()}


def expected(net, x):
    """Logits of the branches, maps and filter responses as MXNet computes them."""
    x = mx.nd.array(x)
    outputs = dict(zip(net.branch_names, net.branches(x)))
    outputs.update({f'map.{name}': value for name, value in net.maps(x).items()})
    if net.filters_per_class:
        outputs['filter_responses'] = net.filter_responses(x)
    return {name: value.asnumpy() for name, value in outputs.items()}


@pytest.mark.parametrize('name', TINY)
def test_tiny_networks_and_all_they_show_in_both_runtimes(name):
    net = moderate(name)
    model = network_onnx(net, view_names(net))
    onnx.checker.check_model(model, full_check=True)
    first, *rest = input_shape(net.input_spec)
    runs = in_openvino(model), in_onnxruntime(model)
    for videos in (1, 3):
        x = np.random.default_rng(videos).normal(size=(videos * first, *rest)).astype('float32')
        wanted = expected(net, x)
        for given in (run(x) for run in runs):
            assert set(wanted) == set(given)
            for key, value in wanted.items():
                assert given[key].shape == value.shape
                np.testing.assert_allclose(given[key], value, atol=1e-5 * max(1, np.abs(value).max()))
