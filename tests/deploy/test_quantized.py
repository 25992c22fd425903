"""INT8 forms: what is rounded, which layers stay in float32, and whose form is whose."""

import json
import subprocess
import sys
import types

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import randomized

from gluon_fg.deploy.execution import Execution
from gluon_fg.deploy.flops import input_shape
from gluon_fg.deploy.fused import fuse
from gluon_fg.deploy.predictor import forward_of, layers_forward
from gluon_fg.deploy.quantized import onednn, openvino, store
from gluon_fg.deploy.quantized.packing import pack, unpack
from gluon_fg.deploy.quantized.search import agreement, search
from gluon_fg.errors import UserError
from gluon_fg.weights.fingerprint import weights_sha256

NETS = ('c3d_tiny_custom', 'fused3d_tiny_custom', 'i3d_tiny_custom_cidc', 'i3d_tiny_custom_dfb', 'lstm_tiny_custom')
NETS += ('tsn_tiny_custom_u2s', 'r2d_tiny_custom_attention', 'topheavy_tiny_custom_u2s')


@given(st.integers(0, 2**16), st.integers(1, 5), st.sampled_from([(3,), (2, 3), (2, 1, 3, 3)]))
def test_rounded_weights_are_half_a_step_off_at_most_and_stay_as_they_are(seed, channels, shape):
    weight = np.random.default_rng(seed).normal(size=(channels, *shape)).astype('f')
    weight[0] = 0
    packed = pack({'w': weight, 'b': weight[:, 0]}, ['w'])
    back = unpack(packed)
    step = packed['scale:w'].reshape((-1,) + (1,) * len(shape))
    assert packed['int8:w'].dtype == np.int8 and (np.abs(back['w'] - weight) <= step * 0.5001).all()
    assert (back['w'][0] == 0).all() and back['b'] is packed['b']
    np.testing.assert_array_equal(pack(back, ['w'])['int8:w'], packed['int8:w'])


def test_agreement_is_the_probability_in_common():
    a = np.array([[0.7, 0.3, 0.0], [0.2, 0.5, 0.3]])
    b = np.array([[0.4, 0.6, 0.0], [0.2, 0.5, 0.3]])
    assert agreement(a, b) == pytest.approx((0.85, 0.5))
    assert agreement(a, b, multi_label=True) == pytest.approx((0.9, 0.5))


def of_layers(hurt):
    """A quantizer of 30 layers, each of which costs so much agreement where it is quantized; and its scores."""
    layers = tuple(f'layer{number}' for number in range(30))
    quantizer = types.SimpleNamespace(layers=layers, quantized=lambda excluded: set(layers) - set(excluded))

    def scores(model):
        off = sum(hurt.get(name, 0) for name in model)
        return np.array([[1 - off, off]])

    return quantizer, scores, np.array([[1.0, 0.0]])


def test_no_layer_stays_in_float32_where_all_agree():
    chosen = search(*of_layers({'layer3': 0.004}), target=0.99)
    assert chosen.excluded == () and chosen.tried == 1


def test_layers_that_hurt_stay_in_float32_and_others_do_not():
    quantizer, scores, reference = of_layers({'layer4': 0.3, 'layer17': 0.2, 'layer29': 0.001})
    chosen = search(quantizer, scores, reference, target=0.99, excluded=['layer0'])
    assert {'layer0', 'layer4', 'layer17'} <= set(chosen.excluded)
    assert chosen.agreement.scores >= 0.99 and len(chosen.excluded) <= 7
    assert chosen.model == set(quantizer.layers) - set(chosen.excluded)


def inputs(net, count=3):
    shape = input_shape(net.input_spec)
    return [np.random.default_rng(i).normal(size=shape).astype('f') for i in range(count)]


def off(logits, net, x):
    """Largest difference to the float logits, as a share of the largest of these; of the worst branch."""
    floats = [z.asnumpy() for z in fuse(net)(mx.nd.array(x))]
    assert len(floats) == len(logits)
    return max(np.abs(z - y).max() / np.abs(y).max() for z, y in zip(logits, floats))


@pytest.mark.parametrize('name', NETS)
def test_every_kind_of_network_is_quantized_and_answers_alike(name):
    net = randomized(name)
    batches = inputs(net)
    quantizer = onednn.Quantizer(net, batches)
    all_in_8_bits, none = quantizer.quantized(), quantizer.quantized(quantizer.layers)
    marked = [node for node in json.loads(all_in_8_bits.symbol.tojson())['nodes'] if node['op'] == '_sg_mkldnn_conv']
    assert len(marked) >= len(quantizer.layers) >= 10
    assert sum(node.get('attrs', {}).get('quantized') == 'true' for node in marked) == len(quantizer.layers)
    errors = [off(model.compute(batches[0]), net, batches[0]) for model in (all_in_8_bits, none)]
    assert 0 < errors[0] < 0.5 and errors[1] < 0.1  # the latter has its weights rounded alone


@pytest.fixture
def stored(tmp_path):
    """A network with an INT8 form beside it, and inputs."""
    net = randomized('i3d_tiny_custom_dfb')
    net.quantized_beside = f'{tmp_path}/net-'
    batches = inputs(net)
    model = onednn.Quantizer(net, batches).quantized()
    facts = {
        'runtime': 'mxnet',
        'weights': weights_sha256(net),
        'protocol': 'train_time',
        'input': store.input_of(net, 1, batches[0].shape),
        'fixed_sizes': [],
    }
    return net, batches, model, store.save(model, store.folder_of(net, 'mxnet'), facts)


COMPUTE = """
import sys
import gluon_fg, numpy as np
from pathlib import Path
from gluon_fg.deploy.quantized import onednn
out = onednn.Model.load(Path(sys.argv[1])).compute(np.load(sys.argv[2]))
np.savez(sys.argv[3], *out)
"""


def test_a_stored_form_is_small_and_gives_the_same_bits_in_another_process(stored, tmp_path):
    net, batches, model, facts = stored
    np.save(tmp_path / 'x.npy', batches[0])
    words = [store.folder_of(net, 'mxnet'), tmp_path / 'x.npy', tmp_path / 'z.npz']
    subprocess.run([sys.executable, '-c', COMPUTE, *map(str, words)], check=True, timeout=120)
    with np.load(tmp_path / 'z.npz') as there:
        for name, z in zip(there.files, model.compute(batches[0])):
            np.testing.assert_array_equal(there[name], z)
    floats = 4 * sum(p.data().size for p in net.collect_params().values())
    assert facts['bytes'] < 0.35 * floats


def test_evaluation_computes_with_the_stored_form_and_never_with_another(stored):
    net, batches, model, _ = stored
    forward = forward_of(net, Execution('mxnet', 'int8'))
    for z, y in zip(forward(mx.nd.array(batches[1])), model.compute(batches[1])):
        np.testing.assert_array_equal(z.asnumpy(), y)
    with pytest.raises(UserError, match='precision int8 is of whole networks'):
        layers_forward(net.branches.backbone, Execution('mxnet', 'int8'))
    weight = net.branches.classifier.weight
    weight.set_data(weight.data() * 2)
    with pytest.raises(UserError, match=r'made of other weights.*gluon-fg quantize \S+ --calib LIST .*--force'):
        forward_of(net, Execution('mxnet', 'int8'))


@pytest.mark.parametrize('file', ['model.npz', store.FACTS])
def test_a_damaged_form_is_refused_in_a_line(stored, file):
    net = stored[0]
    path = store.folder_of(net, 'mxnet') / file
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r'gluon-fg quantize .* --force'):
        store.load(net, 'mxnet')


def test_what_is_not_there_is_told_with_the_command_that_makes_it(tmp_path):
    net = randomized('tsn_tiny_custom')
    net.quantized_beside = f'{tmp_path}/runs/mine/'
    with pytest.raises(UserError, match=f'gluon-fg quantize {tmp_path}/runs/mine --calib LIST --runtime openvino'):
        store.load(net, 'openvino')
    with pytest.raises(UserError, match='onnxruntime'):
        store.load(net, 'onnxruntime')


def test_a_form_for_other_videos_is_refused():
    net = randomized('tsn_tiny_custom')
    facts = {'input': [3, 3, 48, 48], 'fixed_sizes': [0], 'protocol': 'p', 'runtime': 'mxnet'}
    made = store.Loaded('FOLDER', facts, None)
    made.check(net, 3, (6, 3, 96, 96))
    with pytest.raises(UserError, match='videos of 5 frames'):
        made.check(net, 5, ())


def test_openvino_computes_what_nncf_made_of_int8_weights():
    for package in openvino.PACKAGES:
        pytest.importorskip(package)
    net = randomized('i3d_tiny_custom_dfb')
    batches = inputs(net)
    quantizer = openvino.Quantizer(net, batches)
    model = quantizer.quantized(['branches.backbone.stem.0'])
    assert 0 < off(model.compute(batches[0]), net, batches[0]) < 0.5
    assert {'branches.backbone.stem.0', 'branches.bank.filters'} < set(quantizer.layers)
    kinds = {tensor.name: tensor.data_type for tensor in model._model.graph.initializer}
    inside = [node.input[0] for node in model._model.graph.node if node.op_type == 'DequantizeLinear']
    in_8_bits = [name for name in inside if kinds.get(name) == 3]  # TensorProto.INT8
    assert len(in_8_bits) >= len(quantizer.layers) - 1
