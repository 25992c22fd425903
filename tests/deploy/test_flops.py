"""Counts against hand arithmetic, against networks whose cost is known, and against PyTorch's own counter."""

import ctypes

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet.gluon import HybridBlock, nn, rnn

from gluon_fg import factory
from gluon_fg.backbones.twostream import TwoStreamBackbone
from gluon_fg.deploy import flops
from gluon_fg.deploy.flops import count, format_cost, format_costs, input_shape
from gluon_fg.errors import UserError


class Layers(HybridBlock):
    """The given function of (F, x) as a network."""

    def __init__(self, function):
        super().__init__()
        self._function = function

    def hybrid_forward(self, F, x):
        return self._function(F, x)


@pytest.mark.parametrize(
    'layer, shape, macs, parameters',
    [
        # output positions x channels x (input channels / groups x kernel)
        (nn.Conv2D(6, 3, strides=2, padding=1, in_channels=4), (2, 4, 7, 9), 2 * (4 * 5) * 6 * (4 * 9), 6 * 36 + 6),
        (nn.Conv2D(6, (1, 3), groups=2, in_channels=4, use_bias=False), (1, 4, 5, 8), (5 * 6) * 6 * (2 * 3), 6 * 6),
        (nn.Conv2D(4, 3, dilation=2, groups=4, in_channels=4), (1, 4, 9, 9), (5 * 5) * 4 * 9, 4 * 9 + 4),
        (
            nn.Conv3D(5, (3, 1, 2), strides=(1, 2, 2), padding=(1, 0, 0), in_channels=3),
            (1, 3, 5, 7, 8),
            (5 * 4 * 4) * 5 * (3 * 6),
            5 * 18 + 5,
        ),
        (nn.Conv3D(8, 1, groups=8, in_channels=8, use_bias=False), (3, 8, 2, 3, 3), 3 * 18 * 8, 8),
        (nn.Conv1D(4, 5, padding=2, in_channels=3), (2, 3, 11), 2 * 11 * 4 * 15, 64),
        # input positions x input channels x (channels / groups x kernel)
        (nn.Conv2DTranspose(6, 4, strides=2, padding=1, in_channels=3), (2, 3, 5, 7), 2 * 35 * 3 * (6 * 16), 294),
        (nn.Conv2DTranspose(6, 4, strides=2, groups=3, in_channels=3), (1, 3, 5, 7), 35 * 3 * (2 * 16), 102),
        (nn.Conv3DTranspose(2, (1, 4, 4), (1, 2, 2), in_channels=3, use_bias=False), (1, 3, 2, 3, 3), 18 * 3 * 32, 96),
        (nn.Dense(7, in_units=30), (4, 30), 4 * 7 * 30, 217),
        (nn.Dense(7, in_units=30, use_bias=False), (4, 5, 6), 4 * 7 * 30, 210),
        (nn.Dense(7, in_units=6, flatten=False), (4, 5, 6), 20 * 7 * 6, 49),
    ],
)
def test_layers(layer, shape, macs, parameters):
    cost = count(layer, shape)
    assert (cost.macs, cost.parameters, cost.constants, cost.unknown) == (macs, parameters, 0, {})
    assert cost.flops == 2 * macs and sum(cost.macs_by_kind.values()) == macs and len(cost.macs_by_kind) == 1


@pytest.mark.parametrize(
    'function, macs',
    [
        (lambda F, x: F.batch_dot(x, x, transpose_b=True), 2 * (3 * 3) * 5),
        (lambda F, x: F.batch_dot(x, x, transpose_a=True), 2 * (5 * 5) * 3),
        (lambda F, x: F.batch_dot(x, F.transpose(x, axes=(0, 2, 1))), 2 * (3 * 3) * 5),
        (
            lambda F, x: F.batch_dot(x, F.transpose(x, axes=(0, 2, 1)), transpose_a=True, transpose_b=True),
            2 * 5 * 5 * 3,
        ),
        (lambda F, x: F.dot(x, F.ones((5, 4))), (2 * 3) * 5 * 4),
        (lambda F, x: F.dot(x, F.ones((4, 5)), transpose_b=True), (2 * 3) * 5 * 4),
        (lambda F, x: F.dot(x, F.ones((2, 4)), transpose_a=True), (3 * 5) * 2 * 4),
        (lambda F, x: F.dot(F.ones((7,)), F.ones((7,))) + F.sum(x), 7),
        (lambda F, x: F.linalg.gemm2(x, x, transpose_b=True), 2 * (3 * 3) * 5),
        (lambda F, x: F.linalg.gemm(x, x, F.zeros((2, 5, 5)), transpose_a=True), 2 * (5 * 5) * 3),
    ],
)
def test_products(function, macs):
    cost = count(Layers(function), (2, 3, 5))
    assert cost.macs_by_kind == {'matrix product': macs} and not cost.unknown and cost.parameters == 0


@pytest.mark.parametrize(
    'layer, step, parameters',
    [
        # gates x state x (input + state) in each layer and direction; as many biases as Gluon has, two a gate
        (lambda: rnn.LSTM(7, 2, input_size=4), 4 * 7 * (4 + 7) + 4 * 7 * (7 + 7), 28 * 11 + 28 * 14 + 4 * 28),
        (lambda: rnn.LSTM(7, input_size=4, bidirectional=True), 2 * 4 * 7 * 11, 2 * (28 * 11 + 56)),
        (lambda: rnn.LSTM(7, 2, input_size=4, bidirectional=True), 2 * 28 * 11 + 2 * 28 * 21, 2 * 28 * (11 + 21 + 4)),
        (lambda: rnn.LSTM(7, input_size=4, projection_size=5), 28 * (4 + 5) + 7 * 5, 28 * 9 + 35 + 56),
        (lambda: rnn.GRU(6, input_size=4), 18 * 10, 18 * 12),
        (lambda: rnn.RNN(6, input_size=4), 6 * 10, 6 * 12),
    ],
)
def test_recurrent_layers(layer, step, parameters):
    cost = count(layer(), (9, 3, 4))
    assert cost.macs_by_kind == {'recurrent': 9 * 3 * step} and cost.parameters == parameters and not cost.unknown


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 2),
    groups=st.sampled_from([1, 2, 3]),
    size=st.tuples(st.integers(5, 9), st.integers(5, 9)),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    pad=st.integers(0, 2),
)
def test_convolution_position_by_position(batch, groups, size, kernel, stride, pad):
    positions = [
        (h, w)
        for h in range(-pad, size[0] + pad - kernel + 1, stride)
        for w in range(-pad, size[1] + pad - kernel + 1, stride)
    ]
    layer = nn.Conv2D(3 * groups, kernel, stride, pad, groups=groups, in_channels=6)
    each = (6 // groups) * kernel**2
    assert count(layer, (batch, 6, *size)).macs == batch * len(positions) * (3 * groups) * each


def test_sizes_that_only_the_input_tells():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3), nn.BatchNorm(), nn.Dense(3))
    cost = count(net, (1, 2, 6, 6))
    assert cost.macs_by_kind == {'convolution': 16 * 4 * 18, 'dense': 64 * 3}
    assert (cost.parameters, cost.constants) == (76 + 8 + 195, 8)
    assert cost.macs_by_part == {'0': 16 * 4 * 18, '2': 64 * 3}
    assert cost.parameters_by_part == {'0': 76, '1': 8, '2': 195}


def test_a_layer_used_twice_counts_twice_and_its_parameters_once():
    layer = nn.Conv2D(3, 3, padding=1, in_channels=3)
    net = nn.HybridSequential()
    net.add(layer, nn.MaxPool2D(), layer)
    cost = count(net, (1, 3, 8, 8))
    assert (cost.macs, cost.parameters) == ((64 + 16) * 3 * 27, 84)


def test_parameters_that_the_graph_does_not_read_are_left_out():
    net = nn.HybridSequential()
    net.add(nn.Dense(2, in_units=3))
    net.unused = nn.Dense(100, in_units=3)
    net._children.pop('unused')
    net.params.update(net.unused.params)
    assert count(net, (1, 3)).parameters == 8


def test_operators_that_are_not_known_are_named():
    net = Layers(lambda F, x: F.linalg.syrk(F.UpSampling(x, scale=2, sample_type='nearest')))
    cost = count(net, (1, 2, 4, 4))
    assert cost.unknown == {'UpSampling': 1, '_linalg_syrk': 1} and cost.macs == 0
    said = format_costs([cost]).splitlines()
    assert said[-1].endswith('not counted: UpSampling x 1, _linalg_syrk x 1')


def test_free_operators_exist_and_are_not_counted_too():
    names, size = ctypes.POINTER(ctypes.c_char_p)(), ctypes.c_uint()
    mx.base._LIB.MXListAllOpNames(ctypes.byref(size), ctypes.byref(names))
    real = {names[i].decode() for i in range(size.value)} | {'null'}
    assert flops.FREE - real == set() and set(flops.COUNTED) - real == set()
    assert not flops.FREE & set(flops.COUNTED)


def test_i3d_of_gluoncv_as_the_paper_counts_it():
    """CIDC's table 2 has 65 GFLOPs for it."""
    from gluoncv.model_zoo import get_model

    theirs = get_model('i3d_resnet50_v1_kinetics400', pretrained=False, pretrained_base=False)
    cost = count(theirs, (1, 3, 32, 224, 224))
    assert cost.macs == pytest.approx(33.1e9, rel=1e-3) and not cost.unknown
    ours = count(factory.build('i3d_resnet50_v1_kinetics400'), (1, 3, 32, 224, 224))
    assert (ours.macs, ours.parameters) == (cost.macs, cost.parameters)


@pytest.mark.parametrize(
    'name, gmacs, parameters',
    [  # torchvision's figures for its ResNets (1000 classes; GMACs 1.814 and 4.089), with the dense layer replaced
        ('tsn_resnet18_v1b_custom', 1.814, 11_689_512),
        ('tsn_resnet50_v1b_custom', 4.089, 25_557_032),
        ('tsn_mobilenetv2_custom', 0.3008, 3_504_872),  # 0.301 in torchvision's table, too
        ('tsn_efficientnet_lite0_custom', 0.3852, 4_652_008),  # 385 M and 4.652 M in the usual port
    ],
)
def test_networks_on_images(name, gmacs, parameters):
    cost = count(factory.build(name, 1000), (3, 3, 224, 224))
    assert cost.macs / 3e9 == pytest.approx(gmacs, rel=1e-3) and cost.parameters == parameters


def test_every_entry_is_counted_whole():
    for name in factory.list_models('*tiny*') + ['i3d_inceptionv1_same_flow_custom', 'tsm8f_resnet50_v1b_custom']:
        net = factory.build(name, 5)
        cost = count(net)
        assert not cost.unknown, name
        assert cost.macs == sum(cost.macs_by_kind.values()) == sum(cost.macs_by_part.values()) > 0
        assert cost.parameters == sum(cost.parameters_by_part.values())
        learned = [p for p in net.collect_params().values() if p.grad_req != 'null']
        assert cost.parameters == sum(int(np.prod(p.shape)) for p in learned), name
        backbone = [p for p in net.branches.backbone.collect_params().values() if p.grad_req != 'null']
        assert cost.backbone_parameters == sum(int(np.prod(p.shape)) for p in backbone), name
        both = isinstance(net.branches.backbone, TwoStreamBackbone)
        parts = ('rgb', 'flow') if both else ('res2', 'res3', 'res4', 'res5')
        assert 'top' not in cost.macs_by_part and {f'backbone.{part}' for part in parts} < set(cost.macs_by_part), name
        assert cost.input_shape == input_shape(net.input_spec)


def test_counting_leaves_the_network_as_it_was():
    net = factory.build('i3d_tiny_custom_dfb', 5)
    count(net)
    assert all(p._data is None for p in net.collect_params().values())
    net.initialize()
    net.hybridize()
    x = mx.nd.random.uniform(shape=(1, 3, 8, 32, 32))
    before = net(x).asnumpy()
    count(net, (1, 3, 16, 64, 64))
    np.testing.assert_array_equal(net(x).asnumpy(), before)


def test_two_clips_cost_twice_one_and_frozen_norms_stay_parameters():
    from gluon_fg.nn.norm import freeze_batch_norm

    net = factory.build('i3d_tiny_custom', 5)
    one, two = count(net, (1, 3, 8, 48, 48)), count(net, (2, 3, 8, 48, 48))
    assert two.macs == 2 * one.macs and two.parameters == one.parameters
    freeze_batch_norm(net)
    assert count(net, (1, 3, 8, 48, 48)).parameters == one.parameters


@pytest.mark.parametrize(
    'shape, match',
    [
        ((1, 3, 48, 48), r'cannot take an input of shape \(1, 3, 48, 48\).*for example, \(1, 3, 8, 48, 48\)'),
        ((1, 4, 8, 48, 48), 'Shape inconsistent'),
        ((1, 3, 0, 48, 48), 'from 1 to'),
        ((1, 3, 2**31, 48, 48), 'from 1 to'),
        ((), 'from 1 to'),
        (('a', 'b'), 'from 1 to'),
    ],
)
def test_inputs_that_do_not_fit(capfd, shape, match):
    net = factory.build('i3d_tiny_custom', 5)
    with pytest.raises(UserError, match=match) as error:
        count(net, shape)
    assert '\n' not in str(error.value) and capfd.readouterr().out == ''


def test_frames_that_are_no_whole_videos():
    with pytest.raises(UserError, match='tsn_tiny_synthfg cannot take .*sizes do not fit'):
        count(factory.build('tsn_tiny_synthfg'), (7, 3, 48, 48))


def test_a_network_without_input_spec_needs_a_shape():
    with pytest.raises(UserError, match='give the shape'):
        count(nn.Dense(3))


def test_tables_hold_the_numbers():
    cost = count(factory.build('i3d_resnet50_v1_kinetics400'), (1, 3, 32, 224, 224))
    (row,) = [line for line in format_costs([cost]).splitlines() if 'i3d' in line]
    assert row.split() == ['i3d_resnet50_v1_kinetics400', '1x3x32x224x224', '66.256', '33.128', '28.043', '27.224']
    shares = [float(line.split()[3]) for line in format_cost(cost).splitlines() if 'backbone.' in line]
    assert len(shares) == 5 and sum(shares) == pytest.approx(100, abs=0.3)
    assert cost.as_dict()['flops'] == 2 * cost.macs and cost.as_dict()['input_shape'] == [1, 3, 32, 224, 224]


def test_as_pytorch_counts():
    """A comparable network in both: PyTorch counts two for each multiply-add."""
    torch = pytest.importorskip('torch', reason='PyTorch is not installed: see CONTRIBUTING.md, "PyTorch"')
    pytest.importorskip('sympy', reason='PyTorch was installed without what its counter needs')
    counter = pytest.importorskip('torch.utils.flop_counter', reason='this PyTorch counts no operations')
    theirs = torch.nn.Sequential(
        torch.nn.Conv3d(3, 8, (3, 5, 5), (1, 2, 2), (1, 2, 2)),
        torch.nn.BatchNorm3d(8),
        torch.nn.ReLU(),
        torch.nn.Conv3d(8, 12, 3, padding=1, groups=4),
        torch.nn.MaxPool3d(2),
        torch.nn.ConvTranspose3d(12, 6, (1, 4, 4), (1, 2, 2), (0, 1, 1), groups=2),
        torch.nn.Flatten(),
        torch.nn.Linear(6 * 3 * 16 * 18, 10),
    ).eval()
    ours = nn.HybridSequential()
    ours.add(
        nn.Conv3D(8, (3, 5, 5), (1, 2, 2), (1, 2, 2), in_channels=3),
        nn.BatchNorm(),
        nn.Activation('relu'),
        nn.Conv3D(12, 3, padding=1, groups=4, in_channels=8),
        nn.MaxPool3D(2),
        nn.Conv3DTranspose(6, (1, 4, 4), (1, 2, 2), (0, 1, 1), groups=2, in_channels=12),
        nn.Flatten(),
        nn.Dense(10),
    )
    with counter.FlopCounterMode(display=False) as counted, torch.no_grad():
        theirs(torch.zeros(2, 3, 6, 31, 35))
    cost = count(ours, (2, 3, 6, 31, 35))
    assert cost.flops == counted.get_total_flops()
    assert cost.parameters == sum(p.numel() for p in theirs.parameters())
