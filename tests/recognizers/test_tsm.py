"""TSM: where the shift stands, and how the number of segments reaches it."""

import mxnet as mx
import numpy as np
import pytest
import reference
from networks import randomize_norms

from gluon_fg import factory
from gluon_fg.backbones import get_backbone
from gluon_fg.backbones.residual import ResidualBlock
from gluon_fg.errors import UserError
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.nn import TemporalShift

STATIC = dict(static_alloc=True, static_shape=True)


@pytest.fixture(scope='module')
def net():
    """8 frames; a classifier whose scores differ visibly."""
    net = factory.build('tsm8f_resnet50_v1b_custom', nclass=5, head_std=1.0)
    net.initialize(mx.init.MSRAPrelu('in', 0))
    randomize_norms(net)
    net.hybridize(**STATIC)
    return net


def test_the_residual_branch_alone_reads_through_the_shift():
    block = ResidualBlock(8, (4, 4, 16), [(1, 1), (3, 3), (1, 1)], stride_at=1, stride=2, shift=TemporalShift(3))
    block.initialize(mx.init.MSRAPrelu('in', 0))
    randomize_norms(block)
    p = {name: value.data().asnumpy().astype('float64') for name, value in block._collect_params_with_prefix().items()}
    x = mx.nd.random.normal(shape=(6, 8, 5, 7))

    def layer(y, conv, bn, stride=1):
        y = reference.conv(y[:, :, None], p[f'{conv}.weight'][:, :, None], stride=(1, stride, stride))[:, :, 0]
        return reference.batch_norm(y, *(p[f'{bn}.{k}'] for k in ('gamma', 'beta', 'running_mean', 'running_var')))

    videos = x.asnumpy().reshape(2, 3, 8, 5, 7)
    moved = videos.copy()
    moved[:, :, 0], moved[:, :, 1] = 0, 0
    moved[:, :-1, 0], moved[:, 1:, 1] = videos[:, 1:, 0], videos[:, :-1, 1]
    y = reference.relu(layer(moved.reshape(x.shape), 'conv1', 'bn1'))
    y = layer(reference.relu(layer(y, 'conv2', 'bn2', stride=2)), 'conv3', 'bn3')
    expected = reference.relu(y + layer(x.asnumpy(), 'downsample.0', 'downsample.1', stride=2))
    np.testing.assert_allclose(block(x).asnumpy(), expected, rtol=1e-4, atol=1e-4)


def test_its_parameters_are_those_of_the_plain_network():
    def shapes(net):
        return {name: p.shape for name, p in net._collect_params_with_prefix().items()}

    tsm, plain = get_backbone('tsm_resnet50_v1b'), get_backbone('resnet50_v1b')
    assert shapes(tsm) == shapes(plain)
    assert tsm.imagenet == plain.imagenet
    assert all(tsm.geometry(stage) == plain.geometry(stage) for stage in (2, 3, 4, 5))
    shifts = []
    tsm.apply(lambda block: shifts.append(block) if isinstance(block, TemporalShift) else None)
    assert len(shifts) == 16  # one a residual block


def test_videos_in_a_batch_do_not_touch_each_other_whatever_their_number_of_frames(net):
    x = mx.nd.random.normal(shape=(8, 3, 32, 32))
    for segments in (8, 4, 2):
        net.num_segments = segments
        together = net(x).asnumpy()
        apart = [net(x[i : i + segments].copy()).asnumpy() for i in range(0, 8, segments)]
        assert together.shape == (8 // segments, 5)
        np.testing.assert_allclose(together, np.concatenate(apart), rtol=1e-4, atol=1e-4 * np.abs(together).max())
    net.num_segments = 8
    assert net.num_segments == 8


def test_the_order_of_frames_matters_and_changing_segments_changes_the_shift(net):
    x = mx.nd.random.normal(shape=(8, 3, 32, 32))
    scores, turned = net(x).asnumpy(), net(x[::-1].copy()).asnumpy()
    assert np.abs(scores - turned).max() > 1e-2 * np.abs(scores).max()
    net.num_segments = 4
    halves = net(x).asnumpy().mean(0, keepdims=True)
    net.num_segments = 8
    assert np.abs(scores - halves).max() > 1e-2 * np.abs(scores).max(), 'only the consensus changed'
    np.testing.assert_allclose(net(x).asnumpy(), scores, rtol=1e-5)


def test_a_single_frame_at_a_time_is_refused(net):
    with pytest.raises(UserError, match='num_segments 1: .* takes at least 2 frames .* train_time') as caught:
        net.num_segments = 1
    assert '\n' not in str(caught.value) and net.num_segments == 8
    with pytest.raises(UserError, match='num_segments 1'):
        factory.build('tsm8f_resnet50_v1b_custom', nclass=5, num_segments=1)


@pytest.mark.parametrize('dataset, nclass, protocol', [
    ('kinetics400', 400, 'train_time'), ('sthsthv2', 174, '10crop'), ('custom', None, 'train_time'),
])  # fmt: skip
@pytest.mark.parametrize('frames', [8, 16])
def test_entries_are_tested_on_as_many_frames_as_they_see_together(frames, dataset, nclass, protocol):
    net = factory.build(f'tsm{frames}f_resnet50_v1b_{dataset}', **({} if nclass else {'nclass': 3}))
    assert net.num_segments == net.input_spec.segments == frames
    assert net.protocol == protocol and net.nclass == (nclass or 3)
    assert get_protocol(net.protocol).num_segments(net.input_spec) == frames
