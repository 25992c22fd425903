"""The forms that networks are traced in for inference give what their forms for training give."""

import mxnet as mx
import numpy as np
import pytest
from networks import randomize, randomized

from gluon_fg.nn.cidc import CIDC
from gluon_fg.nn.norm import deploy_mode
from gluon_fg.recognizers.dfb import DFB


def both_forms(block, *inputs, converted=False):
    """What a block gives as it trains, and as it predicts, in MXNet or converted."""
    plain = block(*inputs)
    with deploy_mode(converted):
        deployed = block(*inputs)
    return [out if isinstance(out, (list, tuple)) else [out] for out in (plain, deployed)]


def assert_close(plain, deployed):
    assert len(plain) == len(deployed)
    for a, b in zip(plain, deployed):
        a, b = a.asnumpy(), b.asnumpy()
        assert a.shape == b.shape
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5 * max(1, np.abs(a).max()))


@pytest.mark.parametrize(
    'name, shape',
    [
        ('i3d_tiny_custom_dfb', (2, 3, 8, 48, 48)),
        ('i3d_tiny_custom_dfb', (1, 3, 5, 41, 53)),
        ('tsn_tiny_custom_dfb', (8, 3, 37, 64)),
    ],
)
def test_networks(name, shape):
    assert_close(*both_forms(randomized(name).branches, mx.nd.random.normal(shape=shape)))


@pytest.mark.parametrize('converted', [False, True])
@pytest.mark.parametrize('size', [(48, 48), (41, 53)])
@pytest.mark.parametrize('options', [{}, {'direction': 'chained'}, {'out_frames': 16, 'normalize': 'row'}])
def test_directional_networks(options, size, converted):
    net = randomized('i3d_tiny_custom_cidc', **options)
    x = mx.nd.random.normal(shape=(2, 3, net.input_spec.frames, *size))
    assert_close(*both_forms(net.branches, x, converted=converted))


@pytest.mark.parametrize('converted', [False, True])
@pytest.mark.parametrize('direction', ['none', 'forward', 'backward', 'both', 'mean'])
@pytest.mark.parametrize('out_frames', [1, 3, 7])
def test_directional_units(direction, out_frames, converted):
    unit = randomize(CIDC(6, 5, out_frames, direction))
    assert_close(*both_forms(unit, mx.nd.random.normal(shape=(2, 6, 5, 3, 4)), converted=converted))


@pytest.mark.parametrize('size', [(12, 40, 56), (9, 48, 33)])
def test_a_local_branch_that_doubles_time_too(size):
    net = DFB.build('i3d_inceptionv1_same', 3, filters_per_class=2)
    randomize(net)
    f4 = net.branches.backbone(mx.nd.random.normal(shape=(1, 3, *size)))[2]
    assert_close(*both_forms(net.branches.local, f4 / f4.max()))
