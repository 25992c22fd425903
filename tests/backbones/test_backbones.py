import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from networks import randomize

from gluon_fg.backbones import R2D, Geometry, ResNet3D, SlowOnly, get_backbone
from gluon_fg.errors import UserError
from gluon_fg.nn.norm import freeze_batch_norm
from gluon_fg.recognizers import Baseline
from gluon_fg.weights.inflate import inflate_all


def clip(backbone, frames, height, width):
    return mx.nd.random.normal(
        shape=(1, 3, frames, height, width) if backbone.ndim == 3 else (frames, 3, height, width)
    )


@pytest.mark.parametrize('name', [
    'i3d_tiny', 'tiny', 'i3d_resnet18_v1', 'resnet18_v1b', 'slowonly_resnet50_v1', 'r2d_nl_resnet50_v1',
])  # fmt: skip
def test_sizes_follow_the_declared_geometry(name):
    """Odd sizes too: position i exists iff a whole stride of input belongs to it."""
    net = randomize(get_backbone(name))
    features = net(clip(net, 9, 45, 70))
    for stage, f in zip((2, 3, 4, 5), features):
        time, space = net.geometry(stage).stride
        expected = ([-(-9 // time)] if net.ndim == 3 else []) + [-(-45 // space), -(-70 // space)]
        assert f.shape[1] == net.channels[stage] and list(f.shape[2:]) == expected


@pytest.mark.parametrize('name', ['i3d_tiny', 'tiny'])
def test_receptive_fields_are_where_gradients_arrive(name):
    """The gradient of one position covers exactly the field that localization draws, padding apart."""
    net = randomize(get_backbone(name))
    freeze_batch_norm(net)
    for p in net.collect_params('.*weight').values():
        p.set_data(abs(p.data()))  # all positive, so that nothing cancels and no ReLU is closed
    x = abs(clip(net, 13, 161, 161))
    x.attach_grad()
    with autograd.record():
        f5 = net(x)[3]
        at = (0, slice(None), 6, 5, 5) if net.ndim == 3 else (6, slice(None), 5, 5)
        f5[at].sum().backward()
    touched = np.abs(x.grad.asnumpy()).sum((0, 1) if net.ndim == 3 else (1,)) > 0
    geometry = net.geometry(5)
    center = geometry.center(6, 5, 5)
    for axis, middle, size in zip((0, 1, 2), center, (geometry.field[0], geometry.field[1], geometry.field[1])):
        where = np.flatnonzero(touched.any(tuple({0, 1, 2} - {axis})))
        low, high = max(0, middle - (size - 1) / 2), min(touched.shape[axis] - 1, middle + (size - 1) / 2)
        # max pooling passes the gradient to one position of its window, so an edge may stay dark
        assert low <= where[0] <= low + 3 and high - 3 <= where[-1] <= high


def test_known_receptive_fields_of_resnets():
    assert get_backbone('resnet50_v1b').geometry(5).field == (1, 427)
    assert get_backbone('resnet18_v1b').geometry(5).field == (1, 435)
    assert get_backbone('i3d_resnet50_v1').geometry(5).stride == (4, 32)
    assert get_backbone('i3d_resnet50_v1', temporal_downsample=8).geometry(5).stride == (8, 32)
    # slow-only: nine blocks of three frames, time never strided; space as the 2-D network
    assert get_backbone('slowonly_resnet50_v1').geometry(5) == Geometry((1, 32), (19, 427), (0, 0))
    # R2D: time by the stem's stride and two poolings of three (Wang et al. 2018, table 1); space as the 2-D network
    assert get_backbone('r2d_resnet50_v1').geometry(5) == Geometry((8, 32), (13, 427), (0, 0))
    assert get_backbone('r2d_nl_resnet50_v1').geometry(5) == get_backbone('r2d_resnet50_v1').geometry(5)
    # what attention adds is everything; the rest is the network's without it
    assert get_backbone('i3d_nl10_resnet50_v1').geometry(5) == get_backbone('i3d_resnet50_v1').geometry(5)


def test_upsampling_halves_the_stride_and_keeps_the_middle():
    coarse = get_backbone('i3d_tiny').geometry(5)
    fine = coarse.upsampled()
    between = np.mean([fine.center(0, 0, 0), fine.center(0, 1, 1)], axis=0)
    np.testing.assert_allclose(between, coarse.center(0, 0, 0))
    assert fine.field == (coarse.field[0], coarse.field[1] + 1.5 * coarse.stride[1])  # 3/4 of a stride to one side
    coarse = get_backbone('i3d_inceptionv1').geometry(5)
    fine = coarse.upsampled(time=True)
    between = np.mean([fine.center(0, 0, 0), fine.center(1, 1, 1)], axis=0)
    np.testing.assert_allclose(between, coarse.center(0, 0, 0))
    assert fine.stride == (4, 16)
    assert fine.field == (coarse.field[0] + 12, coarse.field[1] + 48)


@pytest.mark.parametrize(
    'name', ['i3d_tiny', 'tiny', 'i3d_resnet18_v1', 'i3d_resnet50_v1', 'resnet18_v1b', 'resnet50_v1b']
)
def test_a_new_stage_has_the_same_layers_and_its_own_parameters(name):
    net = get_backbone(name)
    first, second = net.new_stage(5), net.new_stage(5)
    own, ours = net.res5._collect_params_with_prefix(), first._collect_params_with_prefix()
    assert {n: p.shape for n, p in ours.items()} == {n: p.shape for n, p in own.items()}
    names = [p.name for stage in (net, first, second) for p in stage.collect_params().values()]
    assert len(set(names)) == len(names)
    if net.channels[5] > 512 or name == 'i3d_resnet18_v1':
        return  # large: their layers are the same classes
    randomize(net)
    randomize(first)
    for n, p in ours.items():
        p.set_data(own[n].data())
    f = net(clip(net, 8, 40, 40))
    np.testing.assert_allclose(first(f[2]).asnumpy(), f[3].asnumpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name, res3, res4', [
    ('i3d_nl5_resnet50_v1', [1, 3], [1, 3, 5]), ('i3d_nl10_resnet50_v1', [0, 1, 2, 3], [0, 1, 2, 3, 4, 5]),
    ('r2d_nl_resnet50_v1', [1, 3], [1, 3, 5]), ('r2d_resnet50_v1', [], []),
    ('i3d_nl5_resnet101_v1', [1, 3], [6, 13, 20]), ('i3d_nl10_resnet101_v1', [0, 1, 2, 3], [2, 6, 10, 14, 18, 22]),
])  # fmt: skip
def test_non_local_blocks_stand_where_gluoncv_has_them(name, res3, res4):
    net = get_backbone(name)
    placed = {
        stage: [i for i, block in enumerate(getattr(net, f'res{stage}')) if block.non_local] for stage in net.channels
    }
    assert placed == {2: [], 3: res3, 4: res4, 5: []}


def test_stride_sits_in_the_3x3_convolution():
    """DFB sec. 4.1; in 2-D and 3-D."""
    for name in ('resnet50_v1b', 'i3d_resnet50_v1'):
        block = get_backbone(name).res3[0]
        strides = [getattr(block, f'conv{i}')._kwargs['stride'][-1] for i in (1, 2, 3)]
        assert strides == [1, 2, 1]


@pytest.mark.parametrize('downsample, frames', [(4, 1), (8, 5)])
def test_the_shortest_clip_is_known(downsample, frames):
    net = randomize(get_backbone('i3d_resnet18_v1', temporal_downsample=downsample))
    assert net.min_size == (frames, 1)
    assert net(clip(net, frames, 16, 16))[3].shape[2] == 1
    if frames > 1:
        with pytest.raises(mx.MXNetError):
            net(clip(net, frames - 1, 16, 16))[3].wait_to_read()


@pytest.mark.parametrize('name', [
    'i3d_resnet18_v1', 'i3d_resnet50_v1', 'i3d_nl5_resnet50_v1', 'slowonly_resnet50_v1', 'r2d_nl_resnet50_v1',
])  # fmt: skip
def test_i3d_trains_on_a_cpu(name):
    net = randomize(get_backbone(name))
    net.hybridize(static_alloc=True, static_shape=True)
    with autograd.record():
        f5 = net(mx.nd.random.normal(shape=(2, 3, 4, 32, 40)))[3]  # two keys are left by non-local pooling
        (f5 * mx.nd.random.normal(shape=f5.shape)).sum().backward()
    for n, p in net._collect_params_with_prefix().items():
        if p.grad_req != 'null':
            g = p.grad().asnumpy()
            # softmax and batch norm take out a shift of all keys and of their input
            assert np.isfinite(g).all() and (np.abs(g).max() > 0 or n.endswith(('phi.bias', 'W.bias'))), n


def test_clips_of_32_frames_leave_r2d_four_positions_in_time():
    """Wang et al. 2018, table 1; by shapes alone, at the full size."""
    net = get_backbone('r2d_nl_resnet50_v1')
    _, shapes, _ = mx.sym.Group(list(net(mx.sym.var('data')))).infer_shape(data=(2, 3, 32, 224, 224))
    assert shapes == [(2, 256, 8, 56, 56), (2, 512, 4, 28, 28), (2, 1024, 4, 14, 14), (2, 2048, 4, 7, 7)]


def test_r2d_sees_a_still_clip_as_the_2d_network_sees_its_frame():
    """At every position in time: no convolution meets zero padding there. Odd sizes."""
    images, clips = randomize(get_backbone('resnet50_v1b')), get_backbone('r2d_resnet50_v1')
    clips.initialize()
    given, ours = images._collect_params_with_prefix(), clips._collect_params_with_prefix()
    for name, array in inflate_all(
        {n: p.data() for n, p in given.items()}, {n: p.shape for n, p in ours.items()}
    ).items():
        ours[name].set_data(array)
    frame = mx.nd.random.normal(shape=(1, 3, 33, 46))
    for still, flat in zip(clips(mx.nd.repeat(frame.expand_dims(2), 11, axis=2)), images(frame)):
        expected = np.repeat(flat.asnumpy()[:, :, None], still.shape[2], axis=2)
        np.testing.assert_allclose(still.asnumpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_subsampling_non_local_blocks_need_two_positions():
    net = randomize(get_backbone('r2d_nl_resnet50_v1'))
    assert net.min_size == (1, 17) and get_backbone('r2d_resnet50_v1').min_size == (1, 1)
    assert net(clip(net, 1, 17, 17))[3].shape == (1, 2048, 1, 1, 1)
    with pytest.raises(mx.MXNetError):
        net(clip(net, 1, 17, 16))[3].wait_to_read()


def test_the_tiny_2d_network_is_blind_to_the_order_of_frames():
    net = randomize(get_backbone('tiny'))
    x = clip(net, 6, 48, 48)
    order = np.array([3, 1, 5, 0, 2, 4])
    np.testing.assert_allclose(net(x)[3].asnumpy()[order], net(mx.nd.array(x.asnumpy()[order]))[3].asnumpy(), atol=1e-5)


def test_impossible_backbones_are_refused():
    with pytest.raises(UserError, match="unknown backbone 'resnet50'; did you mean"):
        get_backbone('resnet50')
    with pytest.raises(UserError, match='resnet18_v1b reduces time in one way only'):
        get_backbone('resnet18_v1b', temporal_downsample=4)
    with pytest.raises(UserError, match='temporal_downsample must be 4 .* or 8 .*, got 2'):
        get_backbone('i3d_resnet18_v1', temporal_downsample=2)
    with pytest.raises(UserError, match='non_local 3 at depth 50: choose 5 at depth 50 or 10 at depth 50 or .*, or 0'):
        ResNet3D(50, non_local=3)
    with pytest.raises(UserError, match="unknown depth of a slow-only network '18'; choose from 101, 152, 50"):
        SlowOnly(18)
    with pytest.raises(UserError, match="unknown depth of an R2D network '18'; choose from 101, 152, 50"):
        R2D(18)
    with pytest.raises(UserError, match='r2d_resnet50_v1 reduces time in one way only'):
        get_backbone('r2d_resnet50_v1', temporal_downsample=8)
    with pytest.raises(UserError, match='no stage 1 to branch off'):
        get_backbone('tiny').new_stage(1)


@pytest.mark.parametrize(
    'name, refused',
    [
        ('i3d_inceptionv1', [5, 6, 7]),  # the stem spans 7 frames
        ('i3d_inceptionv3', [3, 5, 6, 9, 10, 11, 12]),  # the stem and both reductions see 3
        ('topheavy_resnet50', [3, 5, 6]),
        ('i3d_resnet50_v1', []),
        ('r2d_resnet50_v1', []),
    ],
)
def test_frames_on_which_gradients_are_wrong(name, refused):
    """On processors with AVX-512, each found by comparing the gradients of single layers with NumPy's."""
    net = get_backbone(name)
    lengths = range(net.min_size[0], 40)
    assert [frames for frames in lengths if net.trainable_frames(frames) != frames] == refused
    assert net.trainable_frames(9) == (13 if name == 'i3d_inceptionv3' else 9)


def test_training_on_them_is_refused_and_prediction_is_not():
    net = Baseline.build('i3d_inceptionv1', 4)
    net.initialize()
    x = mx.nd.random.normal(shape=(1, 3, 7, 32, 32))
    assert np.isfinite(net(x).asnumpy()).all()
    for hybrid in (False, True):
        net.hybridize(hybrid)
        with autograd.record(), pytest.raises(UserError, match='clips of 7 frames, on which .* train on 8$'):
            net.branches(x)
